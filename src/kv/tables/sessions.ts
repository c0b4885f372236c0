// Client sessions: what makes a write happen exactly once however often it is sent. Per session the outcomes
// above acknowledgedThrough are kept, so that a repeated sequence is answered and not executed. Must never
// execute a request of a session it does not know, nor open a session a second time: a session is forgotten
// only when cluster time has left the span in which its first sequence could open it. All decisions follow
// from entries alone. Source: dissertation §6.3.

import { asBuffer, type ByteString } from '../../base/bytes.js';
import { Hash64 } from '../../base/hash.js';
import {
  kvLimits,
  type KeptCode,
  type KeptResult,
  type RefusalCode,
  type SessionId,
  type SessionStamp,
} from '../commands.js';
import { checkBytes, isSealed, sealRecord } from '../records/record-check.js';
import type { RecordKind } from '../records/record-kind.js';
import {
  corrupt,
  readNumber,
  rotten,
  sessionKey,
  sessionPrefix,
  withoutPrefix,
  writeNumber,
} from '../records/schema.js';
import { ContentHash } from '../state-hash.js';
import type { StoreOperation } from '../store.js';
import { hashTableRecord, type ReplicatedTable, type TableKind } from './table.js';

/** `execute`: the command is new; a result: it was executed before and that was its outcome. */
export type Verdict = 'execute' | RefusalCode | KeptResult;

export interface Session {
  readonly id: SessionId;
  /** Hash of the id, for the state hash. */
  readonly idHigh: number;
  readonly idLow: number;
  /** Cluster time at which the client says it drew the id, milliseconds. */
  readonly createdMs: number;
  /**
   * Cluster time from which on the session may be forgotten, milliseconds. Invariant: at least createdMs plus
   * the session's life, so that a late copy of sequence 1 finds the session or comes too late to open it.
   */
  deadlineMs: number;
  /** The client has all outcomes up to here. Never goes back. */
  acknowledgedThrough: number;
  /** Ended by the client; kept until its deadline only to refuse late copies. */
  closed: boolean;
  /** Sequence to outcome; all sequences are above acknowledgedThrough and within the window. */
  readonly outcomes: Map<number, KeptResult>;
  /** Changed since the last group. */
  isTouched: boolean;
  /** Hash of its record as the last group left it; 0, 0 when it has none. */
  storedHigh: number;
  storedLow: number;
}

// What a session and an outcome count for in the bound of the table. Part of the format: replicas must agree.
const sessionBytes = 256;
const outcomeBytes = 96;

const storedHeaderBytes = 29;
/** Length of one outcome within a session's record, bytes. */
const storedOutcomeBytes = 15;
/** As a session's record has them; never renumbered. */
const codeNumbers: Readonly<Record<KeptCode, number>> = { OK: 0, CONFLICT: 1, TOO_LARGE: 2 };
const codesByNumber: readonly KeptCode[] = byNumber(codeNumbers);

export class SessionTable implements ReplicatedTable {
  readonly hash = new ContentHash();
  private readonly sessions = new Map<SessionId, Session>();
  /** Changed since the last group, in the order of their first change. */
  private touched: Session[] = [];
  private touchedBytes = 0;
  /** Sum of the estimates of all sessions and outcomes. */
  private bytes = 0;
  private openCount = 0;
  /** Never above the earliest deadline. */
  private deadlineBoundMs = Infinity;

  /** Open sessions. */
  get size(): number {
    return this.openCount;
  }

  /** No session ends before this cluster time; exact after each `expire`, a lower bound between. */
  get nextDeadlineMs(): number | undefined {
    return this.sessions.size === 0 ? undefined : this.deadlineBoundMs;
  }

  get groupBytes(): number {
    return this.touchedBytes;
  }

  /**
   * What is to be done with a command, whose stamp is sound. `closes`: it ends its session. Changes nothing.
   */
  judge(stamp: SessionStamp, nowMs: number, closes: boolean): Verdict {
    const session = this.sessions.get(stamp.sessionId);
    if (session === undefined) return this.judgeFirst(stamp, nowMs);
    if (session.closed) return 'SESSION_EXPIRED';
    const { sequence } = stamp;
    if (sequence <= session.acknowledgedThrough) return 'STALE';
    const outcome = session.outcomes.get(sequence);
    if (outcome !== undefined) return outcome;
    const acknowledged = Math.max(session.acknowledgedThrough, acknowledgedBy(stamp));
    if (sequence > acknowledged + kvLimits.sessionWindow) return 'SESSION_LIMIT';
    // Closing keeps no outcome and makes room. When the table is full, only those are refused who fill it:
    // a client with few open outcomes must not stand still because others never acknowledge theirs.
    const isFull = this.bytes + outcomeBytes > kvLimits.sessionTableBytesMax;
    const isRefused = isFull && !closes && session.outcomes.size >= kvLimits.sessionOutcomesAlways;
    return isRefused ? 'SESSION_LIMIT' : 'execute';
  }

  /**
   * Notes that a command came, after `judge` and whatever its verdict: opens or refreshes the session and
   * forgets what the client acknowledges. The session, or `undefined` when the command has none.
   */
  enter(stamp: SessionStamp, nowMs: number, verdict: Verdict): Session | undefined {
    let session = this.sessions.get(stamp.sessionId);
    if (session === undefined) {
      if (verdict !== 'execute') return undefined;
      session = newSession(stamp.sessionId, stamp.createdClusterTimeMs, nowMs);
      this.add(session);
      return session;
    }
    if (session.closed) return session;
    session.deadlineMs = deadlineAfter(session.createdMs, nowMs);
    this.acknowledge(session, acknowledgedBy(stamp));
    return session;
  }

  /** Keeps the outcome of an executed command. */
  keep(session: Session, sequence: number, result: KeptResult): void {
    session.outcomes.set(sequence, result);
    this.bytes += outcomeBytes;
  }

  /** Ends a session at the client's wish. Nothing of it is executed any more. */
  close(session: Session, nowMs: number): void {
    this.bytes -= outcomeBytes * session.outcomes.size;
    session.outcomes.clear();
    session.closed = true;
    this.openCount--;
    session.deadlineMs = session.createdMs + kvLimits.sessionLifeMs;
    if (session.deadlineMs <= nowMs) this.remove(session);
    else this.deadlineBoundMs = Math.min(this.deadlineBoundMs, session.deadlineMs);
  }

  /** After a command of a session that is known: what has become of the session goes into the state hash. */
  note(session: Session, sequence: number, effects: Hash64): void {
    effects
      .number(session.idHigh)
      .number(session.idLow)
      .number(sequence)
      .number(session.acknowledgedThrough)
      .number(session.deadlineMs)
      .number(session.closed ? 1 : 0);
    this.touch(session, storedSessionBytes(session));
  }

  /** Forgets all sessions whose deadline has come. */
  expire(nowMs: number, effects: Hash64): void {
    const expired: Session[] = [];
    let earliest = Infinity;
    for (const session of this.sessions.values()) {
      if (session.deadlineMs <= nowMs) expired.push(session);
      else if (session.deadlineMs < earliest) earliest = session.deadlineMs;
    }
    for (const session of expired) {
      this.bytes -= outcomeBytes * session.outcomes.size;
      if (!session.closed) this.openCount--;
      this.remove(session);
    }
    this.deadlineBoundMs = earliest;
    // The table's order is the order of opening, which after a restart is the order of ids instead.
    expired.sort((a, b) => (a.id < b.id ? -1 : 1));
    for (const session of expired) {
      effects.number(session.idHigh).number(session.idLow);
      this.touch(session, storedOutcomeBytes);
    }
  }

  takeOperations(operations: StoreOperation[]): void {
    for (const session of this.touched) {
      session.isTouched = false;
      const key = sessionKey(session.id);
      this.hash.subtract(session.storedHigh, session.storedLow);
      if (this.sessions.get(session.id) !== session) {
        operations.push({ type: 'delete', key });
        continue;
      }
      const value = encodeSession(session);
      operations.push({ type: 'put', key, value });
      this.noteStored(session, key, value);
    }
    this.touched = [];
    this.touchedBytes = 0;
  }

  restore(storeKey: ByteString, record: Uint8Array): void {
    const session = decodeSession(withoutPrefix(storeKey), record);
    this.noteStored(session, storeKey, record);
    this.add(session);
    this.bytes += outcomeBytes * session.outcomes.size;
    if (session.closed) this.openCount--;
  }

  private noteStored(session: Session, storeKey: ByteString, record: Uint8Array): void {
    const [high, low] = hashTableRecord(storeKey, record);
    session.storedHigh = high;
    session.storedLow = low;
    this.hash.add(high, low);
  }

  /** `recordBytes`: what the session's record takes in the group when it is not in it yet. */
  private touch(session: Session, recordBytes: number): void {
    if (session.isTouched) {
      this.touchedBytes += storedOutcomeBytes;
      return;
    }
    session.isTouched = true;
    this.touched.push(session);
    this.touchedBytes += recordBytes;
  }

  private judgeFirst(stamp: SessionStamp, nowMs: number): Verdict {
    if (stamp.sequence !== 1) return 'SESSION_EXPIRED';
    const ageMs = nowMs - stamp.createdClusterTimeMs;
    // At exactly the session's life a session of this id may have been forgotten in this very entry.
    if (ageMs >= kvLimits.sessionLifeMs || ageMs < -kvLimits.sessionAheadMsMax) return 'SESSION_EXPIRED';
    if (this.openCount >= kvLimits.sessionsMax) return 'SESSION_LIMIT';
    const bytes = this.bytes + sessionBytes + outcomeBytes;
    return bytes > kvLimits.sessionTableBytesMax ? 'SESSION_LIMIT' : 'execute';
  }

  private acknowledge(session: Session, through: number): void {
    const before = session.acknowledgedThrough;
    if (through <= before) return;
    session.acknowledgedThrough = through;
    const { outcomes } = session;
    const sizeBefore = outcomes.size;
    if (through - before <= sizeBefore) {
      for (let sequence = before + 1; sequence <= through; sequence++) outcomes.delete(sequence);
    } else {
      for (const sequence of outcomes.keys()) if (sequence <= through) outcomes.delete(sequence);
    }
    this.bytes -= outcomeBytes * (sizeBefore - outcomes.size);
  }

  private add(session: Session): void {
    this.sessions.set(session.id, session);
    this.bytes += sessionBytes;
    this.openCount++;
    this.deadlineBoundMs = Math.min(this.deadlineBoundMs, session.deadlineMs);
  }

  private remove(session: Session): void {
    this.sessions.delete(session.id);
    this.bytes -= sessionBytes;
  }
}

/**
 * Whether a stamp's numbers can be kept and read back as they are. The door for requests lets no other in; a
 * replica that met one all the same must not come to another state by storing it.
 */
export function isSound(stamp: SessionStamp): boolean {
  return (
    Number.isSafeInteger(stamp.sequence) &&
    Number.isSafeInteger(stamp.acknowledgedThrough) &&
    Number.isSafeInteger(stamp.createdClusterTimeMs) &&
    stamp.createdClusterTimeMs >= 0
  );
}

/** Nobody can have the outcome of a command that is only now executed, whatever the client says. */
function acknowledgedBy(stamp: SessionStamp): number {
  return Math.min(stamp.acknowledgedThrough, stamp.sequence - 1);
}

/**
 * The client may have learned a cluster time that a new leader has not reached yet. Such a session lives on
 * from that time, otherwise it would be forgotten while its first sequence can still open it.
 */
function deadlineAfter(createdMs: number, nowMs: number): number {
  return Math.max(createdMs, nowMs) + kvLimits.sessionLifeMs;
}

function newSession(id: SessionId, createdMs: number, nowMs: number): Session {
  const [idHigh, idLow] = new Hash64().text(id).words();
  return {
    id,
    idHigh,
    idLow,
    createdMs,
    deadlineMs: deadlineAfter(createdMs, nowMs),
    acknowledgedThrough: 0,
    closed: false,
    outcomes: new Map(),
    isTouched: false,
    storedHigh: 0,
    storedLow: 0,
  };
}

function byNumber<C extends string>(numbers: Readonly<Record<C, number>>): C[] {
  const codes: C[] = [];
  for (const code in numbers) codes[numbers[code]] = code;
  return codes;
}

/** Length of the session's record, bytes. */
function storedSessionBytes(session: Session): number {
  return storedHeaderBytes + storedOutcomeBytes * session.outcomes.size + checkBytes;
}

function encodeSession(session: Session): Uint8Array {
  const bytes = Buffer.allocUnsafe(storedSessionBytes(session));
  writeNumber(bytes, session.createdMs, 0);
  writeNumber(bytes, session.deadlineMs, 8);
  writeNumber(bytes, session.acknowledgedThrough, 16);
  bytes[24] = session.closed ? 1 : 0;
  bytes.writeUInt32BE(session.outcomes.size, 25);
  let offset = storedHeaderBytes;
  for (const [sequence, outcome] of session.outcomes) {
    bytes.writeUInt16BE(sequence - session.acknowledgedThrough, offset);
    bytes[offset + 2] = codeNumbers[outcome.code];
    writeNumber(bytes, outcome.revision, offset + 3);
    bytes.writeUInt32BE(outcome.count, offset + 11);
    offset += storedOutcomeBytes;
  }
  return sealRecord(bytes);
}

/** Throws CORRUPT. */
function decodeSession(id: ByteString, record: Uint8Array): Session {
  const bytes = asBuffer(record);
  const storeKey = sessionKey(id);
  const end = bytes.length - checkBytes;
  if (end < storedHeaderBytes) throw corrupt(storeKey, `has only ${bytes.length} bytes`);
  const count = bytes.readUInt32BE(25);
  if (end !== storedHeaderBytes + storedOutcomeBytes * count) {
    throw corrupt(storeKey, `has ${bytes.length} bytes, which does not fit its ${count} outcomes`);
  }
  const createdMs = readNumber(bytes, 0, storeKey);
  const session = newSession(id, createdMs, createdMs);
  session.deadlineMs = readNumber(bytes, 8, storeKey);
  session.acknowledgedThrough = readNumber(bytes, 16, storeKey);
  session.closed = bytes[24] === 1;
  for (let offset = storedHeaderBytes; offset < end; offset += storedOutcomeBytes) {
    const code = codesByNumber[bytes[offset + 2] ?? -1];
    if (code === undefined) throw corrupt(storeKey, `has an unknown outcome at byte ${offset + 2}`);
    session.outcomes.set(session.acknowledgedThrough + bytes.readUInt16BE(offset), {
      code,
      revision: readNumber(bytes, offset + 3, storeKey),
      count: bytes.readUInt32BE(offset + 11),
    });
  }
  if (!isSealed(bytes)) throw rotten(storeKey);
  return session;
}

export const sessionRecord: RecordKind<Session> = {
  keys: sessionPrefix,
  inSnapshot: 'table',
  encode: encodeSession,
  decode: (storeKey, record) => decodeSession(withoutPrefix(storeKey), record),
};

export const sessionTable: TableKind<SessionTable> = {
  record: sessionRecord,
  create: () => new SessionTable(),
};
