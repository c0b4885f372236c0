// Where the log ends at its beginning: truncation of its prefix, and the peers that need what is not in it
// any more. The snapshot itself is the state machine's and its sending the server's: what is sent is
// committed state, so neither the term nor the role of who sends it matters, and the core only says who needs
// one, and when it is asked again. Also members whose disk was damaged: what a leader forgets of them.
// Source: Raft dissertation §5.1, §5.3; Figure 5.3.

import { assert } from '../base/assert.js';
import type { Leader, RaftState } from './state.js';
import type { HardState, LogIndex, NodeId, RecoveredState, Term } from './types.js';

/**
 * The state machine's store holds everything through `index`, durably: "the entire system state is written to
 * a snapshot on stable storage, then the entire log up to that point is discarded" (§5.1).
 */
export function truncatePrefix(state: RaftState, index: LogIndex): void {
  const { log, apply, role } = state;
  assert(
    index <= apply.appliedIndex,
    `cannot truncate the log through ${index}: applied is ${apply.appliedIndex}`,
  );
  log.truncatePrefix(index);
  if (role.name !== 'leader') return;
  for (const progress of role.progress.values()) progress.logTruncated();
}

/**
 * The peer has said that it needs an entry that is not in the log any more: "the leader must occasionally
 * send snapshots to followers that lag behind …when the leader has already discarded the next log entry that
 * it needs to send" (§5.3).
 */
export function requestSnapshot(state: RaftState, leader: Leader, peer: NodeId): void {
  state.output.requestSnapshot(peer);
  abandonTransferTo(leader, peer);
}

/** The sending that `sendSnapshots` asked for has ended. */
export function snapshotEnded(state: RaftState, peer: NodeId, installed: boolean): void {
  if (state.role.name === 'leader') state.role.progress.get(peer)?.snapshotEnded(installed);
}

/** The peer has lost what it acknowledged: what is known of its log starts from nothing. */
export function resetPeer(state: RaftState, peer: NodeId): void {
  if (state.role.name !== 'leader') return;
  state.role.progress.get(peer)?.reset();
  abandonTransferTo(state.role, peer);
}

/**
 * What a member starts with after it has installed a snapshot of everything through `base`: nothing but that,
 * and its own promises. `senderTerm`: the sender's currentTerm at or after the moment that the snapshot
 * shows. The member is in that term from now on, as if an AppendEntries of it had brought the entries: a
 * leader that was replaced before they were committed must not lead it any more. Where a sender sends only as
 * long as it leads the term in which this member refused its entries, the member is in that term already, and
 * `term` will do for `senderTerm`.
 */
export function installedState(
  hardState: HardState,
  base: { readonly index: LogIndex; readonly term: Term; readonly senderTerm: Term },
): RecoveredState {
  const { currentTerm, votedFor } = hardState;
  const termLeast = Math.max(base.term, base.senderTerm);
  const isNewTerm = termLeast > currentTerm;
  return {
    hardState: {
      currentTerm: isNewTerm ? termLeast : currentTerm,
      votedFor: isNewTerm ? undefined : votedFor,
      commitIndex: base.index,
    },
    log: {
      baseIndex: base.index,
      baseTerm: base.term,
      lastIndex: base.index,
      termRuns: [],
      recentEntries: [],
    },
  };
}

/** Who cannot be brought up to date in time must not hold up the writes of a hand-over. */
function abandonTransferTo(leader: Leader, peer: NodeId): void {
  if (leader.transfer?.target === peer) leader.transfer = undefined;
}
