// The records of `V/`: each version of a key and each deletion of one, with the way to the one before it. A
// version is compared with its check whenever it is read; what was not written as it is never comes out of
// here.

import { asBuffer, type ByteString } from '../../base/bytes.js';
import type { KvorumError } from '../../base/errors.js';
import type { Revision } from '../commands.js';
import { checkBytes, checkOfVersion } from './record-check.js';
import { corrupt, versionKey, writeNumber, type Version } from './schema.js';
import { hashDeletion, hashRecord } from '../state-hash.js';

// A record, big endian, all zero from 13 to 36 in a deletion, which has no value either:
//    0  1  kind               21  8  version
//    1  8  previousRevision   29  8  leaseId
//    9  4  previousSub        37  2  length of the key, bytes
//   13  8  createRevision     39  4  previousValueBytes
//                             43  4  check              47  key, then value to the end
const kindPut = 1;
const kindDelete = 2;
/** Length of a record without key and value. */
const versionHeaderBytes = 43 + checkBytes;
const versionCheckOffset = 43;
const noBytes = Buffer.alloc(0);

/** The key has at most 65,535 bytes, which `kvLimits` guarantees. The value is copied. */
export function encodeVersion(version: Version): Uint8Array {
  const { key, value, hashHigh, hashLow, deleted } = version;
  const { previousRevision, previousSub, previousValueBytes } = version;
  const bytes = Buffer.allocUnsafe(versionHeaderBytes + key.length + value.length);
  bytes[0] = version.deleted ? kindDelete : kindPut;
  writeNumber(bytes, version.previousRevision, 1);
  bytes.writeUInt32BE(version.previousSub, 9);
  writeNumber(bytes, version.createRevision, 13);
  writeNumber(bytes, version.version, 21);
  writeNumber(bytes, version.leaseId, 29);
  bytes.writeUInt16BE(key.length, 37);
  bytes.writeUInt32BE(previousValueBytes, 39);
  const hash: readonly [number, number] = [hashHigh, hashLow];
  const check = checkOfVersion(key, hash, deleted, previousRevision, previousSub, previousValueBytes);
  bytes.writeUInt32BE(check, versionCheckOffset);
  bytes.write(key, versionHeaderBytes, 'latin1');
  if (value.length > 0) bytes.set(value, versionHeaderBytes + key.length);
  return bytes;
}

/**
 * The version that was written as `key` at `revision`, `sub`; its value is a view into the record. Throws
 * CORRUPT when there is no such record, it is malformed, not as it was written, or belongs to another key.
 */
export function decodeVersion(
  record: Uint8Array | undefined,
  key: ByteString,
  revision: Revision,
  sub: number,
): Version {
  const bytes = record === undefined ? noBytes : asBuffer(record);
  if (bytes.length < versionHeaderBytes) throw malformedVersion(record, revision, sub);
  const kind = bytes[0];
  const valueOffset = versionHeaderBytes + bytes.readUInt16BE(37);
  const isKnown = (kind === kindPut || kind === kindDelete) && valueOffset <= bytes.length;
  if (!isKnown) throw malformedVersion(record, revision, sub);
  if (bytes.toString('latin1', versionHeaderBytes, valueOffset) !== key) {
    throw corrupt(versionKey(revision, sub), 'is of another key than the one that points to it');
  }
  const deleted = kind === kindDelete;
  const value = bytes.length === valueOffset ? noBytes : bytes.subarray(valueOffset);
  // Numbers of 2^53 or more, which are never written, are found by the check as all else is.
  const previousRevision = numberAt(bytes, 1);
  const previousSub = bytes.readUInt32BE(9);
  const previousValueBytes = bytes.readUInt32BE(39);
  const createRevision = numberAt(bytes, 13);
  const version = numberAt(bytes, 21);
  const leaseId = numberAt(bytes, 29);
  const hash = deleted
    ? hashDeletion(key, revision)
    : hashRecord(key, value, createRevision, revision, version, leaseId);
  const check = checkOfVersion(key, hash, deleted, previousRevision, previousSub, previousValueBytes);
  const isEmpty = createRevision + version + leaseId + value.length === 0;
  if (bytes.readUInt32BE(versionCheckOffset) !== check || (deleted && !isEmpty)) {
    const name = JSON.stringify(key.slice(0, 100));
    throw corrupt(versionKey(revision, sub), `of the key ${name} is not as it was written`);
  }
  // Field by field: spreading takes ten times as long, and this is made for every record that is read.
  return {
    deleted,
    modRevision: revision,
    sub,
    createRevision,
    version,
    leaseId,
    valueBytes: value.length,
    hashHigh: hash[0],
    hashLow: hash[1],
    key,
    value,
    previousRevision,
    previousSub,
    previousValueBytes,
    clearsTombstone: false,
  };
}

/** What is wrong with a record that is missing, too short or of no known form. */
function malformedVersion(record: Uint8Array | undefined, revision: Revision, sub: number): KvorumError {
  const storeKey = versionKey(revision, sub);
  if (record === undefined) return corrupt(storeKey, 'is missing');
  if (record.length < versionHeaderBytes) return corrupt(storeKey, `has only ${record.length} bytes`);
  const kind = record[0];
  const isKnown = kind === kindPut || kind === kindDelete;
  return corrupt(storeKey, isKnown ? 'ends within its key' : `is of the unknown kind ${kind}`);
}

/** The key of the user that a record of `V/` is of. Throws CORRUPT; `storeKey` is for the message. */
export function keyOfVersion(record: Uint8Array, storeKey: ByteString): ByteString {
  const bytes = asBuffer(record);
  if (bytes.length < versionHeaderBytes) throw corrupt(storeKey, `has only ${bytes.length} bytes`);
  const end = versionHeaderBytes + bytes.readUInt16BE(37);
  if (end > bytes.length) throw corrupt(storeKey, 'ends within its key');
  return bytes.toString('latin1', versionHeaderBytes, end);
}

function numberAt(source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * 0x1_0000_0000 + source.readUInt32BE(offset + 4);
}
