// The checkers that follow a core step by step, each shown a world that breaks its property, made by hand,
// and the same world without the break.

import { describe, expect, it } from 'vitest';
import type { Input, Persist } from '../../src/raft/io.js';
import type { Message } from '../../src/raft/messages.js';
import type { LogEntry } from '../../src/raft/types.js';
import { Bench, type Fake } from './checkers-bench.js';

const now = 0;

describe('the votes of a new leader', () => {
  const candidate: Fake = { role: 'candidate', term: 3, votedFor: 'a' };
  const leader: Fake = { ...candidate, role: 'leader' };
  const result = (kind: 'requestVoteResult' | 'preVoteResult', term: number, voteGranted: boolean): Input => {
    return {
      kind: 'message',
      now,
      message: { kind, from: 'b', to: 'a', term, voteGranted, refusal: undefined },
    };
  };
  const elected = (...inputs: readonly Input[]): string[] => {
    const bench = new Bench().start('a', candidate).see('a', candidate);
    for (const input of inputs) bench.step('a', input);
    return bench.see('a', leader).ids;
  };

  it('are those of a majority, of this term, and no pre-votes', () => {
    expect(elected(result('requestVoteResult', 3, true))).toEqual([]);
    expect(elected()).toEqual(['electionSafety']);
    expect(elected(result('preVoteResult', 3, true))).toEqual(['electionSafety']);
    expect(elected(result('requestVoteResult', 3, false))).toEqual(['electionSafety']);
    expect(elected(result('requestVoteResult', 2, true))).toEqual(['electionSafety']);
    const late = [result('requestVoteResult', 3, true), result('requestVoteResult', 2, true)];
    expect(elected(...late)).toEqual([]);
  });
});

describe('what a core takes for durable', () => {
  const unit = (sequence: number): Persist => ({ term: 2, index: 2, sequence });
  const entry = (index: number, term: number): LogEntry => {
    return { index, term, kind: 'command', payload: new Uint8Array(0) };
  };
  /** Entry 2 of term 1 is replaced by one of term 2 while the disk still writes it. */
  const replacing = (durable: number): Bench =>
    new Bench()
      .start('a', { term: 2, terms: [1], durable: 1 })
      .start('a', { term: 2, terms: [1, 2], durable })
      .step('a', { kind: 'timeout', now }, { persist: unit(1), entries: [entry(2, 1)], truncateSuffix: 2 })
      .step('a', { kind: 'timeout', now }, { persist: unit(2), entries: [entry(2, 2)], truncateSuffix: 2 });

  it('is what its disk was given and has completed', () => {
    expect(replacing(1).persisted('a', 1).ids).toEqual([]);
    expect(replacing(2).persisted('a', 1).ids).toEqual(['durableLog']);
    expect(replacing(2).persisted('a', 2).ids).toEqual([]);
  });
});

describe('the index of a read', () => {
  const committed = (index: number): Fake => {
    return { role: 'leader', term: 1, votedFor: 'a', terms: [1, 1, 1], committed: index };
  };
  const answered = (readIndex: number, commit: number): string[] =>
    new Bench()
      .see('b', { ...committed(commit), role: 'follower' })
      .start('a', committed(1))
      .step('a', { kind: 'readIndex', requestId: 7, now })
      .see('b', { ...committed(3), role: 'follower' })
      .step('a', { kind: 'timeout', now }, { reads: [{ requestId: 7, readIndex }] }).ids;

  it('is at least what was committed anywhere when it was asked', () => {
    expect(answered(2, 2)).toEqual([]);
    expect(answered(3, 2)).toEqual([]);
    expect(answered(1, 2)).toEqual(['readIndex']);
  });

  it('is forgotten with the member that was asked, and when the read fails', () => {
    const bench = new Bench().see('b', committed(3)).start('a', committed(1));
    bench.step('a', { kind: 'readIndex', requestId: 7, now }, { readsFailed: [7] });
    bench.step('a', { kind: 'readIndex', requestId: 8, now }).start('a', committed(1));
    for (const requestId of [7, 8]) {
      bench.step('a', { kind: 'timeout', now }, { reads: [{ requestId, readIndex: 1 }] });
    }
    expect(bench.ids).toEqual([]);
  });
});

describe('a leader', () => {
  const leader: Fake = { role: 'leader', term: 3, votedFor: 'a' };
  const timer = (timeMs: number): Input => ({ kind: 'timeout', now: timeMs });
  const heard = (timeMs: number): Input => {
    const result = {
      kind: 'heartbeatResult',
      from: 'b',
      to: 'a',
      term: 3,
      round: 1,
      commitIndex: 0,
      commitTerm: 0,
    } as const;
    return { kind: 'message', now: timeMs, message: result };
  };
  const led = (...inputs: readonly Input[]): string[] => {
    const bench = new Bench().start('a', leader);
    for (const input of inputs) bench.step('a', input);
    return bench.ids;
  };

  it('hears from a majority while it leads', () => {
    expect(led(timer(0), timer(300))).toEqual([]);
    expect(led(timer(0), timer(301))).toEqual(['leaderWithoutQuorum']);
    expect(led(timer(0), heard(200), timer(500))).toEqual([]);
    expect(led(timer(0), heard(200), timer(501))).toEqual(['leaderWithoutQuorum']);
  });

  it('looks at its timer while it is busy, but may sleep', () => {
    const busyFrom = (fromMs: number): Input[] =>
      Array.from({ length: 16 }, (_, i) => heard(fromMs + 20 * (i + 1)));
    expect(led(timer(0), ...busyFrom(0))).toEqual(['leaderUnchecked']);
    expect(led(timer(0), ...busyFrom(0).slice(0, 15), timer(310), ...busyFrom(310).slice(0, 15))).toEqual([]);
    expect(led(timer(0), heard(10), heard(5_000), timer(5_001))).toEqual([]);
    // That the timer comes late is not the leader's fault.
    const overloaded = new Bench().start('a', { ...leader, deadlineMs: 50 });
    for (const input of [timer(0), ...busyFrom(0)]) overloaded.step('a', input);
    expect(overloaded.ids).toEqual([]);
  });

  it('is not kept by who asks for votes, or answers an earlier term', () => {
    const asked = { kind: 'requestVote', from: 'b', to: 'a', term: 4, preVote: true } as unknown as Message;
    expect(led(timer(0), { kind: 'message', now: 200, message: asked }, timer(400))).toHaveLength(1);
    const late: Message = {
      kind: 'heartbeatResult',
      from: 'b',
      to: 'a',
      term: 2,
      round: 1,
      commitIndex: 0,
      commitTerm: 0,
    };
    expect(led(timer(0), { kind: 'message', now: 200, message: late }, timer(400))).toHaveLength(1);
  });

  it('has time again when it leads again', () => {
    const again = (...between: readonly Fake[]): Bench => {
      const bench = new Bench().start('a', leader).step('a', timer(0));
      for (const fake of between) bench.is('a', fake).step('a', timer(400));
      return bench.is('a', { ...leader, term: 4 }).step('a', timer(400));
    };
    expect(again().step('a', timer(700)).ids).toEqual([]);
    expect(again().step('a', timer(701)).ids).toEqual(['leaderWithoutQuorum']);
    const follower = { ...leader, role: 'follower' };
    expect(again(follower).step('a', timer(700)).ids).toEqual([]);
    expect(again(follower).is('a', leader).step('a', timer(900)).ids).toEqual([]);
  });
});
