// All numbers of the client in one place: unit, default and meaning of each. The store's own limits are
// repeated here because the client does not import the state machine; a test holds them equal to `kvLimits`.
// Every queue of the client has its bound here.

import { KvorumError } from '../../base/errors.js';
import { timeoutMsMax } from '../../wire/limits.js';

/** The store's limits that the client checks before it sends anything. */
export const storeLimits = {
  keyBytesMax: 4_096,
  valueBytesMax: 1_048_576,
} as const;

/** Of a call that names no `timeoutMs`: long enough for an election on a busy machine. */
export const defaultCallTimeoutMs = 10_000;

/**
 * Sequences of one session that may be ahead of what the client has acknowledged. Half of the server's
 * window, so that a command which carries an older acknowledgement than one before it is still inside.
 */
export const sessionWindow = 2_048;

/** Addresses the client dials at most: endpoints and members together. */
export const addressesMax = 64;

/** Streams open on one connection. More are refused with OVERLOADED. */
export const streamsMax = 1_000;

/** Sessions that may have writes waiting besides the current one. */
export const retiredSessionsMax = 8;

/** Times end in Ms and are milliseconds. Every field is an integer 1 .. 2^31-1. */
export interface ClientLimits {
  /** Requests waiting or under way. More are refused with OVERLOADED. Default 100,000. */
  readonly requestsMax: number;
  /** Bytes of keys and values of these requests. More are refused with OVERLOADED. Default 268,435,456. */
  readonly requestBytesMax: number;
  /** From the start of a dial to the node's hello. Default 3,000. */
  readonly dialTimeoutMs: number;
  /** A connection on which requests wait and which is silent for this long is pinged … Default 2,000. */
  readonly pingAfterMs: number;
  /** … and closed when it stays silent for this long after; its requests move on. Default 2,000. */
  readonly pongTimeoutMs: number;
  /** An idle connection is pinged this often. Default 15,000. */
  readonly idlePingMs: number;
  /** Shortest back-off before a node is dialed again; it grows with each failure. Default 20. */
  readonly reconnectMsMin: number;
  /** Longest such back-off, full jitter between the two. At least `reconnectMsMin`. Default 1,000. */
  readonly reconnectMsMax: number;
  /** Shortest back-off before a refused request is sent again; it grows with each refusal. Default 5. */
  readonly retryMsMin: number;
  /** Longest such back-off, full jitter between the two. At least `retryMsMin`. Default 500. */
  readonly retryMsMax: number;
  /**
   * A session without an answered write for this long is replaced. Keep it well below the 60 s after which
   * it expires. Default 45,000.
   */
  readonly sessionIdleMs: number;
  /** A cluster time learned longer ago than this is not used for a new session. Default 20,000. */
  readonly sessionTimeAgeMs: number;
  /**
   * Linearizable reads outstanding on the leader's connection before further ones go to all nodes. Default
   * 64.
   */
  readonly leaderReadsMax: number;
  /** Requests outstanding on one connection; more wait in the client. Default 4,096. */
  readonly connectionRequestsMax: number;
  /** Bytes in the socket's buffer of one connection; more wait in the client. Default 8,388,608. */
  readonly connectionBufferBytesMax: number;
  /**
   * A node that said NOT_LEADER is not asked as leader again for this long, unless it says that it leads.
   * Default 200.
   */
  readonly leaderDenialMs: number;
  /**
   * A node that is behind, or hears no leader, is asked last for what is newest for this long. Default
   * 5,000.
   */
  readonly readDenialMs: number;
  /**
   * Without a leader of the highest known term for this long, one of a lower term is tried. Default 1,000.
   */
  readonly leaderlessMs: number;
  /** How long `close` waits for the session to be closed. Default 500. */
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

/**
 * The defaults with `overrides` on top, of which what is `undefined` counts as not given. Throws
 * INVALID_ARGUMENT naming the field that is wrong.
 */
export function resolveLimits(overrides: Partial<ClientLimits> = {}): ClientLimits {
  if (overrides === null || typeof overrides !== 'object' || Array.isArray(overrides)) {
    const given = Array.isArray(overrides) ? 'an array' : String(overrides).slice(0, 80);
    throw new KvorumError('INVALID_ARGUMENT', `limits must be an object, not ${given}`);
  }
  const limits: Record<keyof ClientLimits, number> = { ...defaultClientLimits };
  for (const [name, value] of Object.entries(overrides)) {
    if (!isLimit(name)) {
      const fact = `limits.${name} is not a limit of the client`;
      const names = Object.keys(defaultClientLimits).join(', ');
      throw new KvorumError('INVALID_ARGUMENT', `${fact}; its limits are ${names}`);
    }
    if (value === undefined) continue;
    if (!Number.isSafeInteger(value) || value < 1 || value > timeoutMsMax) {
      const message = `limits.${name} must be an integer 1 .. ${timeoutMsMax}, not ${String(value)}`;
      throw new KvorumError('INVALID_ARGUMENT', message);
    }
    limits[name] = value;
  }
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

function isLimit(name: string): name is keyof ClientLimits {
  return Object.hasOwn(defaultClientLimits, name);
}
