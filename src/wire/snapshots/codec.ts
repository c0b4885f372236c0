// The frames of a snapshot on its way from one member to another, and the hash that guards each chunk. The
// numbers of the frames stand in `peer-codec`. Must never take a chunk's hash for a proof of anything but
// that its bytes arrived as they were sent: whether they are the right ones, the receiver finds out.

import { assertNever } from '../../base/assert.js';
import { fromByteString, toByteString } from '../../base/bytes.js';
import { Hash64 } from '../../base/hash.js';
import type { StoreRecord } from '../../kv/store.js';
import {
  bytesAt,
  checkArity,
  fieldLimits,
  hexAt,
  listAt,
  textAt,
  uintAt,
  wordAt,
  type WireArray,
} from '../fields.js';
import type { WireFrame, WireValue } from '../codec.js';
import { wireLimits, type SnapshotPart, type SnapshotResult, type TransferFrame } from '../protocol.js';

/** First position of each frame. */
export const transferNumbers = {
  snapshotOffer: 30,
  snapshotCursor: 31,
  snapshotChunk: 32,
  snapshotResult: 33,
} as const;

/** Words in the order of their numbers on the wire. */
const parts: readonly SnapshotPart[] = ['history', 'tables', 'end'];
const resultStates: readonly SnapshotResult['state'][] = ['written', 'staged', 'refused'];

/** Positions in a chunk's list that each record takes: key, value. */
const recordPositions = 2;
const hashDigits = 16;
const subMax = 0xffff_ffff;

/** Whether a peer's message begins with a frame of a transfer. Looks at the first bytes, checks nothing. */
export function beginsWithTransfer(message: Uint8Array): boolean {
  // An array of up to 15 frames, then the frame's own, each a header of one byte, then the frame's number.
  const isShort = ((message[0] ?? 0) & 0xf0) === 0x90 && ((message[1] ?? 0) & 0xf0) === 0x90;
  const number = message[2] ?? 0;
  return isShort && number >= transferNumbers.snapshotOffer && number <= transferNumbers.snapshotResult;
}

/** The hash that a chunk carries: over its place in the transfer and all its records. */
export function hashChunk(part: SnapshotPart, sequence: number, records: readonly StoreRecord[]): string {
  const hash = new Hash64().text(part).number(sequence);
  for (const { key, value } of records) hash.text(key).bytes(value);
  return hash.hex();
}

export function transferToWire(frame: TransferFrame): WireFrame {
  const { transferId } = frame;
  switch (frame.kind) {
    case 'snapshotOffer': {
      const { appliedIndex, appliedTerm, revision } = frame;
      return [transferNumbers.snapshotOffer, transferId, appliedIndex, appliedTerm, revision];
    }
    case 'snapshotCursor':
      return [transferNumbers.snapshotCursor, transferId, frame.revision, frame.sub];
    case 'snapshotChunk': {
      const records: WireValue[] = [];
      for (const { key, value } of frame.records) records.push(fromByteString(key), value);
      const part = parts.indexOf(frame.part);
      return [transferNumbers.snapshotChunk, transferId, frame.sequence, part, records, frame.hash];
    }
    case 'snapshotResult': {
      const state = resultStates.indexOf(frame.state);
      const text = frame.message.slice(0, fieldLimits.messageLengthMax);
      return [transferNumbers.snapshotResult, transferId, frame.sequence, state, text];
    }
    default:
      return assertNever(frame);
  }
}

/** `undefined` for a frame that is none of a transfer. Throws `PROTOCOL` for one that is malformed. */
export function transferFromWire(frame: WireArray): TransferFrame | undefined {
  switch (frame[0]) {
    case transferNumbers.snapshotChunk:
      checkArity(frame, 6, 'snapshotChunk');
      return {
        kind: 'snapshotChunk',
        transferId: uintAt(frame, 1, 'transferId'),
        sequence: uintAt(frame, 2, 'sequence', Number.MAX_SAFE_INTEGER, 1),
        part: wordAt(frame, 3, 'part', parts),
        records: recordsAt(frame, 4),
        hash: hexAt(frame, 5, 'hash', hashDigits),
      };
    case transferNumbers.snapshotResult:
      checkArity(frame, 5, 'snapshotResult');
      return {
        kind: 'snapshotResult',
        transferId: uintAt(frame, 1, 'transferId'),
        sequence: uintAt(frame, 2, 'sequence'),
        state: wordAt(frame, 3, 'state', resultStates),
        message: textAt(frame, 4, 'message', fieldLimits.messageLengthMax),
      };
    case transferNumbers.snapshotOffer:
      checkArity(frame, 5, 'snapshotOffer');
      return {
        kind: 'snapshotOffer',
        transferId: uintAt(frame, 1, 'transferId'),
        appliedIndex: uintAt(frame, 2, 'appliedIndex'),
        appliedTerm: uintAt(frame, 3, 'appliedTerm'),
        revision: uintAt(frame, 4, 'revision'),
      };
    case transferNumbers.snapshotCursor:
      checkArity(frame, 4, 'snapshotCursor');
      return {
        kind: 'snapshotCursor',
        transferId: uintAt(frame, 1, 'transferId'),
        revision: uintAt(frame, 2, 'revision'),
        sub: uintAt(frame, 3, 'sub', subMax),
      };
    default:
      return undefined;
  }
}

function recordsAt(frame: WireArray, position: number): StoreRecord[] {
  const list = listAt(frame, position, 'records', recordPositions, wireLimits.chunkRecordsMax);
  const records: StoreRecord[] = [];
  for (let i = 0; i < list.length; i += recordPositions) {
    const key = toByteString(bytesAt(list, i, 'records, key', wireLimits.chunkKeyBytesMax, 1));
    const value = bytesAt(list, i + 1, 'records, value', wireLimits.chunkValueBytesMax);
    records.push({ key, value });
  }
  return records;
}
