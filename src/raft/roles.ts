// The only place where a member changes its role or its term. Nothing here sends a message: the concerns do,
// after the change. Losing a role fails the reads that waited in it. Source: Figure 2 "Rules for Servers",
// §5.1.

import { assert, assertNever } from '../base/assert.js';
import { ByteWindow } from './byte-window.js';
import { Progress } from './progress.js';
import { isVoter, peersOf } from './quorum.js';
import { ReadRounds } from './read-rounds.js';
import type { Candidate, Follower, Leader, PreCandidate, RaftState } from './state.js';
import type { NodeId, Term } from './types.js';

/**
 * Becomes a follower in `term`, which is currentTerm or a higher one. The vote is forgotten only with a
 * higher term: a vote that could be given twice in one term would elect two leaders (CCF#8094).
 */
export function becomeFollower(state: RaftState, term: Term, leaderId: NodeId | undefined): Follower {
  assert(term >= state.currentTerm, `term ${term} is below currentTerm ${state.currentTerm}`);
  const { role } = state;
  // Hearing of a higher term alone does not put off this member's own election: whoever has that term may be
  // unable to win one.
  const keepsDeadline = role.name !== 'leader' && leaderId === undefined;
  leaveRole(state);
  if (leaderId !== undefined) state.refusals.forget();
  if (term > state.currentTerm) {
    state.currentTerm = term;
    state.votedFor = undefined;
    state.hardStateChanged = true;
  }
  const follower: Follower = {
    name: 'follower',
    leaderId,
    leaderHeardMs: leaderId === undefined ? -Infinity : state.now,
    isLeaderLinkDown: false,
    verifiedIndex: state.commitIndex,
    electionDeadlineMs: keepsDeadline ? role.electionDeadlineMs : newElectionDeadlineMs(state),
    grantSequence: undefined,
    waitingReads: [],
  };
  state.role = follower;
  return follower;
}

/**
 * Begins a pre-vote: no term and no vote changes, here or elsewhere (§9.6). Its own consent needs no disk.
 */
export function becomePreCandidate(state: RaftState): PreCandidate {
  assert(state.role.name !== 'leader', 'a leader does not campaign');
  leaveRole(state);
  const precandidate: PreCandidate = {
    name: 'precandidate',
    votes: new Map([[state.nodeId, true]]),
    electionDeadlineMs: newElectionDeadlineMs(state),
  };
  state.role = precandidate;
  return precandidate;
}

/**
 * "On conversion to candidate, start election: increment currentTerm, vote for self, reset election timer"
 * (Figure 2). Its own vote counts when the unit that this step puts out is durable.
 */
export function becomeCandidate(state: RaftState, leadershipTransfer: boolean): Candidate {
  assert(state.role.name !== 'leader', 'a leader does not campaign');
  leaveRole(state);
  state.currentTerm++;
  state.votedFor = state.nodeId;
  state.hardStateChanged = true;
  const candidate: Candidate = {
    name: 'candidate',
    votes: new Map(),
    voteSequence: state.units.nextSequence,
    leadershipTransfer,
    electionDeadlineMs: newElectionDeadlineMs(state),
  };
  state.role = candidate;
  return candidate;
}

/** A candidate that a quorum elected becomes the leader of currentTerm. */
export function becomeLeader(state: RaftState): Leader {
  assert(state.role.name === 'candidate', 'only a candidate becomes leader');
  assert(state.votedFor === state.nodeId, 'a leader voted for itself');
  leaveRole(state);
  state.refusals.forget();
  const progress = new Map<NodeId, Progress>();
  for (const peer of peersOf(state.configuration, state.nodeId)) {
    // Counted as heard from now: the check for a quorum gives a new leader one full period.
    progress.set(peer, new Progress(peer, state.log, state.now));
  }
  const leader: Leader = {
    name: 'leader',
    progress,
    round: 0,
    nextHeartbeatMs: state.now + state.config.heartbeatIntervalMs,
    commitNoticeMs: Infinity,
    reads: new ReadRounds(),
    uncommitted: new ByteWindow(),
    transfer: undefined,
  };
  state.role = leader;
  return leader;
}

/** The member that leads currentTerm as far as this one knows. */
export function leaderIdOf(state: RaftState): NodeId | undefined {
  if (state.role.name === 'leader') return state.nodeId;
  return state.role.name === 'follower' ? state.role.leaderId : undefined;
}

/**
 * Whether this member may stand for election. Not while it catches up: its log may have lost entries that it
 * acknowledged, and as a leader it would overwrite them on the others.
 */
export function canCampaign(state: RaftState): boolean {
  return isVoter(state.configuration, state.nodeId) && !state.isCatchingUp;
}

/** "Raft uses randomized election timeouts to ensure that split votes are rare" (§5.2). */
export function newElectionDeadlineMs(state: RaftState): number {
  const { electionTimeoutMsMin, electionTimeoutMsMax } = state.config;
  return state.now + state.prng.integer(electionTimeoutMsMin, electionTimeoutMsMax);
}

/**
 * How much longer than messages an election takes where disks are as slow as this one: one sync for a vote,
 * and one that it may have to wait for before. A disk that takes longer than `diskHungMs` is no measure.
 */
export function disksTakeMs(state: RaftState): number {
  return 2 * Math.min(state.units.slowestSync.recentMs(state.now), state.config.diskHungMs);
}

function leaveRole(state: RaftState): void {
  for (const requestId of readsOf(state)) state.output.failRead(requestId);
}

/** ReadIndex requests of this node that get no answer when it leaves its role. */
function readsOf({ role, nodeId }: RaftState): readonly number[] {
  switch (role.name) {
    case 'leader':
      return role.reads.requestsOf(nodeId);
    case 'follower':
      return role.waitingReads;
    case 'precandidate':
    case 'candidate':
      return [];
    default:
      return assertNever(role);
  }
}
