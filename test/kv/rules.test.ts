// The registries: what each operation touches, which of them make the store larger, and that none of the
// kinds of commands, tables and records is without a rule.

import { describe, expect, it } from 'vitest';
import type { ClientOperation } from '../../src/kv/commands.js';
import { commandLevels, formatLevels, thisSoftware } from '../../src/kv/format-level.js';
import {
  leaderCommandRules,
  operationRules,
  soleKeyOf,
  visitTouches,
} from '../../src/kv/operations/index.js';
import { recordKindOf, recordKinds } from '../../src/kv/records/kinds.js';
import { liveKey, sessionKey, tombstoneKey, versionKey } from '../../src/kv/records/schema.js';
import { orderedKinds, tableKinds } from '../../src/kv/tables/index.js';
import { Bench, closeSession, command, del, deleteRange, ifRevision, put } from './helpers.js';

function touchesOf(operation: ClientOperation): string[] {
  const touches: string[] = [];
  visitTouches(operation, {
    key: (access, key) => touches.push(`${access} ${key}`),
    range: (access, start, end) => touches.push(`${access} ${start}..${end ?? ''}`),
  });
  return touches;
}

describe('operations', () => {
  it.each<[ClientOperation, string[], string | undefined]>([
    [put('a', '1'), ['write a'], 'a'],
    [put('a', '1', ifRevision(3)), ['write a'], 'a'],
    [del('b', ifRevision(3)), ['write b'], 'b'],
    [deleteRange('a', 'c'), ['write a..c'], undefined],
    [deleteRange('', undefined), ['write ..'], undefined],
    [closeSession, [], undefined],
  ])('%j touch what they write', (operation, touches, soleKey) => {
    expect(touchesOf(operation)).toEqual(touches);
    expect(soleKeyOf(operation)).toBe(soleKey);
  });

  it('write no key that they do not touch', () => {
    for (const operation of [put('b', '2'), del('b'), deleteRange('b', 'd'), closeSession]) {
      const bench = new Bench();
      bench.runAll(['a', 'b', 'c', 'd'].map((key) => put(key, '1')));
      const before = bench.machine.revision;
      bench.run(operation);
      const touched = new Set<string>();
      const names = ['a', 'b', 'c', 'd'];
      visitTouches(operation, {
        key: (_access, key) => touched.add(key),
        range: (_access, start, end) => {
          for (const name of names) if (name >= start && (end === undefined || name < end)) touched.add(name);
        },
      });
      const changed = names.filter((name) => {
        const record = bench.machine.get(name);
        return record === undefined || record.modRevision > before;
      });
      expect(changed).toEqual([...touched]);
    }
  });

  it('grow the store, keep their outcome and end their session as declared', () => {
    const said = Object.entries(operationRules).map(([kind, rule]) => {
      const { growsStore, keepsOutcome, endsSession } = rule;
      return [kind, growsStore, keepsOutcome, endsSession];
    });
    expect(said).toEqual([
      ['put', true, true, false],
      ['delete', false, true, false],
      ['deleteRange', false, true, false],
      ['closeSession', false, false, true],
    ]);
  });

  it('have a level each, as the commands of leaders have, none above what this software knows', () => {
    const kinds = [...Object.keys(operationRules), ...Object.keys(leaderCommandRules)];
    expect(Object.keys(commandLevels).sort()).toEqual(kinds.sort());
    expect(Math.max(...Object.values(commandLevels))).toBeLessThanOrEqual(formatLevels.max);
    expect(Math.min(...Object.values(commandLevels))).toBeGreaterThanOrEqual(1);
    expect(thisSoftware).toEqual({ formatLevelMax: formatLevels.max, commandLevels });
  });
});

describe('records', () => {
  it('have one kind each, by their keys', () => {
    const keys = {
      live: liveKey(''),
      tombstone: tombstoneKey('x'),
      version: versionKey(1, 0),
      session: sessionKey('s'),
      applied: 'M/applied',
      staging: 'M/staging',
    };
    for (const [name, key] of Object.entries(keys)) {
      expect(recordKindOf(key)).toBe(recordKinds[name as keyof typeof keys]);
    }
    expect(Object.keys(keys).sort()).toEqual(Object.keys(recordKinds).sort());
    expect(recordKindOf('X/1')).toBeUndefined();
    expect(recordKindOf('M/applied2')).toBeUndefined();
  });

  it('of a store are all of a kind, decode, and encode to the same bytes', () => {
    const bench = new Bench();
    bench.one(command(put('z', '1'), 1, { session: 'other' }));
    bench.runAll([put('a', '1'), put('b', '2'), del('a'), deleteRange('b', undefined), put('c', '3')]);
    bench.write();
    const seen = new Set<string>();
    for (const [key, value] of bench.store.records) {
      const kind = recordKindOf(key) ?? expect.fail(key);
      seen.add(kind.keys);
      expect(Buffer.compare(kind.encode(kind.decode(key, value)), value)).toBe(0);
      const flipped = Uint8Array.from(value);
      flipped[flipped.length - 1] = (flipped[flipped.length - 1] ?? 0) ^ 1;
      expect(() => kind.decode(key, flipped)).toThrow(/of the store/);
    }
    expect([...seen].sort()).toEqual(['L/', 'M/applied', 'S/', 'T/', 'V/']);
    expect(() => recordKinds.version.decode('V/short', new Uint8Array(60))).toThrow(/is not of history/);
  });

  it('of every table are among the kinds, and go into snapshots as tables', () => {
    const kinds: unknown[] = Object.values(recordKinds).filter(({ inSnapshot }) => inSnapshot === 'table');
    expect(orderedKinds(tableKinds).map(({ record }) => record)).toEqual(kinds);
  });
});
