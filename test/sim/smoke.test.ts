// The first seeds of every test run: 60 virtual seconds each of the production node under faults. The other
// half is in smoke-more.test.ts, so that two processors share the work.

import { describe, expect, it } from 'vitest';
import { planOf } from '../../src/sim/plan.js';
import { runSimulation } from '../../src/sim/simulator.js';
import { regressions } from './regressions.js';
import { runSeeds } from './seeds.js';

const timeoutMs = 300_000;

describe('simulated clusters', () => {
  it(
    'keep every promise in seeds 1 to 55',
    () => {
      const { failures, coverage } = runSeeds(1, 55);
      expect(failures).toEqual([]);
      // A simulator that no longer reaches the rare situations proves nothing: each of these must have
      // happened.
      for (const mark of [
        'truncations',
        'torn tails',
        'power midway',
        'kill midway',
        'stopped by its disk',
      ]) {
        expect(coverage[mark], mark).toBeGreaterThan(0);
      }
      expect(coverage['elections']).toBeGreaterThan(3 * 55);
      expect(coverage['operations']).toBeGreaterThan(200 * 55);
      expect(coverage['failedOperations']).toBeLessThan(0.2 * (coverage['operations'] ?? 0));
    },
    timeoutMs,
  );

  it('are the same down to the last event for the same seed', () => {
    for (const seed of [3, 7, 10]) {
      const options = { safetyMs: 15_000, healMs: 15_000 };
      const first = runSimulation(planOf(seed, options));
      const second = runSimulation(planOf(seed, options), { trace: 'full' });
      expect(second.hash).toBe(first.hash);
      expect(second.events).toBe(first.events);
      expect(runSimulation(planOf(seed + 1, options)).hash).not.toBe(first.hash);
    }
  });
});

describe('plans that once broke something', () => {
  for (const { found, plan } of regressions) {
    it(found, () => {
      expect(runSimulation(plan).violations).toEqual([]);
    });
  }
});
