// Reads a log from the disk when a node starts and decides what it holds. Synchronous, changes nothing before
// the whole log has been judged, and must never throw anything but KvorumError, allocate by an unchecked
// length, or drop a batch that had been synced.
//
// The rule (../README.md). Only one batch is ever written and not yet synced. So at the
// first batch S that is not whole and valid: if any commit frame of a later batch than S exists, S had been
// synced, and the log is damaged: CORRUPT. Otherwise S is what a crash left of the last write: it is cut off,
// zeroed and synced. What was read may only be in the page cache, after a killed process or a failed sync: so
// the last batch is written once more and synced before anybody relies on it.

import { asBuffer } from '../../base/bytes.js';
import type { Disk, DiskFile, Report } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { HardState, LogIndex } from '../../raft/types.js';
import type { StorageEvent } from '../events.js';
import { SegmentBatches, type Batch } from './batches.js';
import {
  commitFrameBytes,
  commitOf,
  decodeFrame,
  decodeSegmentHeader,
  entryKindOf,
  frameKinds,
  hardStateOf,
  hasNewerFormat,
  looksLikeCommit,
  segmentHeaderBytes,
  segmentSeed,
  segmentStartOf,
  type Frame,
} from './format.js';
import { WalIndex } from './index-of-entries.js';
import type { SealedSegment } from './sealed.js';
import {
  errnoOf,
  listSegments,
  removeUnfinished,
  segmentPath,
  zeroFill,
  type Segment,
  type SegmentOptions,
} from './segments.js';

/** What a crash left of the last write, and was cut off. */
export interface TornTail {
  readonly file: string;
  readonly fromOffset: number;
  /** Up to the last byte that was not zero. */
  readonly bytes: number;
}

export interface RecoverOptions extends SegmentOptions {
  readonly report: Report<StorageEvent>;
  /** The store has applied up to here, so the log must reach it. */
  readonly appliedIndexFloor: LogIndex;
}

export interface ScannedLog {
  readonly index: WalIndex;
  readonly hardState: HardState;
  /** Number and chain of the last batch. */
  readonly sequence: number;
  readonly chain: number;
  /** The last batch held nothing but its commit frame. */
  readonly lastBatchEmpty: boolean;
  readonly sealed: SealedSegment[];
  /** Where the next batch goes. `offset` is the end of the header when the segment holds none yet. */
  readonly active: Segment;
  readonly offset: number;
  /** Prepared and unused, after the active one. */
  readonly ready: Segment[];
  readonly tornTail: TornTail | undefined;
}

/** A range of a segment to be zeroed. */
interface Garbage {
  readonly segment: Segment;
  readonly from: number;
  readonly to: number;
}

/** Recovers the log. Throws `CORRUPT` or `IDENTITY` naming file and offset, `DISK` when it cannot be read. */
export function recoverLog(options: RecoverOptions): ScannedLog {
  const recovery = new Recovery(options);
  try {
    return recovery.run();
  } catch (error) {
    recovery.closeFiles();
    if (KvorumError.is(error)) throw error;
    const errno = errnoOf(error) ?? (error instanceof Error ? error.message : String(error));
    throw new KvorumError('DISK', `the log in ${options.directory} cannot be read: ${errno}`, {
      details: { path: options.directory, errno },
      cause: error,
    });
  }
}

/** The `CORRUPT` error: what is wrong, in which file, from which offset. */
export function corruptLog(file: string, offset: number, problem: string, newerFormat = false): KvorumError {
  const state = newerFormat ? 'cannot be read' : 'is damaged';
  const message = `the log ${state} in ${file} at offset ${offset}: ${problem}`;
  return new KvorumError('CORRUPT', message, { details: { file, offset, newerFormat } });
}

class Recovery {
  private readonly options: RecoverOptions;
  private readonly disk: Disk;
  /** Open files; all but the active and the ready ones are closed at the end. */
  private readonly files = new Set<DiskFile>();
  private readonly sealed: SealedSegment[] = [];
  private readonly garbage: Garbage[] = [];
  private readonly ready: Segment[] = [];
  private active: Segment | undefined;
  private offset = segmentHeaderBytes;
  /** Undefined until the first batch of the oldest segment has been read. */
  private index: WalIndex | undefined;
  private hardState: HardState = { currentTerm: 0, votedFor: undefined, commitIndex: 0 };
  private commitIndex: LogIndex = 0;
  private lastBatch: { readonly segment: Segment; readonly batch: Batch } | undefined;

  constructor(options: RecoverOptions) {
    this.options = options;
    this.disk = options.disk;
  }

  run(): ScannedLog {
    const { directory } = this.options;
    const numbers = listSegments(this.disk, directory);
    const first = numbers[0];
    if (first === undefined) throw corruptLog(directory, 0, 'there is no log segment');
    numbers.forEach((segmentNumber, i) => {
      const expected = first + i;
      if (segmentNumber !== expected)
        throw corruptLog(segmentPath(directory, expected), 0, 'the file is missing');
    });
    for (const segmentNumber of numbers) this.readSegment(segmentNumber);
    if (this.active === undefined) {
      throw corruptLog(segmentPath(directory, first + numbers.length), 0, 'the file is missing');
    }
    return this.conclude(this.active);
  }

  closeFiles(): void {
    for (const file of this.files) file.closeSync();
    this.files.clear();
  }

  /** A log may have more segments than a process may have files: only that of the last batch is needed. */
  private closeAllBut(kept: DiskFile): void {
    for (const file of this.files) {
      if (file === kept) continue;
      file.closeSync();
      this.files.delete(file);
    }
  }

  /** Opens a segment and takes in its batches, or, after the end of the log, checks that it holds none. */
  private readSegment(segmentNumber: number): void {
    const segment = this.openSegment(segmentNumber);
    if (this.active !== undefined) {
      this.readTail(segment, segmentHeaderBytes);
      this.ready.push(segment);
      return;
    }
    const batches = new SegmentBatches(segment.file, segment.seed, segmentHeaderBytes, this.lastBatch?.batch);
    for (let batch = batches.next(); batch !== undefined; batch = batches.next()) {
      this.takeIn(segment, batch);
      if (!batch.commit.sealed) continue;
      const lastIndex = batch.commit.lastIndex;
      const { path, seed } = segment;
      this.sealed.push({ number: segmentNumber, path, bytes: segment.file.sizeSync(), seed, lastIndex });
      this.closeAllBut(segment.file);
      return;
    }
    if (this.lastBatch === undefined) {
      throw corruptLog(segment.path, batches.offset, 'the first batch of the oldest segment is not valid');
    }
    this.active = segment;
    this.offset = batches.offset;
    this.readTail(segment, batches.offset);
  }

  private openSegment(segmentNumber: number): Segment {
    const { directory, clusterId, nodeId } = this.options;
    const path = segmentPath(directory, segmentNumber);
    const file = this.disk.openSync(path, { create: false });
    this.files.add(file);
    const headerBytes = file.readSync(0, segmentHeaderBytes);
    const header = decodeSegmentHeader(headerBytes);
    if (typeof header === 'string') throw corruptLog(path, 0, header, hasNewerFormat(headerBytes));
    if (header.segmentNumber !== segmentNumber) {
      throw corruptLog(path, 16, `its header says that it is segment ${header.segmentNumber}`);
    }
    if (header.clusterId !== clusterId || header.nodeId !== nodeId) {
      const found = `node ${header.nodeId} of cluster ${header.clusterId}`;
      const wanted = `node ${nodeId} of cluster ${clusterId}`;
      const message = `${path} is the log of ${found}, not of ${wanted}: wrong data folder?`;
      throw new KvorumError('IDENTITY', message, { details: { file: path, offset: 36 } });
    }
    const size = file.sizeSync();
    if (size < header.capacityBytes) {
      throw corruptLog(path, size, `the file ends here, but was made with ${header.capacityBytes} bytes`);
    }
    return {
      number: segmentNumber,
      path,
      file,
      seed: segmentSeed(header),
      capacityBytes: header.capacityBytes,
    };
  }

  /**
   * Looks through what follows the last valid batch: only zeros, or the remains of one write, may be there.
   */
  private readTail(segment: Segment, from: number): void {
    const lastSequence = this.lastBatch?.batch.commit.sequence ?? 0;
    const { laterCommit, end } = readTail(segment, from, lastSequence + 1);
    if (laterCommit !== undefined) {
      const problem = `a later batch at ${laterCommit} of ${segment.path} shows that this one was complete`;
      throw corruptLog(this.active?.path ?? segment.path, this.offset, problem);
    }
    if (end > from) this.garbage.push({ segment, from, to: end });
  }

  private takeIn(segment: Segment, batch: Batch): void {
    let offset = batch.offset;
    for (const frame of batch.frames) {
      const problem = this.takeInFrame(segment, frame, offset);
      if (problem !== undefined) throw corruptLog(segment.path, offset, problem);
      offset += frame.bytes;
    }
    const { lastIndex, lastTerm, commitIndex } = batch.commit;
    const index = this.index;
    if (
      index === undefined ||
      lastIndex !== index.lastIndex ||
      (index.lastTerm !== 0 && lastTerm !== index.lastTerm)
    ) {
      const found = `${index?.lastIndex} of term ${index?.lastTerm}`;
      throw corruptLog(
        segment.path,
        offset,
        `a batch says that it ends with ${lastIndex}, it ends with ${found}`,
      );
    }
    if (commitIndex > lastIndex || commitIndex < this.commitIndex) {
      const change = `from ${this.commitIndex} to ${commitIndex}`;
      const problem = `the commit index goes ${change} in a log up to ${lastIndex}`;
      throw corruptLog(segment.path, offset, problem);
    }
    this.commitIndex = commitIndex;
    this.lastBatch = { segment, batch };
  }

  private takeInFrame(segment: Segment, frame: Frame, offset: number): string | undefined {
    if (frame.kind === frameKinds.segmentStart) return this.takeInStart(frame);
    const index = this.index;
    if (index === undefined) return 'the oldest segment does not begin with its start frame';
    switch (frame.kind) {
      case frameKinds.entry: {
        if (entryKindOf(frame) === undefined) return 'unknown kind of entry';
        const problem = index.problemOfEntry(frame.index, frame.term);
        index.appendEntry(frame.index, frame.term, frame.body.length, segment.number, offset);
        return problem;
      }
      case frameKinds.hardState: {
        const read = hardStateOf(frame);
        if (read.currentTerm < this.hardState.currentTerm) return `the term goes back to ${read.currentTerm}`;
        this.hardState = read;
        return undefined;
      }
      case frameKinds.truncateSuffix: {
        const problem = index.problemOfTruncateSuffix(frame.index, this.commitIndex);
        index.truncateSuffix(frame.index);
        return problem;
      }
      case frameKinds.truncatePrefix: {
        const problem = index.problemOfBase(frame.index, frame.term);
        index.recordBase(frame.index, frame.term);
        return problem;
      }
      default:
        return `unexpected frame of kind ${frame.kind}`;
    }
  }

  private takeInStart(frame: Frame): string | undefined {
    const start = segmentStartOf(frame);
    if (start === undefined) return 'malformed start frame';
    const index = this.index;
    if (index === undefined) {
      this.index = new WalIndex(start.lastIndex, start.lastTerm, start.baseIndex, start.baseTerm);
      return undefined;
    }
    index.startSegment();
    if (start.lastIndex === index.lastIndex) return undefined;
    const found = `it ends with ${index.lastIndex}`;
    return `the segment says that the one before ends with ${start.lastIndex}, ${found}`;
  }

  /** Everything has been read: the last checks, and only then the repair. */
  private conclude(active: Segment): ScannedLog {
    const index = this.index;
    const last = this.lastBatch;
    if (index === undefined || last === undefined) throw corruptLog(active.path, 0, 'there is no batch');
    const { appliedIndexFloor } = this.options;
    const problem = index.forgetBelowBase();
    if (problem !== undefined) throw corruptLog(active.path, this.offset, problem);
    if (index.lastIndex < appliedIndexFloor) {
      const reached = `the log ends here with entry ${index.lastIndex}`;
      throw corruptLog(
        active.path,
        this.offset,
        `${reached}, but the store has applied ${appliedIndexFloor}`,
      );
    }
    if (index.baseIndex > appliedIndexFloor) {
      const begins = `the log begins after entry ${index.baseIndex}`;
      throw corruptLog(
        active.path,
        this.offset,
        `${begins}, but the store has applied only ${appliedIndexFloor}`,
      );
    }
    this.repair();
    settle(last.segment, last.batch);
    removeUnfinished(this.disk, this.options.directory);
    this.disk.syncDirectorySync(this.options.directory);
    this.disk.syncDirectorySync('.');
    const kept = new Set([active.file, ...this.ready.map((segment) => segment.file)]);
    for (const file of this.files) if (!kept.has(file)) file.closeSync();
    const torn = this.garbage.find((range) => range.segment === active);
    return {
      index,
      hardState: { ...this.hardState, commitIndex: this.commitIndex },
      sequence: last.batch.commit.sequence,
      chain: last.batch.commit.chain,
      lastBatchEmpty: last.batch.frames.length === 0,
      sealed: this.sealed,
      active,
      offset: this.offset,
      ready: this.ready,
      tornTail: torn && { file: active.path, fromOffset: torn.from, bytes: torn.to - torn.from },
    };
  }

  private repair(): void {
    for (const { segment, from, to } of this.garbage) {
      zeroFill(segment.file, from, to);
      segment.file.syncSync();
      this.options.report({
        kind: 'tornTailCut',
        file: segment.path,
        fromOffset: from,
        bytes: to - from,
        lastIndex: this.index?.lastIndex,
      });
    }
  }
}

/** Makes sure that the last batch is on the disk and not only in the page cache. */
function settle(segment: Segment, batch: Batch): void {
  const length = batch.end - batch.offset;
  segment.file.writeSync(batch.offset, segment.file.readSync(batch.offset, length));
  segment.file.syncSync();
}

const tailChunkBytes = 1024 * 1024;
const zeroChunk = Buffer.alloc(tailChunkBytes + commitFrameBytes);

/**
 * Reads a segment from `from` to its end: where its last byte that is not zero ends (`from` if there is
 * none), and where a valid commit frame of a batch after `sequence` stands, if one does.
 */
function readTail(
  segment: Segment,
  from: number,
  sequence: number,
): { laterCommit: number | undefined; end: number } {
  const size = segment.file.sizeSync();
  let end = from;
  for (let start = from; start < size; start += tailChunkBytes) {
    // Chunks overlap by one commit frame, so that each such frame is whole in one of them.
    const chunk = asBuffer(segment.file.readSync(start, tailChunkBytes + commitFrameBytes));
    if (chunk.equals(zeroChunk.subarray(0, chunk.length))) continue;
    for (let at = 0; at + commitFrameBytes <= chunk.length; at += 8) {
      if (!looksLikeCommit(chunk, at)) continue;
      const frame = decodeFrame(chunk, at, segment.seed);
      const commit = frame && commitOf(frame);
      if (commit !== undefined && commit.sequence > sequence) return { laterCommit: start + at, end: size };
    }
    let used = chunk.length;
    while (chunk[used - 1] === 0) used--;
    end = start + used;
  }
  return { laterCommit: undefined, end };
}
