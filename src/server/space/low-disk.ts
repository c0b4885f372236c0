// Whether the disk is nearly full. One mark for all who ask: what a node needs to go on writing its log.
// Low below it, and no longer low only well above it, so that the verdict does not flicker. Must never block:
// the verdict is that of the last look, and a look is cheap and soon done.

import type { Millis, NodeEnv } from '../../base/env.js';

/** Free bytes below which the disk is low, in segments of the log. */
const lowSegments = 4;
/** Room again only above this multiple of the mark. */
const recoveredFactor = 1.25;

export interface LowDiskOptions {
  readonly env: Pick<NodeEnv, 'clock' | 'disk'>;
  /** Of the log. */
  readonly segmentBytes: number;
  /** A look is not older than this when `look` is called often enough. */
  readonly intervalMs: Millis;
  /** After each look that the disk answered. */
  looked(isLow: boolean, wasLow: boolean): void;
}

export class LowDisk {
  readonly markBytes: number;
  private readonly options: LowDiskOptions;
  private free = Infinity;
  private low = false;
  private isLooking = false;
  private lookedMs = -Infinity;

  constructor(options: LowDiskOptions) {
    this.options = options;
    this.markBytes = lowSegments * options.segmentBytes;
  }

  get isLow(): boolean {
    return this.low;
  }

  /** At the last look; `Infinity` before the first. */
  get freeBytes(): number {
    return this.free;
  }

  /** Looks when it is time to. */
  look(): void {
    const { env, intervalMs, looked } = this.options;
    if (this.isLooking || env.clock.nowMs() - this.lookedMs < intervalMs) return;
    this.isLooking = true;
    env.disk.freeBytes((error, freeBytes) => {
      this.isLooking = false;
      this.lookedMs = env.clock.nowMs();
      // Who cannot say has not said that it is full: the write itself will tell.
      if (error !== undefined) return;
      const wasLow = this.low;
      this.free = freeBytes;
      this.low = freeBytes < this.markBytes * (wasLow ? recoveredFactor : 1);
      looked(this.low, wasLow);
    });
  }
}
