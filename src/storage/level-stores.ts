// The stores of one data folder, each a LevelDB in a folder of its own: `db`, and `db-2`, `db-3` … for those
// that snapshots brought. Must never leave a part of a store under its name: LevelDB opens what is left of a
// half-removed store as if nothing had been in the rest, so a store is renamed before it is removed. The
// names of folders are durable before anyone is told, because LevelDB syncs its own folder only.

import { existsSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Done } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import type { OpenStore, Stores } from '../kv/store.js';
import { openLevelStore, type LevelStore } from './level-store.js';
import { syncFolder } from './node-disk.js';

const storeName = /^db(-[1-9]\d*)?$/;
const removedName = /^db(-[1-9]\d*)?\.removed$/;

export class LevelStores implements Stores {
  private readonly dataDirectory: string;
  /** Every store that was opened and not closed, with what its opening will give. */
  private readonly opened = new Set<Promise<LevelStore>>();

  /** `dataDirectory` exists, and this process holds its lock (folder-lock.ts). */
  constructor(dataDirectory: string) {
    this.dataDirectory = dataDirectory;
  }

  open(name: string, done: (error: Error | undefined, store: OpenStore | undefined) => void): void {
    const directory = join(this.dataDirectory, name);
    const isNew = !existsSync(directory);
    const opening = openLevelStore(directory).then(async (store) => {
      if (isNew) await this.syncNames();
      return store;
    });
    this.opened.add(opening);
    opening.then(
      (store) => setImmediate(done, undefined, this.tracked(opening, store)),
      (error: unknown) => {
        this.opened.delete(opening);
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

  /** Closes what a node that ended has left open. */
  async closeAll(): Promise<void> {
    for (const opening of [...this.opened]) {
      const store = await opening.catch(() => undefined);
      if (store === undefined || !this.opened.delete(opening)) continue;
      await new Promise<void>((resolve, reject) => {
        store.close((error) => (error === undefined ? resolve() : reject(error)));
      });
    }
  }

  /** The store, which is not this object's to close once its user closes it. */
  private tracked(opening: Promise<LevelStore>, store: LevelStore): OpenStore {
    return {
      getSync: (key) => store.getSync(key),
      fetchRange: (range, done) => store.fetchRange(range, done),
      fetchMany: (keys, done) => store.fetchMany(keys, done),
      writeBatch: (operations, done) => store.writeBatch(operations, done),
      openView: () => store.openView(),
      bytesOnDisk: () => store.bytesOnDisk(),
      close: (done) => {
        this.opened.delete(opening);
        store.close(done);
      },
    };
  }

  private async listAndClear(): Promise<string[]> {
    const names = await readdir(this.dataDirectory);
    // A removal that a crash cut short after its rename.
    for (const name of names) if (removedName.test(name)) await this.removeFolder(name);
    return names.filter((name) => storeName.test(name)).sort();
  }

  private async removeWhole(name: string): Promise<void> {
    const removed = `${name}.removed`;
    await this.removeFolder(removed);
    if (!existsSync(join(this.dataDirectory, name))) return;
    await rename(join(this.dataDirectory, name), join(this.dataDirectory, removed));
    await this.syncNames();
    await this.removeFolder(removed);
  }

  private async removeFolder(name: string): Promise<void> {
    await rm(join(this.dataDirectory, name), { recursive: true, force: true });
  }

  private syncNames(): Promise<void> {
    return new Promise((resolve, reject) => {
      syncFolder(this.dataDirectory, '.', (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  private failed(action: string, cause: unknown): KvorumError {
    if (KvorumError.is(cause)) return cause;
    const { message, code } = asError(cause) as NodeJS.ErrnoException;
    const details = { path: this.dataDirectory, errno: code ?? message };
    return new KvorumError('DISK', `cannot ${action} ${this.dataDirectory}: ${message}`, { details, cause });
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
