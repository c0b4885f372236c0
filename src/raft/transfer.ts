// Leadership transfer: the leader stops taking proposals, brings the target up to date and tells it to stand
// for election at once. It gives up after an election timeout, so that a target that cannot costs no more
// than that. The target skips the pre-vote, and its RequestVote says why it may disturb a leader that is
// alive.
// Source: Raft dissertation §3.10.

import { campaign, isDiskIdle } from './election.js';
import type { TimeoutNow } from './messages.js';
import type { Progress } from './progress.js';
import { isVoter } from './quorum.js';
import { canCampaign, disksTakeMs } from './roles.js';
import type { Leader, RaftState } from './state.js';
import type { NodeId } from './types.js';

/**
 * Begins a transfer to `to`, or to the voter that is furthest, in place of one to another target that is
 * under way. No effect without such a voter, or when one to it is under way: its deadline stays.
 */
export function startTransfer(state: RaftState, to: NodeId | undefined): void {
  const { role: leader } = state;
  if (leader.name !== 'leader') return;
  const target = to ?? furthestVoter(state, leader);
  if (target === undefined || !isVoter(state.configuration, target)) return;
  // One that waits for a snapshot will not have the leader's log in time.
  const progress = leader.progress.get(target);
  if (progress === undefined || progress.mode === 'snapshot') return;
  if (leader.transfer?.target === target) return;
  // The target's vote for itself and those of the others wait for disks that may be as slow as this one.
  const deadlineMs = state.now + state.config.electionTimeoutMsMax + disksTakeMs(state);
  leader.transfer = { target, deadlineMs };
  continueTransfer(state, leader);
}

/**
 * "sends a TimeoutNow request to the target server" (§3.10) once its log is as the leader's; again with each
 * heartbeat, since the request or what the target made of it may be lost.
 */
export function continueTransfer(state: RaftState, leader: Leader): void {
  const { transfer } = leader;
  if (transfer === undefined) return;
  if (leader.progress.get(transfer.target)?.matchIndex !== state.log.lastIndex) return;
  state.output.send({ kind: 'timeoutNow', from: state.nodeId, to: transfer.target, term: state.currentTerm });
}

/**
 * "If leadership transfer does not complete after about an election timeout, the prior leader aborts the
 * transfer" (§3.10), and takes proposals again.
 */
export function isTransferLate(state: RaftState, { transfer }: Leader): boolean {
  return transfer !== undefined && state.now >= transfer.deadlineMs;
}

/**
 * The leader of this term wants this member to follow it. Precondition: the message's term is currentTerm.
 */
export function handleTimeoutNow(state: RaftState, message: TimeoutNow): void {
  const { role } = state;
  if (role.name !== 'follower' || (role.leaderId !== undefined && role.leaderId !== message.from)) return;
  // With a unit under way the leader's next TimeoutNow, a heartbeat later, will do.
  if (!canCampaign(state) || !isDiskIdle(state)) return;
  campaign(state, { leadershipTransfer: true });
}

function furthestVoter(state: RaftState, leader: Leader): NodeId | undefined {
  let best: Progress | undefined;
  for (const progress of leader.progress.values()) {
    if (!isVoter(state.configuration, progress.peer) || progress.mode === 'snapshot') continue;
    const isBetter =
      best === undefined ||
      progress.matchIndex > best.matchIndex ||
      (progress.matchIndex === best.matchIndex && progress.heardMs > best.heardMs);
    if (isBetter) best = progress;
  }
  return best?.peer;
}
