// Everything a node hears from outside runs contained: timers, the store's and the disk's
// completions, as the network's events do. An error that escapes stops this node, not the process that may
// hold several of them, and after the node's end nothing is heard any more, so nothing more is written
// either.

import type { Disk, DiskFile, Done, NetworkHandler, Timers } from '../base/env.js';
import type { OpenStore, Stores, StoreView } from '../kv/store.js';

/** Runs a piece of work, unless the node has ended; stops the node when it throws. */
export type Contain = (run: () => void) => void;

export function containTimers(timers: Timers, contain: Contain): Timers {
  return {
    set: (delayMs, callback) => timers.set(delayMs, () => contain(callback)),
    clear: (handle) => timers.clear(handle),
    defer: (callback) => timers.defer(() => contain(callback)),
  };
}

export function containNetwork(handler: NetworkHandler, contain: Contain): NetworkHandler {
  return {
    onPeerDialed: contained(contain, (link, peer) => handler.onPeerDialed(link, peer)),
    onPeerUnreachable: contained(contain, (peer) => handler.onPeerUnreachable(peer)),
    onPeerAccepted: contained(contain, (link) => handler.onPeerAccepted(link)),
    onClientAccepted: contained(contain, (link) => handler.onClientAccepted(link)),
    onClientDrained: contained(contain, (link) => handler.onClientDrained(link)),
    onMessage: contained(contain, (link, message) => handler.onMessage(link, message)),
    onClosed: contained(contain, (link) => handler.onClosed(link)),
  };
}

export function containStores(stores: Stores, contain: Contain): Stores {
  return {
    open: (name, done) => {
      stores.open(name, (error, store) => {
        contain(() => done(error, store === undefined ? undefined : containStore(store, contain)));
      });
    },
    list: (done) => stores.list(contained(contain, done)),
    remove: (name, done) => stores.remove(name, contained(contain, done)),
  };
}

function containStore(store: OpenStore, contain: Contain): OpenStore {
  return {
    getSync: (key) => store.getSync(key),
    fetchRange: (range, done) => store.fetchRange(range, contained(contain, done)),
    fetchMany: (keys, done) => store.fetchMany(keys, contained(contain, done)),
    writeBatch: (operations, done) => store.writeBatch(operations, contained(contain, done)),
    openView: () => containView(store.openView(), contain),
    bytesOnDisk: () => store.bytesOnDisk(),
    close: (done) => store.close(contained(contain, done)),
  };
}

function containView(view: StoreView, contain: Contain): StoreView {
  return {
    fetchRange: (range, done) => view.fetchRange(range, contained(contain, done)),
    close: () => view.close(),
  };
}

export function containDisk(disk: Disk, contain: Contain): Disk {
  return {
    openSync: (path, options) => containFile(disk.openSync(path, options), contain),
    createZeroed: (path, bytes, done) => {
      disk.createZeroed(path, bytes, (error, file) => {
        contain(() => done(error, file === undefined ? undefined : containFile(file, contain)));
      });
    },
    existsSync: (path) => disk.existsSync(path),
    listSync: (directory) => disk.listSync(directory),
    makeDirectorySync: (directory) => disk.makeDirectorySync(directory),
    renameSync: (from, to) => disk.renameSync(from, to),
    removeSync: (path) => disk.removeSync(path),
    syncDirectorySync: (directory) => disk.syncDirectorySync(directory),
    syncDirectory: (directory, done) => disk.syncDirectory(directory, contained(contain, done)),
    freeBytes: (done) => disk.freeBytes(contained(contain, done)),
  };
}

function containFile(file: DiskFile, contain: Contain): DiskFile {
  return {
    path: file.path,
    sizeSync: () => file.sizeSync(),
    readSync: (offset, length) => file.readSync(offset, length),
    read: (offset, length, done) => file.read(offset, length, contained(contain, done)),
    write: (offset, parts, done: Done) => file.write(offset, parts, contained(contain, done)),
    writeSync: (offset, bytes) => file.writeSync(offset, bytes),
    sync: (done: Done) => file.sync(contained(contain, done)),
    syncSync: () => file.syncSync(),
    closeSync: () => file.closeSync(),
  };
}

function contained<A extends unknown[]>(
  contain: Contain,
  done: (...values: A) => void,
): (...values: A) => void {
  return (...values) => contain(() => done(...values));
}
