// Everything a node hears from outside runs under its guard: timers, the store's and the disk's
// completions, as the network's events do. An error that escapes stops this node, not the process that may
// hold several of them, and after the node's end nothing is heard any more, so nothing more is written
// either.

import type { Disk, DiskFile, Done, NetworkHandler, Timers } from '../base/env.js';
import type { OpenStore, Stores, StoreView } from '../kv/store.js';

/** Runs a piece of work, unless the node has ended; stops the node when it throws. */
export type Guard = (run: () => void) => void;

export function guardTimers(timers: Timers, guard: Guard): Timers {
  return {
    set: (delayMs, callback) => timers.set(delayMs, () => guard(callback)),
    clear: (handle) => timers.clear(handle),
    defer: (callback) => timers.defer(() => guard(callback)),
  };
}

export function guardNetwork(handler: NetworkHandler, guard: Guard): NetworkHandler {
  return {
    onPeerDialed: guarded(guard, (link, peer) => handler.onPeerDialed(link, peer)),
    onPeerUnreachable: guarded(guard, (peer) => handler.onPeerUnreachable(peer)),
    onPeerAccepted: guarded(guard, (link) => handler.onPeerAccepted(link)),
    onClientAccepted: guarded(guard, (link) => handler.onClientAccepted(link)),
    onMessage: guarded(guard, (link, message) => handler.onMessage(link, message)),
    onClosed: guarded(guard, (link) => handler.onClosed(link)),
  };
}

export function guardStores(stores: Stores, guard: Guard): Stores {
  return {
    open: (name, done) => {
      stores.open(name, (error, store) => {
        guard(() => done(error, store === undefined ? undefined : guardStore(store, guard)));
      });
    },
    list: (done) => stores.list(guarded(guard, done)),
    remove: (name, done) => stores.remove(name, guarded(guard, done)),
  };
}

function guardStore(store: OpenStore, guard: Guard): OpenStore {
  return {
    getSync: (key) => store.getSync(key),
    fetchRange: (range, done) => store.fetchRange(range, guarded(guard, done)),
    fetchMany: (keys, done) => store.fetchMany(keys, guarded(guard, done)),
    writeBatch: (operations, done) => store.writeBatch(operations, guarded(guard, done)),
    openView: () => guardView(store.openView(), guard),
    bytesOnDisk: () => store.bytesOnDisk(),
    close: (done) => store.close(guarded(guard, done)),
  };
}

function guardView(view: StoreView, guard: Guard): StoreView {
  return {
    fetchRange: (range, done) => view.fetchRange(range, guarded(guard, done)),
    close: () => view.close(),
  };
}

export function guardDisk(disk: Disk, guard: Guard): Disk {
  return {
    openSync: (path, options) => guardFile(disk.openSync(path, options), guard),
    createZeroed: (path, bytes, done) => {
      disk.createZeroed(path, bytes, (error, file) => {
        guard(() => done(error, file === undefined ? undefined : guardFile(file, guard)));
      });
    },
    existsSync: (path) => disk.existsSync(path),
    listSync: (directory) => disk.listSync(directory),
    makeDirectorySync: (directory) => disk.makeDirectorySync(directory),
    renameSync: (from, to) => disk.renameSync(from, to),
    removeSync: (path) => disk.removeSync(path),
    syncDirectorySync: (directory) => disk.syncDirectorySync(directory),
    syncDirectory: (directory, done) => disk.syncDirectory(directory, guarded(guard, done)),
    freeBytes: (done) => disk.freeBytes(guarded(guard, done)),
  };
}

function guardFile(file: DiskFile, guard: Guard): DiskFile {
  return {
    path: file.path,
    sizeSync: () => file.sizeSync(),
    readSync: (offset, length) => file.readSync(offset, length),
    read: (offset, length, done) => file.read(offset, length, guarded(guard, done)),
    write: (offset, parts, done: Done) => file.write(offset, parts, guarded(guard, done)),
    writeSync: (offset, bytes) => file.writeSync(offset, bytes),
    sync: (done: Done) => file.sync(guarded(guard, done)),
    syncSync: () => file.syncSync(),
    closeSync: () => file.closeSync(),
  };
}

function guarded<A extends unknown[]>(guard: Guard, done: (...values: A) => void): (...values: A) => void {
  return (...values) => guard(() => done(...values));
}
