// ReadIndex: where a node must have applied to before it may answer a linearizable read. The leader fixes the
// index, then makes sure that it still was the leader after the read arrived; followers ask it. Any number of
// reads share one round of heartbeats. Reads need no clock and no disk. Source: Raft dissertation §6.4.

import { commitThrough } from './append-entries.js';
import { contradictsCommitted } from './contradictions.js';
import type { ReadIndexRequest, ReadIndexResult } from './messages.js';
import { sendResult } from './output.js';
import { quorumValue } from './quorum.js';
import type { ReadRequest } from './read-rounds.js';
import { hasCommittedInTerm } from './replication.js';
import type { Follower, Leader, RaftState } from './state.js';
import type { LogIndex, NodeId } from './types.js';

/** Reads of this node wait for a ReadIndex. Fails at once without a leader, or over `readsMax`. */
export function readIndex(state: RaftState, requestId: number): void {
  const { role, config, output } = state;
  if (role.name === 'leader' && role.reads.count < config.readsMax) {
    role.reads.add({ from: state.nodeId, requestId });
    return;
  }
  const mayAsk =
    role.name === 'follower' && role.leaderId !== undefined && role.waitingReads.length < config.readsMax;
  if (!mayAsk) {
    output.failRead(requestId);
    return;
  }
  role.waitingReads.push(requestId);
  askLeader(state, role, requestId);
}

/** A follower's reads. Precondition: the message's term is currentTerm, the sender a peer of this leader. */
export function handleReadIndexRequest(state: RaftState, leader: Leader, message: ReadIndexRequest): void {
  const request = { from: message.from, requestId: message.requestId };
  // The follower was in this term when it asked, after its reads had arrived: its request acknowledges this
  // leader for them. Where that makes a quorum no round is needed.
  const isQuorum = confirmedRound(state, leader, message.from) === Infinity;
  if (isQuorum && hasCommittedInTerm(state)) answer(state, request, state.commitIndex);
  // Over the limit it is dropped: the follower asks again with the next heartbeat.
  else if (leader.reads.count < state.config.readsMax) leader.reads.add(request);
}

/** The leader's answer. It stands for all reads that this node asked for before the one it names. */
export function handleReadIndexResult(state: RaftState, message: ReadIndexResult): void {
  const { role } = state;
  if (role.name !== 'follower' || role.leaderId !== message.from) return;
  // A leader answers once it has committed in its own term: the entry at readIndex is of that term.
  if (contradictsCommitted(state, message.from, message.readIndex, message.term)) return;
  const { waitingReads } = role;
  // A request that does not wait was answered before, or asked by an earlier process of this node: its
  // index may be older than the reads that wait now.
  const answered = waitingReads.indexOf(message.requestId) + 1;
  for (const requestId of waitingReads.splice(0, answered)) {
    state.output.confirmRead({ requestId, readIndex: message.readIndex });
  }
  // The leader has committed through readIndex: no need to wait for a heartbeat to say so.
  commitThrough(state, Math.min(message.readIndex, role.verifiedIndex));
}

/**
 * The leader is there, and some requests are not answered: the last one stands for all, should it have been
 * lost.
 */
export function repeatReadRequest(state: RaftState, follower: Follower): void {
  const requestId = follower.waitingReads.at(-1);
  if (requestId !== undefined) askLeader(state, follower, requestId);
}

/** Answers the reads whose round a quorum has acknowledged. */
export function confirmRounds(state: RaftState, leader: Leader): void {
  leader.reads.release(
    (from) => confirmedRound(state, leader, from),
    (request, index) => answer(state, request, index),
  );
}

/** The last round that a quorum acknowledged, for reads of `from`: its asking was its acknowledgement. */
function confirmedRound(state: RaftState, leader: Leader, from: NodeId): number {
  return quorumValue(state.configuration, (node) => {
    if (node === state.nodeId || node === from) return Infinity;
    return leader.progress.get(node)?.acknowledgedRound ?? -Infinity;
  });
}

function answer(state: RaftState, request: ReadRequest, index: LogIndex): void {
  if (request.from === state.nodeId) {
    state.output.confirmRead({ requestId: request.requestId, readIndex: index });
    return;
  }
  state.output.send({
    kind: 'readIndexResult',
    from: state.nodeId,
    to: request.from,
    term: state.currentTerm,
    requestId: request.requestId,
    readIndex: index,
  });
}

function askLeader(state: RaftState, follower: Follower, requestId: number): void {
  if (follower.leaderId === undefined) return;
  sendResult(state, {
    kind: 'readIndex',
    from: state.nodeId,
    to: follower.leaderId,
    term: state.currentTerm,
    requestId,
  });
}
