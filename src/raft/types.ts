// The nouns of the consensus core. Names are those of the Raft paper's Figure 2, spelled out.
//
// Glossary of words that mean one thing here:
//   log            the Raft log; text output for people is `logger`
//   index          a position in the log, from 1; `term` 0 and index 0 stand before the first entry
//   configuration  who votes; options of a program are `config`
//   member         a node in the configuration; `peer`: another member seen from here; `node`: this process
//   leader lease   the read optimisation; a bare `lease` is a client's lease in the store
//   state machine  the application above the log, only
//   durable        on disk and synced; `persisted` is the input that says so

import type { NodeId } from '../base/env.js';

export type { NodeId };

/** Election term, from 1; 0 before the first. */
export type Term = number;

/** Position in the log, from 1; 0 before the first entry. */
export type LogIndex = number;

/**
 * `command`: payload for the state machine. `noop`: the empty entry a new leader commits first (§8).
 * `configuration`: who the members are; entry 1 of every log is one.
 */
export type EntryKind = 'command' | 'noop' | 'configuration';

export interface LogEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Opaque to the core, encoded once; the same bytes go to disk and to the peers. */
  readonly payload: Uint8Array;
}

/** "Persistent state on all servers" (Figure 2), without the log. One record on disk: never half of it. */
export interface HardState {
  readonly currentTerm: Term;
  readonly votedFor: NodeId | undefined;
  /**
   * A commit index known when this was written. Only a lower bound after a restart; recovery uses it to tell
   * a torn tail from damage below what was committed.
   */
  readonly commitIndex: LogIndex;
}

/** Who votes. During joint consensus (§4.3) both majorities are needed. */
export interface Configuration {
  readonly voters: readonly NodeId[];
  /** The voters of C_old while a change is under way, otherwise absent. */
  readonly outgoingVoters?: readonly NodeId[];
  /** "Non-voting members" (§4.2.1): receive the log, are not counted. */
  readonly learners: readonly NodeId[];
}

/** All entries from `firstIndex` up to the next run (or the end of the log) have this term. */
export interface TermRun {
  readonly firstIndex: LogIndex;
  readonly term: Term;
}

/**
 * What the disk holds of the log when a node starts. Terms of all entries are known; payloads only of a
 * suffix, the rest is read with `readEntries`.
 */
export interface RecoveredLog {
  /** The entry just before the first one kept (0, 0 when the log begins at 1): the snapshot point. */
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  readonly lastIndex: LogIndex;
  /** Ascending, no gaps, covers baseIndex+1 .. lastIndex; empty when the log is empty. */
  readonly termRuns: readonly TermRun[];
  /** A contiguous suffix of the log that ends at lastIndex; may be empty. */
  readonly recentEntries: readonly LogEntry[];
}

export interface RecoveredState {
  readonly hardState: HardState;
  readonly log: RecoveredLog;
}
