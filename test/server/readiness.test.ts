import { describe, expect, test } from 'vitest';
import { Readiness, type ReadinessContext } from '../../src/server/replica/readiness.js';

const windowMs = 2_000;

/** Readiness over a member whose rounds end when the test says so. */
function world() {
  const state = { now: 10_000, leaderId: 'n1' as string | undefined, commitIndex: 5, appliedIndex: 5 };
  const asked: number[] = [];
  const timers = new Set<{ readonly dueMs: number; readonly run: () => void }>();
  const context = {
    env: {
      clock: { nowMs: () => state.now, wallMs: () => 0 },
      timers: {
        set: (delayMs: number, run: () => void) => {
          const timer = { dueMs: state.now + delayMs, run };
          timers.add(timer);
          return timer;
        },
        clear: (timer: unknown) => timers.delete(timer as never),
        defer: () => undefined,
      },
    },
    config: { raft: { electionTimeoutMsMax: windowMs } },
    raft: state,
    stateMachine: state,
    loop: { step: (input: { requestId?: number }) => void asked.push(input.requestId ?? 0) },
  } as unknown as ReadinessContext;
  const readiness = new Readiness(context, 0);
  const told: (string | undefined)[] = [];
  return {
    state,
    asked,
    timers,
    readiness,
    told,
    ask: () => readiness.ask((reason) => told.push(reason)),
    confirm: (readIndex: number) => readiness.confirm([{ requestId: asked.at(-1) ?? 0, readIndex }]),
    pass: (ms: number) => {
      state.now += ms;
      for (const timer of [...timers]) if (timer.dueMs <= state.now && timers.delete(timer)) timer.run();
    },
  };
}

describe('a node is ready', () => {
  test('when a round is confirmed and applied; all who ask share one', () => {
    const { ask, asked, confirm, told, timers } = world();
    ask();
    ask();
    expect([asked.length, told]).toEqual([1, []]);
    confirm(5);
    expect(told).toEqual([undefined, undefined]);
    expect(timers.size).toBe(0);
  });

  test('for an election timeout after the round began, and asks again then', () => {
    const { ask, asked, confirm, told, pass } = world();
    ask();
    confirm(5);
    pass(windowMs);
    ask();
    expect([asked.length, told]).toEqual([1, [undefined, undefined]]);
    pass(1);
    ask();
    expect([asked.length, told.length]).toEqual([2, 2]);
  });

  test('only when what was confirmed is applied here', () => {
    const { ask, confirm, told, state, readiness } = world();
    ask();
    confirm(9);
    expect(told).toEqual([]);
    state.appliedIndex = 8;
    readiness.reached(8);
    expect(told).toEqual([]);
    state.appliedIndex = 9;
    readiness.reached(9);
    expect(told).toEqual([undefined]);
  });
});

describe('a node is not ready', () => {
  test('without a leader, at once', () => {
    const { ask, told, state, asked } = world();
    state.leaderId = undefined;
    ask();
    expect(told).toEqual(['no leader is known']);
    expect(asked).toEqual([]);
  });

  test('when nobody confirms in time, or what was confirmed is not applied in time', () => {
    const silent = world();
    silent.ask();
    silent.pass(windowMs);
    expect(silent.told[0]).toMatch(/no leader has confirmed a read within 2000 ms/);
    const behind = world();
    behind.ask();
    behind.confirm(12);
    behind.pass(windowMs);
    expect(behind.told[0]).toMatch(/has applied 5, a read now needs 12/);
  });

  test('far behind what it knows to be committed, fresh round or not', () => {
    const { ask, told, state, confirm } = world();
    ask();
    confirm(5);
    state.commitIndex = 5_000;
    ask();
    expect(told[1]).toMatch(/4995 committed entries are not applied/);
  });

  test('by a round that took too long: another one decides', () => {
    const { ask, asked, told, state, readiness, pass, confirm } = world();
    ask();
    pass(windowMs / 2);
    ask();
    // The first asked in vain; the second still waits when the old round is confirmed.
    pass(windowMs / 2 + 1);
    expect(told).toHaveLength(1);
    confirm(state.appliedIndex);
    expect([asked.length, told.length]).toEqual([2, 1]);
    confirm(state.appliedIndex);
    expect(told[1]).toBeUndefined();
    readiness.halt();
  });

  test('when leadership changes under the round, and when it stops', () => {
    const { ask, asked, told, readiness } = world();
    ask();
    readiness.fail(asked);
    expect(told[0]).toMatch(/leadership has just changed/);
    ask();
    readiness.halt();
    expect(told[1]).toMatch(/stopping/);
  });
});
