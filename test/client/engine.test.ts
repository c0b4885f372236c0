// The engine's behaviour case by case: sessions, leaders, connections, limits, giving up and closing. Time is
// virtual and latency one millisecond, so that each test can say when something must have happened. What may
// be retried is in `retry-table.test`, what must hold always in `engine-model.test`.

import { describe, expect, test } from 'vitest';
import { kvLimits } from '../../src/kv/commands.js';
import { storeLimits } from '../../src/client/engine/limits.js';
import { decodeClientFrames } from '../../src/wire/clients/request-codec.js';
import { decodeClientCommand } from '../../src/wire/commands/command-codec.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import { ownVersions } from '../../src/wire/versions.js';
import type { EngineRequest } from '../../src/client/engine/requests.js';
import { FakeCluster, type ClusterNode } from './fake-cluster.js';
import { getRequest, Harness, putRequest, type Call } from './harness.js';

function node(harness: Harness, index: number): ClusterNode {
  return harness.cluster.nodes[index] as ClusterNode;
}

function writesReceived(harness: Harness, index: number): ReturnType<typeof decodeClientCommand>[] {
  return node(harness, index)
    .received.filter((frame) => frame.kind === 'write')
    .map((frame) => decodeClientCommand(new Uint8Array(frame.command)));
}

function isPutOf(frame: ClientFrame, value: string): boolean {
  if (frame.kind !== 'write') return false;
  const { operation } = decodeClientCommand(new Uint8Array(frame.command));
  return operation.kind === 'put' && Buffer.from(operation.value).toString() === value;
}

function verdicts(calls: readonly Call[]): string[] {
  return [...new Set(calls.map((call) => call.verdict))];
}

test('the limits of the store are the ones that the client checks', () => {
  expect(storeLimits).toEqual({
    keyBytesMax: kvLimits.keyBytesMax,
    valueBytesMax: kvLimits.valueBytesMax,
  });
});

describe('sessions', () => {
  test('the first write goes alone, the rest together, in few messages', () => {
    const harness = new Harness({ limits: { leaderReadsMax: 10_000 } });
    harness.world.run(50);
    const before = harness.world.links.flatMap((link) => link.messagesSent).length;
    const calls = Array.from({ length: 1_000 }, (_, i) => harness.put(`k${i}`, 'v'.repeat(600)));
    harness.world.run(1.5);
    expect(writesReceived(harness, 0)).toHaveLength(1);
    harness.world.run(50);
    expect(verdicts(calls)).toEqual(['OK']);
    const messages = harness.world.links.flatMap((link) => link.messagesSent).slice(before);
    expect(messages.length).toBeLessThanOrEqual(6);
    for (const message of messages) expect(message.length).toBeLessThanOrEqual(wireLimits.messageBytesTarget);
    const stamps = writesReceived(harness, 0).map(({ session }) => session);
    expect(stamps.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));
    expect(new Set(stamps.map(({ sessionId }) => sessionId)).size).toBe(1);
  });

  test('acknowledges only what is settled without a gap', () => {
    const harness = new Harness();
    harness.world.run(50);
    harness.put('a', 'a');
    harness.world.run(50);
    // Sequence 2 stays open, 3 and 4 are answered.
    harness.cluster.refuse = (_node, frame) =>
      frame.kind === 'write' && decodeClientCommand(frame.command).session.sequence === 2
        ? 'drop'
        : undefined;
    const open = harness.put('b', 'b', 1_000);
    harness.put('c', 'c');
    harness.put('d', 'd');
    harness.world.run(50);
    harness.put('e', 'e');
    harness.world.run(50);
    expect(writesReceived(harness, 0).at(-1)?.session).toMatchObject({ sequence: 5, acknowledgedThrough: 1 });
    harness.world.run(1_000);
    expect(open.verdict).toBe('TIMEOUT unknown');
    // Its caller has given up: it is acknowledged, so that a late copy is refused.
    harness.put('f', 'f');
    harness.world.run(50);
    expect(writesReceived(harness, 0).at(-1)?.session).toMatchObject({ sequence: 6, acknowledgedThrough: 5 });
  });

  test('a session that was idle for long is replaced, with a cluster time that is young', () => {
    const harness = new Harness();
    const calls = [harness.put('a', 'a')];
    harness.world.run(44_000);
    calls.push(harness.put('b', 'b'));
    harness.world.run(46_000);
    calls.push(harness.put('c', 'c'));
    harness.world.run(100);
    expect(verdicts(calls)).toEqual(['OK']);
    const [first, second, third] = writesReceived(harness, 0).map(({ session }) => session);
    expect(second).toMatchObject({ sessionId: first?.sessionId, sequence: 2 });
    expect(third?.sessionId).not.toBe(first?.sessionId);
    expect(third?.sequence).toBe(1);
    expect(third?.createdClusterTimeMs).toBeGreaterThan(80_000);
    // Learned over a link of its own, which is gone.
    expect(harness.world.openLinks).toHaveLength(3);
  });

  test('a session that was drawn with an old time is drawn again with a young one', () => {
    const harness = new Harness();
    harness.world.run(50);
    harness.cluster.advanceTime(3_600_000);
    const calls = [harness.put('a', 'a'), harness.put('b', 'b')];
    harness.world.run(50);
    expect(verdicts(calls)).toEqual(['OK']);
    expect(writesReceived(harness, 0).map(({ session }) => session.sequence)).toEqual([1, 1, 2]);
  });

  test('one write that hangs does not hold up the others for ever', () => {
    const harness = new Harness();
    harness.world.run(50);
    harness.put('a', 'a');
    harness.world.run(50);
    harness.cluster.refuse = (_node, frame) => (isPutOf(frame, 'hangs') ? 'drop' : undefined);
    const hanging = harness.put('hangs', 'hangs', 30_000);
    const calls: Call[] = [];
    for (let batch = 0; batch < 5; batch++) {
      for (let i = 0; i < 600; i++) calls.push(harness.put(`k${i}`, 'v'));
      harness.world.run(50);
    }
    harness.cluster.refuse = () => undefined;
    harness.world.run(50);
    expect(verdicts(calls)).toEqual(['OK']);
    expect(hanging.isDone).toBe(false);
    const sessions = new Set(writesReceived(harness, 0).map(({ session }) => session.sessionId));
    expect(sessions.size).toBe(2);
    node(harness, 0).breakLinks();
    harness.world.run(500);
    expect(hanging.verdict).toBe('OK');
    expect(harness.cluster.effects.get('hangs')).toBe(1);
  });

  test('when the caller of the first write gives up, the next writes use the session it opens', () => {
    const harness = new Harness();
    harness.world.run(50);
    harness.cluster.commitMs = () => 20;
    const first = harness.put('a', 'a', 5);
    harness.world.run(6);
    expect(first.verdict).toBe('TIMEOUT unknown');
    const second = harness.put('b', 'b');
    harness.world.run(100);
    expect(second.verdict).toBe('OK');
    expect(harness.cluster.sessions.size).toBe(1);
    expect(harness.cluster.effects.get('a')).toBe(1);
  });
});

describe('leaders', () => {
  test('a write that the former leader has goes to the new one at once, as the same write', () => {
    const harness = new Harness();
    harness.put('a', 'a');
    harness.world.run(100);
    node(harness, 0).isFrozen = true;
    const call = harness.put('b', 'b');
    const read = harness.get('a');
    harness.world.run(100);
    expect(call.isDone).toBe(false);
    harness.cluster.electLeader(node(harness, 1));
    harness.world.run(20);
    expect(call.verdict).toBe('OK');
    expect(read.verdict).toBe('got');
    node(harness, 0).thaw();
    harness.world.run(1_000);
    expect(harness.cluster.effects.get('b')).toBe(1);
    expect(writesReceived(harness, 1)[0]).toMatchObject({ session: { sequence: 2 } });
  });

  test('a leader that hangs without being replaced is left after pings', () => {
    const harness = new Harness();
    harness.put('a', 'a');
    harness.world.run(100);
    node(harness, 0).isFrozen = true;
    const read = harness.get('a');
    harness.world.run(3_900);
    expect(read.isDone).toBe(false);
    harness.world.run(300);
    expect(read.verdict).toBe('got');
  });

  test('an idle connection that died without a word is found too', () => {
    const harness = new Harness();
    harness.world.run(100);
    node(harness, 2).isFrozen = true;
    harness.world.run(18_000);
    expect(harness.engine.describe()).toContain('10.0.0.3:7401: silent for');
  });

  test('a client that was held up itself does not blame the nodes', () => {
    const harness = new Harness();
    const { world } = harness;
    harness.put('a', 'a');
    world.run(100);
    harness.cluster.commitMs = () => 9_000;
    const call = harness.put('b', 'b', 60_000);
    // Pinged after two seconds of silence; the pong is there, but the process does not come to read it.
    world.run(2_000.5);
    expect(node(harness, 0).received.map(({ kind }) => kind)).not.toContain('ping');
    world.run(1);
    expect(node(harness, 0).received.map(({ kind }) => kind)).toContain('ping');
    world.standStill(5_000);
    world.run(10_000);
    expect(call.verdict).toBe('OK');
    expect(world.links).toHaveLength(3);
  });

  test('an older term does not override a newer one', () => {
    const harness = new Harness();
    harness.world.run(50);
    harness.cluster.electLeader(node(harness, 1));
    harness.world.run(50);
    const link = harness.world.openLinks.find(({ address }) => address === node(harness, 2).address);
    link?.reply({ kind: 'leader', leaderId: 'n1', term: 1, clusterTimeMs: 0, why: '' });
    harness.world.run(10);
    const call = harness.put('a', 'a');
    harness.world.run(10);
    expect(call.verdict).toBe('OK');
    expect(writesReceived(harness, 0)).toHaveLength(0);
  });

  test('a leader of a lower term is tried when nobody leads in the highest one', () => {
    const harness = new Harness();
    harness.world.run(50);
    const link = harness.world.openLinks.find(({ address }) => address === node(harness, 2).address);
    link?.reply({ kind: 'leader', leaderId: undefined, term: 9, clusterTimeMs: 0, why: '' });
    harness.world.run(10);
    const call = harness.put('a', 'a');
    harness.world.run(900);
    expect(call.isDone).toBe(false);
    harness.world.run(200);
    expect(call.verdict).toBe('OK');
  });

  test('reads beyond 64 on the leader go to all nodes, and all find it when it is not connected', () => {
    const harness = new Harness();
    harness.world.run(50);
    const calls = Array.from({ length: 300 }, () => harness.get('a'));
    harness.world.run(10);
    expect(verdicts(calls)).toEqual(['got']);
    const counts = harness.cluster.nodes.map((n) => n.received.filter(({ kind }) => kind === 'get').length);
    expect(counts[0]).toBeGreaterThanOrEqual(64);
    expect(Math.min(...counts)).toBeGreaterThan(50);
    node(harness, 0).crash();
    const read = harness.get('a');
    harness.world.run(50);
    expect(read.verdict).toBe('got');
  });

  test('a lease read and a write wait for the leader', () => {
    const harness = new Harness();
    node(harness, 0).isUp = false;
    const lease = harness.submit({
      ...(getRequest('a') as Extract<ReturnType<typeof getRequest>, { kind: 'get' }>),
      consistency: { kind: 'leaderLease' },
    });
    harness.world.run(500);
    expect(lease.isDone).toBe(false);
    node(harness, 0).restart();
    harness.world.run(1_500);
    expect(lease.verdict).toBe('got');
  });
});

describe('connections', () => {
  test('members are found through one endpoint, and each node has one connection', () => {
    const harness = new Harness({ endpoints: ['localhost:7401', 'localhost:7402'] });
    const { world, cluster } = harness;
    // Two names for the same node.
    world.nodes.set('localhost:7401', node(harness, 0));
    world.nodes.set('localhost:7402', node(harness, 0));
    world.run(50);
    expect(world.openLinks.map(({ address }) => address).sort()).toEqual([
      ...['10.0.0.2:7401', '10.0.0.3:7401', 'localhost:7401'],
    ]);
    expect(harness.engine.nodes().map(({ nodeId }) => nodeId)).toEqual(['n1', 'n2', 'n3']);
    // The other name is used when the first one fails.
    world.nodes.delete('localhost:7401');
    node(harness, 0).breakLinks();
    const call = harness.put('a', 'a');
    world.run(100);
    expect(call.verdict).toBe('OK');
    expect(cluster.effects.get('a')).toBe(1);
  });

  test('a node of another cluster is refused with IDENTITY', () => {
    const harness = new Harness();
    harness.world.run(50);
    const foreign = new FakeCluster(harness.world, 2, 'c2');
    harness.world.nodes.set(node(harness, 0).address, foreign.nodes[1] as ClusterNode);
    node(harness, 0).breakLinks();
    harness.cluster.electLeader(undefined);
    const call = harness.put('a', 'a', 1_000);
    harness.world.run(1_000);
    expect(call.verdict).toBe('UNAVAILABLE none');
    expect(call.error.message).toContain('belongs to cluster c2, this client to c1');
  });

  test.each([
    [{ protocolMin: 7, protocolMax: 9 }, 'the node speaks protocol versions 7 .. 9', 'upgrade this client'],
    [{ protocolMin: 1, protocolMax: 2 }, 'the node speaks protocol versions 1 .. 2', 'upgrade the node'],
  ])(
    'a node that speaks other versions is left alone, and it is said whom to upgrade: %o',
    (range, ...words) => {
      const harness = new Harness();
      for (const each of harness.cluster.nodes) each.versions = range;
      const call = harness.put('a', 'a', 1_000);
      harness.world.run(1_000);
      expect(call.verdict).toBe('UNAVAILABLE none');
      const { protocolMin, protocolMax } = ownVersions;
      for (const word of [...words, `this client ${protocolMin} .. ${protocolMax}`]) {
        expect(call.error.message).toContain(word);
      }
      expect(harness.cluster.effects.size).toBe(0);
    },
  );

  test('a node that speaks more versions, and writes newer formats, is as good as any', () => {
    const harness = new Harness();
    const newer = { protocolMin: 1, protocolMax: ownVersions.protocolMax + 5, formatLevelMax: 99 };
    for (const each of harness.cluster.nodes) each.versions = newer;
    const call = harness.put('a', 'a');
    harness.world.run(50);
    expect(call.verdict).toBe('OK');
  });

  test('a message that is not of the protocol costs the connection, not the request', () => {
    const harness = new Harness();
    harness.put('a', 'a');
    harness.world.run(50);
    const call = harness.put('b', 'b');
    const link = harness.world.openLinks[0];
    harness.world.handler?.onMessage(link?.id ?? 0, new Uint8Array([0xc1]));
    harness.world.run(500);
    expect(call.verdict).toBe('OK');
    expect(link?.isOpen).toBe(false);
    expect(harness.cluster.effects.get('b')).toBe(1);
  });

  test('full buffers hold requests back, and nothing is lost', () => {
    const harness = new Harness();
    harness.put('a', 'a');
    harness.world.run(50);
    harness.world.takesMessages = false;
    const calls = Array.from({ length: 100 }, (_, i) => harness.put(`k${i}`, `v${i}`));
    harness.world.run(1_000);
    expect(calls.some((call) => call.isDone)).toBe(false);
    harness.world.takesMessages = true;
    harness.world.bufferedBytes = 1e9;
    harness.world.run(500);
    expect(calls.some((call) => call.isDone)).toBe(false);
    harness.world.bufferedBytes = 0;
    harness.world.run(100);
    expect(verdicts(calls)).toEqual(['OK']);
    for (let i = 0; i < 100; i++) expect(harness.cluster.effects.get(`v${i}`)).toBe(1);
  });

  test('a node that could not read is asked last for a while, also when it is the nearest', () => {
    const harness = new Harness({ limits: { readDenialMs: 1_000 } });
    const { cluster, world } = harness;
    const readsAt = (): number[] =>
      cluster.nodes.map(({ received }) => received.filter(({ kind }) => kind === 'get').length);
    const read = (): void => {
      const call = harness.submit({ ...getRequest('k'), readFrom: 'nearest' } as EngineRequest);
      world.run(20);
      expect(call.verdict).toBe('got');
    };
    world.run(50);
    read();
    const nearest = readsAt().indexOf(1);
    cluster.refuse = (asked, { kind }) =>
      kind === 'get' && asked === cluster.nodes[nearest]
        ? { code: 'UNAVAILABLE', outcome: 'none' }
        : undefined;
    for (let i = 0; i < 10; i++) read();
    expect(readsAt()[nearest]).toBe(2);
    // What may be older is asked there all the same.
    const stale = { ...getRequest('k'), readFrom: 'nearest', consistency: { kind: 'serializable' } } as const;
    cluster.refuse = () => undefined;
    harness.submit(stale as EngineRequest);
    world.run(20);
    expect(readsAt()[nearest]).toBe(3);
    world.run(1_000);
    cluster.refuse = () => undefined;
    read();
    expect(readsAt()[nearest]).toBe(4);
  });

  test('a leader that is behind its own log is not asked to read again and again', () => {
    const harness = new Harness();
    const { cluster, world } = harness;
    world.run(50);
    cluster.refuse = (asked, { kind }) =>
      kind === 'get' && asked === cluster.leader ? { code: 'UNAVAILABLE', outcome: 'none' } : undefined;
    for (let i = 0; i < 10; i++) {
      const call = harness.get('k');
      world.run(20);
      expect(call.verdict).toBe('got');
    }
    expect(cluster.leader?.received.filter(({ kind }) => kind === 'get')).toHaveLength(1);
  });

  test('dialing again backs off', () => {
    const harness = new Harness({ size: 1 });
    node(harness, 0).isUp = false;
    harness.world.run(10_000);
    expect(harness.world.links.length).toBeGreaterThan(8);
    expect(harness.world.links.length).toBeLessThan(60);
  });
});

describe('limits and giving up', () => {
  test('more requests or bytes than the limits are refused at once, not before submit has returned', () => {
    const harness = new Harness({ limits: { requestsMax: 10, requestBytesMax: 1_000 } });
    const calls = Array.from({ length: 11 }, () => harness.put('k', 'v'));
    const eleventh = calls[10] as Call;
    expect(eleventh.isDone).toBe(false);
    harness.world.run(0);
    expect(eleventh.verdict).toBe('OVERLOADED none');
    expect(eleventh.error.message).toContain('10 requests');
    harness.world.run(100);
    expect(verdicts(calls.slice(0, 10))).toEqual(['OK']);
    const large = [harness.put('k', 'v'.repeat(900)), harness.put('k', 'v'.repeat(900))];
    harness.world.run(100);
    expect(large.map((call) => call.verdict)).toEqual(['OK', 'OVERLOADED none']);
    expect(harness.engine.pendingCount).toBe(0);
  });

  test('a call that is aborted says whether it may have taken effect, and the node is told', () => {
    const harness = new Harness();
    const early = harness.put('a', 'a');
    early.pending?.cancel('reason');
    expect(early.verdict).toBe('ABORTED none');
    expect(early.error.cause).toBe('reason');
    harness.put('b', 'b');
    harness.world.run(50);
    const late = harness.put('c', 'c');
    harness.world.run(0.5);
    late.pending?.cancel();
    late.pending?.cancel();
    harness.world.run(50);
    expect(late.verdict).toBe('ABORTED unknown');
    expect(harness.cluster.effects.get('a')).toBeUndefined();
    expect(node(harness, 0).received.map(({ kind }) => kind)).toContain('cancel');
  });

  test('what is left of the deadline goes to the node', () => {
    const harness = new Harness();
    harness.world.run(50);
    harness.get('a', 1_234);
    harness.world.run(5);
    expect(node(harness, 0).received.find(({ kind }) => kind === 'get')).toMatchObject({ timeoutMs: 1_234 });
  });
});

describe('close', () => {
  test('ends the session, fails what waits, and leaves no timer and no link', () => {
    const harness = new Harness();
    harness.put('a', 'a');
    harness.world.run(100);
    harness.cluster.refuse = (_node, frame) => (frame.kind === 'get' ? 'drop' : undefined);
    const read = harness.get('a');
    const unsent = harness.put('b', 'b');
    harness.world.run(0.5);
    const queued = harness.put('c', 'c');
    let closed = 0;
    harness.engine.close(() => closed++);
    harness.engine.close(() => closed++);
    expect(read.verdict).toBe('CLOSED none');
    expect(unsent.verdict).toBe('CLOSED unknown');
    expect(queued.verdict).toBe('CLOSED none');
    expect(closed).toBe(0);
    const after = harness.put('d', 'd');
    harness.world.run(100);
    expect(after.verdict).toBe('CLOSED none');
    expect(closed).toBe(2);
    expect(harness.world.timerCount).toBe(0);
    expect(harness.world.openLinks).toHaveLength(0);
    expect([...harness.cluster.sessions.values()].map((session) => session.closed)).toEqual([true]);
    harness.engine.close(() => closed++);
    harness.world.run(1);
    expect(closed).toBe(3);
  });

  test('does not wait long for a cluster that does not answer', () => {
    const harness = new Harness();
    harness.put('a', 'a');
    harness.world.run(100);
    for (const each of harness.cluster.nodes) each.isFrozen = true;
    let closed = 0;
    harness.engine.close(() => closed++);
    harness.world.run(600);
    expect(closed).toBe(1);
    expect(harness.world.timerCount).toBe(0);
  });
});

describe('status of one node', () => {
  test('comes from that node, or says why it cannot', () => {
    const harness = new Harness();
    harness.world.run(50);
    node(harness, 2).crash();
    harness.world.run(50);
    const [good, bad, odd] = ['10.0.0.2:7401', '10.0.0.3:7401', '10.9.9.9:1'].map((endpoint) =>
      harness.submit({ kind: 'status', endpoint }),
    );
    harness.world.run(50);
    expect(good?.result).toMatchObject({ status: { nodeId: 'n2', role: 'follower' } });
    expect(bad?.verdict).toBe('UNAVAILABLE none');
    expect(bad?.error.message).toContain('ECONNREFUSED');
    expect(odd?.verdict).toBe('INVALID_ARGUMENT none');
  });
});

test('every frame that leaves is of the protocol', () => {
  const harness = new Harness();
  harness.submit(putRequest('a', 'a', 0));
  harness.get('a');
  harness.world.run(100);
  const frames = harness.world.links.flatMap((link) => link.messagesSent.flatMap(decodeClientFrames));
  expect(frames.map(({ kind }) => kind).sort()).toEqual(['get', 'hello', 'hello', 'hello', 'write']);
});
