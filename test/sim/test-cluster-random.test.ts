// Random stories in test clusters: several services count by compare-and-set and by keys of their own while
// nodes fail, come back and are cut off. Whatever happens, every acknowledged count is there, none twice, all
// replicas agree, and the same story told again is the same down to its last event.

import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { type KvorumClient, KvorumError } from '../../src/client/index.js';
import { testCluster, type TestCluster } from '../../src/sim/index.js';

interface Outcome {
  readonly hash: string;
  /** Increments by the outcome of their write. */
  readonly acknowledged: number;
  readonly unknown: number;
  readonly counted: number;
}

/** Adds one to the counter again and again until it is told to stop. */
async function count(
  kv: KvorumClient,
  tally: { acknowledged: number; unknown: number },
  c: TestCluster,
  untilMs: number,
): Promise<void> {
  while (c.now < untilMs) {
    try {
      const entry = await kv.get('counter');
      await kv.put('counter', `${Number(entry?.text() ?? 0) + 1}`, { ifRevision: entry?.modRevision ?? 0 });
      tally.acknowledged++;
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      if (error.outcome === 'unknown') tally.unknown++;
    }
    await c.advance(25);
  }
}

/** One thing that goes wrong, or right again; at most a minority is away at a time. */
function disturb(c: TestCluster, random: Prng): void {
  const away = c.nodes.filter((node) => c.status(node).state !== 'running');
  const node = random.pick(c.nodes);
  const { state } = c.status(node);
  if (state === 'down') c.restart(node);
  else if (state === 'paused') c.resume(node);
  else {
    const mayFail = away.length < (c.nodes.length - 1) / 2;
    switch (random.integer(0, 6)) {
      case 0:
        if (mayFail) c.crash(node);
        return;
      case 1:
        if (mayFail) c.kill(c.leader ?? node);
        return;
      case 2:
        if (mayFail) c.pause(node);
        return;
      case 3:
        c.partition(
          [node, 'c1'],
          c.nodes.filter((other) => other !== node),
        );
        return;
      case 4:
        c.cut(node, random.pick(c.nodes.filter((other) => other !== node)));
        return;
      default:
        c.heal();
    }
  }
}

async function story(seed: number): Promise<Outcome> {
  const random = new Prng(seed);
  await using c = await testCluster({ nodes: random.pick([3, 3, 5]), seed });
  const tally = { acknowledged: 0, unknown: 0 };
  const clients = Array.from({ length: 3 }, () => c.client({ timeoutMs: random.pick([30, 100, 2_000]) }));
  const untilMs = c.now + 20_000;
  const counting = Promise.all(clients.map((kv) => count(kv, tally, c, untilMs)));
  while (c.now < untilMs) {
    await c.advance(random.integer(0, 400));
    disturb(c, random);
  }
  c.heal();
  for (const node of c.nodes) {
    const { state } = c.status(node);
    if (state === 'down') c.restart(node);
    if (state === 'paused') c.resume(node);
  }
  await counting;
  await c.waitFor(() => c.isReady);
  const counted = Number((await clients[0]?.get('counter', { timeoutMs: 10_000 }))?.text() ?? 0);
  await c.waitFor(() => new Set(c.nodes.map((node) => c.status(node).stateHash)).size === 1);
  c.check();
  return { hash: c.hash(), counted, ...tally };
}

describe('random stories', () => {
  const seeds = Array.from({ length: 10 }, (_, index) => index + 1);
  const outcomes: Outcome[] = [];

  test.each(seeds)(
    'count what was acknowledged, exactly once, and can be told again: seed %i',
    async (seed) => {
      const outcome = await story(seed);
      outcomes.push(outcome);
      expect(outcome.counted).toBeGreaterThanOrEqual(outcome.acknowledged);
      expect(outcome.counted).toBeLessThanOrEqual(outcome.acknowledged + outcome.unknown);
      if (seed <= 3) expect(await story(seed)).toEqual(outcome);
    },
  );

  test('are such that things are counted, and go wrong', () => {
    expect(outcomes).toHaveLength(seeds.length);
    expect(outcomes.reduce((sum, { acknowledged }) => sum + acknowledged, 0)).toBeGreaterThan(1_500);
    expect(outcomes.reduce((sum, { unknown }) => sum + unknown, 0)).toBeGreaterThan(0);
  });
});
