import { describe, expect, test } from 'vitest';
import { RoundTrip } from '../../src/raft/round-trip.js';
import type { NodeEvent } from '../../src/server/events.js';
import { Vigil, type VigilContext } from '../../src/server/replica/vigil.js';

/** A member of three whose surroundings the test sets. */
function world() {
  const state = {
    now: 1_000,
    role: 'follower',
    leaderId: 'n2' as string | undefined,
    isCatchingUp: false,
    diskBusySinceMs: undefined as number | undefined,
    slowestSyncMs: 0,
    answers: new Map<string, string>(),
    roundTripMs: 1,
    down: new Set<string>(),
    answerOf: (peer: string) => state.answers.get(peer),
    progress: () => [{ peer: 'n2', roundTripMs: state.roundTripMs }],
  };
  const events: NodeEvent[] = [];
  const told: string[] = [];
  const raft = { electionTimeoutMsMin: 1_000, electionTimeoutMsMax: 2_000, diskHungMs: 5_000 };
  const context = {
    env: { clock: { nowMs: () => state.now }, report: (event: NodeEvent) => events.push(event) },
    nodeId: 'n1',
    config: { raft },
    formation: { members: ['n1', 'n2', 'n3'].map((nodeId) => ({ nodeId })) },
    peers: { isUp: (peer: string) => !state.down.has(peer) },
    raft: state,
  } as unknown as VigilContext;
  const vigil = new Vigil(context, (words) => told.push(words));
  const kinds = (): string[] => events.splice(0).map(({ kind }) => kind);
  return { state, events, told, vigil, kinds };
}

describe('what is not well', () => {
  test('a disk is slow, hangs and is quick again, each told once', () => {
    const { state, vigil, kinds } = world();
    vigil.check();
    expect([kinds(), vigil.trouble]).toEqual([[], '']);
    state.slowestSyncMs = 201;
    vigil.check();
    vigil.check();
    expect(kinds()).toEqual(['diskSlow']);
    expect(vigil.trouble).toBe('the disk is slow: a sync took 201 ms');
    state.diskBusySinceMs = state.now - 5_001;
    vigil.check();
    vigil.check();
    expect(kinds()).toEqual(['diskHung']);
    expect(vigil.trouble).toMatch(/the disk hangs: a sync has taken 5001 ms/);
    state.diskBusySinceMs = undefined;
    state.slowestSyncMs = 5;
    vigil.check();
    expect([kinds(), vigil.trouble]).toEqual([['diskQuick'], '']);
  });

  test('a follower is far from its leader, told with the setting', () => {
    const { state, vigil, events } = world();
    Object.assign(state, { role: 'leader', leaderId: 'n1', roundTripMs: 334 });
    vigil.check();
    vigil.check();
    expect(events).toEqual([
      { kind: 'roundTripLong', peer: 'n2', roundTripMs: 334, electionTimeoutMsMin: 1_000 },
    ]);
    expect(vigil.trouble).toMatch(/node n2 is far away/);
  });

  test('nobody leads: who said what, once it lasts longer than an election, and when it changes', () => {
    const { state, vigil, events, told } = world();
    state.leaderId = undefined;
    state.answers.set('n2', 'logBehind');
    state.down.add('n3');
    vigil.check();
    state.now += 1_999;
    vigil.check();
    expect(events).toEqual([]);
    state.now += 1;
    vigil.check();
    const reasons = 'n2 refuses, the log here is behind its own, n3 is not connected';
    expect(events).toEqual([{ kind: 'noLeader', forMs: 2_000, reasons }]);
    expect(told).toEqual([reasons]);
    expect(vigil.trouble).toBe(`no leader: ${reasons}`);
    state.now += 60_000;
    vigil.check();
    expect(told).toHaveLength(1);
    state.down.clear();
    state.diskBusySinceMs = state.now - 3_000;
    vigil.check();
    expect(told[1]).toMatch(/^a sync of this node's disk has taken 3000 ms so far, n2 refuses/);
  });
});

test('a round trip is the time from a heartbeat to its own answer', () => {
  const roundTrip = new RoundTrip();
  roundTrip.sent(1, 100);
  roundTrip.sent(2, 200);
  roundTrip.answered(1, 600);
  expect(roundTrip.smoothedMs).toBe(500);
  roundTrip.sent(3, 700);
  // The one that is timed was lost: no measure.
  roundTrip.answered(4, 9_000);
  expect(roundTrip.smoothedMs).toBe(500);
  roundTrip.sent(5, 9_100);
  roundTrip.answered(5, 9_110);
  expect(roundTrip.smoothedMs).toBe(402);
});
