// How a test cluster ends: what waits fails with CLOSED, nothing moves any more, nobody is told of what he no
// longer listens to, and what a test should have handled before is still reported.

import { describe, expect, test } from 'vitest';
import { EntryRange } from '../../src/client/range.js';
import { testCluster } from '../../src/sim/index.js';
import { errorOf, realTime, watchUnhandled } from './test-cluster-bench.js';

const unhandled = watchUnhandled();

describe('the end', () => {
  test('everything that waits fails with CLOSED, whether somebody listens or not', async () => {
    const c = await testCluster();
    const kv = c.client();
    await kv.put('a', '1');
    c.partition(['n1'], ['n2'], ['n3']);
    const waiting = [
      kv.put('a', '2'),
      kv.get('a'),
      kv.count(),
      c.client().put('b', '1'),
      c.advance(1_000),
      c.waitFor(() => false),
      c.waitFor(() => kv.get('never')),
    ];
    await c.advance(10);
    await c.close();
    await realTime();
    const results = await Promise.all(waiting.map(errorOf));
    for (const { code, message } of results) {
      expect(code).toBe('CLOSED');
      expect(message).toMatch(/test cluster was disposed/);
    }
    expect(results[0]?.outcome).toBe('unknown');
  });

  test.each<[string, () => unknown]>([
    ['a promise that never settles', () => new Promise(() => undefined)],
    ['what only looks like a promise and never settles', () => ({ then: () => undefined })],
  ])('a condition that returned %s does not keep waitFor', async (_, condition) => {
    const c = await testCluster();
    let isSettled = false;
    const waiting = errorOf(c.waitFor(condition)).finally(() => (isSettled = true));
    // Nobody listens to this one.
    void c.waitFor(condition);
    await c.advance(20_000);
    await c.client().put('a', '1');
    expect(isSettled).toBe(false);
    await c.close();
    await realTime();
    expect(isSettled).toBe(true);
    expect(await waiting).toMatchObject({ code: 'CLOSED', message: expect.stringMatching(/disposed/) });
  });

  test('a condition that ends the cluster ends its own waitFor, in no time', async () => {
    for (const answer of [false, Promise.resolve(false), new Promise<never>(() => undefined)]) {
      const c = await testCluster();
      const { now } = c;
      const waiting = errorOf(c.waitFor(() => (void c.close(), answer)));
      expect(await Promise.race([waiting, realTime().then(realTime)])).toMatchObject({ code: 'CLOSED' });
      expect(c.now - now).toBeLessThan(1_000);
    }
    const c = await testCluster();
    expect(await c.waitFor(() => (void c.close(), 'it held'))).toBe('it held');
  });

  test('what is read of ranges fails with CLOSED, whether somebody listens or not', async () => {
    const c = await testCluster();
    const kv = c.client();
    await Promise.all(Array.from({ length: 1_100 }, (_, i) => kv.put(`k${i}`, '')));
    const half = kv.range()[Symbol.asyncIterator]();
    // The first page has 1,000 entries; the next entry needs another one.
    for (let i = 0; i < 1_000; i++) expect((await half.next()).done).toBe(false);
    c.partition(['c1'], [...c.nodes]);
    const range = kv.range({ prefix: 'k' });
    const fresh = range[Symbol.asyncIterator]();
    const heard = [errorOf(kv.range().all()), errorOf(kv.range()[Symbol.asyncIterator]().next())];
    void range.all();
    void fresh.next();
    void half.next();
    await c.advance(10);
    await c.close();
    for (const error of heard) expect(await error).toMatchObject({ code: 'CLOSED' });
  });

  test('a range is what the production client gives, but for that', async () => {
    await using c = await testCluster();
    const kv = c.client({ timeoutMs: 1_000 });
    for (const key of ['a', 'b', 'c']) await kv.put(key, '');
    const range = kv.range({ limit: 2 });
    expect(range).toBeInstanceOf(EntryRange);
    expect(range.constructor).toBe(EntryRange);
    const keys: string[] = [];
    for await (const { keyText } of range) keys.push(keyText);
    for await (const { keyText } of range) {
      keys.push(keyText);
      break;
    }
    expect(keys).toEqual(['a', 'b', 'a']);
    expect(await range.all()).toHaveLength(2);
    const iterator = range[Symbol.asyncIterator]();
    expect((await iterator.next()).value?.keyText).toBe('a');
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(() => kv.range({ limit: -1 })).toThrow(/limit/);
    // What fails before the end is still the test's to handle.
    c.partition(['c1'], [...c.nodes]);
    void range.all();
    await c.advance(2_000);
    await realTime();
    expect(unhandled.splice(0)).toMatchObject([{ code: 'TIMEOUT' }]);
  });

  test('however many calls nobody listens to, none is reported', async () => {
    const c = await testCluster();
    for (let i = 0; i < 5_000; i++) void c.advance(1_000);
    await c.close();
  });

  test('close and `await using` are the same, once', async () => {
    const c = await testCluster();
    const waiting = errorOf(c.advance(1_000));
    const closed = c.close();
    expect([c.close(), c[Symbol.asyncDispose]()].every((other) => other === closed)).toBe(true);
    await closed;
    expect(await waiting).toMatchObject({ code: 'CLOSED' });
    const { events } = c;
    await c.close();
    expect(c.events).toBe(events);
    expect(c.trace().filter((line) => line.endsWith('dispose'))).toHaveLength(1);
  });

  test('nothing moves after it, and every use says what happened', async () => {
    const c = await testCluster();
    const kv = c.client();
    await kv.put('a', '1');
    await c[Symbol.asyncDispose]();
    await c.close();
    const { now, events } = c;
    const uses: (() => unknown)[] = [
      () => c.client(),
      () => c.partition(['n1'], ['n2']),
      () => c.cut('n1', 'n2'),
      () => c.heal(),
      () => c.crash('n1'),
      () => c.kill('n1'),
      () => c.restart('n1'),
      () => c.pause('n1'),
      () => c.resume('n1'),
      () => c.status('n1'),
      () => c.leader,
    ];
    for (const use of uses) {
      expect(use).toThrow(
        expect.objectContaining({ code: 'CLOSED', message: expect.stringMatching(/disposed/) }),
      );
    }
    expect(await errorOf(c.advance(1))).toMatchObject({ code: 'CLOSED' });
    expect(await errorOf(c.waitFor(() => true))).toMatchObject({ code: 'CLOSED' });
    expect((await errorOf(kv.put('a', '2'))).message).toMatch(/disposed/);
    c.check();
    expect(c.hash()).toMatch(/^[0-9a-f]{16}$/);
    expect(c.trace().length).toBeGreaterThan(5);
    await kv.close();
    await realTime();
    expect(c.now - now).toBeLessThan(1);
    expect(c.events - events).toBeLessThan(10);
  });

  test('a client that was closed says so itself', async () => {
    await using c = await testCluster();
    const kv = c.client();
    await kv.put('a', '1');
    const waiting = errorOf(kv.put('a', '2'));
    await kv.close();
    expect(await waiting).toMatchObject({
      code: 'CLOSED',
      message: expect.stringMatching(/client was closed/),
    });
    expect((await errorOf(kv.get('a'))).message).toMatch(/client is closed/);
    expect(await c.client().count()).toBeGreaterThan(0);
  });

  test('an error that the test does not handle is still reported', async () => {
    await using c = await testCluster();
    const kv = c.client();
    await kv.put('a', '1');
    void kv.put('a', '2', { ifRevision: 99 });
    await c.advance(100);
    await realTime();
    expect(unhandled.splice(0)).toMatchObject([{ code: 'CONFLICT' }]);
  });
});
