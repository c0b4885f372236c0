// What is to be done when a node refuses a request: the table of the client's retries. Pure. A write may be
// sent again with the same stamp whenever the refusal is about the node and not about the request, because
// the state machine recognises the stamp; it may get a new stamp only when no copy with the old one can still
// take effect.

import { isErrorCode, KvorumError, type ErrorCode, type Outcome } from '../../base/errors.js';

export type Verdict =
  /** Send again: to the leader, or to another node. */
  | 'retry'
  /** As `retry`, but the node has more than it can do: always after a back-off. */
  | 'backOff'
  /** Send again in a new session. */
  | 'newSession'
  /** To the caller. */
  | 'fail';

/** `newSession` holds for writes of which no copy may take effect; others fail. */
const verdicts: Readonly<Record<ErrorCode, Verdict>> = {
  NOT_LEADER: 'retry',
  UNAVAILABLE: 'retry',
  OVERLOADED: 'backOff',
  SESSION_EXPIRED: 'newSession',
  TIMEOUT: 'fail',
  ABORTED: 'fail',
  CLOSED: 'fail',
  CONFLICT: 'fail',
  INVALID_ARGUMENT: 'fail',
  TOO_LARGE: 'fail',
  NO_SPACE: 'fail',
  STALE: 'fail',
  SESSION_LIMIT: 'fail',
  COMPACTED: 'fail',
  FUTURE_REVISION: 'fail',
  PROTOCOL: 'fail',
  // Every node says so until the level is raised, and that is a person's decision.
  UNSUPPORTED: 'fail',
  // What the node has read it cannot read again, and nobody has judged the request.
  FORMAT: 'fail',
  IDENTITY: 'fail',
  CORRUPT: 'fail',
  DIVERGED: 'fail',
  DISK: 'fail',
  CONFIG: 'fail',
  INTERNAL: 'fail',
};

/**
 * `mayHaveEffect`: some copy of the write, after this answer. A code that this version does not know is for
 * the caller.
 */
export function judge(code: string, isWrite: boolean, mayHaveEffect: boolean): Verdict {
  const verdict = isErrorCode(code) ? verdicts[code] : 'fail';
  return verdict === 'newSession' && (!isWrite || mayHaveEffect) ? 'fail' : verdict;
}

/** The error for an answer; a code that this version does not know is kept as it came. */
export function errorOf(code: string, message: string, outcome: Outcome): KvorumError {
  if (isErrorCode(code)) return new KvorumError(code, message, { outcome });
  const error = new KvorumError('INTERNAL', message, { outcome, details: { code } });
  Object.defineProperty(error, 'code', { value: code, enumerable: true });
  return error;
}
