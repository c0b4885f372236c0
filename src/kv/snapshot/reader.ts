// Reads one view of a store as chunks of a snapshot: history after a place, then the tables. Pages are asked
// for with as many records as are likely to fill the chunk. Must never hold more than one page beyond the
// chunk that it fills, and must not read what nobody asked for.

import { assert, defined } from '../../base/assert.js';
import type { ByteString } from '../../base/bytes.js';
import type { Done } from '../../base/env.js';
import {
  appliedKey,
  corrupt,
  decodeApplied,
  folderRange,
  historyAfter,
  placeOf,
  type AppliedRecord,
  type HistoryPlace,
} from '../records/schema.js';
import { failureOf } from '../records/failure.js';
import { recordKinds } from '../records/kinds.js';
import type { StoreRange, StoreRecord, StoreView } from '../store.js';
import { orderedKinds, type TableKinds } from '../tables/index.js';
import type { TableKind } from '../tables/table.js';

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
  private part: 'history' | 'tables' = 'history';
  private readonly kinds: readonly TableKind[];
  /** Of the table that is read, and the last key that was read of it. */
  private tablePosition = 0;
  private lastKey: ByteString = '';
  private atEnd = false;
  private fetching = false;
  /** Records of the last page, and their average size in bytes. */
  private pageRecords = 1;
  private recordBytes = 1;

  constructor(view: StoreView, limits: ChunkLimits, kinds: TableKinds) {
    this.view = view;
    this.limits = limits;
    this.kinds = orderedKinds(kinds);
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
      let applied: AppliedRecord | undefined;
      const failure = failureOf(() => {
        applied = decodeApplied(record.value);
      });
      if (applied === undefined) return done(failure, undefined);
      done(undefined, { applied, record });
    });
  }

  /** History after `place` comes next. Before the first `fill`. */
  beginHistory(place: HistoryPlace): void {
    this.place = place;
  }

  /** The tables come next. History has ended. */
  beginTables(): void {
    assert(this.part === 'history' && this.take() === 'end', 'tables are read before the end of history');
    this.part = 'tables';
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
      const damage = failureOf(() => this.checkAll(records));
      if (damage !== undefined) return done(damage);
      this.hold(records);
      this.goOn(records, limit);
      done(undefined);
    });
  }

  close(): void {
    this.waiting = [];
    this.waitingBytes = 0;
    this.view.close();
  }

  private nextRange(limit: number): StoreRange {
    if (this.part === 'history') return historyAfter(this.place, limit);
    return folderRange(this.kind().record.keys, this.lastKey, limit);
  }

  private kind(): TableKind {
    return defined(this.kinds[this.tablePosition], 'the table that a snapshot reads');
  }

  /** What of the part comes after a page. */
  private goOn(records: readonly StoreRecord[], limit: number): void {
    const last = records.at(-1);
    const isLastPage = records.length < limit;
    if (this.part === 'history') {
      if (last !== undefined) this.place = defined(placeOf(last.key), 'the place of a record of history');
      this.atEnd = isLastPage;
      return;
    }
    if (last !== undefined) this.lastKey = last.key;
    if (!isLastPage) return;
    this.tablePosition++;
    this.lastKey = '';
    this.atEnd = this.tablePosition === this.kinds.length;
  }

  /** Throws CORRUPT for the first record that is not as it was written, or not of its folder. */
  private checkAll(records: readonly StoreRecord[]): void {
    const kind = this.part === 'history' ? recordKinds.version : this.kind().record;
    for (const { key, value } of records) {
      kind.decode(key, value);
    }
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
