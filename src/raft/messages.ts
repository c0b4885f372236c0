// What the members say to each other: one union member per RPC of the paper and per result. All are
// idempotent and may be lost, doubled, delayed and reordered by the network; no rule of the core depends on
// any of that not happening.

import type { LogEntry, LogIndex, NodeId, Term } from './types.js';

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  /** The sender's currentTerm, except in pre-vote messages, where it is said below. */
  readonly term: Term;
}

/**
 * Would you vote for me in `term`? (§9.6.) `term` is the sender's currentTerm + 1; the receiver adopts
 * nothing.
 */
export interface PreVote extends Envelope {
  readonly kind: 'preVote';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
}

/** Why a vote is not given. For people: nothing is decided by it. */
export type VoteRefusal = 'leaderAlive' | 'logBehind' | 'voted' | 'termOver' | 'catchingUp';

/** `term`: of the request when granted, else the responder's currentTerm, so that a laggard can catch up. */
export interface PreVoteResult extends Envelope {
  readonly kind: 'preVoteResult';
  readonly voteGranted: boolean;
  /** `undefined` when it is granted. */
  readonly refusal: VoteRefusal | undefined;
}

/** RequestVote RPC (Figure 2). */
export interface RequestVote extends Envelope {
  readonly kind: 'requestVote';
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
  /** Sent because of TimeoutNow: answered even by members that hear from a leader (§4.2.3, §3.10). */
  readonly leadershipTransfer: boolean;
}

export interface RequestVoteResult extends Envelope {
  readonly kind: 'requestVoteResult';
  readonly voteGranted: boolean;
  /** `undefined` when it is granted. */
  readonly refusal: VoteRefusal | undefined;
}

/** AppendEntries RPC (Figure 2) with entries; the empty one is `heartbeat`. */
export interface AppendEntries extends Envelope {
  readonly kind: 'appendEntries';
  readonly prevLogIndex: LogIndex;
  readonly prevLogTerm: Term;
  /** Contiguous from prevLogIndex + 1. Empty only as a probe. */
  readonly entries: readonly LogEntry[];
  readonly leaderCommit: LogIndex;
}

/**
 * Sent when the follower's log, durably, matches through `matchIndex` (success), or where it does not
 * (otherwise).
 */
export interface AppendEntriesResult extends Envelope {
  readonly kind: 'appendEntriesResult';
  readonly success: boolean;
  /**
   * On success the last index known to match and durable; otherwise the request's prevLogIndex that was
   * refused.
   */
  readonly matchIndex: LogIndex;
  /**
   * On failure: an index at or below which the logs may agree, and the follower's term there (§5.3); never
   * below what the follower knows to be committed. Else 0.
   */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
}

/** Asserts leadership, opens a ReadIndex round, and tells how far the receiver may commit. */
export interface Heartbeat extends Envelope {
  readonly kind: 'heartbeat';
  /**
   * Capped at what the leader knows to match on this follower, so that a divergent tail is never committed.
   */
  readonly leaderCommit: LogIndex;
  /**
   * Grows by one with each broadcast of a leader in its term; its acknowledgement confirms all reads up to
   * it.
   */
  readonly round: number;
}

export interface HeartbeatResult extends Envelope {
  readonly kind: 'heartbeatResult';
  /** Of the heartbeat answered; 0, which acknowledges nothing, when that one was of an earlier term. */
  readonly round: number;
  /** What the follower knows to be committed, and the term of that entry: the leader must hold the same. */
  readonly commitIndex: LogIndex;
  readonly commitTerm: Term;
}

/** The leader does not hold what the receiver said to be committed (contradictions.ts). */
export interface HistoryDiffers extends Envelope {
  readonly kind: 'historyDiffers';
  readonly index: LogIndex;
  /** Of the leader's entry at `index`; 0: its log ends before that. */
  readonly leaderTerm: Term;
}

/** A follower asks where it must have applied to, to answer the reads it carries (§6.4). */
export interface ReadIndexRequest extends Envelope {
  readonly kind: 'readIndex';
  /** The follower's own number of the request, unique within its process; not in any order. */
  readonly requestId: number;
}

export interface ReadIndexResult extends Envelope {
  readonly kind: 'readIndexResult';
  readonly requestId: number;
  readonly readIndex: LogIndex;
}

/** Leadership transfer (§3.10): start an election at once. */
export interface TimeoutNow extends Envelope {
  readonly kind: 'timeoutNow';
}

export type Message =
  | PreVote
  | PreVoteResult
  | RequestVote
  | RequestVoteResult
  | AppendEntries
  | AppendEntriesResult
  | Heartbeat
  | HeartbeatResult
  | HistoryDiffers
  | ReadIndexRequest
  | ReadIndexResult
  | TimeoutNow;
