// Replicas that applied the same entries are the same, byte for byte: history, heads, tombstones, sessions
// and what they say of themselves. And each one is what it says: its content hash, kept up to date write by
// write, equals the hash of what is there, that of its tables too, and every key's head is its newest
// version; every record is of a kind that belongs in a store. Looked at in the
// stores' own records, at the end of a run; while it lasts, committed.ts compares the state hash of each
// index.

import type { ByteString } from '../../../base/bytes.js';
import { recordKindOf } from '../../../kv/records/kinds.js';
import {
  appliedKey,
  decodeApplied,
  decodeLive,
  decodeTombstone,
  liveKey,
  placeOf,
  tombstoneKey,
  type Version,
} from '../../../kv/records/schema.js';
import { ContentHash, hashHex, hashRecord } from '../../../kv/state-hash.js';
import type { StoreRecord } from '../../../kv/store.js';
import { hashTableRecord } from '../../../kv/tables/table.js';
import { decodeVersion, keyOfVersion } from '../../../kv/records/version-record.js';
import type { Violations } from '../violations.js';

export interface Replica {
  readonly name: string;
  /** All of its store, ascending; empty when it never had anything. */
  readonly records: readonly StoreRecord[];
}

/**
 * Compares those that are at the same applied index, and each with itself. A store that contradicts itself is
 * a violation too, not an exception.
 */
export function checkReplicas(replicas: readonly Replica[], violations: Violations): void {
  const firstAt = new Map<number, Replica>();
  for (const replica of replicas) {
    const problem = problemOf(replica);
    if (problem !== undefined) violations.add('replicaEquality', replica.name, problem);
    const index = appliedIndexOf(replica);
    const first = firstAt.get(index);
    if (first === undefined) {
      firstAt.set(index, replica);
      continue;
    }
    const place = firstDifference(first.records, replica.records);
    if (place === undefined) continue;
    const message = `at index ${index} it differs from ${first.name} in record ${JSON.stringify(place)}`;
    violations.add('replicaEquality', replica.name, message);
  }
}

function appliedIndexOf({ records }: Replica): number {
  const record = records.find(({ key }) => key === appliedKey);
  try {
    return record === undefined ? 0 : decodeApplied(record.value).appliedIndex;
  } catch {
    // `problemOf` has said so.
    return -1;
  }
}

/** The key of the first record that the two do not share. */
function firstDifference(a: readonly StoreRecord[], b: readonly StoreRecord[]): ByteString | undefined {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [one, other] = [a[i], b[i]];
    if (one === undefined || other === undefined) return (one ?? other)?.key;
    if (one.key !== other.key || Buffer.compare(one.value, other.value) !== 0) return one.key;
  }
  return undefined;
}

function problemOf({ records }: Replica): string | undefined {
  try {
    return contradictionOf(records);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What the records say against each other; throws for one that is malformed. */
function contradictionOf(records: readonly StoreRecord[]): string | undefined {
  const newest = new Map<ByteString, Version>();
  const byKey = new Map<ByteString, Uint8Array>();
  const tables = new ContentHash();
  let lastRevision = 0;
  let heads = 0;
  for (const { key, value } of records) {
    byKey.set(key, value);
    const kind = recordKindOf(key);
    if (kind === undefined) return `the record ${JSON.stringify(key)} is of no kind`;
    if (kind.inSnapshot === 'follows') heads++;
    if (kind.inSnapshot === 'table') tables.add(...hashTableRecord(key, value));
    const place = placeOf(key);
    if (place === undefined) continue;
    const userKey = keyOfVersion(value, key);
    const version = decodeVersion(value, userKey, place.revision, place.sub);
    const before = newest.get(userKey);
    if (version.previousRevision !== (before?.modRevision ?? 0)) {
      return `revision ${place.revision} of a key follows ${version.previousRevision}, not the one before it`;
    }
    newest.set(userKey, version);
    lastRevision = place.revision;
  }
  const record = byKey.get(appliedKey);
  if (record === undefined)
    return records.length === 0 ? undefined : 'it does not say what it is the state of';
  const applied = decodeApplied(record);
  if (applied.revision !== lastRevision) {
    return `it is at revision ${applied.revision}, its history at ${lastRevision}`;
  }
  const content = new ContentHash();
  for (const [key, version] of newest) {
    if (!isHeadOf(key, version, byKey))
      return `the head of key ${JSON.stringify(key)} is not its newest version`;
    if (version.deleted) continue;
    const { value, createRevision, modRevision, version: number, leaseId } = version;
    content.add(...hashRecord(key, value, createRevision, modRevision, number, leaseId));
  }
  if (heads !== newest.size) return `it has ${heads} heads for ${newest.size} keys`;
  const found = hashHex(content.high, content.low);
  const expected = hashHex(applied.contentHigh, applied.contentLow);
  if (found !== expected) return `its content hash is ${expected}, that of its records ${found}`;
  const tablesFound = hashHex(tables.high, tables.low);
  const tablesExpected = hashHex(applied.tablesHigh, applied.tablesLow);
  if (tablesFound === tablesExpected) return undefined;
  return `the hash of its tables is ${tablesExpected}, that of their records ${tablesFound}`;
}

function isHeadOf(key: ByteString, version: Version, byKey: ReadonlyMap<ByteString, Uint8Array>): boolean {
  const [live, tombstone] = [byKey.get(liveKey(key)), byKey.get(tombstoneKey(key))];
  if (version.deleted) {
    if (live !== undefined || tombstone === undefined) return false;
    return isSamePlace(decodeTombstone(tombstone, tombstoneKey(key)), version);
  }
  if (live === undefined || tombstone !== undefined) return false;
  const head = decodeLive(live, liveKey(key));
  return (
    isSamePlace(head, version) &&
    head.createRevision === version.createRevision &&
    head.version === version.version &&
    head.leaseId === version.leaseId &&
    head.valueBytes === version.value.length
  );
}

type Place = Pick<Version, 'modRevision' | 'sub'>;

function isSamePlace(a: Place, b: Place): boolean {
  return a.modRevision === b.modRevision && a.sub === b.sub;
}
