// The ordered store of one virtual machine: what LevelDB with one synced batch at a time promises, and no
// more. What survives a crash is exactly the batches that were reported done, plus, by chance, the one
// under way; a batch under way may be visible to reads or not. Outlives the processes that use it. Source:
// src/kv/store.ts.

import { assert, assertNever } from '../../../base/assert.js';
import type { ByteString } from '../../../base/bytes.js';
import type { Done } from '../../../base/env.js';
import type { OpenStore, StoreOperation, StoreRange, StoreRecord, StoreView } from '../../../kv/store.js';
import { Dice } from '../dice.js';
import type { Scheduler } from '../scheduler.js';
import { largestDelayUs } from './disk.js';
import { diskError } from './folders.js';
import type { VirtualProcess } from '../machine/process.js';

export interface StoreTimes {
  readonly readUsMean: number;
  readonly batchUsMin: number;
  readonly batchUsMean: number;
}

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
  /** Present while a closing waits for the batch under way. */
  private onIdle: (() => void) | undefined;
  /** Fault: the next batch fails; it may have been written or not. */
  failNextBatch = false;
  /** Fault: work is slower by this factor, 1 or more. */
  slowness = 1;
  /** Fault: nothing completes before this moment. Microseconds of virtual time. */
  stuckUntilUs = 0;
  /** Called before each batch; the world uses it to crash a process just before one. */
  onEffect: () => void = () => undefined;

  constructor(scheduler: Scheduler, seed: number, name: string, times: StoreTimes) {
    this.scheduler = scheduler;
    this.times = times;
    this.dice = new Dice(seed, `store ${name}`);
  }

  /** The store as `process` sees it. */
  attach(process: VirtualProcess): OpenStore {
    let isOpen = true;
    const open = (): void => assert(isOpen, 'the store is used after it was closed');
    return {
      getSync: (key) => {
        open();
        return this.values.get(key);
      },
      // A scan that goes on when its store has been closed hears of it, and nobody else.
      fetchRange: (range, done) => {
        const records = isOpen ? this.range(range) : [];
        const error = isOpen ? undefined : closedError();
        this.later(process, this.times.readUsMean, () => done(error, records));
      },
      fetchMany: (keys, done) => {
        const values = isOpen ? keys.map((key) => this.values.get(key)) : [];
        const error = isOpen ? undefined : closedError();
        this.later(process, this.times.readUsMean, () => done(error, values));
      },
      writeBatch: (operations, done) => {
        open();
        this.writeBatch(process, operations, done);
      },
      openView: () => {
        open();
        return this.openView(process, () => isOpen);
      },
      bytesOnDisk: () => this.values.size * 64,
      close: (done) => {
        open();
        isOpen = false;
        this.whenIdle(() => this.later(process, this.times.readUsMean, () => done(undefined)));
      },
    };
  }

  /** The process that used the store is gone. What it had under way is in whole or not at all. */
  crash(): void {
    const batch = this.batch;
    this.batch = undefined;
    this.onIdle = undefined;
    if (batch !== undefined) this.settle(batch);
  }

  /** The dice say whether the batch was written. */
  private settle(batch: BatchUnderWay): void {
    const survives = this.dice.chance(0.5);
    if (survives && batch.undo === undefined) this.apply(batch);
    if (!survives) this.revert(batch);
  }

  /** Fault: a bit of a value is another, silently. False when there is no such byte. */
  flipBit(key: ByteString, offset: number, bit: number): boolean {
    const byte = this.values.get(key)?.[offset];
    if (byte === undefined) return false;
    const rotten = new Uint8Array(this.values.get(key) ?? []);
    rotten[offset] = byte ^ (1 << bit);
    this.values.set(key, rotten);
    return true;
  }

  /** Fault: the store holds these records and no others. Only while no process runs. */
  replace(records: readonly StoreRecord[]): void {
    this.values.clear();
    this.keys.length = 0;
    for (const { key, value } of records) this.put(key, value);
  }

  /** All records, ascending. */
  records(): StoreRecord[] {
    return this.keys.map((key) => ({ key, value: this.values.get(key) as Uint8Array }));
  }

  private openView(process: VirtualProcess, isStoreOpen: () => boolean): StoreView {
    const keys = [...this.keys];
    const values = new Map(this.values);
    let isOpen = true;
    return {
      fetchRange: (range, done) => {
        const isUsable = isOpen && isStoreOpen();
        const records = isUsable ? selected(keys, values, range) : [];
        const error = isUsable ? undefined : diskError('EBADF', 'read a closed view of', 'the store');
        this.later(process, this.times.readUsMean, () => done(error, records));
      },
      close: () => {
        isOpen = false;
      },
    };
  }

  /** Calls `action` when no batch is under way. */
  private whenIdle(action: () => void): void {
    if (this.batch === undefined) action();
    else this.onIdle = action;
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

  /** A batch that fails is in whole or not at all, as one under way at a crash; then the store can close. */
  private finish(batch: BatchUnderWay, done: Done): void {
    this.batch = undefined;
    const fails = this.failNextBatch;
    this.failNextBatch = false;
    if (fails) this.settle(batch);
    else if (batch.undo === undefined) this.apply(batch);
    done(fails ? diskError('EIO', 'write a batch to', 'the store') : undefined);
    const { onIdle } = this;
    this.onIdle = undefined;
    onIdle?.();
  }

  private apply(batch: BatchUnderWay): void {
    batch.undo = [];
    for (const operation of batch.operations) {
      const { key } = operation;
      batch.undo.push({ key, value: this.values.get(key) });
      switch (operation.type) {
        case 'put':
          // Copied: the writer may reuse its buffers once the batch is done.
          this.put(key, new Uint8Array(operation.value));
          break;
        case 'delete':
          this.put(key, undefined);
          break;
        default:
          return assertNever(operation);
      }
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

  private range(range: StoreRange): StoreRecord[] {
    return selected(this.keys, this.values, range);
  }

  private position(key: ByteString): number {
    return positionIn(this.keys, key);
  }

  private later(process: VirtualProcess, meanUs: number, action: () => void, minUs = 5): void {
    const delayUs = (minUs - Math.log(1 - this.dice.fraction()) * meanUs) * this.slowness;
    const stuckUs = this.stuckUntilUs - this.scheduler.nowUs;
    this.scheduler.schedule(Math.max(stuckUs, Math.min(largestDelayUs, delayUs)), 'store', process, action);
  }
}

function closedError(): Error {
  return diskError('EBADF', 'read', 'the store, which is closed');
}

/** The records of a range; `keys` are those of `values`, ascending. */
function selected(
  keys: readonly ByteString[],
  values: ReadonlyMap<ByteString, Uint8Array>,
  { start, end, limit, reverse }: StoreRange,
): StoreRecord[] {
  const first = positionIn(keys, start);
  const last = positionIn(keys, end);
  const from = reverse ? Math.max(first, last - limit) : first;
  const to = reverse ? last : Math.min(last, first + limit);
  const found = keys.slice(from, Math.max(from, to));
  if (reverse) found.reverse();
  return found.map((key) => ({ key, value: values.get(key) as Uint8Array }));
}

/** The position of the first key that is not below `key`. */
function positionIn(keys: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as ByteString) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
