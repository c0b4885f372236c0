// The client over real sockets, against a small server in this process: the handshake, many calls at once, a
// server that goes away and comes back, one that never answers, and an end that leaves nothing running. Waits
// for conditions, never for a time to pass.

import { createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { connect, type KvorumClient } from '../../src/client/index.js';
import { TinyServer } from './tiny-server.js';
import { patienceMs, until } from '../waiting.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function startServer(port?: number): Promise<TinyServer> {
  const server = await new TinyServer(port).start();
  closing.push(() => server.stop());
  return server;
}

async function startClient(server: TinyServer): Promise<KvorumClient> {
  const client = await connect({ endpoints: [`ws://${server.endpoint}`], timeoutMs: patienceMs });
  closing.unshift(() => client.close());
  return client;
}

test('many calls at once over one connection', async () => {
  const server = await startServer();
  const client = await startClient(server);
  const puts = Array.from({ length: 2_000 }, (_, i) => client.put(`k${i}`, `v${i}`));
  await Promise.all(puts);
  expect(server.executed).toBe(2_000);
  const entries = await Promise.all(Array.from({ length: 200 }, (_, i) => client.get(`k${i}`)));
  expect(entries.map((entry) => entry?.text())).toEqual(entries.map((_, i) => `v${i}`));
  expect([...server.paths]).toEqual(['/client']);
  // The largest key and value go through.
  await client.put('k'.repeat(4_096), new Uint8Array(1_048_576));
});

test('a connection that is lost with the answer costs nothing and doubles nothing', async () => {
  const server = await startServer();
  const client = await startClient(server);
  await client.put('warm', 'up');
  server.losesAnswers = 3;
  await Promise.all([client.put('a', '1'), client.put('b', '2'), client.put('c', '3')]);
  expect(server.executed).toBe(4);
});

test('a server that restarts is found again', async () => {
  const server = await startServer();
  const client = await startClient(server);
  await client.put('a', '1');
  await server.stop();
  const waiting = client.put('b', '2');
  await server.start();
  await expect(waiting).resolves.toEqual({ revision: 2 });
});

test('connect fails with UNAVAILABLE naming every address; lazy leaves that to the calls', async () => {
  // Accepts connections and never says a word.
  const mute: Server = createServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => mute.close(resolve)));
  const mutePort = (mute.address() as { port: number }).port;
  const gone = await startServer();
  await gone.stop();
  const endpoints = [gone.endpoint, `127.0.0.1:${mutePort}`];
  // Time enough to hear from the one that is gone; the other one it is to wait for in vain.
  const failed = connect({ endpoints, timeoutMs: 2_000 });
  await expect(failed).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'none' });
  await expect(failed).rejects.toThrow(
    new RegExp(`${gone.endpoint}: .*ECONNREFUSED.*127.0.0.1:${mutePort}: no answer`),
  );
  const lazy = await connect({ endpoints, timeoutMs: 100, lazy: true });
  await expect(lazy.put('k', 'v')).rejects.toMatchObject({ code: 'UNAVAILABLE', outcome: 'none' });
  await lazy.close();
  const signal = AbortSignal.timeout(50);
  await expect(connect({ endpoints, signal })).rejects.toMatchObject({ code: 'ABORTED' });
});

test('after close nothing of the client is left running', async () => {
  const server = await startServer();
  // What the process waits for, without this test's own server.
  const count = (): number =>
    process.getActiveResourcesInfo().filter((name) => /Timeout|TCPSocketWrap|TCPWrap|Immediate/.test(name))
      .length;
  const before = count();
  {
    await using client = await connect({ endpoints: [server.endpoint], timeoutMs: patienceMs });
    await client.put('a', '1');
    expect(count()).toBeGreaterThan(before);
  }
  await until(
    () => count() <= before,
    'the end of what the client had running',
    () => process.getActiveResourcesInfo(),
  );
});
