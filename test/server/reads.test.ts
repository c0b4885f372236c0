import { describe, expect, test } from 'vitest';
import type { StateMachine } from '../../src/kv/state-machine.js';
import { Reads } from '../../src/server/front/reads.js';
import type { CountRequest } from '../../src/wire/clients/requests.js';
import { FakeCaller } from './clients-world.js';

type Counted = (error: undefined, counted: { revision: number; count: number }) => void;

/** Reads over a state machine whose counts end when the test says so. */
function world() {
  const open: Counted[] = [];
  const deferred: (() => void)[] = [];
  const answered: { requestId: number; kind: string }[] = [];
  /** What all callers are answered goes into one list. */
  const newCaller = (): FakeCaller => {
    const caller = new FakeCaller();
    caller.answer = ({ requestId, kind }) => void answered.push({ requestId, kind });
    return caller;
  };
  const timers: { dueMs: number; run: () => void }[] = [];
  const asked: number[] = [];
  let now = 0;
  const stateMachine = {
    revision: 7,
    appliedIndex: 1,
    count: (_query: unknown, done: Counted) => open.push(done),
  } as unknown as StateMachine;
  const reads = new Reads({
    stateMachine,
    clock: { nowMs: () => now, wallMs: () => 0 },
    timers: {
      set: (delayMs, run) => timers.push({ dueMs: now + delayMs, run }),
      clear: () => undefined,
      defer: (run) => deferred.push(run),
    },
    pendingReadsMax: 5_000,
    sliceMs: 2,
    firstRequestId: 0,
    requestReadIndex: (requestId) => asked.push(requestId),
    wake: () => undefined,
  });
  const settle = (): void => {
    for (let run = deferred.shift(); run !== undefined; run = deferred.shift()) run();
  };
  const advance = (ms: number): void => {
    now += ms;
  };
  const fireTimers = (): void => {
    const due = timers.filter(({ dueMs }) => dueMs <= now);
    for (const timer of due) timers.splice(timers.indexOf(timer), 1);
    for (const { run } of due) run();
  };
  const pass = (ms: number): void => {
    for (const endMs = now + ms; now < endMs;) {
      advance(Math.min(10, endMs - now));
      fireTimers();
    }
  };
  return { reads, newCaller, open, answered, asked, settle, advance, pass };
}

function linearizable(requestId: number, timeoutMs: number): CountRequest {
  return count(requestId, { consistency: { kind: 'linearizable' }, timeoutMs });
}

function count(requestId: number, change: Partial<CountRequest> = {}): CountRequest {
  const consistency = { kind: 'serializable' } as const;
  const range = { start: '', end: undefined, revision: 0, minRevision: 0 };
  return { kind: 'count', requestId, timeoutMs: 1_000, consistency, ...range, ...change };
}

describe('reads', () => {
  test('a scan that waits for a place gets it also when those before it were given up', () => {
    const { reads, newCaller, open, answered, settle } = world();
    const [leaving, staying] = [newCaller(), newCaller()];
    for (let id = 1; id <= 200; id++) reads.submit(leaving, count(id));
    reads.submit(staying, count(1_000));
    settle();
    // So many of one caller, and the other has its turn.
    expect(open.length).toBe(5);
    for (let id = 1_001; id <= 1_003; id++) reads.submit(staying, count(id));
    settle();
    expect(open.length).toBe(8);
    reads.submit(staying, count(1_004));
    leaving.isGone = true;
    for (let ended = 0; ended < 4; ended++) open.shift()?.(undefined, { revision: 7, count: 0 });
    settle();
    while (open.length > 0) {
      open.pop()?.(undefined, { revision: 7, count: 0 });
      settle();
    }
    expect(answered.filter(({ requestId }) => requestId >= 1_000).length).toBe(5);
    expect(answered.length).toBe(205);
    expect(reads.pendingReads).toBe(0);
  });

  test('reads of one connection that wait for a revision leave places to others', () => {
    const { reads, newCaller, answered, settle } = world();
    const [greedy, modest] = [newCaller(), newCaller()];
    for (let id = 1; id <= 300; id++) reads.submit(greedy, count(id, { minRevision: 100 }));
    for (let id = 1_001; id <= 1_010; id++) reads.submit(modest, count(id, { minRevision: 100 }));
    settle();
    expect(answered.map(({ requestId }) => requestId)).toEqual(Array.from({ length: 44 }, (_, i) => 257 + i));
    // They are looked at again, and are no more than before.
    reads.reached(1);
    settle();
    expect(answered.length).toBe(44);
  });

  test('reads go elsewhere when this node stays behind what they need', () => {
    const { reads, newCaller, answered, asked, settle, pass } = world();
    const read = (id: number): void => {
      reads.submit(newCaller(), linearizable(id, 60_000));
      reads.flush();
      reads.confirm([{ requestId: asked.at(-1) ?? 0, readIndex: 50 + id }]);
    };
    read(1);
    pass(2_000);
    read(2);
    pass(900);
    expect(answered).toEqual([]);
    pass(150);
    expect(answered).toEqual([{ requestId: 1, kind: 'error' }]);
    pass(1_800);
    expect(answered.length).toBe(1);
    pass(200);
    settle();
    expect(answered.length).toBe(2);
    expect(reads.pendingReads).toBe(0);
  });

  test('reads go elsewhere when no leader confirms them to this node', () => {
    const { reads, newCaller, answered, asked, settle, pass } = world();
    const read = (id: number): void => {
      reads.submit(newCaller(), linearizable(id, 60_000));
      reads.flush();
    };
    read(1);
    pass(1_000);
    read(2);
    pass(2_050);
    expect(answered).toEqual([{ requestId: 1, kind: 'error' }]);
    // Too late: it was answered. The other one is still in time, to be confirmed and then to be reached.
    reads.confirm([
      { requestId: asked[0] ?? 0, readIndex: 50 },
      { requestId: asked[1] ?? 0, readIndex: 50 },
    ]);
    pass(800);
    expect(answered.length).toBe(1);
    pass(200);
    settle();
    expect(answered.map(({ requestId }) => requestId)).toEqual([1, 2]);
    expect(reads.pendingReads).toBe(0);
  });

  test('go elsewhere while there is time left to ask there', () => {
    const { reads, newCaller, answered, asked, pass } = world();
    reads.submit(newCaller(), linearizable(1, 1_000));
    reads.submit(newCaller(), linearizable(2, 20_000));
    reads.flush();
    pass(450);
    expect(answered).toEqual([]);
    pass(100);
    expect(answered).toEqual([{ requestId: 1, kind: 'error' }]);
    reads.confirm([{ requestId: asked[0] ?? 0, readIndex: 50 }]);
    pass(2_000);
    expect(answered.length).toBe(1);
    pass(500);
    expect(answered.map(({ requestId }) => requestId)).toEqual([1, 2]);
  });

  test('reads that wait for a revision are bounded and end by their deadline', () => {
    const { reads, newCaller, answered, settle, advance } = world();
    const clients = Array.from({ length: 5 }, newCaller);
    for (let id = 1; id <= 220; id++) {
      for (const client of clients) reads.submit(client, count(id, { minRevision: 99 }));
    }
    settle();
    expect(answered.length).toBe(76);
    advance(1_001);
    reads.reached(1);
    settle();
    expect(answered.length).toBe(1_100);
    expect(reads.pendingReads).toBe(0);
  });
});
