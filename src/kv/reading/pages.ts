// What range and count answer, on top of a scan: one page of records with whether there is more, or a number.
// Must never return more than a page, nor wait with the first records for the rest of the range.

import type { ByteString } from '../../base/bytes.js';
import type { Done } from '../../base/env.js';
import type { KeyRecord, Revision } from '../commands.js';
import { futureRevision, toKeyOnly, toRecord } from './reads.js';
import { scan, type Pace, type ScanPlan, type ScanSource, type Visit } from './scan.js';
import type { Head, Version } from '../records/schema.js';

export interface RangeQuery {
  readonly start: ByteString;
  /** Exclusive; `undefined`: to the last key. */
  readonly end: ByteString | undefined;
  /** Records wanted, 1 or more; a page has at most `pageRecordsMax`. */
  readonly limit: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
  /** 0: now. */
  readonly revision: Revision;
  /** 1 or more. */
  readonly pageRecordsMax: number;
  /** Bytes of keys and values of a page; one larger record is allowed. */
  readonly pageBytesMax: number;
}

export interface RangePage {
  readonly revision: Revision;
  /** In the order asked for. */
  readonly records: readonly KeyRecord[];
  /** The range has further records at this revision. */
  readonly more: boolean;
}

export interface CountQuery {
  readonly start: ByteString;
  /** Exclusive; `undefined`: to the last key. */
  readonly end: ByteString | undefined;
  /** 0: now. */
  readonly revision: Revision;
}

/** Keys found at a revision. */
export interface Counted {
  readonly revision: Revision;
  readonly count: number;
}

/** Decoding so many takes far less than a slice of the loop. */
const sliceKeysMax = 500;
const countBatchBytes = 1_048_576;

/** See `StateMachine.range`. */
export function readPage(
  source: ScanSource,
  query: RangeQuery,
  pace: Pace,
  done: (error: Error | undefined, page: RangePage) => void,
): void {
  const page = new Page(source, query);
  const finish = (error: Error | undefined): void => done(error, page.answer(error));
  if (page.revision > source.newestRevision()) return refuseFuture(source, page.revision, finish);
  scan(source, page.plan(pace), page.visit, finish);
}

/** See `StateMachine.count`. */
export function countKeys(
  source: ScanSource,
  query: CountQuery,
  pace: Pace,
  done: (error: Error | undefined, counted: Counted) => void,
): void {
  const revision = query.revision === 0 ? source.newestRevision() : query.revision;
  let count = 0;
  const finish = (error: Error | undefined): void => done(error, { revision, count });
  if (revision > source.newestRevision()) return refuseFuture(source, revision, finish);
  const plan: ScanPlan = {
    span: { start: query.start, end: query.end },
    reverse: false,
    revision,
    wants: 'nothing',
    sliceKeys: sliceKeysMax,
    batchBytes: countBatchBytes,
    pace,
  };
  const visit: Visit = () => {
    count++;
    return true;
  };
  scan(source, plan, visit, finish);
}

class Page {
  readonly revision: Revision;
  private readonly query: RangeQuery;
  private readonly recordsMax: number;
  private readonly records: KeyRecord[] = [];
  private bytes = 0;
  private more = false;

  constructor(source: ScanSource, query: RangeQuery) {
    this.query = query;
    this.revision = query.revision === 0 ? source.newestRevision() : query.revision;
    this.recordsMax = Math.min(query.limit, query.pageRecordsMax);
  }

  plan(pace: Pace): ScanPlan {
    const { start, end, reverse, keysOnly, pageBytesMax } = this.query;
    return {
      span: { start, end },
      reverse,
      revision: this.revision,
      wants: keysOnly ? 'heads' : 'values',
      // One more than wanted tells whether there is more.
      sliceKeys: Math.min(this.recordsMax + 1, sliceKeysMax),
      batchBytes: pageBytesMax,
      pace,
    };
  }

  readonly visit: Visit = (key: ByteString, head: Head, version: Version | undefined): boolean => {
    const { keysOnly, pageBytesMax } = this.query;
    const recordBytes = key.length + (keysOnly ? 0 : head.valueBytes);
    const fits = this.records.length < this.recordsMax && this.bytes + recordBytes <= pageBytesMax;
    // A record larger than a page is a page of its own, otherwise nobody could ever read past it.
    if (!fits && this.records.length > 0) {
      this.more = true;
      return false;
    }
    this.bytes += recordBytes;
    this.records.push(keysOnly || version === undefined ? toKeyOnly(key, head) : toRecord(version));
    return true;
  };

  answer(error: Error | undefined): RangePage {
    const { revision, records, more } = this;
    return error === undefined ? { revision, records, more } : { revision, records: [], more: false };
  }
}

function refuseFuture(source: ScanSource, revision: Revision, finish: Done): void {
  // Through the store, so that the callback comes after the return here as everywhere.
  const newest = source.newestRevision();
  source.store.fetchMany([], (error) => finish(error ?? futureRevision(revision, newest)));
}
