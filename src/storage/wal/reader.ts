// Reads entries back from their segments, from the marks of the index. The walk is the same for the
// synchronous read while a node opens and for the asynchronous ones later; between two pieces of an
// asynchronous one the log may have been truncated, so the walk asks the index anew for each entry, and can
// be limited from outside. Must never return an entry that is not part of the log any more, nor one whose
// checksum is wrong.

import { asBuffer } from '../../base/bytes.js';
import type { Disk, DiskFile } from '../../base/env.js';
import type { LogEntry, LogIndex } from '../../raft/types.js';
import { claimedFrameBytes, decodeFrame, entryOf, frameHeadBytes, frameKinds, type Frame } from './format.js';
import type { Mark, WalIndex } from './index-of-entries.js';
import { corruptLog } from './recovery.js';

/** What a walk must know of a segment to read from it. */
export interface ReadableSegment {
  readonly path: string;
  readonly seed: number;
}

export interface EntriesRequest {
  readonly firstIndex: LogIndex;
  /** Inclusive. */
  readonly lastIndex: LogIndex;
  /** Stop after the entry that reaches this; at least one entry is read. */
  readonly bytesMax: number;
}

type SegmentOf = (segmentNumber: number) => ReadableSegment | undefined;
type ReadDone = (error: Error | undefined, entries: readonly LogEntry[]) => void;

const windowBytes = 256 * 1024;

/** Bytes that a walk needs before it can go on. */
interface Needed {
  readonly segment: ReadableSegment;
  readonly offset: number;
  readonly length: number;
}

/** Collects entries from windows of bytes that its driver reads. */
class EntryWalk {
  readonly entries: LogEntry[] = [];
  private readonly index: WalIndex;
  private readonly segmentOf: SegmentOf;
  private readonly firstIndex: LogIndex;
  private lastIndex: LogIndex;
  private bytesLeft: number;
  private mark: Mark | undefined;
  private segment: ReadableSegment | undefined;
  /** Of the next frame, in the file of the mark's segment. */
  private offset = 0;
  private window: Buffer = Buffer.alloc(0);
  private windowStart = 0;

  constructor(index: WalIndex, segmentOf: SegmentOf, request: EntriesRequest) {
    this.index = index;
    this.segmentOf = segmentOf;
    this.firstIndex = request.firstIndex;
    this.lastIndex = request.lastIndex;
    this.bytesLeft = request.bytesMax;
  }

  /** Entries above `index` are dead or dying: they must not be returned. */
  limitTo(index: LogIndex): void {
    this.lastIndex = Math.min(this.lastIndex, index);
    while ((this.entries.at(-1)?.index ?? 0) > index) this.entries.pop();
  }

  /**
   * Goes on as far as the window reaches. Returns what to read next, or `undefined` at the end. Throws
   * `CORRUPT`.
   */
  advance(): Needed | undefined {
    while (this.bytesLeft > 0) {
      const wanted = this.firstIndex + this.entries.length;
      if (wanted > this.lastIndex || wanted <= this.index.baseIndex || !this.findMark(wanted))
        return undefined;
      const segment = this.segment;
      if (segment === undefined) return undefined;
      const at = this.offset - this.windowStart;
      if (at < 0 || at + frameHeadBytes > this.window.length) return this.need(segment, frameHeadBytes);
      const bytes = claimedFrameBytes(this.window, at);
      if (at + bytes > this.window.length) return this.need(segment, bytes);
      const frame = decodeFrame(this.window, at, segment.seed);
      if (frame === undefined)
        throw corruptLog(segment.path, this.offset, `the frame before entry ${wanted} is bad`);
      if (frame.kind === frameKinds.entry) this.collect(frame, wanted, segment);
      this.offset += frame.bytes;
    }
    return undefined;
  }

  /** Takes what was read at `needed.offset`. Throws `CORRUPT` when the file is too short for it. */
  supply(needed: Needed, bytes: Uint8Array): void {
    if (bytes.length < needed.length) {
      throw corruptLog(needed.segment.path, needed.offset, 'the file ends inside an entry that was written');
    }
    this.window = asBuffer(bytes);
    this.windowStart = needed.offset;
  }

  /** Moves to the mark that `wanted` is to be reached from, if it is not the one that the walk came from. */
  private findMark(wanted: LogIndex): boolean {
    const mark = this.index.markFor(wanted);
    if (mark === undefined) return false;
    if (mark === this.mark) return true;
    if (mark.segment !== this.mark?.segment) {
      this.segment = this.segmentOf(mark.segment);
      this.window = Buffer.alloc(0);
    }
    this.mark = mark;
    this.offset = mark.offset;
    return true;
  }

  private need(segment: ReadableSegment, length: number): Needed {
    return { segment, offset: this.offset, length };
  }

  private collect(frame: Frame, wanted: LogIndex, segment: ReadableSegment): void {
    if (frame.index < wanted) return;
    const entry = entryOf(frame);
    if (frame.index !== wanted || entry === undefined || entry.term !== this.index.termAt(wanted)) {
      throw corruptLog(segment.path, this.offset, `entry ${wanted} is not where it was written`);
    }
    this.entries.push(entry);
    this.bytesLeft -= entry.payload.length;
  }
}

/** The one file that a read has open. */
class ReadFile {
  private readonly disk: Disk;
  private path: string | undefined;
  private file: DiskFile | undefined;

  constructor(disk: Disk) {
    this.disk = disk;
  }

  /** The file to read from, and how much: never more than there is. Throws `CORRUPT` when it is too short. */
  open(needed: Needed): { file: DiskFile; length: number } {
    const { segment, offset } = needed;
    if (segment.path !== this.path) {
      this.close();
      this.path = segment.path;
    }
    this.file ??= this.disk.openSync(segment.path, { create: false });
    const available = this.file.sizeSync() - offset;
    if (available < needed.length) throw corruptLog(segment.path, offset, 'the file ends inside an entry');
    return { file: this.file, length: Math.min(Math.max(needed.length, windowBytes), available) };
  }

  close(): void {
    this.file?.closeSync();
    this.file = undefined;
    this.path = undefined;
  }
}

/** Reads while a node opens. Throws `CORRUPT` or what the disk throws. */
export function readEntriesSync(
  disk: Disk,
  index: WalIndex,
  segmentOf: SegmentOf,
  request: EntriesRequest,
): readonly LogEntry[] {
  const walk = new EntryWalk(index, segmentOf, request);
  const source = new ReadFile(disk);
  try {
    for (let needed = walk.advance(); needed !== undefined; needed = walk.advance()) {
      const { file, length } = source.open(needed);
      walk.supply(needed, file.readSync(needed.offset, length));
    }
  } finally {
    source.close();
  }
  return walk.entries;
}

/** One asynchronous read. Opens the files that it needs itself, so that nobody closes them under it. */
export class EntryReader {
  private readonly index: WalIndex;
  private readonly request: EntriesRequest;
  private readonly walk: EntryWalk;
  private readonly source: ReadFile;
  private readonly done: ReadDone;

  constructor(disk: Disk, index: WalIndex, segmentOf: SegmentOf, request: EntriesRequest, done: ReadDone) {
    this.index = index;
    this.request = request;
    this.walk = new EntryWalk(index, segmentOf, request);
    this.source = new ReadFile(disk);
    this.done = done;
  }

  /** The log was cut after `index`. */
  limitTo(index: LogIndex): void {
    this.walk.limitTo(index);
  }

  /** Begins, or goes on after a piece was read. Calls `done` at once when nothing is left to read. */
  advance(): void {
    let error: Error | undefined;
    try {
      const needed = this.walk.advance();
      if (needed !== undefined) {
        this.read(needed);
        return;
      }
    } catch (problem) {
      error = problem as Error;
    }
    this.finish(error);
  }

  private read(needed: Needed): void {
    const { file, length } = this.source.open(needed);
    file.read(needed.offset, length, (error, bytes) => {
      let problem = error;
      try {
        if (problem === undefined) this.walk.supply(needed, bytes);
      } catch (thrown) {
        problem = thrown as Error;
      }
      if (problem === undefined) this.advance();
      else this.finish(problem);
    });
  }

  private finish(error: Error | undefined): void {
    this.source.close();
    // A file that was removed while it was read is no fault: its entries are below the base now.
    const isGone = this.request.firstIndex <= this.index.baseIndex;
    if (error === undefined || isGone) this.done(undefined, isGone ? [] : this.walk.entries);
    else this.done(error, []);
  }
}
