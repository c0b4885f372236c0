// The bytes of the write-ahead log: segment headers and frames. Pure: knows neither files nor order of
// operations, and must never read or allocate by a length it has not checked. All numbers are little-endian;
// u64 stays below 2^53. Shape after etcd's WAL, hashicorp/raft-wal and LogCabin's SegmentedLog, which differ
// in what they can tell apart after a crash; see ../README.md for the rule that this format serves.
//
// Segment file `0000000001.wal`: a header of 4,096 bytes, then batches of frames, then zeros up to its
// capacity.
//
//   header  0       8         12    16        24      32         36
//           +-------+---------+-----+---------+-------+----------+-----------------+--------------+--zeros
//           | magic | version | crc | segment | nonce | capacity | u16 + clusterId | u16 + nodeId | .. 4096
//           +-------+---------+-----+---------+-------+----------+-----------------+--------------+--zeros
//           crc: of all 4,096 bytes, itself taken as zero. Synced before the file gets its name.
//
//   frame   0     4        8      9        10     12         16      24     32
//           +-----+--------+------+--------+------+----------+-------+------+--------+--zeros up to a
//           | crc | length | kind | detail | zero | sequence | index | term | body   |  multiple of 8
//           +-----+--------+------+--------+------+----------+-------+------+--------+--
//           crc: of everything after it up to the end of the body, seeded with the segment's nonce and
//           number, so that no frame of another file can pass. length: of the body. sequence: low half of
//           the number of the batch.
//
//   kind            index                  term           detail        body
//   segmentStart    last index before      its term       0             u64 sequence, u64 baseIndex,
//                                                                       u64 baseTerm, u32 chain, u32 zero
//   hardState       commitIndex            currentTerm    1: has voted  votedFor in UTF-8
//   truncateSuffix  first index removed    0              0             -
//   truncatePrefix  new baseIndex          its term       0             -
//   entry           of the entry           of the entry   kind          payload
//   commit          last index of the log  its term       1: sealed     u64 sequence, u64 commitIndex,
//                                                                       u32 bytes of the batch, u32 chain
//
// A batch is any number of frames and one commit frame; without a valid commit frame none of it counts. chain
// is the CRC of the CRCs of the batch's frames, seeded with the previous batch's chain. The first batch of a
// segment begins with segmentStart and hardState. The last one of a finished segment is only a commit frame
// that says `sealed`.

import { crc32 } from 'node:zlib';
import { assert } from '../../base/assert.js';
import { toBytes } from '../../base/bytes.js';
import type { EntryKind, HardState, LogEntry, LogIndex, Term } from '../../raft/types.js';

/** Raised when the meaning of bytes changes. A newer one is refused. */
export const walFormatVersion = 1;
/** A block of its own, so that no later write touches a sector that holds it. */
export const segmentHeaderBytes = 4_096;
export const frameHeadBytes = 32;
export const commitBodyBytes = 24;
export const startBodyBytes = 32;
export const commitFrameBytes = frameHeadBytes + commitBodyBytes;
export const startFrameBytes = frameHeadBytes + startBodyBytes;

const magic = Buffer.from('kvorumWL', 'latin1');
export const twoTo32 = 0x1_0000_0000;

export const frameKinds = {
  segmentStart: 1,
  hardState: 2,
  truncateSuffix: 3,
  truncatePrefix: 4,
  entry: 5,
  commit: 6,
} as const;

export const entryKindCodes: Readonly<Record<EntryKind, number>> = { command: 1, noop: 2, configuration: 3 };
const entryKinds: readonly (EntryKind | undefined)[] = [undefined, 'command', 'noop', 'configuration'];

export interface SegmentHeader {
  /** From 1, one more with each segment of the log. */
  readonly segmentNumber: number;
  /** 8 random bytes. */
  readonly nonce: Uint8Array;
  /**
   * The length to which the file was filled with zeros. It is never shorter, and longer only by one large
   * batch.
   */
  readonly capacityBytes: number;
  readonly clusterId: string;
  readonly nodeId: string;
}

/** The header's 4,096 bytes. The ids together are at most 4,000 bytes of UTF-8. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt32LE(walFormatVersion, 8);
  writeUint64(bytes, header.segmentNumber, 16);
  bytes.set(header.nonce.subarray(0, 8), 24);
  bytes.writeUInt32LE(header.capacityBytes, 32);
  let offset = 36;
  for (const id of [header.clusterId, header.nodeId]) {
    const text = toBytes(id);
    assert(
      offset + 2 + text.length <= segmentHeaderBytes,
      'cluster and node id do not fit into a WAL header',
    );
    bytes.writeUInt16LE(text.length, offset);
    bytes.set(text, offset + 2);
    offset += 2 + text.length;
  }
  bytes.writeUInt32LE(crc32(bytes), 12);
  return bytes;
}

/** The header, or what is wrong with it in words. */
export function decodeSegmentHeader(given: Uint8Array): SegmentHeader | string {
  if (given.length < segmentHeaderBytes)
    return `the file ends after ${given.length} bytes, inside its header`;
  const bytes = Buffer.from(given.subarray(0, segmentHeaderBytes));
  if (!bytes.subarray(0, 8).equals(magic)) return 'it does not begin like a kvorum log segment';
  const version = bytes.readUInt32LE(8);
  if (!hasHeaderChecksum(bytes)) return 'the checksum of its header is wrong';
  if (version > walFormatVersion) {
    const known = `this kvorum reads up to ${walFormatVersion}`;
    return `it has format version ${version} and ${known}: use a newer kvorum`;
  }
  if (version === 0) return 'it has no format version';
  const clusterIdBytes = bytes.readUInt16LE(36);
  const nodeIdAt = 38 + clusterIdBytes;
  return {
    segmentNumber: readUint64(bytes, 16),
    nonce: bytes.subarray(24, 32),
    capacityBytes: bytes.readUInt32LE(32),
    clusterId: bytes.toString('utf8', 38, nodeIdAt),
    nodeId: bytes.toString('utf8', nodeIdAt + 2, nodeIdAt + 2 + bytes.readUInt16LE(nodeIdAt)),
  };
}

/**
 * Whether the header is of a newer format, rather than damaged: every format keeps the length and the place
 * of magic, version and checksum.
 */
export function hasNewerFormat(header: Uint8Array): boolean {
  const bytes = Buffer.from(header);
  return (
    bytes.length >= segmentHeaderBytes &&
    bytes.subarray(0, 8).equals(magic) &&
    bytes.readUInt32LE(8) > walFormatVersion &&
    hasHeaderChecksum(bytes.subarray(0, segmentHeaderBytes))
  );
}

/** Over the header with 0 in the place of the checksum. */
function hasHeaderChecksum(header: Buffer): boolean {
  const bytes = Buffer.from(header);
  bytes.writeUInt32LE(0, 12);
  return crc32(bytes) === header.readUInt32LE(12);
}

/** What every frame's CRC in a segment begins with. */
export function segmentSeed(header: SegmentHeader): number {
  const bytes = Buffer.alloc(16);
  bytes.set(header.nonce, 0);
  writeUint64(bytes, header.segmentNumber, 8);
  return crc32(bytes);
}

/** Bytes of a frame with a body of `bodyBytes`, head and padding included. */
export function frameBytes(bodyBytes: number): number {
  return frameHeadBytes + Math.ceil(bodyBytes / 8) * 8;
}

/** A frame whose checksum has been verified. */
export interface Frame {
  readonly crc: number;
  readonly kind: number;
  readonly detail: number;
  /** Low 32 bits of the number of its batch. */
  readonly sequenceLow: number;
  readonly index: LogIndex;
  readonly term: Term;
  /** A view into the bytes that were decoded. */
  readonly body: Buffer;
  /** With head and padding. */
  readonly bytes: number;
}

/** What the length field at `at` claims the whole frame takes: to be checked against what there is. */
export function claimedFrameBytes(window: Buffer, at: number): number {
  return frameBytes(window.readUInt32LE(at + 4));
}

/** The frame at `at`, or `undefined` when it is not whole and valid. `window` holds at least its head. */
export function decodeFrame(window: Buffer, at: number, seed: number): Frame | undefined {
  const length = window.readUInt32LE(at + 4);
  const bytes = frameBytes(length);
  if (at + bytes > window.length) return undefined;
  const bodyEnd = at + frameHeadBytes + length;
  const crc = window.readUInt32LE(at);
  if (crc32(window.subarray(at + 4, bodyEnd), seed) !== crc) return undefined;
  for (let i = bodyEnd; i < at + bytes; i++) if (window[i] !== 0) return undefined;
  const kind = window[at + 8] as number;
  if (kind === 0 || kind > frameKinds.commit) return undefined;
  return {
    crc,
    kind,
    detail: window[at + 9] as number,
    sequenceLow: window.readUInt32LE(at + 12),
    index: readUint64(window, at + 16),
    term: readUint64(window, at + 24),
    body: window.subarray(at + frameHeadBytes, bodyEnd),
    bytes,
  };
}

/** Whether there could be a commit frame at `at`: a cheap test before `decodeFrame`. */
export function looksLikeCommit(window: Buffer, at: number): boolean {
  return window[at + 8] === frameKinds.commit && window.readUInt32LE(at + 4) === commitBodyBytes;
}

/** The kind of entry in an `entry` frame; `undefined` when it is not known. */
export function entryKindOf(frame: Frame): EntryKind | undefined {
  return entryKinds[frame.detail];
}

/**
 * The entry of an `entry` frame, with its own copy of the payload; `undefined` for an unknown kind of entry.
 */
export function entryOf(frame: Frame): LogEntry | undefined {
  const kind = entryKindOf(frame);
  if (kind === undefined) return undefined;
  return { index: frame.index, term: frame.term, kind, payload: new Uint8Array(frame.body) };
}

export function hardStateOf(frame: Frame): HardState {
  const votedFor = frame.detail === 1 ? frame.body.toString('utf8') : undefined;
  return { currentTerm: frame.term, votedFor, commitIndex: frame.index };
}

export interface SegmentStart {
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Number of the batch that the frame begins. */
  readonly sequence: number;
  readonly baseIndex: LogIndex;
  readonly baseTerm: Term;
  /** Chain before that batch. */
  readonly chain: number;
}

/** The contents of a `segmentStart` frame, `undefined` if its body has not the right length. */
export function segmentStartOf(frame: Frame): SegmentStart | undefined {
  if (frame.body.length !== startBodyBytes) return undefined;
  return {
    lastIndex: frame.index,
    lastTerm: frame.term,
    sequence: readUint64(frame.body, 0),
    baseIndex: readUint64(frame.body, 8),
    baseTerm: readUint64(frame.body, 16),
    chain: frame.body.readUInt32LE(24),
  };
}

export interface BatchCommit {
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  readonly commitIndex: LogIndex;
  /** Nothing follows in this segment. */
  readonly sealed: boolean;
}

export interface DecodedCommit extends BatchCommit {
  readonly sequence: number;
  /** Of the frames before the commit frame. */
  readonly batchBytes: number;
  readonly chain: number;
}

/** The contents of a `commit` frame, `undefined` if its body has not the right length. */
export function commitOf(frame: Frame): DecodedCommit | undefined {
  if (frame.body.length !== commitBodyBytes) return undefined;
  return {
    lastIndex: frame.index,
    lastTerm: frame.term,
    sealed: frame.detail === 1,
    sequence: readUint64(frame.body, 0),
    commitIndex: readUint64(frame.body, 8),
    batchBytes: frame.body.readUInt32LE(16),
    chain: frame.body.readUInt32LE(20),
  };
}

/** The chain after a batch with these CRCs of frames (4 bytes each), the commit frame's not included. */
export function nextChain(chain: number, frameCrcs: Uint8Array): number {
  return crc32(frameCrcs, chain);
}

/** A u64 below 2^53, little-endian. */
export function writeUint64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value % twoTo32, at);
  bytes.writeUInt32LE(Math.floor(value / twoTo32), at + 4);
}

function readUint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * twoTo32;
}
