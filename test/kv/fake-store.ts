// An ordered store for tests whose work waits until the test lets it happen, one step at a time: a fetch sees
// the store as it was when it was called and answers later; a batch becomes visible at one step and resolves
// at another, so that reads meet every order that LevelDB's thread pool can produce.

import type { Done } from '../../src/base/env.js';
import type { OrderedStore, StoreOperation, StoreRange, StoreRecord, StoreView } from '../../src/kv/store.js';

export class FakeStore implements OrderedStore {
  records = new Map<string, Uint8Array>();
  getSyncCount = 0;
  private sortedKeys: string[] | undefined;
  private readonly tasks: (() => void)[] = [];
  private batch: (() => void) | undefined;

  getSync(key: string): Uint8Array | undefined {
    this.getSyncCount++;
    return this.records.get(key);
  }

  fetchRange(
    range: StoreRange,
    done: (error: Error | undefined, records: readonly StoreRecord[]) => void,
  ): void {
    const keys = (this.sortedKeys ??= [...this.records.keys()].sort());
    const found: StoreRecord[] = [];
    const from = keys.findIndex((key) => key >= range.start);
    const inRange = from < 0 ? [] : keys.slice(from);
    const end = inRange.findIndex((key) => key >= range.end);
    const selected = end < 0 ? inRange : inRange.slice(0, end);
    if (range.reverse) selected.reverse();
    for (const key of selected.slice(0, range.limit)) found.push({ key, value: this.read(key) });
    this.tasks.push(() => done(undefined, found));
  }

  fetchMany(
    keys: readonly string[],
    done: (error: Error | undefined, values: readonly (Uint8Array | undefined)[]) => void,
  ): void {
    const values = keys.map((key) => this.records.get(key));
    this.tasks.push(() => done(undefined, values));
  }

  writeBatch(operations: readonly StoreOperation[], done: Done): void {
    if (this.batch !== undefined) throw new Error('two batches are under way');
    this.batch = () => {
      this.batch = undefined;
      for (const operation of operations) {
        if (operation.type === 'put') this.records.set(operation.key, new Uint8Array(operation.value));
        else this.records.delete(operation.key);
      }
      this.sortedKeys = undefined;
      this.tasks.push(() => done(undefined));
    };
    this.tasks.push(() => this.batch?.());
  }

  openView(): StoreView {
    const copy = new FakeStore();
    copy.records = new Map(this.records);
    return {
      fetchRange: (range, done) => {
        copy.fetchRange(range, done);
        this.tasks.push(() => copy.drain());
      },
      close: () => undefined,
    };
  }

  get waiting(): number {
    return this.tasks.length;
  }

  /** Lets one waiting step happen; `choice` picks which. */
  step(choice = 0): void {
    const [task] = this.tasks.splice(choice % Math.max(1, this.tasks.length), 1);
    task?.();
  }

  /** Lets everything happen, in order. */
  drain(): void {
    while (this.tasks.length > 0) this.step();
  }

  /** What a new process finds. A batch under way survives in whole or not at all. */
  crash(batchSurvives: boolean): FakeStore {
    if (batchSurvives) this.batch?.();
    const next = new FakeStore();
    next.records = new Map(this.records);
    return next;
  }

  private read(key: string): Uint8Array {
    return this.records.get(key) ?? new Uint8Array(0);
  }
}
