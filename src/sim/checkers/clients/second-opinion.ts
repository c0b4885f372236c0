// A run of the simulator seen by the black box: the same calls and answers as a history file would have them,
// with values and times alone. It shares nothing with the replay by revisions, so that a mistake in one of
// the two does not hide behind the other. What has no place in such a history is left out, which can only
// make the judge milder: what a range says of several keys at one moment becomes one read per key.

import { assertNever } from '../../../base/assert.js';
import type { OperationCall, OperationRecord } from '../../history/history.js';
import type { HistoryOperation } from '../../history/file.js';
import { checkLinearizability } from './linearizability.js';
import type { VersionFact } from './timeline.js';
import type { Violations } from '../violations.js';

/** Runs are small; one that needs more is a fault of the checker, and worth a look. */
const stepsMax = 50_000_000;
const nsPerUs = 1_000;

/** `facts`: the store's history, for what value a condition on a revision means. */
export function checkSecondOpinion(
  operations: readonly OperationRecord[],
  facts: readonly VersionFact[],
  violations: Violations,
): void {
  const found = checkLinearizability(asHistory(operations, facts), { stepsMax });
  if (found.result === 'linearizable') return;
  const reason = found.result === 'violation' ? found.explanation : found.reason;
  violations.add('linearizability', 'history', `key ${found.key}: ${reason}`);
}

/** One operation per key that an operation of the run tells of. Clients may overlap themselves. */
export function asHistory(
  operations: readonly OperationRecord[],
  facts: readonly VersionFact[],
): HistoryOperation[] {
  const keys = new Set(facts.map(({ key }) => key));
  const values = new Map(facts.map(({ key, revision, value }) => [`${revision} ${key}`, value]));
  return operations.flatMap((operation) => {
    const { call } = operation;
    switch (call.kind) {
      case 'put':
      case 'delete':
        return writeOf(operation, call, values);
      case 'get':
        return readsOf(operation, [call.key]);
      case 'range':
        return rangeOf(operation, call, keys);
      default:
        return assertNever(call);
    }
  });
}

type WriteCall = Extract<OperationCall, { kind: 'put' | 'delete' }>;
type RangeCall = Extract<OperationCall, { kind: 'range' }>;

function writeOf(
  operation: OperationRecord,
  call: WriteCall,
  values: ReadonlyMap<string, string>,
): HistoryOperation[] {
  const { result } = operation;
  const isRefused = result?.kind === 'failed' ? result.outcome === 'none' : false;
  // A conflict does not say what was found instead.
  if (isRefused || (result?.kind === 'written' && result.code === 'CONFLICT')) return [];
  const times = timesOf(operation, call.key);
  const out = { st: result?.kind === 'written' ? 'ok' : 'unknown' } as const;
  const v = call.kind === 'put' ? call.value : null;
  if (call.condition === undefined) {
    return v === null ? [{ ...times, op: 'delete', out }] : [{ ...times, op: 'put', v, out }];
  }
  const exp = call.condition === 0 ? null : values.get(`${call.condition} ${call.key}`);
  // Nothing was ever at that revision: it cannot have been written, and if it was, the replay says so.
  return exp === undefined ? [] : [{ ...times, op: 'cas', exp, v, out }];
}

/** Keys without a record among those that were asked for were absent. */
function readsOf(operation: OperationRecord, keys: readonly string[]): HistoryOperation[] {
  const { result } = operation;
  if (result?.kind !== 'read') return [];
  const found = new Map(result.records.map(({ key, value }) => [key, value]));
  return keys.map((key) => ({
    ...timesOf(operation, key),
    op: 'get',
    out: { st: 'ok', v: found.get(key) ?? null },
  }));
}

function rangeOf(
  operation: OperationRecord,
  call: RangeCall,
  known: ReadonlySet<string>,
): HistoryOperation[] {
  const { result } = operation;
  if (result?.kind !== 'read') return [];
  const found = result.records.map(({ key }) => key);
  // A page that is full says nothing of what comes after it.
  const end = found.length < call.limit ? undefined : found.at(-1);
  const asked = [...new Set([...known, ...found])].filter(
    (key) => key >= call.start && (end === undefined || key <= end),
  );
  return readsOf(operation, asked);
}

function timesOf(
  operation: OperationRecord,
  key: string,
): Pick<HistoryOperation, 'c' | 'k' | 'call' | 'ret'> {
  const { client, calledUs, returnedUs } = operation;
  const ret = returnedUs === undefined ? null : Math.round(returnedUs * nsPerUs);
  return { c: client, k: key, call: Math.round(calledUs * nsPerUs), ret };
}
