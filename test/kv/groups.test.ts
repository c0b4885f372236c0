// Groups, restarts, hashes, the records of the store, and the layers that bridge the time until a group is
// durable.

import { describe, expect, it } from 'vitest';
import { defined } from '../../src/base/assert.js';
import { asBuffer } from '../../src/base/bytes.js';
import { KvorumError } from '../../src/base/errors.js';
import { Layers } from '../../src/kv/layers.js';
import { sealRecord } from '../../src/kv/records/record-check.js';
import {
  appliedKey,
  decodeApplied,
  decodeLive,
  decodeTombstone,
  encodeApplied,
  versionKey,
} from '../../src/kv/records/schema.js';
import { hashTableRecord } from '../../src/kv/tables/table.js';
import { ContentHash, hashHex, hashRecord, StateHashes, stateHashesKept } from '../../src/kv/state-hash.js';
import { decodeVersion } from '../../src/kv/records/version-record.js';
import { FakeStore } from './fake-store.js';
import {
  Bench,
  bytes,
  command,
  del,
  deleteRange,
  expireTables,
  machineOf,
  keysOf,
  openMachine,
  put,
  text,
} from './helpers.js';

/** Makes the applied record say that these are the hashes of all records of tables. */
function vouchForTables(store: FakeStore, hashes: readonly (readonly [number, number])[]): void {
  const applied = decodeApplied(defined(store.records.get(appliedKey), 'the applied record'));
  const sum = new ContentHash();
  for (const hash of hashes) sum.add(...hash);
  const tables = { tablesHigh: sum.high, tablesLow: sum.low };
  store.records.set(appliedKey, encodeApplied({ ...applied, ...tables }));
}

function loadError(store: FakeStore): Error | undefined {
  let result: Error | undefined;
  machineOf(store).load((error) => (result = error));
  store.drain();
  return result;
}

describe('groups', () => {
  it('are one batch that ends with what it is the state of', () => {
    const bench = new Bench();
    expect(bench.machine.freeze()).toBeUndefined();
    bench.runAll([put('a', '1'), put('a', '2'), put('b', '3')]);
    const operations = bench.machine.freeze() ?? [];
    expect(operations.map(({ type, key }) => `${type} ${key.slice(0, 2)}`)).toEqual([
      'put V/',
      'put V/',
      'put V/',
      'put L/',
      'put L/',
      'put S/',
      'put M/',
    ]);
    const last = operations.at(-1);
    if (last?.type !== 'put') throw new Error('the batch must end with a put');
    expect(decodeApplied(last.value)).toMatchObject({ appliedIndex: 1, term: 1, revision: 3 });
    expect(bench.machine.activeBytes).toBe(0);
    expect(bench.machine.durableAppliedIndex).toBe(0);
    expect(text(bench.machine.get('a'))).toBe('2');
  });

  it('are written one at a time', () => {
    const bench = new Bench();
    bench.run(put('a', '1'));
    bench.machine.freeze();
    bench.run(put('a', '2'));
    expect(() => bench.machine.freeze()).toThrow(/while another one is being written/);
    bench.machine.writeResolved();
    expect(bench.machine.durableAppliedIndex).toBe(1);
    expect(() => bench.machine.writeResolved()).toThrow(/no group was frozen/);
  });

  it('carry entries without effects forward', () => {
    const bench = new Bench();
    bench.machine.applyEntry({ index: 1, term: 4, times: undefined, commands: [] });
    bench.write();
    bench.restart();
    expect([bench.machine.appliedIndex, bench.machine.appliedTerm]).toEqual([1, 4]);
    expect(bench.machine.stateHash).not.toBe('0'.repeat(16));
  });

  it('estimate their size closely enough to be cut by it', () => {
    const bench = new Bench();
    bench.runAll(Array.from({ length: 500 }, (_, i) => put(`key${i}`, 'x'.repeat(256))));
    const estimate = bench.machine.activeBytes;
    let actual = 0;
    for (const operation of bench.machine.freeze() ?? []) {
      actual += operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
    }
    expect(estimate).toBeGreaterThan(actual * 0.9);
    expect(estimate).toBeLessThan(actual * 1.2);
  });

  it('leave a key with its record or its tombstone, never both', () => {
    const bench = new Bench();
    const names = (): string[] => [...bench.store.records.keys()].filter((key) => /^[LT]/.test(key)).sort();
    bench.run(put('a', '1'));
    bench.write();
    expect(names()).toEqual(['L/a']);
    bench.run(del('a'));
    bench.write();
    expect(names()).toEqual(['T/a']);
    bench.runAll([put('a', '2'), put('a', '3')]);
    bench.write();
    expect(names()).toEqual(['L/a']);
    bench.runAll([del('a'), put('a', '4'), deleteRange('', undefined)]);
    bench.write();
    expect(names()).toEqual(['T/a']);
  });
});

describe('restart', () => {
  it('finds times, hashes and revision of the last durable group and goes on from there', () => {
    const bench = new Bench();
    bench.nowMs = 1_234;
    bench.runAll([put('a', '1'), put('b', '2')]);
    bench.write();
    const { stateHash, contentHash, revision } = bench.machine;
    bench.run(put('c', 'lost'));
    bench.restart();
    const { machine } = bench;
    expect({ ...machine.stateHashes(5) }).toEqual({ 0: [1, stateHash] });
    expect([machine.stateHash, machine.contentHash, machine.revision]).toEqual([
      stateHash,
      contentHash,
      revision,
    ]);
    expect([machine.clusterTimeMs, machine.wallTimeMs, machine.durableAppliedIndex]).toEqual([
      1_234, 1_234, 1,
    ]);
    expect(machine.freeze()).toBeUndefined();
    expect(machine.get('c')).toBeUndefined();
    expect(bench.one(command(put('c', 'again'), 1)).revision).toBe(3);
  });

  it('reads sessions page by page', () => {
    const bench = new Bench();
    bench.entry(...Array.from({ length: 600 }, (_, i) => command(put('a', ''), 1, { session: `s${i}` })));
    bench.write();
    bench.restart();
    expect(bench.machine.sizeOf('sessions')).toBe(600);
  });

  it('refuses a newer format, damage, and data without its applied record', () => {
    const bench = new Bench();
    bench.run(put('a', '1'));
    bench.write();
    const record = bench.store.records.get('M/applied') ?? new Uint8Array(0);
    const broken = (change: (copy: Uint8Array) => Uint8Array | undefined): Error | undefined => {
      const store = bench.store.crash(false);
      const changed = change(new Uint8Array(record));
      if (changed === undefined) store.records.delete('M/applied');
      else store.records.set('M/applied', changed);
      const error = loadError(store);
      if (error !== undefined) expect(KvorumError.is(error, 'CORRUPT')).toBe(true);
      return error;
    };
    const set = (at: number, value: number) => (copy: Uint8Array) => {
      copy[at] = value;
      return copy;
    };
    expect(broken((copy) => copy)).toBeUndefined();
    const sealed = (change: (copy: Uint8Array) => Uint8Array) => (copy: Uint8Array) =>
      sealRecord(asBuffer(change(copy)));
    expect(broken(sealed(set(3, 5)))?.message).toMatch(/use a newer kvorum/);
    expect(broken(sealed(set(3, 2)))?.message).toMatch(/has format 2/);
    // A flipped bit makes no newer kvorum: that would be no damage, and nobody would mend it.
    const flipped = broken(set(3, 34));
    expect(flipped?.message).toMatch(/not as it was written/);
    expect(KvorumError.is(flipped) && flipped.details['newerFormat']).toBeUndefined();
    expect(broken(sealed(set(3, 0)))?.message).toMatch(/format 0/);
    expect(broken(set(11, 9))?.message).toMatch(/not as it was written/);
    expect(broken(sealed(set(36, 0xff)))?.message).toMatch(/2\^53/);
    expect(broken(sealed((copy) => copy.subarray(0, 60)))?.message).toMatch(/60 bytes/);
    expect(broken((copy) => copy.subarray(0, 2))?.message).toMatch(/2 bytes/);
    expect(broken(() => undefined)?.message).toMatch(/missing although there is data/);
    const store = bench.store.crash(false);
    store.records.set('S/x', new Uint8Array(3));
    expect(loadError(store)?.message).toMatch(/S\/x/);
  });
});

describe('hashes', () => {
  it('differ as soon as entries differ in any effect', () => {
    const hashOf = (...operations: Parameters<Bench['run']>[0][]): string => {
      const bench = new Bench();
      bench.runAll(operations);
      return bench.machine.stateHash;
    };
    const variants = [
      hashOf(put('a', '1')),
      hashOf(put('a', '2')),
      hashOf(put('b', '1')),
      hashOf(del('a')),
      hashOf(put('a', '1'), del('a')),
      hashOf(put('a', '1'), del('b')),
      hashOf(put('a', '1'), deleteRange('b', 'c')),
    ];
    // Deleting nothing by key or by range has the same effects, and only the effects count.
    expect(variants[5]).toBe(variants[6]);
    expect(new Set(variants).size).toBe(variants.length - 1);
  });

  it('chain the index, the times and session changes too', () => {
    const chained = (nowMs: number, entries: number, session: string): string => {
      const bench = new Bench();
      bench.nowMs = nowMs;
      for (let i = 0; i < entries; i++) bench.entry();
      bench.one(command(del('a'), 1, { session }));
      return bench.machine.stateHash;
    };
    const hashes = [chained(0, 0, 'a'), chained(1, 0, 'a'), chained(0, 1, 'a'), chained(0, 0, 'b')];
    expect(new Set(hashes).size).toBe(4);
    expect(chained(0, 0, 'a')).toBe(hashes[0]);
  });

  it('chain what a session acknowledged and when it ends', () => {
    const chained = (acknowledged: number, created: number): string => {
      const bench = new Bench();
      bench.one(command(del('a'), 1, { created }));
      bench.one(command(del('a'), 2, { acknowledged }));
      return bench.machine.stateHash;
    };
    const hashes = [chained(0, 0), chained(1, 0), chained(0, 1)];
    expect(new Set(hashes).size).toBe(3);
  });

  it('tell replicas apart of which one ends a session that the other keeps', () => {
    const replicas = [0, 1].map((change) => {
      const bench = new Bench();
      bench.one(command(del('a'), 1));
      bench.write();
      // The other replica has, by some fault, another deadline.
      const [key, record] = defined(
        [...bench.store.records].find(([name]) => name.startsWith('S/')),
        'the session',
      );
      record[15] = (record[15] ?? 0) + change;
      sealRecord(asBuffer(record));
      vouchForTables(bench.store, [hashTableRecord(key, record)]);
      bench.restart();
      bench.nowMs = 60_000;
      const before = bench.machine.stateHash;
      bench.one(expireTables);
      return { before, after: bench.machine.stateHash, sessions: bench.machine.sizeOf('sessions') };
    });
    expect(replicas.map((replica) => replica.sessions)).toEqual([0, 1]);
    expect(replicas[0]?.before).toBe(replicas[1]?.before);
    expect(replicas[0]?.after).not.toBe(replicas[1]?.after);
  });

  it('of the content depend on the records only, not on the way there', () => {
    const one = new Bench();
    one.runAll([put('x', ''), put('a', '1'), del('x')]);
    const content = new ContentHash();
    content.add(...hashRecord('a', bytes('1'), 2, 2, 1, 0));
    expect(one.machine.contentHash).toBe(hashHex(content.high, content.low));
    one.run(del('a'));
    expect(one.machine.contentHash).toBe('0'.repeat(16));
  });

  it('keep the newest 1,024 by index', () => {
    const hashes = new StateHashes();
    for (let index = 0; index <= 3_000; index++) hashes.push(index, index, 7);
    expect(hashes.at(3_000)).toBe('00000bb800000007');
    expect(hashes.at(3_001 - stateHashesKept)).toBeDefined();
    expect(hashes.at(3_000 - stateHashesKept)).toBeUndefined();
    expect(hashes.at(3_001)).toBeUndefined();
    expect(hashes.at(-1)).toBeUndefined();
    expect(hashes.newestPairs(3).map(([index]) => index)).toEqual([2_998, 2_999, 3_000]);
    expect(hashes.newestPairs(5_000).length).toBe(stateHashesKept);
  });

  it('of the content wrap around at 2^64 both ways', () => {
    const content = new ContentHash();
    content.add(0xffff_ffff, 0xffff_ffff);
    content.add(0, 1);
    expect([content.high, content.low]).toEqual([0, 0]);
    content.subtract(0, 1);
    expect([content.high, content.low]).toEqual([0xffff_ffff, 0xffff_ffff]);
    content.subtract(0xffff_fffe, 0xffff_ffff);
    expect([content.high, content.low]).toEqual([1, 0]);
  });
});

describe('layers', () => {
  it('stay while a fetch is open that began before their batch was durable, and go in order', () => {
    const layers = new Layers(new FakeStore());
    const before = layers.openHold();
    layers.freeze();
    layers.resolve();
    const between = layers.openHold();
    layers.freeze();
    layers.resolve();
    const after = layers.openHold();
    expect(layers.keptCount).toBe(2);
    layers.closeHold(between);
    expect(layers.keptCount).toBe(2);
    layers.closeHold(before);
    expect(layers.keptCount).toBe(0);
    layers.closeHold(after);
    expect(() => layers.closeHold(after)).toThrow(/not open/);
  });

  it('answer with the newest of several that are kept', () => {
    const layers = new Layers(new FakeStore());
    const hold = layers.openHold();
    for (let revision = 1; revision <= 3; revision++) {
      layers.active.add({
        key: 'a',
        value: new Uint8Array(0),
        deleted: false,
        modRevision: revision,
        sub: 0,
        createRevision: 1,
        version: revision,
        leaseId: 0,
        valueBytes: 0,
        hashHigh: 0,
        hashLow: 0,
        previousRevision: revision - 1,
        previousSub: 0,
        previousValueBytes: 0,
        clearsTombstone: false,
      });
      layers.freeze();
      layers.resolve();
      expect(layers.versionInMemory('a')?.modRevision).toBe(revision);
    }
    expect(layers.versionAtInMemory(1, 0)?.version).toBe(1);
    layers.closeHold(hold);
    expect(layers.versionInMemory('a')).toBeUndefined();
  });

  it('are let go by a delete range that is done, and by pages and counts once they have merged them', () => {
    const bench = new Bench();
    bench.runAll(Array.from({ length: 3_500 }, (_, i) => put(`k${i}`, '')));
    bench.write();
    bench.run(deleteRange('k1', 'k2'));
    bench.write();
    expect(bench.machine.keptGroups).toBe(0);
    const page = bench.startRange({ pageRecordsMax: 1 });
    const count = bench.startCount();
    bench.run(put('a', ''));
    bench.startWrite();
    let mostKept = 0;
    let keptBeforeCountEnds = 0;
    while (count.count === undefined) {
      bench.store.step();
      mostKept = Math.max(mostKept, bench.machine.keptGroups);
      if (count.count === undefined) keptBeforeCountEnds = bench.machine.keptGroups;
    }
    expect(page.page?.records.length).toBe(1);
    expect([mostKept, keptBeforeCountEnds, bench.machine.keptGroups]).toEqual([0, 0, 0]);
  });

  it('find keys in thousands of unsorted ones', () => {
    const bench = new Bench();
    const keys = Array.from({ length: 3_000 }, (_, i) => `k${(i * 7_919) % 3_000}`);
    for (let from = 0; from < keys.length; from += 500) {
      bench.runAll(keys.slice(from, from + 500).map((key) => put(key, '')));
      expect(bench.count()).toBe(from + 500);
    }
    expect(keysOf(bench.range({ limit: 3 }))).toEqual(['k0', 'k1', 'k10']);
    expect(keysOf(bench.range({ limit: 3, reverse: true }))).toEqual(['k999', 'k998', 'k997']);
    expect(keysOf(bench.range({ limit: 2, reverse: true, end: 'k2' }))).toEqual(['k1999', 'k1998']);
  });
});

describe('records', () => {
  it('of history sort by revision and place', () => {
    const keys = [
      versionKey(1, 0),
      versionKey(1, 1),
      versionKey(1, 256),
      versionKey(255, 0),
      versionKey(256, 0),
      versionKey(2 ** 32 - 1, 9),
      versionKey(2 ** 32, 0),
      versionKey(2 ** 53 - 1, 2 ** 32 - 1),
    ];
    expect(keys.toSorted()).toEqual(keys);
    expect(new Set(keys.map((key) => key.length))).toEqual(new Set([14]));
  });

  it('are refused when they are not what they should be', () => {
    expect(() => decodeLive(new Uint8Array(47), 'L/a')).toThrow(/47 bytes/);
    expect(() => decodeLive(new Uint8Array(52).fill(0xff), 'L/a')).toThrow(/not as it was written/);
    const huge = sealRecord(Buffer.alloc(52, 0xff));
    expect(() => decodeLive(huge, 'L/a')).toThrow(/2\^53/);
    expect(() => decodeTombstone(new Uint8Array(1), 'T/a')).toThrow(/1 bytes/);
    expect(() => decodeVersion(undefined, 'a', 1, 0)).toThrow(/missing/);
    expect(() => decodeVersion(new Uint8Array(5), 'a', 1, 0)).toThrow(/only 5 bytes/);
    const unknown = new Uint8Array(60);
    expect(() => decodeVersion(unknown, 'a', 1, 0)).toThrow(/unknown kind 0/);
    unknown[0] = 1;
    unknown[38] = 200;
    expect(() => decodeVersion(unknown, 'a', 1, 0)).toThrow(/ends within its key/);
  });

  it('read back numbers beyond 32 bits', () => {
    const store = new FakeStore();
    const first = new Bench();
    first.store = store;
    first.machine = openMachine(store);
    first.nowMs = 2 ** 40 + 5;
    first.one(command(put('a', '1'), 1, { created: 2 ** 40 }));
    first.write();
    first.restart();
    expect(first.machine.clusterTimeMs).toBe(2 ** 40 + 5);
    expect(first.machine.nextDeadlineMs).toBe(2 ** 40 + 5 + 60_000);
  });
});
