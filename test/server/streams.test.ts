// Streams of a node: order, credit, turns, slow readers, ends, and what clients may not do.

import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import type { LinkId } from '../../src/base/env.js';
import { streamTopics } from '../../src/server/front/topics.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import type { StreamData } from '../../src/wire/clients/answers.js';
import { ClientsWorld } from './clients-world.js';
import { numberOf, numbersArgument, type HeldSource } from './stream-topics.js';

const text = (value: string): Uint8Array => Buffer.from(value);

function openHeld(requestId: number, creditBytes = 1_000, argument = ''): ClientFrame {
  return { kind: 'openStream', requestId, topic: 'held', argument: text(argument), creditBytes };
}

function openNumbers(requestId: number, count: number, bytes: number, creditBytes: number): ClientFrame {
  const argument = numbersArgument({ count, bytes });
  return { kind: 'openStream', requestId, topic: 'numbers', argument, creditBytes };
}

const credit = (requestId: number, bytes: number): ClientFrame => ({
  kind: 'streamCredit',
  requestId,
  bytes,
});
const close = (requestId: number): ClientFrame => ({ kind: 'closeStream', requestId });

function connected(...links: readonly LinkId[]): ClientsWorld {
  const world = new ClientsWorld();
  for (const link of links) world.connect(link);
  return world;
}

/** Opens a stream of what the test puts into it. */
function held(world: ClientsWorld, link: LinkId, requestId: number, creditBytes = 1_000): HeldSource {
  world.say(link, openHeld(requestId, creditBytes));
  const source = world.held.sources.at(-1);
  if (source === undefined) throw new Error('not opened');
  return source;
}

/** The data that came over a link, by stream, as the lengths of its frames; checks that they are in order. */
function lengths(world: ClientsWorld, link: LinkId, next = new Map<number, number>()) {
  const found: [requestId: number, length: number][] = [];
  for (const { requestId, sequence, payload } of data(world, link)) {
    expect(sequence).toBe((next.get(requestId) ?? 0) + 1);
    next.set(requestId, sequence);
    found.push([requestId, payload.length]);
  }
  return found;
}

function data(world: ClientsWorld, link: LinkId): StreamData[] {
  return world.take(link).filter((frame) => frame.kind === 'streamData');
}

describe('a turn', () => {
  test('asks no reader on once its slice is over, within a stream and between streams', () => {
    const world = connected(1);
    const sources = [1, 2, 3].map((requestId) => held(world, 1, requestId, 1_000));
    world.turns();
    for (const source of sources) {
      source.onNext = () => (world.time.nowMs += 2);
      source.frames.push(text('a'), text('b'), text('c'));
      source.out.wake();
    }
    const askedBefore = sources.reduce((sum, { asked }) => sum + asked, 0);
    world.turn();
    expect(sources.reduce((sum, { asked }) => sum + asked, 0) - askedBefore).toBe(1);
    world.turns();
    expect(lengths(world, 1).length).toBe(9);
  });
});

describe('a stream', () => {
  test('brings its frames in order, then its end, and lets its source go', () => {
    const world = connected(1);
    world.say(1, openNumbers(7, 5, 10, 1_000));
    world.turns();
    const frames = world.take(1);
    const numbers = frames.flatMap((frame) => (frame.kind === 'streamData' ? [numberOf(frame.payload)] : []));
    expect(numbers).toEqual([1, 2, 3, 4, 5]);
    expect(frames.map((frame) => (frame.kind === 'streamData' ? frame.sequence : frame.kind))).toEqual([
      1,
      2,
      3,
      4,
      5,
      'streamEnd',
    ]);
    expect(frames.at(-1)).toEqual({ kind: 'streamEnd', requestId: 7, code: 'OK', message: '' });
    expect([world.numbers.openNow, world.streams.count]).toEqual([0, 0]);
  });

  test('knows its argument and who asks', () => {
    const world = connected(1);
    world.say(1, openHeld(1, 10, 'what'));
    const [source] = world.held.sources;
    expect([source?.argument, source?.caller.principal.name]).toEqual(['what', 'anonymous']);
    expect(source?.caller.isGone).toBe(false);
    world.clients.closed(1);
    expect(source?.caller.isGone).toBe(true);
  });

  test('is silent while its source has nothing, and goes on when it is woken', () => {
    const world = connected(1);
    const source = held(world, 1, 1);
    world.turns();
    expect([source.asked, world.take(1)]).toEqual([1, []]);
    source.put(3, 4);
    world.turns();
    expect(lengths(world, 1).map(([, length]) => length)).toEqual([3, 4]);
    // Asked until it had nothing, and not again.
    world.isWoken = true;
    world.turns();
    expect(source.asked).toBe(4);
  });

  test('is woken while it is being asked', () => {
    const world = connected(1);
    const source = held(world, 1, 1);
    source.onNext = () => {
      source.onNext = () => undefined;
      setOnce(source);
    };
    world.turns();
    expect(lengths(world, 1)).toEqual([[1, 9]]);
  });

  test('that ends while it is asked gives that frame first, and lets its source go after it', () => {
    const world = connected(1);
    const source = held(world, 1, 1);
    source.put(5, 6);
    source.onNext = () => {
      source.out.end('OK', 'enough');
      source.out.end('INTERNAL', 'a second end');
      expect(source.closed).toBe(0);
    };
    world.turns();
    expect(world.take(1)).toMatchObject([{ kind: 'streamData' }, { kind: 'streamEnd', code: 'OK' }]);
    expect([source.closed, source.asked]).toEqual([1, 1]);
  });

  test('does not count as a request that waits', () => {
    const world = new ClientsWorld({ requestsMax: 1 });
    world.connect(1);
    for (const id of [1, 2, 3]) held(world, 1, id).put(5);
    world.say(1, { kind: 'status', requestId: 4, timeoutMs: 1_000 });
    world.turns();
    const kinds = world.take(1).map(({ kind }) => kind);
    expect(kinds).toEqual(['streamData', 'streamData', 'streamData']);
    world.requests[0]?.caller.answer({ kind: 'counted', requestId: 4, revision: 1, count: 1 });
    world.turns();
    expect(world.take(1)).toMatchObject([{ kind: 'counted' }]);
  });
});

/** Wakes before it has anything to give, and again when it has. */
function setOnce(source: HeldSource): void {
  source.out.wake();
  source.frames.push(new Uint8Array(9));
  source.out.wake();
}

describe('credit', () => {
  test('is what a stream may send; the last frame may be larger', () => {
    const world = connected(1);
    const source = held(world, 1, 1, 10);
    source.put(6, 100, 1, 1);
    world.turns();
    // 10 allows 6, 4 allows 100, and there are 96 too many.
    expect(lengths(world, 1).map(([, length]) => length)).toEqual([6, 100]);
    const { asked } = source;
    const next = new Map([[1, 2]]);
    world.say(1, credit(1, 96));
    world.turns();
    expect([source.asked, world.take(1)]).toEqual([asked, []]);
    world.say(1, credit(1, 1));
    world.turns();
    expect(lengths(world, 1, next).map(([, length]) => length)).toEqual([1]);
    world.say(1, credit(1, 50));
    world.turns();
    expect(lengths(world, 1, next).map(([, length]) => length)).toEqual([1]);
  });

  test('is not needed for the end', () => {
    const world = connected(1);
    const source = held(world, 1, 1, 1);
    source.put(1_000, 1);
    world.turns();
    expect(lengths(world, 1)).toHaveLength(1);
    source.out.end('COMPACTED', 'gone');
    source.out.end('OK', 'a second end');
    expect(source.closed).toBe(1);
    world.turns();
    expect(world.take(1)).toEqual([{ kind: 'streamEnd', requestId: 1, code: 'COMPACTED', message: 'gone' }]);
    expect(world.streams.count).toBe(0);
  });

  test('that came late for a stream which has ended is ignored, and so is a late close', () => {
    const world = connected(1);
    const source = held(world, 1, 5);
    source.out.end('OK', '');
    world.say(1, credit(5, 10));
    world.turns();
    world.take(1);
    world.say(1, credit(5, 10), close(5), credit(3, 1), close(3));
    world.turns();
    expect([world.take(1), world.closed.size]).toEqual([[], 0]);
  });
});

describe('a slow reader', () => {
  test('out of credit is never cut off, lets nothing grow, and holds up nobody', () => {
    const world = connected(1, 2);
    world.say(1, openNumbers(1, 1_000_000, 100, 500));
    world.say(2, openNumbers(1, 1_000, 100, 1_000_000));
    world.turns();
    expect(data(world, 1)).toHaveLength(5);
    expect(data(world, 2)).toHaveLength(1_000);
    expect(world.numbers.asked).toBe(1_005);
    world.time.run(3_600_000);
    world.turns();
    expect([world.numbers.asked, world.closed.size, world.streams.count]).toEqual([1_005, 0, 1]);
    world.say(1, credit(1, 100));
    world.turns();
    expect(data(world, 1)).toHaveLength(1);
  });

  test('whose link takes nothing is given only what a connection may hold, until it has drained', () => {
    const world = connected(1, 2);
    world.stuck.add(1);
    world.say(1, openNumbers(1, 1_000_000, 1_000, 16_000_000));
    world.say(2, openNumbers(1, 3_000, 1_000, 16_000_000));
    world.turns();
    expect(data(world, 2)).toHaveLength(3_000);
    const buffered = world.buffered.get(1) ?? 0;
    expect(buffered).toBeGreaterThan(100_000);
    expect(buffered).toBeLessThan(140_000);
    expect(world.closed.size).toBe(0);
    const before = data(world, 1).length;
    expect(before * 1_000).toBeLessThan(buffered);
    // More credit, or another wake, changes nothing.
    world.say(1, openHeld(2));
    world.held.sources[0]?.put(5);
    world.turns();
    expect(world.take(1)).toEqual([]);
    world.drain(1);
    world.turns();
    expect(data(world, 1).some(({ requestId }) => requestId === 2)).toBe(true);
    expect(world.buffered.get(1)).toBeLessThan(140_000);
  });

  test('leaves its connection to requests: their answers go first', () => {
    const world = connected(1);
    world.say(1, openNumbers(1, 1_000_000, 1_000, 16_000_000));
    world.turn();
    world.take(1);
    world.say(1, { kind: 'ping', requestId: 9 });
    world.turn();
    expect(world.take(1)[0]).toEqual({ kind: 'pong', requestId: 9 });
    world.stuck.add(1);
    world.turns();
    world.take(1);
    world.say(1, { kind: 'ping', requestId: 10 });
    world.turn();
    expect(world.take(1)).toEqual([{ kind: 'pong', requestId: 10 }]);
  });
});

describe('turns', () => {
  test('are of a bounded size, whatever there is to send', () => {
    const world = connected(1);
    world.say(1, openNumbers(1, 1_000, 1_000, 16_000_000));
    world.turn();
    const first = data(world, 1).length;
    expect(first).toBeGreaterThan(10);
    expect(first).toBeLessThan(20);
    expect(world.isWoken).toBe(true);
    world.turns();
    expect(data(world, 1)).toHaveLength(1_000 - first);
  });

  test('go round all connections, however many streams one of them has', () => {
    const world = connected(1, 2);
    for (let id = 1; id <= 500; id++) world.say(1, openNumbers(id, 1_000, 1_000, 16_000_000));
    world.say(2, openNumbers(1, 100, 1_000, 16_000_000));
    let turns = 0;
    for (let got = 0; got < 100; turns++) {
      world.turn();
      got += data(world, 2).length;
    }
    // 100 frames in slices of 16 KiB.
    expect(turns).toBeLessThan(10);
  });

  test('go round all streams of a connection', () => {
    const world = connected(1);
    for (let id = 1; id <= 100; id++) world.say(1, openNumbers(id, 1_000, 1_000, 16_000_000));
    const seen: number[] = [];
    while (new Set(seen).size < 100) {
      world.turn();
      for (const { requestId } of data(world, 1)) seen.push(requestId);
    }
    // Nobody had much more than the last one to come.
    expect(seen.length).toBeLessThan(100 * 40);
    const order = seen.filter((id, i) => seen.indexOf(id) === i);
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  test('go on when the one that took a whole slice has nothing more', () => {
    const world = connected(1);
    const [first, second] = [held(world, 1, 1, 1), held(world, 1, 2)];
    first.put(100_000);
    second.put(3);
    world.turns();
    expect(lengths(world, 1)).toEqual([
      [1, 100_000],
      [2, 3],
    ]);
  });

  test('are not more for a stream that was woken more often', () => {
    const world = connected(1);
    const first = held(world, 1, 1, 1_000_000);
    for (let i = 0; i < 200; i++) first.put(1_000);
    held(world, 1, 2).put(3);
    world.turn();
    expect(lengths(world, 1).some(([requestId]) => requestId === 2)).toBe(true);
  });

  test('are shared by many connections, and end when they have taken their time or bytes', () => {
    const world = connected(...Array.from({ length: 50 }, (_, i) => i + 1));
    for (let link = 1; link <= 50; link++) {
      for (let id = 1; id <= 8; id++) world.say(link, openNumbers(id, 1_000, 10_000, 16_000_000));
    }
    world.turn();
    let served = 0;
    for (let link = 1; link <= 50; link++) if (data(world, link).length > 0) served++;
    // 1 MiB in slices of 64 KiB.
    expect(served).toBeGreaterThanOrEqual(14);
    expect(served).toBeLessThanOrEqual(18);
    for (let turns = 0; turns < 4; turns++) world.turn();
    for (let link = served + 1; link <= 50; link++) expect(data(world, link).length).toBeGreaterThan(0);
  });

  test('end when their time is over', () => {
    const world = connected(1, 2, 3);
    for (const link of [1, 2, 3]) {
      const source = held(world, link, 1);
      source.put(1);
      source.onNext = () => {
        world.time.nowMs += 3;
      };
    }
    world.turn();
    expect([1, 2, 3].map((link) => data(world, link).length)).toEqual([1, 0, 0]);
    world.turns();
    expect([2, 3].map((link) => data(world, link).length)).toEqual([1, 1]);
  });
});

describe('the end of a connection or of a stream by its client', () => {
  test('lets the sources go, once each, and gives up their places', () => {
    const world = connected(1, 2);
    const [a, b, c, d] = [held(world, 1, 1), held(world, 1, 2), held(world, 2, 1), held(world, 2, 2)];
    for (const source of [a, b, c, d]) source.put(5, 5);
    world.say(2, close(1));
    world.clients.closed(1);
    expect([a, b, c, d].map(({ closed }) => closed)).toEqual([1, 1, 1, 0]);
    expect(world.streams.count).toBe(1);
    world.turns();
    expect(lengths(world, 2)).toEqual([
      [2, 5],
      [2, 5],
    ]);
    expect(world.take(1)).toEqual([]);
    // What a source does after that has no effect.
    for (const source of [a, c]) {
      source.put(1);
      source.out.end('OK', '');
    }
    world.turns();
    expect([world.take(1), world.take(2), a.asked, c.asked]).toEqual([[], [], 0, 0]);
    world.clients.closeAll('the node stops');
    expect([a, b, c, d].map(({ closed }) => closed)).toEqual([1, 1, 1, 1]);
    expect(world.streams.count).toBe(0);
  });

  test('does not mind a source that fails to close', () => {
    const world = connected(1, 2);
    const source = held(world, 1, 1);
    source.onClose = () => {
      throw new Error('cannot close');
    };
    world.say(1, close(1));
    expect(world.events).toEqual([{ kind: 'streamFailed', topic: 'held', reason: 'cannot close' }]);
    expect([world.closed.size, world.streams.count]).toEqual([0, 0]);
  });
});

describe('a source that fails', () => {
  const rest = (world: ClientsWorld) => {
    held(world, 2, 1).put(3);
    world.turns();
    expect(lengths(world, 2)).toEqual([[1, 3]]);
    expect([...world.closed.keys()]).toEqual([]);
    expect(world.streams.count).toBe(1);
  };

  test('with an error of kvorum ends its stream with that code, after what came before', () => {
    const world = connected(1, 2);
    const source = held(world, 1, 1);
    source.put(5);
    source.onNext = () => {
      if (source.frames.length === 0) throw new KvorumError('COMPACTED', 'too old');
    };
    world.turns();
    const [first, end] = world.take(1);
    expect(first).toMatchObject({ kind: 'streamData', sequence: 1 });
    expect(end).toEqual({ kind: 'streamEnd', requestId: 1, code: 'COMPACTED', message: 'too old' });
    expect([source.closed, world.events]).toEqual([1, []]);
    rest(world);
  });

  test.each([
    ['throws anything', 1, () => new Error('a bug')],
    ['gives an empty frame', 0, undefined],
    ['gives a frame over the limit', wireLimits.streamPayloadBytesMax + 1, undefined],
  ] as const)('because it %s ends its stream, and no other', (_, length, error) => {
    const world = connected(1, 2);
    const source = held(world, 1, 1);
    source.onNext = () => {
      if (error !== undefined) throw error();
    };
    source.put(length);
    world.turns();
    expect(world.take(1)).toMatchObject([{ kind: 'streamEnd', requestId: 1, code: 'INTERNAL' }]);
    expect(source.closed).toBe(1);
    expect(world.events).toMatchObject([{ kind: 'streamFailed', topic: 'held' }]);
    rest(world);
  });

  test('because the store is damaged stops the node: it is not for this connection alone', () => {
    const damage = new KvorumError('CORRUPT', 'rotten');
    const world = connected(1);
    const source = held(world, 1, 1);
    source.onNext = () => {
      throw damage;
    };
    source.put(1);
    expect(() => world.turns()).toThrow(damage);
    world.held.onOpen = () => {
      throw damage;
    };
    expect(() => world.say(1, openHeld(2))).toThrow(damage);
  });

  test('carries the largest frame there may be', () => {
    const world = connected(1);
    held(world, 1, 1).put(wireLimits.streamPayloadBytesMax, 1);
    world.turns();
    expect(lengths(world, 1)).toEqual([[1, wireLimits.streamPayloadBytesMax]]);
  });
});

describe('a stream that cannot be opened', () => {
  function endOf(world: ClientsWorld, frame: ClientFrame) {
    world.say(1, frame);
    world.turns();
    const [end, ...others] = world.take(1);
    expect(others).toEqual([]);
    if (end?.kind !== 'streamEnd') throw new Error('no end');
    return [end.requestId, end.code, end.message];
  }

  test('because there is no such topic is told so by its end', () => {
    const world = connected(1);
    for (const [i, topic] of ['nothing', 'constructor', '__proto__'].entries()) {
      const open = {
        kind: 'openStream',
        requestId: i + 1,
        topic,
        argument: text(''),
        creditBytes: 1,
      } as const;
      const words = `this node has no streams of the topic "${topic}"`;
      expect(endOf(world, open)).toEqual([i + 1, 'UNSUPPORTED', words]);
    }
    expect(world.closed.size).toBe(0);
    // Until a version has some.
    expect(Object.keys(streamTopics)).toEqual([]);
  });

  test('because its topic refuses it has the code of that, and is not open', () => {
    const world = connected(1);
    expect(endOf(world, openNumbers(1, 0, 1, 1))).toEqual([
      1,
      'INVALID_ARGUMENT',
      'count must be at least 1',
    ]);
    expect(endOf(world, { ...openNumbers(2, 1, 1, 1), argument: text('no JSON') } as ClientFrame)[1]).toBe(
      'INTERNAL',
    );
    expect(world.streams.count).toBe(0);
  });

  test('because it ended while it was opened lets its source go', () => {
    const world = connected(1);
    world.held.onOpen = ({ out }) => out.end('OK', 'nothing to say');
    expect(endOf(world, openHeld(1))).toEqual([1, 'OK', 'nothing to say']);
    expect([world.held.sources[0]?.closed, world.held.sources[0]?.asked]).toEqual([1, 0]);
  });

  test('because there are too many on the connection or the node, until one ends', () => {
    const world = new ClientsWorld({ streamsMax: 3, nodeStreamsMax: 5 });
    world.connect(1);
    world.connect(2);
    for (const id of [1, 2, 3]) held(world, 1, id);
    const [, code, message] = endOf(world, openHeld(4));
    expect([code, message]).toEqual([
      'OVERLOADED',
      '3 streams are open on this connection; close some or raise limits.connectionStreamsMax',
    ]);
    for (const id of [1, 2]) held(world, 2, id);
    world.say(1, close(2));
    held(world, 1, 5);
    expect(world.streams.count).toBe(5);
    world.say(2, openHeld(3));
    world.turns();
    expect(world.take(2)).toMatchObject([{ kind: 'streamEnd', requestId: 3, code: 'OVERLOADED' }]);
    world.say(2, close(1), openHeld(4));
    expect(world.streams.count).toBe(5);
  });

  test('over and over, by a client that reads nothing of it, costs that client its connection', () => {
    const world = new ClientsWorld({ streamsMax: 3 });
    world.connect(1);
    world.connect(2);
    world.stuck.add(1);
    world.buffered.set(1, 1_000_000);
    for (let id = 1; id <= 100 && !world.closed.has(1); id++) {
      world.say(1, openHeld(id));
      world.turns();
    }
    expect(world.held.sources).toHaveLength(3);
    expect([...world.closed]).toEqual([[1, 'OVERLOADED: 6 streams wait for this client to read']]);
    expect(world.streams.count).toBe(0);
    held(world, 2, 1).put(1);
    world.turns();
    expect(lengths(world, 2)).toEqual([[1, 1]]);
  });
});

describe('what no client that follows the rules does', () => {
  const cases: readonly (readonly [string, ClientFrame, RegExp])[] = [
    ['credit for a stream never opened', credit(3, 1), /stream 3 was never opened/],
    ['closing a stream never opened', close(3), /stream 3 was never opened/],
    ['a number twice', openHeld(2), /stream 2 cannot be opened: .* the last one was 2/],
    ['a number below the last one', openHeld(1), /stream 1 cannot be opened/],
    [
      'more credit than a window',
      credit(2, wireLimits.streamCreditBytesMax),
      /would have a credit of 167772\d\d/,
    ],
  ];

  test.each(cases)('%s: ends its connection, and nothing else', (_, frame, reason) => {
    const world = connected(1, 2);
    const [source, other] = [held(world, 1, 2, 50), held(world, 2, 2)];
    world.turns();
    world.say(1, frame);
    expect([...world.closed.keys()]).toEqual([1]);
    expect(world.closed.get(1)).toMatch(/^PROTOCOL: /);
    expect(world.closed.get(1)).toMatch(reason);
    expect([source.closed, other.closed, world.streams.count]).toEqual([1, 0, 1]);
    other.put(4);
    world.turns();
    expect(lengths(world, 2)).toEqual([[2, 4]]);
  });

  test('credit up to the window is none of it', () => {
    const world = connected(1);
    held(world, 1, 1, 50);
    world.say(1, credit(1, wireLimits.streamCreditBytesMax - 50));
    expect(world.closed.size).toBe(0);
  });
});
