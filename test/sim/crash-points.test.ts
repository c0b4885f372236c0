// A node with little to do is killed just before each of its effects in turn, starts on what the page cache
// kept, and loses power before it has written much more: what it acknowledged from the page cache alone
// would be gone.

import { expect, it } from 'vitest';
import type { Fault } from '../../src/sim/plan/faults.js';
import type { Plan, PlannedOperation } from '../../src/sim/plan/plan.js';
import { runSimulation } from '../../src/sim/run/simulator.js';
import { planWith } from './regressions.js';

const killAtMs = 4_000;

function planAt(node: number, afterEffects: number): Plan {
  const fate = { unsynced: 'none', entries: 'none' } as const;
  const faults: Fault[] = [
    { kind: 'crash', atMs: killAtMs, node, downMs: 5, machine: 'kill', afterEffects, ...fate },
    { kind: 'crash', atMs: killAtMs + 60, node, downMs: 300, machine: 'power', afterEffects: 0, ...fate },
  ];
  const quiet = planWith(7, faults, 5_000);
  const operations = [1_500, 3_000, killAtMs + 1].map((atMs): PlannedOperation => {
    return { atMs, client: 0, kind: 'put', key: `key ${atMs}`, condition: 'any', valueBytes: 16 };
  });
  const disk = { writeUsMin: 50, writeUsMean: 10, syncUsMin: 8_000, syncUsMean: 10 };
  const machines = quiet.machines.map((machine) => ({ ...machine, eventCostUs: 0, clockReadCostUs: 0 }));
  const clients = [{ name: 'c1', concurrency: 1, timeoutMs: 10_000 }];
  const conditions = { latencyUsMin: 50, latencyUsMean: 10, loss: 0, duplication: 0, reordering: 0 };
  return { ...quiet, machines, conditions, disk, clients, operations };
}

it('what was acknowledged survives a kill before each effect and a loss of power soon after', () => {
  let kills = 0;
  for (const node of [0, 1, 2]) {
    for (let afterEffects = 1; afterEffects <= 6; afterEffects++) {
      const { violations, coverage } = runSimulation(planAt(node, afterEffects));
      expect(violations).toEqual([]);
      kills += coverage['kill midway'] ?? 0;
    }
  }
  // Some come too late: the power is gone by then.
  expect(kills).toBeGreaterThan(12);
});

/** The node is killed while it becomes a member, and loses power before an effect of its next start. */
function bornTwice(killed: number, powerLost: number): Plan {
  const fate = { unsynced: 'none', entries: 'none' } as const;
  const times = { atMs: 101, node: 0, downMs: 5, machine: 'kill', afterEffects: killed } as const;
  const birth: Fault = { kind: 'crash', ...times, nextStarts: [powerLost], thenPower: true, ...fate };
  const plan = planWith(7, [birth], 5_000);
  return { ...plan, machines: plan.machines.map((machine) => ({ ...machine, startAtMs: 100 })) };
}

it('a member that is being made takes nothing for durable that an earlier process left', () => {
  let kills = 0;
  for (let killed = 1; killed <= 24; killed++) {
    for (let powerLost = 1; powerLost <= 16; powerLost++) {
      const { violations, coverage } = runSimulation(bornTwice(killed, powerLost));
      expect(violations, `killed before ${killed}, without power before ${powerLost}`).toEqual([]);
      kills += coverage['kill midway'] ?? 0;
    }
  }
  expect(kills).toBeGreaterThan(300);
});
