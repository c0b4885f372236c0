// The core's contract: `step(input) → output`, synchronous. For each output the loop must, in order:
//   1. make `hardState`, `truncateSuffix` and `entries` durable, in one unit of the log. `messages` may
//      leave at once.
//   2. when it is durable: send `messagesAfterPersist`, then feed back `persisted`, as in `persist`.
//      Units become durable in the order in which they were put out; a unit that fails stops the node.
//   3. apply `committed` in order; feed back `applied` for what is applied.
//   4. answer `reads` once the applied index has reached their `readIndex`; fail `readsFailed`.
//   5. re-arm one timer for `deadlineMs`, and feed back `timeout` when it has passed.
// The reason for 1 and 2: what a member promises (a vote, an acknowledgement, its own share of a majority)
// must survive its crash ("Updated on stable storage before responding to RPCs", Figure 2).

import type { Message } from './messages.js';
import type { EntryKind, HardState, LogEntry, LogIndex, NodeId, Term } from './types.js';

/** Every input carries the monotonic time at which it is fed in, never less than before. */
interface Timed {
  readonly now: number;
}

export type Input = Timed &
  (
    | { readonly kind: 'message'; readonly message: Message }
    /**
     * `deadlineMs` has passed. Early or repeated ones are harmless. `isLate`: this process was held up, and
     * what arrived meanwhile has not been fed in yet: a leader sends what is due and judges nothing; another
     * `timeout` without it must follow once all of that is fed in. Only a leader may be fed such a one.
     */
    | { readonly kind: 'timeout'; readonly isLate?: boolean }
    /** New entries from this node's clients. Answered in the same output by `proposal`. */
    | { readonly kind: 'propose'; readonly proposals: readonly Proposal[] }
    /**
     * A unit of output is durable: its `persist`, unchanged (the term tells a completion of an older log
     * apart).
     */
    | { readonly kind: 'persisted'; readonly term: Term; readonly index: LogIndex; readonly sequence: number }
    /** Everything up to `index` has been applied. */
    | { readonly kind: 'applied'; readonly index: LogIndex }
    /** Entries that `readEntries` asked for; none when they could not be read any more. */
    | { readonly kind: 'entriesRead'; readonly reader: EntryReader; readonly entries: readonly LogEntry[] }
    /**
     * Reads wait for a ReadIndex. `requestId` is the caller's, unique within the process and counted from a
     * random start, so that a late answer to an earlier process is recognised; one may stand for many reads.
     */
    | { readonly kind: 'readIndex'; readonly requestId: number }
    /** Hand leadership to `to`, or to the voter that is furthest. No effect when not the leader. */
    | { readonly kind: 'transferLeadership'; readonly to?: NodeId }
    /** The link to a peer was closed or refused: a hint for timing, never for safety. */
    | { readonly kind: 'peerDown'; readonly peer: NodeId }
    /** A link to a peer was opened; what was in flight before is lost. */
    | { readonly kind: 'peerUp'; readonly peer: NodeId }
    /**
     * The state machine's store holds everything through `index`, durably: the log forgets its entries
     * through it. At most the applied and the durable index; nothing happens at or below the log's base. The
     * loop truncates its own log after this step, never before it.
     */
    | { readonly kind: 'truncatePrefix'; readonly index: LogIndex }
    /**
     * The sending that `sendSnapshots` asked for has ended. `installed`: the peer says that it holds all of
     * it; otherwise it was broken off, for whatever reason.
     */
    | { readonly kind: 'snapshotEnded'; readonly peer: NodeId; readonly installed: boolean }
    /**
     * The peer has lost what it acknowledged: its disk was damaged. What is known of its log starts from
     * nothing. From here on no message of its earlier processes may be fed in.
     */
    | { readonly kind: 'peerReset'; readonly peer: NodeId }
    /** This member's log again holds everything that it may have acknowledged: it may vote from now on. */
    | { readonly kind: 'caughtUp' }
  );

export interface Proposal {
  readonly kind: EntryKind;
  readonly payload: Uint8Array;
}

/** Who needs entries that are not in memory any more: the state machine, or the replication to a peer. */
export type EntryReader = { readonly for: 'apply' } | { readonly for: 'peer'; readonly peer: NodeId };

export interface ReadEntriesRequest {
  readonly reader: EntryReader;
  readonly firstIndex: LogIndex;
  /** Inclusive. */
  readonly lastIndex: LogIndex;
  /** Stop after the entry that reaches this; at least one entry is read. */
  readonly bytesMax: number;
}

/** One unit that must become durable. Fed back as `persisted` with the same three numbers. */
export interface Persist {
  /** The currentTerm when the unit was put out. */
  readonly term: Term;
  /** The last index of the log when the unit was put out. */
  readonly index: LogIndex;
  /** Grows by one with each unit of this process. */
  readonly sequence: number;
}

export type ProposalResult =
  | { readonly accepted: true; readonly term: Term; readonly firstIndex: LogIndex }
  /** `tooMuch`: uncommitted bytes over `uncommittedBytesMax`. Nothing was appended. */
  | { readonly accepted: false; readonly reason: 'notLeader' | 'transferring' | 'tooMuch' };

export interface ConfirmedRead {
  readonly requestId: number;
  readonly readIndex: LogIndex;
}

/**
 * Two histories under the same indexes: an entry that a member knows to be committed is not in the log of the
 * leader that a majority elected after it. No fault that the protocol survives brings that about; a disk that
 * was set back to an earlier time does.
 */
export interface Contradiction {
  readonly term: Term;
  readonly leaderId: NodeId;
  /** Whose committed entry it is. This member is the one or the other. */
  readonly memberId: NodeId;
  readonly index: LogIndex;
  /** `undefined`: the member named no term. */
  readonly memberTerm: Term | undefined;
  /** `undefined`: the leader's log ends before `index`. */
  readonly leaderTerm: Term | undefined;
}

export interface Output {
  /**
   * At the member it is the end: nothing else of this output may be carried out, and nothing be answered any
   * more. At the leader it is a fact to tell; named again as long as the member is heard.
   */
  readonly contradiction?: Contradiction;
  /** Present when anything of 1. must be made durable. */
  readonly persist?: Persist;
  readonly hardState?: HardState;
  /** Remove all entries from this index on, before `entries` are appended. */
  readonly truncateSuffix?: LogIndex;
  readonly entries: readonly LogEntry[];
  readonly messages: readonly Message[];
  /** Leave after `persist` is durable, or at once without one; never before an earlier unit is durable. */
  readonly messagesAfterPersist: readonly Message[];
  readonly committed: readonly LogEntry[];
  readonly readEntries: readonly ReadEntriesRequest[];
  /**
   * Peers that need entries which the log does not hold any more: each is to be sent a snapshot, and the end
   * of that is fed back as `snapshotEnded`. Named once each time a peer enters mode `snapshot`.
   */
  readonly sendSnapshots: readonly NodeId[];
  readonly reads: readonly ConfirmedRead[];
  /** These ReadIndex requests got no answer: no leader, or leadership changed. May be asked again. */
  readonly readsFailed: readonly number[];
  /** Answer to a `propose` input. */
  readonly proposal?: ProposalResult;
  /** When the next `timeout` is due, in the time of `now`. */
  readonly deadlineMs: number;
}
