// Ranges, pages and counts: the rules the property test cannot reach because they need many keys or large
// values.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { prefixEnd, toByteString } from '../../src/base/bytes.js';
import { Bench, command, del, deleteRange, expireTables, keysOf, put, text, wholeRange } from './helpers.js';

function numbered(count: number, prefix = 'k'): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(5, '0')}`);
}

describe('pages', () => {
  it('walk a range of layers and store in both directions without gap or repeat', () => {
    const bench = new Bench();
    const keys = numbered(60);
    bench.runAll(keys.map((key) => put(key, key)));
    bench.write();
    bench.runAll(keys.filter((_, i) => i % 3 === 0).map((key) => del(key)));
    bench.runAll(keys.filter((_, i) => i % 7 === 0).map((key) => put(`${key}x`, key)));
    const expected = [
      ...keys.filter((_, i) => i % 3 !== 0),
      ...keys.filter((_, i) => i % 7 === 0).map((key) => `${key}x`),
    ].sort();
    for (const reverse of [false, true]) {
      const seen: string[] = [];
      let span: { start: string; end: string | undefined } = { start: '', end: undefined };
      for (let more = true; more;) {
        const page = bench.range({ ...span, reverse, limit: 7 });
        expect(page.records.length).toBeLessThanOrEqual(7);
        seen.push(...keysOf(page));
        const last = seen.at(-1) ?? '';
        span = reverse ? { start: '', end: last } : { start: `${last}\x00`, end: undefined };
        more = page.more;
      }
      expect(seen).toEqual(reverse ? expected.toReversed() : expected);
    }
  });

  it('keep to byte order and to prefixes with 0xFF and astral characters', () => {
    const bench = new Bench();
    const astral = toByteString(Buffer.from('😀'));
    const wide = toByteString(Buffer.from('\uff5e'));
    const keys = ['\xff\xff', '\xff', astral, wide, 'a\xff', 'a\xff\xff', 'a', 'b', 'a\x00', '\x00', ''];
    bench.runAll(keys.slice(0, 6).map((key) => put(key, '')));
    bench.write();
    bench.runAll(keys.slice(6).map((key) => put(key, '')));
    const sorted = keys.toSorted((a, b) =>
      Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1')),
    );
    expect(wide < astral).toBe(true);
    expect(keysOf(bench.range())).toEqual(sorted);
    expect(keysOf(bench.range({ reverse: true }))).toEqual(sorted.toReversed());
    const prefixed = (prefix: string) => keysOf(bench.range({ start: prefix, end: prefixEnd(prefix) }));
    expect(prefixed('a')).toEqual(['a', 'a\x00', 'a\xff', 'a\xff\xff']);
    expect(prefixed('a\xff')).toEqual(['a\xff', 'a\xff\xff']);
    expect(prefixed('\xff')).toEqual(['\xff', '\xff\xff']);
    expect(prefixed('')).toEqual(sorted);
    expect(keysOf(bench.range({ start: 'b', end: 'a' }))).toEqual([]);
  });

  it('go on right after the last key of a slice', () => {
    const bench = new Bench();
    const keys = ['', '\x00', 'a', 'a\x00', 'b'];
    bench.runAll(keys.map((key) => put(key, '')));
    bench.write();
    bench.run(deleteRange('', 'a'));
    // Three keys of the store are a slice here; of the first one only `a` is left.
    expect(keysOf(bench.range({ limit: 2 }))).toEqual(['a', 'a\x00']);
    expect(keysOf(bench.range({ limit: 2, revision: 6 }))).toEqual(['a', 'a\x00']);
    bench.run(deleteRange('a\x00', undefined));
    expect(keysOf(bench.range({ limit: 1, reverse: true }))).toEqual(['a']);
  });

  it('end before pageBytesMax and pageRecordsMax, but hold at least one record', () => {
    const bench = new Bench();
    bench.runAll([
      put('a', 'x'.repeat(50)),
      put('b', 'x'.repeat(48)),
      put('c', ''),
      put('d', 'x'.repeat(500)),
    ]);
    for (const write of [false, true]) {
      if (write) bench.write();
      expect(keysOf(bench.range({ pageBytesMax: 100 }))).toEqual(['a', 'b']);
      expect(keysOf(bench.range({ pageBytesMax: 99 }))).toEqual(['a']);
      expect(keysOf(bench.range({ pageBytesMax: 101 }))).toEqual(['a', 'b', 'c']);
      const large = bench.range({ start: 'd', pageBytesMax: 100 });
      expect([keysOf(large), large.more]).toEqual([['d'], false]);
      expect(bench.range({ pageBytesMax: 100 }).more).toBe(true);
      const few = bench.range({ pageRecordsMax: 3 });
      expect([keysOf(few), few.more]).toEqual([['a', 'b', 'c'], true]);
      const names = bench.range({ keysOnly: true, pageBytesMax: 4 });
      expect([keysOf(names), names.more]).toEqual([['a', 'b', 'c', 'd'], false]);
      expect(names.records.map((record) => [record.value.length, record.modRevision])).toEqual([
        [0, 1],
        [0, 2],
        [0, 3],
        [0, 4],
      ]);
    }
  });

  it('do not say more when what follows is deleted', () => {
    const bench = new Bench();
    const keys = numbered(3_000);
    bench.runAll(keys.map((key) => put(key, '')));
    bench.write();
    bench.run(deleteRange('k00001', undefined));
    expect(bench.range({ limit: 1 })).toMatchObject({ more: false });
    bench.write();
    expect(bench.range({ limit: 1 })).toMatchObject({ more: false });
    expect(bench.range({ limit: 1, revision: 3_000 })).toMatchObject({ more: true });
  });

  it('show the state of the call however much is written and removed before they are read', () => {
    const bench = new Bench();
    const keys = numbered(2_500);
    bench.runAll(keys.map((key) => put(key, 'old')));
    bench.write();
    const forward = bench.startRange({});
    const backward = bench.startRange({ reverse: true });
    const count = bench.startCount();
    for (let round = 0; round < 40; round++) {
      const from = round * 60;
      bench.runAll(keys.slice(from, from + 30).map((key) => put(key, `new${round}`)));
      bench.runAll(keys.slice(from + 30, from + 60).map((key) => del(key)));
      bench.runAll(numbered(3, `k0${round}+`).map((key) => put(key, 'new')));
      if (bench.machine.durableAppliedIndex < bench.machine.appliedIndex && round % 4 === 0)
        bench.startWrite();
      // The reads advance a little between the writes.
      for (let i = 0; i < 4; i++) bench.store.step(i);
      if (round % 4 === 3) bench.store.drain();
    }
    bench.store.drain();
    expect(forward.page?.revision).toBe(2_500);
    expect(forward.page && keysOf(forward.page)).toEqual(keys);
    expect(forward.page?.records.every((record) => text(record) === 'old')).toBe(true);
    expect(backward.page && keysOf(backward.page)).toEqual(keys.toReversed());
    expect(count).toEqual({ revision: 2_500, count: 2_500 });
  });

  it('refuse a revision that is not there yet, after the call has returned', () => {
    const bench = new Bench();
    bench.run(put('a', '1'));
    const page = bench.startRange({ revision: 2 });
    const count = bench.startCount(2);
    expect([page, count]).toEqual([{}, {}]);
    bench.store.drain();
    expect(KvorumError.is(page.error, 'FUTURE_REVISION')).toBe(true);
    expect(KvorumError.is(count.error, 'FUTURE_REVISION')).toBe(true);
    expect(() => bench.machine.getAt('a', 2)).toThrow(/revision 2 is above the newest one, 1/);
    expect(bench.range({ revision: 1 }).revision).toBe(1);
  });

  it('never call back before they return', () => {
    const bench = new Bench();
    let called = false;
    bench.machine.range({ ...wholeRange, start: 'b', end: 'a' }, () => (called = true));
    expect(called).toBe(false);
    bench.store.drain();
    expect(called).toBe(true);
  });
});

describe('counts', () => {
  it('go over many slices of live and deleted keys', () => {
    const bench = new Bench();
    const keys = numbered(5_200);
    bench.runAll(keys.map((key) => put(key, '')));
    bench.write();
    bench.runAll(keys.filter((_, i) => i % 2 === 0).map((key) => del(key)));
    bench.write();
    bench.runAll(numbered(1_500, 'l').map((key) => put(key, '')));
    expect(bench.count()).toBe(2_600 + 1_500);
    expect(bench.count(5_200)).toBe(5_200);
    expect(bench.count(5_201)).toBe(5_199);
    expect(bench.count(0, 'k00100', 'k00200')).toBe(50);
    expect(bench.count(5_200, 'k00100', 'k00200')).toBe(100);
  });

  it('let layers go between their slices', () => {
    const bench = new Bench();
    bench.runAll(numbered(3_500).map((key) => put(key, '')));
    bench.write();
    const holder = bench.startCount();
    bench.runAll(numbered(3_500).map((key) => del(key)));
    bench.startWrite();
    bench.store.drain();
    expect(holder.count).toBe(3_500);
    expect(bench.count()).toBe(0);
  });
});

describe('reads at a revision', () => {
  it('step back over tombstones and many versions, in memory and in the store', () => {
    const bench = new Bench();
    const versions = 20_000;
    bench.runAll([put('a', 'first'), del('a')]);
    bench.write();
    bench.runAll(Array.from({ length: versions }, (_, i) => put('a', String(i))));
    expect(text(bench.machine.getAt('a', 1))).toBe('first');
    expect(bench.machine.getAt('a', 2)).toBeUndefined();
    expect(text(bench.machine.getAt('a', 3))).toBe('0');
    expect(text(bench.range({ revision: 1 }).records[0])).toBe('first');
    bench.write();
    bench.run(del('a'));
    bench.write();
    bench.restart();
    expect(text(bench.machine.getAt('a', 1))).toBe('first');
    expect(bench.machine.getAt('a', 2)).toBeUndefined();
    expect(text(bench.machine.getAt('a', 12))).toBe('9');
    expect(bench.machine.get('a')).toBeUndefined();
    expect(text(bench.range({ revision: versions + 2 }).records[0])).toBe(String(versions - 1));
  });

  it('need two reads of the store for a current key', () => {
    const bench = new Bench();
    bench.run(put('a', '1'));
    bench.write();
    bench.store.getSyncCount = 0;
    bench.machine.get('a');
    expect(bench.store.getSyncCount).toBe(2);
  });

  it('find damage instead of an answer', () => {
    const bench = new Bench();
    bench.runAll([put('a', '1'), put('b', '2')]);
    bench.write();
    const versionKeys = [...bench.store.records.keys()].filter((key) => key.startsWith('V/'));
    bench.store.records.delete(versionKeys[0] ?? '');
    expect(() => bench.machine.get('a')).toThrow(/is missing/);
    const page = bench.startRange({});
    bench.store.drain();
    expect(KvorumError.is(page.error, 'CORRUPT')).toBe(true);
    const other = bench.store.records.get(versionKeys[1] ?? '') ?? new Uint8Array(0);
    bench.store.records.set(versionKeys[0] ?? '', other);
    expect(() => bench.machine.get('a')).toThrow(/another key/);
    // The failed reads hold nothing back.
    bench.entry(command(put('c', ''), 1), expireTables);
    bench.write();
    expect(bench.machine.durableAppliedIndex).toBe(bench.machine.appliedIndex);
  });
});
