// The checker of format levels, shown worlds in which versions meet, and one thing is wrong.

import { describe, expect, it } from 'vitest';
import { Bench, type Fake } from './checkers-bench.js';

/** A log whose entries are of these levels, all applied. */
function log(levels: readonly number[], formatLevel: number): Fake {
  const terms = levels.map(() => 1);
  const payloads = Object.fromEntries(levels.map((level, i) => [i + 1, level]));
  const all = levels.length;
  return { term: 1, terms, payloads, committed: all, applied: all, durablyApplied: all, formatLevel };
}

const bothNew = (): Bench => new Bench().runs('a', 2).runs('b', 2);

describe('versions that meet', () => {
  it('may stay at the older level, or be raised when all know the newer one', () => {
    const older = new Bench()
      .runs('a', 1)
      .runs('b', 2)
      .see('a', log([1], 1))
      .see('b', log([1], 1));
    expect(older.ids).toEqual([]);
    expect(
      bothNew()
        .see('a', log([1], 1))
        .see('a', log([1, 2], 2))
        .see('b', log([1, 2], 2)).ids,
    ).toEqual([]);
  });

  it('are not raised while a member never ran software that knows the level', () => {
    expect(
      new Bench()
        .runs('a', 2)
        .runs('b', 1)
        .see('a', log([2], 1)).ids,
    ).toEqual(['formatLevel']);
    // By its state, without an entry: as the formation or a snapshot brings it.
    expect(new Bench().runs('a', 2).runs('b', 1).see('a', log([], 2)).ids).toEqual(['formatLevel']);
    // It is enough that it once ran: whoever went back has to be renewed.
    expect(
      bothNew()
        .runs('b', 1)
        .see('a', log([2], 2)).ids,
    ).toEqual([]);
  });

  it('never have in log or state what the software that runs does not know', () => {
    const setBack = (): Bench =>
      bothNew()
        .see('a', log([1, 2], 2))
        .runs('b', 1);
    expect(setBack().see('b', log([1], 1)).ids).toEqual([]);
    expect(setBack().see('b', log([1, 2], 1)).ids).toEqual(['formatLevel']);
    expect(setBack().see('b', log([1], 2)).ids).toEqual(['formatLevel']);
  });

  it('never come down again', () => {
    const raised = (): Bench => bothNew().see('a', log([1, 2], 2));
    expect(raised().see('a', log([1, 2, 1], 2)).ids).toEqual([]);
    expect(raised().see('a', log([1, 2, 1], 1)).ids).toEqual(['formatLevel']);
    expect(raised().see('a', log([1, 2], 1), 2).ids).toEqual(['formatLevel']);
  });
});
