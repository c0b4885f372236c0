// The files of the log: their names, their headers, and the pool of segments prepared ahead. A segment gets
// its final name only when its zeros and its header are synced, so a file with such a name that is short or
// has a bad header is damaged, never half made. Two segments are kept ready: with no space left on the disk
// the log can still go on, and a node can still start (tikv/raft-engine#344). Must never hold up the log
// while a ready segment exists.

import { defined } from '../../base/assert.js';
import type { Disk, DiskFile, Done, Entropy, NodeId, Report, TimerHandle, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { StorageEvent } from '../events.js';
import { encodeSegmentHeader, segmentHeaderBytes, segmentSeed, type SegmentHeader } from './format.js';

/** An open segment file with a valid header. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  readonly file: DiskFile;
  readonly seed: number;
  readonly capacityBytes: number;
}

/** Where segments are and what is in their headers. */
export interface SegmentOptions {
  readonly disk: Disk;
  /** Folder of the log, relative to the data folder, one level deep. */
  readonly directory: string;
  readonly entropy: Entropy;
  readonly clusterId: string;
  readonly nodeId: NodeId;
  /** Length of a segment. 8 KiB .. 1 GiB. The first ones of a log are shorter: see `segmentCapacity`. */
  readonly segmentBytes: number;
}

/** Segments kept ready ahead of the one in use. */
const readySegments = 2;
const retryMs = 1_000;
const firstSegmentBytes = 4 * 1024 * 1024;
/** A file under this name is being made; it is removed when the log opens. */
const unfinishedName = 'unfinished.tmp';

/**
 * The length of a segment: doubles from 4 MiB to `segmentBytes`, so that small logs and first starts stay
 * cheap.
 */
export function segmentCapacity(segmentNumber: number, segmentBytes: number): number {
  return Math.min(segmentBytes, firstSegmentBytes * 2 ** Math.min(segmentNumber - 1, 20));
}

export function segmentPath(directory: string, segmentNumber: number): string {
  return `${directory}/${String(segmentNumber).padStart(10, '0')}.wal`;
}

export function unfinishedPath(directory: string): string {
  return `${directory}/${unfinishedName}`;
}

/** Numbers of the segments in a folder, ascending. Other files are not looked at. */
export function listSegments(disk: Disk, directory: string): number[] {
  return disk
    .listSync(directory)
    .map((name) => /^(\d{10})\.wal$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

export function newSegmentHeader(options: SegmentOptions, segmentNumber: number): SegmentHeader {
  return {
    segmentNumber,
    nonce: options.entropy.bytes(8),
    capacityBytes: segmentCapacity(segmentNumber, options.segmentBytes),
    clusterId: options.clusterId,
    nodeId: options.nodeId,
  };
}

/**
 * The operating system's name for a failure (`ENOSPC`), from the error of any Disk; `undefined` if it has
 * none.
 */
export function errnoOf(error: unknown): string | undefined {
  if (KvorumError.is(error)) {
    const errno = error.details['errno'];
    return typeof errno === 'string' ? errno : errnoOf(error.cause);
  }
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** The `DISK` error that stops a node: what failed, in which file, at which offset, and the errno. */
export function diskFailure(action: string, path: string, offset: number, cause: unknown): KvorumError {
  const errno = errnoOf(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  return new KvorumError('DISK', `${action} ${path} at offset ${offset} failed: ${errno}`, {
    details: { path, offset, errno },
    cause,
  });
}

export interface PoolOptions extends SegmentOptions {
  readonly timers: Timers;
  readonly report: Report<StorageEvent>;
  /** A segment can be taken now, or it turned out that there is no room for one. */
  readonly onChange: () => void;
  /**
   * A segment could not be made for another reason than a full disk. Called at most once; the pool has
   * stopped.
   */
  readonly onFailure: (error: Error) => void;
}

/** Makes segments ahead, one at a time, in the background. */
export class SegmentPool {
  private readonly options: PoolOptions;
  /** Ascending by number, without gaps. */
  private readonly ready: Segment[];
  /** Number of the next segment to make: one above the last ready, or the last in use. */
  private nextNumber: number;
  /** A segment is being made. */
  private making = false;
  private stopped = false;
  private retryTimer: TimerHandle | undefined;
  private closeDone: (() => void) | undefined;
  /** The last try to make a segment found the disk full. */
  private diskFull = false;

  constructor(options: PoolOptions, ready: readonly Segment[], nextNumber: number) {
    this.options = options;
    this.ready = [...ready];
    this.nextNumber = nextNumber;
  }

  /** There is no room on the disk for the segments that should be ready. */
  get isShortOfSpace(): boolean {
    return this.diskFull;
  }

  get hasReady(): boolean {
    return this.ready.length > 0;
  }

  /** The next segment, if it is ready; `onChange` tells when it is. */
  take(): Segment | undefined {
    const segment = this.ready.shift();
    this.fill();
    return segment;
  }

  /** Makes segments until enough are ready. */
  fill(): void {
    if (this.stopped || this.making || this.retryTimer !== undefined) return;
    if (this.ready.length >= readySegments) return;
    this.making = true;
    this.make((error, segment) => {
      this.making = false;
      if (segment !== undefined) this.made(segment);
      else if (error !== undefined) this.notMade(error);
      if (this.stopped) this.closeReady();
    });
  }

  /** Stops making segments. `done` comes when no file operation is under way and all files are closed. */
  close(done: () => void): void {
    this.stopped = true;
    if (this.retryTimer !== undefined) this.options.timers.clear(this.retryTimer);
    this.closeDone = done;
    if (!this.making) this.options.timers.defer(() => this.closeReady());
  }

  private closeReady(): void {
    for (const segment of this.ready) segment.file.closeSync();
    this.ready.length = 0;
    const done = this.closeDone;
    this.closeDone = undefined;
    done?.();
  }

  private made(segment: Segment): void {
    this.ready.push(segment);
    this.nextNumber++;
    if (this.diskFull) this.options.report({ kind: 'logRoomAgain', path: segment.path });
    this.diskFull = false;
    if (this.stopped) return;
    this.options.onChange();
    this.fill();
  }

  private notMade(error: Error): void {
    if (this.stopped) return;
    const errno = errnoOf(error);
    if (errno !== 'ENOSPC' && errno !== 'EDQUOT') {
      this.stopped = true;
      this.options.onFailure(error);
      return;
    }
    if (!this.diskFull) {
      this.options.report({ kind: 'logRoomLow', errno, readySegments: this.ready.length });
    }
    this.diskFull = true;
    this.retryTimer = this.options.timers.set(retryMs, () => {
      this.retryTimer = undefined;
      this.fill();
    });
    this.options.onChange();
  }

  /** Zeros, header, sync, name, sync of the folder: only then is it a segment. */
  private make(done: (error: Error | undefined, segment: Segment | undefined) => void): void {
    const { disk, directory } = this.options;
    const temporary = unfinishedPath(directory);
    const header = newSegmentHeader(this.options, this.nextNumber);
    const path = segmentPath(directory, header.segmentNumber);
    let made: DiskFile | undefined;
    const steps: Step[] = [
      (next) => {
        removeUnfinished(disk, directory);
        disk.createZeroed(temporary, header.capacityBytes, (error, file) => {
          made = file;
          next(error);
        });
      },
      (next) => defined(made, 'new segment').write(0, [encodeSegmentHeader(header)], next),
      (next) => defined(made, 'new segment').sync(next),
      (next) => {
        disk.renameSync(temporary, path);
        disk.syncDirectory(directory, next);
      },
    ];
    runSteps(steps, (error) => {
      if (error === undefined) {
        const { segmentNumber, capacityBytes } = header;
        const file = defined(made, 'new segment');
        done(undefined, { number: segmentNumber, path, file, seed: segmentSeed(header), capacityBytes });
        return;
      }
      try {
        made?.closeSync();
        removeUnfinished(disk, directory);
      } catch {
        // What matters is the first failure. A file that stays behind is removed before the next try.
      }
      done(diskFailure('preparation of', path, 0, error), undefined);
    });
  }
}

type Step = (next: Done) => void;

/** Runs steps one after the other until one fails, by its callback or by throwing. */
function runSteps(steps: readonly Step[], done: Done): void {
  let position = 0;
  const next: Done = (error) => {
    const step = steps[position++];
    if (error !== undefined || step === undefined) {
      done(error);
      return;
    }
    let thrown: unknown;
    try {
      step(next);
    } catch (problem) {
      thrown = problem;
    }
    if (thrown !== undefined) done(thrown instanceof Error ? thrown : new Error(String(thrown)));
  };
  next(undefined);
}

/** Zeros are written in pieces of this size. */
const zeroPieceBytes = 1024 * 1024;

/**
 * Makes the first segment, with its first batch, while a node opens. It has its name only once it is whole
 * and synced: a crash before leaves no log, a crash after a whole one. Throws `DISK`.
 */
export function createFirstSegment(
  options: SegmentOptions,
  header: SegmentHeader,
  batch: readonly Uint8Array[],
): void {
  const { disk, directory } = options;
  const temporary = unfinishedPath(directory);
  const path = segmentPath(directory, header.segmentNumber);
  try {
    disk.makeDirectorySync(directory);
    disk.syncDirectorySync('.');
    removeUnfinished(disk, directory);
    const file = disk.openSync(temporary, { create: true });
    try {
      zeroFill(file, 0, header.capacityBytes);
      file.writeSync(0, encodeSegmentHeader(header));
      let offset = segmentHeaderBytes;
      for (const part of batch) {
        file.writeSync(offset, part);
        offset += part.length;
      }
      file.syncSync();
    } finally {
      file.closeSync();
    }
    disk.renameSync(temporary, path);
    disk.syncDirectorySync(directory);
  } catch (error) {
    throw KvorumError.is(error) ? error : diskFailure('creation of', path, 0, error);
  }
}

/** Writes zeros from `from` to `to`, without a sync. */
export function zeroFill(file: DiskFile, from: number, to: number): void {
  const zeros = Buffer.alloc(Math.min(zeroPieceBytes, Math.max(0, to - from)));
  for (let offset = from; offset < to; offset += zeros.length) {
    file.writeSync(offset, zeros.subarray(0, Math.min(zeros.length, to - offset)));
  }
}

/** Removes the unused rest of an interrupted `createFirstSegment` or `SegmentPool`. */
export function removeUnfinished(disk: Disk, directory: string): void {
  const temporary = unfinishedPath(directory);
  if (disk.existsSync(temporary)) disk.removeSync(temporary);
}
