// Finds out what a staging store holds and makes it ready to go on: history through some place with its
// content hash, no records of tables, and no applied record, whoever left it and wherever a crash cut it
// short. Must never trust a place in history that the store's own last record does not bear out.

import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Software } from '../format-level.js';
import {
  appliedKey,
  corrupt,
  decodeApplied,
  decodeStaging,
  encodeStaging,
  folderRange,
  historyAfter,
  placeOf,
  stagingKey,
  type HistoryPlace,
  type StagingRecord,
} from '../records/schema.js';
import { SnapshotWriter } from './writer.js';
import type { OrderedStore, StoreOperation, StoreRecord } from '../store.js';
import { orderedKinds, type TableKinds } from '../tables/index.js';
import type { TableKind } from '../tables/table.js';

const nothing: HistoryPlace = { revision: 0, sub: 0 };

/** Records removed at a time. The largest of a session has 61 KB, and reading brings the values along. */
const pageRecords = 64;

/**
 * Prepares a store for a snapshot: `done` gets the writer that continues it. Nobody else uses the store. Ends
 * with `CORRUPT` when what is there contradicts itself, or with an error of the store.
 */
export function prepareStaging(
  store: OrderedStore,
  done: (error: Error | undefined, writer: SnapshotWriter | undefined) => void,
  software: Software,
  kinds: TableKinds,
): void {
  store.fetchRange(historyAfter(nothing, 1, true), (error, records) => {
    if (error !== undefined) return done(error, undefined);
    let staging: StagingRecord;
    try {
      staging = readStaging(store, records[0]);
    } catch (failure) {
      if (!KvorumError.is(failure)) throw failure;
      return done(failure, undefined);
    }
    // In this order, so that a crash in between leaves no applied record over a part of the tables.
    const operations: StoreOperation[] = [
      { type: 'put', key: stagingKey, value: encodeStaging(staging) },
      { type: 'delete', key: appliedKey },
    ];
    store.writeBatch(operations, (writeError) => {
      if (writeError !== undefined) return done(writeError, undefined);
      removeTables(store, [...orderedKinds(kinds)], (failure) => {
        if (failure !== undefined) done(failure, undefined);
        else done(undefined, new SnapshotWriter(store, staging, software, kinds));
      });
    });
  });
}

/** `last`: the last record of the store's history. */
function readStaging(store: OrderedStore, last: StoreRecord | undefined): StagingRecord {
  const place = last === undefined ? nothing : placeOf(last.key);
  if (place === undefined) throw corrupt(last?.key ?? '', 'has a key that is none of history');
  const staging = store.getSync(stagingKey);
  const applied = store.getSync(appliedKey);
  let found: StagingRecord = { ...nothing, contentHigh: 0, contentLow: 0 };
  if (staging !== undefined) {
    found = decodeStaging(staging);
  } else if (applied !== undefined) {
    // It was received in full, and the node ended before it was installed.
    const { revision, contentHigh, contentLow } = decodeApplied(applied);
    found = { revision, sub: place.sub, contentHigh, contentLow };
  }
  if (found.revision !== place.revision || found.sub !== place.sub) {
    const there = `${place.revision}.${place.sub}`;
    throw corrupt(stagingKey, `speaks of ${found.revision}.${found.sub}, but history ends at ${there}`);
  }
  return found;
}

/** Tables of another view must not mix with those to come. */
function removeTables(store: OrderedStore, left: TableKind[], done: Done): void {
  const [kind] = left;
  if (kind === undefined) return done(undefined);
  store.fetchRange(folderRange(kind.record.keys, '', pageRecords), (error, records) => {
    if (error !== undefined) return done(error);
    if (records.length === 0) {
      left.shift();
      removeTables(store, left, done);
      return;
    }
    const operations = records.map(({ key }): StoreOperation => ({ type: 'delete', key }));
    store.writeBatch(operations, (writeError) => {
      if (writeError !== undefined) return done(writeError);
      removeTables(store, left, done);
    });
  });
}
