// Linearizability by witness replay: every answer names the revision at which it was given, and the store's
// own history says what the state was at each revision. So each answer is compared with the state at its
// revision, each value must be in history exactly as often as was promised, and revisions must respect real
// time: what returned before another was called comes before it. Sound and near linear, for histories of
// any size. Source: research §4.6.

import { describeOperation, type OperationRecord, type RecordSeen } from '../history.js';
import type { Violations } from './violations.js';

/** One version of one key, or its deletion, as the store's history has it. */
export interface VersionFact {
  readonly revision: number;
  readonly key: string;
  readonly deleted: boolean;
  readonly value: string;
  readonly createRevision: number;
  readonly version: number;
}

/** Checks a whole run. `facts`: the complete history of the store, by ascending revision. */
export function checkHistory(
  operations: readonly OperationRecord[],
  facts: readonly VersionFact[],
  violations: Violations,
): void {
  const timeline = new Timeline(facts);
  checkRevisions(facts, timeline, violations);
  const claimed = new Map<number, OperationRecord>();
  for (const operation of operations) {
    checkWrite(operation, timeline, claimed, violations);
    checkRead(operation, timeline, violations);
    checkManners(operation, violations);
  }
  checkRealTime(operations, violations);
}

/** The state at each revision. */
class Timeline {
  private readonly byKey = new Map<string, VersionFact[]>();
  private readonly byRevision = new Map<number, VersionFact[]>();
  private readonly byValue = new Map<string, VersionFact[]>();
  private readonly keys: string[];

  constructor(facts: readonly VersionFact[]) {
    for (const fact of facts) {
      add(this.byKey, fact.key, fact);
      add(this.byRevision, fact.revision, fact);
      if (!fact.deleted) add(this.byValue, fact.value, fact);
    }
    this.keys = [...this.byKey.keys()].sort();
  }

  /** The newest version of a key at a revision; `undefined` when it does not exist then. */
  at(key: string, revision: number): VersionFact | undefined {
    const newest = (this.byKey.get(key) ?? []).findLast((fact) => fact.revision <= revision);
    return newest?.deleted === false ? newest : undefined;
  }

  /** All that exists from `start` on at a revision, ascending, at most `limit`. */
  range(start: string, limit: number, revision: number): VersionFact[] {
    const found: VersionFact[] = [];
    for (const key of this.keys) {
      const fact = key >= start ? this.at(key, revision) : undefined;
      if (fact !== undefined && found.length < limit) found.push(fact);
    }
    return found;
  }

  writtenAt(revision: number): readonly VersionFact[] {
    return this.byRevision.get(revision) ?? [];
  }

  withValue(value: string): readonly VersionFact[] {
    return this.byValue.get(value) ?? [];
  }
}

/** "Revision strictly +1 per mutating entry"; creation and version numbers follow from the writes before. */
function checkRevisions(facts: readonly VersionFact[], timeline: Timeline, violations: Violations): void {
  let previous = 0;
  for (const fact of facts) {
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

function checkWrite(
  operation: OperationRecord,
  timeline: Timeline,
  claimed: Map<number, OperationRecord>,
  violations: Violations,
): void {
  const { call, result, client } = operation;
  if (call.kind !== 'put' && call.kind !== 'delete') return;
  const written = call.kind === 'put' ? timeline.withValue(call.value) : [];
  if (written.length > 1) {
    const revisions = written.map(({ revision }) => revision).join(', ');
    violations.add('appliedTwice', client, `${describeOperation(operation)}; in history at ${revisions}`);
  }
  if (result?.kind === 'failed' && result.outcome === 'none' && written.length > 0) {
    violations.add('falseFailure', client, `${describeOperation(operation)}; yet it is in history`);
  }
  if (result?.kind !== 'written') return;
  checkCondition(operation, timeline, violations);
  if (result.code === 'CONFLICT') {
    if (written.length > 0)
      violations.add('falseFailure', client, `${describeOperation(operation)}; yet it is in history`);
    return;
  }
  if (call.kind === 'delete' && result.count === 0) {
    if (timeline.at(call.key, result.revision) === undefined) return;
    violations.add('readValue', client, `${describeOperation(operation)}; the key existed`);
    return;
  }
  const isThere = timeline
    .writtenAt(result.revision)
    .some(
      (fact) => fact.key === call.key && (call.kind === 'put' ? fact.value === call.value : fact.deleted),
    );
  if (!isThere)
    violations.add('acknowledgedWriteLost', client, `${describeOperation(operation)}; not in history`);
  const other = claimed.get(result.revision);
  if (other !== undefined) {
    const both = `${describeOperation(operation)} and ${describeOperation(other)}`;
    violations.add('revisionSequence', client, `two writes with one revision: ${both}`);
  }
  claimed.set(result.revision, operation);
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
  const tookEffect = result.code === 'OK' && !(call.kind === 'delete' && result.count === 0);
  const judgedAt = tookEffect ? result.revision - 1 : result.revision;
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

/** What a client may be told when things go wrong; every other error of a sound request is a bug. */
const honestErrors = new Set([
  'TIMEOUT',
  'UNAVAILABLE',
  'OVERLOADED',
  'NO_SPACE',
  'SESSION_EXPIRED',
  'SESSION_LIMIT',
]);
/** Virtual clients are never busy: an answer is at most this late. */
const lateUsMax = 50_000;

/**
 * "Every request is answered exactly once", in the time that the caller gave it, and with an honest error.
 */
function checkManners(operation: OperationRecord, violations: Violations): void {
  const { client, calledUs, returnedUs, timeoutMs, result } = operation;
  if (returnedUs === undefined || returnedUs > calledUs + timeoutMs * 1000 + lateUsMax) {
    const took =
      returnedUs === undefined ? 'never returned' : `returned after ${(returnedUs - calledUs) / 1000} ms`;
    violations.add(
      'deadline',
      client,
      `${describeOperation(operation)}; ${took}, time allowed ${timeoutMs} ms`,
    );
  }
  if (result?.kind === 'failed' && !honestErrors.has(result.code)) {
    violations.add('unexpectedError', client, describeOperation(operation));
  }
}

/**
 * What returned before another was called has a revision no higher; a write's own revision is higher than
 * that.
 */
function checkRealTime(operations: readonly OperationRecord[], violations: Violations): void {
  const answered = operations.filter((operation) => revisionOf(operation) !== undefined);
  const byReturn = [...answered].sort((a, b) => (a.returnedUs ?? 0) - (b.returnedUs ?? 0));
  const byCall = [...answered].sort((a, b) => a.calledUs - b.calledUs);
  let next = 0;
  let floor = 0;
  let floorOperation: OperationRecord | undefined;
  for (const operation of byCall) {
    for (;;) {
      const returned = byReturn[next];
      if (returned === undefined || (returned.returnedUs ?? 0) >= operation.calledUs) break;
      next++;
      const revision = revisionOf(returned) ?? 0;
      if (revision >= floor) [floor, floorOperation] = [revision, returned];
    }
    const revision = revisionOf(operation) ?? 0;
    const isBehind = tookEffect(operation) ? revision <= floor : revision < floor;
    if (!isBehind || floorOperation === undefined) continue;
    const both =
      `${describeOperation(operation)} was called after ` + `${describeOperation(floorOperation)} returned`;
    violations.add('realTimeOrder', operation.client, both);
  }
}

function revisionOf({ result }: OperationRecord): number | undefined {
  return result === undefined || result.kind === 'failed' ? undefined : result.revision;
}

/** Whether the operation made a revision of its own. */
function tookEffect({ call, result }: OperationRecord): boolean {
  if (result?.kind !== 'written' || result.code !== 'OK') return false;
  return call.kind === 'put' || result.count > 0;
}

function add<K>(map: Map<K, VersionFact[]>, key: K, fact: VersionFact): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [fact]);
  else list.push(fact);
}
