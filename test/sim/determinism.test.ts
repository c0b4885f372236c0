// Two runs of one plan are the same; where they are not, the first event that differs is named.

import { describe, expect, it } from 'vitest';
import { Checkpoints, findDivergence } from '../../src/sim/run/determinism.js';
import { planOf } from '../../src/sim/plan/draw.js';
import { Scheduler } from '../../src/sim/world/scheduler.js';
import { runSimulation, type SimulationOptions, type SimulationResult } from '../../src/sim/run/simulator.js';

const plan = planOf(3, { safetyMs: 2_000, healMs: 15_000, nodes: 3, families: [] });

/**
 * A simulator that counts to `events`; from run number `differsFrom` on the event at `at` has other bytes.
 */
function fakeRun(events: number, at: number, differsFrom: number) {
  let runs = 0;
  return (_plan: unknown, { observer }: SimulationOptions): SimulationResult => {
    const run = ++runs;
    const scheduler = new Scheduler();
    for (let i = 1; i <= events; i++) {
      const differs = i === at && run >= differsFrom && run % 2 === 0;
      scheduler.schedule(i, 'message', undefined, () => undefined, Uint8Array.of(differs ? 1 : 0));
    }
    for (let event = scheduler.step(1e9); event !== undefined; event = scheduler.step(1e9)) {
      observer?.event?.(event, () => scheduler.hash());
    }
    const facts = { seed: 1, hash: scheduler.hash(), events, virtualMs: 1, violations: [] };
    return { ...facts, coverage: {}, trace: [] };
  };
}

describe('two runs of one plan', () => {
  it('are the same', () => {
    expect(findDivergence(plan, runSimulation(plan))).toBeUndefined();
  });

  it.each([1, 63, 64, 65, 4_000, 99_999, 100_000])('that part at event %i are told apart there', (at) => {
    const run = fakeRun(100_000, at, 1);
    const divergence = findDivergence(plan, run(plan, {}), run);
    expect(divergence?.eventsEqual).toBe(at - 1);
    expect(divergence?.first?.one).toContain(`[${(at / 1000).toFixed(3)}] world: message, 1 bytes`);
    expect(divergence?.first?.other).not.toBe(divergence?.first?.one);
    expect(divergence?.hashes[0]).not.toBe(divergence?.hashes[1]);
  });

  it('that part once and never again are still told apart', () => {
    let runs = 0;
    const run = fakeRun(1_000, 500, 1e9);
    const strange = (given: unknown, options: SimulationOptions): SimulationResult => {
      const result = run(given, options);
      return ++runs === 2 ? { ...result, hash: 'another' } : result;
    };
    const divergence = findDivergence(plan, strange(plan, {}), strange);
    expect(divergence).toMatchObject({ first: undefined, hashes: [expect.any(String), 'another'] });
  });
});

describe('checkpoints', () => {
  it('stay bounded and evenly spaced however long the run is', () => {
    const checkpoints = new Checkpoints();
    fakeRun(300_000, 0, 1)(plan, { observer: checkpoints });
    expect(checkpoints.hashes.length).toBeGreaterThanOrEqual(500);
    expect(checkpoints.hashes.length).toBeLessThan(1_024);
    const { interval, hashes } = checkpoints;
    expect(Math.floor(300_000 / interval)).toBe(hashes.length);
    const again = new Checkpoints();
    fakeRun(interval * 2, 0, 1)(plan, { observer: again });
    expect(hashes[1]).toBe(again.hashes.at(-1));
  });
});
