// What an error tells: the line of the caller, the operation and its key, what became of each endpoint, and
// who is no node of kvorum at all. And that errors and entries survive printing, spreading, cloning and JSON.

import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { inspect } from 'node:util';
import { WebSocketServer } from 'ws';
import { afterEach, describe, expect, test } from 'vitest';
import type { ConflictError } from '../../src/client/index.js';
import { connect, KvorumError, type Entry } from '../../src/client/index.js';
import { testCluster } from '../../src/sim/index.js';
import { TinyServer } from './tiny-server.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function errorOf(call: Promise<unknown>): Promise<KvorumError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (KvorumError.is(error)) return error;
  throw new Error(`no KvorumError: ${inspect(error)}`);
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('an error of a call', () => {
  test('leads to the line of the caller, whoever made it', async () => {
    const kv = await connect({ endpoints: ['127.0.0.1:1'], lazy: true });
    const controller = new AbortController();
    async function chargeCustomer(call: () => Promise<unknown>): Promise<unknown> {
      return await call();
    }
    const late = await errorOf(chargeCustomer(() => kv.put('k', 'v', { timeoutMs: 100 })));
    const aborted = errorOf(chargeCustomer(() => kv.get('k', { signal: controller.signal })));
    controller.abort();
    const waiting = errorOf(chargeCustomer(() => kv.count()));
    await kv.close();
    for (const error of [late, await aborted, await waiting]) {
      expect(error.stack).toContain('chargeCustomer');
      expect(error.stack).toContain(`${error.name} [${error.code}]: ${error.message}`);
    }
  });

  test('says what was asked, with a key that is safe to print', async () => {
    await using cluster = await testCluster({ nodes: 1, seed: 1 });
    const kv = cluster.client();
    const details = async (call: Promise<unknown>): Promise<unknown> => (await errorOf(call)).details;
    const revision = 99;
    expect(await details(kv.get('users/42', { revision }))).toMatchObject({
      operation: 'get',
      key: 'users/42',
    });
    expect(await details(kv.get('\x1b[2J\u202e"', { revision }))).toMatchObject({
      key: '\\u001b[2J\\u202e\\u0022',
    });
    expect(await details(kv.get('k'.repeat(4_000), { revision }))).toMatchObject({
      key: `${'k'.repeat(100)}…`,
    });
    expect(await details(kv.count({ prefix: 'a', revision }))).toMatchObject({
      operation: 'count',
      start: 'a',
      end: 'b',
    });
    await kv.put('k', 'v');
    expect(await details(kv.put('k', 'w', { ifRevision: 7 }))).toMatchObject({ operation: 'put', key: 'k' });
  });

  test('tells what became of each endpoint', async () => {
    const kv = await connect({ endpoints: ['127.0.0.1:1', '127.0.0.1:2'], lazy: true });
    closing.push(() => kv.close());
    const error = await errorOf(kv.put('k', 'v', { timeoutMs: 300 }));
    expect(error).toMatchObject({
      code: 'UNAVAILABLE',
      details: {
        operation: 'put',
        key: 'k',
        timeoutMs: 300,
        endpoints: {
          '127.0.0.1:1': expect.any(String) as string,
          '127.0.0.1:2': expect.any(String) as string,
        },
      },
    });
  });
});

describe('an endpoint that is not what it should be', () => {
  const reasonOf = async (endpoint: string): Promise<string> => {
    const error = await errorOf(connect({ endpoints: [endpoint], endpointsOnly: true, timeoutMs: 3_000 }));
    expect(error.message).toContain(endpoint);
    return (error.details['endpoints'] as Record<string, string>)[endpoint] ?? '';
  };

  test('an HTTP server', async () => {
    const endpoint = await listen(createHttpServer((_request, response) => response.writeHead(404).end()));
    expect(await reasonOf(endpoint)).toMatch(/not a kvorum node.*404/);
  });

  test('a server of another protocol', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.resume().end('SSH-2.0-OpenSSH_9.2\r\n');
    });
    expect(await reasonOf(await listen(server))).toMatch(/not a kvorum node/);
  });

  test('another WebSocket server', async () => {
    const http = createHttpServer();
    new WebSocketServer({ server: http }).on('connection', (socket) => socket.send(Buffer.from('hello')));
    expect(await reasonOf(await listen(http))).toMatch(/not a kvorum node/);
  });

  test('a balancer that leads to a follower', async () => {
    const server = await new TinyServer().start();
    closing.push(() => server.stop());
    server.leaderId = 'n2';
    expect(await reasonOf(server.endpoint)).toMatch(/n1, which follows n2; n2 is not among the endpoints/);
  });
});

describe('errors and entries keep what matters', () => {
  async function both(): Promise<[ConflictError, Entry]> {
    await using cluster = await testCluster({ nodes: 1, seed: 1 });
    const kv = cluster.client();
    await kv.put('ключ', 'Ada');
    const error = await errorOf(kv.put('ключ', 'Eve', { ifAbsent: true }));
    return [error as ConflictError, (error as ConflictError).current as Entry];
  }
  const facts = { createRevision: 1, modRevision: 1, version: 1, leaseId: 0 };

  test('as JSON', async () => {
    const [error, entry] = await both();
    expect(JSON.parse(JSON.stringify(error))).toMatchObject({
      name: 'ConflictError',
      code: 'CONFLICT',
      message: error.message,
      outcome: 'none',
      retryable: false,
      details: { operation: 'put', key: 'ключ' },
      current: { key: 'ключ', value: 'Ada' },
    });
    expect(JSON.parse(JSON.stringify(entry))).toEqual({ key: 'ключ', value: 'Ada', ...facts });
  });

  test('as a copy by spreading, and by structuredClone', async () => {
    const [error, entry] = await both();
    const { message, details } = error;
    expect({ ...error }).toMatchObject({ code: 'CONFLICT', message, details, outcome: 'none' });
    expect(structuredClone(error).stack).toContain(`ConflictError [CONFLICT]: ${message}`);
    const own = { keyText: 'ключ', value: new Uint8Array(Buffer.from('Ada')), ...facts };
    expect({ ...entry }).toEqual(own);
    expect(structuredClone(entry)).toEqual(own);
  });

  test('printed', async () => {
    const [error, entry] = await both();
    for (const word of ['CONFLICT', error.message, "operation: 'put'", "key: 'ключ'"]) {
      expect(inspect(error)).toContain(word);
    }
    expect(inspect(entry)).toMatch(/^Entry \{\s+key: 'ключ',\s+value: 'Ada',/);
  });
});
