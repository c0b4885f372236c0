// What strangers pass to the public calls: every argument and every option of every call, with values that
// are wrong in every way we know of, and bytes of every kind that are right. The tables are complete by their
// types: a new call or option does not compile until it stands here. Nothing that is refused may have had an
// effect, and nothing may ever be thrown but a KvorumError.

import { createContext, runInContext } from 'node:vm';
import { expect, test } from 'vitest';
import { connect, KvorumError, type ConnectOptions, type KvorumClient } from '../../src/client/index.js';
import { testCluster } from '../../src/sim/index.js';

type Kind =
  | 'bytes'
  | 'selection'
  | 'signal'
  | 'count'
  | 'duration'
  | 'flag'
  | 'consistency'
  | 'place'
  | 'addresses'
  | 'limits'
  /** It has a signal, and nothing else that is an option; or nothing. */
  | 'options';

/** Every call that takes arguments. */
type Method = Exclude<
  {
    [Name in keyof KvorumClient]: KvorumClient[Name] extends (...given: never[]) => unknown ? Name : never;
  }[keyof KvorumClient],
  'close' | symbol
>;
type Given<Name extends Method> = Required<Parameters<KvorumClient[Name]>>;
type Before<All extends unknown[]> = All extends [...infer First, unknown] ? First : never;
type Last<All extends unknown[]> = All extends [...unknown[], infer Options] ? Options : never;

type Argument = readonly [good: unknown, ...kinds: Kind[]];
type EachOf<All extends readonly unknown[]> = { readonly [Index in keyof All]: Argument };

interface Call<Name extends Method> {
  readonly given: EachOf<Before<Given<Name>>>;
  readonly options: { [Option in keyof Required<Last<Given<Name>>>]: Kind };
}

const ofCall = { signal: 'signal', timeoutMs: 'duration' } as const;
const ofRead = {
  consistency: 'consistency',
  revision: 'count',
  minRevision: 'count',
  readFrom: 'place',
  ...ofCall,
} as const;
const ofSelection = { prefix: 'bytes', start: 'bytes', end: 'bytes' } as const;

const calls: { readonly [Name in Method]: Call<Name> } = {
  put: {
    given: [
      ['k', 'bytes'],
      ['v', 'bytes'],
    ],
    options: { ifRevision: 'count', ifAbsent: 'flag', ...ofCall },
  },
  get: { given: [['k', 'bytes']], options: ofRead },
  delete: { given: [['k', 'bytes', 'selection']], options: { ifRevision: 'count', ...ofCall } },
  range: {
    given: [],
    options: { ...ofSelection, limit: 'count', reverse: 'flag', keysOnly: 'flag', ...ofRead },
  },
  count: { given: [], options: { ...ofSelection, ...ofRead } },
  status: { given: [], options: ofCall },
  raiseFormat: { given: [[1, 'count']], options: ofCall },
};

const connectOptions: { readonly [Option in keyof Required<ConnectOptions>]: Kind } = {
  endpoints: 'addresses',
  timeoutMs: 'duration',
  signal: 'signal',
  lazy: 'flag',
  endpointsOnly: 'flag',
  limits: 'limits',
};

const throwing = (): never => {
  throw new Error('a trap');
};
const realm = createContext({});
const elsewhere = (code: string): unknown => runInContext(code, realm) as unknown;

function detached<View extends ArrayBufferView>(view: View): View {
  structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] });
  return view;
}

function resizable(bytes: number): ArrayBuffer {
  return Reflect.construct(ArrayBuffer, [bytes, { maxByteLength: 16 }]) as ArrayBuffer;
}

/** A view that its memory was cut off from. */
function cutOff(): Uint8Array {
  const buffer = resizable(8);
  const view = new Uint8Array(buffer, 4, 4);
  (buffer as ArrayBuffer & { resize(bytes: number): void }).resize(2);
  return view;
}

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

/** The value, and of which kinds it is a right one. */
const hostile: readonly (readonly [words: string, value: () => unknown, ...right: Kind[]])[] = [
  ['null', () => null],
  ['NaN', () => Number.NaN],
  ['Infinity', () => Infinity],
  ['a negative number', () => -1],
  ['a fraction', () => 1.5, 'duration'],
  ['a number beyond 2^53', () => 2 ** 60],
  ['a number', () => 7, 'count', 'duration'],
  ['a bigint', () => 7n],
  ['true', () => true, 'flag'],
  ['a symbol', () => Symbol('s')],
  ['text', () => 'text', 'bytes'],
  ['half of a surrogate pair', () => '\ud800'],
  ['a String object', () => new String('text')],
  ['a function', () => () => 'x'],
  ['an array', () => [1, 2]],
  ['an empty array', () => []],
  ['a sparse array', () => new Array(3)],
  ['an object', () => ({ a: 1 })],
  ['an empty object', () => ({}), 'limits', 'options'],
  ['an object of another realm', () => elsewhere('({ a: 1 })')],
  ['an array of another realm', () => elsewhere('[1]')],
  ['a Map', () => new Map([['a', 1]])],
  ['a promise', () => Promise.resolve('x')],
  ['a date', () => new Date(0)],
  ['an ArrayBuffer', () => new ArrayBuffer(4)],
  ['a revoked proxy', () => revoked({})],
  ['a revoked proxy of an array', () => revoked([])],
  ['a proxy of bytes', () => new Proxy(new Uint8Array(4), {})],
  ['an object that inherits from bytes', () => Object.create(Uint8Array.prototype)],
  ['a proxy that throws', () => new Proxy({}, { get: throwing, ownKeys: throwing, has: throwing })],
  ['a proxy without a prototype', () => new Proxy({}, { getPrototypeOf: throwing, get: throwing })],
  ['a getter that throws', () => Object.defineProperty({}, 'prefix', { get: throwing, enumerable: true })],
  ['bytes whose memory was given away', () => detached(new Uint8Array(4))],
  ['a DataView whose memory was given away', () => detached(new DataView(new ArrayBuffer(4)))],
  ['bytes whose memory was cut off', cutOff],
  [
    'bytes of a length that throws',
    () => Object.defineProperty(new Uint8Array(4), 'byteLength', { get: throwing }),
  ],
  ['an AbortController', () => new AbortController(), 'options'],
  ['a half AbortSignal', () => ({ aborted: false, addEventListener: () => undefined })],
  [
    'an AbortSignal that throws',
    () => ({ aborted: false, addEventListener: throwing, removeEventListener: throwing }),
  ],
];

/** The code of the error that the call ends with; `undefined`: it succeeded. */
async function codeOf(call: () => unknown): Promise<string | undefined> {
  try {
    const result: unknown = await call();
    const isRange = typeof result === 'object' && result !== null && 'all' in result;
    if (isRange) await (result as { all(): Promise<unknown> }).all();
    return undefined;
  } catch (error) {
    if (!KvorumError.is(error)) return `not a KvorumError: ${String(error)}`;
    return error.outcome === 'none' ? error.code : `${error.code} with outcome ${error.outcome}`;
  }
}

function invoke(kv: KvorumClient, name: Method, given: readonly unknown[], options: unknown): unknown {
  return (kv[name] as (...all: unknown[]) => unknown).call(kv, ...given, options);
}

const refusals = ['INVALID_ARGUMENT', 'TOO_LARGE'];

test.each(Object.keys(calls) as Method[])(
  '%s refuses whatever is wrong, before it does anything',
  async (name) => {
    await using cluster = await testCluster({ nodes: 1, seed: 1 });
    const kv = cluster.client();
    const { revision } = await kv.put('before', '');
    const call = calls[name] as unknown as { given: Argument[]; options: Record<string, Kind> };
    const good = call.given.map(([value]) => value);
    const seen: string[] = [];
    const attempt = async (what: string, given: readonly unknown[], options: unknown): Promise<void> => {
      const code = await codeOf(() => invoke(kv, name, given, options));
      if (!refusals.includes(code ?? '')) seen.push(`${what}: ${code ?? 'taken'}`);
    };
    for (const [words, value, ...right] of hostile) {
      for (const [index, [, ...kinds]] of call.given.entries()) {
        if (kinds.some((kind) => right.includes(kind))) continue;
        await attempt(
          `argument ${index}, ${words}`,
          good.map((old, place) => (place === index ? value() : old)),
          {},
        );
      }
      for (const [option, kind] of Object.entries(call.options)) {
        if (!right.includes(kind)) await attempt(`${option}, ${words}`, good, { [option]: value() });
      }
      if (!right.includes('options')) await attempt(`options, ${words}`, good, value());
    }
    expect(seen).toEqual([]);
    expect((await kv.put('after', '')).revision).toBe(revision + 1);
  },
);

test('connect refuses whatever is wrong, before it dials', async () => {
  const good = { endpoints: ['127.0.0.1:1'], lazy: true };
  for (const [words, value, ...right] of hostile) {
    for (const [option, kind] of Object.entries(connectOptions)) {
      if (right.includes(kind)) continue;
      const code = await codeOf(() => connect({ ...good, [option]: value() }));
      expect(code, `${option}, ${words}`).toBe('INVALID_ARGUMENT');
    }
    if (right.includes('options')) continue;
    expect(await codeOf(() => connect(value() as never)), words).toBe('INVALID_ARGUMENT');
  }
});

test('an option is read once: what was checked is what is used', async () => {
  await using cluster = await testCluster({ nodes: 1, seed: 1 });
  const kv = cluster.client();
  await kv.put('k', 'v');
  let reads = 0;
  const options = {
    get ifRevision(): number {
      return reads++ === 0 ? 7 : 1;
    },
  };
  await expect(kv.put('k', 'w', options)).rejects.toMatchObject({ code: 'CONFLICT' });
  expect(reads).toBe(1);
  class Inheriting {
    get ifAbsent(): boolean {
      return true;
    }
  }
  await expect(kv.put('k', 'w', new Inheriting())).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('bytes of every realm and kind are stored as they are at the call', async () => {
  await using cluster = await testCluster({ nodes: 1, seed: 1 });
  const kv = cluster.client();
  const shared = new Uint8Array(new SharedArrayBuffer(8), 2, 4).fill(7);
  const growing = new Uint8Array(resizable(4)).fill(7);
  const kinds: [string, ArrayBufferView][] = [
    ['of another realm', elsewhere('new Uint8Array([7, 7, 7, 7])') as Uint8Array],
    ['a DataView of another realm', elsewhere('new DataView(new Uint8Array([7,7,7,7]).buffer)') as DataView],
    ['shared', shared],
    ['resizable', growing],
    ['signed', new Int8Array([7, 7, 7, 7])],
    ['words', new Uint32Array([0x0707_0707])],
    ['a view in the middle', new Uint8Array(16).fill(7).subarray(5, 9)],
    ['a DataView', new DataView(new Uint8Array([1, 7, 7, 7, 7]).buffer, 1)],
    ['a Buffer', Buffer.from('\x07\x07\x07\x07')],
  ];
  for (const [what, bytes] of kinds) {
    const written = kv.put(bytes, bytes);
    new Uint8Array(bytes.buffer).fill(9);
    await written;
    const entry = await kv.get('\x07\x07\x07\x07');
    expect([what, entry?.value]).toEqual([what, new Uint8Array([7, 7, 7, 7])]);
    expect(await kv.delete('\x07\x07\x07\x07')).toMatchObject({ deleted: 1 });
  }
  for (const empty of [new Uint8Array(), new DataView(new ArrayBuffer(0)), elsewhere('new Uint8Array()')]) {
    await kv.put('empty', empty as Uint8Array);
    expect((await kv.get('empty'))?.value).toHaveLength(0);
  }
});

test('a signal that misbehaves once it is watched disturbs nobody', async () => {
  await using cluster = await testCluster({ nodes: 1, seed: 1 });
  const kv = cluster.client();
  let calls = 0;
  const signal = {
    get aborted(): boolean {
      if (calls++ > 0) throwing();
      return false;
    },
    get reason(): never {
      return throwing();
    },
    addEventListener: (_type: string, listener: () => void) => void (abort = listener),
    removeEventListener: throwing,
  };
  let abort = (): void => undefined;
  await kv.put('k', 'v', { signal: signal as never });
  calls = 0;
  const reading = kv.get('k', { signal: signal as never });
  abort();
  await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
  expect((await kv.get('k'))?.text()).toBe('v');
});

test('one signal ends many calls, with one listener that goes with the last of them', async () => {
  await using cluster = await testCluster({ nodes: 1, seed: 1 });
  const kv = cluster.client();
  await kv.put('warm', 'up');
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  let listenersMax = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = ((...given: Parameters<typeof add>) => {
    listenersMax = Math.max(listenersMax, ++listeners);
    add(...given);
  }) as typeof add;
  signal.removeEventListener = ((...given: Parameters<typeof remove>) => {
    listeners--;
    remove(...given);
  }) as typeof remove;
  const keys = Array.from({ length: 100 }, (_, index) => `k${index}`);
  await Promise.all(keys.map((key) => kv.put(key, '', { signal })));
  expect([listeners, listenersMax]).toEqual([0, 1]);
  const waiting = keys.map((key) => kv.get(key, { signal }));
  controller.abort('enough');
  const ends = await Promise.allSettled(waiting);
  expect(ends.every((end) => end.status === 'rejected' && KvorumError.is(end.reason, 'ABORTED'))).toBe(true);
  expect(listeners).toBe(0);
});
