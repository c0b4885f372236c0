// Whether the disk has room to receive a snapshot: what the log needs to go on must stay free. The mark is
// the one below which a leader refuses puts (disk-space.ts). Must never block: the answer is that of the last
// look, and a look is cheap and soon done; what arrives between two looks is small against the mark.

import type { Millis } from '../../base/env.js';
import type { ServerEnv } from '../events.js';
import { lowSegments, recoveredFactor } from '../space/free-space.js';

const lookIntervalMs: Millis = 100;

export class StagingRoom {
  private readonly env: Pick<ServerEnv, 'clock' | 'disk' | 'report'>;
  private readonly markBytes: number;
  private isLow = false;
  private isLooking = false;
  private lookedMs = -Infinity;

  /** `segmentBytes`: of the log. */
  constructor(env: Pick<ServerEnv, 'clock' | 'disk' | 'report'>, segmentBytes: number) {
    this.env = env;
    this.markBytes = lowSegments * segmentBytes;
    this.look();
  }

  /** Whether more may be written; looks again. */
  hasRoom(): boolean {
    this.look();
    return !this.isLow;
  }

  private look(): void {
    const { clock, disk, report } = this.env;
    if (this.isLooking || clock.nowMs() - this.lookedMs < lookIntervalMs) return;
    this.isLooking = true;
    disk.freeBytes((error, freeBytes) => {
      this.isLooking = false;
      this.lookedMs = clock.nowMs();
      // Who cannot say has not said that it is full: the write itself will tell.
      if (error !== undefined) return;
      const wasLow = this.isLow;
      this.isLow = freeBytes < this.markBytes * (wasLow ? recoveredFactor : 1);
      const figures = { freeBytes, keptFreeBytes: this.markBytes };
      if (this.isLow) report({ kind: 'stagingRoomLow', ...figures });
      else if (wasLow) report({ kind: 'stagingHasRoom', ...figures });
    });
  }
}
