// The promise of the whole client under everything the network and the cluster may do: every call ends
// exactly once; OK means exactly once, `none` means never, a conflict means never, and nothing happens twice.
// A seed decides the run; a failure names it.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import type { Call } from './harness.js';
import { getRequest, Harness, putRequest } from './harness.js';

interface Write {
  readonly call: Call;
  readonly value: string;
}

const longestMs = 200_000;

/** One run: faults and calls as the seed says, then peace until all is over. */
function runSeed(seed: number): { harness: Harness; writes: Write[]; reads: Call[] } {
  const dice = new Prng(seed);
  const harness = new Harness({ seed, limits: { requestsMax: 200 } });
  const { world, cluster } = harness;
  world.latencyMs = () => (dice.chance(0.02) ? dice.integer(50, 6_000) : dice.integer(1, 8));
  cluster.commitMs = () => (dice.chance(0.03) ? dice.integer(20, 4_000) : dice.integer(1, 5));
  cluster.refuse = (node, frame) => {
    if (!dice.chance(0.06)) return undefined;
    if (dice.chance(0.2)) return 'drop';
    // A write that was proposed and then given up: it may yet take effect.
    if (frame.kind === 'write' && node === cluster.leader && dice.chance(0.3)) {
      return { code: dice.pick(['UNAVAILABLE', 'NOT_LEADER']), outcome: 'unknown' };
    }
    return { code: dice.pick(['UNAVAILABLE', 'OVERLOADED', 'NOT_LEADER', 'NO_SPACE']), outcome: 'none' };
  };
  const writes: Write[] = [];
  const reads: Call[] = [];
  const steps = dice.integer(10, 60);
  for (let step = 0; step < steps; step++) {
    for (let calls = dice.integer(0, 5); calls > 0; calls--) {
      const timeoutMs = dice.chance(0.2) ? dice.integer(1, 50) : dice.integer(100, 90_000);
      if (dice.chance(0.2)) {
        reads.push(harness.submit(getRequest(`k${dice.integer(0, 3)}`), timeoutMs));
        continue;
      }
      const value = `v${writes.length}`;
      const ifRevision = dice.chance(0.2) ? dice.integer(0, cluster.revision) : undefined;
      const call = harness.submit(putRequest(`k${dice.integer(0, 3)}`, value, ifRevision), timeoutMs);
      writes.push({ call, value });
      if (dice.chance(0.05))
        world.at(world.nowMs + dice.integer(0, 30), () => call.pending?.cancel('enough'));
    }
    hurt(harness, dice);
    world.run(dice.chance(0.1) ? dice.integer(1_000, 70_000) : dice.integer(0, 60));
  }
  // Peace: calls end by their deadlines at the latest, and late copies arrive.
  for (const node of cluster.nodes) {
    node.restart();
    node.thaw();
  }
  cluster.refuse = () => undefined;
  cluster.electLeader(cluster.nodes[0], () => true);
  world.run(longestMs);
  return { harness, writes, reads };
}

function hurt({ cluster }: Harness, dice: Prng): void {
  const node = dice.pick(cluster.nodes);
  switch (dice.integer(0, 9)) {
    case 0:
      cluster.electLeader(node, () => dice.chance(0.5));
      return;
    case 1:
      cluster.electLeader(undefined, () => dice.chance(0.5));
      return;
    case 2:
      node.breakLinks();
      return;
    case 3:
      node.isFrozen = true;
      return;
    case 4:
      if (cluster.leader === node) cluster.electLeader(undefined, () => dice.chance(0.5));
      node.crash();
      return;
    case 5:
    case 6:
      for (const other of cluster.nodes) {
        other.restart();
        other.thaw();
      }
      if (cluster.leader === undefined) cluster.electLeader(node);
      return;
    default:
  }
}

const expectedCodes = [
  ...['OK', 'CONFLICT', 'TIMEOUT', 'UNAVAILABLE', 'OVERLOADED', 'ABORTED', 'NO_SPACE', 'SESSION_EXPIRED'],
];

function check(seed: number): void {
  const { harness, writes, reads } = runSeed(seed);
  const { cluster, engine, world } = harness;
  for (const { call, value } of writes) {
    expect(call.results, `seed ${seed}: ${value}`).toHaveLength(1);
    const times = cluster.effects.get(value) ?? 0;
    const { verdict } = call;
    const label = `seed ${seed}: ${value} ended ${verdict} and took effect ${times} times`;
    expect(times, label).toBeLessThanOrEqual(1);
    // An acknowledgement too early, a window overrun or a stamp used twice would show as another code.
    expect(expectedCodes, label).toContain(verdict.split(' ')[0]);
    if (verdict === 'OK') expect(times, label).toBe(1);
    if (verdict === 'CONFLICT' || verdict.endsWith('none')) expect(times, label).toBe(0);
  }
  for (const call of reads) {
    expect(call.results).toHaveLength(1);
    if (call.verdict !== 'got') expect(call.error.outcome).toBe('none');
  }
  expect(engine.pendingCount).toBe(0);
  // The client still works, and leaves nothing behind.
  const last = harness.put('last', 'last');
  world.run(10_000);
  expect(last.verdict, `seed ${seed}`).toBe('OK');
  let closed = 0;
  engine.close(() => closed++);
  world.run(10_000);
  expect(closed).toBe(1);
  expect(world.timerCount).toBe(0);
  expect(world.openLinks).toHaveLength(0);
}

test('whatever happens between client and cluster, no write is doubled, lost or misjudged', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), check), { numRuns: 150 });
});

test('the runs meet every kind of end', () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    for (const { call } of runSeed(seed).writes) seen.add(call.verdict);
  }
  for (const verdict of [
    'OK',
    'CONFLICT',
    'TIMEOUT unknown',
    'TIMEOUT none',
    'UNAVAILABLE none',
    'NO_SPACE none',
  ]) {
    expect([...seen]).toContain(verdict);
  }
});
