// The TCP proxy on real sockets: what passes is unchanged and in order, what is held arrives later, what is
// dropped takes its connection with it, and a node that is away is an answer too.

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { Links } from '../../src/chaos/links.js';
import { freeFlow, Proxy } from '../../src/chaos/faults/proxy.js';
import { aWhile, until } from '../waiting.js';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface World {
  readonly proxy: Proxy;
  readonly port: number;
  readonly node: Server;
  /** Connections that the node has accepted. */
  readonly accepted: Socket[];
}

/** A node that sends back what it hears, behind a proxy. */
async function startWorld(): Promise<World> {
  const accepted: Socket[] = [];
  const node = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  node.listen(0, '127.0.0.1');
  await once(node, 'listening');
  const { port: nodePort } = node.address() as { port: number };
  const proxy = new Proxy({ host: '127.0.0.1', port: nodePort }, new Prng(1));
  const port = await proxy.listen();
  cleanups.push(() => {
    for (const socket of accepted) socket.destroy();
    node.close();
    proxy.close();
  });
  return { proxy, port, node, accepted };
}

class Dialer {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  closed = false;
  ended = false;
  error: string | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (bytes: Buffer) => (this.received = Buffer.concat([this.received, bytes])));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code));
    this.socket.on('close', () => (this.closed = true));
    cleanups.push(() => this.socket.destroy());
  }

  get text(): string {
    return this.received.toString();
  }
}

describe('a proxy', () => {
  test('passes a megabyte through and back, unchanged', async () => {
    const { port } = await startWorld();
    const dialer = new Dialer(port);
    const bytes = Buffer.from(new Prng(7).bytes(3_000_000));
    dialer.socket.end(bytes);
    await until(() => dialer.closed, 'the end of the connection');
    expect(dialer.received.equals(bytes)).toBe(true);
    expect(dialer.error).toBeUndefined();
  });

  test('holds one direction only, tells nobody, and delivers everything in order after', async () => {
    const { proxy, port, accepted } = await startWorld();
    const dialer = new Dialer(port);
    dialer.socket.write('a');
    await until(() => dialer.text === 'a', 'the first byte');
    proxy.setFlows(freeFlow, { ...freeFlow, mode: 'hold' });
    dialer.socket.write('b');
    await until(() => (accepted[0]?.bytesRead ?? 0) === 2, 'the second byte at the node');
    await aWhile();
    expect(dialer.text).toBe('a');
    // Not even the end of the node's process is seen through a cut.
    accepted[0]?.destroy();
    await aWhile();
    expect(dialer.ended).toBe(false);
    proxy.setFlows(freeFlow, freeFlow);
    await until(() => dialer.ended, 'the end');
    expect(dialer.text).toBe('ab');
  });

  test('holds a bounded amount and stops the sender then', async () => {
    const { proxy, port, accepted } = await startWorld();
    const dialer = new Dialer(port);
    proxy.setFlows({ ...freeFlow, mode: 'hold' }, freeFlow);
    const bytes = Buffer.from(new Prng(3).bytes(64 * 1_048_576));
    dialer.socket.write(bytes);
    await until(() => dialer.socket.bytesWritten > 0, 'the first bytes');
    let left: number;
    do {
      left = dialer.socket.writableLength;
      await aWhile();
    } while (dialer.socket.writableLength !== left);
    // What the system's buffers and the proxy do not take stays with the sender.
    expect(left).toBeGreaterThan(32 * 1_048_576);
    expect(accepted[0]?.bytesRead ?? 0).toBe(0);
  });

  test('ends a connection of which bytes were dropped, and never passes later ones on', async () => {
    const { proxy, port, accepted } = await startWorld();
    const dialer = new Dialer(port);
    dialer.socket.write('a');
    await until(() => dialer.text === 'a', 'the first byte');
    proxy.setFlows({ ...freeFlow, mode: 'drop' }, freeFlow);
    dialer.socket.write('lost');
    await aWhile();
    proxy.setFlows(freeFlow, freeFlow);
    dialer.socket.write('later');
    await until(() => dialer.closed, 'the end of the connection');
    expect(accepted[0]?.bytesRead).toBe(1);
    expect(dialer.text).toBe('a');
  });

  test('a drop without traffic costs nothing', async () => {
    const { proxy, port } = await startWorld();
    const dialer = new Dialer(port);
    dialer.socket.write('a');
    await until(() => dialer.text === 'a', 'the first byte');
    proxy.setFlows({ ...freeFlow, mode: 'drop' }, freeFlow);
    proxy.setFlows(freeFlow, freeFlow);
    dialer.socket.write('b');
    await until(() => dialer.text === 'ab', 'the second byte');
  });

  test('delays, throttles and loses without changing the order', async () => {
    const { proxy, port } = await startWorld();
    const dialer = new Dialer(port);
    const flow = { mode: 'pass', delayMs: 10, lossProbability: 0.3, bytesPerSecond: 50_000 } as const;
    proxy.setFlows(flow, flow);
    const startMs = performance.now();
    let expected = '';
    for (let index = 0; index < 30; index++) {
      const piece = `${index},`.padEnd(100, '.');
      expected += piece;
      dialer.socket.write(piece);
      await aWhile(1);
    }
    await until(() => dialer.received.length === expected.length, 'all pieces');
    expect(dialer.text).toBe(expected);
    // 3,000 bytes at 50,000 a second, and 10 ms, both twice.
    expect(performance.now() - startMs).toBeGreaterThan(70);
  });

  test('what waits in a slow flow does not wait any more when the flow is free again', async () => {
    const { proxy, port } = await startWorld();
    const dialer = new Dialer(port);
    proxy.setFlows({ ...freeFlow, bytesPerSecond: 10 }, freeFlow);
    dialer.socket.write('x'.repeat(10_000));
    await aWhile();
    expect(dialer.text).toBe('');
    proxy.setFlows({ ...freeFlow }, freeFlow);
    await until(() => dialer.text.length === 10_000, 'what waited');
  });

  test('refuses new connections and keeps the old; resets all when told', async () => {
    const { proxy, port } = await startWorld();
    const old = new Dialer(port);
    old.socket.write('a');
    await until(() => old.text === 'a', 'the first byte');
    proxy.setRefusing(true);
    const refused = new Dialer(port);
    await until(() => refused.closed, 'the refusal');
    expect(refused.error).toBe('ECONNRESET');
    old.socket.write('b');
    await until(() => old.text === 'ab', 'the second byte');
    proxy.resetAll();
    await until(() => old.closed, 'the reset');
    expect(old.error).toBe('ECONNRESET');
    expect(proxy.openConnections).toBe(0);
  });

  test('a node that is away answers like one: with a reset', async () => {
    const { port, node } = await startWorld();
    node.close();
    await once(node, 'close');
    const dialer = new Dialer(port);
    await until(() => dialer.closed, 'the end of the connection');
    expect(dialer.error).toBe('ECONNRESET');
  });
});

describe('links', () => {
  test('several faults at once leave what all of them leave', async () => {
    const { node } = await startWorld();
    const { port } = node.address() as { port: number };
    const links = new Links([{ id: 'n1', address: `127.0.0.1:${port}` }], ['c1', 'c2'], 1);
    await links.listen();
    cleanups.push(() => links.close());
    const portOf = (from: string): number => Number(links.addressSeenBy(from, 'n1').split(':')[1]);
    const [first, second] = [new Dialer(portOf('c1')), new Dialer(portOf('c2'))];
    const cut = { flow: (from: string) => (from === 'c1' ? ({ mode: 'hold' } as const) : undefined) };
    const slow = { flow: () => ({ delayMs: 1 }) };
    links.add(cut);
    links.add(slow);
    first.socket.write('x');
    second.socket.write('y');
    await until(() => second.text === 'y', 'the free link');
    expect(first.text).toBe('');
    links.remove(slow);
    await aWhile();
    expect(first.text).toBe('');
    links.remove(cut);
    await until(() => first.text === 'x', 'the link that was cut');
    expect(() => links.addressSeenBy('c1', 'n2')).toThrow('no proxy from c1 to n2');
  });
});
