// All numbers of the client in one place: unit, default and meaning of each. The store's own limits are
// repeated here because the client does not import the state machine; a test holds them equal to `kvLimits`.
// Every queue of the client has its bound here.

import { KvorumError } from '../base/errors.js';

/** The store's limits that the client checks before it sends anything. */
export const storeLimits = {
  keyBytesMax: 4_096,
  valueBytesMax: 1_048_576,
} as const;

/** Longest `timeoutMs`, and longest delay of a timer: 2^31-1. */
export const timeoutMsMax = 2_147_483_647;

/**
 * Sequences of one session that may be ahead of what the client has acknowledged. Half of the server's
 * window, so that a command which carries an older acknowledgement than one before it is still inside.
 */
export const sessionWindow = 2_048;

/** Addresses the client dials at most: endpoints and members together. */
export const addressesMax = 64;

/** Sessions that may have writes waiting besides the current one. */
export const retiredSessionsMax = 8;

/** Times are milliseconds. Every field is an integer of at least 1. */
export interface ClientLimits {
  /** Requests waiting or under way. More are refused with OVERLOADED. */
  readonly requestsMax: number;
  /** Bytes of keys and values of these requests. */
  readonly requestBytesMax: number;
  /** From the start of a dial to the node's hello. */
  readonly dialTimeoutMs: number;
  /** A connection on which requests wait and which is silent for this long is pinged … */
  readonly pingAfterMs: number;
  /** … and closed when it stays silent for this long after; its requests move on. */
  readonly pongTimeoutMs: number;
  /** An idle connection is pinged this often. */
  readonly idlePingMs: number;
  /** Back-off before a node is dialed again, full jitter between the two. */
  readonly reconnectMsMin: number;
  readonly reconnectMsMax: number;
  /** Back-off before a refused request is sent again, full jitter between the two. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  /**
   * A session without an answered write for this long is replaced. Well below the 60 s after which it
   * expires.
   */
  readonly sessionIdleMs: number;
  /** A cluster time learned longer ago than this is not used for a new session. */
  readonly sessionTimeAgeMs: number;
  /** Linearizable reads outstanding on the leader's connection before further ones go to all nodes. */
  readonly leaderReadsMax: number;
  /** Requests outstanding on one connection; more wait in the client. */
  readonly connectionRequestsMax: number;
  /** Bytes in the socket's buffer of one connection; more wait in the client. */
  readonly connectionBufferBytesMax: number;
  /** A node that said NOT_LEADER is not asked as leader again for this long, unless it says that it leads. */
  readonly leaderDenialMs: number;
  /** A node that is behind, or hears no leader, is asked last for what is newest for this long. */
  readonly readDenialMs: number;
  /** Without a leader of the highest known term for this long, one of a lower term is tried. */
  readonly leaderlessMs: number;
  /** How long `close` waits for the session to be closed. */
  readonly closeTimeoutMs: number;
}

export const defaultClientLimits: ClientLimits = {
  requestsMax: 100_000,
  requestBytesMax: 256 * 1_048_576,
  dialTimeoutMs: 3_000,
  pingAfterMs: 2_000,
  pongTimeoutMs: 2_000,
  idlePingMs: 15_000,
  reconnectMsMin: 20,
  reconnectMsMax: 1_000,
  retryMsMin: 5,
  retryMsMax: 500,
  sessionIdleMs: 45_000,
  sessionTimeAgeMs: 20_000,
  leaderReadsMax: 64,
  connectionRequestsMax: 4_096,
  connectionBufferBytesMax: 8 * 1_048_576,
  leaderDenialMs: 200,
  readDenialMs: 5_000,
  leaderlessMs: 1_000,
  closeTimeoutMs: 500,
};

/** The defaults with `overrides` on top. Throws INVALID_ARGUMENT naming the field that is wrong. */
export function resolveLimits(overrides: Partial<ClientLimits> = {}): ClientLimits {
  for (const [name, value] of Object.entries(overrides)) {
    if (!Object.hasOwn(defaultClientLimits, name)) {
      throw new KvorumError('INVALID_ARGUMENT', `limits.${name} is not a limit of the client`);
    }
    if (!Number.isSafeInteger(value) || value < 1 || value > timeoutMsMax) {
      const message = `limits.${name} must be an integer 1 .. ${timeoutMsMax}, not ${String(value)}`;
      throw new KvorumError('INVALID_ARGUMENT', message);
    }
  }
  const limits = { ...defaultClientLimits, ...overrides };
  if (limits.reconnectMsMax < limits.reconnectMsMin) {
    throw new KvorumError(
      'INVALID_ARGUMENT',
      'limits.reconnectMsMax must not be below limits.reconnectMsMin',
    );
  }
  if (limits.retryMsMax < limits.retryMsMin) {
    throw new KvorumError('INVALID_ARGUMENT', 'limits.retryMsMax must not be below limits.retryMsMin');
  }
  return limits;
}
