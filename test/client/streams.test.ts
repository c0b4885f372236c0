// Streams on the client's side, against a node that keeps the rules and one that breaks each of them. The
// property: whatever the sizes, the delays and the reader's pace, what comes is in order and complete, and
// neither side ever holds more than the window and the rest of one frame.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AssertionError } from '../../src/base/assert.js';
import type { KvorumError } from '../../src/base/errors.js';
import { Prng } from '../../src/base/prng.js';
import { streamsMax } from '../../src/client/engine/limits.js';
import type { ReadFrom } from '../../src/client/engine/requests.js';
import type { StreamHandle, StreamReader } from '../../src/client/engine/streams.js';
import { decodeClientFrames } from '../../src/wire/clients/request-codec.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { ServerFrame } from '../../src/wire/clients/answers.js';
import type { ClusterNode, StreamRequestFrame } from './fake-cluster.js';
import type { FakeLink } from './fake-world.js';
import { Harness } from './harness.js';

/** Sends frames of the sizes it is given, one at a time and only while it has credit. */
class Source {
  readonly link: FakeLink;
  readonly streamId: number;
  readonly credits: number[] = [];
  creditBytes: number;
  sequence = 0;
  isClosed = false;
  isEnded = false;
  private readonly node: ClusterNode;
  private readonly sizes: number[];

  constructor(node: ClusterNode, link: FakeLink, streamId: number, creditBytes: number, sizes: number[]) {
    this.node = node;
    this.link = link;
    this.streamId = streamId;
    this.creditBytes = creditBytes;
    this.sizes = [...sizes];
  }

  sendWhatMay(): void {
    while (this.creditBytes > 0 && !this.isClosed) {
      const size = this.sizes.shift();
      if (size === undefined) {
        if (!this.isEnded) this.node.answer(this.link, endFrame(this.streamId, 'OK'));
        this.isEnded = true;
        return;
      }
      this.creditBytes -= size;
      this.node.answer(this.link, dataFrame(this.streamId, ++this.sequence, size));
    }
  }
}

function dataFrame(requestId: number, sequence: number, size: number): ServerFrame {
  return { kind: 'streamData', requestId, sequence, payload: new Uint8Array(size).fill(sequence & 0xff) };
}

function endFrame(requestId: number, code: string, message = ''): ServerFrame {
  return { kind: 'streamEnd', requestId, code, message };
}

/** Every node answers each stream with frames of these sizes. */
function serve(harness: Harness, sizes: number[], sources = new Map<number, Source>()): Map<number, Source> {
  for (const node of harness.cluster.nodes) {
    node.streams = (link: FakeLink, frame: StreamRequestFrame): void => {
      const source = sources.get(frame.requestId);
      switch (frame.kind) {
        case 'openStream': {
          const opened = new Source(node, link, frame.requestId, frame.creditBytes, sizes);
          sources.set(frame.requestId, opened);
          opened.sendWhatMay();
          return;
        }
        case 'streamCredit':
          if (source === undefined) throw new Error('credit for a stream that was not opened');
          source.credits.push(frame.bytes);
          source.creditBytes += frame.bytes;
          source.sendWhatMay();
          return;
        case 'closeStream':
          if (source !== undefined) source.isClosed = true;
      }
    };
  }
  return sources;
}

class Reader implements StreamReader {
  readonly payloads: Uint8Array[] = [];
  readonly ends: (KvorumError | undefined)[] = [];
  onData: (payload: Uint8Array) => void = () => undefined;
  heldBytes = 0;
  heldBytesMax = 0;
  handle: StreamHandle | undefined;

  data(payload: Uint8Array): void {
    expect(this.ends).toHaveLength(0);
    this.payloads.push(payload);
    this.heldBytes += payload.length;
    this.heldBytesMax = Math.max(this.heldBytesMax, this.heldBytes);
    this.onData(payload);
  }

  end(error: KvorumError | undefined): void {
    this.ends.push(error);
  }

  consume(bytes: number): void {
    this.heldBytes -= bytes;
    this.handle?.consumed(bytes);
  }
}

function open(harness: Harness, creditBytes = 100, readFrom?: ReadFrom): Reader {
  const reader = new Reader();
  const request = { topic: 'numbers', argument: new Uint8Array([1]), creditBytes };
  const asked = readFrom === undefined ? request : { ...request, readFrom };
  reader.handle = harness.engine.openStream(asked, reader);
  expect([reader.payloads.length, reader.ends.length]).toEqual([0, 0]);
  return reader;
}

function connected(): Harness {
  const harness = new Harness();
  harness.world.run(50);
  return harness;
}

test('frames arrive in order and the end after them; nothing is sent beyond the credit', () => {
  const harness = connected();
  const sources = serve(harness, [60, 60, 60]);
  const reader = open(harness, 100);
  harness.world.run(20);
  expect(reader.payloads.map(({ length }) => length)).toEqual([60, 60]);
  // Less than half of the window: not given back yet.
  reader.consume(49);
  harness.world.run(20);
  const [source] = sources.values();
  expect(source?.credits).toEqual([]);
  reader.consume(1);
  harness.world.run(20);
  expect(source?.credits).toEqual([50]);
  expect(reader.payloads.map((payload) => payload[0])).toEqual([1, 2, 3]);
  expect(reader.ends).toEqual([]);
  reader.consume(130);
  harness.world.run(20);
  expect(reader.ends).toEqual([undefined]);
  reader.handle?.consumed(1_000);
  reader.handle?.close();
  harness.world.run(20);
  expect(reader.ends).toHaveLength(1);
});

test('the end of a stream carries the code and message of the node', () => {
  const harness = connected();
  for (const node of harness.cluster.nodes) {
    node.streams = (link, frame) => node.answer(link, endFrame(frame.requestId, 'COMPACTED', 'gone'));
  }
  const reader = open(harness);
  harness.world.run(20);
  expect(reader.ends).toMatchObject([{ code: 'COMPACTED', message: 'gone', outcome: 'none' }]);
});

test('a frame larger than what can be given back at once is given back in parts', () => {
  const harness = connected();
  const sources = serve(harness, [4_000_000, 4_000_000, 4_000_000, 4_000_000, 4_000_000]);
  const reader = open(harness, wireLimits.streamCreditBytesMax);
  harness.world.run(50);
  expect(reader.heldBytes).toBe(20_000_000);
  reader.consume(20_000_000);
  harness.world.run(50);
  const [source] = sources.values();
  expect(source?.credits).toEqual([wireLimits.streamCreditBytesMax, 20_000_000 - 16 * 1_048_576]);
  expect(reader.ends).toEqual([undefined]);
});

test('where a stream is opened: the leader when that is asked for, the nearest otherwise', () => {
  const harness = connected();
  const sources = serve(harness, [1]);
  const leader = harness.cluster.nodes[1] as ClusterNode;
  harness.cluster.electLeader(leader);
  harness.world.run(20);
  for (const readFrom of ['leader', 'leaderOnly'] as const) open(harness, 10, readFrom);
  harness.world.run(20);
  expect([...sources.values()].map(({ link }) => link.address)).toEqual([leader.address, leader.address]);
  harness.cluster.electLeader(undefined);
  harness.world.run(20);
  const only = open(harness, 10, 'leaderOnly');
  const any = open(harness, 10, 'leader');
  harness.world.run(20);
  expect(only.ends).toMatchObject([{ code: 'UNAVAILABLE', outcome: 'none' }]);
  expect(any.ends).toEqual([undefined]);
});

test('a stream that is closed is closed at the node, and what was under way is ignored', () => {
  const harness = connected();
  const sources = serve(harness, [10, 10, 10, 10]);
  const reader = open(harness, 1_000);
  reader.onData = () => reader.handle?.close();
  const links = harness.world.links.length;
  harness.world.run(50);
  expect(reader.payloads).toHaveLength(1);
  expect(reader.ends).toEqual([]);
  expect([...sources.values()].map(({ isClosed }) => isClosed)).toEqual([true]);
  // Nobody was blamed for the late frames.
  expect(harness.world.links).toHaveLength(links);
  expect(harness.world.openLinks).toHaveLength(3);
});

describe('what breaks the rules costs the connection and nothing else', () => {
  const cases: [string, (streamId: number) => ServerFrame[], RegExp][] = [
    ['a frame that is left out', (id) => [dataFrame(id, 3, 1)], /frame 3 of stream \d+ came where 2 was due/],
    ['a frame that comes twice', (id) => [dataFrame(id, 1, 1)], /frame 1 of stream \d+ came where 2 was due/],
    [
      'a frame beyond the credit',
      (id) => [dataFrame(id, 2, 95), dataFrame(id, 3, 1)],
      /frame 3 of stream \d+ came beyond its credit/,
    ],
    // It would cost no credit: any number of them could come.
    ['an empty frame', (id) => [dataFrame(id, 2, 0)], /payload\) must be 1 \.\. \d+ bytes, not 0 bytes/],
    [
      'a frame of a stream that was never opened',
      (id) => [dataFrame(id + 1_000, 1, 1)],
      /streamData of stream \d+, never opened/,
    ],
    [
      'the end of a stream that was never opened',
      (id) => [endFrame(id + 1_000, 'OK')],
      /streamEnd of stream \d+, never opened/,
    ],
  ];

  test.each(cases)('%s', (_name, frames, message) => {
    const harness = connected();
    const { world, cluster } = harness;
    const [broken, sound] = cluster.nodes as [ClusterNode, ClusterNode];
    // A stream of another connection, which goes on.
    cluster.electLeader(sound);
    world.run(10);
    let otherLink: FakeLink | undefined;
    let otherId = 0;
    sound.streams = (opened, { requestId }) => void ([otherLink, otherId] = [opened, requestId]);
    const other = open(harness, 100, 'leaderOnly');
    world.run(10);
    cluster.electLeader(broken);
    world.run(10);
    let streamId = 0;
    broken.streams = (link, frame) => {
      if (frame.kind !== 'openStream') return;
      streamId = frame.requestId;
      broken.answer(link, dataFrame(streamId, 1, 5));
    };
    const reader = open(harness, 100, 'leaderOnly');
    world.run(10);
    expect(reader.payloads).toHaveLength(1);
    const link = world.openLinks.find(({ address }) => address === broken.address) as FakeLink;
    const put = harness.put('k', 'v');
    world.run(0.5);
    for (const frame of frames(streamId)) broken.answer(link, frame);
    world.run(3);
    expect(link.isOpen).toBe(false);
    const [end] = reader.ends;
    expect(end).toMatchObject({ code: 'UNAVAILABLE', outcome: 'none', cause: { code: 'PROTOCOL' } });
    expect(end?.message).toMatch(message);
    expect(reader.ends).toHaveLength(1);
    world.run(500);
    expect(put.verdict).toBe('OK');
    expect(cluster.effects.get('v')).toBe(1);
    expect(world.openLinks).toHaveLength(3);
    expect(other.ends).toEqual([]);
    if (otherLink !== undefined) sound.answer(otherLink, dataFrame(otherId, 1, 3));
    world.run(10);
    expect(other.payloads).toHaveLength(1);
  });

  test('a reader that consumes what it never got is a bug of this side', () => {
    const harness = connected();
    serve(harness, [10]);
    const reader = open(harness, 5);
    harness.world.run(20);
    expect(() => reader.handle?.consumed(11)).toThrow(AssertionError);
    expect(() => reader.handle?.consumed(-1)).toThrow(AssertionError);
  });
});

describe('streams that cannot be, or be any more', () => {
  test('a lost connection ends its streams, and a frame of them on the next one is a fault', () => {
    const harness = connected();
    serve(harness, [10, 10]);
    const reader = open(harness, 5, 'leaderOnly');
    const second = open(harness, 5, 'leaderOnly');
    harness.world.run(20);
    // Whoever ends touches the other streams of the connection; nothing of that may reach the next link.
    second.onData = () => undefined;
    const ended = reader.ends;
    const { end } = reader;
    reader.end = (error) => {
      end.call(reader, error);
      second.handle?.consumed(10);
      second.handle?.close();
    };
    harness.cluster.leader?.breakLinks();
    harness.world.run(500);
    expect(ended).toMatchObject([{ code: 'UNAVAILABLE', outcome: 'none' }]);
    expect(ended[0]?.message).toContain('connection reset');
    expect(second.ends).toEqual([]);
    expect(harness.world.openLinks).toHaveLength(3);
    for (const { messagesSent } of harness.world.openLinks) {
      expect(decodeClientFrames(messagesSent[0] as Uint8Array).map(({ kind }) => kind)).toEqual(['hello']);
    }
    const link = harness.world.openLinks.find(({ address }) => address === '10.0.0.1:7401') as FakeLink;
    link.reply(dataFrame(1, 2, 1));
    harness.world.run(10);
    expect(link.isOpen).toBe(false);
  });

  test('a node that falls silent is found by its streams alone', () => {
    const harness = connected();
    serve(harness, [10, 10]);
    const reader = open(harness, 5);
    harness.world.run(20);
    for (const node of harness.cluster.nodes) node.isFrozen = true;
    harness.world.run(4_500);
    expect(reader.ends).toMatchObject([{ code: 'UNAVAILABLE' }]);
    expect(reader.ends[0]?.message).toContain('silent for');
  });

  test('without a connection, with wrong arguments, and after close', () => {
    const harness = new Harness();
    const early = open(harness);
    const unwanted = open(harness);
    unwanted.handle?.close();
    harness.world.run(50);
    expect(early.ends).toMatchObject([{ code: 'UNAVAILABLE', outcome: 'none' }]);
    expect(unwanted.ends).toEqual([]);
    serve(harness, []);
    for (const creditBytes of [0, -1, 1.5, Number.NaN, wireLimits.streamCreditBytesMax + 1]) {
      const reader = open(harness, creditBytes);
      harness.world.run(1);
      expect(reader.ends).toMatchObject([{ code: 'INVALID_ARGUMENT' }]);
      expect(reader.ends[0]?.message).toContain(`1 .. ${wireLimits.streamCreditBytesMax}`);
    }
    const large = new Reader();
    const argument = new Uint8Array(wireLimits.streamArgumentBytesMax + 1);
    harness.engine.openStream({ topic: 't', argument, creditBytes: 1 }, large);
    harness.world.run(1);
    expect(large.ends).toMatchObject([{ code: 'TOO_LARGE' }]);
    for (const node of harness.cluster.nodes) node.streams = () => undefined;
    const open1 = open(harness);
    harness.world.run(10);
    harness.engine.close(() => undefined);
    expect(open1.ends).toMatchObject([{ code: 'CLOSED' }]);
    const late = open(harness);
    harness.world.run(1_000);
    expect(late.ends).toMatchObject([{ code: 'CLOSED' }]);
    expect(harness.world.timerCount).toBe(0);
  });

  test(`more than ${streamsMax} on a connection are refused, and one that is closed makes room`, () => {
    const harness = new Harness({ size: 1 });
    harness.world.run(50);
    const node = harness.cluster.nodes[0] as ClusterNode;
    let opened = 0;
    node.streams = (_link, { kind }) => void (kind === 'openStream' && opened++);
    const readers = Array.from({ length: streamsMax }, () => open(harness));
    const beyond = open(harness);
    harness.world.run(20);
    expect(opened).toBe(streamsMax);
    expect(beyond.ends).toMatchObject([{ code: 'OVERLOADED', outcome: 'none' }]);
    expect(beyond.ends[0]?.message).toContain(String(streamsMax));
    readers[7]?.handle?.close();
    const fits = open(harness);
    harness.world.run(20);
    expect(fits.ends).toEqual([]);
    expect(opened).toBe(streamsMax + 1);
  });

  test('while nothing can be sent, opening and closing has its bound, and what waits is sent', () => {
    const harness = new Harness({ size: 1, limits: { connectionRequestsMax: 100 } });
    harness.world.run(50);
    const seen: string[] = [];
    const node = harness.cluster.nodes[0] as ClusterNode;
    node.streams = (_link, { kind }) => void seen.push(kind);
    harness.world.takesMessages = false;
    const readers: Reader[] = [];
    for (let i = 0; i < 1_000; i++) {
      const reader = open(harness);
      readers.push(reader);
      harness.world.run(1);
      if (reader.ends.length === 0) reader.handle?.close();
    }
    const refused = readers.filter(({ ends }) => ends.length > 0);
    expect(refused).toHaveLength(950);
    expect(refused[0]?.ends).toMatchObject([{ code: 'OVERLOADED' }]);
    const last = harness.put('k', 'v');
    harness.world.takesMessages = true;
    harness.world.run(50);
    expect(seen).toEqual(Array.from({ length: 50 }, () => ['openStream', 'closeStream']).flat());
    expect(last.verdict).toBe('OK');
  });
});

interface Run {
  readonly seed: number;
  readonly windowBytes: number;
  readonly sizes: number[];
  readonly consumers: number;
}

function checkRun({ seed, windowBytes, sizes, consumers }: Run): void {
  const harness = new Harness({ seed });
  const { world } = harness;
  const dice = new Prng(seed);
  world.run(50);
  world.latencyMs = () => dice.integer(0, 20);
  const sources = serve(harness, sizes);
  const readers = Array.from({ length: consumers }, () => open(harness, windowBytes));
  const frameMax = Math.max(0, ...sizes);
  const done = (): boolean => readers.every(({ ends, heldBytes }) => ends.length > 0 && heldBytes === 0);
  for (let step = 0; step < 20_000 && !done(); step++) {
    for (const reader of readers) {
      if (dice.chance(0.6)) reader.consume(dice.integer(0, reader.heldBytes));
      else if (dice.chance(0.5)) reader.consume(reader.heldBytes);
    }
    if (dice.chance(0.1)) world.takesMessages = !world.takesMessages;
    if (!world.takesMessages && dice.chance(0.5)) world.takesMessages = true;
    world.run(dice.integer(0, 15));
  }
  const label = `seed ${seed}`;
  for (const reader of readers) {
    expect(reader.ends, label).toEqual([undefined]);
    expect(reader.payloads.map(({ length }) => length)).toEqual(sizes);
    expect(reader.payloads.every((payload, i) => payload.every((byte) => byte === ((i + 1) & 0xff)))).toBe(
      true,
    );
    expect(reader.heldBytesMax, label).toBeLessThanOrEqual(Math.max(0, windowBytes - 1) + frameMax);
  }
  expect(sources.size).toBe(consumers);
  for (const source of sources.values()) {
    // Credit is given back in halves of the window, not with every frame.
    for (const bytes of source.credits) expect(bytes).toBeGreaterThanOrEqual(windowBytes / 2);
    expect(source.creditBytes).toBeLessThanOrEqual(windowBytes);
  }
  expect(world.openLinks, label).toHaveLength(3);
}

test('order, credit and bounds hold for every pace, size and delay', () => {
  const run = fc.record({
    seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    windowBytes: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 5_000 })),
    sizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 3_000 })), {
      maxLength: 40,
    }),
    consumers: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(fc.property(run, checkRun), { numRuns: 60 });
});
