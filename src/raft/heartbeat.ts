// Heartbeats, and what a leader must stop being leader for: no quorum heard from (check-quorum) and a disk
// that hangs. A heartbeat asserts leadership, opens a ReadIndex round and tells the commit index; its result
// says that the follower is there, and nothing about its log: matchIndex never moves by it (ratis#1519).
// Source: Raft dissertation §3.4, §6.2 (check-quorum), §6.4.

import { assert } from '../base/assert.js';
import { commitThrough, followLeader } from './append-entries.js';
import { contradictsResult } from './contradictions.js';
import type { Heartbeat, HeartbeatResult } from './messages.js';
import { sendResult } from './output.js';
import type { Progress } from './progress.js';
import { quorumValue } from './quorum.js';
import { confirmRounds, repeatReadRequest } from './reads.js';
import { askForLost, hasCommittedInTerm } from './replication.js';
import { becomeFollower } from './roles.js';
import type { Leader, RaftState } from './state.js';
import { continueTransfer, isTransferLate, startTransfer } from './transfer.js';
import type { NodeId } from './types.js';

/** The leader's timer: steps down if it must, which a late timer does not tell, else sends what is due. */
export function leaderTimeout(state: RaftState, leader: Leader, isLate: boolean): void {
  // Who was held up itself has yet to hear what the others sent meanwhile; they must hear of it now.
  if (!isLate && mustStepDown(state, leader)) {
    becomeFollower(state, state.currentTerm, undefined);
    return;
  }
  if (state.now >= leader.nextHeartbeatMs) {
    // Only here: rounds for reads come as often as reads, and would put off for ever what is looked at here.
    leader.nextHeartbeatMs = state.now + state.config.heartbeatIntervalMs;
    broadcastHeartbeat(state, leader);
    continueTransfer(state, leader);
  } else if (state.now >= leader.commitNoticeMs) {
    sendCommitNotices(state, leader);
  }
}

/** Sends a heartbeat of a new round to every peer. Reads that wait to join a round join this one. */
export function broadcastHeartbeat(state: RaftState, leader: Leader): void {
  leader.round++;
  leader.commitNoticeMs = Infinity;
  // "If the leader has not yet marked an entry from its current term committed, it waits until it has done
  // so" (§6.4).
  if (hasCommittedInTerm(state)) leader.reads.joinRound(leader.round, state.commitIndex);
  for (const progress of leader.progress.values()) sendHeartbeat(state, leader, progress);
  confirmRounds(state, leader);
}

/** Opens a round for reads that wait, unless one is open: those that came meanwhile share the next. */
export function openReadRound(state: RaftState, leader: Leader): void {
  const { reads } = leader;
  // A round that is confirmed at once (the only voter is this one) is followed by another only for reads that
  // came since.
  if (reads.hasJoining && !reads.isRoundOpen && hasCommittedInTerm(state)) broadcastHeartbeat(state, leader);
}

/** Precondition: the message's term is currentTerm. */
export function handleHeartbeat(state: RaftState, message: Heartbeat): void {
  const follower = followLeader(state, message.from);
  // The leader caps leaderCommit at what this member acknowledged in this term, durably.
  assert(
    message.leaderCommit <= state.log.lastIndex,
    `entry ${message.leaderCommit} was acknowledged by this disk, but its log ends at ${state.log.lastIndex}`,
  );
  commitThrough(state, message.leaderCommit);
  sendHeartbeatResult(state, message.from, message.round);
  repeatReadRequest(state, follower);
}

/**
 * Tells the sender of a heartbeat of a term that is over that it is over. Never with that heartbeat's round:
 * if the sender leads this term again by now, it would take it for the acknowledgement of a round it has yet
 * to send.
 */
export function refuseOldHeartbeat(state: RaftState, to: NodeId): void {
  sendHeartbeatResult(state, to, 0);
}

/** Precondition: the message's term is currentTerm. */
export function handleHeartbeatResult(
  state: RaftState,
  leader: Leader,
  progress: Progress,
  message: HeartbeatResult,
): void {
  // Of another history: what it follows is not what this leader leads.
  if (contradictsResult(state, message)) return;
  progress.roundTrip.answered(message.round, state.now);
  progress.acknowledgedRound = Math.max(progress.acknowledgedRound, message.round);
  // The peer is there, so what it has not acknowledged is still on its way to its disk, or lost. Asking is
  // cheap, and without it a lost window would stay full for ever (etcd-io/raft#31).
  if (progress.mode === 'probe') progress.resumeProbe();
  else if (progress.isBehindSent) askForLost(state, progress);
  confirmRounds(state, leader);
}

/**
 * A disk that hangs: another member is asked to take over, and nobody in time is no reason to go on. Ends a
 * transfer that took too long.
 */
function mustStepDown(state: RaftState, leader: Leader): boolean {
  if (!hasQuorum(state, leader)) return true;
  const isHung = isDiskHung(state);
  if (isTransferLate(state, leader)) {
    if (isHung) return true;
    leader.transfer = undefined;
  }
  if (!isHung || leader.transfer !== undefined) return false;
  startTransfer(state, undefined);
  return leader.transfer === undefined;
}

/**
 * Whether a quorum of voters, this one included, was heard from within the shortest election timeout (§6.2).
 */
function hasQuorum(state: RaftState, leader: Leader): boolean {
  const heardMs = quorumValue(state.configuration, (node) =>
    node === state.nodeId ? state.now : (leader.progress.get(node)?.heardMs ?? -Infinity),
  );
  return state.now - heardMs <= state.config.electionTimeoutMsMin;
}

/** A leader whose disk hangs would keep the cluster from electing one that can write (hashicorp/raft#503). */
function isDiskHung(state: RaftState): boolean {
  return state.now - state.units.underWaySinceMs > state.config.diskHungMs;
}

/** Tells of commits that no entries told of. The round is one that was already sent, so no read joins it. */
function sendCommitNotices(state: RaftState, leader: Leader): void {
  leader.commitNoticeMs = Infinity;
  for (const progress of leader.progress.values()) {
    if (progress.commitIndexSent < Math.min(state.commitIndex, progress.matchIndex)) {
      sendHeartbeat(state, leader, progress);
    }
  }
}

function sendHeartbeatResult(state: RaftState, to: NodeId, round: number): void {
  const { nodeId, currentTerm, commitIndex, log } = state;
  sendResult(state, {
    kind: 'heartbeatResult',
    from: nodeId,
    to,
    term: currentTerm,
    round,
    commitIndex,
    commitTerm: log.termAt(commitIndex) ?? 0,
  });
}

function sendHeartbeat(state: RaftState, leader: Leader, progress: Progress): void {
  const leaderCommit = Math.min(state.commitIndex, progress.matchIndex);
  progress.commitIndexSent = Math.max(progress.commitIndexSent, leaderCommit);
  progress.roundTrip.sent(leader.round, state.now);
  state.output.send({
    kind: 'heartbeat',
    from: state.nodeId,
    to: progress.peer,
    term: state.currentTerm,
    leaderCommit,
    round: leader.round,
  });
}
