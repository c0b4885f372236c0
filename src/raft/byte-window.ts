// A sliding window over the log: pieces that were handed on and not yet acknowledged, with their bytes. Three
// limits of the core are counted with it: in flight to a follower, uncommitted on a leader, handed to the
// state machine. It holds no entries and never decides what the limit is.

import { assert } from '../base/assert.js';
import type { LogIndex } from './types.js';

/** Released slots before the arrays are cut down; keeps the cost of a release constant on average. */
const slackMax = 64;

export class ByteWindow {
  /** Ascending. The pieces from `head` on are open. */
  private lastIndexes: LogIndex[] = [];
  private sizes: number[] = [];
  private head = 0;
  private openBytes = 0;

  /** Bytes of the open pieces. */
  get bytes(): number {
    return this.openBytes;
  }

  /** Number of open pieces. */
  get count(): number {
    return this.sizes.length - this.head;
  }

  /** Opens a piece that ends at `lastIndex`, not below the piece before it. */
  push(lastIndex: LogIndex, bytes: number): void {
    const previous = this.lastIndexes.at(-1);
    assert(this.count === 0 || previous === undefined || previous <= lastIndex, 'window pieces out of order');
    this.lastIndexes.push(lastIndex);
    this.sizes.push(bytes);
    this.openBytes += bytes;
  }

  /** Closes all pieces that end at or below `index`. */
  releaseThrough(index: LogIndex): void {
    while (this.head < this.sizes.length && (this.lastIndexes[this.head] as number) <= index) {
      this.openBytes -= this.sizes[this.head] as number;
      this.head++;
    }
    if (this.head === this.sizes.length) this.clear();
    else if (this.head > slackMax && this.head * 2 > this.sizes.length) {
      this.lastIndexes = this.lastIndexes.slice(this.head);
      this.sizes = this.sizes.slice(this.head);
      this.head = 0;
    }
  }

  /** Forgets all pieces. */
  clear(): void {
    this.lastIndexes.length = 0;
    this.sizes.length = 0;
    this.head = 0;
    this.openBytes = 0;
  }
}
