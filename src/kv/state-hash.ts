// Hashes by which replicas are compared. The state hash is a chain over the entries: whoever applied the same
// entries to the same effects has the same hash at the same index. The content hash is a sum over the current
// records, so it does not depend on the way there. Neither must ever see physical keys, batch boundaries or
// the node's own progress.

import type { ByteString } from '../base/bytes.js';
import { Hash64 } from '../base/hash.js';
import type { Revision } from './commands.js';

/** How many of the newest state hashes a node keeps to compare with others. */
export const stateHashesKept = 1_024;

/** 16 hexadecimal digits of two unsigned 32-bit words. */
export function hashHex(high: number, low: number): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** The hash of one current record; covers all that a client can read of it. */
export function hashRecord(
  key: ByteString,
  value: Uint8Array,
  createRevision: Revision,
  modRevision: Revision,
  version: number,
  leaseId: number,
): [high: number, low: number] {
  return new Hash64()
    .number(modRevision)
    .number(createRevision)
    .number(version)
    .number(leaseId)
    .text(key)
    .bytes(value)
    .words();
}

/** The hash of the deletion of a key. */
export function hashDeletion(key: ByteString, revision: Revision): [high: number, low: number] {
  return new Hash64(0x2545f491, 0x4f6cdd1d).number(revision).text(key).words();
}

/** The sum of record hashes modulo 2^64. */
export class ContentHash {
  /** Unsigned 32 bits each. */
  high = 0;
  low = 0;

  set(high: number, low: number): void {
    this.high = high;
    this.low = low;
  }

  add(high: number, low: number): void {
    const sum = this.low + low;
    this.low = sum >>> 0;
    this.high = (this.high + high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0;
  }

  subtract(high: number, low: number): void {
    const difference = this.low - low;
    this.low = difference >>> 0;
    this.high = (this.high - high - (difference < 0 ? 1 : 0)) >>> 0;
  }
}

/** The newest state hashes by index: a ring, so that its memory never grows. */
export class StateHashes {
  /**
   * Invariant: slot `i % stateHashesKept` holds index i for the newest indexes without a gap; -1 is empty.
   */
  private readonly indexes = new Float64Array(stateHashesKept).fill(-1);
  private readonly words = new Uint32Array(2 * stateHashesKept);
  private newest = -1;

  /** `index` is one more than the last one, or the first. */
  push(index: number, high: number, low: number): void {
    const slot = index % stateHashesKept;
    this.indexes[slot] = index;
    this.words[2 * slot] = high;
    this.words[2 * slot + 1] = low;
    this.newest = index;
  }

  /** The hash after `index`, or `undefined` if it is not kept (any more, or yet). */
  at(index: number): string | undefined {
    if (index < 0) return undefined;
    const slot = index % stateHashesKept;
    if (this.indexes[slot] !== index) return undefined;
    return hashHex(this.words[2 * slot] ?? 0, this.words[2 * slot + 1] ?? 0);
  }

  /** The newest `count` or fewer, oldest first. */
  newestPairs(count: number): (readonly [index: number, hash: string])[] {
    const pairs: (readonly [index: number, hash: string])[] = [];
    for (let index = Math.max(0, this.newest - count + 1); index <= this.newest; index++) {
      const hash = this.at(index);
      if (hash !== undefined) pairs.push([index, hash]);
    }
    return pairs;
  }
}
