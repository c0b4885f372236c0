// Plain HTTP on the node's address: every request gets its handler or is told what is wrong with it, and none
// holds more of the node than its bounds.

import { afterEach, describe, expect, it } from 'vitest';
import type { HttpAnswer, HttpRequest, HttpRoutes } from '../../src/transport/http.js';
import { until } from '../waiting.js';
import { openSocket, startNode, stopAll, type RawSocket } from './harness.js';

afterEach(stopAll);

const text = (status: number, body: string): HttpAnswer => ({ status, contentType: 'text/plain', body });

/** Routes that keep what they were asked. */
function echo(): { readonly seen: HttpRequest[]; readonly routes: HttpRoutes } {
  const seen: HttpRequest[] = [];
  const handler = (request: HttpRequest): HttpAnswer => {
    seen.push(request);
    return text(200, `${request.method} ${Buffer.from(request.body).toString()}`);
  };
  return {
    seen,
    routes: {
      '/both': { GET: handler, POST: handler },
      '/read': { GET: handler },
      '/write': { PUT: handler },
      '/later': { GET: () => Promise.resolve(text(503, 'no')) },
      '/throws': {
        GET: () => {
          throw new Error('secret');
        },
      },
      '/rejects': { GET: () => Promise.reject(new Error('secret')) },
      '/long': { GET: () => text(200, 'x'.repeat(64 * 1_048_576)) },
    },
  };
}

async function start(limits: Parameters<typeof startNode>[0] = {}) {
  const { seen, routes } = echo();
  const node = await startNode({ routes, ...limits });
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://${node.address}${path}`, init);
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  return { node, seen, ask };
}

async function raw(port: number, ...parts: readonly string[]): Promise<RawSocket> {
  const socket = await openSocket(port);
  for (const part of parts) socket.socket.write(part);
  return socket;
}

describe('a request', () => {
  it('reaches its handler with method, path, query, headers and body', async () => {
    const { seen, ask } = await start();
    const headers = { 'x-Thing': 'some', 'content-type': 'application/json' };
    const { status, body } = await ask('/both?a=1?b', { method: 'POST', headers, body: '{"some": "body"}' });
    expect([status, body]).toEqual([200, 'POST {"some": "body"}']);
    const [request] = seen;
    expect(request).toMatchObject({ method: 'POST', path: '/both', query: 'a=1?b' });
    expect(request?.headers).toMatchObject({ 'x-thing': 'some', 'content-type': 'application/json' });
    expect((await ask('/both')).body).toBe('GET ');
    expect(seen[1]).toMatchObject({ method: 'GET', query: '' });
    expect(seen[1]?.body).toHaveLength(0);
    expect((await ask('/later')).status).toBe(503);
  });

  it('for the head is one for the page, answered without its body', async () => {
    const { seen, ask } = await start();
    const { status, headers, body } = await ask('/read', { method: 'HEAD' });
    expect([status, headers.get('content-length'), body]).toEqual([200, '4', '']);
    expect(seen.map(({ method }) => method)).toEqual(['GET']);
    expect((await ask('/write', { method: 'HEAD' })).status).toBe(405);
  });

  it('for a page that is not there hears what is there', async () => {
    const { ask } = await start();
    const { status, body } = await ask(`/nothing${'x'.repeat(1_000)}`);
    expect(status).toBe(404);
    expect(body).toMatch(/^no page \/nothingx{92}; there are \/both, \/read, \/write, /);
    for (const path of ['/constructor', '/__proto__', '/', '/both/', '//both', '/client']) {
      expect([path, (await ask(path)).status]).toEqual([path, 404]);
    }
  });

  it('with a method that the page does not have hears which ones it has', async () => {
    const { seen, ask } = await start();
    const found = await ask('/both', { method: 'DELETE' });
    expect([found.status, found.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST']);
    expect(found.body).toBe('only GET and HEAD and POST for /both\n');
    expect((await ask('/write')).headers.get('allow')).toBe('PUT');
    for (const method of ['constructor', 'OPTIONS', 'PATCH']) {
      expect((await ask('/read', { method })).status).toBe(method === 'constructor' ? 400 : 405);
    }
    expect(seen).toEqual([]);
  });

  it('whose handler fails learns that, and not why', async () => {
    const { ask } = await start();
    for (const path of ['/throws', '/rejects']) {
      const { status, body } = await ask(path);
      expect(status).toBe(500);
      expect(body).not.toContain('secret');
    }
    expect((await ask('/read')).status).toBe(200);
  });
});

describe('a body', () => {
  const limits = { httpBodyBytesMax: 1_000 };

  it('up to the limit arrives whole, one over it is refused with the limit', async () => {
    const { seen, ask } = await start({ limits });
    expect((await ask('/both', { method: 'POST', body: 'x'.repeat(1_000) })).status).toBe(200);
    expect(seen[0]?.body).toHaveLength(1_000);
    const { status, headers, body } = await ask('/both', { method: 'POST', body: 'x'.repeat(1_001) });
    expect([status, headers.get('connection')]).toEqual([413, 'close']);
    expect(body).toBe('the body is over the limit of 1000 bytes; send less\n');
    expect(seen).toHaveLength(1);
  });

  it('that is announced too long is refused before it comes', async () => {
    const { node, seen } = await start({ limits });
    const head = 'POST /both HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n';
    const { text: answer, isClosed } = await raw(node.port, head);
    await until(isClosed, 'the close');
    expect(answer()).toMatch(/^HTTP\/1\.1 413 /);
    expect(seen).toEqual([]);
  });

  it('that grows over the limit without having been announced is refused', async () => {
    const { node, seen } = await start({ limits });
    const head = 'POST /both HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n';
    const chunk = `1f4\r\n${'x'.repeat(500)}\r\n`;
    const { text: answer, isClosed } = await raw(node.port, head, chunk, chunk, chunk);
    await until(isClosed, 'the close');
    expect(answer()).toMatch(/^HTTP\/1\.1 413 /);
    expect(seen).toEqual([]);
  });

  it('of a request that breaks off reaches nobody', async () => {
    const { node, seen, ask } = await start({ limits });
    const head = 'POST /both HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n';
    const { socket } = await raw(node.port, head, 'x'.repeat(500));
    socket.destroy();
    expect((await ask('/read')).status).toBe(200);
    expect(seen.map(({ path }) => path)).toEqual(['/read']);
  });
});

describe('a slow one', () => {
  const limits = { httpTimeoutMs: 100 };

  for (const [what, head] of [
    ['that says nothing', ''],
    ['that does not end its headers', 'GET /read HTTP/1.1\r\nhost: x\r\n'],
    ['that does not end its body', 'POST /both HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nx'],
  ] as const) {
    it(`${what} is ended after its time`, async () => {
      const { node, seen } = await start({ limits });
      const { isClosed, text: answer } = await raw(node.port, head);
      await until(isClosed, 'the close');
      expect(answer()).toMatch(/^(HTTP\/1\.1 408 |$)/);
      expect(seen).toEqual([]);
    });
  }

  it('that takes nothing of its answer is ended after its time, and gives up its place', async () => {
    const { node, ask } = await start({
      limits: { ...limits, strangersMax: 2 },
    });
    const { socket, isClosed, text: answer } = await raw(node.port);
    socket.pause();
    socket.write('GET /long HTTP/1.1\r\nhost: x\r\n\r\n');
    await until(() => node.network.strangers === 0, 'the place');
    expect((await ask('/read')).status).toBe(200);
    socket.resume();
    await until(isClosed, 'the close');
    expect(answer().length).toBeLessThan(64 * 1_048_576);
  });
});

describe('requests that do not wait for their answers', () => {
  it('get the first answer, and then their connection ends', async () => {
    const { node, seen } = await start();
    const one = 'GET /read HTTP/1.1\r\nhost: x\r\n\r\n';
    const { isClosed, text: answer } = await raw(node.port, one.repeat(5_000));
    await until(isClosed, 'the close');
    expect(seen).toHaveLength(1);
    expect(answer().match(/HTTP\/1\.1 200/g)).toHaveLength(1);
    expect(answer()).toMatch(/connection: close/i);
  });

  it('cost no more than one answer, also when nobody reads it', async () => {
    const { node, seen } = await start({ limits: { httpTimeoutMs: 200 } });
    const { socket, isClosed } = await raw(node.port);
    socket.pause();
    socket.write('GET /long HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(1_000));
    await until(() => seen.length === 0 && node.network.strangers === 0, 'the end of the connection');
    socket.resume();
    await until(isClosed, 'the close');
  });

  it('do not concern those who wait', async () => {
    const { node, seen } = await start();
    const { socket, text: answer } = await raw(node.port);
    for (let i = 1; i <= 3; i++) {
      socket.write('GET /read HTTP/1.1\r\nhost: x\r\n\r\n');
      await until(
        () => answer().match(/GET $/gm)?.length === i || answer().split('200 OK').length === i + 1,
        'it',
      );
    }
    expect(seen).toHaveLength(3);
  });
});
