// What happens to a message before its own rule: is it well formed, may its sender speak, and the rules about
// terms that are the same for all. Then one case for each kind. Source: Figure 2 "All Servers"; Raft
// dissertation §4.2.3, §9.6.

import { assertNever } from '../base/assert.js';
import { KvorumError } from '../base/errors.js';
import { termMax } from '../base/terms.js';
import { handleAppendEntries, refuseOldLeader } from './append-entries.js';
import { handleHistoryDiffers } from './contradictions.js';
import {
  handlePreVote,
  handlePreVoteResult,
  handleRequestVote,
  handleRequestVoteResult,
  isDisruptive,
  refuseOldVoteRequest,
} from './election.js';
import { handleHeartbeat, handleHeartbeatResult, refuseOldHeartbeat } from './heartbeat.js';
import type { AppendEntries, Heartbeat, Message } from './messages.js';
import { isMember, isVoter } from './quorum.js';
import { handleReadIndexRequest, handleReadIndexResult } from './reads.js';
import { handleAppendEntriesResult } from './replication.js';
import { becomeFollower, leaderIdOf } from './roles.js';
import type { Leader, RaftState } from './state.js';
import { continueTransfer, handleTimeoutNow } from './transfer.js';

/**
 * Processes one message. Throws `PROTOCOL`, before anything changed, when no member following the rules sends
 * it.
 */
export function receive(state: RaftState, message: Message): void {
  checkMessage(state, message);
  if (!maySpeak(state, message)) return;
  if (message.kind === 'preVote') {
    handlePreVote(state, message);
    return;
  }
  // A granted pre-vote carries the term that was asked about, which nobody is in yet.
  if (message.kind === 'preVoteResult' && message.voteGranted) {
    handlePreVoteResult(state, message);
    return;
  }
  if (message.term > state.currentTerm) {
    if (message.kind === 'requestVote' && isDisruptive(state, message)) return;
    // "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower"
    // (Figure 2).
    becomeFollower(state, message.term, undefined);
  }
  if (message.term < state.currentTerm) receiveOld(state, message);
  else receiveCurrent(state, message);
}

/**
 * "If a server receives a request with a stale term number, it rejects the request" (§3.3); stale results are
 * dropped.
 */
function receiveOld(state: RaftState, message: Message): void {
  switch (message.kind) {
    case 'requestVote':
      refuseOldVoteRequest(state, message.from);
      return;
    case 'appendEntries':
      refuseOldLeader(state, message.from);
      return;
    case 'heartbeat':
      refuseOldHeartbeat(state, message.from);
      return;
    case 'preVoteResult':
      // A refusal by a member that is behind in terms is a refusal all the same.
      handlePreVoteResult(state, message);
      return;
    case 'preVote':
    case 'requestVoteResult':
    case 'appendEntriesResult':
    case 'heartbeatResult':
    case 'historyDiffers':
    case 'readIndex':
    case 'readIndexResult':
    case 'timeoutNow':
      return;
    default:
      assertNever(message);
  }
}

function receiveCurrent(state: RaftState, message: Message): void {
  switch (message.kind) {
    case 'preVote':
      return;
    case 'preVoteResult':
      handlePreVoteResult(state, message);
      return;
    case 'requestVote':
      handleRequestVote(state, message);
      return;
    case 'requestVoteResult':
      handleRequestVoteResult(state, message);
      return;
    case 'appendEntries':
      handleAppendEntries(state, message);
      return;
    case 'heartbeat':
      handleHeartbeat(state, message);
      return;
    case 'historyDiffers':
      handleHistoryDiffers(state, message);
      return;
    case 'readIndexResult':
      handleReadIndexResult(state, message);
      return;
    case 'timeoutNow':
      handleTimeoutNow(state, message);
      return;
    case 'appendEntriesResult':
    case 'heartbeatResult':
    case 'readIndex':
      // To the leader of this term; this member may have stopped being it.
      if (state.role.name === 'leader') receiveAsLeader(state, state.role, message);
      return;
    default:
      assertNever(message);
  }
}

function receiveAsLeader(
  state: RaftState,
  leader: Leader,
  message: Extract<Message, { kind: 'appendEntriesResult' | 'heartbeatResult' | 'readIndex' }>,
): void {
  const progress = leader.progress.get(message.from);
  if (progress === undefined) return;
  progress.heardMs = state.now;
  switch (message.kind) {
    case 'appendEntriesResult':
      handleAppendEntriesResult(state, leader, progress, message);
      if (message.success) continueTransfer(state, leader);
      return;
    case 'heartbeatResult':
      handleHeartbeatResult(state, leader, progress, message);
      return;
    case 'readIndex':
      handleReadIndexRequest(state, leader, message);
      return;
    default:
      assertNever(message);
  }
}

/**
 * Nodes that are not members are not heard: a removed one would disrupt the others with ever higher terms
 * (§4.2.3), and votes count from voters only. A leader is followed whoever it is: its log may hold a
 * configuration newer than ours.
 */
function maySpeak(state: RaftState, message: Message): boolean {
  switch (message.kind) {
    case 'appendEntries':
    case 'heartbeat':
      return true;
    case 'preVoteResult':
    case 'requestVoteResult':
      return isVoter(state.configuration, message.from);
    case 'preVote':
    case 'requestVote':
    case 'appendEntriesResult':
    case 'heartbeatResult':
    case 'historyDiffers':
    case 'readIndex':
    case 'readIndexResult':
    case 'timeoutNow':
      return isMember(state.configuration, message.from);
    default:
      return assertNever(message);
  }
}

function checkMessage(state: RaftState, message: Message): void {
  if (message.to !== state.nodeId || message.from === state.nodeId) {
    throw malformed(message, `goes from ${message.from} to ${message.to}, not to ${state.nodeId}`);
  }
  // By distance no term is refused here: two members that were far from each other would never meet again.
  if (message.term > termMax) throw malformed(message, `is of a term above ${termMax}, which nobody follows`);
  if (message.kind === 'appendEntries') checkEntries(message);
  if (message.kind === 'appendEntries' || message.kind === 'heartbeat') checkLeader(state, message);
  if (state.role.name === 'leader') checkResult(state, state.role, message);
}

/** "At most one leader can be elected in a given term" (Figure 3.2): a second one is not a member's doing. */
function checkLeader(state: RaftState, message: AppendEntries | Heartbeat): void {
  if (message.term < state.currentTerm) return;
  // Also in a later term than this one: what this disk acknowledged in it would have made it known here.
  if (message.kind === 'heartbeat' && message.leaderCommit > state.log.lastIndex) {
    const end = `the log here ends at ${state.log.lastIndex}, as if the disk were that of an earlier time`;
    throw malformed(message, `says that entry ${message.leaderCommit} was acknowledged; ${end}`);
  }
  if (message.term > state.currentTerm) return;
  const leaderId = leaderIdOf(state);
  if (leaderId !== undefined && leaderId !== message.from) {
    throw malformed(message, `claims the term that ${leaderId} leads`);
  }
}

/**
 * Entries are contiguous from prevLogIndex + 1, their terms go up to the message's at most (logcabin#160).
 */
function checkEntries(message: AppendEntries): void {
  let index = message.prevLogIndex;
  let term = message.prevLogTerm;
  for (const entry of message.entries) {
    index++;
    if (entry.index !== index) throw malformed(message, `has entry ${entry.index} where ${index} follows`);
    if (entry.term < term)
      throw malformed(message, `has entry ${index} of term ${entry.term} after term ${term}`);
    term = entry.term;
  }
  if (term > message.term) throw malformed(message, `has an entry of term ${term}, after its own`);
}

/** Nobody acknowledges a round that was never opened: reads would be confirmed by whom nobody asked. */
function checkResult(state: RaftState, leader: Leader, message: Message): void {
  if (message.term !== state.currentTerm) return;
  if (message.kind === 'heartbeatResult' && message.round > leader.round) {
    throw malformed(message, `acknowledges round ${message.round}; the last one sent was ${leader.round}`);
  }
}

function malformed(message: Message, what: string): KvorumError {
  const text = `${message.kind} of ${message.from} in term ${message.term} ${what}; close the link to it`;
  return new KvorumError('PROTOCOL', text, { details: { from: message.from, kind: message.kind } });
}
