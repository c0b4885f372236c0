// The one error type that reaches users, and the table of all its codes. Codes are a stable contract;
// messages may change and are never parsed. A message names what was wrong, its limit or place, and what to
// do about it.

/**
 * Every code, with whether the same request can succeed later as it is (`retryable`).
 * A code sent by a newer server that is not in this table is kept as it came and is not retried.
 */
export const errorCodes = {
  /** No leader, no quorum or no connection before the deadline. */
  UNAVAILABLE: { retryable: true },
  /** The caller's `timeoutMs` passed. */
  TIMEOUT: { retryable: true },
  /** The caller's signal aborted the call. */
  ABORTED: { retryable: false },
  /** The client was closed while the call was waiting, or before it began. */
  CLOSED: { retryable: false },
  /** The node has more requests waiting than its limit; what it refused for that was not done. */
  OVERLOADED: { retryable: true },
  /** The node asked is not the leader. Followed inside the client. */
  NOT_LEADER: { retryable: true },
  /** A condition (`ifRevision`, `ifAbsent`) did not hold. Nothing was changed. */
  CONFLICT: { retryable: false },
  /** The argument is wrong: which one and why is in the message. */
  INVALID_ARGUMENT: { retryable: false },
  /** Key, value, command or range over its limit; the message names the limit. */
  TOO_LARGE: { retryable: false },
  /** The log or the disk is at its quota. Reads, deletes and replication go on. */
  NO_SPACE: { retryable: true },
  /** The client's session is unknown or has expired, so whether the write ran before cannot be told. */
  SESSION_EXPIRED: { retryable: false },
  /** The sequence was acknowledged by the client earlier: a late duplicate. Never executed. */
  STALE: { retryable: false },
  /** The cluster holds its limit of sessions, or a session its limit of open requests. */
  SESSION_LIMIT: { retryable: true },
  /** The revision asked for was compacted away. No node says so yet: it comes with compaction. */
  COMPACTED: { retryable: false },
  /** The revision asked for is above the newest one. */
  FUTURE_REVISION: { retryable: false },
  /** Bytes that are not of the protocol, or of a version this node does not speak. */
  PROTOCOL: { retryable: false },
  /** The cluster's format level does not know this yet; the message names the command that raises it. */
  UNSUPPORTED: { retryable: false },
  /**
   * Data, an entry or a snapshot of a format level above this software's. Not damage: nothing is repaired,
   * newer software reads it.
   */
  FORMAT: { retryable: false },
  /** Another cluster, another node or other data than expected. */
  IDENTITY: { retryable: false },
  /** A file of kvorum's is damaged or of a newer format; the message names file and offset. */
  CORRUPT: { retryable: false },
  /** What this node holds contradicts what a majority of the members agrees on; it answers nothing more. */
  DIVERGED: { retryable: false },
  /** The operating system refused a file operation; the message names file, offset and errno. */
  DISK: { retryable: false },
  /** The configuration file, a flag or an environment variable is wrong. */
  CONFIG: { retryable: false },
  /** A bug in kvorum. */
  INTERNAL: { retryable: false },
} as const satisfies Record<string, { retryable: boolean }>;

export type ErrorCode = keyof typeof errorCodes;

/**
 * What is known about the effect of the request that failed: `none`, it had none; `unknown`, it may have
 * had.
 */
export type Outcome = 'none' | 'unknown';

export interface KvorumErrorOptions {
  readonly outcome?: Outcome;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

const brand = Symbol.for('kvorum.error');

/**
 * The error of every public call. Test it with `KvorumError.is`, which also works across copies of the
 * package.
 */
export class KvorumError extends Error {
  override readonly name: string = 'KvorumError';
  readonly code: ErrorCode;
  /**
   * Whether making the same call again can succeed and cannot do harm. Never with outcome `unknown`: a new
   * call is a new request, and may undo what others wrote after the first one took effect.
   */
  readonly retryable: boolean;
  /** `none`: the request had no effect. `unknown`: it may have taken effect. Reads are always `none`. */
  readonly outcome: Outcome;
  /** Facts for programs: limits, offsets, the field's path. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: KvorumErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.outcome = options.outcome ?? 'none';
    this.retryable = errorCodes[code].retryable && this.outcome === 'none';
    this.details = options.details ?? {};
    Object.defineProperty(this, brand, { value: true });
    // A copy by spreading has it too.
    Object.defineProperty(this, 'message', { enumerable: true });
  }

  /** What matters of it, for `JSON.stringify`. */
  toJSON(): Record<string, unknown> {
    const { name, code, message, outcome, retryable, details, cause } = this;
    const reason = cause instanceof Error ? cause.message : cause;
    return {
      name,
      code,
      message,
      outcome,
      retryable,
      details,
      ...(reason === undefined ? {} : { cause: reason }),
    };
  }

  /** Whether `error` is a KvorumError, with the given code if one is given. */
  static is(error: unknown, code?: ErrorCode): error is KvorumError {
    if (!(error instanceof Error) || !(brand in error)) return false;
    return code === undefined || (error as unknown as KvorumError).code === code;
  }
}

/** Whether `code` is one of the table's. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code);
}
