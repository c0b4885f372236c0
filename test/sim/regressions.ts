// The track record: every plan that once broke something, thinned out to what it takes, with what it found.
// Plans and not seeds, because what a seed means changes whenever the drawing of plans does.

import { planOf } from '../../src/sim/plan/draw.js';
import { theLeader, type Fault } from '../../src/sim/plan/faults.js';
import type { Plan, PlannedOperation } from '../../src/sim/plan/plan.js';
import { briskTiming } from '../../src/sim/plan/timings.js';

export interface Regression {
  /** What was wrong, and where. */
  readonly found: string;
  readonly plan: Plan;
}

/** The ordinary world of a seed without clients, with only these faults in it. */
export function planWith(seed: number, faults: readonly Fault[], safetyMs = 8_000): Plan {
  const plan = planOf(seed, { nodes: 3, safetyMs, healMs: 12_000 });
  // Everything heals at the end, whatever else the seed says.
  const core = { nodes: [0, 1, 2], others: [] };
  const knobs = { ...briskTiming, ...plan.knobs };
  return {
    ...plan,
    core,
    knobs,
    clients: [],
    operations: [],
    peerMode: 'tcp',
    families: ['by hand'],
    faults,
  };
}

export const regressions: readonly Regression[] = [
  {
    found:
      'server: a full disk while the log is made was taken for a fault of the peer ' +
      'link; the node waited for ever',
    plan: planWith(2, [{ kind: 'fullDisk', atMs: 0, untilMs: 6_000, node: 0, freeBytes: 30_000 }]),
  },
  {
    found:
      'server: the store of an idle node stayed behind by entries without effects that came during a batch',
    plan: planWith(4, [
      ...[0, 1, 2].map((node): Fault => {
        return { kind: 'slowDisk', atMs: 900, untilMs: 7_900, node, factor: 500 };
      }),
      { kind: 'restart', atMs: 6_200, node: theLeader.position, downMs: 200 },
      { kind: 'restart', atMs: 7_200, node: theLeader.position, downMs: 200 },
    ]),
  },
  {
    found:
      'raft: a follower whose read of its own log failed once, under a steady leader, never applied ' +
      'anything again (seed 52)',
    plan: readsOfTheLogFail(),
  },
  {
    found: 'server: a leader whose disk was full kept the whole cluster from taking writes (seed 60029)',
    plan: leaderWithFullDisk(),
  },
];

/** The disk of the leader fills and stays so for ever, while the others have room. */
function leaderWithFullDisk(): Plan {
  const { position: node } = theLeader;
  const plan = withPuts(planWith(1, [{ kind: 'fullDisk', atMs: 6_000, untilMs: 8_000, node, freeBytes: 0 }]));
  // Of the seed it leads.
  return { ...plan, core: { nodes: [0, 1], others: [{ node: 2, state: 'sick' }] } };
}

function withPuts(plan: Plan): Plan {
  const operations = Array.from({ length: 40 }, (_, i): PlannedOperation => {
    return { atMs: 1_500 + 100 * i, client: 0, kind: 'put', key: 'key', condition: 'any', valueBytes: 50 };
  });
  return { ...plan, clients: [{ name: 'c1', concurrency: 4, timeoutMs: 5_000 }], operations };
}

/** Entries that are applied one by one, from the disk, whose reads fail now and then. */
function readsOfTheLogFail(): Plan {
  const faults = [2_000, 2_500, 3_000, 4_000].flatMap((atMs) =>
    [0, 1, 2].map((node): Fault => ({ kind: 'failDisk', atMs, node, operation: 'read' })),
  );
  const plan = planWith(1, faults);
  const operations = Array.from({ length: 60 }, (_, i): PlannedOperation => {
    return { atMs: 1_500 + 40 * i, client: 0, kind: 'put', key: 'key', condition: 'any', valueBytes: 500 };
  });
  return {
    ...plan,
    knobs: { ...plan.knobs, entryCacheBytesMax: 1_000, applyBytesMax: 1 },
    clients: [{ name: 'c1', concurrency: 8, timeoutMs: 10_000 }],
    operations,
  };
}
