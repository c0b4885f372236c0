// The finished segments of the log, oldest first, and their removal once the log begins after them. Must
// never leave a gap: one file is removed and its folder synced before the next, so that a crash keeps a
// contiguous rest.

import type { Disk, Done } from '../../base/env.js';
import type { LogIndex } from '../../raft/types.js';
import { diskFailure } from './segments.js';

/** A finished segment. */
export interface SealedSegment {
  readonly number: number;
  readonly path: string;
  readonly bytes: number;
  readonly seed: number;
  /** Last index of the log when the segment was finished. */
  readonly lastIndex: LogIndex;
}

export class SealedSegments {
  private readonly disk: Disk;
  private readonly directory: string;
  /** Ascending numbers without gaps. */
  private readonly segments: SealedSegment[];
  private sumBytes: number;
  /** What holds nothing above this is to be removed. Durable; never goes back. */
  private baseIndex: LogIndex = 0;
  /** A removal is under way. */
  private dropping = false;
  private stopped = false;
  private stopDone: (() => void) | undefined;
  private readonly onFailure: (error: Error) => void;

  constructor(
    disk: Disk,
    directory: string,
    segments: readonly SealedSegment[],
    onFailure: (error: Error) => void,
  ) {
    this.disk = disk;
    this.directory = directory;
    this.segments = [...segments];
    this.sumBytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    this.onFailure = onFailure;
  }

  get bytes(): number {
    return this.sumBytes;
  }

  push(segment: SealedSegment): void {
    this.segments.push(segment);
    this.sumBytes += segment.bytes;
  }

  find(segmentNumber: number): SealedSegment | undefined {
    return this.segments[segmentNumber - (this.segments[0]?.number ?? 0)];
  }

  /**
   * Removes, in the background, the segments that hold nothing above `baseIndex`, a base that is durable. The
   * newest one always stays: the segment after it may not hold a batch yet, and then this one has the only
   * hard state.
   */
  dropUpTo(baseIndex: LogIndex): void {
    this.baseIndex = Math.max(this.baseIndex, baseIndex);
    const oldest = this.segments[0];
    if (this.dropping || this.stopped || this.segments.length < 2) return;
    if (oldest === undefined || oldest.lastIndex > this.baseIndex) return;
    this.dropping = true;
    this.segments.shift();
    this.sumBytes -= oldest.bytes;
    const removed: Done = (error) => {
      this.dropping = false;
      if (error !== undefined) {
        this.stopped = true;
        this.onFailure(diskFailure('removal of', oldest.path, 0, error));
      }
      this.stopDone?.();
      this.dropUpTo(this.baseIndex);
    };
    try {
      this.disk.removeSync(oldest.path);
      this.disk.syncDirectory(this.directory, removed);
    } catch (error) {
      removed(error as Error);
    }
  }

  /**
   * The base that as many segments as fit into `bytesMax` can be removed for, oldest first; `undefined` when
   * not even the oldest one fits.
   */
  throughFor(bytesMax: number): LogIndex | undefined {
    let through: LogIndex | undefined;
    let bytes = 0;
    for (const segment of this.segments.slice(0, -1)) {
      bytes += segment.bytes;
      if (bytes > bytesMax) break;
      // A later segment may end lower: the log was cut in it.
      through = Math.max(through ?? 0, segment.lastIndex);
    }
    return through;
  }

  /** Removes no more; `done` comes, perhaps at once, when no removal is under way. */
  stop(done: () => void): void {
    this.stopped = true;
    if (this.dropping) this.stopDone = done;
    else done();
  }
}
