// "If votes received from majority of servers: become leader" (Figure 2, Candidates). Two leaders of one term
// are what follows when a candidate takes less, but only where another one stands in the same moment; so the
// votes are counted again here, from what a core was given. A pre-vote is none.

import type { NodeId } from '../../../base/env.js';
import type { Input } from '../../../raft/io.js';
import type { Term } from '../../../raft/types.js';
import type { Observation, RaftChecker } from './node-view.js';
import type { Violations } from '../violations.js';

interface Granted {
  term: Term;
  readonly voters: Set<NodeId>;
}

export class VoteCountChecker implements RaftChecker {
  private readonly violations: Violations;
  private readonly members: readonly NodeId[];
  /** The votes that reached each member since its start, of the newest term in which one did. */
  private readonly granted = new Map<NodeId, Granted>();

  /** `members`: names of all voters. */
  constructor(violations: Violations, members: readonly NodeId[]) {
    this.violations = violations;
    this.members = members;
  }

  replicaStarted(nodeId: NodeId): void {
    this.granted.set(nodeId, { term: 0, voters: new Set() });
  }

  stepped(nodeId: NodeId, input: Input): void {
    if (input.kind !== 'message' || input.message.kind !== 'requestVoteResult') return;
    const { voteGranted, term, from } = input.message;
    const granted = this.granted.get(nodeId);
    if (!voteGranted || granted === undefined || term < granted.term) return;
    if (term > granted.term) granted.voters.clear();
    granted.term = term;
    granted.voters.add(from);
  }

  observe(now: Observation, before: Observation | undefined): void {
    const tookOver = before?.role !== 'leader' || before.currentTerm !== now.currentTerm;
    const granted = this.granted.get(now.nodeId);
    if (now.role !== 'leader' || !tookOver || granted === undefined) return;
    const voters = new Set(granted.term === now.currentTerm ? granted.voters : []).add(now.nodeId);
    if (2 * voters.size > this.members.length) return;
    const message = `leads term ${now.currentTerm} with the votes of ${[...voters].join(', ')} only`;
    this.violations.add('electionSafety', now.nodeId, message);
  }
}
