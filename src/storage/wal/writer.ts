// Writes batches: one write and one fdatasync at a time, segment after segment. Must never have a batch on
// its way while an earlier one is not synced (the rule of recovery stands on that), and never report a batch
// as durable before its sync is back. Which units make a batch is decided here, by what fits; when to write
// is decided in `wal`.

import { assert } from '../../base/assert.js';
import { Durations } from '../../base/durations.js';
import type { Clock } from '../../base/env.js';
import type { HardState, LogEntry, LogIndex, Term } from '../../raft/types.js';
import { BatchEncoder } from './encoder.js';
import { commitFrameBytes, frameBytes, segmentHeaderBytes, startFrameBytes } from './format.js';
import type { WalIndex } from './index-of-entries.js';
import type { ReadableSegment } from './reader.js';
import type { ScannedLog } from './recovery.js';
import { SealedSegments } from './sealed.js';
import { diskFailure, SegmentPool, type PoolOptions, type Segment } from './segments.js';

/** What becomes durable together. Order of effect: hard state, truncation, entries. */
export interface WalUnit {
  readonly hardState?: HardState;
  /** Remove all entries from this index on, before `entries` are appended. */
  readonly truncateSuffix?: LogIndex;
  readonly entries: readonly LogEntry[];
}

/** A unit that waits to be written. */
export interface Waiting {
  readonly unit: WalUnit;
  /** The log begins after this entry from now on. */
  readonly base: { readonly index: LogIndex; readonly term: Term } | undefined;
  /** The newest commit index known when the unit was appended. */
  readonly commitIndex: LogIndex;
  /** Of its frames: `unitBytes`. */
  readonly bytes: number;
  readonly done: () => void;
}

export interface WriterOptions extends PoolOptions {
  readonly clock: Clock;
}

/** Counters for metrics, since the log was opened. */
export interface WalStats {
  readonly syncs: number;
  readonly bytesWritten: number;
  readonly entriesWritten: number;
  /** Of a write and its sync together. */
  readonly syncTimes: Durations;
}

/** Units go into one batch up to this size, or one larger unit. */
const batchBytesMax = 4 * 1024 * 1024;

export class WalWriter {
  readonly stats = { syncs: 0, bytesWritten: 0, entriesWritten: 0, syncTimes: new Durations() };
  readonly index: WalIndex;
  readonly sealed: SealedSegments;
  private readonly options: WriterOptions;
  private readonly pool: SegmentPool;
  private readonly encoder = new BatchEncoder();
  /** Undefined between the end of one segment and the first batch of the next. */
  private active: Segment | undefined;
  /** Of the next batch in the active segment. */
  private offset: number;
  /** Number and chain of the last batch. */
  private sequence: number;
  private chain: number;
  /** As of the last batch. */
  private hardState: HardState;
  /** The commit index in the last batch; never above the last index. */
  private commitIndex: LogIndex;
  /** A write or sync is under way. */
  private busy = false;
  /** The last batch holds something: without a successor it could be taken for a torn one. */
  private lastHoldsUnits: boolean;
  /** Set by a failure: nothing is written any more. */
  private stopped = false;

  constructor(options: WriterOptions, scanned: ScannedLog) {
    this.options = options;
    this.index = scanned.index;
    this.active = scanned.active;
    this.offset = scanned.offset;
    this.sequence = scanned.sequence;
    this.chain = scanned.chain;
    this.hardState = scanned.hardState;
    this.commitIndex = scanned.hardState.commitIndex;
    this.lastHoldsUnits = !scanned.lastBatchEmpty;
    const fail = (error: Error): void => this.fail(error);
    this.sealed = new SealedSegments(options.disk, options.directory, scanned.sealed, fail);
    const nextNumber = (scanned.ready.at(-1) ?? scanned.active).number + 1;
    this.pool = new SegmentPool({ ...options, onFailure: fail }, scanned.ready, nextNumber);
    this.pool.fill();
  }

  get isBusy(): boolean {
    return this.busy;
  }

  /** The last batch could still be taken for a torn one. */
  get needsSuccessor(): boolean {
    return this.lastHoldsUnits;
  }

  get writtenCommitIndex(): LogIndex {
    return this.commitIndex;
  }

  get isShortOfSpace(): boolean {
    return this.pool.isShortOfSpace;
  }

  /** Bytes of the log on disk, without what is prepared ahead. */
  get logBytes(): number {
    return this.sealed.bytes + (this.active === undefined ? 0 : this.offset);
  }

  segmentOf(segmentNumber: number): ReadableSegment | undefined {
    return this.active?.number === segmentNumber ? this.active : this.sealed.find(segmentNumber);
  }

  /**
   * Starts writing a batch of as many units as fit, taken from the front of `waiting`; of none if it is
   * empty. `synced` gets them when they are durable. May write the end of the segment instead. False when it
   * waits for the next segment to be ready. In both cases `onChange` asks to be called again. Not while busy.
   */
  start(waiting: Waiting[], commitIndex: LogIndex, synced: (batch: readonly Waiting[]) => void): boolean {
    assert(!this.busy, 'a batch is being written already');
    if (this.stopped) return false;
    this.active ??= this.takeSegment();
    const active = this.active;
    if (active === undefined) return false;
    const isFresh = this.offset === segmentHeaderBytes;
    const startBytes = isFresh ? startFrameBytes + hardStateBytes(this.hardState) : 0;
    // Room for the commit frame of this batch and for the one that ends the segment.
    const room = active.capacityBytes - this.offset - startBytes - 2 * commitFrameBytes;
    const count = countFitting(waiting, room, isFresh);
    if (count === undefined) {
      // The end of a segment says that there is a next one, so that the loss of that file can be told.
      if (!this.pool.hasReady) return false;
      this.seal(active);
      return true;
    }
    const batch = waiting.splice(0, count);
    this.writeBatch(active, isFresh, batch, commitIndex, synced);
    return true;
  }

  /** Stops all work in the background and closes the files. Not while busy. */
  close(done: () => void): void {
    this.sealed.stop(() => {
      this.pool.close(() => {
        this.active?.file.closeSync();
        this.active = undefined;
        done();
      });
    });
  }

  private takeSegment(): Segment | undefined {
    const segment = this.pool.take();
    if (segment !== undefined) this.offset = segmentHeaderBytes;
    return segment;
  }

  private writeBatch(
    active: Segment,
    isFresh: boolean,
    batch: readonly Waiting[],
    knownCommitIndex: LogIndex,
    synced: (batch: readonly Waiting[]) => void,
  ): void {
    const { encoder, index } = this;
    encoder.begin(active.seed, this.sequence + 1, this.chain);
    if (isFresh) {
      encoder.segmentStart(index.lastIndex, index.lastTerm, index.baseIndex, index.baseTerm);
      encoder.hardState(this.hardState, this.commitIndex);
      index.startSegment();
    }
    let entries = 0;
    for (const waiting of batch) {
      this.encodeUnit(waiting, active.number);
      entries += waiting.unit.entries.length;
    }
    const commitIndex = batch.at(-1)?.commitIndex ?? knownCommitIndex;
    this.lastHoldsUnits = batch.length > 0;
    this.write(active, commitIndex, false, () => {
      this.stats.entriesWritten += entries;
      synced(batch);
    });
  }

  private encodeUnit({ unit, base }: Waiting, segmentNumber: number): void {
    const { encoder, index } = this;
    if (unit.hardState !== undefined) {
      const { currentTerm } = unit.hardState;
      assert(currentTerm >= this.hardState.currentTerm, `the term goes back to ${currentTerm}`);
      encoder.hardState(unit.hardState, this.commitIndex);
      this.hardState = unit.hardState;
    }
    if (unit.truncateSuffix !== undefined) {
      const problem = index.problemOfTruncateSuffix(unit.truncateSuffix, this.commitIndex);
      assert(problem === undefined, problem ?? '');
      index.truncateSuffix(unit.truncateSuffix);
      encoder.truncateSuffix(unit.truncateSuffix);
    }
    encodeEntries(encoder, unit.entries, index, segmentNumber, this.offset);
    if (base !== undefined && base.index > index.baseIndex) {
      index.recordBase(base.index, base.term);
      const problem = index.forgetBelowBase();
      assert(problem === undefined, problem ?? '');
      encoder.truncatePrefix(base.index, base.term);
    }
  }

  /** Ends the segment with an empty batch that says so; the next batch goes into the next segment. */
  private seal(active: Segment): void {
    this.encoder.begin(active.seed, this.sequence + 1, this.chain);
    this.lastHoldsUnits = false;
    this.write(active, this.commitIndex, true, () => {
      const { number, path, seed } = active;
      this.sealed.push({ number, path, bytes: this.offset, seed, lastIndex: this.index.lastIndex });
      this.active = undefined;
      active.file.closeSync();
      this.options.onChange();
    });
  }

  /** Ends the batch in the encoder, writes and syncs it. */
  private write(active: Segment, knownCommitIndex: LogIndex, sealed: boolean, synced: () => void): void {
    const { lastIndex, lastTerm } = this.index;
    // A leader may know more to be committed than it has itself on disk; recovery relies on commitIndex <=
    // lastIndex.
    const commitIndex = Math.max(this.commitIndex, Math.min(knownCommitIndex, lastIndex));
    const { parts, bytes, chain } = this.encoder.finish({ lastIndex, lastTerm, commitIndex, sealed });
    const offset = this.offset;
    const startMs = this.options.clock.nowMs();
    this.busy = true;
    this.sequence++;
    this.chain = chain;
    this.commitIndex = commitIndex;
    active.file.write(offset, parts, (writeError) => {
      if (writeError !== undefined) {
        this.failWrite('write to', active.path, offset, writeError);
        return;
      }
      active.file.sync((syncError) => {
        if (syncError !== undefined) {
          this.failWrite('sync of', active.path, offset, syncError);
          return;
        }
        this.busy = false;
        this.offset = offset + bytes;
        this.stats.syncs++;
        this.stats.bytesWritten += bytes;
        this.stats.syncTimes.add(this.options.clock.nowMs() - startMs);
        if (this.stopped) this.options.onChange();
        else synced();
      });
    });
  }

  /**
   * What failed is never tried again: the pages may be marked clean and a second sync succeed.
   */
  private failWrite(action: string, path: string, offset: number, error: Error): void {
    this.busy = false;
    this.fail(diskFailure(action, path, offset, error));
    this.options.onChange();
  }

  private fail(error: Error): void {
    if (this.stopped) return;
    this.stopped = true;
    this.options.onFailure(error);
  }
}

/** Bytes of the frames of a unit. */
export function unitBytes(unit: WalUnit, hasBase: boolean): number {
  let bytes = hasBase ? frameBytes(0) : 0;
  if (unit.truncateSuffix !== undefined) bytes += frameBytes(0);
  if (unit.hardState !== undefined) bytes += hardStateBytes(unit.hardState);
  for (const entry of unit.entries) bytes += frameBytes(entry.payload.length);
  return bytes;
}

/** Adds entries to the batch in the encoder, which begins at `batchOffset`, and to the index. */
export function encodeEntries(
  encoder: BatchEncoder,
  entries: readonly LogEntry[],
  index: WalIndex,
  segmentNumber: number,
  batchOffset: number,
): void {
  for (const entry of entries) {
    const problem = index.problemOfEntry(entry.index, entry.term);
    assert(problem === undefined, problem ?? '');
    index.appendEntry(
      entry.index,
      entry.term,
      entry.payload.length,
      segmentNumber,
      batchOffset + encoder.bytes,
    );
    encoder.entry(entry);
  }
}

function hardStateBytes(hardState: HardState): number {
  return frameBytes(Buffer.byteLength(hardState.votedFor ?? ''));
}

/**
 * How many units go into the next batch; `undefined` when the segment must end first. A fresh one takes any
 * unit.
 */
function countFitting(waiting: readonly Waiting[], room: number, isFresh: boolean): number | undefined {
  let bytes = 0;
  let count = 0;
  for (const unit of waiting) {
    const fits = bytes + unit.bytes <= Math.min(room, batchBytesMax);
    const goesAlone = count === 0 && (isFresh || unit.bytes <= room);
    if (!fits && !goesAlone) break;
    bytes += unit.bytes;
    count++;
  }
  return count === 0 && (waiting.length > 0 || room < 0) ? undefined : count;
}
