// A checker that has never been seen failing is not known to work: each is shown a world that breaks its
// property, made by hand, and the same world without the break.

import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/raft/messages.js';
import { Violations } from '../../src/sim/checkers/violations.js';
import { checkSecondOpinion } from '../../src/sim/checkers/clients/second-opinion.js';
import type { VersionFact } from '../../src/sim/checkers/clients/timeline.js';
import { checkHistory } from '../../src/sim/checkers/clients/witness.js';
import type { OperationCall, OperationRecord, OperationResult } from '../../src/sim/history/history.js';
import { Bench, type Fake } from './checkers-bench.js';

describe('consensus', () => {
  it('a healthy history breaks nothing', () => {
    const bench = new Bench()
      .see('a', { term: 1, votedFor: 'a', terms: [1] })
      .see('a', { role: 'leader', term: 1, votedFor: 'a', terms: [1, 1], committed: 1 })
      .see('b', { term: 1, votedFor: 'a', terms: [1, 1], committed: 1 })
      .see('b', { term: 2, votedFor: 'b', terms: [1, 1], committed: 1 })
      .see('b', { role: 'leader', term: 2, votedFor: 'b', terms: [1, 1, 2], committed: 3, applied: 3 })
      .see('a', { term: 2, terms: [1, 1, 2], committed: 3 });
    expect(bench.ids).toEqual([]);
    expect(bench.checkers.elections.electionCount).toBe(2);
  });

  it('two leaders of one term, also the same node after a restart', () => {
    const leader: Fake = { role: 'leader', term: 3, votedFor: 'a' };
    expect(new Bench().see('a', leader).see('b', leader).ids).toContain('electionSafety');
    expect(new Bench().see('a', leader).see('a', leader, 2).ids).toContain('electionSafety');
    expect(new Bench().see('a', leader).see('b', { ...leader, term: 4 }).ids).toEqual([]);
  });

  it('a leader that removes entries of its own', () => {
    const leader: Fake = { role: 'leader', term: 3, votedFor: 'a', terms: [1, 3, 3] };
    expect(new Bench().see('a', leader).see('a', { ...leader, terms: [1, 3] }).ids).toContain(
      'leaderAppendOnly',
    );
    const follower: Fake = { term: 3, terms: [1, 2, 2] };
    expect(new Bench().see('a', follower).see('a', { term: 3, terms: [1, 3] }).ids).toEqual([]);
  });

  it('logs that differ at or below an entry that they share', () => {
    const log: Fake = { term: 2, terms: [1, 1, 2] };
    expect(new Bench().see('a', log).see('b', { ...log, payloads: { 3: 9 } }).ids).toContain('logMatching');
    expect(new Bench().see('a', log).see('b', { ...log, payloads: { 1: 9 } }).ids).toContain('logMatching');
    expect(new Bench().see('a', log).see('b', { ...log, terms: [1, 1] }).ids).toEqual([]);
    expect(new Bench().see('a', { term: 2, terms: [2, 1] }).ids).toContain('logMatching');
  });

  it('a new leader without a committed entry', () => {
    const committed: Fake = { role: 'leader', term: 2, votedFor: 'a', terms: [2, 2], committed: 2 };
    const lacking: Fake = { role: 'leader', term: 3, votedFor: 'b', terms: [2] };
    expect(new Bench().see('a', committed).see('b', lacking).ids).toContain('leaderCompleteness');
    const holding = { ...lacking, terms: [2, 2] };
    expect(new Bench().see('a', committed).see('b', holding).ids).toEqual([]);
    // Late to learn that it was elected, in a term before the one in which the entries were committed.
    const late: Fake = { role: 'leader', term: 1, votedFor: 'c', terms: [] };
    expect(new Bench().see('a', committed).see('c', late).ids).toEqual([]);
  });

  it('different entries committed at one index, and states that differ after one', () => {
    const a: Fake = { term: 2, terms: [1], committed: 1, applied: 1, stateHashes: { 1: 'x' } };
    expect(new Bench().see('a', a).see('b', { ...a, terms: [2] }).ids).toContain('stateMachineSafety');
    expect(new Bench().see('a', a).see('b', { ...a, stateHashes: { 1: 'y' } }).ids).toContain(
      'stateMachineSafety',
    );
    expect(new Bench().see('a', a).see('a', { ...a, stateHashes: { 1: 'y' } }, 2).ids).toContain(
      'stateMachineSafety',
    );
    expect(new Bench().see('a', a).see('b', a).ids).toEqual([]);
  });

  it('a committed entry that is removed', () => {
    const before: Fake = { term: 2, terms: [1, 1], committed: 2 };
    const ids = new Bench().see('a', before).see('a', { term: 3, terms: [1, 3], committed: 2 }).ids;
    expect(ids).toContain('stateMachineSafety');
  });

  it('an entry of an earlier term committed by counting', () => {
    const leader: Fake = { role: 'leader', term: 4, votedFor: 'a', terms: [1, 2, 4], committed: 1 };
    const follower: Fake = { term: 4, terms: [1, 2, 4] };
    const bench = (): Bench => new Bench().see('a', leader).see('b', follower);
    expect(bench().see('a', { ...leader, committed: 2 }).ids).toEqual(['commitRule']);
    expect(bench().see('a', { ...leader, committed: 3 }).ids).toEqual([]);
  });

  it('an entry committed that is not on the disks of a majority', () => {
    const leader: Fake = { role: 'leader', term: 1, votedFor: 'a', terms: [1, 1], committed: 1 };
    const follower: Fake = { term: 1, terms: [1, 1] };
    const commit = (ownDurable: number, other: Fake, acknowledged = false): string[] => {
      const bench = new Bench().see('a', { ...leader, durable: ownDurable }).see('b', other);
      const stored = {
        kind: 'appendEntriesResult',
        from: 'b',
        to: 'a',
        term: 1,
        success: true,
        matchIndex: 2,
      };
      // It crashed in the very event that sent it.
      if (acknowledged) bench.checkers.sent(stored as Message, true);
      return bench.see('a', { ...leader, durable: ownDurable, committed: 2 }).ids;
    };
    expect(commit(2, follower)).toEqual([]);
    expect(commit(1, follower)).toEqual(['durableCommit']);
    expect(commit(2, { ...follower, durable: 1 })).toEqual(['durableCommit']);
    expect(commit(2, { ...follower, durable: 1 }, true)).toEqual([]);
    expect(commit(2, { ...follower, terms: [1] })).toEqual(['durableCommit']);
  });

  it('terms and indexes that fall, a vote that changes within a term, and indexes out of order', () => {
    const node: Fake = { term: 5, votedFor: 'a', terms: [1, 1, 1], committed: 2, applied: 1 };
    expect(new Bench().see('a', node).see('a', { ...node, term: 4 }).ids).toContain('monotonicState');
    expect(new Bench().see('a', node).see('a', { ...node, committed: 1 }).ids).toContain('monotonicState');
    expect(new Bench().see('a', node).see('a', { ...node, applied: 0 }).ids).toContain('monotonicState');
    expect(new Bench().see('a', node).see('a', { ...node, votedFor: 'b' }).ids).toContain('monotonicState');
    expect(new Bench().see('a', node).see('a', { ...node, votedFor: undefined }).ids).toContain(
      'monotonicState',
    );
    expect(new Bench().see('a', { ...node, applied: 3 }).ids).toContain('indexOrder');
    expect(new Bench().see('a', { ...node, committed: 4 }).ids).toContain('indexOrder');
    const behind = { ...node, committed: 1, applied: 0 };
    const unsaved = new Bench().see('a', { ...node, durablyApplied: 0 });
    expect(unsaved.see('a', behind, 2).ids).toEqual([]);
    expect(new Bench().see('a', node).see('a', behind, 2).ids).toEqual(['monotonicState']);
  });

  it('promises that a crash undid: terms, votes, acknowledgements', () => {
    const node: Fake = { term: 2, votedFor: 'b', terms: [1, 1] };
    const granted = {
      kind: 'requestVoteResult',
      from: 'a',
      to: 'b',
      term: 2,
      voteGranted: true,
      refusal: undefined,
    } as const;
    const promised = (): Bench => new Bench().see('a', node).send(granted);
    expect(promised().see('a', node, 2).ids).toEqual([]);
    expect(promised().see('a', { ...node, votedFor: undefined }, 2).ids).toContain('durableVote');
    expect(promised().see('a', { ...node, term: 1 }, 2).ids).toContain('durableVote');
    expect(promised().send({ ...granted, to: 'c' }).ids).toContain('durableVote');
    expect(promised().send({ kind: 'requestVote', from: 'a', to: 'c', term: 2 }).ids).toContain(
      'durableVote',
    );

    const stored = {
      kind: 'appendEntriesResult',
      from: 'a',
      to: 'b',
      term: 2,
      success: true,
      matchIndex: 2,
    } as const;
    const acknowledged = (): Bench => new Bench().see('a', node).send(stored);
    expect(acknowledged().see('a', node, 2).ids).toEqual([]);
    expect(acknowledged().see('a', { ...node, terms: [1] }, 2).ids).toContain('durableAcknowledgement');
    const other = { ...node, payloads: { 2: 5 } };
    expect(acknowledged().see('a', other, 2).ids).toContain('durableAcknowledgement');
    const replaced = acknowledged().see('a', { ...node, term: 3, terms: [1, 3] });
    expect(replaced.see('a', { ...node, term: 3, terms: [1] }, 2).ids).toEqual([]);
    const beyond = new Bench().see('a', node).send({ ...stored, matchIndex: 3 });
    expect(beyond.ids).toContain('durableAcknowledgement');
  });
});

const fact = (
  revision: number,
  key: string,
  value: string | undefined,
  created = revision,
  version = 1,
): VersionFact => ({
  revision,
  key,
  deleted: value === undefined,
  value: value ?? '',
  createRevision: value === undefined ? 0 : created,
  version: value === undefined ? 0 : version,
});

const operation = (
  calledUs: number,
  returnedUs: number,
  call: OperationCall,
  result: OperationResult,
): OperationRecord => ({
  client: 'c1',
  call,
  calledUs,
  timeoutMs: 1_000,
  returnedUs,
  result,
});
const put = (key: string, value: string, condition?: number): OperationCall => ({
  kind: 'put',
  key,
  value,
  condition,
});
const ok = (revision: number, count = 0): OperationResult => ({
  kind: 'written',
  code: 'OK',
  revision,
  count,
});
const conflict = (revision: number): OperationResult => ({
  kind: 'written',
  code: 'CONFLICT',
  revision,
  count: 0,
});
const failed = (outcome: 'none' | 'unknown'): OperationResult => ({
  kind: 'failed',
  code: 'TIMEOUT',
  outcome,
});
const read = (
  revision: number,
  ...records: [key: string, value: string, modRevision: number][]
): OperationResult => ({
  kind: 'read',
  revision,
  records: records.map(([key, value, modRevision]) => ({
    key,
    value,
    modRevision,
    createRevision: modRevision,
    version: 1,
  })),
});
const get = (key: string): OperationCall => ({ kind: 'get', key });
const remove = (key: string, condition?: number): OperationCall => ({ kind: 'delete', key, condition });

function judge(facts: readonly VersionFact[], ...operations: OperationRecord[]): string[] {
  const violations = new Violations(() => 0);
  checkHistory(operations, facts, violations);
  return violations.list.map(({ id }) => id);
}

describe('what clients were told', () => {
  const facts = [fact(1, 'x', 'v1'), fact(2, 'y', 'v2'), fact(3, 'x', undefined)];

  it('a truthful history breaks nothing', () => {
    const range: OperationCall = { kind: 'range', start: '', limit: 10 };
    const ids = judge(
      facts,
      operation(0, 10, put('x', 'v1', 0), ok(1)),
      operation(11, 20, put('y', 'v2'), ok(2)),
      operation(21, 30, range, read(2, ['x', 'v1', 1], ['y', 'v2', 2])),
      operation(31, 40, remove('x', 1), ok(3, 1)),
      operation(41, 50, remove('x'), ok(3, 0)),
      operation(51, 60, put('y', 'v3', 0), conflict(3)),
      operation(61, 70, put('y', 'v4'), failed('unknown')),
      operation(71, 80, get('x'), read(3)),
    );
    expect(ids).toEqual([]);
  });

  it('an acknowledged write that is not there, or there under another revision', () => {
    expect(judge(facts, operation(0, 1, put('x', 'v9'), ok(1)))).toContain('acknowledgedWriteLost');
    expect(judge(facts, operation(0, 1, put('x', 'v1'), ok(2)))).toContain('acknowledgedWriteLost');
    expect(judge(facts, operation(0, 1, remove('y'), ok(3, 1)))).toContain('acknowledgedWriteLost');
  });

  it('a write that took place twice, whatever the client was told', () => {
    const twice = [fact(1, 'x', 'v1'), fact(2, 'x', 'v1', 1, 2)];
    expect(judge(twice, operation(0, 1, put('x', 'v1'), ok(1)))).toContain('appliedTwice');
    expect(judge(twice, operation(0, 1, put('x', 'v1'), failed('unknown')))).toContain('appliedTwice');
  });

  it('a failure without effect that had one', () => {
    expect(judge(facts, operation(0, 1, put('x', 'v1'), failed('none')))).toContain('falseFailure');
    expect(judge(facts, operation(0, 1, put('x', 'v1', 7), conflict(1)))).toContain('falseFailure');
  });

  it('revisions that skip, versions that do not follow, and one revision for two writes', () => {
    expect(judge([fact(1, 'x', 'v1'), fact(3, 'x', 'v2', 1, 2)])).toContain('revisionSequence');
    expect(judge([fact(1, 'x', 'v1'), fact(2, 'x', 'v2', 2, 1)])).toContain('revisionSequence');
    const both = [operation(0, 9, remove('x'), ok(3, 1)), operation(0, 9, remove('x'), ok(3, 1))];
    expect(judge(facts, ...both)).toContain('revisionSequence');
  });

  it('reads that do not fit the revision they name', () => {
    expect(judge(facts, operation(0, 1, get('x'), read(3, ['x', 'v1', 1])))).toContain('readValue');
    expect(judge(facts, operation(0, 1, get('x'), read(2)))).toContain('readValue');
    const range: OperationCall = { kind: 'range', start: '', limit: 10 };
    expect(judge(facts, operation(0, 1, range, read(2, ['x', 'v1', 1])))).toContain('readValue');
    expect(judge(facts, operation(0, 1, remove('x'), ok(2, 0)))).toContain('readValue');
  });

  it('conditions judged wrongly, both ways', () => {
    expect(judge(facts, operation(0, 1, put('y', 'v2', 5), ok(2)))).toContain('conditionJudged');
    expect(judge(facts, operation(0, 1, put('y', 'v9', 2), conflict(3)))).toContain('conditionJudged');
    expect(judge(facts, operation(0, 1, put('y', 'v9'), conflict(3)))).toContain('conditionJudged');
  });

  it('requests that are answered late, never, or with an error that nothing explains', () => {
    const late = operation(0, 1_060_000, get('x'), read(3));
    expect(judge(facts, late)).toContain('deadline');
    expect(judge(facts, { ...late, returnedUs: undefined, result: undefined })).toContain('deadline');
    expect(judge(facts, operation(0, 1_040_000, get('x'), read(3)))).toEqual([]);
    const odd: OperationResult = { kind: 'failed', code: 'INTERNAL', outcome: 'unknown' };
    expect(judge(facts, operation(0, 1, get('x'), odd))).toContain('unexpectedError');
  });

  it('answers that go back in time', () => {
    const write = operation(0, 10, put('y', 'v2'), ok(2));
    expect(judge(facts, write, operation(11, 20, get('x'), read(1, ['x', 'v1', 1])))).toContain(
      'realTimeOrder',
    );
    expect(judge(facts, write, operation(10, 20, get('x'), read(1, ['x', 'v1', 1])))).toEqual([]);
    const late = operation(11, 20, put('x', 'v1'), ok(1));
    expect(judge(facts, write, late)).toContain('realTimeOrder');
  });
});

describe('the same, seen by the black box', () => {
  const range: OperationCall = { kind: 'range', start: '', limit: 10 };
  const opinion = (...operations: OperationRecord[]): string[] => {
    const violations = new Violations(() => 0);
    checkSecondOpinion(
      operations,
      [fact(1, 'x', 'v1'), fact(2, 'y', 'v2'), fact(3, 'x', undefined)],
      violations,
    );
    return violations.list.map(({ id, message }) => `${id} ${message}`);
  };
  const writes = [
    operation(0, 10, put('x', 'v1', 0), ok(1)),
    operation(11, 20, put('y', 'v2'), ok(2)),
    operation(31, 40, remove('x', 1), ok(3, 1)),
  ];

  it('a truthful history', () => {
    const seen = read(2, ['x', 'v1', 1], ['y', 'v2', 2]);
    expect(
      opinion(
        ...writes,
        operation(21, 30, range, seen),
        operation(21, 30, { ...range, limit: 1 }, read(2, ['x', 'v1', 1])),
        operation(41, 50, put('y', 'v4', 1), conflict(3)),
        operation(41, 50, put('y', 'v5', 2), failed('unknown')),
        operation(41, 50, put('y', 'v6'), failed('none')),
        operation(51, 60, { ...range, limit: 1 }, read(3, ['y', 'v5', 4])),
        operation(51, 60, get('x'), read(3)),
      ),
    ).toEqual([]);
  });

  it('reads of the past, a lost write in a range, conditions that did not hold', () => {
    expect(opinion(...writes, operation(51, 60, get('x'), read(3, ['x', 'v1', 1])))).toEqual([
      expect.stringContaining('linearizability key x: get by c1 returned "v1"'),
    ]);
    expect(opinion(...writes, operation(51, 60, range, read(3)))).toHaveLength(1);
    expect(opinion(...writes, operation(51, 60, { ...range, start: 'z' }, read(3)))).toEqual([]);
    expect(opinion(...writes, operation(51, 60, put('x', 'v9', 1), ok(4)))).toHaveLength(1);
    expect(opinion(...writes, operation(51, 60, get('y'), read(3, ['y', 'v8', 1])))).toHaveLength(1);
  });
});
