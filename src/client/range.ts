// A range of entries, read page by page while it is consumed. All pages show the store at one revision, that
// of the first page, however long the reading takes and whoever answers: an entry is seen once or not at all.
// No page is asked for before it is needed.

import { prefixEnd, type ByteString } from '../base/bytes.js';
import { KvorumError } from '../base/errors.js';
import { wireLimits } from '../wire/limits.js';
import type { RangeAnswer } from '../wire/clients/answers.js';
import { isAborted, reasonOf } from './abort-signals.js';
import { Entry } from './entry.js';
import { storeLimits } from './engine/limits.js';
import type { EngineRange } from './engine/requests.js';

/** What is to be read; `limit` counts the entries of all pages. */
export type RangeQuery = EngineRange;

export class EntryRange implements AsyncIterable<Entry> {
  readonly #query: RangeQuery;
  readonly #readPage: (page: EngineRange) => Promise<RangeAnswer>;
  readonly #signal: AbortSignal | undefined;

  /** @internal Made by `KvorumClient.range`. */
  constructor(
    query: RangeQuery,
    readPage: (page: EngineRange) => Promise<RangeAnswer>,
    signal: AbortSignal | undefined,
  ) {
    this.#query = query;
    this.#readPage = readPage;
    this.#signal = signal;
  }

  /** All entries in one array. Mind the memory: iterate over what may be large. */
  async all(): Promise<Entry[]> {
    const entries: Entry[] = [];
    for await (const entry of this) entries.push(entry);
    return entries;
  }

  /** Also between two entries of a page: who aborts a loop does not want the rest of the page first. */
  #throwIfAborted(): void {
    if (!isAborted(this.#signal)) return;
    const cause = reasonOf(this.#signal);
    throw new KvorumError('ABORTED', 'the range was aborted while it was read', { cause });
  }

  /** Reads from the start with each iteration, then at the revision that the store has by then. */
  async *[Symbol.asyncIterator](): AsyncIterator<Entry, void, void> {
    let query = this.#query;
    for (;;) {
      const page = await this.#readPage({
        ...query,
        limit: Math.min(query.limit, wireLimits.pageRecordsMax),
      });
      for (const record of page.records) {
        yield new Entry(record);
        this.#throwIfAborted();
      }
      const last = page.records.at(-1);
      if (!page.more || page.records.length >= query.limit) return;
      if (last === undefined)
        throw new KvorumError('PROTOCOL', 'the node sent an empty page of a longer range');
      const rest = restAfter(query, last.key);
      if (rest === undefined) return;
      query = {
        ...query,
        ...rest,
        limit: query.limit - page.records.length,
        revision: page.revision,
        // The state at a revision never changes, so any node that has it will do, without asking a majority
        // again.
        consistency: { kind: 'serializable' },
        minRevision: page.revision,
      };
    }
  }
}

/** What of the range comes after `lastKey`; `undefined`: nothing can. */
function restAfter(
  query: RangeQuery,
  lastKey: ByteString,
): { start: ByteString; end: ByteString | undefined } | undefined {
  if (query.reverse) return lastKey > query.start ? { start: query.start, end: lastKey } : undefined;
  const start = keyAfter(lastKey);
  if (start === undefined || (query.end !== undefined && start >= query.end)) return undefined;
  return { start, end: query.end };
}

/** The smallest possible key after `key`; `undefined`: there is none. */
export function keyAfter(key: ByteString): ByteString | undefined {
  // No key is longer than the limit, so after one of full length comes the next that does not begin with it.
  return key.length < storeLimits.keyBytesMax ? `${key}\0` : prefixEnd(key);
}
