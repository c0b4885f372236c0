// First starts under faults, with plans made by hand: the cluster forms once the world lets it, and only
// once.

import { describe, expect, it } from 'vitest';
import type { Fault } from '../../src/sim/plan/faults.js';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { planWith } from './regressions.js';

describe('a cluster that forms for the first time', () => {
  it('comes to rest when nothing is wrong', () => {
    expect(runSimulation(planWith(1, [])).violations).toEqual([]);
  });

  it('goes on after the disk of a node was full while it made its log', () => {
    for (const node of [0, 1, 2]) {
      const fault: Fault = { kind: 'fullDisk', atMs: 0, untilMs: 6_000, node, freeBytes: 30_000 };
      const { violations, coverage } = runSimulation(planWith(2, [fault]));
      expect(violations).toEqual([]);
      expect(coverage['stopped by its disk']).toBeGreaterThan(0);
    }
  });

  it('survives a crash before each of its first effects', () => {
    for (let afterEffects = 1; afterEffects <= 45; afterEffects++) {
      for (const node of [0, 2]) {
        const plan = planWith(afterEffects, []);
        const crash: Fault = {
          // Armed in the moment in which the machine starts.
          ...{ kind: 'crash', atMs: plan.machines[node]?.startAtMs ?? 0, node, downMs: 200 },
          ...{ machine: 'power', afterEffects },
          unsynced: afterEffects % 2 === 0 ? 'none' : 'subset',
          entries: afterEffects % 3 === 0 ? 'subset' : 'none',
        };
        const { violations, coverage } = runSimulation({ ...plan, faults: [crash] });
        expect(violations).toEqual([]);
        expect(coverage['power midway']).toBe(1);
      }
    }
  });

  it('keeps what it was when all lose power soon after', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const crashes = [0, 1, 2].map((node): Fault => {
        const fate = { unsynced: 'none', entries: 'none', afterEffects: 0 } as const;
        return { kind: 'crash', atMs: 500 + 150 * seed, node, downMs: 200, machine: 'power', ...fate };
      });
      const { violations, coverage } = runSimulation(planWith(seed, crashes));
      expect(violations).toEqual([]);
      expect(coverage['power']).toBe(3);
    }
  });
});
