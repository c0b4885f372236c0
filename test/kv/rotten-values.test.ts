// Bits that the store gives back differently than they were written: found by every read of the record.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { versionKey } from '../../src/kv/records/schema.js';
import { SnapshotReader } from '../../src/kv/snapshot/reader.js';
import type { FakeStore } from './fake-store.js';
import { tableKinds } from '../../src/kv/tables/index.js';
import { Bench, del, openMachine, put, text } from './helpers.js';

/** Flips a bit of the last byte of a version in the store: of its value. */
function rot(bench: Bench, revision: number): void {
  const storeKey = versionKey(revision, 0);
  const record = new Uint8Array(bench.store.records.get(storeKey) ?? []);
  record[record.length - 1] = (record.at(-1) ?? 0) ^ 0x10;
  bench.store.records.set(storeKey, record);
}

/** Keys a .. c at revisions 1 .. 3, `a` again at 4, `d` written and deleted at 5 and 6; all in the store. */
function written(): Bench {
  const bench = new Bench();
  bench.runAll([put('a', 'one'), put('b', 'two'), put('c', 'three'), put('a', 'four'), put('d', 'five')]);
  bench.run(del('d'));
  bench.write();
  return bench;
}

const isDamage = (error: unknown): boolean =>
  KvorumError.is(error, 'CORRUPT') && error.message.includes('"b"') && error.details['record'] !== undefined;

describe('a value that rotted in the store', () => {
  it('is found by a read of its key, which it names', () => {
    const bench = written();
    rot(bench, 2);
    for (const revision of [0, 1, 2, 6]) {
      expect(() => bench.machine.getAt('b', revision)).toThrow(
        expect.toSatisfy(isDamage) as unknown as KvorumError,
      );
    }
    expect(text(bench.machine.get('a'))).toBe('four');
  });

  it('is found by a range over it, and not by one that needs no values', () => {
    const bench = written();
    rot(bench, 2);
    for (const reverse of [false, true]) {
      expect(() => bench.range({ reverse })).toThrow(expect.toSatisfy(isDamage) as unknown as KvorumError);
    }
    expect(bench.range({ keysOnly: true }).records).toHaveLength(3);
    expect(bench.range({ start: 'c' }).records).toHaveLength(1);
  });

  it('does not disturb what is in memory, nor reads of tombstones and of older versions', () => {
    const bench = written();
    expect(bench.machine.getAt('d', 6)).toBeUndefined();
    expect(bench.range({ revision: 5 }).records.map(({ key }) => key)).toEqual(['a', 'b', 'c', 'd']);
    expect(bench.range({ revision: 3 }).records.map(text)).toEqual(['one', 'two', 'three']);
    rot(bench, 2);
    bench.run(put('b', 'again'));
    expect(text(bench.machine.get('b'))).toBe('again');
  });
});

describe('a snapshot of a store in which something rotted', () => {
  it('ends before a receiver has to refuse it, also for versions that nobody reads any more', () => {
    for (const revision of [undefined, 1, 2, 5]) {
      const bench = written();
      if (revision !== undefined) rot(bench, revision);
      const reader = new SnapshotReader(
        bench.store.openView(),
        { bytesMax: 1_000_000, recordsMax: 100 },
        tableKinds,
      );
      let damage: Error | undefined;
      reader.beginHistory({ revision: 0, sub: 0 });
      while (damage === undefined && reader.take() === 'fill') {
        reader.fill((error) => (damage = error));
        bench.store.drain();
      }
      expect(KvorumError.is(damage, 'CORRUPT')).toBe(revision !== undefined);
    }
  });
});

describe('a flipped bit in any record of the store', () => {
  /** All that can be asked of the state: every key at every revision, and whether the sessions still know. */
  function everything(store: FakeStore): unknown {
    const machine = openMachine(store);
    const reads = ['a', 'b', 'c', 'd'].flatMap((key) =>
      Array.from({ length: machine.revision + 1 }, (_, revision) => machine.getAt(key, revision)),
    );
    const { appliedIndex, revision, stateHash, contentHash, clusterTimeMs } = machine;
    const sessionCount = machine.sizeOf('sessions');
    const deadline = machine.nextDeadlineMs;
    return { reads, appliedIndex, revision, stateHash, contentHash, sessionCount, clusterTimeMs, deadline };
  }

  it('is damage, or changes no answer', () => {
    const { store } = written();
    const expected = everything(store);
    let found = 0;
    let bits = 0;
    for (const [key, value] of [...store.records]) {
      for (let bit = 0; bit < 8 * value.length; bit++) {
        const changed = new Uint8Array(value);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        store.records.set(key, changed);
        bits++;
        try {
          expect(everything(store), `bit ${bit} of ${key}`).toEqual(expected);
        } catch (error) {
          if (!KvorumError.is(error, 'CORRUPT')) throw error;
          found++;
        }
      }
      store.records.set(key, value);
    }
    expect(found).toBe(bits);
  });
});
