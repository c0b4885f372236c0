// Replicated tables: everything that is done with them goes over the registry. A second table, which only
// these tests know, is loaded, frozen, expired, hashed and sent as sessions are.

import { describe, expect, it } from 'vitest';
import { asBuffer, type ByteString } from '../../src/base/bytes.js';
import { defined } from '../../src/base/assert.js';
import type { Hash64 } from '../../src/base/hash.js';
import { KvorumError } from '../../src/base/errors.js';
import { kvLimits } from '../../src/kv/commands.js';
import { thisSoftware } from '../../src/kv/format-level.js';
import { isSealed, sealRecord } from '../../src/kv/records/record-check.js';
import type { RecordKind } from '../../src/kv/records/record-kind.js';
import { appliedKey, corrupt, decodeApplied } from '../../src/kv/records/schema.js';
import { SnapshotReader } from '../../src/kv/snapshot/reader.js';
import { prepareStaging } from '../../src/kv/snapshot/staging.js';
import type { SnapshotWriter } from '../../src/kv/snapshot/writer.js';
import { ContentHash, hashHex } from '../../src/kv/state-hash.js';
import type { StateMachine } from '../../src/kv/state-machine.js';
import type { StoreOperation } from '../../src/kv/store.js';
import { orderedKinds, tableKinds, type TableKinds } from '../../src/kv/tables/index.js';
import { hashTableRecord, type ReplicatedTable, type TableKind } from '../../src/kv/tables/table.js';
import { FakeStore } from './fake-store.js';
import { command, expireTables, machineOf, put } from './helpers.js';
import { appliedOf, eachChunk, historyOf, writeTo } from './snapshot-source.js';

const tickRecord: RecordKind<number> = {
  keys: 'Q/',
  inSnapshot: 'table',
  encode: (count) => {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32BE(count, 0);
    return sealRecord(bytes);
  },
  decode: (storeKey, record) => {
    if (record.length !== 8 || !isSealed(record)) throw corrupt(storeKey, 'is no tick');
    return asBuffer(record).readUInt32BE(0);
  },
};

/** Counts how often it was told to expire: one record each time, and those before the last three go. */
class TickTable implements ReplicatedTable {
  readonly hash = new ContentHash();
  readonly ticks = new Map<ByteString, number>();
  private readonly touched = new Set<ByteString>();
  private readonly stored = new Map<ByteString, [number, number]>();
  next = 1;

  get size(): number {
    return this.ticks.size;
  }

  get nextDeadlineMs(): number {
    return this.next * 100;
  }

  get groupBytes(): number {
    return 1_000 * this.touched.size;
  }

  restore(storeKey: ByteString, record: Uint8Array): void {
    const count = tickRecord.decode(storeKey, record);
    this.ticks.set(storeKey, count);
    this.next = Math.max(this.next, count + 1);
    this.store(storeKey, record);
  }

  expire(clusterTimeMs: number, effects: Hash64): void {
    if (clusterTimeMs < this.nextDeadlineMs) return;
    effects.number(this.next);
    const count = this.next++;
    this.set(keyOf(count), count);
    if (count > 3) this.set(keyOf(count - 3), undefined);
  }

  takeOperations(operations: StoreOperation[]): void {
    for (const key of this.touched) {
      const count = this.ticks.get(key);
      this.hash.subtract(...(this.stored.get(key) ?? [0, 0]));
      this.stored.delete(key);
      if (count === undefined) {
        operations.push({ type: 'delete', key });
        continue;
      }
      const value = tickRecord.encode(count);
      operations.push({ type: 'put', key, value });
      this.store(key, value);
    }
    this.touched.clear();
  }

  private set(key: ByteString, count: number | undefined): void {
    if (count === undefined) this.ticks.delete(key);
    else this.ticks.set(key, count);
    this.touched.add(key);
  }

  private store(key: ByteString, record: Uint8Array): void {
    const hash = hashTableRecord(key, record);
    this.stored.set(key, hash);
    this.hash.add(...hash);
  }
}

const keyOf = (count: number): ByteString => `Q/${String(count).padStart(6, '0')}`;

interface Ticks {
  readonly kind: TableKind<TickTable>;
  readonly kinds: TableKinds;
  table(): TickTable;
}

/** The kinds with a table more; `table` is the one that was made last. */
function withTicks(): Ticks {
  let made: TickTable | undefined;
  const kind: TableKind<TickTable> = { record: tickRecord, create: () => (made = new TickTable()) };
  return { kind, kinds: { ...tableKinds, ticks: kind }, table: () => defined(made, 'the table') };
}

function open(store: FakeStore, kinds: TableKinds): StateMachine {
  const machine = machineOf(store, thisSoftware, kinds);
  let outcome: Error | 'none' | undefined;
  machine.load((error) => (outcome = error ?? 'none'));
  store.drain();
  if (outcome !== 'none') throw outcome ?? new Error('load did not finish');
  return machine;
}

function errorOf(work: () => unknown): KvorumError {
  try {
    work();
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** Applies `count` entries at 100 ms each, which end what is over. */
function tick(machine: StateMachine, count: number, between: () => void = () => undefined): void {
  for (let i = 0; i < count; i++) {
    const index = machine.appliedIndex + 1;
    const times = { clusterTimeMs: index * 100, wallTimeMs: index };
    const write = command(put(`k${index}`, 'v'), 1, { session: `s${index}`, created: index * 100 });
    machine.applyEntry({ index, term: 1, times, commands: [expireTables, write] });
    between();
  }
}

function write(store: FakeStore, machine: StateMachine): void {
  const operations = machine.freeze();
  if (operations === undefined) return;
  store.writeBatch(operations, () => machine.writeResolved());
  store.drain();
}

const tablesHash = (store: FakeStore): string => {
  const { tablesHigh, tablesLow } = decodeApplied(appliedOf(store).value);
  return hashHex(tablesHigh, tablesLow);
};

describe('a table of the registry', () => {
  it('is frozen into groups, counted in their size, and read back at a start, page by page', () => {
    const { kinds, table } = withTicks();
    const store = new FakeStore();
    const machine = open(store, kinds);
    tick(machine, 5);
    expect(machine.activeBytes).toBeGreaterThan(5_000);
    write(store, machine);
    expect(machine.activeBytes).toBe(0);
    const keys = [...store.records.keys()].filter((key) => key.startsWith('Q/')).sort();
    expect(keys).toEqual([keyOf(3), keyOf(4), keyOf(5)]);
    const before = { ticks: [...table().ticks.values()], hash: machine.stateHash, next: 600 };
    const next = open(store.crash(false), kinds);
    expect({ ticks: [...table().ticks.values()], hash: next.stateHash, next: next.nextDeadlineMs }).toEqual(
      before,
    );
    expect(next.sizeOf('sessions')).toBe(5);
  });

  it('decides when something is over next, together with the others', () => {
    const { kinds, table } = withTicks();
    const machine = open(new FakeStore(), kinds);
    expect(machine.nextDeadlineMs).toBe(100);
    tick(machine, 1);
    expect(machine.nextDeadlineMs).toBe(200);
    table().next = 5_000;
    // Now it is the session, opened at 100.
    expect(machine.nextDeadlineMs).toBe(100 + kvLimits.sessionLifeMs);
    expect(open(new FakeStore(), tableKinds).nextDeadlineMs).toBeUndefined();
  });

  it('goes into the state hash when something of it ends', () => {
    const plain = open(new FakeStore(), tableKinds);
    const { kinds } = withTicks();
    const ticking = open(new FakeStore(), kinds);
    expect(plain.stateHash).toBe(ticking.stateHash);
    tick(plain, 1);
    tick(ticking, 1);
    expect(plain.stateHash).not.toBe(ticking.stateHash);
  });

  it('has the same running hash whatever the groups, after a restart, and as the sum of its records', () => {
    const { kinds, kind } = withTicks();
    const [lazyStore, eagerStore] = [new FakeStore(), new FakeStore()];
    const lazy = open(lazyStore, kinds);
    const eager = open(eagerStore, kinds);
    tick(lazy, 6);
    tick(eager, 3, () => write(eagerStore, eager));
    const restarted = open(eagerStore, kinds);
    tick(restarted, 3, () => write(eagerStore, restarted));
    write(lazyStore, lazy);
    expect(tablesHash(lazyStore)).toBe(tablesHash(eagerStore));
    const sum = new ContentHash();
    for (const [key, value] of lazyStore.records) {
      if (/^[QS]\//.test(key)) sum.add(...hashTableRecord(key, value));
    }
    expect(tablesHash(lazyStore)).toBe(hashHex(sum.high, sum.low));
    expect(kind.record.keys).toBe('Q/');
  });

  it.each([keyOf(3), 'S/'])('cannot lose a record of %s from a store without its being noticed', (prefix) => {
    const { kinds } = withTicks();
    const store = new FakeStore();
    const machine = open(store, kinds);
    tick(machine, 3);
    write(store, machine);
    const damaged = store.crash(false);
    const lost = [...damaged.records.keys()].find((key) => key.startsWith(prefix));
    damaged.records.delete(defined(lost, 'the record'));
    const error = errorOf(() => open(damaged, kinds));
    expect(error.code).toBe('CORRUPT');
    expect(error.message).toMatch(/the tables have hash [0-9a-f]{16}, but their records have/);
    expect(error.details['record']).toBe(appliedKey);
  });

  it('is sent with a snapshot after the history, in the order of all keys, and proven at its end', () => {
    const { kinds } = withTicks();
    const source = new FakeStore();
    const machine = open(source, kinds);
    tick(machine, 5);
    write(source, machine);
    const staging = new FakeStore();
    // What another snapshot left goes.
    staging.records.set(keyOf(77), tickRecord.encode(77));
    let writer: SnapshotWriter | undefined;
    prepareStaging(staging, (_error, made) => (writer = made), thisSoftware, kinds);
    staging.drain();
    const taken = defined(writer, 'the writer');
    expect(staging.records.has(keyOf(77))).toBe(false);
    writeTo(staging, taken.takeHistory(historyOf(source)));
    const reader = new SnapshotReader(source.openView(), { bytesMax: 60, recordsMax: 2 }, kinds);
    reader.beginHistory(taken.place);
    eachChunk(source, reader, () => true);
    reader.beginTables();
    const folders: string[] = [];
    let first = true;
    eachChunk(source, reader, (records) => {
      for (const { key } of records) folders.push(key.slice(0, 2));
      if (!first) expect(errorOf(() => taken.takeEnd([appliedOf(source)])).code).toBe('CORRUPT');
      first = false;
      writeTo(staging, taken.takeTables(records));
      return true;
    });
    expect(folders.join('')).toBe('Q/Q/Q/S/S/S/S/S/');
    writeTo(staging, taken.takeEnd([appliedOf(source)]).operations);
    const dump = (store: FakeStore): unknown =>
      [...store.records].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, [...value]]);
    expect(dump(staging)).toEqual(dump(source));
    expect(open(staging, kinds).stateHash).toBe(machine.stateHash);
  });

  it('is refused in a snapshot by a node that does not know it, and when it is damaged', () => {
    const record = { key: keyOf(1), value: tickRecord.encode(1) };
    const writerFor = (kinds: TableKinds): SnapshotWriter => {
      const store = new FakeStore();
      let writer: SnapshotWriter | undefined;
      prepareStaging(store, (_error, made) => (writer = made), thisSoftware, kinds);
      store.drain();
      return defined(writer, 'the writer');
    };
    const refusal = errorOf(() => writerFor(tableKinds).takeTables([record]));
    expect(refusal.code).toBe('PROTOCOL');
    expect(refusal.message).toMatch(/"Q\/000001" .* is of no table that this version knows/);
    const damaged = { ...record, value: new Uint8Array(8) };
    const error = errorOf(() => writerFor(withTicks().kinds).takeTables([damaged]));
    expect(error.message).toMatch(/cannot be read: .* is no tick/);
  });

  it('comes in the order of the keys, whatever the order of the registry', () => {
    const { kinds } = withTicks();
    expect(orderedKinds(kinds).map(({ record }) => record.keys)).toEqual(['Q/', 'S/']);
  });
});
