// The black-box checker against histories with known verdicts, against a judge that tries every order, and
// against its own limits.

import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import {
  checkLinearizability,
  type LinearizabilityResult,
} from '../../src/sim/checkers/clients/linearizability.js';
import type { HistoryOperation } from '../../src/sim/history/file.js';
import { processorMs } from '../waiting.js';
import { anyHistory, honestHistory, isLinearizable } from './linearizability-model.js';

/** `w 1-4 a`: a put of a, called at 1, returned at 4; `r`: a get, `-` for absent; `d`: a delete. */
function operation(text: string, i: number): HistoryOperation {
  const [kind, times = '', first = '-', second = '-'] = text.split(' ');
  const [call = '0', ret] = times.split('-');
  const base = { c: `c${i}`, k: 'x', call: Number(call), ret: ret === '?' ? null : Number(ret) };
  const ok = { st: base.ret === null ? 'unknown' : 'ok' } as const;
  const [a, b] = [first, second].map((value) => (value === '-' ? null : value)) as [string, string];
  switch (kind) {
    case 'w':
      return { ...base, op: 'put', v: a, out: ok };
    case 'd':
      return { ...base, op: 'delete', out: ok };
    case 'r':
      return { ...base, op: 'get', out: { st: 'ok', v: a } };
    case 'cas':
      return { ...base, op: 'cas', exp: a, v: b, out: ok };
    case 'fail':
      return { ...base, op: 'cas', exp: a, v: 'never', out: { st: 'fail', v: b } };
    default:
      throw new Error(`unknown operation ${text}`);
  }
}

function history(...lines: readonly string[]): HistoryOperation[] {
  return lines.map(operation);
}

function judge(...lines: readonly string[]): LinearizabilityResult['result'] {
  return checkLinearizability(history(...lines)).result;
}

function violation(operations: readonly HistoryOperation[]): LinearizabilityResult & { result: 'violation' } {
  const found = checkLinearizability(operations);
  if (found.result !== 'violation') throw new Error(`found ${found.result}`);
  return found;
}

describe('histories with known verdicts', () => {
  it.each([
    ['nothing', []],
    ['one after the other', ['w 1-2 a', 'r 3-4 a', 'd 5-6', 'r 7-8 -']],
    ['a read during a write sees the old value', ['w 1-2 a', 'w 3-9 b', 'r 4-5 a']],
    ['or the new one', ['w 1-2 a', 'w 3-9 b', 'r 4-5 b']],
    ['two reads during two writes, both orders', ['w 1-9 a', 'w 1-9 b', 'r 2-3 b', 'r 4-5 a', 'r 10-11 a']],
    ['a cas from each value to the next', ['cas 1-2 - a', 'cas 3-4 a b', 'fail 5-6 a b', 'r 7-8 b']],
    ['concurrent cas, one wins', ['w 1-2 a', 'cas 3-9 a b', 'fail 3-9 a b', 'r 10-11 b']],
    ['an unknown write that is seen later', ['w 1-2 a', 'w 3-? b', 'r 4-5 a', 'r 90-91 b']],
    ['an unknown write that never is', ['w 1-2 a', 'w 3-? b', 'r 4-5 a', 'r 90-91 a']],
    ['an unknown cas that a later one builds on', ['cas 1-? - a', 'cas 9-10 a b', 'r 11-12 b']],
    ['an unknown cas on an unknown put', ['w 1-? b', 'cas 9-? b a', 'd 8-11', 'r 10-11 a', 'w 12-? a']],
    ['an unknown delete, used once', ['w 1-2 a', 'd 3-?', 'r 4-5 a', 'r 6-7 -', 'w 8-9 b', 'r 10-11 b']],
    ['a return and a call at the same moment are concurrent', ['w 1-3 a', 'r 3-4 -']],
    // Herlihy and Wing 1990, §1.2, as registers: H1 and H3 are linearizable, H2 is not.
    ['H1', ['w 1-5 x', 'w 2-6 y', 'r 7-8 y', 'r 9-10 y']],
  ])('%s', (_name, lines) => {
    expect(judge(...lines)).toBe('linearizable');
    expect(isLinearizable(history(...lines))).toBe(true);
  });

  it.each([
    ['a value from nowhere', ['w 1-2 a', 'r 3-4 z'], 'nobody had begun to write that'],
    ['a value before it was written', ['r 1-2 a', 'w 3-4 a'], 'nobody had begun to write that'],
    ['a lost write', ['w 1-2 a', 'r 3-4 -'], 'no delete was called in time'],
    ['a stale read', ['w 1-2 a', 'w 3-4 b', 'r 5-6 a'], 'what it found was gone'],
    ['a deposed leader', ['w 1-2 a', 'w 3-4 b', 'r 5-6 b', 'r 7-8 a'], 'what it found was gone'],
    ['new, then old, during a write', ['w 1-2 a', 'w 3-9 b', 'r 4-5 b', 'r 6-7 a'], 'went back in time'],
    ['two reads, swapped', ['w 1-2 a', 'w 3-9 b', 'r 3-4 b', 'r 5-6 a', 'r 7-8 b'], 'went back in time'],
    ['a write applied twice', ['w 1-9 a', 'w 1-9 b', 'r 2-3 a', 'r 4-5 b', 'r 6-7 a'], 'brought back'],
    ['two cas that both won', ['w 1-2 a', 'cas 3-9 a b', 'cas 3-9 a c'], 'brought it back'],
    ['a cas that failed on what it expected', ['w 1-2 a', 'fail 3-4 a a'], 'found what it expected'],
    ['a cas that took what was gone', ['w 1-2 a', 'w 3-4 b', 'cas 5-6 a c'], 'what it found was gone'],
    ['a deleted key that is there', ['w 1-2 a', 'd 3-4', 'r 5-6 a'], 'what it found was gone'],
    ['an unknown write that came and went', ['w 1-2 a', 'w 3-? b', 'r 4-5 b', 'r 6-7 a'], 'back in time'],
    ['an unknown delete, used twice', ['w 1-2 a', 'd 3-?', 'r 4-5 -', 'w 6-7 b', 'r 8-9 -'], 'no order'],
    ['split brain', ['w 1-9 a', 'w 1-9 b', 'r 10-20 a', 'r 10-12 b', 'r 13-15 a', 'r 16-18 b'], ''],
  ])('%s', (_name, lines, words) => {
    expect(isLinearizable(history(...lines))).toBe(false);
    const found = violation(history(...lines));
    expect(found.key).toBe('x');
    expect(found.explanation).toContain(words);
    expect(isLinearizable(found.smallest)).toBe(false);
  });

  it('names the key, and only operations that the proof needs', () => {
    const noise = Array.from({ length: 200 }, (_, i) => ({
      ...operation(`w ${10 * i}-${10 * i + 4} n${i}`, i),
      k: i % 2 === 0 ? 'x' : 'y',
    }));
    const stale = { ...operation('r 1905-1907 n100', 999), c: 'reader' };
    const found = violation([...noise, stale]);
    expect(found.key).toBe('x');
    expect(found.smallest).toEqual([noise[190], stale]);
    expect(found.explanation).toContain('get by reader returned "n100"');
    expect(found.explanation).toContain('by c100 had returned before');
  });
});

describe('against a judge that tries every order', () => {
  it.each([1, 2, 3, 4])('small histories of any kind, seed %i', (seed) => {
    const prng = new Prng(seed);
    const verdicts = { true: 0, false: 0 };
    for (let i = 0; i < 1_500; i++) {
      const values = prng.pick([
        ['a', null],
        ['a', 'b', null],
        ['a', 'b', 'c', 'd', null],
      ]);
      const operations = anyHistory(prng, prng.integer(1, 6), values);
      const truth = isLinearizable(operations);
      const found = checkLinearizability(operations);
      expect([operations, found.result]).toEqual([operations, truth ? 'linearizable' : 'violation']);
      if (found.result === 'violation') {
        expect(isLinearizable(found.smallest)).toBe(false);
        // A fair proof: whatever of the rest comes back, it explains nothing.
        const some = operations.filter((one) => found.smallest.includes(one) || prng.chance(0.5));
        expect([operations, some, isLinearizable(some)]).toEqual([operations, some, false]);
      }
      verdicts[`${truth}`]++;
    }
    expect(Math.min(verdicts.true, verdicts.false)).toBeGreaterThan(200);
  });

  it.each([11, 12, 13])('few values, and most writes of unknown outcome, seed %i', (seed) => {
    const prng = new Prng(seed);
    const verdicts = { true: 0, false: 0 };
    for (let i = 0; i < 1_500; i++) {
      const values = prng.pick([
        ['a', 'b'],
        ['a', 'b', null],
      ]);
      const operations = anyHistory(prng, prng.integer(3, 7), values).map((one): HistoryOperation => {
        const isForgotten = one.op !== 'get' && one.out.st === 'ok' && prng.chance(0.7);
        return isForgotten ? { ...one, out: { st: 'unknown' } } : one;
      });
      const truth = isLinearizable(operations);
      const expected = truth ? 'linearizable' : 'violation';
      expect([operations, checkLinearizability(operations).result]).toEqual([operations, expected]);
      verdicts[`${truth}`]++;
    }
    expect(Math.min(verdicts.true, verdicts.false)).toBeGreaterThan(200);
  });
});

describe('large histories', () => {
  const mix = { gets: 0.4, deletes: 0.1, swaps: 0.2 };

  it('an honest one of 20,000 operations, some hundred of them unknown', () => {
    const options = { operations: 20_000, keys: 8, clients: 10, unknown: 0.03, ...mix };
    const operations = honestHistory(new Prng(3), options);
    expect(operations.filter(({ out }) => out.st === 'unknown').length).toBeGreaterThan(300);
    expect(checkLinearizability(operations)).toEqual({ result: 'linearizable' });
  });

  it('one wrong answer near the end of a hot key', () => {
    const options = { operations: 4_000, keys: 1, clients: 10, unknown: 0.02, ...mix };
    const operations = honestHistory(new Prng(4), options);
    const place = operations.findLastIndex(
      ({ op, out }) => op === 'get' && out.st === 'ok' && out.v !== null,
    );
    const read = operations[place] as HistoryOperation;
    const old = operations.findLast(
      ({ op, out, ret }) => op === 'put' && out.st === 'ok' && (ret ?? 0) < read.call - 3_000,
    );
    operations[place] = { ...read, out: { st: 'ok', v: old?.v ?? null } };
    const found = violation(operations);
    expect(found.smallest.length).toBeLessThan(6);
    expect(found.smallest.map(({ call }) => call)).toContain(read.call);
  });
});

// Values that are not unique, all at once: nothing helps but trying.
const hard = Array.from({ length: 60 }, (_, i) => [
  operation(`w ${i % 7}-${100 + (i % 5)} v${i % 6}`, i),
  operation(`cas ${i % 3}-${100 + (i % 4)} v${(i * 5) % 6} v${(i * 7) % 6}`, 100 + i),
]).flat();
const impossible = [...hard, operation('r 200-201 v1', 300), operation('r 202-203 v2', 301)];

describe('many writes of unknown outcome over few values', () => {
  const unknown = { k: 'x', ret: null, out: { st: 'unknown' } } as const;
  const read = (i: number, v: string): HistoryOperation => {
    const call = 5_000 + 10 * i;
    return { c: 'r', op: 'get', k: 'x', call, ret: call + 5, out: { st: 'ok', v } };
  };
  const puts = Array.from({ length: 200 }, (_, i): HistoryOperation => {
    return { ...unknown, c: `u${i}`, op: 'put', v: `a${i % 4}`, call: i };
  });
  const reads = puts.map((_, i) => read(i, `a${(7 * i) % 4}`));

  it('are not used up on values that nobody finds', () => {
    const limits = { stepsMax: 100_000 };
    expect(checkLinearizability([...puts, ...reads], limits)).toEqual({ result: 'linearizable' });
    // The value has to come back once more than it was written.
    const tooMany = checkLinearizability([...puts, ...reads, read(200, 'a1'), read(201, 'a0')], limits);
    expect(tooMany.result).not.toBe('linearizable');
  });

  it('what comparing them costs counts as steps', () => {
    const values = ['a0', 'a1', 'a2', 'a3'];
    const swaps = values.flatMap((exp, i) =>
      values.flatMap((v, j) =>
        i === j ? [] : Array.from({ length: 5 }, (_, n) => ({ ...unknown, c: `s${i}${j}${n}`, exp, v })),
      ),
    );
    const prng = new Prng(1);
    const operations = [
      { c: 'p', op: 'put', k: 'x', v: 'a0', call: 1, ret: 2, out: { st: 'ok' } } as const,
      ...swaps.map((swap, i) => ({ ...swap, op: 'cas' as const, call: i })),
      ...Array.from({ length: 80 }, (_, i) => read(i, prng.pick(values))),
    ];
    // What a step costs where there is nothing to compare.
    const plainMs = processorMs(() => checkLinearizability(impossible, { stepsMax: 20_000_000 }));
    let found: unknown;
    const spentMs = processorMs(() => {
      found = checkLinearizability(operations, { stepsMax: 20_000_000 });
    });
    expect(found).toMatchObject({ result: 'undecided', reason: 'gave up after 20000000 steps' });
    expect(spentMs).toBeLessThan(5 * plainMs);
  });
});

describe('limits', () => {
  it('gives up after so many steps, the same way every time', () => {
    const found = checkLinearizability(impossible, { stepsMax: 10_000 });
    expect(found).toEqual({ result: 'undecided', key: 'x', reason: 'gave up after 10000 steps' });
    expect(checkLinearizability(impossible, { stepsMax: 10_000 })).toEqual(found);
  });

  it('gives up after so many configurations, and at a deadline', () => {
    const few = checkLinearizability(impossible, { configurationsMax: 500 });
    expect(few).toMatchObject({ result: 'undecided', reason: 'gave up after 500 configurations' });
    let now = 0;
    const late = checkLinearizability(impossible, { budgetMs: 50, nowMs: () => (now += 20) });
    expect(late).toMatchObject({ result: 'undecided', reason: 'gave up after 50 ms' });
  });

  it('a violation of another key comes before', () => {
    const other = history('w 1-2 a', 'r 3-4 -').map((one) => ({ ...one, k: 'y' }));
    const limits = { stepsMax: 50_000 };
    expect(checkLinearizability([...other, ...impossible], limits)).toMatchObject({ key: 'y' });
  });

  it('limits that make no sense', () => {
    expect(() => checkLinearizability([], { stepsMax: 0 })).toThrow('stepsMax is 0');
    expect(() => checkLinearizability([], { configurationsMax: Number.NaN })).toThrow(
      'configurationsMax is NaN',
    );
    expect(() => checkLinearizability([], { budgetMs: 10 })).toThrow('pass nowMs');
  });

  it('a transaction makes its keys undecided, and only them', () => {
    const transaction: HistoryOperation = {
      ...{ c: 't', op: 'txn', k: 'x,z', keys: ['x', 'z'], call: 1, ret: 2 },
      out: { st: 'ok' },
    };
    const stale = history('w 1-2 a', 'r 3-4 -');
    expect(checkLinearizability([...stale, transaction])).toMatchObject({ result: 'undecided', key: 'x' });
    const elsewhere = stale.map((one) => ({ ...one, k: 'y' }));
    expect(checkLinearizability([...elsewhere, transaction])).toMatchObject({
      result: 'violation',
      key: 'y',
    });
    const none: HistoryOperation = { ...transaction, out: { st: 'fail' } };
    expect(checkLinearizability([...stale, none])).toMatchObject({ result: 'violation', key: 'x' });
  });
});
