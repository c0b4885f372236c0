// An `OrderedStore` in memory, for tests and the simulator. A batch takes effect all at once when its `done`
// is due, as if it had been made durable just then; a crash before that leaves nothing of it. Must never call
// back from inside a call, and never share bytes with the caller's buffers.

import { assert } from '../../src/base/assert.js';
import type { ByteString } from '../../src/base/bytes.js';
import type { Done } from '../../src/base/env.js';
import type { OpenStore, StoreOperation, StoreRange, StoreRecord, StoreView } from '../../src/kv/store.js';

/** Everything that a store holds, sorted by key. */
export type StoreSnapshot = readonly StoreRecord[];

export class MemoryStore implements OpenStore {
  private readonly defer: (callback: () => void) => void;
  private values = new Map<ByteString, Uint8Array>();
  /** The keys of `values`, ascending. */
  private keys: ByteString[] = [];
  private writing = false;
  private closed = false;

  /** `defer` runs a callback later: for a simulator, after the time that the operation takes. */
  constructor(defer: (callback: () => void) => void, snapshot: StoreSnapshot = []) {
    this.defer = defer;
    this.restore(snapshot);
  }

  getSync(key: ByteString): Uint8Array | undefined {
    return this.values.get(key);
  }

  fetchRange(
    range: StoreRange,
    done: (error: Error | undefined, records: readonly StoreRecord[]) => void,
  ): void {
    const from = this.position(range.start);
    const to = Math.max(from, this.position(range.end));
    const count = Math.min(range.limit, to - from);
    const keys = range.reverse
      ? this.keys.slice(to - count, to).reverse()
      : this.keys.slice(from, from + count);
    const records = keys.map((key) => ({ key, value: this.values.get(key) ?? new Uint8Array(0) }));
    this.defer(() => done(undefined, records));
  }

  fetchMany(
    keys: readonly ByteString[],
    done: (error: Error | undefined, values: readonly (Uint8Array | undefined)[]) => void,
  ): void {
    const values = keys.map((key) => this.values.get(key));
    this.defer(() => done(undefined, values));
  }

  writeBatch(operations: readonly StoreOperation[], done: Done): void {
    assert(!this.writing, 'a batch is under way already');
    this.writing = true;
    const copies = operations.map((operation) =>
      operation.type === 'put' ? { ...operation, value: new Uint8Array(operation.value) } : operation,
    );
    this.defer(() => {
      this.writing = false;
      for (const operation of copies) this.apply(operation);
      done(undefined);
    });
  }

  openView(): StoreView {
    assert(!this.closed, 'the store is closed');
    const copy = new MemoryStore(this.defer, this.snapshot());
    let isClosed = false;
    return {
      fetchRange: (range, done) => {
        if (isClosed || this.closed) this.defer(() => done(new Error('the view is closed'), []));
        else copy.fetchRange(range, done);
      },
      close: () => {
        isClosed = true;
      },
    };
  }

  bytesOnDisk(): number {
    return this.keys.length * 64;
  }

  close(done: Done): void {
    this.closed = true;
    this.defer(() => done(undefined));
  }

  /** What is durable now. Not affected by later writes. */
  snapshot(): StoreSnapshot {
    return this.keys.map((key) => ({ key, value: this.values.get(key) ?? new Uint8Array(0) }));
  }

  /** Replaces everything. No batch may be under way. */
  restore(snapshot: StoreSnapshot): void {
    assert(!this.writing, 'a batch is under way');
    this.keys = snapshot.map(({ key }) => key);
    this.values = new Map(snapshot.map(({ key, value }) => [key, value]));
  }

  private apply(operation: StoreOperation): void {
    const { key } = operation;
    const isKnown = this.values.has(key);
    if (operation.type === 'put') {
      if (!isKnown) this.keys.splice(this.position(key), 0, key);
      this.values.set(key, operation.value);
    } else if (isKnown) {
      this.keys.splice(this.position(key), 1);
      this.values.delete(key);
    }
  }

  /** How many keys are below `key`. */
  private position(key: ByteString): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.keys[middle] as ByteString) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
