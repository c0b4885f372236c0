// The leader's side of AppendEntries: proposals become entries, entries go to the followers, acknowledgements
// become the commit index. Messages are sent once at the end of a step, so that one step makes one message
// where it can. It never overwrites or deletes an entry (Leader Append-Only, Figure 3.2).
// Source: Raft dissertation §3.5, §3.6.2, §10.2; Figure 2 "Leaders".

import { assert } from '../base/assert.js';
import { tellMember } from './contradictions.js';
import type { Proposal, ProposalResult } from './io.js';
import type { AppendEntriesResult } from './messages.js';
import type { Progress } from './progress.js';
import { quorumValue } from './quorum.js';
import { requestSnapshot } from './snapshot.js';
import type { Leader, RaftState } from './state.js';
import type { LogEntry, LogIndex, NodeId } from './types.js';

/** How much sooner than a heartbeat followers hear of a commit when no entries carry the news. */
const commitNoticesPerHeartbeat = 10;

/** New entries from this node's clients, appended in the same step or refused as a whole. */
export function propose(state: RaftState, proposals: readonly Proposal[]): ProposalResult {
  const { role, config } = state;
  if (role.name !== 'leader') return { accepted: false, reason: 'notLeader' };
  if (role.transfer !== undefined) return { accepted: false, reason: 'transferring' };
  let bytes = 0;
  for (const proposal of proposals) bytes += proposal.payload.length;
  // When nothing is uncommitted one step may be larger than the limit, else a large entry could never be
  // written.
  if (role.uncommitted.bytes > 0 && role.uncommitted.bytes + bytes > config.uncommittedBytesMax) {
    return { accepted: false, reason: 'tooMuch' };
  }
  return { accepted: true, term: state.currentTerm, firstIndex: appendAsLeader(state, role, proposals) };
}

/** Appends to the leader's own log. Returns the index of the first new entry. */
export function appendAsLeader(state: RaftState, leader: Leader, proposals: readonly Proposal[]): LogIndex {
  const firstIndex = state.log.lastIndex + 1;
  let bytes = 0;
  const entries: LogEntry[] = proposals.map(({ kind, payload }, position) => {
    bytes += payload.length;
    return { index: firstIndex + position, term: state.currentTerm, kind, payload };
  });
  state.log.append(entries);
  state.output.append(entries);
  leader.uncommitted.push(state.log.lastIndex, bytes);
  return firstIndex;
}

/** Sends what there is to send and what the windows allow. Called at the end of each step of a leader. */
export function sendAppends(state: RaftState, leader: Leader): void {
  for (const progress of leader.progress.values()) {
    while (sendAppend(state, progress));
  }
}

/** AppendEntries RPC, result at the leader. Precondition: the term is currentTerm. */
export function handleAppendEntriesResult(
  state: RaftState,
  leader: Leader,
  progress: Progress,
  message: AppendEntriesResult,
): void {
  if (message.success && message.matchIndex > state.log.lastIndex) {
    // Nobody acknowledges what was never sent but who has committed it; nothing of it counts here.
    tellMember(state, message.from, message.matchIndex, undefined);
    return;
  }
  if (message.success) {
    // "If successful: update nextIndex and matchIndex for follower" (Figure 2).
    if (progress.acknowledged(message.matchIndex)) advanceCommitIndex(state, leader);
    return;
  }
  handleRejection(state, leader, progress, message);
}

/**
 * The peer's log does not agree at what it was asked about. Both logs are looked up by term: the follower's
 * hint is the end of a term of its own; what this log has above that term cannot be on the follower, so that
 * one round trip skips a whole term (§5.3).
 */
function handleRejection(
  state: RaftState,
  leader: Leader,
  progress: Progress,
  message: AppendEntriesResult,
): void {
  const agreeIndex = state.log.lastIndexAtOrBelow(message.hintIndex, message.hintTerm);
  const isNews = progress.rejected(message.matchIndex, agreeIndex);
  if (isNews && progress.mode === 'snapshot') requestSnapshot(state, leader, progress.peer);
}

/**
 * "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term ==
 * currentTerm: set commitIndex = N" (Figure 2). The leader's own share is what is durable here, not what it
 * has appended (§10.2.1).
 */
export function advanceCommitIndex(state: RaftState, leader: Leader): void {
  const { log } = state;
  const index = quorumValue(state.configuration, (node) =>
    node === state.nodeId ? log.durableIndex : (leader.progress.get(node)?.matchIndex ?? 0),
  );
  if (index <= state.commitIndex) return;
  // "Raft never commits log entries from previous terms by counting replicas" (§3.6.2; Figure 8 shows why).
  if (log.termAt(index) !== state.currentTerm) return;
  state.commitIndex = index;
  leader.uncommitted.releaseThrough(index);
  const noticeMs = state.now + state.config.heartbeatIntervalMs / commitNoticesPerHeartbeat;
  leader.commitNoticeMs = Math.min(leader.commitNoticeMs, noticeMs);
}

/**
 * Whether an entry of this leader's own term is committed: only then is its commit index known to be complete
 * (§6.4).
 */
export function hasCommittedInTerm(state: RaftState): boolean {
  return state.log.termAt(state.commitIndex) === state.currentTerm;
}

/**
 * Asks the follower whether it has all that was sent ahead: an AppendEntries without entries at the end of
 * it.
 */
export function askForLost(state: RaftState, progress: Progress): void {
  transmit(state, progress, []);
}

/** What `readEntries` for a peer brought, possibly for a leadership or a position that is over by now. */
export function receiveEntriesToSend(
  state: RaftState,
  leader: Leader,
  peer: NodeId,
  entries: readonly LogEntry[],
): void {
  const { log, config } = state;
  const progress = leader.progress.get(peer);
  if (progress === undefined || progress.mode !== 'replicate') return;
  if (entries.length === 0) {
    // Not again at once, or a log that cannot be read would be asked for without end.
    progress.pause();
    return;
  }
  const firstIndex = progress.nextIndex;
  let bytes = 0;
  let count = 0;
  for (const entry of entries) {
    const index = firstIndex + count;
    // Read before a truncation, or for another position: what is to be sent now is asked for again.
    if (entry.index !== index || entry.term !== log.termAt(index)) return;
    if (count > 0 && bytes + entry.payload.length > config.appendBytesMax) break;
    bytes += entry.payload.length;
    count++;
  }
  // Room was made sure of before asking. One large entry may exceed it, as it may where nothing is in flight.
  transmit(state, progress, entries.slice(0, count));
  progress.sent(firstIndex + count - 1, bytes);
}

/** Sends one message to the peer if it may. True when another one may follow. */
function sendAppend(state: RaftState, progress: Progress): boolean {
  const { log, config } = state;
  const firstIndex = progress.nextIndex;
  const isProbe = progress.mode === 'probe';
  const inMemory = firstIndex >= log.cacheFirstIndex && firstIndex <= log.lastIndex;
  // How large an entry on disk is, is not known: ask for it when there is room for a whole message.
  const firstBytes = log.entry(firstIndex)?.payload.length ?? config.appendBytesMax;
  if (!progress.canSend(firstBytes, config)) return false;
  if (isProbe && !inMemory) {
    // The answer to a probe does not need entries; reading some from the disk for it would be in vain half
    // the time.
    transmit(state, progress, []);
    progress.sentProbe();
    return false;
  }
  if (firstIndex > log.lastIndex) return false;
  if (!inMemory) {
    requestEntries(state, progress);
    return false;
  }
  const room = isProbe ? config.appendBytesMax : config.inFlightBytesMax - progress.inFlight.bytes;
  const bytesMax = Math.min(config.appendBytesMax, room);
  const entries = log.slice(firstIndex, log.lastIndex, { entriesMax: config.appendEntriesMax, bytesMax });
  let bytes = 0;
  for (const entry of entries) bytes += entry.payload.length;
  transmit(state, progress, entries);
  progress.sent(firstIndex + entries.length - 1, bytes);
  return !isProbe;
}

function requestEntries(state: RaftState, progress: Progress): void {
  const { log, config, peerReads } = state;
  if (peerReads.has(progress.peer)) return;
  peerReads.add(progress.peer);
  const firstIndex = progress.nextIndex;
  state.output.requestEntries({
    reader: { for: 'peer', peer: progress.peer },
    firstIndex,
    lastIndex: Math.min(log.cacheFirstIndex - 1, firstIndex + config.appendEntriesMax - 1),
    bytesMax: config.appendBytesMax,
  });
}

function transmit(state: RaftState, progress: Progress, entries: readonly LogEntry[]): void {
  const prevLogIndex = progress.nextIndex - 1;
  const prevLogTerm = state.log.termAt(prevLogIndex);
  assert(
    prevLogTerm !== undefined,
    `entry ${prevLogIndex}, before the next one for ${progress.peer}, is not in the log`,
  );
  progress.commitIndexSent = Math.max(
    progress.commitIndexSent,
    Math.min(state.commitIndex, prevLogIndex + entries.length),
  );
  state.output.send({
    kind: 'appendEntries',
    from: state.nodeId,
    to: progress.peer,
    term: state.currentTerm,
    prevLogIndex,
    prevLogTerm,
    entries,
    leaderCommit: state.commitIndex,
  });
}
