// Leader Append-Only: "a leader never overwrites or deletes entries in its log; it only appends new
// entries." Log Matching: "if two logs contain an entry with the same index and term, then the logs are
// identical in all entries up through the given index." (Figure 3.2)

import type { LogIndex, Term } from '../../../raft/types.js';
import type { Observation, RaftChecker } from './node-view.js';
import type { Violations } from '../violations.js';

/** Terms and indexes in one key: index below 2^26, term below 2^27. */
const indexFactor = 0x400_0000;

export class LogChecker implements RaftChecker {
  private readonly violations: Violations;
  /** The hash of the log up to each entry that any node ever had, by term and index. */
  private readonly hashes = new Map<number, number>();
  /** Times that a follower removed entries that conflicted. */
  truncationCount = 0;

  constructor(violations: Violations) {
    this.violations = violations;
  }

  /** The hash of the log up to an entry as some node had it. */
  hashOf(index: LogIndex, term: Term): number | undefined {
    return this.hashes.get(term * indexFactor + index);
  }

  observe(now: Observation, before: Observation | undefined): void {
    if (before === undefined && now.log.hashAt(now.log.baseIndex) === undefined) {
      const message = `begins after entry ${now.log.baseIndex} of a log that no node ever had`;
      this.violations.add('logMatching', now.nodeId, message);
    }
    if (now.truncatedFrom !== undefined && before !== undefined) {
      this.truncationCount++;
      const ledThroughout = before.role === 'leader' && now.role === 'leader';
      if (ledThroughout && before.currentTerm === now.currentTerm) {
        const removed = `removed its entries from ${now.truncatedFrom} on`;
        const message = `the leader of term ${now.currentTerm} ${removed}`;
        this.violations.add('leaderAppendOnly', now.nodeId, message);
      }
    }
    for (let index = now.appendedFrom; index <= now.lastIndex; index++) this.checkEntry(now, index);
  }

  private checkEntry(now: Observation, index: LogIndex): void {
    const term = now.log.termAt(index) ?? 0;
    const previousTerm = now.log.termAt(index - 1) ?? 0;
    if (term < previousTerm || term > now.currentTerm) {
      const message = `entry ${index} has term ${term} after ${previousTerm}, in term ${now.currentTerm}`;
      this.violations.add('logMatching', now.nodeId, message);
    }
    const hash = now.log.hashAt(index);
    if (hash === undefined) return;
    const key = term * indexFactor + index;
    const known = this.hashes.get(key);
    if (known === undefined) this.hashes.set(key, hash);
    else if (known !== hash) {
      const message = `the log up to entry ${index} of term ${term} differs from another node's`;
      this.violations.add('logMatching', now.nodeId, message);
    }
  }
}
