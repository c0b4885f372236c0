// The replicated state machine: committed entries in, results out, everything else follows from them. Entries
// are applied in memory; the server's loop freezes what was applied into groups and writes them to the store
// one by one. Must never let readers, hashes or a group see an entry that is applied in part, and must reach
// the same state from the same entries wherever groups begin and end.

import { assert, defined } from '../base/assert.js';
import type { ByteString } from '../base/bytes.js';
import type { Done } from '../base/env.js';
import { Change } from './change.js';
import type { Command, CommandResult, KeyRecord, Revision } from './commands.js';
import { Executor } from './execute.js';
import { checkKnownLevel, formatLevels, type Software } from './format-level.js';
import { Layers } from './layers.js';
import {
  countKeys,
  readPage,
  type Counted,
  type CountQuery,
  type RangePage,
  type RangeQuery,
} from './reading/pages.js';
import { futureRevision, readAt, readWithin, type Heavy } from './reading/reads.js';
import type { Pace, ScanSource } from './reading/scan.js';
import { failureOf } from './records/failure.js';
import {
  appliedKey,
  corrupt,
  decodeApplied,
  encodeApplied,
  historyStart,
  type AppliedRecord,
} from './records/schema.js';
import { beginRun, provideTo, type EntryToApply, type Run } from './run.js';
import { hashHex, StateHashes } from './state-hash.js';
import type { OrderedStore, StoreOperation, StoreRange, StoreRecord } from './store.js';
import { Tables, type TableKinds, type TableName } from './tables/index.js';
import { loadTables } from './tables/load.js';

export type { EntryToApply } from './run.js';
export type { Pace } from './reading/scan.js';
export type { Heavy } from './reading/reads.js';
export type { Counted, CountQuery, RangePage, RangeQuery } from './reading/pages.js';

/** `done`: one result per command. `needs`: fetch the range, `provide` it, and apply the same entry again. */
export type ApplyStep =
  | { readonly kind: 'done'; readonly results: readonly CommandResult[] }
  | { readonly kind: 'needs'; readonly range: StoreRange };

/**
 * One replica's state. All calls are synchronous; reads that take a callback see the state as of the call.
 */
export class StateMachine {
  private readonly store: OrderedStore;
  private readonly layers: Layers;
  private readonly change: Change;
  private readonly tables: Tables;
  private readonly software: Software;
  private readonly executor: Executor;
  private readonly hashes = new StateHashes();
  private readonly scanSource: ScanSource;
  /** For reads that nobody paces: on at once, but after the return. */
  private readonly unpaced: Pace = (goOn) => this.store.fetchMany([], (error) => goOn(error));
  private run: Run | undefined;
  private loaded = false;
  // What readers see: the state after the last entry that was applied in full.
  private visibleIndex = 0;
  private visibleTerm = 0;
  private visibleRevision: Revision = 0;
  private visibleClusterTimeMs = 0;
  private visibleWallTimeMs = 0;
  private visibleFormatLevel: number = formatLevels.min;
  private stateHigh = 0;
  private stateLow = 0;
  private contentHigh = 0;
  private contentLow = 0;
  /** Of the newest group, frozen or durable; at most visibleIndex. */
  private frozenIndex = 0;
  private durableIndex = 0;

  /** `load` must have succeeded before anything else is called. */
  constructor(store: OrderedStore, software: Software, kinds: TableKinds) {
    this.store = store;
    this.software = software;
    this.layers = new Layers(store);
    this.change = new Change(this.layers);
    this.tables = new Tables(kinds);
    const { layers, change, tables } = this;
    this.executor = new Executor({ layers, change, tables, software });
    this.scanSource = { store, layers: this.layers, newestRevision: () => this.visibleRevision };
  }

  get appliedIndex(): number {
    return this.visibleIndex;
  }

  get appliedTerm(): number {
    return this.visibleTerm;
  }

  /** Of the last write that changed something; 0 before the first. */
  get revision(): Revision {
    return this.visibleRevision;
  }

  /** Largest cluster time of all entries applied. */
  get clusterTimeMs(): number {
    return this.visibleClusterTimeMs;
  }

  get wallTimeMs(): number {
    return this.visibleWallTimeMs;
  }

  /** Of the state: commands of a higher one have no effect. Before the formation, the lowest. */
  get formatLevel(): number {
    return this.visibleFormatLevel;
  }

  /** Hash of the way to the state at `appliedIndex`, 16 hexadecimal digits. */
  get stateHash(): string {
    return hashHex(this.stateHigh, this.stateLow);
  }

  /** Hash of all current records, 16 hexadecimal digits. */
  get contentHash(): string {
    return hashHex(this.contentHigh, this.contentLow);
  }

  /** How much a table holds: open sessions. */
  sizeOf(table: TableName): number {
    return this.tables.visibleSizeOf(table);
  }

  /**
   * Nothing in any table is over before this cluster time. May be early, never late; exact after each
   * `expireTables`.
   */
  get nextDeadlineMs(): number | undefined {
    return this.tables.nextDeadlineMs;
  }

  /** Estimated bytes of the group that `freeze` would return now. */
  get activeBytes(): number {
    return this.layers.active.bytes + this.tables.groupBytes;
  }

  /**
   * Durable groups still in memory because a read that began before is open: 0 when nothing is being read.
   */
  get keptGroups(): number {
    return this.layers.keptCount;
  }

  /** Index of the last entry whose effects are durable in the store. */
  get durableAppliedIndex(): number {
    return this.durableIndex;
  }

  /** The state hash after `index`, if it is among the 1,024 newest since the start. */
  stateHashAt(index: number): string | undefined {
    return this.hashes.at(index);
  }

  /** The newest `count` or fewer state hashes with their indexes, oldest first. */
  stateHashes(count: number): readonly (readonly [index: number, hash: string])[] {
    return this.hashes.newestPairs(count);
  }

  /**
   * Reads what the store is the state of, and the tables. CORRUPT for damaged records and for a newer layout
   * of records; FORMAT for a state of a level above the software's, which is no damage.
   */
  load(done: Done): void {
    assert(!this.loaded, 'the state machine is loaded twice');
    this.loaded = true;
    this.store.fetchRange(historyStart, (error, records) => {
      if (error !== undefined) return done(error);
      let applied: AppliedRecord | undefined;
      const failure = failureOf(() => {
        applied = this.loadApplied(records.length > 0);
      });
      if (failure !== undefined) return done(failure);
      loadTables(this.store, this.tables, (loadError) => {
        this.tables.showSizes();
        done(loadError ?? failureOf(() => this.checkTables(applied)));
      });
    });
  }

  /**
   * Applies the entry after `appliedIndex`. On `needs` nothing of it can be seen yet; after `provide` the
   * same entry is applied again, and the commands that were executed are not executed a second time.
   */
  applyEntry(entry: EntryToApply): ApplyStep {
    const run = (this.run ??= this.beginRun(entry));
    const { index, term, commands } = entry;
    assert(
      index === run.index && term === run.term,
      `entry ${index} of term ${term} interrupts entry ${run.index} of term ${run.term}`,
    );
    if (run.needed !== undefined) return waitingStep(run);
    while (run.results.length < commands.length) {
      const result = this.executor.execute(run, commands[run.results.length] as Command);
      if (result === undefined) return waitingStep(run);
      run.results.push(result);
    }
    this.endRun(run);
    return { kind: 'done', results: run.results };
  }

  /** The records that `needs` asked for, as the store was at any moment since. Throws CORRUPT. */
  provide(range: StoreRange, records: readonly StoreRecord[]): void {
    assert(this.run !== undefined, 'a range is provided but no entry is being applied');
    provideTo(this.run, range, records);
  }

  /** The current record of a key. */
  get(key: ByteString): KeyRecord | undefined {
    return readAt(this.layers, key, this.visibleRevision);
  }

  /** The record of a key at a revision; 0: now. Throws FUTURE_REVISION. */
  getAt(key: ByteString, revision: Revision): KeyRecord | undefined {
    if (revision > this.visibleRevision) throw futureRevision(revision, this.visibleRevision);
    return readAt(this.layers, key, revision === 0 ? this.visibleRevision : revision);
  }

  /**
   * As `getAt`, if it reads at most so many bytes of values and steps back only little; else `heavy`: then
   * `range` reads the one key.
   */
  getWithin(key: ByteString, revision: Revision, bytesMax: number): KeyRecord | undefined | Heavy {
    if (revision > this.visibleRevision) throw futureRevision(revision, this.visibleRevision);
    return readWithin(this.layers, key, revision === 0 ? this.visibleRevision : revision, bytesMax);
  }

  /**
   * One page of a range as of the call, or as of `query.revision`. `done` is never called before the return;
   * it gets FUTURE_REVISION, CORRUPT, an error of the store or of `pace` (and then an empty page).
   */
  range(
    query: RangeQuery,
    done: (error: Error | undefined, page: RangePage) => void,
    pace: Pace = this.unpaced,
  ): void {
    readPage(this.scanSource, query, pace, done);
  }

  /** Counts the keys of a range as of the call, or as of `query.revision`. Errors as `range`. */
  count(
    query: CountQuery,
    done: (error: Error | undefined, counted: Counted) => void,
    pace: Pace = this.unpaced,
  ): void {
    countKeys(this.scanSource, query, pace, done);
  }

  /**
   * Everything applied since the last group as one batch, to be written as it is; `undefined` when there is
   * nothing new. Not while a group is being written, nor while an entry waits for a range.
   */
  freeze(): readonly StoreOperation[] | undefined {
    assert(this.run === undefined, 'a group would end within an entry');
    if (this.visibleIndex === this.frozenIndex) return undefined;
    const layer = this.layers.freeze();
    const operations = layer.takeOperations();
    for (const table of this.tables.all) table.takeOperations(operations);
    const tables = this.tables.hash();
    operations.push({
      type: 'put',
      key: appliedKey,
      value: encodeApplied({
        appliedIndex: this.visibleIndex,
        term: this.visibleTerm,
        stateHigh: this.stateHigh,
        stateLow: this.stateLow,
        contentHigh: this.contentHigh,
        contentLow: this.contentLow,
        revision: this.visibleRevision,
        clusterTimeMs: this.visibleClusterTimeMs,
        wallTimeMs: this.visibleWallTimeMs,
        formatLevel: this.visibleFormatLevel,
        tablesHigh: tables.high,
        tablesLow: tables.low,
      }),
    });
    this.frozenIndex = this.visibleIndex;
    return operations;
  }

  /** The group of the last `freeze` is durable. */
  writeResolved(): void {
    this.layers.resolve();
    this.durableIndex = this.frozenIndex;
  }

  private loadApplied(hasHistory: boolean): AppliedRecord | undefined {
    const record = this.store.getSync(appliedKey);
    const applied = record === undefined ? undefined : decodeApplied(record);
    if (applied === undefined) {
      if (hasHistory) throw corrupt(appliedKey, 'is missing although there is data');
    } else {
      checkKnownLevel(applied.formatLevel, this.software, 'the store is of');
      this.visibleIndex = applied.appliedIndex;
      this.visibleTerm = applied.term;
      this.visibleRevision = applied.revision;
      this.visibleClusterTimeMs = applied.clusterTimeMs;
      this.visibleWallTimeMs = applied.wallTimeMs;
      this.stateHigh = applied.stateHigh;
      this.stateLow = applied.stateLow;
      this.contentHigh = applied.contentHigh;
      this.contentLow = applied.contentLow;
      this.visibleFormatLevel = applied.formatLevel;
      this.change.revision = applied.revision;
      this.change.content.set(applied.contentHigh, applied.contentLow);
    }
    this.frozenIndex = this.visibleIndex;
    this.durableIndex = this.visibleIndex;
    this.hashes.push(this.visibleIndex, this.stateHigh, this.stateLow);
    return applied;
  }

  /** A record of a table that is missing would show in no other way. */
  private checkTables(applied: AppliedRecord | undefined): void {
    const { high, low } = this.tables.hash();
    const found = hashHex(high, low);
    const expected = hashHex(applied?.tablesHigh ?? 0, applied?.tablesLow ?? 0);
    if (found === expected) return;
    throw corrupt(appliedKey, `says that the tables have hash ${expected}, but their records have ${found}`);
  }

  private beginRun(entry: EntryToApply): Run {
    assert(
      entry.index === this.visibleIndex + 1,
      `entry ${entry.index} is applied after ${this.visibleIndex}, not after ${entry.index - 1}`,
    );
    if (entry.formatLevel !== undefined) {
      checkKnownLevel(entry.formatLevel, this.software, 'the cluster was formed at');
    }
    return beginRun(entry, {
      clusterTimeMs: this.visibleClusterTimeMs,
      wallTimeMs: this.visibleWallTimeMs,
      formatLevel: this.visibleFormatLevel,
      stateHigh: this.stateHigh,
      stateLow: this.stateLow,
    });
  }

  private endRun(run: Run): void {
    const [high, low] = run.effects.words();
    this.stateHigh = high;
    this.stateLow = low;
    this.contentHigh = this.change.content.high;
    this.contentLow = this.change.content.low;
    this.visibleIndex = run.index;
    this.visibleTerm = run.term;
    this.visibleRevision = this.change.revision;
    this.visibleClusterTimeMs = run.clusterTimeMs;
    this.visibleWallTimeMs = run.wallTimeMs;
    this.visibleFormatLevel = run.formatLevel;
    this.tables.showSizes();
    this.hashes.push(run.index, high, low);
    this.run = undefined;
  }
}

function waitingStep(run: Run): ApplyStep {
  return { kind: 'needs', range: defined(run.needed, 'the needed range') };
}
