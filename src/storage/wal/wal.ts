// The write-ahead log of a node: makes units of hard state and entries durable in the order in which they are
// given, many with one fdatasync. Must never call `done` before the bytes are synced, and never again after a
// failure. Bytes are in format.ts, batches and files in writer.ts and segments.ts, the start in
// recovery.ts, reading back in reader.ts. Group commit as in LogCabin and etcd: whatever arrives while a sync
// runs is the next group.

import { assert } from '../../base/assert.js';
import type { Clock, Disk, Done, Report, TimerHandle, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { LogEntry, LogIndex, RecoveredState, Term } from '../../raft/types.js';
import type { StorageEvent } from '../events.js';
import { BatchEncoder } from './encoder.js';
import { segmentHeaderBytes, segmentSeed } from './format.js';
import { WalIndex } from './index-of-entries.js';
import { EntryReader, readEntriesSync, type EntriesRequest, type ReadableSegment } from './reader.js';
import { recoverLog, type ScannedLog, type TornTail } from './recovery.js';
import {
  createFirstSegment,
  diskFailure,
  listSegments,
  newSegmentHeader,
  type SegmentOptions,
} from './segments.js';
import { encodeEntries, unitBytes, WalWriter, type Waiting, type WalStats, type WalUnit } from './writer.js';

export type { WalStats, WalUnit };

export interface WalOptions extends SegmentOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly report: Report<StorageEvent>;
  /** `isOverQuota` is true from this size of the log on. */
  readonly quotaBytes: number;
  /** Payload, with 64 bytes of overhead for each entry, of the entries that `openWal` hands over at most. */
  readonly recentEntriesBytesMax: number;
  /** Applied index of the store: the log must reach it, else it is damaged. */
  readonly appliedIndexFloor: LogIndex;
  /**
   * The log failed and will never call `done` again: the node must stop. Called at most once, with `DISK`.
   */
  readonly onFailure: (error: Error) => void;
}

export interface OpenedWal {
  readonly wal: Wal;
  readonly recovered: RecoveredState;
  /** Present when the last write before the start was cut off. */
  readonly repairedTail?: TornTail;
}

const noBase: LogBase = { index: 0, term: 0 };

/** After this long without an append, the last batch gets a successor. */
const idleMs = 100;

/** Whether there is a log in the folder. */
export function walExists(disk: Disk, directory: string): boolean {
  return listSegments(disk, directory).length > 0;
}

/** The entry that a log begins after. */
export interface LogBase {
  readonly index: LogIndex;
  readonly term: Term;
}

/**
 * Makes a new log whose first batch is `unit`, synchronously and durably. A crash on the way leaves either no
 * log or the whole one. There must be no log yet. `base`: a committed entry that the log begins after;
 * without one it begins at 1. Throws `DISK`.
 */
export function createWal(options: SegmentOptions, unit: WalUnit, base: LogBase = noBase): void {
  assert(!walExists(options.disk, options.directory), `there is a log in ${options.directory} already`);
  assert(unit.truncateSuffix === undefined, 'a new log has nothing to remove');
  checkSizes(options);
  const header = newSegmentHeader(options, 1);
  const index = new WalIndex(base.index, base.term, base.index, base.term);
  const encoder = new BatchEncoder();
  const hardState = unit.hardState ?? { currentTerm: 0, votedFor: undefined, commitIndex: 0 };
  encoder.begin(segmentSeed(header), 1, 0);
  encoder.segmentStart(base.index, base.term, base.index, base.term);
  encoder.hardState(hardState, 0);
  encodeEntries(encoder, unit.entries, index, 1, segmentHeaderBytes);
  const { lastIndex, lastTerm } = index;
  const commitIndex = Math.max(base.index, Math.min(hardState.commitIndex, lastIndex));
  createFirstSegment(
    options,
    header,
    encoder.finish({ lastIndex, lastTerm, commitIndex, sealed: false }).parts,
  );
}

/**
 * Opens the log of a folder, repairing what a crash left of the last write. Synchronous. Throws `CORRUPT` or
 * `IDENTITY` naming file and offset, `DISK` when a file cannot be read or repaired.
 */
export function openWal(options: WalOptions): OpenedWal {
  checkSizes(options);
  const scanned = recoverLog(options);
  const { index, hardState, tornTail } = scanned;
  const segments = new Map<number, ReadableSegment>();
  for (const segment of [...scanned.sealed, scanned.active]) segments.set(segment.number, segment);
  const request = {
    firstIndex: index.recentFrom(options.recentEntriesBytesMax),
    lastIndex: index.lastIndex,
    bytesMax: Number.POSITIVE_INFINITY,
  };
  const recentEntries = readEntriesSync(options.disk, index, (number) => segments.get(number), request);
  const { baseIndex, baseTerm, lastIndex } = index;
  const log = { baseIndex, baseTerm, lastIndex, termRuns: [...index.termRuns], recentEntries };
  const opened = { wal: new Wal(options, scanned), recovered: { hardState, log } };
  return tornTail === undefined ? opened : { ...opened, repairedTail: tornTail };
}

/** Made by `openWal`. */
export class Wal {
  private readonly options: WalOptions;
  private readonly index: WalIndex;
  private readonly writer: WalWriter;
  /** Appended, not yet being written. Bounded by the core's limits of uncommitted and in-flight bytes. */
  private readonly waiting: Waiting[] = [];
  /** The newest commit index known; may be above what is written. */
  private knownCommitIndex: LogIndex;
  /** Last entry appended, written or not. */
  private appendedIndex: LogIndex;
  /** Entries up to here are durable and part of the log as appended: they may be read. */
  private readableIndex: LogIndex;
  private flushDeferred = false;
  private idleTimer: TimerHandle | undefined;
  private lastAppendMs: number;
  /** The last batch needs a successor now. */
  private successorDue = false;
  private readonly readers = new Set<EntryReader>();
  private failure: KvorumError | undefined;
  private closing = false;
  /** Present while `close` waits. */
  private closeDone: Done | undefined;

  constructor(options: WalOptions, scanned: ScannedLog) {
    this.options = options;
    this.index = scanned.index;
    this.knownCommitIndex = scanned.hardState.commitIndex;
    this.appendedIndex = scanned.index.lastIndex;
    this.readableIndex = scanned.index.lastIndex;
    this.lastAppendMs = options.clock.nowMs();
    const onChange = (): void => this.flush();
    const onFailure = (error: Error): void => this.fail(error);
    this.writer = new WalWriter({ ...options, onChange, onFailure }, scanned);
    this.writer.sealed.dropUpTo(scanned.index.baseIndex);
    this.armIdleTimer(idleMs);
  }

  /** Bytes of the log on disk, without what is prepared ahead. */
  get logBytes(): number {
    return this.writer.logBytes;
  }

  /** The log is at its quota, or the disk has no room for the next segments: growth must be refused. */
  get isOverQuota(): boolean {
    return this.logBytes >= this.options.quotaBytes || this.writer.isShortOfSpace;
  }

  get stats(): WalStats {
    return this.writer.stats;
  }

  /**
   * Makes a unit durable, then calls `done`; in the order of the calls. The entries must follow the log as
   * appended. After a failure or `close` nothing happens and `done` is never called. Throws AssertionError on
   * a gap.
   */
  append(unit: WalUnit, done: () => void): void {
    if (unit.hardState !== undefined) this.noteCommitIndex(unit.hardState.commitIndex);
    this.enqueue(unit, undefined, done);
  }

  /**
   * The next batch will carry this commit index, as far as the log reaches. Must not be above what the log
   * holds once the `append` that follows in the same turn is made. A smaller one than before has no effect.
   */
  noteCommitIndex(commitIndex: LogIndex): void {
    this.knownCommitIndex = Math.max(this.knownCommitIndex, commitIndex);
  }

  /**
   * Reads durable entries; fewer or none when they are not part of the log any more. `done` gets `CORRUPT` or
   * `DISK` when the disk does not give back what was written to it.
   */
  readEntries(
    request: EntriesRequest,
    done: (error: Error | undefined, entries: readonly LogEntry[]) => void,
  ): void {
    const segmentOf = (number: number): ReadableSegment | undefined => this.writer.segmentOf(number);
    const limited = { ...request, lastIndex: Math.min(request.lastIndex, this.readableIndex) };
    const reader = new EntryReader(this.options.disk, this.index, segmentOf, limited, (error, entries) => {
      this.readers.delete(reader);
      done(error, entries);
    });
    this.readers.add(reader);
    this.options.timers.defer(() => reader.advance());
  }

  /**
   * Forgets the entries up to `index`, which must be committed and durable: first a record of the new base
   * becomes durable, then segments that lie wholly below it are removed, oldest first.
   */
  truncatePrefix(index: LogIndex): void {
    if (index <= this.index.baseIndex) return;
    const term = this.index.termAt(index);
    const isDurable = index <= this.readableIndex && term !== undefined;
    assert(isDurable && index <= this.knownCommitIndex, `entry ${index} is not durable and committed`);
    this.enqueue({ entries: [] }, { index, term }, () => this.writer.sealed.dropUpTo(index));
  }

  /**
   * The largest index whose `truncatePrefix` frees whole segments and leaves at least `bytesToKeep` of the
   * log on the disk; `undefined` when there is none. It may be above what may be truncated now.
   */
  sealedThrough(bytesToKeep: number): LogIndex | undefined {
    const index = this.writer.sealed.throughFor(this.logBytes - bytesToKeep);
    return index !== undefined && index > this.index.baseIndex ? index : undefined;
  }

  /** Writes what was appended, then closes all files. `done` gets the failure if there was or is one. */
  close(done: Done): void {
    assert(!this.closing, 'the log is being closed already');
    this.closing = true;
    this.closeDone = done;
    if (this.idleTimer !== undefined) this.options.timers.clear(this.idleTimer);
    this.deferFlush();
  }

  private enqueue(unit: WalUnit, base: Waiting['base'], done: () => void): void {
    if (this.failure !== undefined || this.closing) return;
    const { truncateSuffix, entries } = unit;
    if (truncateSuffix !== undefined) {
      assert(
        truncateSuffix <= this.appendedIndex + 1,
        `entry ${truncateSuffix} is removed but was never appended`,
      );
      assert(
        truncateSuffix > this.writer.writtenCommitIndex,
        `entry ${truncateSuffix} is removed but committed`,
      );
      this.appendedIndex = truncateSuffix - 1;
      this.readableIndex = Math.min(this.readableIndex, truncateSuffix - 1);
      for (const reader of this.readers) reader.limitTo(truncateSuffix - 1);
    }
    for (const entry of entries) {
      this.appendedIndex++;
      assert(
        entry.index === this.appendedIndex,
        `entry ${entry.index} appended where ${this.appendedIndex} is next`,
      );
    }
    const bytes = unitBytes(unit, base !== undefined);
    this.waiting.push({ unit, base, commitIndex: this.knownCommitIndex, bytes, done });
    this.lastAppendMs = this.options.clock.nowMs();
    if (!this.writer.isBusy) this.deferFlush();
  }

  /** Deferred, so that everything that this turn of the loop appends goes into one batch. */
  private deferFlush(): void {
    if (this.flushDeferred) return;
    this.flushDeferred = true;
    this.options.timers.defer(() => {
      this.flushDeferred = false;
      this.flush();
    });
  }

  /** Starts the next write if there is anything to write and nothing under way. */
  private flush(): void {
    if (this.writer.isBusy) return;
    const successorDue = (this.successorDue || this.closing) && this.writer.needsSuccessor;
    if (this.failure !== undefined || (this.waiting.length === 0 && !successorDue)) {
      this.finishClose();
      return;
    }
    const started = this.writer.start(this.waiting, this.knownCommitIndex, (batch) => this.synced(batch));
    if (started || !this.closing || !this.writer.isShortOfSpace) return;
    this.failure = new KvorumError('NO_SPACE', 'the log was closed while it waited for room on the disk');
    this.finishClose();
  }

  /** A batch is durable. */
  private synced(batch: readonly Waiting[]): void {
    let readable = this.index.lastIndex;
    for (const { unit } of this.waiting)
      readable = Math.min(readable, (unit.truncateSuffix ?? readable + 1) - 1);
    this.readableIndex = readable;
    this.successorDue = false;
    if (this.idleTimer === undefined) this.armIdleTimer(idleMs);
    for (const { done } of batch) done();
    this.flush();
  }

  private armIdleTimer(delayMs: number): void {
    if (this.closing || !this.writer.needsSuccessor) return;
    this.idleTimer = this.options.timers.set(delayMs, () => {
      this.idleTimer = undefined;
      const leftMs = this.lastAppendMs + idleMs - this.options.clock.nowMs();
      if (this.writer.isBusy || this.waiting.length > 0) {
        this.armIdleTimer(idleMs);
      } else if (leftMs > 0) {
        this.armIdleTimer(leftMs);
      } else {
        this.successorDue = true;
        this.flush();
      }
    });
  }

  /** Nothing that was appended and is not durable will ever be acknowledged. */
  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = KvorumError.is(error) ? error : diskFailure('use of', this.options.directory, 0, error);
    this.waiting.length = 0;
    if (this.idleTimer !== undefined) this.options.timers.clear(this.idleTimer);
    this.options.onFailure(this.failure);
  }

  private finishClose(): void {
    const done = this.closeDone;
    if (done === undefined) return;
    this.closeDone = undefined;
    this.writer.close(() => done(this.failure));
  }
}

function checkSizes({ segmentBytes }: SegmentOptions): void {
  if (Number.isInteger(segmentBytes) && segmentBytes >= 8_192 && segmentBytes <= 1_073_741_824) return;
  throw new KvorumError('CONFIG', `the log's segmentBytes must be 8192 to 1073741824, not ${segmentBytes}`);
}
