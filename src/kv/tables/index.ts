// The registry of replicated tables. Who must do something for every table goes over it and names none.

import type { ByteString } from '../../base/bytes.js';
import { isOfKind } from '../records/record-kind.js';
import { ContentHash } from '../state-hash.js';
import { sessionTable, type SessionTable } from './sessions.js';
import type { ReplicatedTable, TableKind } from './table.js';

export const tableKinds = { sessions: sessionTable } satisfies Readonly<Record<string, TableKind>>;

export type TableName = keyof typeof tableKinds;

/** The tables of kvorum; a test may add one of its own. */
export type TableKinds = typeof tableKinds & Readonly<Record<string, TableKind>>;

/** The kinds by the ascending keys of their records: the order in which their records are read and sent. */
export function orderedKinds(kinds: TableKinds): readonly TableKind[] {
  return Object.values<TableKind>(kinds).sort((a, b) => (a.record.keys < b.record.keys ? -1 : 1));
}

/** The kind that a record of the store belongs to; `undefined` when it is of no table. */
export function kindOf(kinds: readonly TableKind[], storeKey: ByteString): TableKind | undefined {
  return kinds.find(({ record }) => isOfKind(record, storeKey));
}

/** The tables of one replica. */
export class Tables {
  readonly sessions: SessionTable;
  /** All of them, in the order of `kinds`. */
  readonly all: readonly ReplicatedTable[];
  readonly kinds: readonly TableKind[];
  private readonly places: ReadonlyMap<TableKind, number>;
  /** Of each table after the last entry that was applied in full. */
  private readonly visibleSizes: number[];

  constructor(kinds: TableKinds) {
    const { sessions } = kinds;
    this.sessions = sessions.create();
    this.kinds = orderedKinds(kinds);
    this.all = this.kinds.map((kind) => (kind === sessions ? this.sessions : kind.create()));
    this.places = new Map(this.kinds.map((kind, place) => [kind, place]));
    this.visibleSizes = this.kinds.map(() => 0);
  }

  /** What readers may know of a table: nothing of an entry that is applied in part. */
  visibleSizeOf(name: TableName): number {
    return this.visibleSizes[this.places.get(tableKinds[name]) ?? -1] ?? 0;
  }

  /** An entry was applied in full, or all was loaded. */
  showSizes(): void {
    for (let place = 0; place < this.all.length; place++) {
      this.visibleSizes[place] = (this.all[place] as ReplicatedTable).size;
    }
  }

  get nextDeadlineMs(): number | undefined {
    let earliest: number | undefined;
    for (const { nextDeadlineMs } of this.all) {
      if (nextDeadlineMs === undefined) continue;
      earliest = earliest === undefined ? nextDeadlineMs : Math.min(earliest, nextDeadlineMs);
    }
    return earliest;
  }

  get groupBytes(): number {
    let bytes = 0;
    for (const table of this.all) bytes += table.groupBytes;
    return bytes;
  }

  /** The sum over the records of all tables, as the last group left them. */
  hash(): ContentHash {
    const sum = new ContentHash();
    for (const { hash } of this.all) sum.add(hash.high, hash.low);
    return sum;
  }
}
