// What a command's exit code says. A stable contract for scripts, listed in the README; never renumbered.

import { KvorumError, type ErrorCode } from '../../client/index.js';

export const exitCodes = {
  ok: 0,
  /** Anything that has no number of its own, a bug included. */
  failure: 1,
  /** The command line, an environment variable, the cluster file or an argument is wrong, or too large. */
  usage: 2,
  keyNotFound: 3,
  /** A condition (`--if-revision`, `--if-absent`) did not hold. */
  conflict: 4,
  /** No leader, no quorum, or a node at its limits: the same command can succeed later. */
  unavailable: 5,
  timeout: 6,
  /** Nothing ends with it yet: it comes with access control. */
  denied: 7,
  /** `sim`, `chaos`: a promise was broken; `status`: members do not hold the same. */
  safety: 10,
  /** `sim`, `chaos`: the cluster did not come to rest although everything worked. */
  liveness: 11,
  /** `sim`: two runs of one plan differed. */
  determinism: 12,
  /** `sim`, `chaos`: something threw, or a node stopped without a reason. */
  exception: 13,
  /** Ended by Ctrl-C (128 + SIGINT). */
  interrupted: 130,
} as const;

/** A wrong command line; the message names the option. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const exitCodeByError = {
  UNAVAILABLE: exitCodes.unavailable,
  TIMEOUT: exitCodes.timeout,
  ABORTED: exitCodes.interrupted,
  CLOSED: exitCodes.failure,
  OVERLOADED: exitCodes.unavailable,
  NOT_LEADER: exitCodes.unavailable,
  CONFLICT: exitCodes.conflict,
  INVALID_ARGUMENT: exitCodes.usage,
  TOO_LARGE: exitCodes.usage,
  NO_SPACE: exitCodes.unavailable,
  SESSION_EXPIRED: exitCodes.failure,
  STALE: exitCodes.failure,
  SESSION_LIMIT: exitCodes.unavailable,
  COMPACTED: exitCodes.failure,
  FUTURE_REVISION: exitCodes.failure,
  PROTOCOL: exitCodes.failure,
  UNSUPPORTED: exitCodes.failure,
  FORMAT: exitCodes.failure,
  IDENTITY: exitCodes.failure,
  CORRUPT: exitCodes.failure,
  DIVERGED: exitCodes.failure,
  DISK: exitCodes.failure,
  CONFIG: exitCodes.usage,
  INTERNAL: exitCodes.failure,
} as const satisfies Record<ErrorCode, number>;

/** The exit code for what a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage;
  if (!KvorumError.is(error)) return exitCodes.failure;
  // A code of a newer server is not in the table.
  return Object.hasOwn(exitCodeByError, error.code) ? exitCodeByError[error.code] : exitCodes.failure;
}
