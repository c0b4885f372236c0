// The errors of requests that the client itself gives up: what the caller is told, and with which outcome.
// `none` is said of a write only when no copy of it can take effect any more. Messages name the last cause,
// because the code alone does not tell a stopped cluster from a wrong address.

import { KvorumError, type ErrorCode, type Outcome } from '../../base/errors.js';
import type { PendingRequest } from './pending-request.js';

/** What every address is doing. */
export interface DescribedConnections {
  /** For messages to people. */
  describe(): string;
  /** By address, for `details`. */
  reasons(): Record<string, string>;
}

/** The error of a call that nobody waits for any more. */
export function givenUp(
  request: PendingRequest,
  code: Extract<ErrorCode, 'ABORTED' | 'CLOSED'>,
  message: string,
  cause: unknown,
): KvorumError {
  const { outcome } = request;
  const options = cause === undefined ? { outcome } : { outcome, cause };
  return new KvorumError(code, message + remark(outcome), options);
}

/**
 * The error of a call whose time is over: OVERLOADED when nodes refused it as more than they can do,
 * UNAVAILABLE when nobody could be asked or do it, TIMEOUT when the answer did not come in time.
 */
export function timedOut(
  request: PendingRequest,
  leaderKnown: boolean,
  connections: DescribedConnections,
): KvorumError {
  const { cause, outcome, timeoutMs } = request;
  const endpoints = connections.reasons();
  const details = { timeoutMs, endpoints, ...(cause === undefined ? {} : { cause: cause.code }) };
  const last = cause === undefined ? '' : `; last cause: ${cause.code}: ${cause.message}`;
  const tail = last + remark(outcome);
  if (request.state !== 'sent') {
    if (cause?.code === 'OVERLOADED') {
      const message = `the cluster had more to do than its limits allow for ${timeoutMs} ms${tail}`;
      return new KvorumError('OVERLOADED', message, { outcome, details });
    }
    if (!leaderKnown || cause?.code === 'UNAVAILABLE' || cause?.code === 'NOT_LEADER') {
      const fact = leaderKnown ? 'no node could do it' : 'no leader could be reached';
      const message = `${fact} within ${timeoutMs} ms (${connections.describe()})${tail}`;
      return new KvorumError('UNAVAILABLE', message, { outcome, details });
    }
  }
  return new KvorumError('TIMEOUT', `no answer within ${timeoutMs} ms${tail}`, { outcome, details });
}

function remark(outcome: Outcome): string {
  return outcome === 'unknown' ? '; it may have taken effect' : '';
}
