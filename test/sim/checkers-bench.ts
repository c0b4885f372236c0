// A bench for the checkers of the consensus: nodes made by hand, seen one after the other.

import type { Input, Output } from '../../src/raft/io.js';
import type { Message } from '../../src/raft/messages.js';
import type { LogEntry } from '../../src/raft/types.js';
import type { RaftView, StateMachineView } from '../../src/sim/checkers/raft/node-view.js';
import { RaftCheckers } from '../../src/sim/checkers/raft/raft-checkers.js';
import { Violations } from '../../src/sim/checkers/violations.js';

/**
 * A node as the checkers see it. `terms`: the term of each entry of its log; `payloads`: of entries that
 * differ.
 */
export interface Fake {
  readonly role?: string;
  readonly term: number;
  readonly votedFor?: string | undefined;
  readonly terms?: readonly number[];
  readonly payloads?: Readonly<Record<number, number>>;
  readonly committed?: number;
  /** Of its log; all of it when not given. */
  readonly durable?: number;
  readonly applied?: number;
  /** Of what was applied; all of it when not given. */
  readonly durablyApplied?: number;
  /** The log begins after this; `terms` has the entries before it all the same. */
  readonly base?: number;
  readonly catchingUp?: boolean;
  readonly inFlight?: number;
  /** When its timer is due; never when not given. */
  readonly deadlineMs?: number;
  readonly stateHashes?: Readonly<Record<number, string>>;
  /** Of its state. */
  readonly formatLevel?: number;
}

export class Bench {
  readonly violations = new Violations(() => 0);
  readonly checkers = new RaftCheckers(this.violations, ['a', 'b'], {
    inFlight: { inFlightMessagesMax: 4, inFlightBytesMax: 1_000, appendBytesMax: 100 },
    electionTimeoutMsMax: 300,
  });

  /** How steps leave each member. */
  private readonly views = new Map<string, RaftView>();

  see(nodeId: string, fake: Fake, incarnation = 1): this {
    this.checkers.observe(nodeId, incarnation, viewOf(fake), stateOf(fake));
    return this;
  }

  /** The node replaces its damaged disk, and is then as it is seen here. */
  seeRepaired(nodeId: string, fake: Fake, incarnation: number): this {
    this.checkers.repairBegins(nodeId);
    return this.see(nodeId, fake, incarnation);
  }

  send(message: Partial<Message> & { kind: Message['kind']; from: string; to: string; term: number }): this {
    this.checkers.sent(message as Message);
    return this;
  }

  /** A process of the node starts, with software that knows levels up to this. */
  runs(nodeId: string, formatLevelMax: number): this {
    this.checkers.formatLevels.starts(nodeId, formatLevelMax);
    return this;
  }

  /** A member of the node starts as it is seen here; its steps are told from now on. */
  start(nodeId: string, fake: Fake): this {
    this.views.set(nodeId, viewOf(fake));
    this.checkers.replicaStarted(nodeId, viewOf(fake));
    return this;
  }

  /** From now on steps leave the member as it is here. */
  is(nodeId: string, fake: Fake): this {
    this.views.set(nodeId, viewOf(fake));
    return this;
  }

  /** A step that puts out a unit with a vote, or the end of one. */
  vote(nodeId: string, sequence: number, currentTerm: number, votedFor: string): this {
    const hardState = { currentTerm, votedFor, commitIndex: 0 };
    const persist = { term: currentTerm, index: 0, sequence };
    return this.step(nodeId, { kind: 'timeout', now: 0 }, { hardState, persist });
  }

  /** The core took that step. */
  step(nodeId: string, input: Input, output: Partial<Output> = {}): this {
    const view = this.views.get(nodeId) ?? viewOf({ term: 0 });
    this.checkers.stepped(nodeId, input, { ...noOutput, ...output }, view);
    return this;
  }

  persisted(nodeId: string, sequence: number): this {
    const input = { kind: 'persisted', term: 1, index: 0, sequence, now: 0 } as const;
    return this.step(nodeId, input);
  }

  get ids(): string[] {
    return this.violations.list.map(({ id }) => id);
  }
}

function viewOf({
  role,
  term,
  votedFor,
  terms = [],
  payloads = {},
  committed,
  durable,
  applied,
  base = 0,
  catchingUp = false,
  inFlight = 0,
  deadlineMs = Infinity,
}: Fake): RaftView {
  const entry = (index: number): LogEntry | undefined => {
    if (index <= base) return undefined;
    const entryTerm = terms[index - 1];
    if (entryTerm === undefined) return undefined;
    return { index, term: entryTerm, kind: 'command', payload: new Uint8Array([payloads[index] ?? 0]) };
  };
  return {
    role: role ?? 'follower',
    currentTerm: term,
    votedFor,
    commitIndex: committed ?? 0,
    appliedIndex: applied ?? 0,
    lastIndex: terms.length,
    durableIndex: durable ?? terms.length,
    baseIndex: base,
    baseTerm: terms[base - 1] ?? 0,
    isCatchingUp: catchingUp,
    deadlineMs,
    progress: () => [{ peer: 'b', inFlightMessages: inFlight, inFlightBytes: 0 }],
    termAt: (index) => (index < base ? undefined : index === 0 ? 0 : terms[index - 1]),
    entry,
  };
}

function stateOf({
  applied = 0,
  durablyApplied = applied,
  stateHashes = {},
  formatLevel = 1,
}: Fake): StateMachineView {
  return {
    appliedIndex: applied,
    durableAppliedIndex: durablyApplied,
    formatLevel,
    stateHashAt: (index) => stateHashes[index],
  };
}

const noOutput: Output = {
  ...{ entries: [], messages: [], messagesAfterPersist: [], committed: [], readEntries: [] },
  ...{ reads: [], readsFailed: [], sendSnapshots: [], deadlineMs: 0 },
};
