// Connections of clients: the handshake, the accounting of requests, and that an answer which cannot be given
// costs its own request or connection and nothing else.

import { describe, expect, test } from 'vitest';
import type { KeyRecord } from '../../src/kv/commands.js';
import type { AnswerFrame } from '../../src/server/front/caller.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import { clientHello, ClientsWorld } from './clients-world.js';

const status = (requestId: number): ClientFrame => ({ kind: 'status', requestId, timeoutMs: 1_000 });

const counted = (requestId: number): AnswerFrame => ({ kind: 'counted', requestId, revision: 1, count: 1 });

function got(requestId: number, change: Partial<KeyRecord>): AnswerFrame {
  const record = { key: 'k', value: new Uint8Array(1), createRevision: 1, modRevision: 1, version: 1 };
  return { kind: 'got', requestId, revision: 1, record: { ...record, leaseId: 0, ...change } };
}

/** A record whose value throws as soon as it is looked at. */
function throwing(requestId: number): AnswerFrame {
  const frame = got(requestId, {});
  if (frame.kind !== 'got' || frame.record === undefined) throw new Error('not a record');
  Object.defineProperty(frame.record, 'value', {
    get: () => {
      throw new Error('broken encoder');
    },
  });
  return frame;
}

describe('a caller', () => {
  test('gets its answers at the end of the turn, in one message and in order', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.say(1, status(1), status(2));
    expect(world.requests.map(({ frame }) => frame.requestId)).toEqual([1, 2]);
    const [caller] = world.requests.map((request) => request.caller);
    expect(caller?.principal.name).toBe('anonymous');
    caller?.answer(counted(2));
    caller?.answer(counted(1));
    expect(world.take(1)).toEqual([]);
    world.turn();
    expect(world.take(1)).toEqual([counted(2), counted(1)]);
  });

  test('is the same one for every request of its connection', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.connect(2);
    world.say(1, status(1), status(2));
    world.say(2, status(1));
    const [a, b, c] = world.requests.map(({ caller }) => caller);
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });

  test('is refused requests over its limit, until one is answered', () => {
    const world = new ClientsWorld({ requestsMax: 2 });
    world.connect(1);
    world.say(1, status(1), status(2), status(3));
    world.turn();
    expect(world.take(1)).toMatchObject([{ kind: 'error', requestId: 3, code: 'OVERLOADED' }]);
    expect(world.requests).toHaveLength(2);
    // The refusal has not made room for one more.
    world.say(1, status(4));
    world.turn();
    expect(world.take(1)).toMatchObject([{ requestId: 4, code: 'OVERLOADED' }]);
    world.requests[0]?.caller.answer(counted(1));
    world.say(1, status(5));
    expect(world.requests.at(-1)?.frame.requestId).toBe(5);
  });

  test('gets no answer to what it has cancelled, and is told of it', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.say(1, status(1), status(2), { kind: 'cancel', requestId: 1 }, { kind: 'cancel', requestId: 99 });
    const caller = world.requests[0]?.caller;
    expect([1, 2].map((id) => caller?.isCancelled(id))).toEqual([true, false]);
    caller?.answer(counted(1));
    caller?.answer(counted(2));
    world.turn();
    expect(world.take(1)).toEqual([counted(2)]);
    // Nothing waits: what was cancelled in vain is forgotten, and its number can be used.
    world.say(1, status(99));
    expect(caller?.isCancelled(99)).toBe(false);
  });

  test('that is gone is seen to be gone, and what it is answered is dropped', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.say(1, status(1));
    const caller = world.requests[0]?.caller;
    expect(caller?.isGone).toBe(false);
    world.clients.closed(1);
    expect(caller?.isGone).toBe(true);
    caller?.answer(counted(1));
    expect(world.isWoken).toBe(false);
    expect(world.take(1)).toEqual([]);
  });

  test('that reads its answers too slowly is cut off, alone', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.connect(2);
    world.say(1, status(1));
    world.say(2, status(1));
    world.full.add(1);
    for (const { caller } of world.requests) caller.answer(counted(1));
    world.turn();
    expect([...world.closed.keys()]).toEqual([1]);
    expect(world.closed.get(1)).toMatch(/^OVERLOADED: /);
    expect(world.take(2)).toEqual([counted(1)]);
  });
});

describe('an answer that cannot be encoded', () => {
  const tooLarge = (requestId: number): AnswerFrame =>
    got(requestId, { value: new Uint8Array(wireLimits.messageBytesMax) });

  for (const [name, broken, code, reason] of [
    ['because the encoder throws', throwing, 'INTERNAL', /broken encoder/],
    ['because it is too large', tooLarge, 'TOO_LARGE', /over the limit of 4194304/],
  ] as const) {
    test(`${name} is an error to its caller, and nobody else notices`, () => {
      const world = new ClientsWorld();
      world.connect(1);
      world.connect(2);
      world.say(1, status(1), status(2), status(3));
      world.say(2, status(1));
      const [one, , , two] = world.requests.map(({ caller }) => caller);
      one?.answer(counted(1));
      expect(() => one?.answer(broken(2))).not.toThrow();
      one?.answer(counted(3));
      two?.answer(counted(1));
      expect(() => world.turn()).not.toThrow();
      const [first, second, third] = world.take(1);
      expect([first, third]).toEqual([counted(1), counted(3)]);
      expect(second).toMatchObject({ kind: 'error', requestId: 2, code, outcome: 'none' });
      expect(second?.kind === 'error' && second.message).toMatch(reason);
      expect(world.take(2)).toEqual([counted(1)]);
      expect(world.closed.size).toBe(0);
      expect(world.events.map(({ kind }) => kind)).toEqual(['frameNotEncoded']);
      // The connection goes on, and its accounting with it.
      world.say(1, status(4));
      one?.answer(counted(4));
      world.turn();
      expect(world.take(1)).toEqual([counted(4)]);
    });
  }

  test('to a raise of the format level leaves open whether it took effect', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.say(1, { kind: 'raiseFormat', requestId: 1, timeoutMs: 1_000, level: 2 });
    world.requests[0]?.caller.answer({
      kind: 'formatRaised',
      requestId: 1,
      get formatLevel(): number {
        throw new Error('broken encoder');
      },
    });
    world.turn();
    expect(world.take(1)).toMatchObject([{ kind: 'error', requestId: 1, outcome: 'unknown' }]);
  });

  test('to a write leaves open whether it took effect', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.say(1, status(1));
    const record = throwing(1);
    const current = record.kind === 'got' ? record.record : undefined;
    const written = { kind: 'written', requestId: 1, revision: 1, count: 0 } as const;
    world.requests[0]?.caller.answer({ ...written, code: 'CONFLICT', current });
    world.turn();
    expect(world.take(1)).toMatchObject([{ kind: 'error', code: 'INTERNAL', outcome: 'unknown' }]);
  });

  test('and belongs to no request ends its connection, and no other', () => {
    const world = new ClientsWorld();
    world.connect(2);
    world.hello = undefined;
    world.clients.accept(1);
    world.hello = { kind: 'hello' } as never;
    world.say(1, clientHello);
    world.turn();
    expect(world.closed.get(1)).toMatch(/^INTERNAL: the frame hello cannot be encoded/);
    world.say(2, { kind: 'ping', requestId: 5 });
    world.turn();
    expect(world.take(2)).toEqual([{ kind: 'pong', requestId: 5 }]);
  });
});

describe('a connection', () => {
  test('that does not begin with a hello is closed', () => {
    const world = new ClientsWorld();
    world.clients.accept(1);
    world.say(1, status(1));
    expect(world.closed.get(1)).toBe('PROTOCOL: the first frame on a client connection must be a hello');
  });

  test('that says nothing is closed after a while; one that greets stays', () => {
    const world = new ClientsWorld();
    world.connect(1);
    world.clients.accept(2);
    world.time.run(60_000);
    expect([...world.closed]).toEqual([[2, 'TIMEOUT: no hello came in time']]);
  });
});
