// The network between honest nodes and clients, on real sockets: order, both directions, closing, dialing
// again.

import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { wireLimits } from '../../src/wire/limits.js';
import { linkBacklogBytes } from '../../src/base/env.js';
import { aWhile, patienceMs, until } from '../waiting.js';
import { openClient, startNode, stopAll, type TestNode } from './harness.js';

const servers: Server[] = [];

afterEach(async () => {
  await stopAll();
  for (const server of servers.splice(0)) server.close();
});

/** A dials B; both ends of the link. */
async function pair(a: TestNode, b: TestNode): Promise<{ dialed: number; accepted: number }> {
  const before = { dialed: a.handler.links('dialed').length, accepted: b.handler.links('peer').length };
  a.network.dial('b', b.address);
  await until(() => a.handler.links('dialed').length > before.dialed, 'a dialed link');
  await until(() => b.handler.links('peer').length > before.accepted, 'an accepted link');
  return {
    dialed: a.handler.links('dialed').at(-1) ?? 0,
    accepted: b.handler.links('peer').at(-1) ?? 0,
  };
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const node = await startNode();
  await node.network.stop();
  return node.port;
}

const bytes = (text: string) => Buffer.from(text);
const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i));

describe('a link', () => {
  it('carries messages in order, in both directions', async () => {
    const [a, b] = [await startNode(), await startNode()];
    const { dialed, accepted } = await pair(a, b);
    expect(a.handler.opened).toEqual([{ link: dialed, how: 'dialed', peerId: 'b' }]);
    for (const text of numbers(2_000)) {
      expect(a.network.send(dialed, bytes(text))).toBe(true);
      expect(b.network.send(accepted, bytes(text))).toBe(true);
    }
    await until(() => a.handler.received(dialed).length === 2_000, 'all messages at a');
    await until(() => b.handler.received(accepted).length === 2_000, 'all messages at b');
    expect(a.handler.received(dialed)).toEqual(numbers(2_000));
    expect(b.handler.received(accepted)).toEqual(numbers(2_000));
    expect(a.network.bufferedBytes(dialed)).toBe(0);
  });

  it('carries any bytes of any length up to the greatest, unchanged', async () => {
    const [a, b] = [await startNode(), await startNode()];
    const { dialed, accepted } = await pair(a, b);
    const sent = [0, 1, 125, 126, 65_535, 65_536, 300_000, wireLimits.messageBytesMax].map((length) =>
      Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 0xff),
    );
    const received: Uint8Array[] = [];
    b.handler.onEach = (_link, message) => received.push(message);
    for (const message of sent) expect(a.network.send(dialed, message)).toBe(true);
    await until(() => received.length === sent.length, 'all messages');
    received.forEach((message, i) => expect(Buffer.compare(message, sent[i] ?? bytes('?'))).toBe(0));
    // And nothing of what was sent was changed by sending it (masking works in place).
    expect(sent.at(-1)?.[9]).toBe((9 * 7 + wireLimits.messageBytesMax) & 0xff);
    const back = Buffer.from(sent[5] ?? bytes('?'));
    expect(b.network.send(accepted, back)).toBe(true);
    await until(() => a.handler.received(dialed).length === 1, 'the way back');
  });

  it('closes after what was sent has left, and tells the other side why', async () => {
    const node = await startNode();
    const client = await openClient(node.address);
    const [link = 0] = node.handler.links('client');
    const big = Buffer.alloc(3_000_000, 'x');
    for (let i = 0; i < 3; i++) expect(node.network.send(link, big)).toBe(true);
    node.close(link, 'PROTOCOL:' + 'ü'.repeat(100));
    expect(node.network.send(link, bytes('late'))).toBe(false);
    expect(node.network.bufferedBytes(link)).toBe(0);
    await until(() => client.closed !== undefined, 'the close');
    expect(client.received).toHaveLength(3);
    expect(client.closed).toEqual({ code: 1_000, reason: 'PROTOCOL:' + 'ü'.repeat(55) });
    node.close(link, 'again, without effect');
    await aWhile();
    expect(node.handler.closed).toEqual([]);
  });

  it('does not deliver what arrives after it was closed from inside a message', async () => {
    const node = await startNode();
    node.handler.onEach = (link) => node.close(link, 'enough');
    const client = await openClient(node.address);
    const [link = 0] = node.handler.links('client');
    for (const text of numbers(50)) client.webSocket.send(bytes(text));
    await until(() => client.closed !== undefined, 'the close');
    expect(node.handler.received(link)).toEqual(['0']);
  });

  it('that the other side closes is reported once, and only that one', async () => {
    const node = await startNode();
    const first = await openClient(node.address);
    const second = await openClient(node.address);
    const [link1 = 0, link2 = 0] = node.handler.links('client');
    first.webSocket.close(1_000);
    await until(() => node.handler.closed.length > 0, 'the close');
    second.webSocket.send(bytes('still here'));
    await until(() => node.handler.received(link2).length === 1, 'the other client');
    expect(node.handler.closed).toEqual([link1]);
    expect(node.network.send(link1, bytes('late'))).toBe(false);
    second.webSocket.terminate();
    await until(() => node.handler.closed.length === 2, 'the reset');
    expect(node.handler.closed).toEqual([link1, link2]);
  });

  it('takes no more than its limit of bytes that do not leave, and then works on', async () => {
    const node = await startNode({ limits: { clientBufferedBytesMax: 1_000_000 } });
    const slow = await openClient(node.address);
    const other = await openClient(node.address);
    const [link1 = 0, link2 = 0] = node.handler.links('client');
    slow.webSocket.pause();
    const message = Buffer.alloc(100_000, 'm');
    let accepted = 0;
    while (node.network.send(link1, message)) {
      accepted++;
      expect(accepted).toBeLessThan(1_000);
      if (accepted % 20 === 0) await aWhile(1);
    }
    expect(node.network.bufferedBytes(link1)).toBeLessThanOrEqual(1_000_000);
    expect(node.network.bufferedBytes(link1)).toBeGreaterThan(800_000);
    expect(node.network.send(link2, bytes('not held up'))).toBe(true);
    await until(() => other.received.length === 1, 'the other client');
    slow.webSocket.resume();
    await until(() => slow.received.length === accepted, 'all that was accepted');
    expect(node.network.send(link1, message)).toBe(true);
    expect(node.handler.closed).toEqual([]);
  });

  it('tells when the backlog of a client has left, and nothing of a peer', async () => {
    const node = await startNode();
    const slow = await openClient(node.address);
    const peer = await openClient(node.address, '/raft');
    const [link = 0] = node.handler.links('client');
    const [peerLink = 0] = node.handler.links('peer');
    slow.webSocket.pause();
    const message = Buffer.alloc(linkBacklogBytes, 'm');
    // More than the system takes by itself.
    let sent = 0;
    while (node.network.bufferedBytes(link) <= 2 * linkBacklogBytes) {
      expect(node.network.send(link, message)).toBe(true);
      sent++;
      await aWhile(1);
    }
    for (let i = 0; i < sent; i++) node.network.send(peerLink, message);
    await until(() => peer.received.length === sent, 'what the peer was sent');
    const before = node.handler.drained.length;
    expect(node.network.bufferedBytes(link)).toBeGreaterThan(linkBacklogBytes);
    slow.webSocket.resume();
    await until(() => node.handler.drained.length > before, 'the word that it has drained');
    expect(node.network.bufferedBytes(link)).toBe(0);
    expect(new Set(node.handler.drained)).toEqual(new Set([link]));
  });
});

describe('dialing', () => {
  it('is repeated, at once, when the link was closed by the other side', async () => {
    // A try after a failure would wait longer than this test; the first after a good link does not wait.
    const a = await startNode({ limits: { redialMsMin: 2 * patienceMs, redialMsMax: 2 * patienceMs } });
    const b = await startNode();
    const { dialed, accepted } = await pair(a, b);
    b.close(accepted, 'go away');
    await until(() => a.handler.links('dialed').length === 2, 'the second link');
    expect(a.handler.closed).toEqual([dialed]);
    expect(a.handler.unreachable).toEqual([]);
    const second = a.handler.links('dialed')[1] ?? 0;
    expect(second).not.toBe(dialed);
    expect(a.network.send(second, bytes('hello'))).toBe(true);
    await until(() => b.handler.received(b.handler.links('peer')[1] ?? 0).length === 1, 'the message');
  });

  it('is repeated, without a report, when this side closed the link', async () => {
    const [a, b] = [await startNode(), await startNode()];
    const { dialed } = await pair(a, b);
    a.close(dialed, 'try again');
    await until(() => a.handler.links('dialed').length === 2, 'the second link');
    expect(a.handler.closed).toEqual([]);
  });

  it('waits between links that do not last', async () => {
    const limits = { stableAfterMs: patienceMs, redialMsMin: 30 };
    const [a, b] = [await startNode({ limits }), await startNode()];
    b.handler.onPeerAccepted = (link) => b.network.close(link, 'never');
    const startMs = performance.now();
    a.network.dial('b', b.address);
    await until(() => a.handler.closed.length >= 7, 'some links');
    // The second comes at once, each of the five after it at the earliest after 30 ms, a timer's error less.
    expect(performance.now() - startMs).toBeGreaterThan(5 * 28);
    expect(a.handler.closed).toEqual(a.handler.links('dialed').slice(0, a.handler.closed.length));
  });

  it('reports a refused connection at once, each time, and finds the node when it comes', async () => {
    // Not by giving up a try: that would take longer than anybody waits here.
    const a = await startNode({ limits: { dialTimeoutMs: 2 * patienceMs } });
    const port = await freePort();
    a.network.dial('b', `127.0.0.1:${port}`);
    await until(() => a.handler.unreachable.length >= 3, 'more refusals');
    expect(new Set(a.handler.unreachable)).toEqual(new Set(['b']));
    const b = await startNode({ port });
    await until(() => a.handler.links('dialed').length === 1, 'the link');
    await until(() => b.handler.links('peer').length === 1, 'the accepted link');
  });

  it('finds a node again that was restarted, and messages flow', async () => {
    const [a, b] = [await startNode(), await startNode()];
    const { dialed } = await pair(a, b);
    await b.network.stop();
    await until(() => a.handler.closed.length === 1, 'the loss');
    await until(() => a.handler.unreachable.length > 0, 'a refusal');
    const again = await startNode({ port: b.port });
    await until(() => a.handler.links('dialed').length === 2, 'the second link');
    expect(a.handler.closed).toEqual([dialed]);
    expect(a.network.send(a.handler.links('dialed')[1] ?? 0, bytes('again'))).toBe(true);
    await until(
      () => again.handler.received(again.handler.links('peer')[0] ?? 0).length === 1,
      'the message',
    );
  });

  it('gives up a try that is not answered', async () => {
    const silent = createServer(() => undefined);
    servers.push(silent);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const a = await startNode({ limits: { dialTimeoutMs: 50, redialMsMax: 40 } });
    a.network.dial('b', `127.0.0.1:${port}`);
    await until(() => a.handler.unreachable.length >= 3, 'tries that were given up');
  });

  it('of an address that is none is a failure, not an exception', async () => {
    const a = await startNode();
    a.network.dial('b', 'no such address:99999999');
    a.network.dial('c', '');
    await until(() => new Set(a.handler.unreachable).size === 2, 'the reports');
  });

  it('ends with stopDialing, also while a link is open or a try runs', async () => {
    const [a, b] = [await startNode(), await startNode()];
    const { dialed, accepted } = await pair(a, b);
    a.handler.closedByUs.add(dialed);
    a.network.stopDialing('b');
    expect(a.network.send(dialed, bytes('late'))).toBe(false);
    await until(() => b.handler.closed.includes(accepted), 'the close at b');
    a.network.dial('b', b.address);
    a.network.stopDialing('b');
    a.network.stopDialing('nobody');
    await aWhile();
    expect(a.handler.links('dialed')).toEqual([dialed]);
    expect(a.handler.unreachable).toEqual([]);
  });

  it('the same address twice is one link; another address replaces it', async () => {
    const [a, b, c] = [await startNode(), await startNode(), await startNode()];
    const { dialed } = await pair(a, b);
    a.network.dial('b', b.address);
    a.handler.closedByUs.add(dialed);
    a.network.dial('b', c.address);
    await until(() => c.handler.links('peer').length === 1, 'the link to the new address');
    await until(() => b.handler.closed.length === 1, 'the end of the old one');
    expect(a.handler.links('dialed')).toHaveLength(2);
    expect(b.handler.links('peer')).toHaveLength(1);
  });
});

describe('the address', () => {
  it('that is in use is a CONFIG error that names it and says what to do', async () => {
    const a = await startNode();
    const error = await startNode({ port: a.port }).catch((reason: unknown) => reason);
    expect(KvorumError.is(error, 'CONFIG')).toBe(true);
    expect((error as Error).message).toContain(`127.0.0.1:${a.port}`);
    expect((error as Error).message).toContain('another port');
  });

  it('is free after stop, which ends everything, once, without a word to the handler', async () => {
    const [a, b] = [await startNode(), await startNode()];
    await pair(a, b);
    const client = await openClient(a.address);
    const heard = { ...a.handler, closed: [...a.handler.closed] };
    await Promise.all([a.network.stop(), a.network.stop()]);
    await until(() => client.closed !== undefined, 'the end of the client');
    expect(a.handler.closed).toEqual(heard.closed);
    await until(() => b.handler.closed.length === 1, 'the loss at b');
    const again = await startNode({ port: a.port });
    expect(again.port).toBe(a.port);
  });

  it('is given up also when a client does not answer the close', async () => {
    const a = await startNode({ limits: { stopTimeoutMs: 50, closeTimeoutMs: 2 * patienceMs } });
    const client = await openClient(a.address);
    client.webSocket.pause();
    await a.network.stop();
  });
});
