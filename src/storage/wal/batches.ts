// Reads the batches of one segment one after the other. Only reads; what it cannot verify it does not return.
// Must never allocate by a length that is not within the file.

import { asBuffer } from '../../base/bytes.js';
import type { DiskFile } from '../../base/env.js';
import {
  claimedFrameBytes,
  commitOf,
  decodeFrame,
  frameHeadBytes,
  frameKinds,
  nextChain,
  segmentStartOf,
  type DecodedCommit,
  type Frame,
} from './format.js';

/** A batch whose every checksum, its number and its chain have been verified. */
export interface Batch {
  readonly offset: number;
  /** Where the next batch begins. */
  readonly end: number;
  /** Without the commit frame. */
  readonly frames: readonly Frame[];
  readonly commit: DecodedCommit;
}

const windowBytes = 1024 * 1024;

export class SegmentBatches {
  private readonly file: DiskFile;
  private readonly seed: number;
  private readonly size: number;
  private readonly firstOffset: number;
  private window: Buffer = Buffer.alloc(0);
  /** Offset of the window in the file. */
  private windowStart = 0;
  /**
   * Number and chain of the batch before; `undefined` at the start of the oldest segment, which tells them
   * itself.
   */
  private previous: { readonly sequence: number; readonly chain: number } | undefined;
  /** Where the batch begins that `next` looks at. */
  offset: number;

  /**
   * `firstOffset`: of the segment's first batch. `previous`: the last batch of the segment before, if there
   * is one.
   */
  constructor(file: DiskFile, seed: number, firstOffset: number, previous: Batch | undefined) {
    this.file = file;
    this.seed = seed;
    this.size = file.sizeSync();
    this.firstOffset = firstOffset;
    this.offset = firstOffset;
    this.previous = previous?.commit;
  }

  /** The batch at `offset`; `undefined`, and `offset` stays, when there is none that is whole and valid. */
  next(): Batch | undefined {
    const frames: Frame[] = [];
    let at = this.offset;
    for (;;) {
      const frame = this.frameAt(at);
      if (frame === undefined || !this.belongs(frame, at)) return undefined;
      at += frame.bytes;
      if (frame.kind !== frameKinds.commit) {
        frames.push(frame);
        continue;
      }
      const commit = this.commitOf(frame, frames, at - frame.bytes);
      if (commit === undefined) return undefined;
      const batch = { offset: this.offset, end: at, frames, commit };
      this.previous = commit;
      this.offset = at;
      return batch;
    }
  }

  /**
   * Whether the frame carries the number of this batch; and a start frame stands where one must, and only
   * there.
   */
  private belongs(frame: Frame, at: number): boolean {
    const isStart = frame.kind === frameKinds.segmentStart;
    if (isStart !== (at === this.firstOffset)) return false;
    if (isStart) {
      const start = segmentStartOf(frame);
      if (start === undefined) return false;
      this.previous ??= { sequence: start.sequence - 1, chain: start.chain };
      if (start.sequence !== this.previous.sequence + 1 || start.chain !== this.previous.chain) return false;
    }
    return this.previous !== undefined && frame.sequenceLow === (this.previous.sequence + 1) % 0x1_0000_0000;
  }

  private commitOf(frame: Frame, frames: readonly Frame[], at: number): DecodedCommit | undefined {
    const commit = commitOf(frame);
    if (commit === undefined || this.previous === undefined) return undefined;
    if (commit.sequence !== this.previous.sequence + 1 || commit.batchBytes !== at - this.offset)
      return undefined;
    const crcs = Buffer.alloc(frames.length * 4);
    frames.forEach((member, i) => crcs.writeUInt32LE(member.crc, i * 4));
    return nextChain(this.previous.chain, crcs) === commit.chain ? commit : undefined;
  }

  private frameAt(offset: number): Frame | undefined {
    if (!this.load(offset, frameHeadBytes)) return undefined;
    const bytes = claimedFrameBytes(this.window, offset - this.windowStart);
    if (!this.load(offset, bytes)) return undefined;
    return decodeFrame(this.window, offset - this.windowStart, this.seed);
  }

  /** Brings `length` bytes at `offset` into the window; false when the file does not reach that far. */
  private load(offset: number, length: number): boolean {
    if (offset + length > this.size) return false;
    if (offset >= this.windowStart && offset + length <= this.windowStart + this.window.length) return true;
    const wanted = Math.min(Math.max(length, windowBytes), this.size - offset);
    this.window = asBuffer(this.file.readSync(offset, wanted));
    this.windowStart = offset;
    return this.window.length >= length;
  }
}
