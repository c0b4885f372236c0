// Whether the disk has room to receive a snapshot: what the log needs to go on must stay free. The mark is
// the one below which a leader refuses puts (disk-space.ts). Must never block: the answer is that of the last
// look, and a look is cheap and soon done; what arrives between two looks is small against the mark.

import type { Millis, NodeEnv } from '../../base/env.js';
import { lowSegments, recoveredFactor } from '../space/free-space.js';
import { QuietLog } from '../operate/quiet-log.js';

const lookIntervalMs: Millis = 100;

export class StagingRoom {
  private readonly env: Pick<NodeEnv, 'clock' | 'disk' | 'logger'>;
  private readonly log: QuietLog;
  private readonly markBytes: number;
  private isLow = false;
  private isLooking = false;
  private lookedMs = -Infinity;

  /** `segmentBytes`: of the log. */
  constructor(env: Pick<NodeEnv, 'clock' | 'disk' | 'logger'>, segmentBytes: number) {
    this.env = env;
    this.log = new QuietLog(env.logger, env.clock);
    this.markBytes = lowSegments * segmentBytes;
    this.look();
  }

  /** Whether more may be written; looks again. */
  hasRoom(): boolean {
    this.look();
    return !this.isLow;
  }

  private look(): void {
    const { clock, disk } = this.env;
    if (this.isLooking || clock.nowMs() - this.lookedMs < lookIntervalMs) return;
    this.isLooking = true;
    disk.freeBytes((error, freeBytes) => {
      this.isLooking = false;
      this.lookedMs = clock.nowMs();
      // Who cannot say has not said that it is full: the write itself will tell.
      if (error !== undefined) return;
      const wasLow = this.isLow;
      this.isLow = freeBytes < this.markBytes * (wasLow ? recoveredFactor : 1);
      const fields = { freeBytes, keptFreeBytes: this.markBytes };
      if (this.isLow) {
        const fact = 'disk nearly full: no snapshot is received, and this member cannot catch up';
        this.log.write('low', 'warn', fields, `${fact}; it goes on when there is room`);
      } else if (wasLow) {
        this.log.write('room', 'info', fields, 'the disk has room again: snapshots are received');
      }
    });
  }
}
