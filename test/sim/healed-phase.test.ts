// The healed phase: what stays wrong outside the core may not keep the core from its work, and a core that
// cannot work is noticed.

import { describe, expect, it } from 'vitest';
import type { Aftermath, CorePlan, Fault } from '../../src/sim/plan/faults.js';
import { planOf } from '../../src/sim/plan/draw.js';
import { theLeader } from '../../src/sim/plan/faults.js';
import type { Plan } from '../../src/sim/plan/plan.js';
import { runSimulation } from '../../src/sim/run/simulator.js';

function planFor(nodes: number, core: CorePlan, faults: readonly Fault[] = [], seed = 1): Plan {
  const plan = planOf(seed, { nodes, safetyMs: 4_000, families: [] });
  return { ...plan, core, faults };
}

const coreWithout = (nodes: number, states: Readonly<Record<number, Aftermath>>): CorePlan => ({
  nodes: Array.from({ length: nodes }, (_, i) => i).filter((node) => states[node] === undefined),
  others: Object.entries(states).map(([node, state]) => ({ node: Number(node), state })),
});

describe('a core', () => {
  it('comes to rest beside a node in every state, also when that node led or was ahead of all', () => {
    for (const state of ['dead', 'cut', 'deaf', 'mute', 'flapping', 'sick', 'stuck'] as const) {
      for (const node of [0, 1, 2]) {
        // Whoever leads is cut off for a while before that.
        const ways = [
          [theLeader.name, 'n1'],
          [theLeader.name, 'n2'],
          [theLeader.name, 'n3'],
        ] as const;
        const cut: Fault = { kind: 'cut', atMs: 2_000, untilMs: 3_900, ways };
        const plan = planFor(3, coreWithout(3, { [node]: state }), [cut], 10 + node);
        expect(runSimulation(plan).violations, `n${node + 1} ${state}`).toEqual([]);
      }
    }
  });

  it('of three comes to rest beside two that are heard and deaf', () => {
    const plan = planFor(5, coreWithout(5, { 1: 'deaf', 3: 'flapping' }));
    const { violations, coverage } = runSimulation(plan);
    expect(violations).toEqual([]);
    expect(coverage).toMatchObject({ 'core without a node': 1, 'node heard and deaf for ever': 1 });
  });

  it('that is no majority can serve nobody, and that is noticed in time', () => {
    const plan = planFor(5, coreWithout(5, { 0: 'dead', 1: 'cut', 2: 'mute' }));
    const { violations, virtualMs } = runSimulation(plan);
    expect(violations[0]).toMatchObject({ id: 'availability' });
    expect(violations[0]?.message).toMatch(/^0 of \d clients could read and write \d+ ms after the healing/);
    expect(virtualMs).toBeLessThan(4_000 + 20 * 600 + 4_200);
  });

  it('whose members differ at the end is noticed', () => {
    // Node 3 follows and writes nothing for ever, though it is said to be of the core.
    const plan = planFor(3, { nodes: [0, 1, 2], others: [{ node: 2, state: 'stuck' }] });
    const { violations } = runSimulation(plan);
    expect(violations.map(({ id }) => id)).toEqual(['convergence']);
    expect(violations[0]?.message).toMatch(/: n3 has /);
  });
});
