// Why this member has no leader, as far as it knows: what each voter answered when it was asked for its vote,
// or that it has not answered. Told to people; nothing is decided by it. At most one answer for each voter.

import type { VoteRefusal } from './messages.js';
import type { NodeId } from './types.js';

export type VoterAnswer = VoteRefusal | 'granted' | 'silent';

export class Refusals {
  private readonly answers = new Map<NodeId, VoterAnswer>();

  /** A voter is asked; what it said before stays until it answers, or is asked twice in vain. */
  asked(peer: NodeId): void {
    if (!this.answers.has(peer)) this.answers.set(peer, 'silent');
  }

  answered(peer: NodeId, isGranted: boolean, refusal: VoteRefusal | undefined): void {
    this.answers.set(peer, isGranted ? 'granted' : (refusal ?? 'termOver'));
  }

  /** There is a leader, or the link to the peer is gone: what it said is of no account any more. */
  forget(peer?: NodeId): void {
    if (peer === undefined) this.answers.clear();
    else this.answers.delete(peer);
  }

  of(peer: NodeId): VoterAnswer | undefined {
    return this.answers.get(peer);
  }
}
