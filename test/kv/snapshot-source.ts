// Stores to take snapshots of: random entries applied by a real state machine, in groups that end where the
// test says, and the way of a snapshot from a view into a staging store, step by step.

import fc from 'fast-check';
import { defined } from '../../src/base/assert.js';
import type { ClientOperation, Command } from '../../src/kv/commands.js';
import { appliedKey, placeOf } from '../../src/kv/records/schema.js';
import { SnapshotReader, type ChunkLimits } from '../../src/kv/snapshot/reader.js';
import { thisSoftware } from '../../src/kv/format-level.js';
import { prepareStaging } from '../../src/kv/snapshot/staging.js';
import type { SnapshotWriter } from '../../src/kv/snapshot/writer.js';
import type { EntryToApply } from '../../src/kv/state-machine.js';
import type { StoreOperation, StoreRecord } from '../../src/kv/store.js';
import { FakeStore } from './fake-store.js';
import { tableKinds } from '../../src/kv/tables/index.js';
import { openMachine, sessionId } from './helpers.js';

const keys = ['', 'a', 'a\x00', 'ab', 'b', '\xff', '\xff\xff'];
const keyOf = fc.constantFrom(...keys);

const operationOf: fc.Arbitrary<ClientOperation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(keyOf, fc.uint8Array({ maxLength: 30 }))
      .map(([key, value]) => ({ kind: 'put' as const, key, value })),
  },
  { weight: 3, arbitrary: keyOf.map((key) => ({ kind: 'delete' as const, key })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(keyOf, fc.option(keyOf, { nil: undefined }))
      .map(([start, end]) => ({ kind: 'deleteRange' as const, start, end })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'closeSession' as const }) },
);

interface Step {
  readonly stepMs: number;
  readonly writes: readonly { readonly session: number; readonly operation: ClientOperation }[];
  readonly expires: boolean;
}

const stepOf: fc.Arbitrary<Step> = fc.record({
  stepMs: fc.constantFrom(0, 1, 500, 25_000),
  writes: fc.array(fc.record({ session: fc.nat(3), operation: operationOf }), { maxLength: 4 }),
  expires: fc.boolean(),
});

/** Entries in which sessions open, acknowledge, close, expire and are followed by others. */
export const entriesOf: fc.Arbitrary<EntryToApply[]> = fc
  .array(stepOf, { minLength: 1, maxLength: 25 })
  .map((steps) => toEntries(steps));

function toEntries(steps: readonly Step[]): EntryToApply[] {
  let nowMs = 0;
  const sessions = new Map<number, { readonly created: number; readonly id: string; sequence: number }>();
  return steps.map(({ stepMs, writes, expires }, position) => {
    nowMs += stepMs;
    const commands: Command[] = expires ? [{ kind: 'expireTables' }] : [];
    for (const { session, operation } of writes) {
      let open = sessions.get(session);
      if (open === undefined || nowMs - open.created > 40_000 || operation.kind === 'closeSession') {
        open = { created: nowMs, id: `${session}@${position}.${commands.length}`, sequence: 0 };
        sessions.set(session, open);
      }
      open.sequence++;
      commands.push({
        kind: 'client',
        session: {
          sessionId: sessionId(open.id),
          createdClusterTimeMs: open.created,
          sequence: open.sequence,
          acknowledgedThrough: open.sequence - 1 - (open.sequence % 3),
        },
        operation,
      });
    }
    const times = { clusterTimeMs: nowMs, wallTimeMs: nowMs };
    return { index: position + 1, term: 1 + Math.floor(position / 5), times, commands };
  });
}

/**
 * What a replica holds durably that applied these entries, with a group after each where `endsGroup` is true.
 */
export function storeOf(entries: readonly EntryToApply[], endsGroup: (index: number) => boolean): FakeStore {
  const store = new FakeStore();
  const machine = openMachine(store);
  const write = (): void => {
    const operations = machine.freeze();
    if (operations === undefined) return;
    store.writeBatch(operations, () => machine.writeResolved());
    store.drain();
  };
  for (const entry of entries) {
    for (;;) {
      const step = machine.applyEntry(entry);
      if (step.kind === 'done') break;
      store.fetchRange(step.range, (_error, records) => machine.provide(step.range, records));
      store.drain();
    }
    if (endsGroup(entry.index)) write();
  }
  write();
  return store;
}

/** All records of a store as text, ascending: equal when the stores hold the same bytes. */
export function dump(store: FakeStore): string[] {
  return [...store.records]
    .map(([key, value]) => `${JSON.stringify(key)} ${Buffer.from(value).toString('hex')}`)
    .sort();
}

export function prepared(store: FakeStore): SnapshotWriter {
  let failure: Error | undefined;
  let writer: SnapshotWriter | undefined;
  const take = (error: Error | undefined, found: SnapshotWriter | undefined): void => {
    failure = error;
    writer = found;
  };
  prepareStaging(store, take, thisSoftware, tableKinds);
  store.drain();
  if (failure !== undefined) throw failure;
  return defined(writer, 'the writer');
}

export function writeTo(store: FakeStore, operations: readonly StoreOperation[]): void {
  store.writeBatch(operations, () => undefined);
  store.drain();
}

/** All chunks of a part, one after the other; `take` returns false to stop. Whether it was not stopped. */
export function eachChunk(
  source: FakeStore,
  reader: SnapshotReader,
  take: (records: readonly StoreRecord[]) => boolean,
): boolean {
  for (;;) {
    const taken = reader.take();
    if (taken === 'end') return true;
    if (taken !== 'fill') {
      if (!take(taken)) return false;
      continue;
    }
    let failure: Error | undefined;
    reader.fill((error) => (failure = error));
    source.drain();
    if (failure !== undefined) throw failure;
  }
}

export interface Leg {
  readonly source: FakeStore;
  /** Stops after this many chunks; the staging store is then as a crash leaves it. */
  readonly chunksMax: number;
  readonly limits: ChunkLimits;
}

/** One sending into `staging`. Whether it came to its end. */
export function runLeg(staging: FakeStore, { source, chunksMax, limits }: Leg): boolean {
  const writer = prepared(staging);
  const reader = new SnapshotReader(source.openView(), limits, tableKinds);
  let found: { readonly revision: number; readonly record: StoreRecord } | undefined;
  reader.readApplied((error, applied) => {
    if (applied === undefined) throw error ?? new Error('no applied record');
    found = { revision: applied.applied.revision, record: applied.record };
  });
  source.drain();
  const { revision, record } = defined(found, 'the applied record');
  // A sender whose store is behind what the receiver has waits for its own store.
  if (writer.place.revision > revision) return false;
  reader.beginHistory(writer.place);
  let chunks = 0;
  const write = (operations: readonly StoreOperation[]): boolean => {
    if (chunks >= chunksMax) return false;
    chunks++;
    writeTo(staging, operations);
    return true;
  };
  const isHistorySent = eachChunk(source, reader, (records) => write(writer.takeHistory(records)));
  if (!isHistorySent) return false;
  reader.beginTables();
  if (!eachChunk(source, reader, (records) => write(writer.takeTables(records)))) return false;
  if (!write(writer.takeEnd([record]).operations)) return false;
  reader.close();
  return true;
}

/** Every record of history in a store, ascending. */
export function historyOf(store: FakeStore): StoreRecord[] {
  return [...store.records]
    .filter(([key]) => placeOf(key) !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ key, value }));
}

export function appliedOf(store: FakeStore): StoreRecord {
  return { key: appliedKey, value: store.records.get(appliedKey) ?? new Uint8Array(0) };
}
