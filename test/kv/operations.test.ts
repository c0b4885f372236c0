// Put, delete, delete range, conditions, revisions: one rule per test.

import { describe, expect, it } from 'vitest';
import { kvLimits } from '../../src/kv/commands.js';
import { Bench, command, del, deleteRange, ifRevision, keysOf, put, text } from './helpers.js';

describe('put and delete', () => {
  it('gives each effective write the next revision and counts versions', () => {
    const bench = new Bench();
    expect(bench.run(put('a', 'one'))).toEqual({ code: 'OK', revision: 1, count: 0 });
    expect(bench.run(put('b', 'x'))).toEqual({ code: 'OK', revision: 2, count: 0 });
    expect(bench.run(put('a', 'two'))).toEqual({ code: 'OK', revision: 3, count: 0 });
    expect(bench.machine.get('a')).toMatchObject({
      createRevision: 1,
      modRevision: 3,
      version: 2,
      leaseId: 0,
    });
    expect(text(bench.machine.get('a'))).toBe('two');
    expect(bench.machine.get('c')).toBeUndefined();
  });

  it('does not use up a revision for deleting nothing', () => {
    const bench = new Bench();
    bench.run(put('a', 'one'));
    expect(bench.run(del('b'))).toEqual({ code: 'OK', revision: 1, count: 0 });
    expect(bench.run(deleteRange('b', 'z'))).toEqual({ code: 'OK', revision: 1, count: 0 });
    expect(bench.run(del('a'))).toEqual({ code: 'OK', revision: 2, count: 1 });
    expect(bench.run(del('a'))).toEqual({ code: 'OK', revision: 2, count: 0 });
    expect(bench.machine.get('a')).toBeUndefined();
  });

  it('starts again at version 1 after a deletion', () => {
    const bench = new Bench();
    bench.runAll([put('a', '1'), put('a', '2'), del('a'), put('a', '3')]);
    expect(bench.machine.get('a')).toMatchObject({ createRevision: 4, modRevision: 4, version: 1 });
  });

  it('judges modRevision conditions, 0 meaning absent, also through the store', () => {
    const bench = new Bench();
    for (const write of [false, true]) {
      const key = `k${write}`;
      const base = bench.machine.revision;
      expect(bench.run(put(key, '1', ifRevision(7_777))).code).toBe('CONFLICT');
      expect(bench.run(put(key, '1', ifRevision(0))).code).toBe('OK');
      if (write) bench.write();
      expect(bench.run(put(key, '2', ifRevision(0)))).toEqual({
        code: 'CONFLICT',
        revision: base + 1,
        count: 0,
      });
      expect(bench.run(put(key, '2', ifRevision(base + 1))).code).toBe('OK');
      expect(bench.run(del(key, ifRevision(base + 1))).code).toBe('CONFLICT');
      expect(bench.run(del(key, ifRevision(0))).code).toBe('CONFLICT');
      if (write) bench.write();
      expect(bench.run(del(key, ifRevision(base + 2)))).toEqual({ code: 'OK', revision: base + 3, count: 1 });
      if (write) bench.write();
      expect(bench.run(del(key, ifRevision(0)))).toEqual({ code: 'OK', revision: base + 3, count: 0 });
      expect(bench.run(put(key, '3', ifRevision(base + 3))).code).toBe('CONFLICT');
    }
  });

  it('refuses keys and values over the limit without an effect', () => {
    const bench = new Bench();
    const longest = 'k'.repeat(kvLimits.keyBytesMax);
    expect(bench.run(put(longest, 'v')).code).toBe('OK');
    expect(bench.run(put(`${longest}k`, 'v'))).toEqual({ code: 'TOO_LARGE', revision: 1, count: 0 });
    const value = new Uint8Array(kvLimits.valueBytesMax + 1);
    expect(bench.run({ kind: 'put', key: 'a', value }).code).toBe('TOO_LARGE');
    expect(bench.run({ kind: 'put', key: 'a', value: value.subarray(1) }).code).toBe('OK');
    bench.write();
    bench.restart();
    expect(bench.machine.get('a')?.value.length).toBe(kvLimits.valueBytesMax);
    expect(bench.machine.get(longest)?.modRevision).toBe(1);
  });
});

describe('delete range', () => {
  it('deletes start .. end by one revision', () => {
    const bench = new Bench();
    bench.runAll(['a', 'b', 'c', 'd'].map((key) => put(key, key)));
    expect(bench.run(deleteRange('b', 'd'))).toEqual({ code: 'OK', revision: 5, count: 2 });
    expect(keysOf(bench.range())).toEqual(['a', 'd']);
    expect(keysOf(bench.range({ revision: 4 }))).toEqual(['a', 'b', 'c', 'd']);
    expect(bench.run(deleteRange('', undefined))).toEqual({ code: 'OK', revision: 6, count: 2 });
    expect(bench.run(deleteRange('z', 'a'))).toEqual({ code: 'OK', revision: 6, count: 0 });
  });

  it('merges layers over the store', () => {
    const bench = new Bench();
    bench.runAll(['a', 'b', 'c'].map((key) => put(key, key)));
    bench.write();
    bench.runAll([del('b'), put('d', 'new'), put('a', 'again')]);
    expect(bench.run(deleteRange('', undefined)).count).toBe(3);
    bench.write();
    bench.restart();
    expect(bench.range().records).toEqual([]);
    expect(text(bench.machine.getAt('a', 5))).toBe('a');
    expect(text(bench.machine.getAt('a', 6))).toBe('again');
  });

  it('asks for the range before it has any effect, and executes earlier commands once', () => {
    const bench = new Bench();
    bench.runAll([put('a', '1'), put('b', '2')]);
    bench.write();
    const { machine } = bench;
    const before = { revision: machine.revision, hash: machine.stateHash, index: machine.appliedIndex };
    const entry = {
      index: machine.appliedIndex + 1,
      term: 1,
      times: { clusterTimeMs: 5, wallTimeMs: 5 },
      commands: [
        command(put('c', '3'), 1),
        command(deleteRange('', undefined), 2),
        command(put('d', '4'), 3),
      ],
    };
    const step = machine.applyEntry(entry);
    if (step.kind !== 'needs') throw new Error('the range must be fetched');
    expect(machine.applyEntry(entry)).toEqual(step);
    expect({ revision: machine.revision, hash: machine.stateHash, index: machine.appliedIndex }).toEqual(
      before,
    );
    expect(machine.get('c')).toBeUndefined();
    expect(text(machine.get('a'))).toBe('1');
    expect(keysOf(bench.range())).toEqual(['a', 'b']);
    expect(bench.count()).toBe(2);
    expect(() => machine.freeze()).toThrow(/within an entry/);
    bench.store.fetchRange(step.range, (_error, records) => machine.provide(step.range, records));
    bench.store.drain();
    const results = machine.applyEntry(entry);
    expect(results).toEqual({
      kind: 'done',
      results: [
        { code: 'OK', revision: 3, count: 0 },
        { code: 'OK', revision: 4, count: 3 },
        { code: 'OK', revision: 5, count: 0 },
      ],
    });
    expect(keysOf(bench.range())).toEqual(['d']);
  });

  it('refuses a range that was not asked for', () => {
    const bench = new Bench();
    const range = { start: 'L/', end: 'L0', limit: 1, reverse: false };
    expect(() => bench.machine.provide(range, [])).toThrow(/no entry/);
  });

  it('refuses more than 10,000 keys without an effect, wherever they lie', () => {
    const bench = new Bench();
    const keys = Array.from(
      { length: kvLimits.commandKeysMax + 5 },
      (_, i) => `k${String(i).padStart(6, '0')}`,
    );
    bench.runAll(keys.map((key) => put(key, key)));
    const results: unknown[] = [];
    const attempt = (): void => {
      const { revision, contentHash } = bench.machine;
      results.push({ ...bench.run(deleteRange('', undefined)), revision: undefined });
      expect(bench.machine.revision).toBe(revision);
      expect(bench.machine.contentHash).toBe(contentHash);
    };
    attempt();
    bench.write();
    attempt();
    bench.runAll([del('k000000'), del('k000003'), put('k1', '')]);
    attempt();
    bench.write();
    attempt();
    const refused = { code: 'TOO_LARGE', revision: undefined, count: kvLimits.commandKeysMax + 1 };
    expect(results).toEqual([refused, refused, refused, refused]);
    bench.runAll(keys.slice(10, 14).map((key) => del(key)));
    expect(bench.run(deleteRange('', undefined))).toMatchObject({
      code: 'OK',
      count: kvLimits.commandKeysMax,
    });
    expect(bench.count()).toBe(0);
  });

  it('looks behind store keys that the layers have deleted, fetch after fetch', () => {
    const bench = new Bench();
    const keys = Array.from({ length: 12_000 }, (_, i) => `k${String(i).padStart(6, '0')}`);
    bench.runAll(keys.map((key) => put(key, '')));
    bench.write();
    bench.runAll(keys.slice(0, 11_990).map((key) => del(key)));
    expect(bench.run(deleteRange('', undefined))).toMatchObject({ code: 'OK', count: 10 });
    expect(bench.machine.contentHash).toBe('0'.repeat(16));
  });

  it('refuses keys of more than 8 MiB together', () => {
    const bench = new Bench();
    const keys = Array.from({ length: 2_049 }, (_, i) => String(i).padStart(kvLimits.keyBytesMax, '0'));
    bench.runAll(keys.map((key) => put(key, '')));
    expect(bench.run(deleteRange('', undefined))).toMatchObject({ code: 'TOO_LARGE', count: 2_049 });
    bench.run(del(keys[5] ?? ''));
    expect(bench.run(deleteRange('', undefined))).toMatchObject({ code: 'OK', count: 2_048 });
  });
});

describe('entries', () => {
  it('must come in order, and interrupted ones must be resumed', () => {
    const bench = new Bench();
    const times = { clusterTimeMs: 1, wallTimeMs: 1 };
    expect(() => bench.machine.applyEntry({ index: 2, term: 1, times, commands: [] })).toThrow(/after 0/);
    const waiting = { index: 1, term: 1, times, commands: [command(deleteRange('', undefined), 1)] };
    expect(bench.machine.applyEntry(waiting).kind).toBe('needs');
    expect(() => bench.machine.applyEntry({ ...waiting, term: 2 })).toThrow(/interrupts/);
  });

  it('move both times forward only', () => {
    const bench = new Bench();
    const times = [
      { clusterTimeMs: 50, wallTimeMs: 900 },
      { clusterTimeMs: 40, wallTimeMs: 950 },
      undefined,
      { clusterTimeMs: 60, wallTimeMs: 100 },
    ];
    const seen = times.map((stamp, i) => {
      bench.machine.applyEntry({ index: i + 1, term: 3, times: stamp, commands: [] });
      return [bench.machine.clusterTimeMs, bench.machine.wallTimeMs];
    });
    expect(seen).toEqual([
      [50, 900],
      [50, 950],
      [50, 950],
      [60, 950],
    ]);
    expect(bench.machine.appliedTerm).toBe(3);
    const fraction = { clusterTimeMs: 60.5, wallTimeMs: 1_000 };
    expect(() => bench.machine.applyEntry({ index: 5, term: 3, times: fraction, commands: [] })).toThrow(
      /integers/,
    );
  });
});
