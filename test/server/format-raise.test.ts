// Raising the format level: what the leader asks for before it proposes, and how a raise is answered. And the
// level of commands and entries, where they come in.

import { describe, expect, test } from 'vitest';
import { thisSoftware, type Software } from '../../src/kv/format-level.js';
import type { Message } from '../../src/raft/messages.js';
import type { LogEntry } from '../../src/raft/types.js';
import { checkLogLevels, checkPayloads } from '../../src/server/replica/entry-checks.js';
import { refuseByLevel } from '../../src/server/front/level-check.js';
import type { NodeEvent } from '../../src/server/events.js';
import { Deadlines } from '../../src/server/replica/deadlines.js';
import { FormatRaise, levelOfState } from '../../src/server/replica/format-raise.js';
import type { NodeConfig } from '../../src/server/config/node-config.js';
import type { LoopInput } from '../../src/server/replica/loop.js';
import { encodeCommand } from '../../src/wire/commands/command-codec.js';
import { decodeEntryPayload, encodeEntryPayload } from '../../src/wire/commands/entry-codec.js';
import { command, put } from '../kv/helpers.js';
import { FakeCaller } from './clients-world.js';
import { VirtualTime } from './snapshot-world.js';

const newer: Software = { ...thisSoftware, formatLevelMax: 3 };
const times = { clusterTimeMs: 5, wallTimeMs: 6 };

/** Node n1 of three leads at level 1; all of them know levels up to 3. */
class Bench {
  readonly state = { formatLevel: 1 };
  readonly raft = { role: 'leader' as 'leader' | 'follower', isTransferring: false, leaderId: 'n1' };
  readonly known = new Map<string, number>([
    ['n2', 3],
    ['n3', 3],
  ]);
  readonly proposed: Uint8Array[] = [];
  readonly events: NodeEvent[] = [];
  readonly caller = new FakeCaller();
  readonly raise: FormatRaise;
  isFull = false;
  private requestId = 0;

  constructor(software: Software = newer) {
    const ids = ['n1', 'n2', 'n3'];
    const members = ids.map((nodeId) => ({ nodeId, instanceId: '0'.repeat(32), address: `${nodeId}:1` }));
    const step = (input: LoopInput): unknown => {
      if (input.kind !== 'propose') return expect.unreachable(input.kind);
      if (this.isFull) return { proposal: { accepted: false, reason: 'tooMuch' } };
      this.proposed.push(...input.proposals.map(({ payload }) => payload));
      return { proposal: { accepted: true, term: 7, firstIndex: 40 } };
    };
    const { state } = this;
    const context = {
      env: { report: (event: NodeEvent) => void this.events.push(event) },
      get formatLevel() {
        return state.formatLevel;
      },
      nodeId: 'n1',
      formation: { clusterId: 'c', members, formatLevel: 1 },
      software,
      raft: this.raft,
      loop: { step: step as never },
      peers: { formatLevelMaxOf: (peer: string) => this.known.get(peer) },
    };
    this.raise = new FormatRaise(context, { stamp: () => times });
  }

  ask(level: number): void {
    const requestId = ++this.requestId;
    this.raise.request(this.caller, { kind: 'raiseFormat', requestId, timeoutMs: 1_000, level });
  }

  /** The answers so far: the level, or the code and the words of an error. */
  take(): string[] {
    return this.caller.answers.splice(0).map((frame) => {
      if (frame.kind === 'formatRaised') return `${frame.requestId} at ${frame.formatLevel}`;
      return frame.kind === 'error' ? `${frame.code} ${frame.outcome}: ${frame.message}` : frame.kind;
    });
  }
}

describe('a raise', () => {
  test('is proposed as an entry of the new level, and answered when it has taken effect', () => {
    const bench = new Bench();
    bench.ask(3);
    const [payload] = bench.proposed;
    if (payload === undefined) return expect.unreachable();
    expect(decodeEntryPayload(payload, newer)).toEqual({
      level: 3,
      times,
      commands: [{ kind: 'raiseFormat', level: 3 }],
    });
    bench.raise.applied(39, 7);
    expect(bench.take()).toEqual([]);
    bench.state.formatLevel = 3;
    bench.raise.applied(40, 7);
    bench.raise.applied(41, 7);
    expect(bench.take()).toEqual(['1 at 3']);
  });

  test('one at a time', () => {
    const bench = new Bench();
    bench.ask(2);
    bench.ask(3);
    expect(bench.take()).toEqual([expect.stringMatching(/^UNAVAILABLE none: another raise .* wait for it$/)]);
    expect(bench.proposed).toHaveLength(1);
    bench.raise.applied(40, 7);
    bench.ask(3);
    expect(bench.proposed).toHaveLength(2);
  });

  test('that lost its place, or its leader, says so', () => {
    const bench = new Bench();
    bench.ask(2);
    bench.raise.applied(40, 8);
    expect(bench.take()).toEqual([expect.stringMatching(/^NOT_LEADER none: .*lost its place/)]);
    bench.ask(2);
    bench.raise.leadershipEnded();
    bench.raise.leadershipEnded();
    bench.raise.applied(40, 7);
    expect(bench.take()).toEqual([expect.stringMatching(/^NOT_LEADER unknown: .*kvorum status/)]);
  });

  test('to the level that it is at is done: its answer may have been lost', () => {
    const bench = new Bench();
    bench.state.formatLevel = 2;
    bench.ask(2);
    expect(bench.take()).toEqual(['1 at 2']);
    expect(bench.proposed).toEqual([]);
  });

  test('is told on every member, once, when the level of its state changes', () => {
    const bench = new Bench();
    bench.raft.role = 'follower';
    bench.raise.applied(39, 7);
    expect(bench.events).toEqual([]);
    bench.state.formatLevel = 3;
    bench.raise.applied(40, 7);
    bench.raise.applied(41, 7);
    expect(bench.events).toEqual([{ kind: 'formatRaised', from: 1, to: 3, index: 40 }]);
  });

  const refused: [name: string, words: RegExp, (bench: Bench) => void, level: number][] = [
    [
      'on a follower',
      /^NOT_LEADER none: node n1 does not lead; node n1 leads$/,
      (bench) => (bench.raft.role = 'follower'),
      2,
    ],
    ['while leadership is handed over', /^NOT_LEADER none/, (bench) => (bench.raft.isTransferring = true), 2],
    ['to a lower one', /asked for was 1: there is no way down$/, (bench) => (bench.state.formatLevel = 2), 1],
    [
      'above the own software',
      /^UNSUPPORTED none: node n1, which leads, knows .* up to 3, asked for was 4: upgrade/,
      () => undefined,
      4,
    ],
    [
      'while a member is missing',
      /^UNAVAILABLE none: not connected to n2, n3: .*; start them$/,
      (bench) => bench.known.clear(),
      2,
    ],
    [
      'while a member is too old, also if another one is missing',
      /^UNSUPPORTED none: format level 3 is not known to n2 \(up to 2\): upgrade the software/,
      (bench) => void bench.known.set('n2', 2).delete('n3'),
      3,
    ],
    ['that the log cannot take', /^OVERLOADED none/, (bench) => (bench.isFull = true), 2],
  ];
  test.each(refused)('is refused %s', (_name, words, prepare, level) => {
    const bench = new Bench();
    prepare(bench);
    bench.ask(level);
    expect(bench.take()).toEqual([expect.stringMatching(words)]);
    expect(bench.proposed).toEqual([]);
    const code = words.source.match(/^\^([A-Z_]+)/)?.[1] ?? 'UNSUPPORTED';
    expect(bench.events).toEqual([
      { kind: 'formatRaiseRefused', level, code, reason: expect.stringMatching(/./) },
    ]);
    // Nothing is left of it.
    bench.raise.applied(40, 7);
    expect(bench.take()).toEqual([]);
  });
});

test('the level of a state is no lower than its formation, also before that is applied', () => {
  expect(levelOfState({ formatLevel: 2 }, { formatLevel: 1 })).toBe(2);
  expect(levelOfState({ formatLevel: 2 }, { formatLevel: 3 })).toBe(3);
  expect(levelOfState({ formatLevel: 2 }, undefined)).toBe(2);
});

describe('a command of a higher level', () => {
  const ahead: Software = { formatLevelMax: 2, commandLevels: { ...thisSoftware.commandLevels, put: 2 } };
  const bytes = encodeCommand(command(put('k', 'v'), 1));
  const entriesOf = (level: number): LogEntry[] => [
    { index: 1, term: 1, kind: 'noop', payload: new Uint8Array() },
    { index: 2, term: 1, kind: 'command', payload: encodeEntryPayload(times, level, [bytes]) },
  ];
  const appendOf = (level: number): Extract<Message, { kind: 'appendEntries' }> => ({
    kind: 'appendEntries',
    ...{ from: 'n2', to: 'n1', term: 1, prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 0 },
    entries: entriesOf(level),
  });

  test('is refused at the door, and the words name the command that raises the level', () => {
    const given = command(put('k', 'v'), 1);
    if (given.kind !== 'client') return expect.unreachable();
    expect(refuseByLevel(given, 2, true, ahead)).toBeUndefined();
    expect(refuseByLevel(given, 2, false, ahead)).toBeUndefined();
    const error = refuseByLevel(given, 1, true, ahead);
    expect(error).toMatchObject({ code: 'UNSUPPORTED', outcome: 'none' });
    expect(error?.message).toBe(
      'the format level of the cluster does not know the operation put yet: ' +
        'run kvorum upgrade once every member runs the newer version',
    );
  });

  test('is asked for again by a leader that does not know the newest level yet', () => {
    const given = command(put('k', 'v'), 1);
    if (given.kind !== 'client') return expect.unreachable();
    const error = refuseByLevel(given, 1, false, ahead);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', outcome: 'none', retryable: true });
    expect(error?.message).toBe(
      'put needs format level 2, and the newest level is not known yet: the leader is new; try again',
    );
  });

  test('is not proposed by the leader itself', () => {
    const software: Software = {
      formatLevelMax: 2,
      commandLevels: { ...thisSoftware.commandLevels, expireTables: 2 },
    };
    const state = { formatLevel: 1 };
    const levels: (number | undefined)[] = [];
    const step = (input: LoopInput): unknown => {
      if (input.kind !== 'propose') return expect.unreachable(input.kind);
      levels.push(...input.proposals.map(({ payload }) => payload[0]));
      return { proposal: { accepted: true, term: 7, firstIndex: 40 } };
    };
    const context = {
      env: { timers: new VirtualTime().timers },
      config: { raft: { heartbeatIntervalMs: 10 } } as NodeConfig,
      software,
      stateMachine: { appliedIndex: 3, nextDeadlineMs: 1 },
      raft: { role: 'leader' as const, isTransferring: false },
      loop: { step: step as never },
      get formatLevel() {
        return state.formatLevel;
      },
    };
    const deadlines = new Deadlines(context, { timeMs: 5, stamp: () => times });
    deadlines.check();
    expect(levels).toEqual([]);
    state.formatLevel = 2;
    deadlines.check();
    expect(levels).toEqual([2]);
  });

  test('in an entry that arrives is FORMAT; of the same level as before it is taken', () => {
    expect(() => checkPayloads(appendOf(2), thisSoftware)).toThrow(
      expect.objectContaining({ code: 'FORMAT' }),
    );
    expect(() => checkPayloads(appendOf(2), thisSoftware)).toThrow(/^entry 2 from n2: /);
    checkPayloads(appendOf(2), ahead);
    checkPayloads(appendOf(1), thisSoftware);
    // It names a level that its command does not belong to yet.
    expect(() => checkPayloads(appendOf(1), ahead)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
  });

  test('in the own log is FORMAT', () => {
    checkLogLevels(entriesOf(1), thisSoftware);
    checkLogLevels(entriesOf(2), ahead);
    expect(() => checkLogLevels(entriesOf(2), thisSoftware)).toThrow(
      expect.objectContaining({ code: 'FORMAT' }),
    );
  });
});
