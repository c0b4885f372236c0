// Linearizability by witness replay: every answer names the revision at which it was given, and the store's
// own history says what the state was at each revision. So each answer is compared with the state at its
// revision, each value must be in history exactly as often as was promised, and revisions must respect real
// time: what returned before another was called comes before it. Sound and near linear, for histories of any
// size.

import type { OperationRecord } from '../../history/history.js';
import { checkAcknowledged } from '../raft/durability.js';
import { checkWrittenOnce, OneRevisionEach } from './exactly-once.js';
import { checkManners } from '../raft/manners.js';
import { checkAnswers, checkRevisionSequence, checkRevisionsInTime } from './revisions.js';
import { Timeline, type VersionFact } from './timeline.js';
import type { Violations } from '../violations.js';

/** Checks a whole run. `facts`: the complete history of the store, by ascending revision. */
export function checkHistory(
  operations: readonly OperationRecord[],
  facts: readonly VersionFact[],
  violations: Violations,
): void {
  const timeline = new Timeline(facts);
  checkRevisionSequence(timeline, violations);
  const revisions = new OneRevisionEach(violations);
  for (const operation of operations) {
    checkWrittenOnce(operation, timeline, violations);
    revisions.check(operation);
    checkAcknowledged(operation, timeline, violations);
    checkAnswers(operation, timeline, violations);
    checkManners(operation, violations);
  }
  checkRevisionsInTime(operations, violations);
}
