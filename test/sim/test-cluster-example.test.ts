// How to test a service with `kvorum/testing`, by example. Each test is a story: a cluster, one or two
// services that use it, something that goes wrong at the worst moment, and what must hold all the same.
// Everything happens in virtual time, so that ten seconds of waiting take some milliseconds.

import { describe, expect, test } from 'vitest';
import { ConflictError, type KvorumClient, KvorumError } from '../../src/client/index.js';
import { testCluster } from '../../src/sim/index.js';

// ---- the code under test: small services that know nothing but a client

/** Takes the lock if it is free. */
async function tryLock(kv: KvorumClient, name: string, owner: string): Promise<boolean> {
  try {
    await kv.put(name, owner, { ifAbsent: true });
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}

/** Adds one to a counter, by compare-and-set. */
async function increment(kv: KvorumClient, key: string): Promise<void> {
  for (;;) {
    const entry = await kv.get(key);
    const next = Number(entry?.text() ?? 0) + 1;
    try {
      await kv.put(key, String(next), { ifRevision: entry?.modRevision ?? 0 });
      return;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
}

/**
 * A heartbeat that a service writes until it is told to stop. `sleep` is given, so that a test can give its
 * own.
 */
async function beat(
  kv: KvorumClient,
  sleep: (ms: number) => Promise<void>,
  stop: AbortSignal,
): Promise<number> {
  let beats = 0;
  while (!stop.aborted) {
    await kv.put('beat', String(++beats));
    await sleep(1_000);
  }
  return beats;
}

// ---- the tests

describe('a lock by compare-and-set', () => {
  test('is taken on the side with the majority only, and by one', async () => {
    await using c = await testCluster({ nodes: 3, seed: 7 });
    const inside = c.client({ name: 'inside' });
    const outside = c.client({ name: 'outside' });
    await Promise.all([inside.get('warm up'), outside.get('warm up')]);

    // The leader is cut off together with one of the clients.
    const alone = c.leader ?? '';
    const majority = c.nodes.filter((node) => node !== alone);
    c.partition([alone, 'inside'], [...majority, 'outside']);

    const [first, second] = await Promise.allSettled([
      tryLock(inside, 'lock', 'inside'),
      tryLock(outside, 'lock', 'outside'),
    ]);
    expect(second).toEqual({ status: 'fulfilled', value: true });
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });

    // A try that ended in doubt is settled by looking, not by guessing.
    c.heal();
    expect((await inside.get('lock'))?.text()).toBe('outside');
    expect(await tryLock(inside, 'lock', 'inside')).toBe(false);
    c.check();
  });
});

describe('a queue of writes', () => {
  test('goes on by itself when the leader fails in the middle', async () => {
    await using c = await testCluster({ nodes: 5, seed: 11 });
    const kv = c.client();
    const writes = Array.from({ length: 200 }, (_, i) =>
      kv.put(`orders/${String(i).padStart(3, '0')}`, `${i}`),
    );

    // Some are answered, some are under way, some have not even been sent.
    await Promise.race(writes);
    const failed = c.leader ?? '';
    c.crash(failed);
    const results = await Promise.all(writes);

    expect(c.leader).not.toBe(failed);
    // Each write has a revision of its own: none was lost, none was done twice.
    expect(new Set(results.map(({ revision }) => revision)).size).toBe(200);
    expect(await kv.count({ prefix: 'orders/' })).toBe(200);
    expect((await kv.get('orders/199'))?.version).toBe(1);

    c.restart(failed);
    await c.waitFor(() => c.nodes.every((node) => c.status(node).revision === 200));
    c.check();
  });
});

describe('a counter', () => {
  test('counts every increment exactly once across crashes of the leader', async () => {
    await using c = await testCluster({ nodes: 3, seed: 3 });
    const workers = Array.from({ length: 4 }, () => c.client());
    const total = 200;
    let begun = 0;
    const work = async (kv: KvorumClient): Promise<void> => {
      while (begun++ < total) await increment(kv, 'visits');
    };
    const working = Promise.all(workers.map(work));

    for (let crashes = 0; crashes < 3; crashes++) {
      // A request of each worker is on its way now, or its answer: the worker cannot tell which was lost.
      await c.advance(10);
      expect(begun).toBeLessThan(total);
      const leader = await c.waitFor(() => c.leader);
      c.crash(leader);
      await c.waitFor(() => c.leader);
      c.restart(leader);
    }
    await working;

    const [reader] = workers;
    expect((await reader?.get('visits'))?.text()).toBe(String(total));
    c.check();
  });
});

describe('a service with a loop of its own', () => {
  test('sleeps in virtual time when it is given the cluster for that', async () => {
    await using c = await testCluster();
    const stop = new AbortController();
    const running = beat(c.client(), (ms) => c.advance(ms), stop.signal);
    await c.advance(59_500);
    stop.abort();
    expect(await running).toBe(60);
  });

  test('waits for the majority no longer than its own timeout, and is told what is known', async () => {
    await using c = await testCluster();
    const kv = c.client({ timeoutMs: 2_000 });
    await kv.put('a', '1');
    // A follower hears with the next heartbeat what is committed; a read that may be old may miss it till
    // then.
    await c.advance(100);
    c.kill('n1');
    c.kill('n2');
    const before = c.now;
    const error: unknown = await kv.put('a', '2').catch((reason: unknown) => reason);
    expect(c.now - before).toBeCloseTo(2_000, -2);
    expect(KvorumError.is(error, 'UNAVAILABLE')).toBe(true);
    // What is left answers what it has, to those who accept that it may be old.
    expect((await kv.get('a', { consistency: 'serializable' }))?.text()).toBe('1');
  });
});
