// Reads all tables from the store at a start, page by page.

import type { ByteString } from '../../base/bytes.js';
import type { Done } from '../../base/env.js';
import { failureOf } from '../records/failure.js';
import { folderRange } from '../records/schema.js';
import type { OrderedStore } from '../store.js';
import type { Tables } from './index.js';

const pageRecords = 256;

/** The tables are empty. `done` gets CORRUPT or an error of the store. */
export function loadTables(store: OrderedStore, tables: Tables, done: Done): void {
  loadFrom(store, tables, 0, '', done);
}

/** `position`: of the table among all; `after`: the last store key that was read of it. */
function loadFrom(
  store: OrderedStore,
  tables: Tables,
  position: number,
  after: ByteString,
  done: Done,
): void {
  const kind = tables.kinds[position];
  const table = tables.all[position];
  if (kind === undefined || table === undefined) return done(undefined);
  store.fetchRange(folderRange(kind.record.keys, after, pageRecords), (error, records) => {
    if (error !== undefined) return done(error);
    const failure = failureOf(() => {
      for (const { key, value } of records) table.restore(key, value);
    });
    if (failure !== undefined) return done(failure);
    const last = records.at(-1);
    if (last === undefined || records.length < pageRecords) loadFrom(store, tables, position + 1, '', done);
    else loadFrom(store, tables, position, last.key, done);
  });
}
