// Exactly-once: a write takes place once, whatever was sent again and whatever the client was told; one that
// failed without effect takes place never; and each write has a revision of its own. In a run of the
// simulator the store's history says how often a value was written (values are unique there). In a history
// file the answers say it: a value that one operation wrote and that is found under two revisions, or a key
// whose version has grown by more than the writes that can have made it grow.

import { describeOperation, type OperationRecord } from '../../history/history.js';
import type { HistoryOperation } from '../../history/file.js';
import { type Finding, Findings } from '../findings.js';
import { evidenceByKey, type KeyEvidence, type KnownVersion, namedBy, writtenBy } from './known-versions.js';
import type { Timeline } from './timeline.js';
import type { Violations } from '../violations.js';

/** One write of a run against the store's own history. */
export function checkWrittenOnce(
  operation: OperationRecord,
  timeline: Timeline,
  violations: Violations,
): void {
  const { call, result, client } = operation;
  if (call.kind !== 'put') return;
  const written = timeline.withValue(call.value);
  if (written.length > 1) {
    const revisions = written.map(({ revision }) => revision).join(', ');
    violations.add('appliedTwice', client, `${describeOperation(operation)}; in history at ${revisions}`);
  }
  const isWithout = result?.kind === 'failed' && result.outcome === 'none';
  const isConflict = result?.kind === 'written' && result.code === 'CONFLICT';
  if ((isWithout || isConflict) && written.length > 0) {
    violations.add('falseFailure', client, `${describeOperation(operation)}; yet it is in history`);
  }
}

/** No two acknowledged writes of a run have one revision. */
export class OneRevisionEach {
  private readonly violations: Violations;
  private readonly claimed = new Map<number, OperationRecord>();

  constructor(violations: Violations) {
    this.violations = violations;
  }

  check(operation: OperationRecord): void {
    const { call, result, client } = operation;
    if (result?.kind !== 'written' || result.code !== 'OK') return;
    if (call.kind === 'delete' && result.count === 0) return;
    const other = this.claimed.get(result.revision);
    if (other !== undefined) {
      const both = `${describeOperation(operation)} and ${describeOperation(other)}`;
      this.violations.add('revisionSequence', client, `two writes with one revision: ${both}`);
    }
    this.claimed.set(result.revision, operation);
  }
}

/** The same of a history file with revisions; what has none is taken as unknown. Keys of transactions not. */
export function checkExactlyOnce(operations: readonly HistoryOperation[]): Finding[] {
  const findings = new Findings();
  checkOwnRevisions(operations, findings);
  for (const evidence of evidenceByKey(operations)) {
    checkValuesOnce(evidence, findings);
    checkVersions(evidence, findings);
  }
  return findings.list;
}

function checkOwnRevisions(operations: readonly HistoryOperation[], findings: Findings): void {
  const claimed = new Map<number, HistoryOperation>();
  for (const operation of operations) {
    const own = operation.op === 'txn' ? undefined : namedBy(operation);
    if (own?.isOwn !== true) continue;
    const other = claimed.get(own.revision);
    if (other !== undefined) {
      findings.add('revisionSequence', 'it has one revision with another write', operation, other);
    }
    claimed.set(own.revision, operation);
  }
}

/** A value that only one operation can have written is under one revision; one that failed is nowhere. */
function checkValuesOnce({ operations }: KeyEvidence, findings: Findings): void {
  const writers = new Map<string, HistoryOperation | 'many'>();
  for (const operation of operations) {
    const value = operation.op === 'get' ? null : writtenBy(operation);
    if (value !== null) writers.set(value, writers.has(value) ? 'many' : operation);
  }
  const placeOf = new Map<string, KnownVersion>();
  for (const operation of operations) {
    const named = namedBy(operation);
    if (named === undefined || named.value === null) continue;
    const writer = writers.get(named.value);
    if (writer === undefined || writer === 'many') continue;
    if (writer.out.st === 'fail') {
      findings.add('falseFailure', 'yet its value was found', writer, operation);
    }
    const other = placeOf.get(named.value);
    if (other === undefined) placeOf.set(named.value, named);
    else if (other.revision !== named.revision) {
      const reason = `its value is there at revisions ${other.revision} and ${named.revision}`;
      const evidence = [other.source, operation].filter((source) => source !== writer);
      findings.add('appliedTwice', reason, writer, ...evidence);
    }
  }
}

/**
 * From one known version of a key to the next its number grows by one, and by one more for each write between
 * them that nobody named; it begins again with 1 only after a deletion.
 */
function checkVersions({ versions, unplaced }: KeyEvidence, findings: Findings): void {
  let spareWrites = unplaced.filter((operation) => writtenBy(operation) !== null).length;
  const mayBeDeleted = unplaced.some((operation) => writtenBy(operation) === null);
  let before: KnownVersion | undefined;
  for (const known of versions) {
    const { value, version, source } = known;
    if (value !== null && version !== undefined && (before === undefined || before.version !== undefined)) {
      const grownBy = version - (before?.version ?? 0);
      const missed = grownBy < 1 && mayBeDeleted ? version - 1 : grownBy - 1;
      if (missed < 0 || missed > spareWrites) {
        const from = before === undefined ? '' : `, version ${before.version ?? 0} before it`;
        const reason = `version ${version}${from}; at most ${spareWrites} writes can have come between`;
        const evidence = before === undefined ? [source] : [source, before.source];
        findings.add('appliedTwice', reason, ...evidence);
      } else spareWrites -= missed;
    }
    // After a deletion the count begins anew.
    before = value === null ? undefined : known;
  }
}
