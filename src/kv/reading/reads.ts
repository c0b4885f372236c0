// Point reads, now and at a revision. Both are synchronous: a key's newest state and its value are two reads
// of the store at most, an older version one more per step back along the key's own history. Must never show
// an effect of an entry that is applied only in part.

import type { ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import type { KeyRecord, Revision } from '../commands.js';
import type { Layers } from '../layers.js';
import { corrupt, versionKey, type Head, type Version } from '../records/schema.js';
import { hashHex } from '../state-hash.js';

const noBytes = new Uint8Array(0);

/** The record of `key` as it was at `revision`, which is not above the newest one. Throws CORRUPT. */
export function readAt(layers: Layers, key: ByteString, revision: Revision): KeyRecord | undefined {
  const head = layers.head(key);
  if (head === undefined) return undefined;
  if (head.modRevision <= revision) {
    return head.deleted
      ? undefined
      : toRecord(verified(head, layers.version(key, head.modRevision, head.sub)));
  }
  let version = layers.version(key, head.modRevision, head.sub);
  while (version.modRevision > revision) {
    if (version.previousRevision === 0) return undefined;
    version = layers.version(key, version.previousRevision, version.previousSub);
  }
  return version.deleted ? undefined : toRecord(version);
}

/** More than a read may take at once: it is to be done in pieces, in its turn. */
export type Heavy = 'heavy';

/** Steps back along a key's history that a point read takes at once. */
const stepsMax = 8;

/**
 * As `readAt`, unless that would read more than so many bytes of values, or step back far: what it costs is
 * known before it is read.
 */
export function readWithin(
  layers: Layers,
  key: ByteString,
  revision: Revision,
  bytesMax: number,
): KeyRecord | undefined | Heavy {
  const head = layers.head(key);
  if (head === undefined) return undefined;
  if (head.modRevision <= revision && head.deleted) return undefined;
  let bytes = head.valueBytes;
  if (bytes > bytesMax) return 'heavy';
  let version = layers.version(key, head.modRevision, head.sub);
  if (head.modRevision <= revision) return toRecord(verified(head, version));
  for (let steps = 0; version.modRevision > revision; steps++) {
    const { previousRevision, previousSub } = version;
    if (previousRevision === 0) return undefined;
    bytes += version.previousValueBytes;
    if (bytes > bytesMax || steps >= stepsMax) return 'heavy';
    version = layers.version(key, previousRevision, previousSub);
  }
  return version.deleted ? undefined : toRecord(version);
}

/**
 * The current version of a key. Its bytes were compared with their check when they were read; now they are
 * with the hash in the key's own record: a store may have lost the newest of one of them. Throws CORRUPT.
 */
export function verified(head: Head, version: Version): Version {
  // In memory the two are one.
  if (head === version) return version;
  const { key, modRevision, hashHigh, hashLow } = version;
  if (hashHigh === head.hashHigh && hashLow === head.hashLow) return version;
  const name = JSON.stringify(key.slice(0, 100));
  const fact = `the key ${name} was written with ${hashHex(head.hashHigh, head.hashLow)}`;
  throw corrupt(versionKey(modRevision, version.sub), `has hash ${hashHex(hashHigh, hashLow)}, but ${fact}`);
}

export function toRecord(version: Version): KeyRecord {
  return {
    key: version.key,
    value: version.value,
    createRevision: version.createRevision,
    modRevision: version.modRevision,
    version: version.version,
    leaseId: version.leaseId,
  };
}

/** A record without its value. */
export function toKeyOnly(key: ByteString, head: Head): KeyRecord {
  return {
    key,
    value: noBytes,
    createRevision: head.createRevision,
    modRevision: head.modRevision,
    version: head.version,
    leaseId: head.leaseId,
  };
}

export function futureRevision(asked: Revision, newest: Revision): KvorumError {
  return new KvorumError(
    'FUTURE_REVISION',
    `revision ${asked} is above the newest one, ${newest}: read without a revision, or wait for it`,
    { details: { revision: asked, newestRevision: newest } },
  );
}
