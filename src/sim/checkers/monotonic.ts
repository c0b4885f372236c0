// State that only grows while a process lives (Figure 2): currentTerm, commitIndex, lastApplied; the vote,
// which changes only with the term (research row 3); and the order applied <= committed <= last.

import type { Observation, RaftChecker } from './node-view.js';
import type { Violations } from './violations.js';

export class MonotonicChecker implements RaftChecker {
  private readonly violations: Violations;

  constructor(violations: Violations) {
    this.violations = violations;
  }

  observe(now: Observation, before: Observation | undefined): void {
    if (now.commitIndex > now.lastIndex || now.appliedIndex > now.commitIndex) {
      const { appliedIndex, commitIndex, lastIndex } = now;
      const message = `applied ${appliedIndex}, committed ${commitIndex}, last ${lastIndex}`;
      this.violations.add('indexOrder', now.nodeId, message);
    }
    if (before === undefined) return;
    for (const field of ['currentTerm', 'commitIndex', 'appliedIndex'] as const) {
      if (now[field] < before[field]) {
        this.violations.add(
          'monotonicState',
          now.nodeId,
          `${field} fell from ${before[field]} to ${now[field]}`,
        );
      }
    }
    const sameTerm = now.currentTerm === before.currentTerm;
    if (sameTerm && before.votedFor !== undefined && now.votedFor !== before.votedFor) {
      const message =
        `the vote of term ${now.currentTerm} changed from ${before.votedFor} to ` + `${now.votedFor}`;
      this.violations.add('monotonicState', now.nodeId, message);
    }
  }
}
