// Leader election: pre-votes, votes, and when to ask for them. Pre-vote is always on, and members that hear
// from a live leader refuse both kinds of request, so that nobody cut off can disrupt the others when it
// comes back. A vote leaves only when it is on disk. Source: Raft dissertation §3.4, §3.6.1, §4.2.3, §9.6;
// Figure 2 RequestVote.

import { assert } from '../base/assert.js';
import type { PreVote, PreVoteResult, RequestVote, RequestVoteResult, VoteRefusal } from './messages.js';
import { sendResult } from './output.js';
import { peersOf, isVoter, voteResult } from './quorum.js';
import { appendAsLeader } from './replication.js';
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  canCampaign,
  disksTakeMs,
  newElectionDeadlineMs,
} from './roles.js';
import type { Candidate, Follower, PreCandidate, RaftState } from './state.js';
import type { LogIndex, NodeId, Term } from './types.js';

/**
 * The election timer of a member that is not leader. "If election timeout elapses …: convert to candidate"
 * (Figure 2).
 */
export function electionTimeout(state: RaftState, role: Follower | PreCandidate | Candidate): void {
  if (state.now < role.electionDeadlineMs) return;
  if (!canCampaign(state)) {
    // A learner, or a member that catches up, only forgets the leader that went silent.
    becomeFollower(state, state.currentTerm, undefined).electionDeadlineMs = newElectionDeadlineMs(state);
    return;
  }
  if (!isDiskIdle(state)) {
    // Entries received but not durable may already be part of a majority by the time they are, and a disk
    // that hangs cannot serve as a leader's: wait for it, a short while at a time.
    role.electionDeadlineMs = state.now + state.config.heartbeatIntervalMs;
    if (role.name === 'follower' && role.leaderId !== undefined) {
      becomeFollower(state, state.currentTerm, undefined).electionDeadlineMs = role.electionDeadlineMs;
    }
    return;
  }
  startPreVote(state);
}

/** Asks all voters whether they would vote for this member in the next term. */
export function startPreVote(state: RaftState): void {
  const precandidate = becomePreCandidate(state);
  for (const to of peersOf(state.configuration, state.nodeId)) {
    if (isVoter(state.configuration, to)) preVote(state, to);
  }
  countPreVotes(state, precandidate);
}

/**
 * Stands for election in the next term. Precondition: the disk is idle. `leadershipTransfer`: the leader of
 * this term asked for it, so that members that hear from that leader answer all the same (§4.2.3).
 */
export function campaign(state: RaftState, options: { leadershipTransfer: boolean }): void {
  assert(canCampaign(state), 'only a voter campaigns');
  assert(isDiskIdle(state), 'a member with a unit under way does not campaign');
  const candidate = becomeCandidate(state, options.leadershipTransfer);
  for (const to of peersOf(state.configuration, state.nodeId)) {
    if (isVoter(state.configuration, to)) requestVote(state, candidate, to);
  }
}

/**
 * A unit became durable: if it holds this candidate's own vote, that vote counts from now on, and the others
 * are asked only now. How long that may take is up to their disks, which may be as slow as this one.
 */
export function countOwnVote(state: RaftState, candidate: Candidate, sequence: number): void {
  if (sequence < candidate.voteSequence || candidate.votes.has(state.nodeId)) return;
  candidate.votes.set(state.nodeId, true);
  candidate.electionDeadlineMs = newElectionDeadlineMs(state) + disksTakeMs(state);
  countVotes(state, candidate);
}

/** A unit became durable: if it holds the vote that was given, its candidate has that only from now on. */
export function noteGrantDurable(state: RaftState, follower: Follower, sequence: number): void {
  if (follower.grantSequence === undefined || sequence < follower.grantSequence) return;
  follower.grantSequence = undefined;
  if (follower.leaderId !== undefined) return;
  follower.electionDeadlineMs = newElectionDeadlineMs(state) + disksTakeMs(state);
}

/** A link to the peer was opened: what it was asked on the one before is lost. */
export function askAgain(state: RaftState, role: PreCandidate | Candidate, peer: NodeId): void {
  if (peer === state.nodeId || !isVoter(state.configuration, peer)) return;
  if (role.name === 'precandidate') preVote(state, peer);
  else requestVote(state, role, peer);
}

/** "Would you vote for me in `term`?" Changes nothing here: neither term, nor vote, nor timer. */
export function handlePreVote(state: RaftState, message: PreVote): void {
  const voteGranted =
    message.term > state.currentTerm &&
    !state.isCatchingUp &&
    !isLeaderAlive(state) &&
    isUpToDate(state, message.lastLogIndex, message.lastLogTerm);
  sendResult(state, {
    kind: 'preVoteResult',
    from: state.nodeId,
    to: message.from,
    // A refusal says the responder's own term: a member that slept through elections learns it and asks again
    // above it. Otherwise it could be the one that is needed for a quorum and never ask in a term that others
    // accept (etcd#8243).
    term: voteGranted ? message.term : state.currentTerm,
    voteGranted,
    refusal: voteGranted ? undefined : preVoteRefusal(state, message),
  });
}

/**
 * Precondition: the term is not above currentTerm unless it is a grant for the term this member asked about.
 */
export function handlePreVoteResult(state: RaftState, message: PreVoteResult): void {
  const { role } = state;
  // Late answers: the pre-vote is over. They are never votes (canonical/raft#196).
  if (role.name !== 'precandidate') return;
  if (message.voteGranted && message.term !== state.currentTerm + 1) return;
  recordVote(state, role, message);
  countPreVotes(state, role);
}

/**
 * Whether a RequestVote of a higher term is not even heard: "if a server receives a RequestVote request
 * within the minimum election timeout of hearing from a current leader, it does not update its term or grant
 * its vote" (§4.2.3).
 */
export function isDisruptive(state: RaftState, message: RequestVote): boolean {
  return !message.leadershipTransfer && isLeaderAlive(state);
}

/** RequestVote RPC, receiver (Figure 2). Precondition: the message's term is currentTerm. */
export function handleRequestVote(state: RaftState, message: RequestVote): void {
  // "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as receiver's log,
  // grant vote".
  const isFree = state.votedFor === undefined || state.votedFor === message.from;
  // While it catches up, its log is no measure: a committed entry that it acknowledged and lost would not be
  // missed in the candidate's ("the voter denies its vote if its own log is more up-to-date", §3.6.1).
  const voteGranted =
    isFree && !state.isCatchingUp && isUpToDate(state, message.lastLogIndex, message.lastLogTerm);
  const result = {
    kind: 'requestVoteResult',
    from: state.nodeId,
    to: message.from,
    term: state.currentTerm,
    voteGranted,
    refusal: voteGranted ? undefined : isFree ? logRefusal(state) : 'voted',
  } as const;
  if (!voteGranted) {
    sendResult(state, result);
    return;
  }
  if (state.votedFor === undefined) {
    state.votedFor = message.from;
    state.hardStateChanged = true;
  }
  // Who gave its vote does not stand against the one it gave it to.
  if (state.role.name === 'precandidate') becomeFollower(state, state.currentTerm, undefined);
  // "without receiving AppendEntries RPC from current leader or granting vote to candidate" (Figure 2,
  // Followers).
  if (state.role.name === 'follower') {
    state.role.electionDeadlineMs = newElectionDeadlineMs(state);
    state.role.grantSequence = state.hardStateChanged ? state.units.nextSequence : state.units.lastSequence;
  }
  // Also for a repeated request: the grant that it repeats may not be durable yet, and the first answer may
  // be lost.
  state.output.sendAfterPersist(result);
}

/** Precondition: the message's term is currentTerm. */
export function handleRequestVoteResult(state: RaftState, message: RequestVoteResult): void {
  const { role } = state;
  if (role.name !== 'candidate') return;
  recordVote(state, role, message);
  countVotes(state, role);
}

/** Answers a vote request from a term that is over, so that the sender learns of this one. */
export function refuseOldVoteRequest(state: RaftState, to: NodeId): void {
  sendResult(state, {
    kind: 'requestVoteResult',
    from: state.nodeId,
    to,
    term: state.currentTerm,
    voteGranted: false,
    refusal: 'termOver',
  });
}

/**
 * The link to `peer` broke. If it was the leader's, its process is probably dead: do not wait for the
 * election timeout. Timing only; should the leader be alive, it restores everything with its next message.
 */
export function noteLinkDown(state: RaftState, peer: NodeId): void {
  const { role, config } = state;
  if (role.name !== 'follower' || role.leaderId !== peer || role.isLeaderLinkDown) return;
  role.isLeaderLinkDown = true;
  const waitMs = state.prng.integer(config.linkDownElectionMsMin, config.linkDownElectionMsMax);
  role.electionDeadlineMs = Math.min(role.electionDeadlineMs, state.now + waitMs);
}

/** Whether nothing that this member put out for its disk is still under way. */
export function isDiskIdle(state: RaftState): boolean {
  return state.units.isEmpty && !state.output.changesLog && !state.hardStateChanged;
}

/** Why a pre-vote is refused that is. */
function preVoteRefusal(state: RaftState, message: PreVote): VoteRefusal {
  if (isLeaderAlive(state)) return 'leaderAlive';
  return message.term > state.currentTerm ? logRefusal(state) : 'termOver';
}

function logRefusal({ isCatchingUp }: RaftState): VoteRefusal {
  return isCatchingUp ? 'catchingUp' : 'logBehind';
}

function preVote(state: RaftState, to: NodeId): void {
  state.refusals.asked(to);
  state.output.send({
    kind: 'preVote',
    from: state.nodeId,
    to,
    term: state.currentTerm + 1,
    lastLogIndex: state.log.lastIndex,
    lastLogTerm: state.log.lastTerm,
  });
}

function requestVote(state: RaftState, { leadershipTransfer }: Candidate, to: NodeId): void {
  state.output.sendAfterPersist({
    kind: 'requestVote',
    from: state.nodeId,
    to,
    term: state.currentTerm,
    lastLogIndex: state.log.lastIndex,
    lastLogTerm: state.log.lastTerm,
    leadershipTransfer,
  });
}

/** A grant stays: a refusal after it answers an older request, from before this member's present term. */
function recordVote(
  state: RaftState,
  role: PreCandidate | Candidate,
  result: PreVoteResult | RequestVoteResult,
): void {
  state.refusals.answered(result.from, result.voteGranted, result.refusal);
  if (result.voteGranted || !role.votes.has(result.from)) role.votes.set(result.from, result.voteGranted);
}

function countPreVotes(state: RaftState, precandidate: PreCandidate): void {
  const result = voteResult(state.configuration, precandidate.votes);
  if (result === 'lost') becomeFollower(state, state.currentTerm, undefined);
  if (result === 'won') campaign(state, { leadershipTransfer: false });
}

function countVotes(state: RaftState, candidate: Candidate): void {
  const result = voteResult(state.configuration, candidate.votes);
  if (result === 'lost') {
    // Nobody's disk has to be waited for any more.
    becomeFollower(state, state.currentTerm, undefined).electionDeadlineMs = newElectionDeadlineMs(state);
  }
  if (result !== 'won') return;
  const leader = becomeLeader(state);
  // "it must have each leader commit a blank no-op entry into the log at the start of its term" (§8; §6.4).
  appendAsLeader(state, leader, [{ kind: 'noop', payload: new Uint8Array(0) }]);
}

/** Whether a leader of this term is known to be there, this member itself included. */
function isLeaderAlive(state: RaftState): boolean {
  const { role } = state;
  if (role.name === 'leader') return true;
  if (role.name !== 'follower' || role.leaderId === undefined || role.isLeaderLinkDown) return false;
  return state.now - role.leaderHeardMs < state.config.electionTimeoutMsMin;
}

/**
 * "If the logs have last entries with different terms, then the log with the later term is more up-to-date.
 * If the logs end with the same term, then whichever log is longer is more up-to-date" (§3.6.1).
 */
function isUpToDate(state: RaftState, lastLogIndex: LogIndex, lastLogTerm: Term): boolean {
  const { log } = state;
  if (lastLogTerm !== log.lastTerm) return lastLogTerm > log.lastTerm;
  return lastLogIndex >= log.lastIndex;
}
