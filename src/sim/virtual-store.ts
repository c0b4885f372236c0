// The ordered store of one virtual machine: what LevelDB with one synced batch at a time promises, and no
// more. What survives a crash is exactly the batches that were reported done, plus, by chance, the one
// under way; a batch under way may be visible to reads or not. Outlives the processes that use it. Source:
// src/kv/store.ts, design §4.

import { assert } from '../base/assert.js';
import type { ByteString } from '../base/bytes.js';
import type { Done } from '../base/env.js';
import type { OrderedStore, StoreOperation, StoreRange, StoreRecord } from '../kv/store.js';
import { Dice } from './dice.js';
import type { Scheduler } from './scheduler.js';
import { diskError } from './virtual-folders.js';
import type { VirtualProcess } from './virtual-process.js';

export interface StoreTimes {
  readonly readUsMean: number;
  readonly batchUsMin: number;
  readonly batchUsMean: number;
}

/** However slow: what is asked for before the healing is done soon after. */
const largestDelayUs = 3_000_000;

interface BatchUnderWay {
  readonly operations: readonly StoreOperation[];
  /** Present once the batch is visible: what it replaced, oldest first. */
  undo: { readonly key: ByteString; readonly value: Uint8Array | undefined }[] | undefined;
}

export class VirtualStore {
  private readonly scheduler: Scheduler;
  private readonly times: StoreTimes;
  private readonly dice: Dice;
  private readonly values = new Map<ByteString, Uint8Array>();
  /** The keys of `values`, ascending. */
  private readonly keys: ByteString[] = [];
  private batch: BatchUnderWay | undefined;
  /** Fault: the next batch fails; it may have been written or not. */
  failNextBatch = false;
  /** Fault: work is slower by this factor, 1 or more. */
  slowness = 1;
  /** Called before each batch; the world uses it to crash a process just before one. */
  onEffect: () => void = () => undefined;

  constructor(scheduler: Scheduler, seed: number, name: string, times: StoreTimes) {
    this.scheduler = scheduler;
    this.times = times;
    this.dice = new Dice(seed, `store ${name}`);
  }

  /** The store as `process` sees it. */
  attach(process: VirtualProcess): OrderedStore & { bytesOnDisk(): number } {
    return {
      getSync: (key) => this.values.get(key),
      fetchRange: (range, done) => {
        const records = this.range(range);
        this.later(process, this.times.readUsMean, () => done(undefined, records));
      },
      fetchMany: (keys, done) => {
        const values = keys.map((key) => this.values.get(key));
        this.later(process, this.times.readUsMean, () => done(undefined, values));
      },
      writeBatch: (operations, done) => this.writeBatch(process, operations, done),
      bytesOnDisk: () => this.values.size * 64,
    };
  }

  /** The process that used the store is gone. What it had under way is in whole or not at all. */
  crash(): void {
    const batch = this.batch;
    this.batch = undefined;
    if (batch === undefined) return;
    const survives = this.dice.chance(0.5);
    if (survives && batch.undo === undefined) this.apply(batch);
    if (!survives) this.revert(batch);
  }

  /** All records, ascending. */
  records(): StoreRecord[] {
    return this.keys.map((key) => ({ key, value: this.values.get(key) as Uint8Array }));
  }

  private writeBatch(process: VirtualProcess, operations: readonly StoreOperation[], done: Done): void {
    this.onEffect();
    if (!process.effective) return;
    assert(this.batch === undefined, 'a second batch was begun while one was under way');
    const batch: BatchUnderWay = { operations: [...operations], undo: undefined };
    this.batch = batch;
    if (this.dice.chance(0.5)) this.apply(batch);
    const { batchUsMin, batchUsMean } = this.times;
    this.later(process, batchUsMean, () => this.finish(batch, done), batchUsMin);
  }

  private finish(batch: BatchUnderWay, done: Done): void {
    if (this.failNextBatch) {
      this.failNextBatch = false;
      done(diskError('EIO', 'write a batch to', 'the store'));
      return;
    }
    if (batch.undo === undefined) this.apply(batch);
    this.batch = undefined;
    done(undefined);
  }

  private apply(batch: BatchUnderWay): void {
    batch.undo = [];
    for (const operation of batch.operations) {
      const { key } = operation;
      batch.undo.push({ key, value: this.values.get(key) });
      // Copied: the writer may reuse its buffers once the batch is done.
      this.put(key, operation.type === 'put' ? new Uint8Array(operation.value) : undefined);
    }
  }

  private revert(batch: BatchUnderWay): void {
    for (const { key, value } of (batch.undo ?? []).reverse()) this.put(key, value);
  }

  private put(key: ByteString, value: Uint8Array | undefined): void {
    const known = this.values.has(key);
    if (value !== undefined) {
      this.values.set(key, value);
      if (!known) this.keys.splice(this.position(key), 0, key);
    } else if (known) {
      this.values.delete(key);
      this.keys.splice(this.position(key), 1);
    }
  }

  private range({ start, end, limit, reverse }: StoreRange): StoreRecord[] {
    const first = this.position(start);
    const last = this.position(end);
    const from = reverse ? Math.max(first, last - limit) : first;
    const to = reverse ? last : Math.min(last, first + limit);
    const keys = this.keys.slice(from, Math.max(from, to));
    if (reverse) keys.reverse();
    return keys.map((key) => ({ key, value: this.values.get(key) as Uint8Array }));
  }

  /** The position of the first key that is not below `key`. */
  private position(key: ByteString): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.keys[middle] as ByteString) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private later(process: VirtualProcess, meanUs: number, action: () => void, minUs = 5): void {
    const delayUs = (minUs - Math.log(1 - this.dice.fraction()) * meanUs) * this.slowness;
    this.scheduler.schedule(Math.min(largestDelayUs, delayUs), 'store', process, action);
  }
}
