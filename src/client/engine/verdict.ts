// What is to be done when a node refuses a request: the table of the client's retries. Pure. A write may be
// sent again with the same stamp whenever the refusal is about the node and not about the request, because
// the state machine recognises the stamp; it may get a new stamp only when no copy with the old one can still
// take effect.

import { isErrorCode, KvorumError, type Outcome } from '../../base/errors.js';
import type { ErrorAnswer } from '../../wire/protocol.js';

export type Verdict =
  /** Send again: to the leader, or to another node. */
  | 'retry'
  /** As `retry`, but the node has more than it can do: always after a back-off. */
  | 'backOff'
  /** Send again in a new session. */
  | 'newSession'
  /** To the caller. */
  | 'fail';

/**
 * Whether the refused copy of a write can still take effect. For these two codes the state machine has judged
 * the copy and not executed it, whatever the node says of the write as a whole.
 */
export function copyIsDead(answer: ErrorAnswer): boolean {
  return answer.outcome === 'none' || answer.code === 'SESSION_EXPIRED' || answer.code === 'STALE';
}

/** `copiesOpen`: copies of the write that may take effect, after this answer. 0 for reads. */
export function judge(code: string, isWrite: boolean, copiesOpen: number): Verdict {
  switch (code) {
    case 'NOT_LEADER':
    case 'UNAVAILABLE':
      return 'retry';
    case 'OVERLOADED':
      return 'backOff';
    case 'SESSION_EXPIRED':
      return isWrite && copiesOpen === 0 ? 'newSession' : 'fail';
    default:
      return 'fail';
  }
}

/**
 * `none` only when no copy can take effect. STALE for a write whose caller waits cannot be explained:
 * `unknown`.
 */
export function outcomeOf(code: string, isWrite: boolean, copiesOpen: number): Outcome {
  return isWrite && (copiesOpen > 0 || code === 'STALE') ? 'unknown' : 'none';
}

/** The error for an answer; a code that this version does not know is kept as it came. */
export function errorOf(code: string, message: string, outcome: Outcome): KvorumError {
  if (isErrorCode(code)) return new KvorumError(code, message, { outcome });
  const error = new KvorumError('INTERNAL', message, { outcome, details: { code } });
  Object.defineProperty(error, 'code', { value: code, enumerable: true });
  return error;
}
