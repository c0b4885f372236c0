// What the checkers may see of a node, and a mirror of its log that costs nothing while the log stands
// still. The mirror keeps, per index, a hash of the whole log up to there, so that "the logs are identical
// in all entries up through the given index" (Log Matching, Figure 3.2) is one comparison. Checkers never
// change a node.

import { Hash64 } from '../../base/hash.js';
import type { NodeId } from '../../base/env.js';
import type { LogEntry, LogIndex, Term } from '../../raft/types.js';

/** The getters of the production core. */
export interface RaftView {
  readonly role: string;
  readonly currentTerm: Term;
  readonly votedFor: NodeId | undefined;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  /** Through here the log is on this node's disk. */
  readonly durableIndex: LogIndex;
  termAt(index: LogIndex): Term | undefined;
  /** The entry if it is in memory. */
  entry(index: LogIndex): LogEntry | undefined;
}

/** The getters of the production state machine. */
export interface StateMachineView {
  readonly appliedIndex: LogIndex;
  /**
   * Hash of the state after the entry at `index`; `undefined` when it is not kept any more, or not yet
   * known.
   */
  stateHashAt(index: LogIndex): string | undefined;
}

/** A node as it was seen after one event, with what changed in its log since it was seen before. */
export interface Observation {
  readonly nodeId: NodeId;
  /** Counts the starts of the node, from 1. */
  readonly incarnation: number;
  readonly role: string;
  readonly currentTerm: Term;
  readonly votedFor: NodeId | undefined;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly durableIndex: LogIndex;
  readonly log: LogMirror;
  /** Entries from this index on were removed since; `undefined` when none were. */
  readonly truncatedFrom: LogIndex | undefined;
  /** Entries from this index on are new since; lastIndex + 1 when none are. */
  readonly appendedFrom: LogIndex;
  readonly stateMachine: StateMachineView | undefined;
}

/**
 * A property of the consensus, checked on each observation that differs from the one before of the same
 * node.
 */
export interface RaftChecker {
  /** `before`: the previous observation of the same incarnation; `undefined` right after a start. */
  observe(now: Observation, before: Observation | undefined): void;
}

export class LogMirror {
  /** Position 0 stands for "before the first entry". */
  private readonly terms: Term[] = [0];
  private readonly hashes: number[] = [0];

  get lastIndex(): LogIndex {
    return this.terms.length - 1;
  }

  termAt(index: LogIndex): Term | undefined {
    return this.terms[index];
  }

  /** Hash of the entries 1 .. index, a number below 2^53; `undefined` beyond the log. */
  hashAt(index: LogIndex): number | undefined {
    return this.hashes[index];
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
    while (common > 0 && raft.termAt(common) !== this.terms[common]) common--;
    this.terms.length = common + 1;
    this.hashes.length = common + 1;
    for (let index = common + 1; index <= raft.lastIndex; index++) {
      const term = raft.termAt(index) ?? 0;
      const entry = raft.entry(index);
      const known = entry === undefined ? hashOf(index, term) : undefined;
      this.hashes.push(known ?? hashEntry(this.hashes[index - 1] ?? 0, term, entry));
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
