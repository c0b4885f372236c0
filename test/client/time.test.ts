// The client and real time: a process that is held up, a machine that is suspended, a test that installs fake
// timers. Over real sockets, because what matters is in which order the platform delivers.

import { afterEach, expect, test, vi } from 'vitest';
import { connect } from '../../src/client/index.js';
import { patienceMs } from '../waiting.js';
import { TinyServer } from './tiny-server.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const close of closing.splice(0)) await close();
});

async function startServer(): Promise<TinyServer> {
  const server = await new TinyServer().start();
  closing.push(() => server.stop());
  return server;
}

/** Nothing of this process runs for so long. */
function standStill(durationMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs);
}

test('an answer that has arrived is read before a late deadline is believed', async () => {
  const server = await startServer();
  const kv = await connect({ endpoints: [server.endpoint], timeoutMs: patienceMs });
  closing.unshift(() => kv.close());
  await kv.put('warm', 'up');
  const timeoutMs = 400;
  server.answered = () => standStill(2 * timeoutMs);
  expect(await kv.put('k', 'v', { timeoutMs })).toMatchObject({ revision: 2 });
  expect((await kv.get('k', { timeoutMs }))?.text()).toBe('v');
});

test('after a suspend, what was never sent goes over a new connection, in a new session', async () => {
  // Of the platform before the client takes its functions: the wall clock alone sees the suspend.
  let suspendedMs = 0;
  const wallMs = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => wallMs() + suspendedMs);
  vi.resetModules();
  const fresh = await import('../../src/client/index.js');
  const server = await startServer();
  const kv = await fresh.connect({ endpoints: [server.endpoint], timeoutMs: patienceMs });
  closing.unshift(() => kv.close());
  await kv.put('a', '1');
  await kv.put('b', '2');
  const sessions = (): Set<string> =>
    new Set([...server.outcomes.keys()].map((stamp) => stamp.slice(0, stamp.lastIndexOf('/'))));
  expect([server.connections, sessions().size]).toEqual([1, 1]);
  suspendedMs = 75_000;
  await Promise.all(['c', 'd', 'e'].map((key) => kv.put(key, '3')));
  expect([server.connections, sessions().size]).toEqual([2, 2]);
  // A clock that is corrected is no suspend.
  suspendedMs += 3_000;
  await kv.put('f', '4');
  suspendedMs -= 60_000;
  await kv.put('g', '5');
  expect([server.connections, sessions().size]).toEqual([2, 2]);
});

test('fake timers that are installed later do not stop a client', async () => {
  const server = await startServer();
  const kv = await connect({ endpoints: [server.endpoint], timeoutMs: patienceMs });
  vi.useFakeTimers();
  await kv.put('k', 'v');
  expect((await kv.get('k'))?.text()).toBe('v');
  server.isMute = true;
  await expect(kv.get('k', { timeoutMs: 50 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  const other = await connect({ endpoints: [server.endpoint], lazy: true, timeoutMs: 50 });
  await expect(other.get('k')).rejects.toMatchObject({ outcome: 'none' });
  await Promise.all([kv.close(), other.close()]);
});
