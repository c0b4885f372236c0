// State that only grows while a process lives (Figure 2): currentTerm, commitIndex, lastApplied; the vote,
// which changes only with the term; and the order base <= durably applied <= applied <= committed <= last: a
// log is cut only up to what the store holds durably (§5.1). What was durably applied outlives the process.

import { isRebuilt, type Observation, type RaftChecker } from '../raft/node-view.js';
import type { Violations } from '../violations.js';

export class MonotonicChecker implements RaftChecker {
  private readonly violations: Violations;

  constructor(violations: Violations) {
    this.violations = violations;
  }

  observe(now: Observation, before: Observation | undefined, earlier: Observation | undefined): void {
    this.checkBase(now);
    if (earlier !== undefined) this.checkRestart(now, earlier);
    if (now.commitIndex > now.lastIndex || now.appliedIndex > now.commitIndex) {
      const { appliedIndex, commitIndex, lastIndex } = now;
      const message = `applied ${appliedIndex}, committed ${commitIndex}, last ${lastIndex}`;
      this.violations.add('indexOrder', now.nodeId, message);
    }
    if (before === undefined) return;
    for (const field of ['currentTerm', 'commitIndex', 'appliedIndex', 'baseIndex'] as const) {
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
      const change = `from ${before.votedFor} to ${now.votedFor}`;
      const message = `the vote of term ${now.currentTerm} changed ${change}`;
      this.violations.add('monotonicState', now.nodeId, message);
    }
  }

  private checkBase(now: Observation): void {
    const { baseIndex, durableAppliedIndex, lastIndex, stateMachine } = now;
    if (baseIndex <= lastIndex && (stateMachine === undefined || baseIndex <= durableAppliedIndex)) return;
    const message = `log after ${baseIndex} to ${lastIndex}, durably applied ${durableAppliedIndex}`;
    this.violations.add('indexOrder', now.nodeId, message);
  }

  private checkRestart(now: Observation, earlier: Observation): void {
    // A rebuilt member may have lost its store as well.
    if (now.stateMachine === undefined || isRebuilt(now, earlier)) return;
    const appliedIndex = now.stateMachine.appliedIndex;
    if (appliedIndex >= earlier.durableAppliedIndex) return;
    const message = `had applied ${earlier.durableAppliedIndex} durably, restarted with ${appliedIndex}`;
    this.violations.add('monotonicState', now.nodeId, message);
  }
}
