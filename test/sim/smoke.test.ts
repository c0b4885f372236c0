// The first seeds of every test run: the production node under everything that may go wrong. More are in
// smoke-more.test.ts, so that two processors share the work; many more are run with `kvorum sim`. A few seeds
// per test: on a busy machine each takes long.

import { describe, expect, it } from 'vitest';
import { frequent, missedMarks } from '../../src/sim/run/coverage-marks.js';
import { planOf } from '../../src/sim/plan/draw.js';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { rangesOf, runSeeds, type SeedsResult } from './seeds.js';

const seeds = 60;

describe('simulated clusters', () => {
  const results: SeedsResult[] = [];

  it.each(rangesOf(1, seeds))('keep every promise in seeds %i to %i', (first, last) => {
    const result = runSeeds(first, last);
    results.push(result);
    expect(result.failures).toEqual([]);
  });

  it('meet what is rare in all of them', () => {
    expect(results).toHaveLength(rangesOf(1, seeds).length);
    const sum = (field: 'coverage' | 'seedsWith', mark: string): number =>
      results.reduce((total, result) => total + (result[field][mark] ?? 0), 0);
    // A simulator that no longer reaches the rare situations proves nothing. What is rarer than this is
    // looked for in the seeds of `.ci/run`.
    expect(missedMarks(seeds, (mark) => sum('seedsWith', mark), frequent)).toEqual([]);
    expect(sum('coverage', 'elections')).toBeGreaterThan(3 * seeds);
    expect(sum('coverage', 'operations')).toBeGreaterThan(200 * seeds);
    expect(sum('coverage', 'failedOperations')).toBeLessThan(0.2 * sum('coverage', 'operations'));
  });

  it('are the same down to the last event for the same seed', () => {
    for (const seed of [3, 7, 10]) {
      const options = { safetyMs: 8_000, healMs: 15_000 };
      const first = runSimulation(planOf(seed, options));
      const second = runSimulation(planOf(seed, options), { trace: 'full' });
      expect(second.hash).toBe(first.hash);
      expect(second.events).toBe(first.events);
      expect(runSimulation(planOf(seed + 1, options)).hash).not.toBe(first.hash);
    }
  });
});
