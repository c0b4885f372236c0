// What strangers and faults do to the node's address: each costs its own connection and nothing else.

import { createServer, type Server, type Socket } from 'node:net';
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { wireLimits } from '../../src/wire/limits.js';
import { aWhile, until } from '../waiting.js';
import {
  openClient,
  openSocket,
  refusedUpgrade,
  startNode,
  stopAll,
  upgradeRequest,
  type TestNode,
} from './harness.js';

const servers: Server[] = [];

afterEach(async () => {
  await stopAll();
  for (const server of servers.splice(0)) server.close();
});

/** A node with one good client, whose link must outlive everything. */
async function nodeWithGoodClient(): Promise<{ node: TestNode; checkGood: () => Promise<void> }> {
  const node = await startNode();
  const good = await openClient(node.address);
  const [link = 0] = node.handler.links('client');
  let sent = 0;
  const checkGood = async (): Promise<void> => {
    sent++;
    good.webSocket.send(Buffer.from(`good ${sent}`));
    await until(() => node.handler.received(link).length === sent, 'the good client');
    expect(node.network.send(link, Buffer.from('answer'))).toBe(true);
    await until(() => good.received.length === sent, 'the answer to the good client');
    expect(node.handler.closed).not.toContain(link);
  };
  await checkGood();
  return { node, checkGood };
}

describe('a message', () => {
  it('that is text ends its link', async () => {
    const { node, checkGood } = await nodeWithGoodClient();
    for (const path of ['/client', '/raft']) {
      const client = await openClient(node.address, path);
      const link = node.handler.opened.at(-1)?.link ?? 0;
      client.webSocket.send('text');
      client.webSocket.send(Buffer.from('after'));
      await until(() => client.closed !== undefined, 'the close');
      expect(client.closed?.code).toBe(1_003);
      expect(node.handler.closed.filter((closed) => closed === link)).toHaveLength(1);
      expect(node.handler.received(link)).toEqual([]);
    }
    await checkGood();
  });

  it('that is too large ends its link before it has arrived', async () => {
    const { node, checkGood } = await nodeWithGoodClient();
    const client = await openClient(node.address);
    const link = node.handler.opened.at(-1)?.link ?? 0;
    client.webSocket.send(Buffer.alloc(wireLimits.messageBytesMax + 1));
    await until(() => node.handler.closed.includes(link), 'the report');
    await until(() => client.closed !== undefined, 'the close');
    expect(node.handler.received(link)).toEqual([]);
    await checkGood();
    // Also when it comes in parts.
    const parts = await openClient(node.address);
    const link2 = node.handler.opened.at(-1)?.link ?? 0;
    for (let i = 0; i < 5; i++) parts.webSocket.send(Buffer.alloc(1_048_576), { fin: false });
    await until(() => node.handler.closed.includes(link2), 'the report');
    expect(node.handler.received(link2)).toEqual([]);
    await checkGood();
  });

  it('that a dialed peer sends too large ends that link, and it is dialed again', async () => {
    const a = await startNode();
    const fake = await fakeServer((socket) => {
      // A binary frame of 5 MiB, unmasked as from a server.
      socket.write(Buffer.from([0x82, 0x7f, 0, 0, 0, 0, 0, 0x50, 0, 0]));
    });
    a.network.dial('b', fake);
    await until(() => a.handler.links('dialed').length >= 2, 'the second link');
    expect(a.handler.closed[0]).toBe(a.handler.links('dialed')[0]);
  });
});

describe('bytes that are no protocol', () => {
  it('instead of HTTP cost their connection', async () => {
    const { node, checkGood } = await nodeWithGoodClient();
    for (const garbage of ['\x00\xff\x00\xff\r\n\r\n', 'GET\r\n\r\n', 'x'.repeat(100_000)]) {
      const raw = await openSocket(node.port);
      raw.socket.write(garbage, 'latin1');
      await until(raw.isClosed, 'the close');
    }
    await checkGood();
  });

  it('instead of WebSocket frames cost their link, which is reported once', async () => {
    const { node, checkGood } = await nodeWithGoodClient();
    const frames = [
      [0x82, 0x01, 0x00], // not masked
      [0xf2, 0x80, 0, 0, 0, 0], // reserved bits
      [0x83, 0x80, 0, 0, 0, 0], // reserved opcode
      [0x89, 0xfe, 0xff, 0xff, 0, 0, 0, 0], // a ping that is too long
      [0xc2, 0x80, 0, 0, 0, 0], // compressed, without that extension
    ];
    for (const frame of frames) {
      const before = node.handler.opened.length;
      const raw = await openSocket(node.port);
      raw.socket.write(upgradeRequest('/client'));
      await until(() => node.handler.opened.length > before, 'the link');
      const link = node.handler.opened.at(-1)?.link ?? 0;
      raw.socket.write(Buffer.from(frame));
      await until(() => node.handler.closed.includes(link), 'the report');
      raw.socket.destroy();
      await aWhile(5);
      expect(node.handler.closed.filter((closed) => closed === link)).toHaveLength(1);
    }
    await checkGood();
  });

  it('in an upgrade request are refused', async () => {
    const { node, checkGood } = await nodeWithGoodClient();
    const raw = await openSocket(node.port);
    raw.socket.write(upgradeRequest('/client').replace('version: 13', 'version: 99'));
    await until(() => raw.text().includes('400 Bad Request'), 'the refusal');
    const reset = await openSocket(node.port);
    reset.socket.write(upgradeRequest('/client'));
    reset.socket.resetAndDestroy();
    await checkGood();
  });
});

describe('an upgrade', () => {
  it('leads to /raft and /client only, and not from a page', async () => {
    const node = await startNode();
    expect(await refusedUpgrade(node.address, '/')).toBe(404);
    expect(await refusedUpgrade(node.address, '/clientele')).toBe(404);
    expect(await refusedUpgrade(node.address, '/client', { origin: 'http://127.0.0.1' })).toBe(403);
    expect(node.handler.opened).toEqual([]);
    await openClient(node.address, '/client?x=1');
    await openClient(node.address, '/raft');
    expect(node.handler.opened.map(({ how }) => how)).toEqual(['client', 'peer']);
  });

  it('never turns on compression', async () => {
    const node = await startNode();
    const client = await openClient(node.address, '/client', { perMessageDeflate: true });
    expect(client.webSocket.extensions).toBe('');
  });
});

describe('a silent connection', () => {
  const limits = { pingIntervalMs: 40, deadAfterMs: 120, closeTimeoutMs: 100 };

  it('is closed, while one that answers pings stays', async () => {
    const node = await startNode({ limits });
    const alive = await openClient(node.address);
    const [aliveLink = 0] = node.handler.links('client');
    let pings = 0;
    alive.webSocket.on('ping', () => pings++);
    const dead = await openSocket(node.port);
    dead.socket.write(upgradeRequest('/raft'));
    await until(() => node.handler.links('peer').length === 1, 'the link');
    await until(() => node.handler.closed.length === 1, 'the detection');
    expect(node.handler.closed).toEqual(node.handler.links('peer'));
    await until(() => pings >= 5, 'pings of the other link');
    expect(node.handler.closed).not.toContain(aliveLink);
    await until(dead.isClosed, 'the end of the dead one');
  });

  it('that is dialed is closed and dialed again', async () => {
    const a = await startNode({ limits });
    const fake = await fakeServer(() => undefined);
    a.network.dial('b', fake);
    await until(() => a.handler.links('dialed').length >= 2, 'the second link');
    expect(a.handler.closed[0]).toBe(a.handler.links('dialed')[0]);
    expect(a.handler.unreachable).toEqual([]);
  });

  it('with anything arriving slowly is not dead', async () => {
    const node = await startNode({ limits });
    const raw = await openSocket(node.port);
    raw.socket.write(upgradeRequest('/client'));
    await until(() => node.handler.links('client').length === 1, 'the link');
    // One message of 40 bytes, masked with zeros, a byte at a time.
    const frame = [0x82, 0x80 | 40, 0, 0, 0, 0, ...Buffer.alloc(40, 'a')];
    for (const byte of frame) {
      raw.socket.write(Uint8Array.of(byte));
      await aWhile(15);
    }
    await until(
      () => node.handler.received(node.handler.links('client')[0] ?? 0).length === 1,
      'the message',
    );
    expect(node.handler.closed).toEqual([]);
  });

  it('is not what the node takes for one after it was itself held up', async () => {
    const node = await startNode({ limits });
    const client = await openClient(node.address);
    await aWhile(60);
    for (let round = 0; round < 3; round++) {
      const end = performance.now() + 400;
      while (performance.now() < end);
      await aWhile(50);
    }
    expect(node.handler.closed).toEqual([]);
    expect(client.closed).toBeUndefined();
  });
});

/** A server that upgrades like a node and then does only what `onOpen` does. Returns its address. */
async function fakeServer(onOpen: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data) => {
      const key = /sec-websocket-key: (.*)\r\n/i.exec(data.toString('latin1'))?.[1] ?? '';
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n' +
          `sec-websocket-accept: ${accept}\r\n\r\n`,
      );
      onOpen(socket);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}
