// Builds the bytes of a batch: heads, small bodies and checksums in one buffer that is reused, large bodies
// left where they are, so that an entry is copied at most once on its way to the disk. Must never change
// bytes that were handed out before the next `begin`, because they are on their way to the file. The layout
// is in format.ts.

import { crc32 } from 'node:zlib';
import { asBuffer, toBytes } from '../../base/bytes.js';
import type { HardState, LogEntry, LogIndex, Term } from '../../raft/types.js';
import {
  commitBodyBytes,
  entryKindCodes,
  frameBytes,
  frameHeadBytes,
  frameKinds,
  nextChain,
  startBodyBytes,
  twoTo32,
  writeUint64,
  type BatchCommit,
} from './format.js';

/** Bodies up to this are copied into the batch's buffer, larger ones are written from where they are. */
const inlineBodyBytesMax = 4_096;
/** The buffer grows with the largest batch; above this it is not kept for the next one. */
const bufferBytesKept = 16 * 1024 * 1024;

export interface EncodedBatch {
  /** To be written one after the other. They are views that stay valid until the next `begin`. */
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
  readonly chain: number;
}

/** Builds the bytes of one batch after another in one buffer that it reuses. */
export class BatchEncoder {
  private buffer = Buffer.alloc(64 * 1024);
  /** Bytes of `buffer` in use. */
  private used = 0;
  /** Bodies that are not in `buffer`, each with the position in `buffer` that it stands before. */
  private external: { readonly at: number; readonly body: Uint8Array }[] = [];
  private externalBytes = 0;
  private crcs = Buffer.alloc(4 * 1024);
  private frames = 0;
  private seed = 0;
  private sequence = 0;
  private chain = 0;

  /** Starts batch number `sequence` after a batch that ended with `chain`, in the segment with `seed`. */
  begin(seed: number, sequence: number, chain: number): void {
    if (this.buffer.length > bufferBytesKept) this.buffer = Buffer.alloc(64 * 1024);
    this.used = 0;
    this.external = [];
    this.externalBytes = 0;
    this.frames = 0;
    this.seed = seed;
    this.sequence = sequence;
    this.chain = chain;
  }

  /** Bytes of the batch so far. */
  get bytes(): number {
    return this.used + this.externalBytes;
  }

  segmentStart(lastIndex: LogIndex, lastTerm: Term, baseIndex: LogIndex, baseTerm: Term): void {
    const body = Buffer.alloc(startBodyBytes);
    writeUint64(body, this.sequence, 0);
    writeUint64(body, baseIndex, 8);
    writeUint64(body, baseTerm, 16);
    body.writeUInt32LE(this.chain, 24);
    this.frame(frameKinds.segmentStart, 0, lastIndex, lastTerm, body);
  }

  /** `commitIndex` in place of the hard state's own, which may be beyond the log. */
  hardState(hardState: HardState, commitIndex: LogIndex): void {
    const votedFor = hardState.votedFor;
    const body = toBytes(votedFor ?? '');
    this.frame(
      frameKinds.hardState,
      votedFor === undefined ? 0 : 1,
      commitIndex,
      hardState.currentTerm,
      body,
    );
  }

  truncateSuffix(index: LogIndex): void {
    this.frame(frameKinds.truncateSuffix, 0, index, 0, noBytes);
  }

  truncatePrefix(baseIndex: LogIndex, baseTerm: Term): void {
    this.frame(frameKinds.truncatePrefix, 0, baseIndex, baseTerm, noBytes);
  }

  entry(entry: LogEntry): void {
    this.frame(frameKinds.entry, entryKindCodes[entry.kind], entry.index, entry.term, entry.payload);
  }

  /** Ends the batch with its commit frame. */
  finish(commit: BatchCommit): EncodedBatch {
    const chain = nextChain(this.chain, this.crcs.subarray(0, this.frames * 4));
    const body = Buffer.alloc(commitBodyBytes);
    writeUint64(body, this.sequence, 0);
    writeUint64(body, commit.commitIndex, 8);
    body.writeUInt32LE(this.bytes, 16);
    body.writeUInt32LE(chain, 20);
    this.frame(frameKinds.commit, commit.sealed ? 1 : 0, commit.lastIndex, commit.lastTerm, body);
    const parts: Uint8Array[] = [];
    let from = 0;
    for (const { at, body: payload } of this.external) {
      parts.push(this.buffer.subarray(from, at), payload);
      from = at;
    }
    parts.push(this.buffer.subarray(from, this.used));
    return { parts, bytes: this.bytes, chain };
  }

  private frame(kind: number, detail: number, index: number, term: number, body: Uint8Array): void {
    const inline = body.length <= inlineBodyBytesMax;
    const at = this.used;
    const padding = frameBytes(body.length) - frameHeadBytes - body.length;
    this.reserve(frameHeadBytes + (inline ? body.length : 0) + padding);
    const buffer = this.buffer;
    buffer.writeUInt32LE(body.length, at + 4);
    buffer[at + 8] = kind;
    buffer[at + 9] = detail;
    buffer[at + 10] = 0;
    buffer[at + 11] = 0;
    buffer.writeUInt32LE(this.sequence % twoTo32, at + 12);
    writeUint64(buffer, index, at + 16);
    writeUint64(buffer, term, at + 24);
    let end = at + frameHeadBytes;
    let crc: number;
    if (inline) {
      buffer.set(body, end);
      end += body.length;
      crc = crc32(buffer.subarray(at + 4, end), this.seed);
    } else {
      crc = crc32(asBuffer(body), crc32(buffer.subarray(at + 4, end), this.seed));
      this.external.push({ at: end, body });
      this.externalBytes += body.length;
    }
    buffer.fill(0, end, end + padding);
    buffer.writeUInt32LE(crc, at);
    this.used = end + padding;
    if (this.crcs.length < (this.frames + 1) * 4) this.crcs = grown(this.crcs, this.crcs.length * 2);
    this.crcs.writeUInt32LE(crc, this.frames * 4);
    this.frames++;
  }

  private reserve(bytes: number): void {
    const needed = this.used + bytes;
    if (needed > this.buffer.length)
      this.buffer = grown(this.buffer, Math.max(needed, this.buffer.length * 2));
  }
}

const noBytes = new Uint8Array(0);

function grown(buffer: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  const larger = Buffer.alloc(length);
  buffer.copy(larger);
  return larger;
}
