// What a request costs is known before it is begun: bytes of values are charged before they are read, and
// long reads work in pieces that let others in between. Measured in what is counted, never in time.

import { describe, expect, test } from 'vitest';
import type { ClientCommand, Command } from '../../src/kv/commands.js';
import type { CountRequest, GetRequest } from '../../src/wire/clients/requests.js';
import { command, ifRevision, put } from '../kv/helpers.js';
import { FakeCaller } from './clients-world.js';
import { HeavyWorld } from './heavy-world.js';

const mebibyte = 1_048_576;
const serializable = { consistency: { kind: 'serializable' }, minRevision: 0 } as const;

function get(requestId: number, key: string, revision = 0): GetRequest {
  return { kind: 'get', requestId, timeoutMs: 1_000, ...serializable, revision, key };
}

function count(requestId: number, revision: number): CountRequest {
  return { kind: 'count', requestId, timeoutMs: 1_000, ...serializable, revision, start: '', end: undefined };
}

function bigPut(sequence: number, key: string, valueBytes: number): Command {
  return command({ kind: 'put', key, value: new Uint8Array(valueBytes) }, sequence);
}

function conflictingWrite(caller: FakeCaller, requestId: number) {
  const decoded = command(put('big', 'v', ifRevision(9_999)), requestId) as ClientCommand;
  return { caller, requestId, bytes: new Uint8Array(0), command: decoded };
}

describe('conflicts on a large value', () => {
  const conflict = { code: 'CONFLICT', revision: 1, count: 0 } as const;

  test('read nothing that their connection has no room for', () => {
    const world = new HeavyWorld();
    world.apply(bigPut(1, 'big', mebibyte));
    const caller = new FakeCaller();
    caller.roomBytes = 0;
    for (let id = 1; id <= 32_000; id++) world.requests.answerWrite(conflictingWrite(caller, id), conflict);
    world.turns(10);
    expect(world.store.bytesRead).toBeLessThan(32_000 * 100);
    expect(caller.answers).toEqual([]);
    // Who does not read in time is told so, may ask again, and nothing was read for it.
    world.time.run(5_100);
    expect(world.store.bytesRead).toBeLessThan(32_000 * 100);
    expect(caller.answers.length).toBe(32_000);
    expect(caller.answers[0]).toMatchObject({ kind: 'error', code: 'OVERLOADED', outcome: 'none' });
    expect(world.machine.keptGroups).toBe(0);
  });

  test('are answered with it, a few at a time, while there is room', () => {
    const world = new HeavyWorld();
    world.apply(bigPut(1, 'big', mebibyte));
    world.apply(bigPut(2, 'big', 10));
    const caller = new FakeCaller();
    for (let id = 1; id <= 100; id++) world.requests.answerWrite(conflictingWrite(caller, id), conflict);
    for (let before = 0; caller.answers.length < 100;) {
      world.turn();
      expect(caller.answers.length - before).toBeLessThanOrEqual(4);
      before = caller.answers.length;
    }
    for (const [at, answer] of caller.answers.entries()) {
      expect(answer).toMatchObject({ kind: 'written', requestId: at + 1, code: 'CONFLICT' });
      // As it was when the condition was judged.
      expect(answer.kind === 'written' && answer.current?.value.length).toBe(mebibyte);
    }
  });

  test('of small ones are answered at once, up to what one turn may read', () => {
    const world = new HeavyWorld();
    world.apply(bigPut(1, 'big', 16_384));
    const caller = new FakeCaller();
    for (let id = 1; id <= 100; id++) world.requests.answerWrite(conflictingWrite(caller, id), conflict);
    expect(caller.answers.length).toBe(64);
    world.turns(200);
    expect(caller.answers.length).toBe(100);
  });
});

describe('reads of large values', () => {
  test('wait for room in their connection, and others pass them', () => {
    const world = new HeavyWorld();
    world.apply(bigPut(1, 'big', mebibyte), command(put('small', 'v'), 2));
    const [slow, quick] = [new FakeCaller(), new FakeCaller()];
    slow.roomBytes = 0;
    for (let id = 1; id <= 1_000; id++) world.requests.receive(slow, get(id, 'big'));
    world.requests.receive(quick, get(1, 'small'));
    world.requests.receive(quick, get(2, 'big'));
    world.turns(10);
    expect(slow.answers).toEqual([]);
    expect(quick.answers.map(({ requestId }) => requestId)).toEqual([1, 2]);
    expect(world.store.bytesRead).toBeLessThan(2 * mebibyte);
    slow.roomBytes = 1;
    world.reads.drained();
    world.turns(5);
    expect(slow.answers.length).toBeGreaterThan(0);
  });
});

describe('a read at an old revision', () => {
  const keys = 40;
  const valueBytes = 100_000;

  /** Keys at revision 1, each then written often, with large values. */
  function history(): HeavyWorld {
    const world = new HeavyWorld();
    let sequence = 0;
    for (let round = 0; round < 5; round++) {
      for (let key = 0; key < keys; key++) world.apply(bigPut(++sequence, `k${key}`, valueBytes));
    }
    return world;
  }

  test('reads in pieces of bounded bytes, holds no layer between them, and finds what was there', () => {
    const world = history();
    const caller = new FakeCaller();
    world.requests.receive(caller, count(1, keys));
    let turns = 0;
    for (; caller.answers.length === 0; turns++) {
      world.turn();
      // Applied meanwhile: its layer goes when it is written, whatever reads are under way.
      world.apply(command(put('other', 'v'), 1_000 + turns));
      expect(world.machine.keptGroups).toBe(0);
    }
    expect(turns).toBeGreaterThan(10);
    expect(world.store.bytesAtOnceMax).toBeLessThanOrEqual(mebibyte + valueBytes);
    expect(caller.answers).toEqual([{ kind: 'counted', requestId: 1, revision: keys, count: keys }]);
  });

  test('is given up between two pieces when nobody waits for it, or its time is over', () => {
    for (const end of [
      (_world: HeavyWorld, caller: FakeCaller): void => void (caller.isGone = true),
      (_world: HeavyWorld, caller: FakeCaller): void => void caller.cancelled.add(1),
      (world: HeavyWorld): void => void world.time.run(1_000),
    ]) {
      const world = history();
      const caller = new FakeCaller();
      world.requests.receive(caller, count(1, keys));
      world.turns(4);
      const { fetches } = world.store;
      expect(fetches).toBeGreaterThan(0);
      end(world, caller);
      world.turns(20);
      expect(world.store.fetches - fetches).toBeLessThanOrEqual(1);
      expect(caller.answers).toMatchObject([{ kind: 'error', requestId: 1 }]);
      expect([world.reads.pendingReads, world.machine.keptGroups]).toEqual([0, 0]);
    }
  });

  test('takes turns: others are not behind more than a slice of it', () => {
    const world = history();
    const [heavy, light] = [new FakeCaller(), new FakeCaller()];
    for (let id = 1; id <= 100; id++) world.requests.receive(heavy, count(id, keys));
    world.turns(4);
    world.requests.receive(light, get(1, 'k0', 1));
    world.requests.receive(light, count(2, 0));
    world.turns(8);
    expect(heavy.answers).toEqual([]);
    expect(light.answers.map(({ kind, requestId }) => [kind, requestId])).toContainEqual(['counted', 2]);
  });

  test('of one key that was written very often is done in steps, with the value of then', () => {
    const world = new HeavyWorld();
    for (let round = 1; round <= 500; round++) world.apply(command(put('hot', `v${round}`), round));
    const caller = new FakeCaller();
    const before = world.store.getSyncCount;
    world.requests.receive(caller, get(1, 'hot', 3));
    world.reads.flush();
    world.time.run(0, () => world.store.getSyncCount > before);
    expect(world.store.getSyncCount - before).toBeLessThan(20);
    expect(caller.answers).toEqual([]);
    world.turns(20);
    const [answer] = caller.answers;
    expect(answer?.kind === 'got' && Buffer.from(answer.record?.value ?? []).toString()).toBe('v3');
  });
});
