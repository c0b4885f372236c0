// Every key and every record of the state machine in the ordered store, in one place:
//   L/<key>              the key as it is now, fixed size, without its value
//   T/<key>              the last tombstone of a key that is deleted now; a key has L or T or neither
//   V/<revision><sub>    one version (or tombstone) of one key, with its value; never changed once written
//   S/<session id>       one client session
//   M/applied            what the store is the state of; last in every batch
//   M/staging            instead of M/applied: what has arrived of a snapshot that is not whole yet
// Numbers are big endian, so that the order of V is the order of history. Must never read a record it does
// not understand: wrong lengths, kinds and numbers are CORRUPT.

import { asBuffer, type ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import type { Revision } from '../commands.js';
import { checkBytes, isSealed, sealRecord } from './record-check.js';
import type { StoreRange } from '../store.js';

/** Raised when the meaning of any record changes. A store of a newer version is refused. */
export const storeFormatVersion = 4;

/** The newest state of a key, or of its deletion: all that `L/` or `T/` tells. */
export interface Head {
  /** A tombstone: only modRevision, sub and the hash mean anything, the rest is 0. */
  readonly deleted: boolean;
  /** Revision of this version or of the deletion. */
  readonly modRevision: Revision;
  /** Place among the keys written by the same revision, from 0. */
  readonly sub: number;
  readonly createRevision: Revision;
  readonly version: number;
  readonly leaseId: number;
  /** Length of the value, bytes. */
  readonly valueBytes: number;
  /** Hash of the record as two unsigned 32-bit words; 0, 0 for a tombstone that was read from the store. */
  readonly hashHigh: number;
  readonly hashLow: number;
}

/** One version of one key with all that `V/` tells. */
export interface Version extends Head {
  readonly key: ByteString;
  readonly value: Uint8Array;
  /** The version or tombstone of the same key before this one; 0 when there is none. */
  readonly previousRevision: Revision;
  readonly previousSub: number;
  /** Length of its value: what reading it costs is known before it is read. */
  readonly previousValueBytes: number;
  /** Only in memory: its group must remove a `T/` of the key, which an earlier group may have written. */
  readonly clearsTombstone: boolean;
}

/** What the store is the state of. Hashes (state-hash.ts) are two unsigned 32-bit words each. */
export interface AppliedRecord {
  /** The last entry whose effects the store holds, in whole and all before it too. */
  readonly appliedIndex: number;
  /** Of that entry. */
  readonly term: number;
  readonly stateHigh: number;
  readonly stateLow: number;
  readonly contentHigh: number;
  readonly contentLow: number;
  /** Of the last write; 0 before the first one. */
  readonly revision: Revision;
  /** The newest stamps among the entries applied. */
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  /** Of the state: decides which commands have an effect (format-level.ts). */
  readonly formatLevel: number;
  /** The sum of the hashes of all records of tables. */
  readonly tablesHigh: number;
  readonly tablesLow: number;
}

/** How much of a snapshot has arrived, and what its current records add up to. */
export interface StagingRecord extends HistoryPlace {
  readonly contentHigh: number;
  readonly contentLow: number;
}

/** A place in history: the record at `revision`, `sub`; 0, 0 stands before the first one. */
export interface HistoryPlace {
  readonly revision: Revision;
  readonly sub: number;
}

export const appliedKey: ByteString = 'M/applied';
export const stagingKey: ByteString = 'M/staging';

export const livePrefix = 'L/';
export const tombstonePrefix = 'T/';
export const versionPrefix = 'V/';
export const sessionPrefix = 'S/';
// '0' follows '/', so these are the exclusive ends of the folders.
const liveEnd = 'L0';
const tombstoneEnd = 'T0';

const prefixLength = 2;
const liveBytes = 48 + checkBytes;
const tombstoneBytes = 12 + checkBytes;
const appliedBytes = 72 + checkBytes;
const stagingBytes = 24 + checkBytes;
const versionKeyLength = 14;

export function liveKey(key: ByteString): ByteString {
  return livePrefix + key;
}

export function tombstoneKey(key: ByteString): ByteString {
  return tombstonePrefix + key;
}

export function sessionKey(sessionId: ByteString): ByteString {
  return sessionPrefix + sessionId;
}

export function versionKey(revision: Revision, sub: number): ByteString {
  const high = Math.floor(revision / 0x1_0000_0000);
  const low = revision >>> 0;
  return String.fromCharCode(
    0x56,
    0x2f,
    high >>> 24,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
    sub >>> 24,
    (sub >>> 16) & 0xff,
    (sub >>> 8) & 0xff,
    sub & 0xff,
  );
}

/** The place in history that a key of `V/` names; `undefined` for any other key. */
export function placeOf(storeKey: ByteString): HistoryPlace | undefined {
  if (storeKey.length !== versionKeyLength || !storeKey.startsWith('V/')) return undefined;
  const bytes = Buffer.from(storeKey, 'latin1');
  const high = bytes.readUInt32BE(2);
  if (high > 0x1f_ffff) return undefined;
  return { revision: high * 0x1_0000_0000 + bytes.readUInt32BE(6), sub: bytes.readUInt32BE(10) };
}

/** The part of a store key after its folder: a user's key, or a session id. */
export function withoutPrefix(storeKey: ByteString): ByteString {
  return storeKey.slice(prefixLength);
}

/** Keys of `start` .. `end` that exist now. `end` undefined: to the last key. */
export function liveRange(
  start: ByteString,
  end: ByteString | undefined,
  limit: number,
  reverse: boolean,
): StoreRange {
  return { start: livePrefix + start, end: end === undefined ? liveEnd : livePrefix + end, limit, reverse };
}

/** As `liveRange`, for keys that are deleted now. */
export function tombstoneRange(
  start: ByteString,
  end: ByteString | undefined,
  limit: number,
  reverse: boolean,
): StoreRange {
  const last = end === undefined ? tombstoneEnd : tombstonePrefix + end;
  return { start: tombstonePrefix + start, end: last, limit, reverse };
}

/** Records whose keys begin with `prefix`, which ends in `/`: those after the key `after`, all with ''. */
export function folderRange(prefix: ByteString, after: ByteString, limit: number): StoreRange {
  const start = after === '' ? prefix : `${after}\x00`;
  return { start, end: `${prefix.slice(0, -1)}0`, limit, reverse: false };
}

/** History after a place; from its end back in reverse. */
export function historyAfter({ revision, sub }: HistoryPlace, limit: number, reverse = false): StoreRange {
  return { start: `${versionKey(revision, sub)}\x00`, end: 'V0', limit, reverse };
}

/** The first record of history: whether there is any. */
export const historyStart: StoreRange = { start: 'V/', end: 'V0', limit: 1, reverse: false };

// The records, big endian; each ends with the check of what stands before it (record-check.ts).

/** u64 modRevision, u32 sub, u64 createRevision, u64 version, u64 leaseId, u32 valueBytes, 2 × u32 hash. */
export function encodeLive(head: Head): Uint8Array {
  const bytes = Buffer.allocUnsafe(liveBytes);
  writeNumber(bytes, head.modRevision, 0);
  bytes.writeUInt32BE(head.sub, 8);
  writeNumber(bytes, head.createRevision, 12);
  writeNumber(bytes, head.version, 20);
  writeNumber(bytes, head.leaseId, 28);
  bytes.writeUInt32BE(head.valueBytes, 36);
  bytes.writeUInt32BE(head.hashHigh, 40);
  bytes.writeUInt32BE(head.hashLow, 44);
  return sealRecord(bytes);
}

/** Throws CORRUPT. `storeKey` is for the message. */
export function decodeLive(record: Uint8Array, storeKey: ByteString): Head {
  const bytes = asBuffer(record);
  if (bytes.length !== liveBytes) throw corrupt(storeKey, `has ${bytes.length} bytes, not ${liveBytes}`);
  if (!isSealed(bytes)) throw rotten(storeKey);
  return {
    deleted: false,
    modRevision: readNumber(bytes, 0, storeKey),
    sub: bytes.readUInt32BE(8),
    createRevision: readNumber(bytes, 12, storeKey),
    version: readNumber(bytes, 20, storeKey),
    leaseId: readNumber(bytes, 28, storeKey),
    valueBytes: bytes.readUInt32BE(36),
    hashHigh: bytes.readUInt32BE(40),
    hashLow: bytes.readUInt32BE(44),
  };
}

/** u64 modRevision, u32 sub. */
export function encodeTombstone(head: Head): Uint8Array {
  const bytes = Buffer.allocUnsafe(tombstoneBytes);
  writeNumber(bytes, head.modRevision, 0);
  bytes.writeUInt32BE(head.sub, 8);
  return sealRecord(bytes);
}

/** Throws CORRUPT. `storeKey` is for the message. */
export function decodeTombstone(record: Uint8Array, storeKey: ByteString): Head {
  const bytes = asBuffer(record);
  if (bytes.length !== tombstoneBytes) {
    throw corrupt(storeKey, `has ${bytes.length} bytes, not ${tombstoneBytes}`);
  }
  if (!isSealed(bytes)) throw rotten(storeKey);
  return {
    deleted: true,
    modRevision: readNumber(bytes, 0, storeKey),
    sub: bytes.readUInt32BE(8),
    createRevision: 0,
    version: 0,
    leaseId: 0,
    valueBytes: 0,
    hashHigh: 0,
    hashLow: 0,
  };
}

/** u32 format, u64 revision, u32 sub, 2 × u32 content hash. */
export function encodeStaging(record: StagingRecord): Uint8Array {
  const bytes = Buffer.allocUnsafe(stagingBytes);
  bytes.writeUInt32BE(storeFormatVersion, 0);
  writeNumber(bytes, record.revision, 4);
  bytes.writeUInt32BE(record.sub, 12);
  bytes.writeUInt32BE(record.contentHigh, 16);
  bytes.writeUInt32BE(record.contentLow, 20);
  return sealRecord(bytes);
}

/** Throws CORRUPT, also when another version of kvorum wrote it: a snapshot can be received anew. */
export function decodeStaging(record: Uint8Array): StagingRecord {
  const bytes = asBuffer(record);
  if (bytes.length !== stagingBytes || bytes.readUInt32BE(0) !== storeFormatVersion || !isSealed(bytes)) {
    throw corrupt(stagingKey, `is not of store format ${storeFormatVersion}`);
  }
  return {
    revision: readNumber(bytes, 4, stagingKey),
    sub: bytes.readUInt32BE(12),
    contentHigh: bytes.readUInt32BE(16),
    contentLow: bytes.readUInt32BE(20),
  };
}

/**
 * u32 format, u64 appliedIndex, u64 term, 2 × u32 state hash, 2 × u32 content hash, u64 revision, u64
 * clusterTimeMs, u64 wallTimeMs, u32 formatLevel, 2 × u32 hash of the tables.
 */
export function encodeApplied(record: AppliedRecord): Uint8Array {
  const bytes = Buffer.allocUnsafe(appliedBytes);
  bytes.writeUInt32BE(storeFormatVersion, 0);
  writeNumber(bytes, record.appliedIndex, 4);
  writeNumber(bytes, record.term, 12);
  bytes.writeUInt32BE(record.stateHigh, 20);
  bytes.writeUInt32BE(record.stateLow, 24);
  bytes.writeUInt32BE(record.contentHigh, 28);
  bytes.writeUInt32BE(record.contentLow, 32);
  writeNumber(bytes, record.revision, 36);
  writeNumber(bytes, record.clusterTimeMs, 44);
  writeNumber(bytes, record.wallTimeMs, 52);
  bytes.writeUInt32BE(record.formatLevel, 60);
  bytes.writeUInt32BE(record.tablesHigh, 64);
  bytes.writeUInt32BE(record.tablesLow, 68);
  return sealRecord(bytes);
}

/** Throws CORRUPT, also when a newer version of kvorum wrote it. */
export function decodeApplied(record: Uint8Array): AppliedRecord {
  const bytes = asBuffer(record);
  if (bytes.length < 4) throw corrupt(appliedKey, `has only ${bytes.length} bytes`);
  const version = bytes.readUInt32BE(0);
  // A newer version seals its record as this one does; without the seal the number itself is damaged.
  if (version > storeFormatVersion && isSealed(bytes)) {
    const formats = `store format ${version}; this version of kvorum reads ${storeFormatVersion}`;
    throw new KvorumError('CORRUPT', `the store is of ${formats}: use a newer kvorum`, {
      details: { record: appliedKey, newerFormat: true },
    });
  }
  if (!isSealed(bytes)) throw rotten(appliedKey);
  if (version !== storeFormatVersion || bytes.length !== appliedBytes) {
    throw corrupt(appliedKey, `has format ${version} and ${bytes.length} bytes, not ${appliedBytes}`);
  }
  return {
    appliedIndex: readNumber(bytes, 4, appliedKey),
    term: readNumber(bytes, 12, appliedKey),
    stateHigh: bytes.readUInt32BE(20),
    stateLow: bytes.readUInt32BE(24),
    contentHigh: bytes.readUInt32BE(28),
    contentLow: bytes.readUInt32BE(32),
    revision: readNumber(bytes, 36, appliedKey),
    clusterTimeMs: readNumber(bytes, 44, appliedKey),
    wallTimeMs: readNumber(bytes, 52, appliedKey),
    formatLevel: bytes.readUInt32BE(60),
    tablesHigh: bytes.readUInt32BE(64),
    tablesLow: bytes.readUInt32BE(68),
  };
}

/** Writes an integer of 0 .. 2^53-1 in 8 bytes. */
export function writeNumber(target: Buffer, value: number, offset: number): void {
  target.writeUInt32BE(Math.floor(value / 0x1_0000_0000), offset);
  target.writeUInt32BE(value >>> 0, offset + 4);
}

/** Throws CORRUPT for a number of 2^53 or more. */
export function readNumber(source: Buffer, offset: number, storeKey: ByteString): number {
  const high = source.readUInt32BE(offset);
  if (high > 0x1f_ffff) throw corrupt(storeKey, `has a number of 2^53 or more at byte ${offset}`);
  return high * 0x1_0000_0000 + source.readUInt32BE(offset + 4);
}

/** The error for a record whose check does not fit: it has the right form, and other bytes. */
export function rotten(storeKey: ByteString): KvorumError {
  return corrupt(storeKey, 'is not as it was written');
}

/**
 * The `CORRUPT` error for a record, which `details.record` names: the server knows by it that it is the store
 * that is damaged (storage/folder/damage.ts), and adds what to do.
 */
export function corrupt(storeKey: ByteString, what: string): KvorumError {
  const name = JSON.stringify(storeKey.slice(0, 100));
  return new KvorumError('CORRUPT', `the record ${name} of the store ${what}`, {
    details: { record: storeKey },
  });
}
