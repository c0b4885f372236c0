// Two judges of one history: the black box, which sees values and times, and the replay by revisions, which
// sees what the store says of itself. On a thousand random histories they agree, damaged or not; and each of
// the damages that matter is found by both. What only one of them can see is listed at the end.

import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { checkDurability, type FinalState } from '../../src/sim/checkers/raft/durability.js';
import { checkExactlyOnce } from '../../src/sim/checkers/clients/exactly-once.js';
import { checkLinearizability } from '../../src/sim/checkers/clients/linearizability.js';
import { checkByRevisions } from '../../src/sim/checkers/clients/revisions.js';
import type { HistoryOperation } from '../../src/sim/history/file.js';
import { damages, type DamageName, finalStateOf, honestHistory } from './linearizability-model.js';

const options = {
  operations: 120,
  keys: 2,
  clients: 5,
  unknown: 0.05,
  gets: 0.45,
  deletes: 0.08,
  swaps: 0.2,
};
const names = Object.keys(damages) as DamageName[];

function byRevisions(operations: readonly HistoryOperation[]): string[] {
  return [...checkByRevisions(operations), ...checkExactlyOnce(operations)].map(({ id }) => id);
}

describe('black box and replay by revisions', () => {
  it('agree on 1,000 random histories, half of them damaged', () => {
    const damaged = new Map<string, number>();
    for (let seed = 1; seed <= 1_000; seed++) {
      const prng = new Prng(seed);
      const honest = honestHistory(prng, options);
      const name = prng.pick(names);
      const history = seed % 2 === 0 ? damages[name](honest, prng) : honest;
      // Not every history has a place for every damage.
      const isDamaged = history !== honest && history !== undefined;
      const judged = history ?? honest;
      const box = checkLinearizability(judged).result;
      const replay = byRevisions(judged);
      expect([seed, name, box]).toEqual([seed, name, isDamaged ? 'violation' : 'linearizable']);
      expect([seed, name, replay.length > 0]).toEqual([seed, name, isDamaged]);
      if (isDamaged) damaged.set(name, (damaged.get(name) ?? 0) + 1);
    }
    expect([...damaged.keys()].sort()).toEqual([...names].sort());
    for (const count of damaged.values()) expect(count).toBeGreaterThan(30);
  });

  it('whatever else is changed in a history: what the black box finds, the replay finds', () => {
    const found = { both: 0, replayOnly: 0, none: 0 };
    for (let seed = 1; seed <= 400; seed++) {
      const prng = new Prng(seed);
      const operations = honestHistory(prng, options);
      const reads = operations.filter(({ op, out }) => op === 'get' && out.st === 'ok');
      // Some read answers what another one was told, as it is: value, revisions and all.
      const [one, other] = [prng.pick(reads), prng.pick(reads.filter(({ k }) => k === reads[0]?.k))];
      const changed = operations.map((operation) =>
        operation === one && other.k === one.k ? { ...one, out: other.out } : operation,
      );
      const box = checkLinearizability(changed).result === 'violation';
      const replay = byRevisions(changed).length > 0;
      expect([seed, box && !replay]).toEqual([seed, false]);
      if (box) found.both++;
      else if (replay) found.replayOnly++;
      else found.none++;
    }
    expect(found.both).toBeGreaterThan(50);
    expect(found.none).toBeGreaterThan(20);
  });
});

const put = (c: string, call: number, v: string, rev: number, ver: number): HistoryOperation => ({
  ...{ c, op: 'put', k: 'x', v, call, ret: call + 5 },
  out: { st: 'ok', rev, ver },
});
const get = (
  c: string,
  call: number,
  v: string,
  rev: number,
  mod: number,
  ver: number,
): HistoryOperation => ({
  ...{ c, op: 'get', k: 'x', call, ret: call + 5 },
  out: { st: 'ok', v, rev, mod, ver },
});

describe('what revisions tell beyond values', () => {
  const writes = [put('a', 0, 'v1', 1, 1), put('b', 10, 'v2', 2, 2)];

  it('a truthful history', () => {
    expect(byRevisions([...writes, get('c', 20, 'v2', 2, 2, 2)])).toEqual([]);
  });

  it('two writes with one revision, though no read tells', () => {
    expect(byRevisions([writes[0] as HistoryOperation, put('b', 2, 'v2', 1, 1)])).toContain(
      'revisionSequence',
    );
  });

  it('a write applied twice in a row, which leaves the same value', () => {
    const twice = [put('a', 0, 'v1', 1, 1), get('c', 20, 'v1', 2, 2, 2)];
    expect(checkLinearizability(twice).result).toBe('linearizable');
    expect(byRevisions(twice)).toContain('appliedTwice');
  });

  it('a version that grew by more than the writes can explain, unless one of them is unknown', () => {
    const jump = [put('a', 0, 'v1', 1, 1), put('b', 10, 'v2', 3, 3)];
    expect(byRevisions(jump)).toEqual(['appliedTwice']);
    const lost: HistoryOperation = {
      ...{ c: 'd', op: 'put', k: 'x', v: 'v9', call: 1, ret: 4 },
      out: { st: 'unknown' },
    };
    expect(byRevisions([...jump, lost])).toEqual([]);
    expect(byRevisions([...jump, { ...lost, k: 'y' }])).toEqual(['appliedTwice']);
  });

  it('a failure without effect that had one', () => {
    const failed: HistoryOperation = {
      ...{ c: 'd', op: 'put', k: 'x', v: 'v9', call: 1, ret: 4 },
      out: { st: 'fail' },
    };
    expect(byRevisions([...writes, failed, get('c', 20, 'v9', 3, 3, 3)])).toContain('falseFailure');
  });

  it('a cas that took what was not there', () => {
    const swap: HistoryOperation = {
      ...{ c: 'd', op: 'cas', k: 'x', exp: 'v1', v: 'v3', call: 11, ret: 14 },
      out: { st: 'ok', rev: 3, ver: 3 },
    };
    expect(byRevisions([...writes, swap])).toEqual(['conditionJudged']);
    expect(byRevisions([...writes, { ...swap, exp: 'v2' }])).toEqual([]);
  });

  it('a read of the past, by the revision of another key', () => {
    const elsewhere: HistoryOperation = { ...put('a', 20, 'w1', 3, 1), k: 'y' };
    expect(byRevisions([...writes, elsewhere, get('c', 30, 'v2', 2, 2, 2)])).toEqual(['realTimeOrder']);
    // One that only knows its version's revision says nothing of other keys.
    const out = { st: 'ok', v: 'v2', mod: 2, ver: 2 } as const;
    expect(byRevisions([...writes, elsewhere, { ...get('c', 30, 'v2', 2, 2, 2), out }])).toEqual([]);
    const older = { st: 'ok', v: 'v1', mod: 1, ver: 1 } as const;
    expect(byRevisions([...writes, { ...get('c', 30, 'v1', 1, 1, 1), out: older }])).toEqual([
      'realTimeOrder',
    ]);
  });

  it('different values under one revision, and a value that nobody wrote', () => {
    const reads = [get('c', 20, 'v2', 2, 2, 2), get('d', 20, 'v1', 2, 2, 2)];
    expect(byRevisions([...writes, ...reads])).toContain('readValue');
    expect(byRevisions([...writes, get('c', 20, 'zz', 3, 3, 3)])).toContain('readValue');
  });
});

describe('durability at the end', () => {
  const state = (value: string | null, rev: number, version: number): ReadonlyMap<string, FinalState> =>
    new Map(value === null ? [] : [['x', { value, rev, version }]]);
  const lost = (operations: readonly HistoryOperation[], final: ReadonlyMap<string, FinalState>): string[] =>
    checkDurability(operations, final).map(({ id }) => id);
  const writes = [put('a', 0, 'v1', 1, 1), put('b', 10, 'v2', 2, 2)];

  it('of honest stores nothing is lost', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const operations = honestHistory(new Prng(seed), { ...options, unknown: 0 });
      expect([seed, lost(operations, finalStateOf(operations))]).toEqual([seed, []]);
    }
  });

  it('a key that is gone, went back, or became something else', () => {
    expect(lost(writes, state('v2', 2, 2))).toEqual([]);
    expect(lost(writes, state(null, 0, 0))).toEqual(['acknowledgedWriteLost', 'acknowledgedWriteLost']);
    expect(lost(writes, state('v1', 1, 1))).toEqual(['acknowledgedWriteLost']);
    const again = [...writes, put('c', 20, 'v1', 3, 3)];
    expect(lost(again, state('v1', 3, 3))).toEqual([]);
    expect(lost(again, state('v1', 1, 1))).toEqual(['acknowledgedWriteLost', 'acknowledgedWriteLost']);
    expect(lost(writes, state('v2', 2, 3))).toEqual(['acknowledgedWriteLost']);
    expect(lost(writes, state('zz', 3, 3))).toEqual(['acknowledgedWriteLost', 'acknowledgedWriteLost']);
  });

  it('what an unknown write can have done is no loss, and times serve where there are no revisions', () => {
    const unknown: HistoryOperation = {
      ...{ c: 'd', op: 'delete', k: 'x', call: 1, ret: null },
      out: { st: 'unknown' },
    };
    expect(lost([...writes, unknown], state(null, 0, 0))).toEqual([]);
    const bare = writes.map((write) => ({ ...write, out: { st: 'ok' } as const }));
    expect(lost(bare, state('v2', 0, 0))).toEqual([]);
    expect(lost(bare, state('v1', 0, 0))).toEqual(['acknowledgedWriteLost']);
  });
});
