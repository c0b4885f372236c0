// First starts under faults, with plans made by hand: the cluster forms once the world lets it, and only once.

import { describe, expect, it } from 'vitest';
import { planOf, type Fault, type Plan } from '../../src/sim/plan.js';
import { runSimulation } from '../../src/sim/simulator.js';

/** Three nodes, no clients, nothing wrong but the given faults. */
function planWith(seed: number, faults: readonly Fault[]): Plan {
  const plan = planOf(seed, { safetyMs: 8_000, healMs: 12_000 });
  const machines = plan.machines.slice(0, 3);
  return { ...plan, machines, clients: [], operations: [], peerMode: 'tcp', families: ['by hand'], faults };
}

describe('a cluster that forms for the first time', () => {
  it('comes to rest when nothing is wrong', () => {
    expect(runSimulation(planWith(1, [])).violations).toEqual([]);
  });

  it('goes on after the disk of a node was full while it made its log', () => {
    // Found by seed 264: the error of the disk was taken for a fault of the peer's link, and the node waited for ever.
    for (const node of [0, 1, 2]) {
      const fault: Fault = { kind: 'fullDisk', atMs: 0, untilMs: 6_000, node, freeBytes: 30_000 };
      const { violations, coverage } = runSimulation(planWith(2, [fault]));
      expect(violations).toEqual([]);
      expect(coverage['stopped by its disk']).toBeGreaterThan(0);
    }
  });

  it('survives a crash before each of its first effects', () => {
    for (let afterEffects = 1; afterEffects <= 30; afterEffects++) {
      for (const node of [0, 2]) {
        const fault: Fault = {
          ...{ kind: 'crash', atMs: 0, node, downMs: 200, machine: 'power', afterEffects },
          unsynced: afterEffects % 2 === 0 ? 'none' : 'subset',
          entries: afterEffects % 3 === 0 ? 'none' : 'subset',
        };
        // The crash is armed once the machine runs.
        const plan = planWith(afterEffects, []);
        const atMs = (plan.machines[node]?.startAtMs ?? 0) + 1;
        const { violations, coverage } = runSimulation({ ...plan, faults: [{ ...fault, atMs }] });
        expect(violations).toEqual([]);
        expect(coverage['power midway']).toBe(1);
      }
    }
  });
});
