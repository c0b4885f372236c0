// The hash over each chunk of a snapshot, and how a chunk on its way is told from other messages. Must
// never take a chunk's hash for a proof of anything but that its bytes arrived as they were sent: whether
// they are the right ones, the receiver finds out.

import { Hash64 } from '../../base/hash.js';
import type { StoreRecord } from '../../kv/store.js';
import { snapshotFrames, type SnapshotPart } from './frames.js';

const numbers: ReadonlySet<number> = new Set(Object.values(snapshotFrames).map(({ number }) => number));

/** Whether a peer's message begins with a frame of a snapshot. Looks at the first bytes, checks nothing. */
export function beginsWithSnapshot(message: Uint8Array): boolean {
  // An array of up to 15 frames, then the frame's own, each a header of one byte, then the frame's number.
  const isShort = ((message[0] ?? 0) & 0xf0) === 0x90 && ((message[1] ?? 0) & 0xf0) === 0x90;
  return isShort && numbers.has(message[2] ?? 0);
}

/** The hash that a chunk carries: over its place in the snapshot and all its records. */
export function hashChunk(part: SnapshotPart, sequence: number, records: readonly StoreRecord[]): string {
  const hash = new Hash64().text(part).number(sequence);
  for (const { key, value } of records) hash.text(key).bytes(value);
  return hash.hex();
}
