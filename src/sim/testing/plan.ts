// The world of a test cluster: an ordinary one, where nothing goes wrong by itself. Machines are alike and
// fast, clocks exact, links in order and without loss; what happens is up to the test. The seed decides the
// small things that differ from run to run on real machines: delays, election timeouts, ids.

import { defaultNodeConfig } from '../../server/config/node-config.js';
import { wallStartMs } from '../plan/epoch.js';
import type { Plan } from '../plan/plan.js';

const clockStartMsStep = 100_000;

/** `nodes`: 1 .. 7, called n1, n2, … The same seed and size give the same plan. */
export function calmPlan(seed: number, nodes: number): Plan {
  const { raft, store, sliceMs } = defaultNodeConfig;
  return {
    formatVersion: 1,
    seed,
    // Not used: a test cluster lasts as long as its test.
    safetyMs: 0,
    healMs: 0,
    peerMode: 'tcp',
    conditions: { latencyUsMin: 50, latencyUsMean: 50, loss: 0, duplication: 0, reordering: 0 },
    disk: { writeUsMin: 5, writeUsMean: 20, syncUsMin: 50, syncUsMean: 150 },
    store: { readUsMean: 20, batchUsMin: 100, batchUsMean: 500 },
    knobs: {
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
    machines: Array.from({ length: nodes }, (_, i) => ({
      name: `n${i + 1}`,
      clockStartMs: clockStartMsStep * (i + 1),
      clockRate: 1,
      wallOffsetMs: wallStartMs,
      eventCostUs: 0,
      clockReadCostUs: 0,
      startAtMs: 0,
    })),
    clients: [],
    operations: [],
    families: [],
    faults: [],
  };
}
