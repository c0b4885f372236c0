// Everything a member knows, as one plain object that the files of the concerns share, and the union of its
// roles. What only a leader has is in the leader's member of the union: no other role can read it, and losing
// the role drops it. Only `roles` replaces the role; only `raft` makes this object. Source: Figure 2,
// "State".

import type { Prng } from '../base/prng.js';
import type { ApplyQueue } from './apply-queue.js';
import type { ByteWindow } from './byte-window.js';
import type { RaftConfig } from './config.js';
import type { Log } from './log.js';
import type { OutputCollector } from './output.js';
import type { Progress } from './progress.js';
import type { Refusals } from './refusals.js';
import type { ReadRounds } from './read-rounds.js';
import type { Configuration, LogIndex, NodeId, Term } from './types.js';
import type { UnitQueue } from './unit-queue.js';

export interface RaftState {
  readonly nodeId: NodeId;
  readonly config: RaftConfig;
  readonly configuration: Configuration;
  readonly prng: Prng;
  readonly log: Log;
  readonly units: UnitQueue;
  readonly apply: ApplyQueue;
  readonly output: OutputCollector;
  /**
   * Peers for which a `readEntries` is out. Outlives the leadership it was asked in, so that it stays one a
   * peer.
   */
  readonly peerReads: Set<NodeId>;
  /** What voters answered since there was a leader. */
  readonly refusals: Refusals;
  /** The time of the input that is being processed, ms. Never goes back. */
  now: number;
  /** "latest term server has seen (initialized to 0 on first boot, increases monotonically)". */
  currentTerm: Term;
  /**
   * "candidateId that received vote in current term (or null if none)". Changes from undefined, or with the
   * term.
   */
  votedFor: NodeId | undefined;
  /**
   * The log may have lost entries that this member acknowledged: it follows and acknowledges, but neither
   * votes nor stands for election. Ends with `caughtUp`, and does not begin in a process.
   */
  isCatchingUp: boolean;
  /** Whether currentTerm or votedFor changed in this step. */
  hardStateChanged: boolean;
  /** "index of highest log entry known to be committed (…increases monotonically)". At most lastIndex. */
  commitIndex: LogIndex;
  /** The commit index in the last HardState that was put out. At most commitIndex. */
  commitIndexPutOut: LogIndex;
  role: Role;
}

export type Role = Follower | PreCandidate | Candidate | Leader;

/** Follows the leader of currentTerm, or waits for one. Learners and members that catch up always follow. */
export interface Follower {
  readonly name: 'follower';
  /** The leader of currentTerm once one was heard from. */
  readonly leaderId: NodeId | undefined;
  /** When the leader was last heard from, ms; -Infinity without a leader. */
  leaderHeardMs: number;
  /** The link to the leader broke after it was last heard from. A hint: changes timing only. */
  isLeaderLinkDown: boolean;
  /** The log agrees with this leader's through here, by its AppendEntries. At most lastIndex. */
  verifiedIndex: LogIndex;
  /** A pre-vote begins when this has passed, ms. */
  electionDeadlineMs: number;
  /** The unit with the vote that this member gave; undefined once that is durable, and if there is none. */
  grantSequence: number | undefined;
  /** ReadIndex requests of this node that the leader has not answered, as asked; at most readsMax. */
  readonly waitingReads: number[];
}

/** Asks whether it could win, without a new term (§9.6). */
export interface PreCandidate {
  readonly name: 'precandidate';
  readonly votes: Map<NodeId, boolean>;
  electionDeadlineMs: number;
}

export interface Candidate {
  readonly name: 'candidate';
  /** Its own vote is in here only once it is durable. */
  readonly votes: Map<NodeId, boolean>;
  /** The unit that holds its own vote. */
  readonly voteSequence: number;
  /** Members that hear from a leader answer all the same: that leader asked for it (§4.2.3). */
  readonly leadershipTransfer: boolean;
  /** Counts from when its own vote is durable: before that nobody has been asked. */
  electionDeadlineMs: number;
}

export interface Leader {
  readonly name: 'leader';
  /** One for each other member, voter or learner. */
  readonly progress: ReadonlyMap<NodeId, Progress>;
  /** The last heartbeat round that was sent; grows by one with each broadcast of this leader. */
  round: number;
  /** When the timer is due that broadcasts one and looks whether this member may still lead. */
  nextHeartbeatMs: number;
  /**
   * When to tell followers of a commit that no append has told them, ms; Infinity when nothing is to tell.
   */
  commitNoticeMs: number;
  readonly reads: ReadRounds;
  /** Proposals of this leader that are not committed. */
  readonly uncommitted: ByteWindow;
  /** While leadership is handed over, proposals are refused (§3.10). */
  transfer: Transfer | undefined;
}

export interface Transfer {
  readonly target: NodeId;
  /** When the hand-over is given up, ms. */
  readonly deadlineMs: number;
}
