// What clients can ask of the replicated state machine, decoded, and what it answers. The bytes are `wire`'s
// matter. Keys are ByteStrings (see base/bytes.ts); revisions are integers from 1 below 2^53.

import type { ByteString } from '../base/bytes.js';
import type { ErrorCode } from '../base/errors.js';

/** Number of a committed write transaction; the store's version. 0 stands before the first write. */
export type Revision = number;

/** 128 random bits drawn by the client, as a ByteString of 16 bytes. */
export type SessionId = ByteString;

/** How a client's write is recognised however often it is sent (dissertation §6.3). */
export interface SessionStamp {
  readonly sessionId: SessionId;
  /** Cluster time in milliseconds when the client drew the id, learned in the handshake. */
  readonly createdClusterTimeMs: number;
  /** From 1, one per write of the session; 1 opens the session. */
  readonly sequence: number;
  /** The client has the outcomes of all sequences up to this one. */
  readonly acknowledgedThrough: number;
}

export interface PutOperation {
  readonly kind: 'put';
  readonly key: ByteString;
  readonly value: Uint8Array;
  readonly condition?: Condition;
}

export interface DeleteOperation {
  readonly kind: 'delete';
  readonly key: ByteString;
  readonly condition?: Condition;
}

/** Deletes every key in start (inclusive) .. end (exclusive; `undefined`: to the last key). */
export interface DeleteRangeOperation {
  readonly kind: 'deleteRange';
  readonly start: ByteString;
  readonly end: ByteString | undefined;
}

/** Ends the session of the stamp, forgetting its outcomes. */
export interface CloseSessionOperation {
  readonly kind: 'closeSession';
}

export type Condition =
  /** The key's modRevision must be this one; 0: the key must not exist (`ifAbsent`). */
  { readonly kind: 'modRevision'; readonly revision: Revision };

export type ClientOperation = PutOperation | DeleteOperation | DeleteRangeOperation | CloseSessionOperation;

/** One write of a client. */
export interface ClientCommand {
  readonly kind: 'client';
  readonly session: SessionStamp;
  readonly operation: ClientOperation;
}

/** From the leader: what is over by the cluster time of the entry ends, in every table; apply looks again. */
export interface ExpireTablesCommand {
  readonly kind: 'expireTables';
}

/** From the leader: the state goes to this format level (format-level.ts), and never down. */
export interface RaiseFormatCommand {
  readonly kind: 'raiseFormat';
  readonly level: number;
}

export type Command = ClientCommand | ExpireTablesCommand | RaiseFormatCommand;

/** Commands that only a leader makes. */
export type LeaderCommand = Exclude<Command, ClientCommand>;

/** Times of an entry, from its header. */
export interface EntryTimes {
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
}

/** What became of a command that was executed. */
export type KeptCode = 'OK' | Extract<ErrorCode, 'CONFLICT' | 'TOO_LARGE'>;

/**
 * Why a command was not executed, which tells only of its session and of the format level; not kept, so the
 * same request may meet another verdict.
 */
export type RefusalCode = Extract<ErrorCode, 'STALE' | 'SESSION_EXPIRED' | 'SESSION_LIMIT' | 'UNSUPPORTED'>;

/**
 * What became of one command. Stored per session as it is, so it stays small: at most 64 bytes.
 * `revision`: the store's revision after the command (for a conflict: at which the condition was judged).
 */
export interface ResultOf<C extends KeptCode | RefusalCode> {
  readonly code: C;
  readonly revision: Revision;
  /**
   * Keys deleted by a delete; 0 for others. For TOO_LARGE: the keys found in the range, at least the limit.
   */
  readonly count: number;
}

/** Of a command that was executed: its session keeps it for those who ask again. */
export type KeptResult = ResultOf<KeptCode>;
export type CommandResult = KeptResult | ResultOf<RefusalCode>;

/** One version of one key. */
export interface KeyRecord {
  readonly key: ByteString;
  readonly value: Uint8Array;
  /** Revision of the put that brought the key into being. */
  readonly createRevision: Revision;
  /** Revision of this version. */
  readonly modRevision: Revision;
  /** 1 for the put that created it, one more with each put since. */
  readonly version: number;
  /** 0: no lease. */
  readonly leaseId: number;
}

/** Limits of the store, the same on every node: part of the format, not of the configuration. */
export const kvLimits = {
  keyBytesMax: 4_096,
  valueBytesMax: 1_048_576,
  /** Keys, and bytes of keys, that one command may touch. */
  commandKeysMax: 10_000,
  commandBytesMax: 8 * 1_048_576,
  /** A session without a write for this long, in cluster time, ends. */
  sessionLifeMs: 60_000,
  /** How far a session's creation time may lie ahead of the cluster time of the entry that would open it. */
  sessionAheadMsMax: 300_000,
  sessionsMax: 10_000,
  /** Outcomes kept above acknowledgedThrough in one session; also how far sequences may run ahead of it. */
  sessionWindow: 4_096,
  /** Estimated bytes of the whole session table. */
  sessionTableBytesMax: 64 * 1_048_576,
  /**
   * Outcomes that a session may hold also when the table is full; all sessions together at most as much
   * again.
   */
  sessionOutcomesAlways: 64,
} as const;
