// The promises around the engine: arguments, results, errors, ranges over several pages, deletes in parts,
// status. They run in the fake world: its clock goes on while something is awaited, so that no test waits for
// real time. What needs sockets is in `socket.test`.

import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { endpointsOf } from '../../src/client/arguments.js';
import { KvorumClient } from '../../src/client/client.js';
import { connect } from '../../src/client/connect.js';
import { Entry } from '../../src/client/entry.js';
import { ConflictError } from '../../src/client/errors.js';
import { defaultClientLimits } from '../../src/client/engine/limits.js';
import { keyAfter } from '../../src/client/range.js';
import { Harness } from './harness.js';

/** A client in a fake world that runs while something is awaited. */
class Setup {
  readonly harness = new Harness();
  readonly client = new KvorumClient(this.harness.engine, 10_000, (done) => done());

  async run<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const end = (): void => void (isDone = true);
    promise.then(end, end);
    while (!isDone) {
      this.harness.world.run(5);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return promise;
  }

  async error(promise: Promise<unknown>): Promise<KvorumError> {
    try {
      await this.run(promise);
    } catch (error) {
      if (error instanceof KvorumError) return error;
      throw error;
    }
    throw new Error('did not fail');
  }

  async fill(count: number): Promise<string[]> {
    const keys = Array.from({ length: count }, (_, i) => `k${String(i).padStart(5, '0')}`);
    await this.run(Promise.all(keys.map((key) => this.client.put(key, `value of ${key}`))));
    return keys;
  }
}

let setup = new Setup();
afterEach(() => {
  setup = new Setup();
});

describe('put, get, delete', () => {
  test('round trip of text, bytes and JSON', async () => {
    const { client } = setup;
    expect(await setup.run(client.put('ключ', 'naïve ☃'))).toEqual({ revision: 1 });
    const entry = await setup.run(client.get('ключ'));
    expect(entry).toBeInstanceOf(Entry);
    expect(entry?.text()).toBe('naïve ☃');
    expect(entry?.keyText).toBe('ключ');
    expect(entry?.key).toEqual(Buffer.from('ключ'));
    expect(entry).toMatchObject({ createRevision: 1, modRevision: 1, version: 1, leaseId: 0 });
    expect(await setup.run(client.get(Buffer.from('ключ')))).toMatchObject({ version: 1 });
    await setup.run(client.put(new Uint8Array([0, 255]), new Uint8Array([1, 0, 255])));
    const binary = await setup.run(client.get(new Uint8Array([0, 255])));
    expect(binary?.value).toEqual(new Uint8Array([1, 0, 255]));
    await setup.run(client.put('j', '{"a":[1]}'));
    expect((await setup.run(client.get('j')))?.json()).toEqual({ a: [1] });
    expect(() => entry?.json()).toThrow(/not JSON/);
    expect(await setup.run(client.get('missing'))).toBeUndefined();
    expect(await setup.run(client.delete('j'))).toEqual({ deleted: 1, revision: 4 });
    expect(await setup.run(client.delete('j'))).toMatchObject({ deleted: 0 });
  });

  test('the value is what it was when put was called', async () => {
    const value = Buffer.from('before');
    const put = setup.client.put('k', value);
    value.write('after!');
    await setup.run(put);
    expect((await setup.run(setup.client.get('k')))?.text()).toBe('before');
  });

  test('an entry does not keep the message alive that it came in', async () => {
    await setup.run(setup.client.put('k', 'v'));
    const entry = await setup.run(setup.client.get('k'));
    expect(entry?.value.buffer.byteLength).toBe(1);
  });

  test('conditions that do not hold are conflicts with the current entry', async () => {
    const { client } = setup;
    await setup.run(client.put('k', 'one', { ifAbsent: true }));
    const taken = await setup.error(client.put('k', 'two', { ifAbsent: true }));
    expect(taken).toBeInstanceOf(ConflictError);
    expect(taken).toMatchObject({
      name: 'ConflictError',
      code: 'CONFLICT',
      outcome: 'none',
      retryable: false,
    });
    expect((taken as ConflictError).current?.text()).toBe('one');
    expect(await setup.run(client.put('k', 'two', { ifRevision: 1 }))).toEqual({ revision: 2 });
    expect(await setup.error(client.delete('k', { ifRevision: 1 }))).toMatchObject({ code: 'CONFLICT' });
    expect(await setup.run(client.delete('k', { ifRevision: 2 }))).toMatchObject({ deleted: 1 });
    const gone = await setup.error(client.put('k', 'three', { ifRevision: 2 }));
    expect((gone as ConflictError).current).toBeUndefined();
    expect(await setup.run(client.put('k', 'three', { ifRevision: 0, ifAbsent: false }))).toBeDefined();
  });
});

describe('arguments are checked before anything is sent', () => {
  const cases: [string, (client: KvorumClient) => Promise<unknown>, string, RegExp][] = [
    ['empty key', (c) => c.put('', 'v'), 'INVALID_ARGUMENT', /key must not be empty.*4096/],
    ['no key', (c) => c.get(undefined as never), 'INVALID_ARGUMENT', /key must be a string/],
    ['long key', (c) => c.get('é'.repeat(2_049)), 'TOO_LARGE', /key has 4098 bytes, its limit is 4096/],
    [
      'lone surrogate in a key',
      (c) => c.get('a\ud800'),
      'INVALID_ARGUMENT',
      /key contains half of a surrogate/,
    ],
    ['lone surrogate in a value', (c) => c.put('k', '\udc00'), 'INVALID_ARGUMENT', /value contains half/],
    ['no value', (c) => c.put('k', 5 as never), 'INVALID_ARGUMENT', /value must be a string or a Uint8Array/],
    ['large value', (c) => c.put('k', new Uint8Array(1_048_577)), 'TOO_LARGE', /value has 1048577.*1048576/],
    ['negative ifRevision', (c) => c.put('k', 'v', { ifRevision: -1 }), 'INVALID_ARGUMENT', /ifRevision.*-1/],
    [
      'both conditions',
      (c) => c.put('k', 'v', { ifRevision: 1, ifAbsent: true }),
      'INVALID_ARGUMENT',
      /exclude/,
    ],
    ['ifAbsent', (c) => c.put('k', 'v', { ifAbsent: 1 as never }), 'INVALID_ARGUMENT', /ifAbsent/],
    ['ifRevision 0 of a delete', (c) => c.delete('k', { ifRevision: 0 }), 'INVALID_ARGUMENT', /at least 1/],
    [
      'ifRevision of a range',
      (c) => c.delete({ prefix: 'a' }, { ifRevision: 1 }),
      'INVALID_ARGUMENT',
      /single/,
    ],
    ['delete of nothing', (c) => c.delete({}), 'INVALID_ARGUMENT', /every key give/],
    [
      'delete of an empty prefix',
      (c) => c.delete({ prefix: '' }),
      'INVALID_ARGUMENT',
      /prefix must not be empty/,
    ],
    ['delete of null', (c) => c.delete(null as never), 'INVALID_ARGUMENT', /delete takes a key/],
    ['prefix and start', (c) => c.count({ prefix: 'a', start: 'b' }), 'INVALID_ARGUMENT', /prefix excludes/],
    [
      'start after end',
      (c) => c.count({ start: 'b', end: 'a' }),
      'INVALID_ARGUMENT',
      /start must sort before/,
    ],
    [
      'fractional revision',
      (c) => c.get('k', { revision: 1.5 }),
      'INVALID_ARGUMENT',
      /revision must be.*1\.5/,
    ],
    ['minRevision', (c) => c.get('k', { minRevision: -1 }), 'INVALID_ARGUMENT', /minRevision/],
    ['consistency', (c) => c.get('k', { consistency: 'x' as never }), 'INVALID_ARGUMENT', /consistency must/],
    [
      'staleness',
      (c) => c.get('k', { consistency: { maxStalenessMs: -1 } }),
      'INVALID_ARGUMENT',
      /maxStalenessMs/,
    ],
    ['readFrom', (c) => c.get('k', { readFrom: 'x' as never }), 'INVALID_ARGUMENT', /readFrom must/],
    [
      'timeoutMs 0',
      (c) => c.get('k', { timeoutMs: 0 }),
      'INVALID_ARGUMENT',
      /timeoutMs must be 1 \.\. 2147483647/,
    ],
    ['timeoutMs 2^31', (c) => c.status({ timeoutMs: 2 ** 31 }), 'INVALID_ARGUMENT', /timeoutMs/],
    ['limit', (c) => Promise.resolve().then(() => c.range({ limit: 0 })), 'INVALID_ARGUMENT', /limit must/],
  ];
  test.each(cases)('%s', async (_name, call, code, message) => {
    setup.harness.world.run(50);
    const error = await setup.error(call(setup.client));
    expect(error).toMatchObject({ code, outcome: 'none' });
    expect(error.message).toMatch(message);
    setup.harness.world.run(50);
    const frames = setup.harness.cluster.nodes.flatMap((node) => node.received);
    expect(frames.filter(({ kind }) => kind !== 'hello')).toEqual([]);
  });

  test('endpoints', async () => {
    expect(
      endpointsOf(['a-b.example:1', 'ws://127.0.0.1:7401', '127.0.0.1:7401', 'ws://[::1]:65535/']),
    ).toEqual([...['a-b.example:1', '127.0.0.1:7401', '[::1]:65535']]);
    const wrong = [
      'localhost',
      'localhost:0',
      'localhost:65536',
      'http://localhost:1',
      ':1',
      'a:1/x',
      '::1:7401',
      5,
    ];
    for (const endpoint of wrong) {
      await expect(connect({ endpoints: ['ok:1', endpoint as string] })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/endpoints\[1\] must be host:port or ws:\/\/host:port/) as string,
      });
    }
    await expect(connect({ endpoints: [] })).rejects.toThrow(/endpoints must be an array/);
    await expect(connect({ endpoints: 'a:1' as never })).rejects.toThrow(/endpoints must be an array/);
    const limits = { nonsense: 1 } as never;
    await expect(connect({ endpoints: ['a:1'], limits })).rejects.toThrow(
      /^limits.nonsense is not a limit of the client; its limits are requestsMax, requestBytesMax, /,
    );
    for (const wrong of [null, 5, 'fast', [1]]) {
      await expect(connect({ endpoints: ['a:1'], limits: wrong as never })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/^limits must be an object, not (null|5|fast|an array)$/) as string,
      });
    }
    await expect(connect({ endpoints: ['a:1'], limits: { pingAfterMs: 0 } })).rejects.toThrow(
      /limits.pingAfterMs/,
    );
  });
});

describe('options', () => {
  const call = 'timeoutMs, signal';
  const read = `consistency, revision, minRevision, readFrom, ${call}`;
  const selection = 'prefix, start, end';
  const calls: [string, (client: KvorumClient, options: never) => unknown, string][] = [
    ['put', (c, options) => c.put('k', 'v', options), `ifRevision, ifAbsent, ${call}`],
    ['get', (c, options) => c.get('k', options), read],
    ['delete', (c, options) => c.delete('k', options), `ifRevision, ${call}`],
    ['range', (c, options) => c.range(options).all(), `${selection}, limit, reverse, keysOnly, ${read}`],
    ['count', (c, options) => c.count(options), `${selection}, ${read}`],
    ['status', (c, options) => c.status(options), call],
    [
      'connect',
      (_c, options) => connect(options),
      'endpoints, timeoutMs, signal, lazy, endpointsOnly, limits',
    ],
  ];

  test.each(calls)('of %s: an unknown name is refused, and the known ones are listed', async (...given) => {
    const [name, make, names] = given;
    const attempt = async (options: unknown): Promise<unknown> => make(setup.client, options as never);
    expect(await setup.error(attempt({ ifRevison: 3 }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      outcome: 'none',
      message: `ifRevison is not an option of ${name}; its options are ${names}`,
    });
    expect(await setup.error(attempt({ tmeoutMs: undefined }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test.each(calls)('of %s: what is not an object is refused', async (name, make) => {
    const attempt = async (options: unknown): Promise<unknown> => make(setup.client, options as never);
    const wrong: [unknown, string][] = [
      [null, 'null'],
      [5, '5'],
      ['x', '"x"'],
      [['a:1'], 'an array'],
      [() => 1, 'a function'],
      [Buffer.from('x'), 'bytes'],
    ];
    for (const [options, words] of wrong) {
      expect(await setup.error(attempt(options))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: `${name} takes an object of options, not ${words}`,
      });
    }
  });

  test('range throws at once', () => {
    expect(() => setup.client.range({ prefx: 'a' } as never)).toThrow(/^prefx is not an option of range/);
  });

  test('known names without a value are as good as none', async () => {
    const { client } = setup;
    const ofCall = { timeoutMs: undefined, signal: undefined };
    const nothing = { consistency: undefined, revision: undefined, minRevision: undefined, ...ofCall };
    await setup.run(client.put('k', 'v', { ifRevision: undefined, ifAbsent: undefined, ...ofCall }));
    await setup.run(client.put('k', 'v', undefined));
    expect(await setup.run(client.get('k', { readFrom: undefined, ...nothing }))).toBeDefined();
    expect(await setup.run(client.count({ prefix: undefined, start: undefined, ...nothing }))).toBe(1);
    const limits = { pingAfterMs: undefined } as never;
    const real = await connect({ endpoints: ['127.0.0.1:1'], lazy: true, limits, ...ofCall });
    await real.close();
  });

  test('a misspelt end does not make a deleted range larger', async () => {
    await setup.fill(3);
    const { client } = setup;
    const misspelt = { start: 'k00000', ned: 'k00001' };
    expect(await setup.error(client.delete(misspelt))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'ned is not a field of a range; its fields are prefix, start, end, and options come after it',
    });
    expect(await setup.run(client.count())).toBe(3);
  });

  test('the default of each limit is the one that its comment names', () => {
    const text = readFileSync(new URL('../../src/client/engine/limits.ts', import.meta.url), 'utf8');
    const fields = [...text.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s+readonly (\w+): number;/g)];
    const named = fields.map(([, comment = '', name = '']) => {
      const number = /Default[\s*]+([\d,]+)\./.exec(comment)?.[1];
      return [name, Number(number?.replaceAll(',', ''))];
    });
    expect(Object.fromEntries(named)).toEqual(defaultClientLimits);
  });
});

describe('ranges', () => {
  test('all entries in order, over pages that show one revision', async () => {
    const keys = await setup.fill(2_500);
    const { client, harness } = setup;
    const seen: string[] = [];
    await setup.run(
      (async () => {
        for await (const entry of client.range({ prefix: 'k' })) {
          seen.push(entry.keyText);
          // Written while the range is read: not part of it.
          if (seen.length === 1) await client.put('k99999', 'late');
        }
      })(),
    );
    expect(seen).toEqual(keys);
    const pages = harness.cluster.nodes
      .flatMap((node) => node.received)
      .filter((frame) => frame.kind === 'range');
    expect(pages.map(({ revision }) => revision)).toEqual([0, 2_500, 2_500]);
    expect(pages.map(({ minRevision }) => minRevision)).toEqual([0, 2_500, 2_500]);
    expect(pages[0]?.consistency).toEqual({ kind: 'linearizable' });
  });

  test('limit, reverse, keysOnly, start and end', async () => {
    const keys = await setup.fill(2_100);
    const { client } = setup;
    const read = async (options: Parameters<KvorumClient['range']>[0]): Promise<string[]> =>
      (await setup.run(client.range(options).all())).map((entry) => entry.keyText);
    expect(await read({})).toEqual(keys);
    expect(await read({ limit: 1_500 })).toEqual(keys.slice(0, 1_500));
    expect(await read({ limit: 1_000 })).toEqual(keys.slice(0, 1_000));
    expect(await read({ reverse: true })).toEqual(keys.slice().reverse());
    expect(await read({ reverse: true, limit: 3 })).toEqual(keys.slice(-3).reverse());
    expect(await read({ start: keys[5], end: keys[9] })).toEqual(keys.slice(5, 9));
    expect(await read({ start: keys[2_098] })).toEqual(keys.slice(2_098));
    expect(await read({ prefix: 'x' })).toEqual([]);
    const [bare] = await setup.run(client.range({ keysOnly: true, limit: 1 }).all());
    expect(bare?.value).toHaveLength(0);
    expect(await setup.run(client.count({ prefix: 'k00' }))).toBe(1_000);
    expect(await setup.run(client.count())).toBe(2_100);
  });

  test('the key after a key of full length is the next that can exist', () => {
    expect(keyAfter('a')).toBe('a\0');
    expect(keyAfter('a'.repeat(4_096))).toBe(`${'a'.repeat(4_095)}b`);
    expect(keyAfter('\xff'.repeat(4_096))).toBeUndefined();
  });

  test('a range that is too large for one command is deleted in parts', async () => {
    await setup.fill(30);
    const { cluster } = setup.harness;
    let refused = 0;
    cluster.refuse = (_node, frame) => {
      if (frame.kind !== 'write' || refused >= 3) return undefined;
      refused++;
      return { code: 'TOO_LARGE', outcome: 'none' };
    };
    for (const node of cluster.nodes) node.pageRecordsMax = 7;
    expect(await setup.run(setup.client.delete({ prefix: 'k' }))).toMatchObject({ deleted: 30 });
    expect(cluster.store.size).toBe(0);
  });

  test('a delete in parts that fails in between says what is gone', async () => {
    await setup.fill(30);
    const { cluster } = setup.harness;
    let writes = 0;
    cluster.refuse = (_node, frame) => {
      if (frame.kind !== 'write') return undefined;
      writes++;
      if (writes === 1) return { code: 'TOO_LARGE', outcome: 'none' };
      return writes === 3 ? { code: 'NO_SPACE', outcome: 'none' } : undefined;
    };
    for (const node of cluster.nodes) node.pageRecordsMax = 10;
    const error = await setup.error(setup.client.delete({ prefix: 'k' }));
    expect(error).toMatchObject({
      code: 'NO_SPACE',
      outcome: 'unknown',
      retryable: false,
      details: { deleted: 10 },
    });
    expect(cluster.store.size).toBe(20);
  });
});

describe('signals, status, close', () => {
  test('a signal ends a call with ABORTED and leaves no listener', async () => {
    const { client, harness } = setup;
    await expect(client.get('k', { signal: AbortSignal.abort('why') })).rejects.toMatchObject({
      code: 'ABORTED',
      cause: 'why',
    });
    await setup.run(client.put('warm', 'up'));
    harness.cluster.refuse = () => 'drop';
    const controller = new AbortController();
    const put = client.put('k', 'v', { signal: controller.signal });
    harness.world.run(5);
    controller.abort('enough');
    expect(await setup.error(put)).toMatchObject({ code: 'ABORTED', outcome: 'unknown', cause: 'enough' });
    harness.cluster.refuse = () => undefined;
    const other = new AbortController();
    let listeners = 0;
    const { signal } = other;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = ((...given: Parameters<typeof add>) => (
      listeners++,
      add(...given)
    )) as typeof add;
    signal.removeEventListener = ((...given: Parameters<typeof remove>) => (
      listeners--,
      remove(...given)
    )) as typeof remove;
    await setup.run(client.put('k', 'v', { signal }));
    expect(listeners).toBe(0);
  });

  test('a raise of the format level goes to the leader, and gives the level', async () => {
    const { client, harness } = setup;
    expect(await setup.run(client.raiseFormat(2))).toBe(2);
    const asked = harness.cluster.nodes.map(({ received }) => received.map(({ kind }) => kind));
    expect(asked.map((kinds) => kinds.includes('raiseFormat'))).toEqual([true, false, false]);
    await expect(client.raiseFormat(0)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    harness.cluster.leader = undefined;
    await expect(setup.run(client.raiseFormat(2))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('a raise that is not answered, or whose link is lost, may have taken effect', async () => {
    const { client, harness } = setup;
    harness.cluster.refuse = (_node, frame) => (frame.kind === 'raiseFormat' ? 'drop' : undefined);
    const unanswered = await setup.error(client.raiseFormat(2, { timeoutMs: 500 }));
    expect(unanswered).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown', retryable: false });
    harness.cluster.refuse = (node, frame) => {
      if (frame.kind !== 'raiseFormat') return undefined;
      node.crash();
      return 'drop';
    };
    const lost = await setup.error(client.raiseFormat(2, { timeoutMs: 500 }));
    expect(lost).toMatchObject({ outcome: 'unknown', retryable: false });
  });

  test('status lists every member, reachable or not', async () => {
    const { client, harness } = setup;
    await setup.run(client.put('k', 'v'));
    harness.cluster.nodes[2]?.crash();
    harness.world.run(50);
    const status = await setup.run(client.status());
    expect(status).toMatchObject({ clusterId: 'c1', leader: 'n1', term: 1 });
    expect(status.nodes.map(({ id, reachable, role }) => [id, reachable, role])).toEqual([
      ...[
        ['n1', true, 'leader'] as const,
        ['n2', true, 'follower'] as const,
        ['n3', false, undefined] as const,
      ],
    ]);
    expect(Object.keys(status.nodes[0] ?? {}).sort()).toEqual(
      [
        ...[
          'id',
          'address',
          'state',
          'role',
          'reachable',
          'pid',
          'term',
          'trouble',
          'commitIndex',
          'appliedIndex',
        ],
        'revision',
        ...[
          'stateHash',
          'stateHashIndex',
          'version',
          'dbBytes',
          'logBytes',
          'formatLevel',
          'formatLevelMax',
          'protocolMax',
          'difference',
        ],
      ].sort(),
    );
    expect(status.nodes[2]?.reason).toContain('ECONNREFUSED');
  });

  test('close may be repeated, and calls after it fail', async () => {
    const { client } = setup;
    await setup.run(client.put('k', 'v'));
    await setup.run(Promise.all([client.close(), client.close(), client[Symbol.asyncDispose]()]));
    expect(await setup.error(client.get('k'))).toMatchObject({ code: 'CLOSED', outcome: 'none' });
  });
});
