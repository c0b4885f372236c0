// AppendEntries at the follower. What arrives may be old, doubled or out of order: an entry is removed only
// when it truly conflicts, and never because a message ends before it. The acknowledgement waits for the
// disk. It never lets the commit index pass what this message has verified. Source: Raft dissertation §3.5;
// Figure 2 "AppendEntries RPC, Receiver implementation" 1-5.

import { assert } from '../base/assert.js';
import { contradictsAppend } from './contradictions.js';
import type { AppendEntries } from './messages.js';
import { sendResult } from './output.js';
import { becomeFollower, newElectionDeadlineMs } from './roles.js';
import type { Follower, RaftState } from './state.js';
import type { LogEntry, LogIndex, NodeId, Term } from './types.js';

/** A message of the leader of currentTerm arrived: follow it and put off the election. */
export function followLeader(state: RaftState, leaderId: NodeId): Follower {
  const { role } = state;
  assert(role.name !== 'leader', `${leaderId} and ${state.nodeId} both lead term ${state.currentTerm}`);
  if (role.name === 'follower' && role.leaderId !== undefined) {
    assert(
      role.leaderId === leaderId,
      `${leaderId} and ${role.leaderId} both lead term ${state.currentTerm}`,
    );
    role.leaderHeardMs = state.now;
    role.isLeaderLinkDown = false;
    role.electionDeadlineMs = newElectionDeadlineMs(state);
    return role;
  }
  // "If AppendEntries RPC received from new leader: convert to follower" (Figure 2, Candidates). The vote
  // stays.
  return becomeFollower(state, state.currentTerm, leaderId);
}

/** AppendEntries RPC, receiver. Precondition: the message's term is currentTerm. */
export function handleAppendEntries(state: RaftState, message: AppendEntries): void {
  const follower = followLeader(state, message.from);
  const { log } = state;
  const lastInMessage = message.prevLogIndex + message.entries.length;
  if (contradictsAppend(state, message)) return;
  // Entries through commitIndex are in every later leader's log (Leader Completeness), and what could be
  // compared is the same: a message that ends before it is old.
  if (lastInMessage <= state.commitIndex) {
    acknowledge(state, message.from, state.commitIndex);
    return;
  }
  // 2. "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm".
  if (message.prevLogIndex > state.commitIndex && log.termAt(message.prevLogIndex) !== message.prevLogTerm) {
    refuse(state, message.from, message.prevLogIndex, message.prevLogTerm);
    return;
  }
  appendNew(state, message.entries);
  follower.verifiedIndex = Math.max(follower.verifiedIndex, lastInMessage);
  // 5. "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)": the
  // last one that this message verified; what follows it in this log may still differ from the leader's.
  commitThrough(state, Math.min(message.leaderCommit, lastInMessage));
  acknowledge(state, message.from, lastInMessage);
}

/** The leader has committed through `index`, which is in this log and agrees with the leader's. */
export function commitThrough(state: RaftState, index: LogIndex): void {
  assert(
    index <= state.log.lastIndex,
    `commit index ${index} is beyond a log that ends at ${state.log.lastIndex}`,
  );
  state.commitIndex = Math.max(state.commitIndex, index);
}

/**
 * Answers a leader of a term that is over, so that it learns of this one and steps down. Says nothing about
 * the log: if the sender leads this term again by now, it would take it for an answer to a message of this
 * term.
 */
export function refuseOldLeader(state: RaftState, to: NodeId): void {
  // 1. "Reply false if term < currentTerm".
  sendResult(state, {
    kind: 'appendEntriesResult',
    from: state.nodeId,
    to,
    term: state.currentTerm,
    success: false,
    matchIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });
}

function appendNew(state: RaftState, entries: readonly LogEntry[]): void {
  const { log, output } = state;
  // What is already there is skipped: from a repeated or overtaken message it would remove what came after
  // it.
  const position = entries.findIndex((entry) => {
    return entry.index > state.commitIndex && log.termAt(entry.index) !== entry.term;
  });
  if (position < 0) return;
  const fresh = position === 0 ? entries : entries.slice(position);
  const firstIndex = (fresh[0] as LogEntry).index;
  if (firstIndex <= log.lastIndex) {
    // 3. "If an existing entry conflicts with a new one (same index but different terms), delete the existing
    // entry and all that follow it".
    assert(firstIndex > state.commitIndex, `the leader's entry ${firstIndex} conflicts with a committed one`);
    log.truncateSuffix(firstIndex);
    state.units.truncatedTo(firstIndex - 1);
    output.truncateSuffix = firstIndex;
  }
  // 4. "Append any new entries not already in the log".
  log.append(fresh);
  output.append(fresh);
}

function acknowledge(state: RaftState, to: NodeId, matchIndex: LogIndex): void {
  state.output.sendAfterPersist({
    kind: 'appendEntriesResult',
    from: state.nodeId,
    to,
    term: state.currentTerm,
    success: true,
    matchIndex,
    hintIndex: 0,
    hintTerm: 0,
  });
}

function refuse(state: RaftState, to: NodeId, prevLogIndex: LogIndex, prevLogTerm: Term): void {
  const { log } = state;
  // What is committed here is in the leader's log; below it the logs agree, and this one may not go further.
  const hintIndex = Math.max(state.commitIndex, log.lastIndexAtOrBelow(prevLogIndex, prevLogTerm));
  sendResult(state, {
    kind: 'appendEntriesResult',
    from: state.nodeId,
    to,
    term: state.currentTerm,
    success: false,
    matchIndex: prevLogIndex,
    hintIndex,
    hintTerm: log.termAt(hintIndex) ?? 0,
  });
}
