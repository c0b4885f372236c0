// Snapshots against the stores that they were taken of: however a snapshot is cut, whoever sends its parts
// and wherever it is interrupted, the receiver ends with the very same records; and what does not belong to
// it is refused.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defined } from '../../src/base/assert.js';
import { KvorumError } from '../../src/base/errors.js';
import { sealRecord } from '../../src/kv/records/record-check.js';
import {
  appliedKey,
  decodeApplied,
  decodeLive,
  encodeApplied,
  liveKey,
  sessionKey,
  stagingKey,
  tombstoneKey,
  versionKey,
} from '../../src/kv/records/schema.js';
import { hashDeletion, hashRecord } from '../../src/kv/state-hash.js';
import { SnapshotWriter } from '../../src/kv/snapshot/writer.js';
import { SnapshotReader } from '../../src/kv/snapshot/reader.js';
import { thisSoftware } from '../../src/kv/format-level.js';
import type { EntryToApply } from '../../src/kv/state-machine.js';
import { tableKinds } from '../../src/kv/tables/index.js';
import type { StoreRecord } from '../../src/kv/store.js';
import { encodeVersion } from '../../src/kv/records/version-record.js';
import { FakeStore } from './fake-store.js';
import { Bench, bytes, command, del, deleteRange, put, sessionId } from './helpers.js';
import {
  dump,
  appliedOf,
  eachChunk,
  entriesOf,
  historyOf,
  prepared,
  runLeg,
  storeOf,
  writeTo,
} from './snapshot-source.js';

const limitsOf = fc.record({
  bytesMax: fc.constantFrom(1, 60, 150, 100_000),
  recordsMax: fc.integer({ min: 1, max: 9 }),
});
const wide = { bytesMax: 100_000, recordsMax: 1_000 };

function sessionsOf(store: FakeStore): StoreRecord[] {
  return [...store.records]
    .filter(([key]) => key.startsWith('S/'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => ({ key, value }));
}

/** A store with keys that live, died, came again, and came and went within one group. */
function sampleStore(): FakeStore {
  const bench = new Bench();
  bench.runAll([put('a', '1'), put('b', '1'), put('c', '1'), put('d', '1')]);
  bench.write();
  bench.runAll([del('a'), del('b'), put('c', '2')]);
  bench.write();
  bench.runAll([put('a', '3'), put('e', '1'), del('e')]);
  bench.one(command(put('f', '1'), 1, { session: 'other' }));
  bench.write();
  bench.runAll([deleteRange('c', 'e'), put('d', '9')]);
  bench.write();
  return bench.store;
}

function errorOf(action: () => unknown): KvorumError {
  try {
    action();
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('a snapshot', () => {
  it('makes the same records as those of its source, from any senders, with any interruptions', () => {
    const property = fc.property(
      entriesOf,
      fc.array(fc.boolean(), { minLength: 25, maxLength: 25 }),
      fc.array(fc.record({ entries: fc.nat(25), chunksMax: fc.nat(12), limits: limitsOf }), { maxLength: 6 }),
      limitsOf,
      (entries: EntryToApply[], groups, legs, limits) => {
        let staging = new FakeStore();
        for (const [at, leg] of legs.entries()) {
          // Replicas end their groups at different entries, and are at different entries.
          const applied = entries.slice(0, 1 + (leg.entries % entries.length));
          const source = storeOf(applied, (index) => groups[(index + at) % groups.length] ?? false);
          if (runLeg(staging, { ...leg, source })) expect(dump(staging)).toEqual(dump(source));
          staging = staging.crash(false);
        }
        const source = storeOf(entries, (index) => groups[index % groups.length] ?? false);
        expect(runLeg(staging, { source, chunksMax: Infinity, limits })).toBe(true);
        expect(dump(staging)).toEqual(dump(source));
        expect(dump(source)).toEqual(dump(storeOf(entries, () => true)));
      },
    );
    fc.assert(property, { numRuns: 250 });
  });

  it('goes on with what came since on a newer view', () => {
    fc.assert(
      fc.property(entriesOf, fc.nat(24), limitsOf, (entries, older, limits) => {
        const first = storeOf(entries.slice(0, 1 + (older % entries.length)), () => true);
        const newest = storeOf(entries, (index) => index % 3 === 0);
        const staging = new FakeStore();
        const writer = prepared(staging);
        const oldReader = new SnapshotReader(first.openView(), limits, tableKinds);
        oldReader.beginHistory(writer.place);
        eachChunk(first, oldReader, (records) => {
          writeTo(staging, writer.takeHistory(records));
          return true;
        });
        const reader = new SnapshotReader(newest.openView(), limits, tableKinds);
        reader.beginHistory(writer.place);
        eachChunk(newest, reader, (records) => {
          writeTo(staging, writer.takeHistory(records));
          return true;
        });
        reader.beginTables();
        eachChunk(newest, reader, (records) => {
          writeTo(staging, writer.takeTables(records));
          return true;
        });
        writeTo(staging, writer.takeEnd([appliedOf(newest)]).operations);
        expect(dump(staging)).toEqual(dump(newest));
      }),
      { numRuns: 80 },
    );
  });

  it('that arrived in full and was not installed is continued by the next one', () => {
    const bench = new Bench();
    bench.run(put('a', '1'));
    bench.run(deleteRange('', undefined));
    bench.write();
    const staging = new FakeStore();
    expect(runLeg(staging, { source: bench.store, chunksMax: Infinity, limits: wide })).toBe(true);
    bench.run(put('a', '2'));
    bench.write();
    expect(prepared(staging).place).toEqual({ revision: 2, sub: 0 });
    expect(staging.records.has(appliedKey)).toBe(false);
    expect(runLeg(staging, { source: bench.store, chunksMax: Infinity, limits: wide })).toBe(true);
    expect(dump(staging)).toEqual(dump(bench.store));
  });

  it('of an empty state is empty', () => {
    const bench = new Bench();
    bench.entry();
    bench.write();
    const staging = new FakeStore();
    expect(runLeg(staging, { source: bench.store, chunksMax: Infinity, limits: wide })).toBe(true);
    expect([...staging.records.keys()]).toEqual([appliedKey]);
  });

  it('brings a key that came again without its tombstone', () => {
    const source = sampleStore();
    const staging = new FakeStore();
    // One record a batch: the tombstone is in the store when the key comes again.
    expect(runLeg(staging, { source, chunksMax: Infinity, limits: { bytesMax: 1, recordsMax: 1 } })).toBe(
      true,
    );
    expect(staging.records.has(liveKey('a'))).toBe(true);
    expect(staging.records.has(tombstoneKey('a'))).toBe(false);
    expect(dump(staging)).toEqual(dump(source));
  });
});

describe('the writer refuses', () => {
  const refusedHistory = (change: (records: StoreRecord[]) => StoreRecord[]): KvorumError => {
    const staging = new FakeStore();
    const writer = prepared(staging);
    const records = change(historyOf(sampleStore()));
    const error = errorOf(() => writer.takeHistory(records));
    // Nothing has changed: the right records are still taken.
    expect(writer.place).toEqual({ revision: 0, sub: 0 });
    writeTo(staging, writer.takeHistory(historyOf(sampleStore())));
    expect(errorOf(() => writer.takeEnd([])).code).toBe('PROTOCOL');
    writeTo(staging, writer.takeTables(sessionsOf(sampleStore())));
    writer.takeEnd([appliedOf(sampleStore())]);
    return error;
  };

  it.each([
    ['a gap', (records: StoreRecord[]) => records.toSpliced(3, 1), /V\/5\.0 .* does not follow on 3\.0/],
    ['a missing beginning', (records: StoreRecord[]) => records.slice(1), /does not follow on 0\.0/],
    [
      'a record twice',
      (records: StoreRecord[]) => records.toSpliced(2, 0, ...records.slice(2, 3)),
      /follow on 3\.0/,
    ],
    ['the wrong order', (records: StoreRecord[]) => records.toReversed(), /does not follow on 0\.0/],
    [
      'a gap within a revision',
      (records: StoreRecord[]) => records.filter(({ key }) => key !== versionKey(12, 0)),
      /does not follow on 11\.0/,
    ],
    [
      'a record of another folder',
      (records: StoreRecord[]) => [...records, { key: liveKey('a'), value: bytes('x') }],
      /"L\/a" .* is not of history/,
    ],
    [
      'a record cut short',
      (records: StoreRecord[]) => records.map(({ key, value }) => ({ key, value: value.subarray(0, 20) })),
      /cannot be read: .* has only 20 bytes/,
    ],
    [
      'an unknown kind',
      (records: StoreRecord[]) =>
        records.map(({ key, value }) => ({ key, value: Uint8Array.from([7, ...value.subarray(1)]) })),
      /unknown kind 7/,
    ],
  ])('%s in history', (_name, change, words) => {
    const error = refusedHistory(change);
    expect(error.message).toMatch(words);
    expect(error.code).toBe('PROTOCOL');
  });

  it('a version that does not replace the newest one of its key', () => {
    const version = {
      key: 'a',
      value: bytes('1'),
      deleted: false,
      sub: 0,
      createRevision: 1,
      version: 1,
      leaseId: 0,
      valueBytes: 1,
      previousSub: 0,
      previousValueBytes: 0,
      clearsTombstone: false,
    };
    const record = (
      revision: number,
      previousRevision: number,
      deleted = false,
      previousBytes = previousRevision === 0 ? 0 : 1,
    ): StoreRecord => {
      const [hashHigh, hashLow] = deleted
        ? hashDeletion('a', revision)
        : hashRecord('a', version.value, 1, revision, 1, 0);
      const value = encodeVersion({
        ...version,
        ...(deleted ? { value: bytes(''), createRevision: 0, version: 0 } : {}),
        ...{ modRevision: revision, previousRevision, deleted, hashHigh, hashLow },
        previousValueBytes: previousBytes,
      });
      return { key: versionKey(revision, 0), value };
    };
    const refused = (...records: StoreRecord[]): KvorumError => {
      const writer = prepared(new FakeStore());
      return errorOf(() => writer.takeHistory(records));
    };
    // Within a batch, and a tombstone of what is not there.
    expect(refused(record(1, 0), record(2, 0)).message).toMatch(/replaces 0\.0, but .* is 1\.0/);
    expect(refused(record(1, 0, true)).message).toMatch(/replaces 0\.0, but .* is 0\.0/);
    expect(refused(record(1, 0), record(2, 1, true), record(3, 2, true, 0)).message).toMatch(/replaces 2\.0/);
    // What it says of the value before it must be so.
    expect(refused(record(1, 0), record(2, 1, false, 7)).code).toBe('CORRUPT');
    // In the store.
    const staging = new FakeStore();
    const writer = prepared(staging);
    writeTo(staging, writer.takeHistory([record(1, 0), record(2, 1)]));
    const error = errorOf(() => writer.takeHistory([record(3, 1)]));
    expect(error.code).toBe('CORRUPT');
    expect(error.message).toMatch(/replaces 1\.0, but .* is 2\.0/);
    writer.takeHistory([record(3, 2)]);
  });

  it('sessions in the wrong order, of the wrong kind or malformed, and history after them', () => {
    const source = sampleStore();
    const sessions = sessionsOf(source);
    expect(sessions).toHaveLength(2);
    const nothing = { revision: 0, sub: 0, contentHigh: 0, contentLow: 0 };
    const writer = new SnapshotWriter(new FakeStore(), nothing, thisSoftware, tableKinds);
    expect(errorOf(() => writer.takeTables(sessions.toReversed())).message).toMatch(/does not come after/);
    const other = [{ key: 'T/x', value: bytes('') }];
    expect(errorOf(() => writer.takeTables(other)).message).toMatch(/"T\/x" .* is of no table/);
    const damaged = [{ key: sessionKey(sessionId('x')), value: bytes('short') }];
    expect(errorOf(() => writer.takeTables(damaged)).message).toMatch(/cannot be read: .* only 5 bytes/);
    writer.takeTables(sessions);
    expect(errorOf(() => writer.takeTables(sessions)).code).toBe('PROTOCOL');
    expect(errorOf(() => writer.takeHistory(historyOf(source))).message).toMatch(/comes after tables/);
  });

  it('an end that is not what its records add up to, naming both hashes', () => {
    const source = sampleStore();
    const history = historyOf(source);
    const applied = appliedOf(source);
    const { contentHigh, ...rest } = decodeApplied(applied.value);
    const otherHash = { key: appliedKey, value: encodeApplied({ ...rest, contentHigh: contentHigh ^ 1 }) };
    const otherRevision = {
      key: appliedKey,
      value: encodeApplied({ ...rest, contentHigh, revision: rest.revision + 1 }),
    };
    const writer = prepared(new FakeStore());
    writer.takeHistory(history);
    const [first, ...others] = sessionsOf(source);
    writer.takeTables([defined(first, 'a session')]);
    // One record of a table is not there yet.
    const missing = errorOf(() => writer.takeEnd([applied]));
    expect(missing.code).toBe('CORRUPT');
    expect(missing.message).toMatch(/revision 13 and hash of its tables [0-9a-f]{16}, its records have/);
    writer.takeTables(others);
    const tooHigh = { key: appliedKey, value: encodeApplied({ ...rest, contentHigh, formatLevel: 2 }) };
    const format = errorOf(() => writer.takeEnd([tooHigh]));
    expect(format.code).toBe('FORMAT');
    expect(format.message).toMatch(/format level 2; .* knows 1: upgrade this node/);
    const error = errorOf(() => writer.takeEnd([otherHash]));
    const { expected, found } = error.details as { expected: string; found: string };
    expect(error.code).toBe('CORRUPT');
    expect(expected).not.toBe(found);
    expect(error.message).toContain(expected);
    expect(error.message).toContain(found);
    expect(errorOf(() => writer.takeEnd([otherRevision])).message).toMatch(
      /has revision 14 .* have revision 13/,
    );
    for (const records of [[], [applied, applied], history.slice(0, 1)]) {
      expect(errorOf(() => writer.takeEnd(records)).code).toBe('PROTOCOL');
    }
    const newer = Uint8Array.from(applied.value);
    newer[3] = 9;
    sealRecord(Buffer.from(newer.buffer));
    expect(errorOf(() => writer.takeEnd([{ key: appliedKey, value: newer }])).message).toMatch(
      /newer kvorum/,
    );
    expect(writer.takeEnd([applied]).applied.appliedIndex).toBe(rest.appliedIndex);
  });

  it('any value of any record changed, at the latest at the end', () => {
    const source = sampleStore();
    const history = historyOf(source);
    const current = [...source.records].flatMap(([name, record]) => {
      const head = name.startsWith('L/') ? decodeLive(record, name) : undefined;
      return head === undefined ? [] : [versionKey(head.modRevision, head.sub)];
    });
    const isReplaced = (key: string): boolean => !current.includes(key) && source.records.get(key)?.[0] === 1;
    let atOnce = 0;
    for (const [at, { key, value }] of history.entries()) {
      for (let byte = 0; byte < value.length; byte++) {
        const changed = Uint8Array.from(value);
        changed[byte] = (changed[byte] ?? 0) ^ 4;
        const writer = prepared(new FakeStore());
        const records = history.with(at, { key, value: changed });
        try {
          writer.takeHistory(records);
        } catch (error) {
          if (!KvorumError.is(error)) throw error;
          atOnce++;
          continue;
        }
        // What a value was before it was replaced is not part of the sum: there the chunk's hash is
        // what finds it.
        if (!isReplaced(key)) expect(errorOf(() => writer.takeEnd([appliedOf(source)])).code).toBe('CORRUPT');
      }
    }
    expect(atOnce).toBeGreaterThan(100);
  });
});

describe('a staging store', () => {
  const partOf = (source: FakeStore, chunksMax: number): FakeStore => {
    const staging = new FakeStore();
    expect(runLeg(staging, { source, chunksMax, limits: { bytesMax: 1, recordsMax: 1 } })).toBe(false);
    return staging;
  };

  it('is CORRUPT when its last record is not the one it speaks of', () => {
    const staging = partOf(sampleStore(), 5);
    staging.records.delete(versionKey(5, 0));
    expect(errorOf(() => prepared(staging.crash(false))).message).toMatch(
      /speaks of 5\.0, but history ends at 4\.0/,
    );
    const other = partOf(sampleStore(), 5);
    other.records.delete(stagingKey);
    expect(errorOf(() => prepared(other.crash(false))).code).toBe('CORRUPT');
    const damaged = partOf(sampleStore(), 5);
    damaged.records.set(stagingKey, bytes('damaged'));
    expect(errorOf(() => prepared(damaged.crash(false))).code).toBe('CORRUPT');
  });

  it('holds no sessions and no applied record when a snapshot begins', () => {
    const source = sampleStore();
    const staging = new FakeStore();
    expect(runLeg(staging, { source, chunksMax: Infinity, limits: wide })).toBe(true);
    for (let i = 0; i < 200; i++) staging.records.set(sessionKey(sessionId(`left ${i}`)), bytes('x'));
    const again = staging.crash(false);
    prepared(again);
    const names = [...again.records.keys()];
    expect(names.filter((key) => key.startsWith('S/') || key === appliedKey)).toEqual([]);
    expect(names).toContain(stagingKey);
    expect(runLeg(again, { source, chunksMax: Infinity, limits: wide })).toBe(true);
    expect(dump(again)).toEqual(dump(source));
  });
});

describe('the reader', () => {
  it('holds no more than a chunk and a page, and asks for small pages of large records', () => {
    const bench = new Bench();
    for (let i = 0; i < 60; i++) bench.run(put(`small ${i}`, 'x'.repeat(100)));
    for (let i = 0; i < 40; i++) bench.run(put(`large ${i}`, 'x'.repeat(50_000)));
    for (let i = 0; i < 60; i++) bench.run(put(`small ${i}`, 'y'.repeat(100)));
    bench.write();
    const pages: number[] = [];
    const view = bench.store.openView();
    const reader = new SnapshotReader(
      {
        fetchRange: (range, done) => {
          pages.push(range.limit);
          view.fetchRange(range, done);
        },
        close: () => view.close(),
      },
      { bytesMax: 20_000, recordsMax: 50 },
      tableKinds,
    );
    reader.beginHistory({ revision: 0, sub: 0 });
    let most = 0;
    let records = 0;
    eachChunk(bench.store, reader, (chunk) => {
      const size = chunk.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
      most = Math.max(most, reader.bytesHeld + size);
      expect(size <= 20_000 || chunk.length === 1).toBe(true);
      expect(chunk.length).toBeLessThanOrEqual(50);
      records += chunk.length;
      return true;
    });
    expect(records).toBe(160);
    // The first page of large records was asked for as if they were small; 32 of them at most.
    expect(most).toBeLessThan(20_000 + 33 * 50_100);
    expect(Math.max(...pages)).toBe(32);
    expect(pages).toContain(1);
  });
});
