// Where two histories meet. What a member knows to be committed was committed in currentTerm or before, so
// the leader of currentTerm has it: entries of earlier terms by Leader Completeness (Figure 3.2), those of
// this term because it committed them itself. It never removes an entry (Leader Append-Only), so neither the
// age nor the order of messages matters: a message of currentTerm that says otherwise is no late one. It
// says that a disk forgot what it had promised (etcd#13509), and that acknowledged writes are missing on the
// side of the leader. By Log Matching it is enough to compare the last index that both know: histories that
// differ below it differ there.
//
// What cannot be seen here: two leaders of one term, which a forgotten vote can elect, give the same term to
// different entries. Only the hashes of what was applied tell those apart.
//
// The member that finds it ends. It is never one of those that elected the leader after the entry was
// forgotten, so what a majority agrees on goes on.

import type { AppendEntries, HeartbeatResult, HistoryDiffers } from './messages.js';
import { leaderIdOf } from './roles.js';
import type { RaftState } from './state.js';
import type { LogIndex, NodeId, Term } from './types.js';

/**
 * At a follower: whether an AppendEntries of currentTerm names another entry than the one committed here.
 * What is below the log's base is not known any more, and contradicts nothing.
 */
export function contradictsAppend(state: RaftState, message: AppendEntries): boolean {
  const { prevLogIndex, prevLogTerm, entries, from } = message;
  const index = Math.min(prevLogIndex + entries.length, state.commitIndex);
  if (index < prevLogIndex) return false;
  const entry = entries[index - prevLogIndex - 1];
  return contradictsCommitted(state, from, index, entry === undefined ? prevLogTerm : entry.term);
}

/** At a follower: whether the entry committed here at `index` has another term than the leader's has. */
export function contradictsCommitted(
  state: RaftState,
  leaderId: NodeId,
  index: LogIndex,
  leaderTerm: Term,
): boolean {
  const { log, currentTerm: term, nodeId: memberId } = state;
  if (index > state.commitIndex) return false;
  const memberTerm = log.termAt(index);
  if (memberTerm === undefined || memberTerm === leaderTerm) return false;
  state.output.contradiction = { term, leaderId, memberId, index, memberTerm, leaderTerm };
  return true;
}

/** At the leader: whether a member knows an entry to be committed that is not in this log. */
export function contradictsResult(state: RaftState, message: HeartbeatResult): boolean {
  const { commitIndex, commitTerm, from } = message;
  const { log } = state;
  const here = log.termAt(commitIndex);
  if (commitIndex <= log.lastIndex && (here === undefined || here === commitTerm)) return false;
  tellMember(state, from, commitIndex, commitTerm);
  return true;
}

/** At the leader: the member holds, as committed, what this log lacks or has otherwise. */
export function tellMember(
  state: RaftState,
  memberId: NodeId,
  index: LogIndex,
  memberTerm: Term | undefined,
): void {
  const { log, currentTerm: term, nodeId: leaderId } = state;
  const leaderTerm = log.termAt(index);
  state.output.contradiction = { term, leaderId, memberId, index, memberTerm, leaderTerm };
  state.output.send({
    kind: 'historyDiffers',
    from: leaderId,
    to: memberId,
    term,
    index,
    leaderTerm: leaderTerm ?? 0,
  });
}

/** At the member: the leader of currentTerm has compared. Precondition: the message's term is currentTerm. */
export function handleHistoryDiffers(state: RaftState, message: HistoryDiffers): void {
  const { index, leaderTerm, from } = message;
  if (leaderIdOf(state) !== from || index > state.commitIndex) return;
  const memberTerm = state.log.termAt(index);
  if (memberTerm === leaderTerm) return;
  state.output.contradiction = {
    term: state.currentTerm,
    leaderId: from,
    memberId: state.nodeId,
    index,
    memberTerm,
    leaderTerm: leaderTerm === 0 ? undefined : leaderTerm,
  };
}
