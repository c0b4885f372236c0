// What a command's exit code says. A stable contract for scripts, listed in the README; never renumbered.

import { KvorumError } from '../../client/index.js';

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
  denied: 7,
  /** `sim`, `chaos`: a promise to clients or between nodes was broken. */
  safety: 10,
  /** `sim`: the cluster did not come to rest although everything worked. */
  liveness: 11,
  /** `sim`: two runs of one plan differed. */
  determinism: 12,
  /** `sim`: something threw, or a node stopped without a reason. */
  exception: 13,
  /** Ended by Ctrl-C (128 + SIGINT). */
  interrupted: 130,
} as const;

/** A wrong command line; the message names the option. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The exit code for what a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage;
  if (!KvorumError.is(error)) return exitCodes.failure;
  switch (error.code) {
    case 'INVALID_ARGUMENT':
    case 'TOO_LARGE':
    case 'CONFIG':
      return exitCodes.usage;
    case 'CONFLICT':
      return exitCodes.conflict;
    case 'TIMEOUT':
      return exitCodes.timeout;
    case 'ABORTED':
      return exitCodes.interrupted;
    case 'UNAVAILABLE':
    case 'OVERLOADED':
    case 'NOT_LEADER':
    case 'NO_SPACE':
    case 'SESSION_LIMIT':
      return exitCodes.unavailable;
    default:
      return exitCodes.failure;
  }
}
