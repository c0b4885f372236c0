// The store that a snapshot is received into: opened when first needed, prepared for each snapshot, closed
// when it has failed. Must never have two things asked of it at once: what follows waits until `isBusy` is
// over.

import { assert, defined } from '../../base/assert.js';
import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Software } from '../../kv/format-level.js';
import { prepareStaging } from '../../kv/snapshot/staging.js';
import type { SnapshotWriter } from '../../kv/snapshot/writer.js';
import type { OpenStore, StoreOperation, Stores } from '../../kv/store.js';
import { tableKinds } from '../../kv/tables/index.js';

export class StagingStore {
  private readonly stores: Stores;
  private readonly software: Software;
  private readonly currentName: () => string;
  /** Invariant: `name` is the store's, also when `currentName` gives another one meanwhile. */
  private opened: { readonly name: string; readonly store: OpenStore } | undefined;
  private preparedWriter: SnapshotWriter | undefined;
  private busy = false;

  /** `currentName` names the store to open next, or to remove if none is open. */
  constructor(stores: Stores, software: Software, currentName: () => string) {
    this.stores = stores;
    this.software = software;
    this.currentName = currentName;
  }

  get isBusy(): boolean {
    return this.busy;
  }

  /** The writer of the last `prepare`; `undefined` before it and once the store is closed. */
  get writer(): SnapshotWriter | undefined {
    return this.preparedWriter;
  }

  /**
   * Opens the store if it is not open, and makes it ready for a snapshot. `CORRUPT`, or the store's errors.
   */
  prepare(done: Done): void {
    this.preparedWriter = undefined;
    const finish = this.begin(done);
    this.open((error, store) => {
      if (store === undefined) return finish(error);
      const prepared = (failure: Error | undefined, writer: SnapshotWriter | undefined): void => {
        this.preparedWriter = writer;
        finish(failure);
      };
      prepareStaging(store, prepared, this.software, tableKinds);
    });
  }

  write(operations: readonly StoreOperation[], done: Done): void {
    const { store } = defined(this.opened, 'the staging store');
    store.writeBatch(operations, this.begin(done));
  }

  /** Closes the store if it is open; it stays on disk. Gives its name. */
  close(done: (error: Error | undefined, name: string) => void): void {
    const { opened } = this;
    const name = opened?.name ?? this.currentName();
    this.opened = undefined;
    this.preparedWriter = undefined;
    const finish = this.begin((error) => done(error, name));
    if (opened === undefined) finish(undefined);
    else opened.store.close(finish);
  }

  /** Closes the store if it is open, and removes it. */
  remove(done: Done): void {
    this.close((_error, name) => this.stores.remove(name, this.begin(done)));
  }

  /** Removes the store if there is one on disk. It is not in use. `removed`: there was one. */
  removeLeftOver(done: (error: Error | undefined, removed: boolean) => void): void {
    const finish = this.begin(() => undefined);
    this.stores.list((error, names) => {
      finish(undefined);
      if (error !== undefined || !names.includes(this.currentName())) return done(error, false);
      this.remove((failure) => done(failure, failure === undefined));
    });
  }

  private open(done: (error: Error | undefined, store: OpenStore | undefined) => void): void {
    if (this.opened !== undefined) return done(undefined, this.opened.store);
    const name = this.currentName();
    this.stores.open(name, (error, store) => {
      if (store !== undefined) this.opened = { name, store };
      done(error ?? missing(store, name), store);
    });
  }

  private begin(done: Done): Done {
    assert(!this.busy, 'two things are asked of the staging store at once');
    this.busy = true;
    return (error) => {
      this.busy = false;
      done(error);
    };
  }
}

function missing(store: OpenStore | undefined, name: string): KvorumError | undefined {
  return store === undefined ? new KvorumError('DISK', `the store ${name} was not opened`) : undefined;
}
