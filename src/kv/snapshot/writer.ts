// What makes a store out of a snapshot. A snapshot is the history (`V/`) of a store in ascending order, then
// the records of its tables, then its applied record. `L/` and `T/` are not sent: they follow from history,
// and come out here as the groups of a state machine would have left them. Must never take a record that does
// not continue what is there: as long as nothing is compacted, revisions follow on each other without a gap,
// and each version names the one before it. Must never end a snapshot whose current records do not add up to
// the content hash of its applied record, and the records of its tables to the hash of those.

import { assert } from '../../base/assert.js';
import type { ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import { kvLimits } from '../commands.js';
import { checkKnownLevel, type Software } from '../format-level.js';
import {
  appliedKey,
  decodeApplied,
  decodeLive,
  decodeTombstone,
  encodeLive,
  encodeStaging,
  encodeTombstone,
  liveKey,
  placeOf,
  stagingKey,
  tombstoneKey,
  type AppliedRecord,
  type Head,
  type HistoryPlace,
  type StagingRecord,
  type Version,
} from '../records/schema.js';
import { ContentHash, hashHex } from '../state-hash.js';
import type { OrderedStore, StoreOperation, StoreRecord } from '../store.js';
import { kindOf, orderedKinds, type TableKinds } from '../tables/index.js';
import { hashTableRecord, type TableKind } from '../tables/table.js';
import { decodeVersion, keyOfVersion } from '../records/version-record.js';

/** A snapshot that has arrived in full. */
export interface SnapshotEnd {
  readonly applied: AppliedRecord;
  readonly operations: readonly StoreOperation[];
}

/** A key that a batch changes: its newest state, and what the store holds of it before the batch. */
interface KeyChange {
  readonly before: Head | undefined;
  head: Head;
}

/**
 * Turns the records of a snapshot into batches for a staging store, which before each call holds all that was
 * returned before. A call that throws has changed nothing: `PROTOCOL` when the records do not belong here,
 * `CORRUPT` when the staging store, or the store that they come from, is damaged.
 */
export class SnapshotWriter {
  private readonly store: Pick<OrderedStore, 'getSync'>;
  private readonly software: Software;
  private readonly kinds: readonly TableKind[];
  private readonly content = new ContentHash();
  private readonly tables = new ContentHash();
  private through: HistoryPlace;
  /** Key of the last record of a table; `undefined` while history comes. */
  private lastOfTables: ByteString | undefined;
  private ended = false;

  /** `staging`: of the store, which holds no records of tables. */
  constructor(
    store: Pick<OrderedStore, 'getSync'>,
    staging: StagingRecord,
    software: Software,
    kinds: TableKinds,
  ) {
    this.store = store;
    this.software = software;
    this.kinds = orderedKinds(kinds);
    this.through = { revision: staging.revision, sub: staging.sub };
    this.content.set(staging.contentHigh, staging.contentLow);
  }

  /** The last record of history that was taken. */
  get place(): HistoryPlace {
    return this.through;
  }

  /** Records of `V/`, ascending, the first one right after `place`. */
  takeHistory(records: readonly StoreRecord[]): StoreOperation[] {
    assert(!this.ended, 'history comes after the end of the snapshot');
    if (this.lastOfTables !== undefined) throw refused(records[0]?.key ?? '', 'comes after tables');
    const operations: StoreOperation[] = [];
    const changes = new Map<ByteString, KeyChange>();
    const content = new ContentHash();
    content.set(this.content.high, this.content.low);
    let place = this.through;
    for (const { key, value } of records) {
      const version = versionAfter(place, key, value);
      place = { revision: version.modRevision, sub: version.sub };
      this.change(changes, content, version, key);
      operations.push({ type: 'put', key, value });
    }
    for (const [key, change] of changes) pushHead(operations, key, change);
    this.through = place;
    this.content.set(content.high, content.low);
    operations.push({ type: 'put', key: stagingKey, value: encodeStaging(this.staging()) });
    return operations;
  }

  /** Records of tables, ascending, all of one view. */
  takeTables(records: readonly StoreRecord[]): StoreOperation[] {
    assert(!this.ended, 'tables come after the end of the snapshot');
    const operations: StoreOperation[] = [];
    const sum = new ContentHash();
    let last = this.lastOfTables ?? '';
    for (const { key, value } of records) {
      const kind = kindOf(this.kinds, key);
      if (kind === undefined) throw refused(key, 'is of no table that this version knows');
      if (key <= last) throw refused(key, 'does not come after the record of a table before it');
      wellFormed(key, () => kind.record.decode(key, value));
      sum.add(...hashTableRecord(key, value));
      operations.push({ type: 'put', key, value });
      last = key;
    }
    this.lastOfTables = last;
    this.tables.add(sum.high, sum.low);
    return operations;
  }

  /**
   * The applied record of the view that sent the last of history and all tables. Throws `CORRUPT`, with
   * `details.expected` and `details.found`, when what was taken is not the state that it names; `FORMAT` when
   * that is of a level above the software's.
   */
  takeEnd(records: readonly StoreRecord[]): SnapshotEnd {
    const [record] = records;
    if (record === undefined || records.length !== 1 || record.key !== appliedKey) {
      throw refused(record?.key ?? '', 'does not end a snapshot: its one applied record does');
    }
    const applied = wellFormed(appliedKey, () => decodeApplied(record.value));
    checkKnownLevel(applied.formatLevel, this.software, 'the snapshot is of');
    let what = 'content hash';
    let expected = hashHex(applied.contentHigh, applied.contentLow);
    let found = hashHex(this.content.high, this.content.low);
    if (expected === found) {
      what = 'hash of its tables';
      expected = hashHex(applied.tablesHigh, applied.tablesLow);
      found = hashHex(this.tables.high, this.tables.low);
    }
    if (applied.revision !== this.through.revision || expected !== found) {
      const facts =
        `the snapshot of index ${applied.appliedIndex} has revision ${applied.revision} and ${what} ` +
        `${expected}, its records have revision ${this.through.revision} and ${found}`;
      throw new KvorumError('CORRUPT', `${facts}: they are not used`, { details: { expected, found } });
    }
    this.ended = true;
    const operations: StoreOperation[] = [
      { type: 'delete', key: stagingKey },
      { type: 'put', key: appliedKey, value: record.value },
    ];
    return { applied, operations };
  }

  private staging(): StagingRecord {
    return { ...this.through, contentHigh: this.content.high, contentLow: this.content.low };
  }

  /** Makes `version` the newest one of its key, and its hash part of the sum instead of the one replaced. */
  private change(
    changes: Map<ByteString, KeyChange>,
    content: ContentHash,
    version: Version,
    storeKey: ByteString,
  ): void {
    const { key, deleted } = version;
    const known = changes.get(key);
    const before = known === undefined ? this.storedHead(version) : known.before;
    const replaced = known === undefined ? before : known.head;
    const isContinued =
      version.previousRevision === (replaced?.modRevision ?? 0) &&
      version.previousSub === (replaced?.sub ?? 0) &&
      version.previousValueBytes === (replaced?.valueBytes ?? 0) &&
      !(deleted && (replaced === undefined || replaced.deleted));
    if (!isContinued) {
      const from = `${version.previousRevision}.${version.previousSub}`;
      const fact =
        `the record ${nameOf(storeKey)} of a snapshot replaces ${from}, ` +
        `but the newest state of its key is ${replaced?.modRevision ?? 0}.${replaced?.sub ?? 0}`;
      throw new KvorumError('CORRUPT', `${fact}: what has arrived, or its source, is damaged`);
    }
    if (replaced !== undefined && !replaced.deleted) content.subtract(replaced.hashHigh, replaced.hashLow);
    if (!deleted) content.add(version.hashHigh, version.hashLow);
    if (known === undefined) changes.set(key, { before, head: version });
    else known.head = version;
  }

  /** The state of a key before the batch. A key without a predecessor is new: the store is not asked. */
  private storedHead({ key, previousRevision }: Version): Head | undefined {
    if (previousRevision === 0) return undefined;
    const live = this.store.getSync(liveKey(key));
    if (live !== undefined) return decodeLive(live, liveKey(key));
    const tombstone = this.store.getSync(tombstoneKey(key));
    return tombstone === undefined ? undefined : decodeTombstone(tombstone, tombstoneKey(key));
  }
}

/** The version that `value` is, which must be of the record right after `place`. */
function versionAfter(place: HistoryPlace, storeKey: ByteString, value: Uint8Array): Version {
  const here = placeOf(storeKey);
  if (here === undefined) throw refused(storeKey, 'is not of history');
  const isNextRevision = here.revision === place.revision + 1 && here.sub === 0;
  const isSameRevision =
    here.revision === place.revision && here.sub === place.sub + 1 && place.revision !== 0;
  if (!isNextRevision && !isSameRevision) {
    throw refused(storeKey, `does not follow on ${place.revision}.${place.sub}`);
  }
  const version = wellFormed(storeKey, () =>
    decodeVersion(value, keyOfVersion(value, storeKey), here.revision, here.sub),
  );
  if (version.key.length > kvLimits.keyBytesMax || version.valueBytes > kvLimits.valueBytesMax) {
    throw refused(storeKey, `has ${version.key.length} bytes of key and ${version.valueBytes} of value`);
  }
  const isEmpty = version.valueBytes + version.createRevision + version.version + version.leaseId === 0;
  if (version.deleted && !isEmpty) throw refused(storeKey, 'is a deletion with the fields of a value');
  return version;
}

/** The records that a key leaves beside history: `L/` or `T/`, never both. */
function pushHead(operations: StoreOperation[], key: ByteString, { before, head }: KeyChange): void {
  if (head.deleted) {
    if (before?.deleted === false) operations.push({ type: 'delete', key: liveKey(key) });
    operations.push({ type: 'put', key: tombstoneKey(key), value: encodeTombstone(head) });
  } else {
    operations.push({ type: 'put', key: liveKey(key), value: encodeLive(head) });
    if (before?.deleted === true) operations.push({ type: 'delete', key: tombstoneKey(key) });
  }
}

/** A record that came over the network is not this store's damage, whatever is wrong with it. */
function wellFormed<T>(storeKey: ByteString, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!KvorumError.is(error, 'CORRUPT')) throw error;
    const message = `the record ${nameOf(storeKey)} of a snapshot cannot be read: ${error.message}`;
    throw new KvorumError('PROTOCOL', message, { cause: error });
  }
}

function refused(storeKey: ByteString, what: string): KvorumError {
  return new KvorumError('PROTOCOL', `the record ${nameOf(storeKey)} of a snapshot ${what}`);
}

/** The key of a record as people can read it. */
function nameOf(storeKey: ByteString): string {
  const place = placeOf(storeKey);
  return place === undefined ? JSON.stringify(storeKey.slice(0, 100)) : `V/${place.revision}.${place.sub}`;
}
