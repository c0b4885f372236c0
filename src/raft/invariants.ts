// What must hold of one member after every step, and between two steps. Run after every step in tests and in
// the simulator, not in production. What holds between members (one leader per term, one log) is for those
// who see all of them. It reads, and never repairs. Source: Figure 3.2; the idea is LogCabin's
// RaftConsensusInvariants.

import { assert } from '../base/assert.js';
import type { PeerProgress, Raft } from './raft.js';
import type { LogIndex, NodeId, Term } from './types.js';

/** The member as it was. A few numbers; the log itself is looked up in the live one. */
export interface RaftSnapshot {
  readonly raft: Raft;
  readonly role: Raft['role'];
  readonly currentTerm: Term;
  readonly votedFor: NodeId | undefined;
  readonly leaderId: NodeId | undefined;
  readonly isCatchingUp: boolean;
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  readonly durableIndex: LogIndex;
  readonly commitIndex: LogIndex;
  readonly commitTerm: Term | undefined;
  readonly handedOutIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly appliedTerm: Term | undefined;
  readonly progress: readonly PeerProgress[];
}

/** Takes what `checkInvariants` compares. */
export function snapshotOf(raft: Raft): RaftSnapshot {
  return {
    raft,
    role: raft.role,
    currentTerm: raft.currentTerm,
    votedFor: raft.votedFor,
    leaderId: raft.leaderId,
    isCatchingUp: raft.isCatchingUp,
    baseIndex: raft.baseIndex,
    baseTerm: raft.baseTerm,
    lastIndex: raft.lastIndex,
    lastTerm: raft.lastTerm,
    durableIndex: raft.durableIndex,
    commitIndex: raft.commitIndex,
    commitTerm: raft.termAt(raft.commitIndex),
    handedOutIndex: raft.handedOutIndex,
    appliedIndex: raft.appliedIndex,
    appliedTerm: raft.termAt(raft.appliedIndex),
    progress: raft.progress(),
  };
}

/**
 * Throws `AssertionError` if one step cannot lead from `before` to `after`, which must be the member as it is
 * now.
 */
export function checkInvariants(before: RaftSnapshot, after: RaftSnapshot): void {
  checkState(after);
  checkLogEnds(after);
  if (after.role === 'leader') checkLeader(after);
  checkChange(before, after);
  checkBaseChange(before, after);
  if (before.role === 'leader' && before.currentTerm === after.currentTerm) checkLeaderChange(before, after);
}

function checkState(now: RaftSnapshot): void {
  check(now, now.appliedIndex <= now.handedOutIndex, 'applied entries were handed out');
  check(now, now.handedOutIndex <= now.commitIndex, 'entries handed out are committed');
  check(now, now.handedOutIndex <= now.durableIndex, 'entries handed out are durable here');
  check(now, now.commitIndex <= now.lastIndex, 'committed entries are in the log');
  check(now, now.durableIndex <= now.lastIndex, 'durable entries are in the log');
  check(now, now.lastTerm <= now.currentTerm, 'no entry is of a later term than currentTerm');
  check(now, Number.isFinite(now.raft.deadlineMs), 'there is always a next timeout');
  const follows = now.role === 'follower';
  check(now, !now.isCatchingUp || follows, 'a member that catches up does not stand for election');
  const campaigns = now.role === 'candidate' || now.role === 'leader';
  check(now, !campaigns || now.votedFor === now.raft.nodeId, 'candidates and leaders voted for themselves');
}

/** The log at its ends and where it is looked up most; walking through all of it would cost too much. */
function checkLogEnds(now: RaftSnapshot): void {
  const { raft, baseIndex, baseTerm, lastIndex } = now;
  check(now, baseIndex <= now.appliedIndex, 'the log keeps what is not applied');
  check(now, baseIndex <= now.durableIndex, 'the log keeps what is not durable');
  check(now, raft.termAt(baseIndex) === baseTerm, 'the term of the entry before the log is known');
  check(now, raft.termAt(lastIndex) === now.lastTerm, 'the last entry has the last term');
  check(now, raft.termAt(baseIndex - 1) === undefined, 'nothing is known from before the base');
  let previous = baseTerm;
  for (const index of [baseIndex + 1, now.appliedIndex, now.commitIndex, lastIndex]) {
    if (index > lastIndex || index <= baseIndex) continue;
    const term = raft.termAt(index);
    check(now, term !== undefined && term >= previous, `entry ${index} has a term, not below earlier ones`);
    previous = term ?? previous;
  }
}

function checkLeader(now: RaftSnapshot): void {
  check(now, now.leaderId === now.raft.nodeId, 'a leader knows that it leads');
  for (const { peer, mode, matchIndex, nextIndex, inFlightMessages } of now.progress) {
    checkPeer(now, matchIndex >= 0 && matchIndex < nextIndex, '0 <= matchIndex < nextIndex', peer);
    checkPeer(now, nextIndex <= now.lastIndex + 1, 'nextIndex is at most one past the log', peer);
    const sendsAhead = mode === 'replicate';
    checkPeer(
      now,
      sendsAhead || inFlightMessages === 0,
      'only while replicating is anything sent ahead',
      peer,
    );
    const isInLog = nextIndex > now.baseIndex;
    checkPeer(now, isInLog === (mode !== 'snapshot'), 'a snapshot is for what the log lacks', peer);
  }
}

function checkChange(before: RaftSnapshot, after: RaftSnapshot): void {
  check(after, before.raft === after.raft, 'both snapshots are of one member');
  // "latest term server has seen (…increases monotonically)"; "index of highest log entry known to be
  // committed (…increases monotonically)"; "…applied to state machine (…increases monotonically)" (Figure 2).
  check(after, after.currentTerm >= before.currentTerm, 'currentTerm does not go back');
  check(after, after.commitIndex >= before.commitIndex, 'commitIndex does not go back');
  check(after, after.handedOutIndex >= before.handedOutIndex, 'nothing is handed out twice');
  check(after, after.appliedIndex >= before.appliedIndex, 'appliedIndex does not go back');
  const committedTerm = after.raft.termAt(before.commitIndex);
  check(after, committedTerm === before.commitTerm, 'a committed entry is not replaced');
  if (after.currentTerm === before.currentTerm) {
    const isVoteFree = !after.isCatchingUp || after.votedFor === before.votedFor;
    check(after, isVoteFree, 'a member that catches up gives no vote');
    const keepsVote = before.votedFor === undefined || after.votedFor === before.votedFor;
    check(after, keepsVote, 'a vote changes only with the term');
    const keepsLeader =
      before.leaderId === undefined || after.leaderId === undefined || after.leaderId === before.leaderId;
    check(after, keepsLeader, 'a term has one leader');
    check(
      after,
      before.role === 'leader' || after.role !== 'leader' || before.role === 'candidate',
      'only a candidate wins',
    );
  } else {
    const isVoteFree = !after.isCatchingUp || after.votedFor === undefined;
    check(after, isVoteFree, 'a member that catches up gives no vote in a new term');
    check(after, after.role !== 'leader', 'nobody leads a term without having been a candidate in it');
  }
}

function checkBaseChange(before: RaftSnapshot, after: RaftSnapshot): void {
  check(after, before.isCatchingUp || !after.isCatchingUp, 'a member does not lose its log while it runs');
  check(after, after.baseIndex >= before.baseIndex, 'what was truncated does not come back');
  const known = [
    [before.baseIndex, before.baseTerm],
    [before.appliedIndex, before.appliedTerm],
  ] as const;
  for (const [index, term] of known) {
    if (after.baseIndex === index)
      check(after, after.baseTerm === term, 'the base keeps the term of its entry');
  }
}

function checkLeaderChange(before: RaftSnapshot, after: RaftSnapshot): void {
  // "Leader Append-Only: a leader never overwrites or deletes entries in its log; it only appends new
  // entries".
  check(after, after.lastIndex >= before.lastIndex, 'a leader does not shorten its log');
  check(
    after,
    after.raft.termAt(before.lastIndex) === before.lastTerm,
    'a leader does not overwrite its log',
  );
  check(after, after.role === 'leader' || after.role === 'follower', 'a leader that stops leading follows');
  if (after.role !== 'leader') return;
  for (const [position, { peer, matchIndex, resetCount }] of before.progress.entries()) {
    // Peers keep their order; only a change of the configuration moves them.
    const same = after.progress[position];
    const now = same?.peer === peer ? same : after.progress.find((candidate) => candidate.peer === peer);
    checkPeer(after, now !== undefined && now.resetCount >= resetCount, 'no peer is forgotten', peer);
    if (now?.resetCount !== resetCount) checkPeer(after, now?.matchIndex === 0, 'starts from nothing', peer);
    else checkPeer(after, now.matchIndex >= matchIndex, 'matchIndex does not go back', peer);
  }
  if (after.commitIndex === before.commitIndex) return;
  check(
    after,
    after.commitTerm === after.currentTerm,
    'a leader commits by counting in its own term only (§3.6.2)',
  );
}

/** As `check`; the words are put together only when they are needed. */
function checkPeer(now: RaftSnapshot, condition: boolean, rule: string, peer: NodeId): void {
  if (!condition) check(now, false, `${rule}, as seen of ${peer}`);
}

function check(now: RaftSnapshot, condition: boolean, rule: string): void {
  if (condition) return;
  const { nodeId, role, currentTerm, lastIndex, commitIndex } = now.raft;
  const where = `${nodeId}, ${role} in term ${currentTerm}, log to ${lastIndex}, committed to ${commitIndex}`;
  assert(false, `invariant broken: ${rule} (${where})`);
}
