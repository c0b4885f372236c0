// How clients are treated: "Every request is answered exactly once", in the time that the caller gave it, and
// with an error that is honest about what went wrong. Says nothing about whether an answer is right.

import { describeOperation, type OperationCall, type OperationRecord } from '../../history/history.js';
import type { Violations } from '../violations.js';

/** What a client may be told when things go wrong; every other error of a sound request is a bug. */
const honestErrors = new Set([
  'TIMEOUT',
  'UNAVAILABLE',
  'OVERLOADED',
  'NO_SPACE',
  'SESSION_EXPIRED',
  'SESSION_LIMIT',
]);
/** What belongs to a newer level in a run in which versions meet (world/machine/software.ts). */
const newerCalls: readonly OperationCall['kind'][] = ['delete'];
/** Virtual clients are never busy: an answer is at most this late. */
const lateUsMax = 50_000;

export function checkManners(operation: OperationRecord, violations: Violations): void {
  const { client, call, calledUs, returnedUs, timeoutMs, result } = operation;
  if (returnedUs === undefined || returnedUs > calledUs + timeoutMs * 1000 + lateUsMax) {
    const took =
      returnedUs === undefined ? 'never returned' : `returned after ${(returnedUs - calledUs) / 1000} ms`;
    const message = `${describeOperation(operation)}; ${took}, time allowed ${timeoutMs} ms`;
    violations.add('deadline', client, message);
  }
  const isNewer =
    result?.kind === 'failed' && result.code === 'UNSUPPORTED' && newerCalls.includes(call.kind);
  if (result?.kind === 'failed' && !honestErrors.has(result.code) && !isNewer) {
    violations.add('unexpectedError', client, describeOperation(operation));
  }
}
