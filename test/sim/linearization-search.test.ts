// What the search for an order remembers: never more than it saw, and no more than there is room for.

import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { SearchBudget } from '../../src/sim/checkers/search/search-budget.js';
import { VisitedConfigurations } from '../../src/sim/checkers/raft/visited-configurations.js';

describe('configurations seen', () => {
  const start = (budget = new SearchBudget()): ((...used: number[]) => boolean) => {
    const visited = new VisitedConfigurations(budget, false);
    return (...used) => visited.add(1, 5, [2, 3], used);
  };

  it('the fewer optional operations were used, the more is new', () => {
    const add = start();
    expect([add(2, 0), add(0, 2), add(2, 0)]).toEqual([true, true, false]);
    expect([add(1, 1), add(2, 1), add(1, 2), add(3, 0)]).toEqual([true, false, false, false]);
    // Takes the place of all the others, and of nothing that is not at least as much.
    expect([add(1, 0), add(0, 0), add(0, 1), add(9, 9)]).toEqual([true, true, false, false]);
  });

  it('as a list of all that were ever seen would have it', () => {
    const prng = new Prng(1);
    for (let round = 0; round < 200; round++) {
      const add = start();
      const all: number[][] = [];
      for (let i = 0; i < 60; i++) {
        const used = Array.from({ length: 3 }, () => prng.integer(0, 6));
        const isKnown = all.some((other) => other.every((count, place) => count <= (used[place] ?? 0)));
        expect([all, used, add(...used)]).toEqual([all, used, !isKnown]);
        all.push(used);
      }
    }
  });

  it('are compared with a bounded number of others, at a price', () => {
    const budget = new SearchBudget({ stepsMax: 6_000_000 });
    const add = start(budget);
    const count = 5_000;
    for (let i = 0; i < count; i++) expect(add(i, count - i)).toBe(true);
    expect(budget.exhausted).toBeUndefined();
    // The first thousand are known, all others might lead anywhere.
    expect([add(0, count), add(999, count), add(count - 1, 1)]).toEqual([false, false, true]);
    const little = new SearchBudget({ stepsMax: 1_000_000 });
    const addMore = start(little);
    for (let i = 0; i < count; i++) addMore(i, count - i);
    expect(little.exhausted).toBe('gave up after 1000000 steps');
  });

  it('are forgotten when they are superseded', () => {
    const budget = new SearchBudget({ configurationsMax: 10 });
    const add = start(budget);
    for (let i = 1_000; i > 0; i--) expect(add(i, i)).toBe(true);
    expect(budget.exhausted).toBeUndefined();
    for (let i = 0; i < 20; i++) add(100 + i, -i);
    expect(budget.exhausted).toBe('gave up after 10 configurations');
  });

  it('large ones take the room of several', () => {
    const budget = new SearchBudget({ configurationsMax: 100 });
    const visited = new VisitedConfigurations(budget, true);
    const pending = Array.from({ length: 1_000 }, (_, i) => i);
    for (let i = 0; i < 3; i++) visited.add(i, 1_001, pending, []);
    expect(budget.exhausted).toBe('gave up after 100 configurations');
  });
});
