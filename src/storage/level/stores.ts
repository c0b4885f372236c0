// The stores of one data folder, each a LevelDB in a folder of its own: `db`, and `db-2`, `db-3` … for those
// that snapshots brought. Must never leave a part of a store under its name: LevelDB opens what is left of a
// half-removed store as if nothing had been in the rest, so a store is renamed before it is removed. The
// names of folders are durable before anyone is told, because LevelDB syncs its own folder only.

import { existsSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { OpenStore, Stores } from '../../kv/store.js';
import { openLevelStore, storeFilesMax, type LevelStore } from './store.js';
import { Descriptors } from '../disk/descriptors.js';
import { syncFolder } from '../disk/node-disk.js';
import { endOpening } from './opening-note.js';

interface Opened {
  readonly name: string;
  readonly opening: Promise<LevelStore>;
  /** Set once it is being closed; the folder is free when it ends. */
  closed: Promise<void> | undefined;
}

export interface LevelStoresOptions {
  /** By default some of its own. Their owner closes them. */
  readonly descriptors?: Descriptors;
  /** Tables that one store keeps open. Default `storeFilesMax`. */
  readonly filesMax?: number;
  /** The system's, unless a test wants failures. */
  readonly sync?: typeof syncFolder;
}

const storeName = /^db(-[1-9]\d*)?$/;
const removedName = /^db(-[1-9]\d*)?\.removed$/;

export class LevelStores implements Stores {
  private readonly dataDirectory: string;
  /** Every store that was opened and whose folder is not free again. */
  private readonly opened = new Set<Opened>();
  private readonly descriptors: Descriptors;
  private readonly filesMax: number;
  private readonly sync: typeof syncFolder;

  /** `dataDirectory` exists, and this process holds its lock (storage/folder/folder-lock.ts). */
  constructor(dataDirectory: string, options: LevelStoresOptions = {}) {
    this.dataDirectory = dataDirectory;
    this.descriptors = options.descriptors ?? new Descriptors();
    this.filesMax = options.filesMax ?? storeFilesMax;
    this.sync = options.sync ?? syncFolder;
  }

  open(name: string, done: (error: Error | undefined, store: OpenStore | undefined) => void): void {
    // One of the same name that is being closed still has the lock on the folder.
    const closing = [...this.opened].filter((other) => other.name === name).map((other) => other.closed);
    const opened: Opened = { name, opening: this.openWhole(name, closing), closed: undefined };
    this.opened.add(opened);
    opened.opening.then(
      (store) => setImmediate(done, undefined, this.tracked(opened, store)),
      (error: unknown) => {
        this.opened.delete(opened);
        setImmediate(done, asError(error), undefined);
      },
    );
  }

  list(done: (error: Error | undefined, names: readonly string[]) => void): void {
    this.listAndClear().then(
      (names) => setImmediate(done, undefined, names),
      (error: unknown) => setImmediate(done, this.failed('list the stores in', error), []),
    );
  }

  remove(name: string, done: Done): void {
    this.removeWhole(name).then(
      () => setImmediate(done, undefined),
      (error: unknown) => setImmediate(done, this.failed(`remove the store ${name} in`, error)),
    );
  }

  /** Closes what a node that ended has left open, and waits for what is being closed. */
  async closeAll(): Promise<void> {
    for (const opened of [...this.opened]) {
      const store = await opened.opening.catch(() => undefined);
      if (store !== undefined) await this.closeOnce(opened, store);
    }
  }

  private tracked(opened: Opened, store: LevelStore): OpenStore {
    return {
      getSync: (key) => store.getSync(key),
      fetchRange: (range, done) => store.fetchRange(range, done),
      fetchMany: (keys, done) => store.fetchMany(keys, done),
      writeBatch: (operations, done) => store.writeBatch(operations, done),
      openView: () => store.openView(),
      bytesOnDisk: () => store.bytesOnDisk(),
      close: (done) => {
        this.closeOnce(opened, store).then(
          () => setImmediate(done, undefined),
          (error: unknown) => setImmediate(done, asError(error)),
        );
      },
    };
  }

  private closeOnce(opened: Opened, store: LevelStore): Promise<void> {
    opened.closed ??= closeStore(store).finally(() => this.opened.delete(opened));
    return opened.closed;
  }

  private async openWhole(
    name: string,
    closing: readonly (Promise<void> | undefined)[],
  ): Promise<LevelStore> {
    // Whatever became of it: LevelDB says by itself if the folder is not free.
    await Promise.allSettled(closing);
    const directory = join(this.dataDirectory, name);
    const isNew = !existsSync(directory);
    const store = await openLevelStore(directory, { descriptors: this.descriptors, filesMax: this.filesMax });
    try {
      if (isNew) await this.syncNames();
    } catch (error) {
      await closeStore(store).catch(() => undefined);
      throw error;
    }
    return store;
  }

  private async listAndClear(): Promise<string[]> {
    const list = (): Promise<string[]> => readdir(this.dataDirectory);
    const names = await this.descriptors.promised('list the stores', list);
    // A removal that a crash cut short after its rename.
    for (const name of names) if (removedName.test(name)) await this.removeFolder(name);
    return names.filter((name) => storeName.test(name)).sort();
  }

  private async removeWhole(name: string): Promise<void> {
    endOpening(join(this.dataDirectory, name));
    const removed = `${name}.removed`;
    await this.removeFolder(removed);
    if (!existsSync(join(this.dataDirectory, name))) return;
    await rename(join(this.dataDirectory, name), join(this.dataDirectory, removed));
    await this.syncNames();
    await this.removeFolder(removed);
  }

  private async removeFolder(name: string): Promise<void> {
    const remove = (): Promise<void> => rm(join(this.dataDirectory, name), { recursive: true, force: true });
    await this.descriptors.promised(`remove ${name}`, remove);
  }

  private syncNames(): Promise<void> {
    return new Promise((resolve, reject) => {
      const done: Done = (error) => (error === undefined ? resolve() : reject(error));
      this.sync(this.dataDirectory, '.', done, this.descriptors);
    });
  }

  private failed(action: string, cause: unknown): KvorumError {
    if (KvorumError.is(cause)) return cause;
    const { message, code } = asError(cause) as NodeJS.ErrnoException;
    const details = { path: this.dataDirectory, errno: code ?? message };
    return new KvorumError('DISK', `cannot ${action} ${this.dataDirectory}: ${message}`, { details, cause });
  }
}

function closeStore(store: LevelStore): Promise<void> {
  return new Promise((resolve, reject) => {
    store.close((error) => (error === undefined ? resolve() : reject(error)));
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
