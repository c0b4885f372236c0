// Election Safety: "at most one leader can be elected in a given term" (Figure 3.2). A node that led a
// term, crashed and came back may not lead the same term again either: its vote for itself is used up.

import type { NodeId } from '../../../base/env.js';
import type { Term } from '../../../raft/types.js';
import type { Observation, RaftChecker } from './node-view.js';
import type { Violations } from '../violations.js';

export class ElectionChecker implements RaftChecker {
  private readonly leaders = new Map<Term, { readonly nodeId: NodeId; readonly incarnation: number }>();
  private readonly violations: Violations;

  constructor(violations: Violations) {
    this.violations = violations;
  }

  /** Terms that had a leader. */
  get electionCount(): number {
    return this.leaders.size;
  }

  observe(now: Observation): void {
    if (now.role !== 'leader') return;
    const known = this.leaders.get(now.currentTerm);
    if (known === undefined) {
      this.leaders.set(now.currentTerm, { nodeId: now.nodeId, incarnation: now.incarnation });
    } else if (known.nodeId !== now.nodeId || known.incarnation !== now.incarnation) {
      const message =
        `${now.nodeId} (start ${now.incarnation}) leads term ${now.currentTerm}, ` +
        `which ${known.nodeId} (start ${known.incarnation}) led`;
      this.violations.add('electionSafety', now.nodeId, message);
    }
  }
}
