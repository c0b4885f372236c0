// The test cluster: how time moves, what each of its methods does, and what it says to wrong use. How it
// ends: test-cluster-end.test.ts.

import { afterEach, describe, expect, test, vi } from 'vitest';
import { KvorumClient } from '../../src/client/index.js';
import { StateMachine } from '../../src/kv/state-machine.js';
import { Raft } from '../../src/raft/raft.js';
import { testCluster, type TestCluster } from '../../src/sim/index.js';
import { aWhile } from '../waiting.js';
import { errorOf, realTime, watchUnhandled } from './test-cluster-bench.js';

watchUnhandled();
afterEach(() => {
  vi.restoreAllMocks();
});

/** A node that does not lead. */
function followerOf(c: TestCluster): string {
  return c.nodes.find((node) => node !== c.leader) ?? '';
}

describe('a new cluster', () => {
  test.each([1, 2, 3, 5, 7])('of %i nodes is ready within few events', async (nodes) => {
    await using c = await testCluster({ nodes, seed: 42 });
    expect(c.nodes).toEqual(Array.from({ length: nodes }, (_, i) => `n${i + 1}`));
    expect(c.isReady).toBe(true);
    expect(c.nodes).toContain(c.leader);
    // In the real world 50,000 events and more take a second; this is what keeps the start below 50 ms.
    expect(c.events).toBeLessThan(100 + 60 * nodes * nodes);
    expect(c.now).toBeLessThan(2_000);
    c.check();
  });

  test('gives the client that `connect` gives', async () => {
    await using c = await testCluster();
    await using kv = c.client();
    expect(kv).toBeInstanceOf(KvorumClient);
    const { revision } = await kv.put('users/42', 'Ada');
    const entry = await kv.get('users/42');
    expect([entry?.text(), entry?.version, entry?.modRevision]).toEqual(['Ada', 1, revision]);
    await kv.put('users/43', 'Bob', { ifAbsent: true });
    expect(await errorOf(kv.put('users/43', 'Eve', { ifAbsent: true }))).toMatchObject({ code: 'CONFLICT' });
    expect((await kv.range({ prefix: 'users/' }).all()).map(({ keyText }) => keyText)).toHaveLength(2);
    const large = await kv.put('large', new Uint8Array(1_048_576));
    expect((await kv.get('large', { readFrom: 'nearest' }))?.modRevision).toBe(large.revision);
    expect(await kv.delete({ prefix: 'users/' })).toMatchObject({ deleted: 2 });
    expect(await kv.count()).toBe(1);
    const { nodes, leader } = await kv.status();
    expect(nodes.map(({ id, reachable }) => [id, reachable])).toEqual(c.nodes.map((node) => [node, true]));
    expect(leader).toBe(c.leader);
  });
});

describe('virtual time', () => {
  test('stands still while nothing is awaited', async () => {
    await using c = await testCluster();
    const kv = c.client();
    await kv.put('a', '1');
    await realTime();
    const { now, events } = c;
    await aWhile();
    expect([c.now, c.events]).toEqual([now, events]);
  });

  test('moves to exactly the moment asked for', async () => {
    await using c = await testCluster();
    const { now } = c;
    await c.advance(1_234.5);
    expect(c.now).toBeCloseTo(now + 1_234.5, 3);
    await c.advance(0);
    expect(c.now).toBeCloseTo(now + 1_234.5, 3);
  });

  test('several sleepers wake in order, each at its own moment', async () => {
    await using c = await testCluster();
    const { now } = c;
    const woken: [string, number][] = [];
    const sleep = async (name: string, ms: number): Promise<void> => {
      await c.advance(ms);
      woken.push([name, Math.round(c.now - now)]);
    };
    await Promise.all([sleep('c', 300), sleep('a', 100), sleep('b', 200).then(() => sleep('d', 200))]);
    expect(woken.map(([name]) => name)).toEqual(['a', 'b', 'c', 'd']);
    expect(woken.map(([, ms]) => ms)).toEqual([100, 200, 300, 400]);
  });

  test('whoever waited goes on at the moment of the answer, not at the end of a slice', async () => {
    await using c = await testCluster();
    const kv = c.client();
    await kv.put('a', '0');
    const background = c.advance(10_000);
    const moments: number[] = [];
    for (let i = 0; i < 20; i++) {
      await kv.put('a', `${i}`);
      moments.push(c.now);
    }
    // One after the other, each a round trip or two after the one before; nothing else waited for anything.
    const gaps = moments.slice(1).map((moment, i) => moment - (moments[i] ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(10);
    await background;
  });

  test('without a majority a call ends by its own timeout, in no time', async () => {
    await using c = await testCluster();
    const kv = c.client({ timeoutMs: 600_000 });
    await kv.get('a');
    c.partition(['n1'], ['n2'], ['n3']);
    const { now } = c;
    const errors = await Promise.all([
      errorOf(kv.put('a', '1')),
      errorOf(kv.get('a', { timeoutMs: 5_000 })),
      errorOf(kv.put('a', '2', { timeoutMs: 60_000 })),
    ]);
    expect(errors.map(({ code }) => code)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
    expect(c.now - now).toBeCloseTo(600_000, 0);
  });

  test('fake timers of the test do not stop it', async () => {
    vi.useFakeTimers();
    try {
      await using c = await testCluster();
      expect(await c.client().put('a', '1')).toEqual({ revision: 1 });
      await c.advance(1_000);
    } finally {
      vi.useRealTimers();
    }
  });

  test('a signal ends a call at once, without time passing', async () => {
    await using c = await testCluster();
    const kv = c.client();
    await kv.put('a', '1');
    const controller = new AbortController();
    const call = errorOf(kv.put('a', '2', { signal: controller.signal }));
    const { now } = c;
    controller.abort('enough');
    expect(await call).toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(c.now).toBe(now);
    expect(await errorOf(kv.get('a', { signal: AbortSignal.abort() }))).toMatchObject({ code: 'ABORTED' });
    expect((await kv.get('a'))?.text()).toBe('1');
  });
});

describe('waitFor', () => {
  test('resolves with what the condition returned, at the first event after which it holds', async () => {
    await using c = await testCluster();
    const former = c.leader ?? '';
    c.kill(former);
    const leader = await c.waitFor(() => c.leader);
    expect(leader).not.toBe(former);
    expect(await c.waitFor(() => 'at once')).toBe('at once');
  });

  test('asks a condition that takes time again and again', async () => {
    await using c = await testCluster();
    const kv = c.client();
    const other = c.client();
    const writing = c.advance(95).then(() => other.put('flag', 'up'));
    const { now } = c;
    const entry = await c.waitFor(() => kv.get('flag'));
    expect(entry.text()).toBe('up');
    expect(c.now - now).toBeGreaterThan(95);
    expect(c.now - now).toBeLessThan(115);
    await writing;
  });

  test('ends at its deadline, which in binary fractions of milliseconds may never be reached', async () => {
    await using c = await testCluster({ nodes: 1 });
    c.kill('n1');
    for (let i = 0; i < 100; i++) {
      await c.advance(i / 7);
      const { now } = c;
      const timeoutMs = 10 * 3 ** (i % 8);
      const waiting = c.waitFor(() => (i < 50 ? false : Promise.resolve(false)), { timeoutMs });
      expect(await errorOf(waiting)).toMatchObject({ code: 'TIMEOUT' });
      expect(c.now - now).toBeCloseTo(timeoutMs, 2);
    }
  });

  test('fails with TIMEOUT and the state of the nodes, or with what the condition throws', async () => {
    await using c = await testCluster();
    c.crash('n1');
    c.pause('n2');
    const { now } = c;
    const error = await errorOf(c.waitFor(() => c.isReady, { timeoutMs: 3_000 }));
    expect(error).toMatchObject({ code: 'TIMEOUT' });
    expect(error.message).toMatch(/within 3000 ms of virtual time; n1 down, n2 paused, n3 \w+/);
    expect(c.now - now).toBeCloseTo(3_000, 3);
    expect(await errorOf(c.waitFor(() => Promise.resolve(false), { timeoutMs: 50 }))).toMatchObject({
      code: 'TIMEOUT',
    });
    let asked = 0;
    const throwing = c.waitFor(() => {
      if (++asked > 3) throw new RangeError('too often');
      return false;
    });
    await expect(throwing).rejects.toThrow(RangeError);
  });
});

describe('what goes wrong', () => {
  test('a partition cuts its groups from each other, and heal mends it', async () => {
    await using c = await testCluster({ seed: 5 });
    const near = c.client({ name: 'near' });
    const far = c.client({ name: 'far' });
    await Promise.all([near.put('a', '1'), far.get('a')]);
    const alone = c.leader ?? '';
    const others = c.nodes.filter((node) => node !== alone);
    c.partition([alone, 'near'], [...others, 'far']);
    expect(await errorOf(near.put('a', '2', { timeoutMs: 3_000 }))).toMatchObject({ code: 'UNAVAILABLE' });
    await far.put('b', '2');
    expect(others).toContain(c.leader);
    c.heal();
    await c.waitFor(() => c.isReady);
    expect((await near.get('b'))?.text()).toBe('2');
    await c.waitFor(() => c.nodes.every((node) => c.status(node).stateHash === c.status('n1').stateHash));
    c.check();
  });

  test('a partition cuts both ways, whatever the order of the groups', async () => {
    for (const isLeaderFirst of [true, false]) {
      await using c = await testCluster({ seed: 5 });
      const kv = c.client();
      await kv.put('a', '1');
      const leader = [c.leader ?? ''];
      const others = c.nodes.filter((node) => node !== c.leader);
      const before = others.map((node) => c.status(node).lastIndex);
      c.partition(...(isLeaderFirst ? [leader, others] : [others, leader]));
      const call = kv.put('a', '2');
      await c.advance(3);
      expect(c.status(leader[0]).lastIndex).toBeGreaterThan(before[0] ?? 0);
      expect(others.map((node) => c.status(node).lastIndex)).toEqual(before);
      c.heal();
      await call;
    }
  });

  test.each(['to', 'from'] as const)(
    'a cut of the way %s a follower leaves the other way open',
    async (way) => {
      await using c = await testCluster({ seed: 5 });
      const kv = c.client();
      await kv.put('a', '1');
      const leader = c.leader ?? '';
      const follower = followerOf(c);
      const [from, to] = way === 'to' ? [leader, follower] : [follower, leader];
      c.cut(from, to);
      // A second cut of the same way changes nothing: one heal mends both.
      c.cut(from, to);
      await kv.put('a', '2');
      await c.advance(3);
      const lastIndex = c.status(leader).lastIndex ?? 0;
      expect(c.status(follower).lastIndex).toBe(way === 'to' ? lastIndex - 1 : lastIndex);
      // Without answers, or without what would be answered, it gets no further.
      await c.advance(200);
      await kv.put('a', '3');
      c.heal();
      await c.waitFor(() => c.status(follower).commitIndex === c.status(leader).commitIndex);
      c.check();
    },
  );

  test('a partition in the middle of a call decides only about what comes after', async () => {
    await using c = await testCluster({ seed: 5 });
    const kv = c.client();
    await kv.put('a', '1');
    const call = kv.put('a', '2', { timeoutMs: 60_000 });
    c.partition(['n1'], ['n2'], ['n3']);
    await c.advance(5_000);
    c.heal();
    // It was sent again to whoever leads now, and has taken effect once.
    await call;
    expect((await kv.get('a'))?.version).toBe(2);
  });

  test.each(['crash', 'kill'] as const)(
    '%s of every node loses nothing that was acknowledged',
    async (how) => {
      await using c = await testCluster({ seed: 9 });
      const kv = c.client();
      for (let round = 1; round <= 3; round++) {
        await Promise.all(Array.from({ length: 30 }, (_, i) => kv.put(`${i}`, `${round}`)));
        for (const node of c.nodes) c[how](node);
        expect(c.leader).toBeUndefined();
        const words = how === 'crash' ? 'loses power' : 'is killed';
        expect(c.trace().filter((line) => line.includes(words))).toHaveLength(3 * round);
        expect(c.status('n1')).toEqual({ id: 'n1', state: 'down', starts: round });
        await c.advance(100);
        for (const node of c.nodes) c.restart(node);
      }
      expect((await kv.range().all()).map((entry) => entry.text())).toEqual(Array<string>(30).fill('3'));
      expect((await kv.get('7'))?.version).toBe(3);
      c.check();
    },
  );

  test('a paused leader is replaced, and follows when it goes on', async () => {
    await using c = await testCluster({ seed: 2 });
    const kv = c.client();
    await kv.put('a', '1');
    const paused = c.leader ?? '';
    c.pause(paused);
    expect(c.status(paused)).toMatchObject({ state: 'paused', role: 'leader' });
    await kv.put('a', '2');
    expect(c.leader).not.toBe(paused);
    c.resume(paused);
    await c.waitFor(() => c.status(paused).leader === c.leader);
    expect(c.status(paused)).toMatchObject({ state: 'running', role: 'follower' });
    c.check();
  });
});

describe('the same seed and the same calls', () => {
  async function story(seed: number, value = 'x'): Promise<{ hash: string; trace: readonly string[] }> {
    await using c = await testCluster({ seed });
    const [kv, other] = [c.client(), c.client()];
    await kv.put('a', value);
    const writes = Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => (i % 2 ? kv : other).put(`k${i}`, '')),
    );
    c.crash(c.leader);
    await c.waitFor(() => c.leader);
    await writes;
    await kv.delete({ prefix: 'k' });
    c.partition(['n1'], ['n2']);
    await c.advance(1_000);
    c.check();
    return { hash: c.hash(), trace: c.trace() };
  }

  test('give the same run, others another one', async () => {
    const first = await story(4);
    // What else the process does between two calls is not part of the run.
    const [second, beside] = await Promise.all([story(4), story(4)]);
    expect(second).toEqual(first);
    expect(beside).toEqual(first);
    const { hash } = first;
    expect((await story(5)).hash).not.toBe(hash);
    expect((await story(4, 'y')).hash).not.toBe(hash);
  });
});

describe('check', () => {
  const broken = { code: 'INTERNAL', message: expect.stringMatching(/seed 6.*bug.*trace/s) as string };

  test('says that replicas differ', async () => {
    await using c = await testCluster({ seed: 6 });
    await c.client().put('a', '1');
    await c.advance(1_000);
    c.check();
    let hashes = 0;
    vi.spyOn(StateMachine.prototype, 'stateHashAt').mockImplementation(() => `${hashes++}`);
    expect(() => c.check()).toThrow(expect.objectContaining(broken) as Error);
    expect(() => c.check()).toThrow(/n1 and n2 have different states at index/);
  });

  test('what is broken ends every wait for time, and is told once', async () => {
    const c = await testCluster({ seed: 6 });
    const step = vi.spyOn(Raft.prototype, 'step').mockImplementation(() => {
      throw new Error('a bug of the core');
    });
    c.kill('n1');
    c.restart('n1');
    expect(await errorOf(c.advance(10_000))).toMatchObject(broken);
    step.mockRestore();
    expect(() => c.check()).toThrow(/unexpectedStop.*a bug of the core/s);
    await c.close();
  });

  test('what nobody was told of is told at the end', async () => {
    const c = await testCluster({ seed: 6 });
    let hashes = 0;
    vi.spyOn(StateMachine.prototype, 'stateHashAt').mockImplementation(() => `${hashes++}`);
    expect(await errorOf(c.close())).toMatchObject(broken);
  });
});

describe('wrong use', () => {
  const wrong: [string, (c: TestCluster) => unknown, RegExp][] = [
    ['an unknown node', (c) => c.crash('n9'), /no node "n9"; the nodes are n1, n2, n3/],
    ['no node', (c) => c.status(undefined as never), /undefined is not a node.*await c.waitFor/],
    [
      'a crash of a crashed node',
      (c) => (c.crash('n1'), c.crash('n1')),
      /cannot crash n1: it is down; start/,
    ],
    ['a kill of a crashed node', (c) => (c.crash('n1'), c.kill('n1')), /cannot kill n1: it is down/],
    [
      'a restart of a running node',
      (c) => c.restart('n1'),
      /cannot restart n1: it is running; crash or kill/,
    ],
    [
      'a restart of a paused node',
      (c) => (c.pause('n1'), c.restart('n1')),
      /n1: it is paused; crash or kill/,
    ],
    ['a second pause', (c) => (c.pause('n1'), c.pause('n1')), /cannot pause n1: it is paused; resume it/],
    ['a pause of a crashed node', (c) => (c.crash('n1'), c.pause('n1')), /cannot pause n1: it is down/],
    ['a resume of a running node', (c) => c.resume('n1'), /cannot resume n1: it is running; only/],
    ['one group', (c) => c.partition(['n1', 'n2']), /two groups of names or more/],
    ['names for groups', (c) => c.partition('n1' as never, 'n2' as never), /two groups/],
    [
      'an unknown host',
      (c) => c.partition(['n1'], ['c7']),
      /no host "c7"; the nodes and clients are n1, n2, n3$/,
    ],
    ['a host in two groups', (c) => c.partition(['n1'], ['n2', 'n1']), /n1 is named twice/],
    ['a cut of nothing', (c) => c.cut('n1', 'n1'), /way from "n1" to itself/],
    ['a cut to nowhere', (c) => c.cut('n1', 'n4'), /no host "n4"/],
    ['a name in use', (c) => c.client({ name: 'n2' }), /a host called n2 already/],
    ['a name with other characters', (c) => c.client({ name: 'a>b' }), /name must be 1 to 64 letters/],
    ['an unknown option', (c) => c.client({ timeout: 5 } as never), /timeout is not an option of client/],
    ['a wrong timeout', (c) => c.client({ timeoutMs: 0 }), /timeoutMs must be 1/],
    ['a wrong limit', (c) => c.client({ limits: { pingMs: 1 } as never }), /limits.pingMs is not a limit/],
  ];

  test.each(wrong)('%s', async (_, use, message) => {
    await using c = await testCluster();
    expect(() => use(c)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  test('of what takes time is an error of the promise', async () => {
    await using c = await testCluster();
    const errors: [Promise<unknown>, RegExp][] = [
      [c.advance(-1), /advance takes 0 .. 2147483647 ms, not -1/],
      [c.advance(Number.NaN), /not NaN/],
      [c.waitFor(true as never), /a function that returns the condition, not true/],
      [c.waitFor(() => true, { timeoutMs: -5 }), /timeoutMs must be 1/],
      [testCluster({ nodes: 8 }), /nodes must be an integer 1 .. 7, not 8/],
      [testCluster({ seed: 1.5 }), /seed must be an integer 0 .. 4294967295, not 1.5/],
      [
        testCluster({ node: 3 } as never),
        /node is not an option of testCluster; its options are nodes, seed/,
      ],
      [testCluster(3 as never), /takes an object of options, not 3/],
    ];
    for (const [promise, message] of errors) {
      expect(await errorOf(promise)).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(message),
      });
    }
  });

  test('more than 100 clients', async () => {
    await using c = await testCluster({ nodes: 1 });
    const clients = Array.from({ length: 100 }, () => c.client());
    await Promise.all(clients.map((kv, i) => kv.put('a', `${i}`)));
    expect(() => c.client()).toThrow(/at most 100 clients/);
  });
});
