// What finds bits that flip in the records of the store: LevelDB does not compare its checksums when it
// reads. Every record ends with a check of what stands before it; a version has a check made from the hash of
// its record, which is there anyway, so that values are hashed once. It detects accidents, not an attacker.

import { asBuffer, type ByteString } from '../../base/bytes.js';
import { Hash64 } from '../../base/hash.js';
import type { Revision } from '../commands.js';

/** Length of a check, bytes. */
export const checkBytes = 4;

/** Fills the last bytes of a record with the check of all before them. */
export function sealRecord(record: Buffer): Buffer {
  const end = record.length - checkBytes;
  record.writeUInt32BE(checkOf(record.subarray(0, end)), end);
  return record;
}

/** Whether a record is as it was when it was sealed. */
export function isSealed(record: Uint8Array): boolean {
  const end = record.length - checkBytes;
  return end >= 0 && asBuffer(record).readUInt32BE(end) === checkOf(record.subarray(0, end));
}

/** The check of a version: over the hash of its record (or deletion) and the way to the one before it. */
export function checkOfVersion(
  key: ByteString,
  [hashHigh, hashLow]: readonly [high: number, low: number],
  deleted: boolean,
  previousRevision: Revision,
  previousSub: number,
  previousValueBytes: number,
): number {
  const hash = new Hash64(hashHigh, hashLow).number(previousRevision).number(previousSub);
  hash.number(previousValueBytes);
  // The length, which says where the key ends and the value begins; below 0 for a deletion, whatever its key.
  return hash.number(deleted ? -key.length - 1 : key.length).words()[1];
}

function checkOf(bytes: Uint8Array): number {
  return new Hash64().bytes(bytes).words()[1];
}
