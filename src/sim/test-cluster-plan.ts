// The world of a test cluster: an ordinary one, where nothing goes wrong by itself. Machines are alike and
// fast, clocks exact, links in order and without loss; what happens is up to the test. The seed decides the
// small things that differ from run to run on real machines: delays, election timeouts, ids.

import { defaultNodeConfig } from '../server/node-config.js';
import { planOf, type Plan } from './plan.js';

const wallStartMs = 1_700_000_000_000;

/** `nodes`: 1 .. 7, called n1, n2, … The same seed and size give the same plan. */
export function calmPlan(seed: number, nodes: number): Plan {
  const plan = planOf(seed, { nodes, families: [], safetyMs: 1, healMs: 1 });
  const { raft, store, sliceMs } = defaultNodeConfig;
  return {
    ...plan,
    peerMode: 'tcp',
    conditions: { latencyUsMin: 50, latencyUsMean: 50, loss: 0, duplication: 0, reordering: 0 },
    disk: { writeUsMin: 5, writeUsMean: 20, syncUsMin: 50, syncUsMean: 150 },
    store: { readUsMean: 20, batchUsMin: 100, batchUsMean: 500 },
    knobs: {
      ...plan.knobs,
      // Files live in memory: small segments, and a log that a test does not fill by accident.
      segmentBytes: 65_536,
      quotaBytes: 1_073_741_824,
      appendEntriesMax: raft.appendEntriesMax,
      appendBytesMax: raft.appendBytesMax,
      inFlightMessagesMax: raft.inFlightMessagesMax,
      inFlightBytesMax: raft.inFlightBytesMax,
      applyBytesMax: raft.applyBytesMax,
      entryCacheBytesMax: raft.entryCacheBytesMax,
      groupBytesMax: store.groupBytesMax,
      groupIntervalMs: store.groupIntervalMs,
      sliceMs,
    },
    machines: plan.machines.map(({ name, clockStartMs }) => ({
      name,
      clockStartMs,
      clockRate: 1,
      wallOffsetMs: wallStartMs,
      eventCostUs: 0,
      clockReadCostUs: 0,
      startAtMs: 0,
    })),
    clients: [],
    operations: [],
    faults: [],
  };
}
