// The frames of a snapshot on its way from one node to another, each declared once.

import type { StoreRecord } from '../../kv/store.js';
import { byteString, bytes, count, hex, listOf, message, positive, row, uint, word } from '../fields.js';
import type { Row } from '../fields.js';
import { frame, type FrameOf, type FrameTable } from '../frame.js';
import { fieldLimits, wireLimits } from '../limits.js';

const subMax = 0xffff_ffff;

/** Drawn by the sending node, unique in its process. What names another one is late and has no effect. */
const sendingId = count;

/** May this node send the state that its store holds? Answered by `snapshotCursor` or a refusal. */
const snapshotOffer = frame(30, 'snapshotOffer', {
  sendingId,
  /** Of the sender's view; a later one may be sent in the end, and its `end` chunk says which. */
  appliedIndex: count,
  appliedTerm: count,
  revision: count,
  /** Of the state in that view: a receiver whose software is below it refuses. */
  formatLevel: uint(fieldLimits.formatLevelMax, 1),
});
export type SnapshotOffer = FrameOf<typeof snapshotOffer>;

/** The receiver holds history through this record durably (0, 0: none); the sender goes on after it. */
const snapshotCursor = frame(31, 'snapshotCursor', { sendingId, revision: count, sub: uint(subMax) });
export type SnapshotCursor = FrameOf<typeof snapshotCursor>;

/** What a chunk holds: records of history, of tables, or the one applied record that ends all. */
export type SnapshotPart = 'history' | 'tables' | 'end';

const records: Row<StoreRecord> = row('records', {
  key: byteString(wireLimits.chunkKeyBytesMax, 1),
  value: bytes(wireLimits.chunkValueBytesMax),
});

const snapshotChunk = frame(32, 'snapshotChunk', {
  sendingId,
  /** From 1, one more with each chunk. */
  sequence: positive,
  part: word<SnapshotPart>({ history: 0, tables: 1, end: 2 }),
  /** As they stand in the sender's store, ascending. More than about 200 KiB only for one larger record. */
  records: listOf(records, wireLimits.chunkRecordsMax),
  /** `hashChunk` over all of that. */
  hash: hex(fieldLimits.hashDigits),
});
export type SnapshotChunk = FrameOf<typeof snapshotChunk>;

/**
 * `written`: the chunk is durable. `staged`: so is the whole snapshot, and it was verified. `refused`: the
 * receiver takes no more of it, for this reason.
 */
const snapshotResult = frame(33, 'snapshotResult', {
  sendingId,
  /** The chunk that is answered; 0: the offer. */
  sequence: count,
  state: word({ written: 0, staged: 1, refused: 2 }),
  /** Empty unless refused. */
  message,
});
export type SnapshotResult = FrameOf<typeof snapshotResult>;

export type SnapshotFrame = SnapshotOffer | SnapshotCursor | SnapshotChunk | SnapshotResult;

export const snapshotFrames = {
  snapshotOffer,
  snapshotCursor,
  snapshotChunk,
  snapshotResult,
} as const satisfies FrameTable<SnapshotFrame>;
