// The first seeds of every test run: the production node under everything that may go wrong. More are in
// smoke-more.test.ts, so that two processors share the work; many more are run with `kvorum sim`.

import { describe, expect, it } from 'vitest';
import { frequent, missedMarks } from '../../src/sim/run/coverage-marks.js';
import { planOf } from '../../src/sim/plan/draw.js';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { runSeeds } from './seeds.js';

const timeoutMs = 600_000;
const seeds = 60;

describe('simulated clusters', () => {
  it(
    `keep every promise in seeds 1 to ${seeds}, and meet what is rare`,
    () => {
      const { failures, coverage, seedsWith } = runSeeds(1, seeds);
      expect(failures).toEqual([]);
      // A simulator that no longer reaches the rare situations proves nothing. What is rarer than this is
      // looked for in the seeds of `.ci/run`.
      expect(missedMarks(seeds, (mark) => seedsWith[mark] ?? 0, frequent)).toEqual([]);
      expect(coverage['elections']).toBeGreaterThan(3 * seeds);
      expect(coverage['operations']).toBeGreaterThan(200 * seeds);
      expect(coverage['failedOperations']).toBeLessThan(0.2 * (coverage['operations'] ?? 0));
    },
    timeoutMs,
  );

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
