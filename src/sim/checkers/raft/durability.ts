// Durability: a write that was acknowledged is there, then and at the end. In a run of the simulator it must
// be in the store's own history under the revision that the client was told. With a history file goes a last
// look at the store, after everything is over: what was acknowledged is what is found, or was written over by
// something that can have come later.

import { describeOperation, type OperationRecord } from '../../history/history.js';
import type { HistoryOperation } from '../../history/file.js';
import { type Finding, Findings } from '../findings.js';
import { evidenceByKey, isOwnRevision, type KeyEvidence, writtenBy } from '../clients/known-versions.js';
import type { Timeline } from '../clients/timeline.js';
import type { Violations } from '../violations.js';

/** One acknowledged write of a run against the store's own history. */
export function checkAcknowledged(
  operation: OperationRecord,
  timeline: Timeline,
  violations: Violations,
): void {
  const { call, result, client } = operation;
  if (call.kind !== 'put' && call.kind !== 'delete') return;
  if (result?.kind !== 'written' || result.code !== 'OK') return;
  if (call.kind === 'delete' && result.count === 0) return;
  const isThere = timeline
    .writtenAt(result.revision)
    .some(
      (fact) => fact.key === call.key && (call.kind === 'put' ? fact.value === call.value : fact.deleted),
    );
  if (isThere) return;
  violations.add('acknowledgedWriteLost', client, `${describeOperation(operation)}; not in history`);
}

/** A key as it was found when everything was over. */
export interface FinalState {
  /** null: absent. */
  readonly value: string | null;
  /** Of the version found; 0 when absent or not known. */
  readonly version: number;
  /** The version's own revision (modRevision); 0 when absent or not known. */
  readonly rev: number;
}

/**
 * Whether every acknowledged write is in `final`, read after all operations had ended; a key that is not in
 * it was absent. Of writes without a revision only time tells which can have come later. Keys of transactions
 * are left out.
 */
export function checkDurability(
  operations: readonly HistoryOperation[],
  final: ReadonlyMap<string, FinalState>,
): Finding[] {
  const findings = new Findings();
  for (const evidence of evidenceByKey(operations)) {
    const found = final.get(evidence.key) ?? { value: null, version: 0, rev: 0 };
    checkFinal(evidence, found, findings);
  }
  return findings.list;
}

function checkFinal({ operations }: KeyEvidence, final: FinalState, findings: Findings): void {
  const writes = operations.filter(mayHaveChanged);
  const finalWrites = writes.filter((write) => writtenBy(write) === final.value);
  for (const write of writes) {
    if (write.out.st !== 'ok') continue;
    const reason = lossOf(write, finalWrites, final);
    if (reason !== undefined) findings.add('acknowledgedWriteLost', reason, write);
  }
}

/**
 * What found nothing to delete is no write: it lost nothing, and the absence that it found is not its doing.
 * A cas that deletes what is absent says the same of itself.
 */
function mayHaveChanged({ op, v, exp, out }: HistoryOperation): boolean {
  if (op === 'get' || out.st === 'fail') return false;
  if (op === 'cas') return !(v === null && exp === null);
  // One of unknown outcome may have deleted something, whatever else stands there.
  return !(op === 'delete' && out.st === 'ok' && out.n === 0);
}

/** Why the write is not in the final state; `undefined` when it is, or can have been written over. */
function lossOf(
  write: HistoryOperation,
  finalWrites: readonly HistoryOperation[],
  final: FinalState,
): string | undefined {
  const own = isOwnRevision(write) ? write.out.rev : undefined;
  const found =
    final.value === null ? 'the key is absent' : `the key is ${final.value} at revision ${final.rev}`;
  if (own !== undefined && final.rev > 0) {
    if (final.rev < own) return `in the end ${found}`;
    const { ver } = write.out;
    const isOther = final.value !== writtenBy(write) || (ver !== undefined && ver !== final.version);
    if (final.rev === own && isOther) return `in the end ${found}, version ${final.version}`;
  }
  if (final.value === writtenBy(write)) return undefined;
  const isExplained = finalWrites.some((other) => canFollow(other, write));
  return isExplained ? undefined : `in the end ${found}, and nothing that came after it can have done that`;
}

/** Whether `other` can have taken effect after `write`. */
function canFollow(other: HistoryOperation, write: HistoryOperation): boolean {
  const [later, earlier] = [other.out.rev, write.out.rev];
  const bothNamed = isOwnRevision(other) && isOwnRevision(write);
  if (bothNamed && later !== undefined && earlier !== undefined) return later > earlier;
  return other.out.st === 'unknown' || (other.ret ?? Infinity) >= write.call;
}
