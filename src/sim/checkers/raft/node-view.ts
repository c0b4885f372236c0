// What the checkers may see of a node, and a mirror of its log that costs nothing while the log stands
// still. The mirror keeps, per index, a hash of the whole log up to there, so that "the logs are identical
// in all entries up through the given index" (Log Matching, Figure 3.2) is one comparison. Checkers never
// change a node.

import { Hash64 } from '../../../base/hash.js';
import type { NodeId } from '../../../base/env.js';
import type { LogEntry, LogIndex, Term } from '../../../raft/types.js';

/** The getters of the production core. */
export interface RaftView {
  readonly role: string;
  readonly currentTerm: Term;
  readonly votedFor: NodeId | undefined;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  /** Entries through here are not in the log any more, and the term of that one; 0, 0 for a log from 1 on. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  readonly lastIndex: LogIndex;
  /** Through here the log is on this node's disk. */
  readonly durableIndex: LogIndex;
  /** Neither votes nor stands for election. */
  readonly isCatchingUp: boolean;
  /** When its timer is due, by its own clock. */
  readonly deadlineMs: number;
  termAt(index: LogIndex): Term | undefined;
  /** The entry if it is in memory. */
  entry(index: LogIndex): LogEntry | undefined;
  /** What a leader knows of its followers; empty in other roles. */
  progress(): readonly PeerView[];
}

export interface PeerView {
  readonly peer: NodeId;
  readonly inFlightMessages: number;
  /** Payload bytes. */
  readonly inFlightBytes: number;
}

/** The getters of the production state machine. */
export interface StateMachineView {
  readonly appliedIndex: LogIndex;
  /** Through here the effects are in the store, durably. */
  readonly durableAppliedIndex: LogIndex;
  readonly formatLevel: number;
  /**
   * Hash of the state after the entry at `index`; `undefined` when it is not kept any more, or not yet
   * known.
   */
  stateHashAt(index: LogIndex): string | undefined;
}

/** A node as it was seen after one event, with what changed in its log since it was seen before. */
export interface Observation {
  readonly nodeId: NodeId;
  /**
   * Counts the starts of the process, from 1. The part below 1 counts the members that it has had in place of
   * its first one: after a snapshot was installed, or a damaged disk was rebuilt.
   */
  readonly incarnation: number;
  readonly role: string;
  readonly currentTerm: Term;
  readonly votedFor: NodeId | undefined;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly durableAppliedIndex: LogIndex;
  /** Of the state; 0 while there is none. */
  readonly formatLevel: number;
  readonly baseIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly durableIndex: LogIndex;
  readonly isCatchingUp: boolean;
  /** How often a damaged disk of this node was about to be replaced. */
  readonly repairsBegun: number;
  readonly log: LogMirror;
  /** Entries from this index on were removed since; `undefined` when none were. */
  readonly truncatedFrom: LogIndex | undefined;
  /** Entries from this index on are new since; lastIndex + 1 when none are. */
  readonly appendedFrom: LogIndex;
  readonly stateMachine: StateMachineView | undefined;
  /** As it is now, also when this is looked at later. */
  readonly raft: RaftView;
}

/**
 * A property of the consensus, checked on each observation that differs from the one before of the same
 * node.
 */
export interface RaftChecker {
  /**
   * `before`: the previous observation of the same incarnation; `undefined` right after a start. `earlier`:
   * then the last one of the incarnation before; `undefined` right after the very first start.
   */
  observe(now: Observation, before: Observation | undefined, earlier: Observation | undefined): void;
}

/**
 * Whether the member, seen for the first time, was made of a disk that had been damaged, so that it may have
 * forgotten what it promised. A repair that was begun came to its end before: cut short, it leaves the damage
 * to be found again, and no member.
 */
export function isRebuilt(now: Observation, earlier: Observation | undefined): boolean {
  return now.isCatchingUp && now.repairsBegun > (earlier?.repairsBegun ?? 0);
}

export class LogMirror {
  /**
   * What the log began after when it was first seen; position 0 stands for it. What is cut off since stays
   * known.
   */
  readonly baseIndex: LogIndex;
  private readonly terms: Term[];
  private readonly hashes: (number | undefined)[];

  /** `baseHash`: of the entries 1 .. baseIndex as others had them; `undefined` when nobody ever did. */
  constructor(baseIndex: LogIndex, baseTerm: Term, baseHash: number | undefined) {
    this.baseIndex = baseIndex;
    this.terms = [baseTerm];
    this.hashes = [baseHash];
  }

  get lastIndex(): LogIndex {
    return this.baseIndex + this.terms.length - 1;
  }

  termAt(index: LogIndex): Term | undefined {
    return this.terms[index - this.baseIndex];
  }

  /** Hash of the entries 1 .. index, a number below 2^53; `undefined` outside baseIndex .. lastIndex. */
  hashAt(index: LogIndex): number | undefined {
    return this.hashes[index - this.baseIndex];
  }

  /**
   * Follows the node's log. `hashOf` gives the hash up to an entry whose payload is not in memory, as other
   * nodes had it with the same index and term. Returns from where entries went and came.
   */
  update(
    raft: RaftView,
    hashOf: (index: LogIndex, term: Term) => number | undefined,
  ): { truncatedFrom: LogIndex | undefined; appendedFrom: LogIndex } {
    const lastBefore = this.lastIndex;
    let common = Math.min(lastBefore, raft.lastIndex);
    // By Log Matching equal terms at an index mean equal logs below it, so the walk stops at the first
    // agreement.
    while (common > this.baseIndex && raft.termAt(common) !== this.termAt(common)) common--;
    this.terms.length = common - this.baseIndex + 1;
    this.hashes.length = this.terms.length;
    for (let index = common + 1; index <= raft.lastIndex; index++) {
      const term = raft.termAt(index) ?? 0;
      const entry = raft.entry(index);
      const known = entry === undefined ? hashOf(index, term) : undefined;
      this.hashes.push(known ?? hashEntry(this.hashAt(index - 1) ?? 0, term, entry));
      this.terms.push(term);
    }
    return {
      truncatedFrom: common < lastBefore ? common + 1 : undefined,
      appendedFrom: common + 1,
    };
  }
}

function hashEntry(previous: number, term: Term, entry: LogEntry | undefined): number {
  const hash = new Hash64().number(previous).number(term);
  if (entry !== undefined) hash.text(entry.kind).number(entry.term).number(entry.index).bytes(entry.payload);
  const [high, low] = hash.words();
  return (high >>> 11) * 0x1_0000_0000 + low;
}
