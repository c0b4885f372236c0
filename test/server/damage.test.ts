// Members of a virtual cluster whose log or store is damaged, and members that fall behind a short log: they
// come back by themselves, lose nothing, and promise nothing twice (the checkers of the simulator say so).

import { describe, expect, it } from 'vitest';
import type { DamageKind } from '../../src/sim/plan/faults.js';
import { planOf } from '../../src/sim/plan/draw.js';
import type { Fault } from '../../src/sim/plan/faults.js';
import type { Plan } from '../../src/sim/plan/plan.js';
import { runSimulation } from '../../src/sim/run/simulator.js';

const shortLog = { snapshotLogEntriesMax: 12, snapshotLogBytesMax: 65_536, snapshotChunkBytes: 4_096 };

/** Three nodes under the load of a seed, with only these faults. */
function planOfThree(seed: number, faults: readonly Fault[]): Plan {
  const plan = planOf(seed, { nodes: 3, safetyMs: 12_000 });
  const core = { nodes: [0, 1, 2], others: [] };
  return { ...plan, core, families: ['by hand'], faults, knobs: { ...plan.knobs, ...shortLog } };
}

function run(plan: Plan): { said: (words: string) => number; marks: Readonly<Record<string, number>> } {
  const { violations, trace, coverage } = runSimulation(plan);
  expect(violations).toEqual([]);
  return { said: (words) => trace.filter((line) => line.includes(words)).length, marks: coverage };
}

const damage = (kind: DamageKind, atMs: number, node: number, position = 0.4): Fault => {
  return { kind: 'damage', atMs, node, downMs: 300, damage: kind, position };
};

describe('a damaged disk in a cluster', () => {
  it.each([
    ['log', 'bitFlip', 3],
    ['store', 'storeOpen', 4],
  ] as const)('is replaced with what the others have: the %s', (what, kind, seed) => {
    const { said } = run(planOfThree(seed, [damage(kind, 4_000, 1), damage(kind, 8_000, 1, 0.6)]));
    expect(said(`this member recovers: the ${what}`)).toBe(2);
    expect(said('all members were heard')).toBe(2);
    expect(said('it votes from now on')).toBeGreaterThan(0);
  });

  it('waits while another member is away', () => {
    const away = { machine: 'kill', unsynced: 'all', entries: 'all', afterEffects: 0 } as const;
    const crash: Fault = { kind: 'crash', atMs: 3_900, node: 2, downMs: 4_000, ...away };
    const { said } = run(planOfThree(5, [crash, damage('storeOpen', 4_000, 1)]));
    expect(said('this member recovers')).toBe(1);
    expect(said('all members were heard')).toBe(1);
  });
});

describe('a member that was away', () => {
  it('gets a snapshot when the log of the others begins later', () => {
    const away = { machine: 'power', unsynced: 'none', entries: 'none', afterEffects: 0 } as const;
    const crashes = [0, 1, 2].map((node): Fault => {
      return { kind: 'crash', atMs: 1_500 + 3_500 * node, node, downMs: 2_500, ...away };
    });
    const { said } = run(planOfThree(6, crashes));
    expect(said('the snapshot is installed')).toBeGreaterThan(0);
  });
});
