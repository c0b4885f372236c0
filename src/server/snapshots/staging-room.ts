// Whether the disk has room to receive a snapshot: what the log needs to go on must stay free. What arrives
// between two looks is small against the mark.

import type { Millis, Report } from '../../base/env.js';
import type { NodeEvent, ServerEnv } from '../events.js';
import { LowDisk } from '../space/low-disk.js';

const lookIntervalMs: Millis = 100;

export class StagingRoom {
  private readonly report: Report<NodeEvent>;
  private readonly disk: LowDisk;

  /** `segmentBytes`: of the log. */
  constructor(env: Pick<ServerEnv, 'clock' | 'disk' | 'report'>, segmentBytes: number) {
    this.report = env.report;
    this.disk = new LowDisk({
      env,
      segmentBytes,
      intervalMs: lookIntervalMs,
      looked: (isLow, wasLow) => this.tell(isLow, wasLow),
    });
    this.disk.look();
  }

  /** Whether more may be written; looks again. */
  hasRoom(): boolean {
    this.disk.look();
    return !this.disk.isLow;
  }

  private tell(isLow: boolean, wasLow: boolean): void {
    const { freeBytes, markBytes: keptFreeBytes } = this.disk;
    const figures = { freeBytes, keptFreeBytes };
    if (isLow) this.report({ kind: 'stagingRoomLow', ...figures });
    else if (wasLow) this.report({ kind: 'stagingHasRoom', ...figures });
  }
}
