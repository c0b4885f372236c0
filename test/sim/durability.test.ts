// The last look at a store against the history of its clients: what may explain that a key is absent.

import { describe, expect, it } from 'vitest';
import { checkDurability, type FinalState } from '../../src/sim/checkers/raft/durability.js';
import type { HistoryOperation, HistoryOutcome } from '../../src/sim/history/file.js';

const absent: ReadonlyMap<string, FinalState> = new Map();

function lost(...operations: readonly HistoryOperation[]): (readonly HistoryOperation[])[] {
  return checkDurability(operations, absent).map((finding) => finding.operations);
}

function later(what: Pick<HistoryOperation, 'op' | 'v' | 'exp'>, out: HistoryOutcome): HistoryOperation {
  return { c: 'b', k: 'x', ...what, call: 10, ret: 15, out };
}

describe.each([
  ['with revisions', { st: 'ok', rev: 1, ver: 1 }],
  ['without', { st: 'ok' }],
] as const)('a key that is absent in the end, %s', (_name, out) => {
  const put: HistoryOperation = { c: 'a', op: 'put', k: 'x', v: 'v1', call: 0, ret: 5, out };
  const erase = (outcome: HistoryOutcome): HistoryOperation => later({ op: 'delete' }, outcome);

  it('was not deleted by what found nothing to delete', () => {
    expect(lost(put, erase({ st: 'ok', rev: 1, n: 0 }))).toEqual([[put]]);
    expect(lost(put, erase({ st: 'fail' }))).toEqual([[put]]);
    expect(lost(put, later({ op: 'cas', exp: null, v: null }, { st: 'ok' }))).toEqual([[put]]);
    const unknown = later({ op: 'cas', exp: null, v: null }, { st: 'unknown' });
    expect(lost(put, unknown)).toEqual([[put]]);
  });

  it('may have been deleted by what deleted it, does not say, or may have happened', () => {
    expect(lost(put, erase({ st: 'ok', rev: 2, n: 1 }))).toEqual([]);
    expect(lost(put, erase({ st: 'ok', rev: 2 }))).toEqual([]);
    expect(lost(put, erase({ st: 'unknown' }))).toEqual([]);
    expect(lost(put, later({ op: 'cas', exp: 'v1', v: null }, { st: 'ok', rev: 2 }))).toEqual([]);
    // Then the one that found nothing came after the one that nobody heard of.
    const second: HistoryOperation = { ...erase({ st: 'ok', n: 0 }), c: 'c', call: 20, ret: 25 };
    expect(lost(put, erase({ st: 'unknown' }), second)).toEqual([]);
  });
});
