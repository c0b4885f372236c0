// Answers against revisions: revisions are counted without gaps, every answer fits the state at the revision
// that it names, conditions were judged on the state just before, and revisions respect real time. In a run
// of the simulator the state at each revision is known. In a history file it is known as far as answers name
// it: between two known versions there may be one of a write that nobody places, and then the doubt is for
// the store.

import { describeOperation, type OperationRecord, type RecordSeen } from '../../history/history.js';
import type { HistoryOperation } from '../../history/file.js';
import { type Finding, Findings } from '../findings.js';
import {
  evidenceByKey,
  foundBy,
  isOwnRevision,
  type KeyEvidence,
  namedBy,
  newestAt,
} from './known-versions.js';
import { checkRealTimeOrder, type Placed } from './real-time.js';
import type { Timeline, VersionFact } from './timeline.js';
import type { Violations } from '../violations.js';

/** "Revision strictly +1 per mutating entry"; creation and version numbers follow from the writes before. */
export function checkRevisionSequence(timeline: Timeline, violations: Violations): void {
  let previous = 0;
  for (const fact of timeline.facts) {
    if (fact.revision !== previous && fact.revision !== previous + 1) {
      violations.add('revisionSequence', 'history', `revision ${fact.revision} follows ${previous}`);
    }
    previous = fact.revision;
    if (fact.deleted) continue;
    const before = timeline.at(fact.key, fact.revision - 1);
    const version = (before?.version ?? 0) + 1;
    const createRevision = before?.createRevision ?? fact.revision;
    if (fact.version !== version || fact.createRevision !== createRevision) {
      const message =
        `${fact.key} at revision ${fact.revision} is version ${fact.version}, created at ` +
        `${fact.createRevision}; by its history version ${version}, created at ${createRevision}`;
      violations.add('revisionSequence', 'history', message);
    }
  }
}

/** What an operation was told of the state: a read of the records, a write of its condition. */
export function checkAnswers(operation: OperationRecord, timeline: Timeline, violations: Violations): void {
  const { call, result, client } = operation;
  if (result?.kind === 'read') {
    checkRead(operation, timeline, violations);
  } else if (result?.kind === 'written' && (call.kind === 'put' || call.kind === 'delete')) {
    checkCondition(operation, timeline, violations);
    const foundNothing = call.kind === 'delete' && result.code === 'OK' && result.count === 0;
    if (!foundNothing || timeline.at(call.key, result.revision) === undefined) return;
    violations.add('readValue', client, `${describeOperation(operation)}; the key existed`);
  }
}

function checkCondition(operation: OperationRecord, timeline: Timeline, violations: Violations): void {
  const { call, result, client } = operation;
  if (result?.kind !== 'written' || (call.kind !== 'put' && call.kind !== 'delete')) return;
  if (call.condition === undefined) {
    if (result.code === 'CONFLICT') {
      violations.add('conditionJudged', client, `${describeOperation(operation)}; there was no condition`);
    }
    return;
  }
  // A write that took place was judged on the state just before its own revision; one that did not, at the
  // revision it names. A delete of nothing leaves no revision of its own either.
  const judgedAt = tookEffect(operation) ? result.revision - 1 : result.revision;
  const actual = timeline.at(call.key, judgedAt)?.revision ?? 0;
  if ((actual === call.condition) !== (result.code === 'OK')) {
    violations.add('conditionJudged', client, `${describeOperation(operation)}; the key was at ${actual}`);
  }
}

function checkRead(operation: OperationRecord, timeline: Timeline, violations: Violations): void {
  const { call, result, client } = operation;
  if (result?.kind !== 'read' || (call.kind !== 'get' && call.kind !== 'range')) return;
  const expected =
    call.kind === 'range'
      ? timeline.range(call.start, call.limit, result.revision)
      : [timeline.at(call.key, result.revision)].filter((fact) => fact !== undefined);
  const isSame =
    expected.length === result.records.length &&
    expected.every((fact, i) => isSameRecord(fact, result.records[i]));
  if (isSame) return;
  const words = expected.map(({ key, value, revision }) => `${key}=${value}@${revision}`).join(', ');
  violations.add('readValue', client, `${describeOperation(operation)}; history says [${words}]`);
}

function isSameRecord(fact: VersionFact, seen: RecordSeen | undefined): boolean {
  return (
    seen !== undefined &&
    fact.key === seen.key &&
    fact.value === seen.value &&
    fact.revision === seen.modRevision &&
    fact.createRevision === seen.createRevision &&
    fact.version === seen.version
  );
}

/** Of a whole run; see real-time.ts. */
export function checkRevisionsInTime(operations: readonly OperationRecord[], violations: Violations): void {
  const placed: Placed<OperationRecord>[] = [];
  for (const operation of operations) {
    const { result, calledUs, returnedUs } = operation;
    if (result === undefined || result.kind === 'failed') continue;
    const { revision } = result;
    const isWrite = tookEffect(operation);
    placed.push({ operation, called: calledUs, returned: returnedUs ?? 0, revision, isWrite });
  }
  checkRealTimeOrder(placed, (behind, returnedBefore) => {
    const returned = `${describeOperation(returnedBefore)} returned`;
    const both = `${describeOperation(behind)} was called after ${returned}`;
    violations.add('realTimeOrder', behind.client, both);
  });
}

/** Whether the operation made a revision of its own. */
function tookEffect({ call, result }: OperationRecord): boolean {
  if (result?.kind !== 'written' || result.code !== 'OK') return false;
  return call.kind === 'put' || result.count > 0;
}

/**
 * A history file whose answers name revisions, replayed in their order. Answers without any are not judged,
 * and keys of transactions are left out. Complete only together with `checkExactlyOnce`.
 */
export function checkByRevisions(operations: readonly HistoryOperation[]): Finding[] {
  const findings = new Findings();
  const evidence = evidenceByKey(operations);
  for (const ofKey of evidence) {
    for (const [one, other] of ofKey.contradictions) {
      const reason = `another answer tells otherwise of revision ${one.revision}`;
      findings.add('readValue', reason, one.source, other.source);
    }
    for (const operation of ofKey.operations) checkFound(operation, ofKey, findings);
    checkOwnersOfVersions(ofKey, findings);
    checkKeyInTime(ofKey, findings);
  }
  checkStoreInTime(evidence, findings);
  return findings.list;
}

/** What an operation found, against the newest known version at the revision it was looked for. */
function checkFound(operation: HistoryOperation, evidence: KeyEvidence, findings: Findings): void {
  const { op, exp, out } = operation;
  const isSwap = op === 'cas' && out.st === 'ok';
  const found = isSwap ? exp : foundBy(operation);
  if (found === undefined || out.rev === undefined) return;
  // What a write replaced was there just before its own revision.
  const at = isSwap && isOwnRevision(operation) ? out.rev - 1 : out.rev;
  const newest = newestAt(evidence, at);
  const id = isSwap ? 'conditionJudged' : 'readValue';
  const named = isSwap ? undefined : namedBy(operation);
  if (named !== undefined && named.revision > at) {
    findings.add(id, `what it found is of a later revision than ${at}`, operation);
  } else if (newest === undefined) {
    if (found === null || named !== undefined || isWrittenByUnplaced(found, operation, evidence)) return;
    findings.add(id, `nobody had written that by revision ${at}`, operation);
  } else {
    const isSame = named === undefined ? newest.value === found : newest.revision <= named.revision;
    if (isSame || (named === undefined && isWrittenByUnplaced(found, operation, evidence))) return;
    findings.add(id, `at revision ${at} there was what this one tells of:`, operation, newest.source);
  }
}

/** A version that was only found must be of a write that nobody places. */
function checkOwnersOfVersions(evidence: KeyEvidence, findings: Findings): void {
  for (const { value, isOwn, source, revision } of evidence.versions) {
    if (isOwn || isWrittenByUnplaced(value, source, evidence)) continue;
    const written = evidence.versions.find((other) => other.isOwn && other.value === value);
    const reason = `nobody wrote that at revision ${revision}`;
    // The same value under another revision is for exactly-once.ts.
    if (written === undefined) findings.add('readValue', reason, source);
  }
}

function isWrittenByUnplaced(
  value: string | null,
  finder: HistoryOperation,
  { unplacedSince }: KeyEvidence,
): boolean {
  return (unplacedSince.get(value) ?? Infinity) <= (finder.ret ?? 0);
}

/**
 * Within a key the versions that answers name respect real time, also those of reads that name nothing else.
 */
function checkKeyInTime({ operations }: KeyEvidence, findings: Findings): void {
  const placed: Placed<HistoryOperation>[] = [];
  for (const operation of operations) {
    const named = namedBy(operation);
    if (named === undefined || operation.ret === null) continue;
    const { call: called, ret: returned } = operation;
    placed.push({ operation, called, returned, revision: named.revision, isWrite: named.isOwn });
  }
  checkRealTimeOrder(placed, (behind, returnedBefore) => {
    findings.add(
      'realTimeOrder',
      'a later version had been told of before it was called:',
      behind,
      returnedBefore,
    );
  });
}

/** The revisions at which the whole store was looked at or changed. */
function checkStoreInTime(evidence: readonly KeyEvidence[], findings: Findings): void {
  const placed: Placed<HistoryOperation>[] = [];
  for (const operation of evidence.flatMap(({ operations }) => operations)) {
    const { call: called, ret: returned, out } = operation;
    if (out.rev === undefined || returned === null || out.st === 'unknown') continue;
    placed.push({ operation, called, returned, revision: out.rev, isWrite: isOwnRevision(operation) });
  }
  checkRealTimeOrder(placed, (behind, returnedBefore) => {
    findings.add('realTimeOrder', 'the store was further before it was called:', behind, returnedBefore);
  });
}
