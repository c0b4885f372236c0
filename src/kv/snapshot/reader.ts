// Reads one view of a store as chunks of a snapshot: history after a place, then sessions. Pages are asked
// for with as many records as are likely to fill the chunk. Must never hold more than one page beyond the
// chunk that it fills, and must not read what nobody asked for.

import { assert } from '../../base/assert.js';
import type { ByteString } from '../../base/bytes.js';
import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import {
  appliedKey,
  corrupt,
  decodeApplied,
  historyAfter,
  placeOf,
  sessionRange,
  withoutPrefix,
  type AppliedRecord,
  type HistoryPlace,
} from '../records/schema.js';
import { decodeSession } from '../tables/sessions.js';
import type { StoreRange, StoreRecord, StoreView } from '../store.js';
import { decodeVersion, keyOfVersion } from '../records/version-record.js';

export interface ChunkLimits {
  /** Bytes of keys and values, or one larger record. */
  readonly bytesMax: number;
  readonly recordsMax: number;
}

/**
 * A view does not bound a page by bytes, so this does: a page of records that are suddenly all of the
 * greatest size takes this many megabytes.
 */
const pageRecordsMax = 32;

export class SnapshotReader {
  private readonly view: StoreView;
  private readonly limits: ChunkLimits;
  /** Read and not yet taken, ascending. */
  private waiting: StoreRecord[] = [];
  private waitingBytes = 0;
  private place: HistoryPlace = { revision: 0, sub: 0 };
  private lastSession: ByteString = '';
  private part: 'history' | 'sessions' = 'history';
  private atEnd = false;
  private fetching = false;
  /** Records of the last page, and their average size in bytes. */
  private pageRecords = 1;
  private recordBytes = 1;

  constructor(view: StoreView, limits: ChunkLimits) {
    this.view = view;
    this.limits = limits;
  }

  /** Bytes of keys and values read and not yet taken. */
  get bytesHeld(): number {
    return this.waitingBytes;
  }

  /** What the view is the state of. Ends with `CORRUPT` when there is no such record or it is damaged. */
  readApplied(
    done: (
      error: Error | undefined,
      found: { applied: AppliedRecord; record: StoreRecord } | undefined,
    ) => void,
  ): void {
    const range: StoreRange = { start: appliedKey, end: `${appliedKey}\x00`, limit: 1, reverse: false };
    this.view.fetchRange(range, (error, records) => {
      const [record] = records;
      if (error !== undefined) return done(error, undefined);
      if (record === undefined) return done(corrupt(appliedKey, 'is missing'), undefined);
      let applied: AppliedRecord;
      try {
        applied = decodeApplied(record.value);
      } catch (failure) {
        if (!KvorumError.is(failure)) throw failure;
        return done(failure, undefined);
      }
      done(undefined, { applied, record });
    });
  }

  /** History after `place` comes next. Before the first `fill`. */
  beginHistory(place: HistoryPlace): void {
    this.place = place;
  }

  /** Sessions come next. History has ended. */
  beginSessions(): void {
    assert(this.part === 'history' && this.take() === 'end', 'sessions are read before the end of history');
    this.part = 'sessions';
    this.atEnd = false;
    this.pageRecords = 1;
  }

  /** The next chunk of the part; `fill`: more must be read first; `end`: there is no more. */
  take(): readonly StoreRecord[] | 'fill' | 'end' {
    const { bytesMax, recordsMax } = this.limits;
    const isFull = this.waitingBytes >= bytesMax || this.waiting.length >= recordsMax;
    if (!isFull && !this.atEnd) return 'fill';
    if (this.waiting.length === 0) return 'end';
    let count = 0;
    let bytes = 0;
    for (const record of this.waiting) {
      const next = bytes + bytesOf(record);
      if (count > 0 && (next > bytesMax || count >= recordsMax)) break;
      bytes = next;
      count++;
    }
    this.waitingBytes -= bytes;
    return this.waiting.splice(0, count);
  }

  /**
   * Reads one page. After `take` said so, and not while another one is read. Ends with `CORRUPT` when a
   * record is not as it was written: the receiver would refuse it, and nobody else would ever notice.
   */
  fill(done: Done): void {
    assert(!this.fetching, 'two pages of a snapshot are read at once');
    this.fetching = true;
    const limit = this.nextPageRecords();
    this.view.fetchRange(this.nextRange(limit), (error, records) => {
      this.fetching = false;
      if (error !== undefined) return done(error);
      const damage = damageIn(records);
      if (damage !== undefined) return done(damage);
      const last = records.at(-1);
      if (last !== undefined) {
        const place = placeOf(last.key);
        if (this.part === 'sessions') this.lastSession = withoutPrefix(last.key);
        else if (place === undefined) return done(corrupt(last.key, 'is not of history'));
        else this.place = place;
      }
      this.hold(records);
      this.atEnd = records.length < limit;
      done(undefined);
    });
  }

  close(): void {
    this.waiting = [];
    this.waitingBytes = 0;
    this.view.close();
  }

  private nextRange(limit: number): StoreRange {
    return this.part === 'history' ? historyAfter(this.place, limit) : sessionRange(this.lastSession, limit);
  }

  /** By the size of the records read last, and never many times more than last time. */
  private nextPageRecords(): number {
    const missingBytes = Math.max(0, this.limits.bytesMax - this.waitingBytes);
    const wanted = Math.min(Math.ceil(missingBytes / this.recordBytes), 2 * this.pageRecords, pageRecordsMax);
    this.pageRecords = Math.max(1, wanted);
    return this.pageRecords;
  }

  private hold(records: readonly StoreRecord[]): void {
    let bytes = 0;
    for (const record of records) {
      this.waiting.push(record);
      bytes += bytesOf(record);
    }
    this.waitingBytes += bytes;
    if (records.length > 0) this.recordBytes = bytes / records.length;
  }
}

function bytesOf({ key, value }: StoreRecord): number {
  return key.length + value.length;
}

/** What is wrong with the first record that is not as it was written. */
function damageIn(records: readonly StoreRecord[]): KvorumError | undefined {
  try {
    for (const { key, value } of records) {
      const place = placeOf(key);
      if (place === undefined) decodeSession(withoutPrefix(key), value);
      else decodeVersion(value, keyOfVersion(value, key), place.revision, place.sub);
    }
    return undefined;
  } catch (error) {
    if (!KvorumError.is(error, 'CORRUPT')) throw error;
    return error;
  }
}
