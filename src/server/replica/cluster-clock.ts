// Cluster time, kept by the leader and carried by every entry. It drives sessions. It must never run faster
// than real time: what it expires has lived at least that long. It stands still between leaders and while a
// leader was paused, and what waits for a deadline gets the benefit.

import type { Clock, Millis } from '../../base/env.js';

export class ClusterClock {
  private readonly clock: Clock;
  /** One advance is never longer: after a pause the leader must not find that everything has expired. */
  private readonly stepMsMax: Millis;
  private currentMs = 0;
  private lastNowMs: Millis | undefined;
  private lastWallMs = 0;

  constructor(clock: Clock, stepMsMax: Millis) {
    this.clock = clock;
    this.stepMsMax = stepMsMax;
  }

  /** The newest cluster time known here. Not advanced by asking. */
  get timeMs(): Millis {
    return Math.floor(this.currentMs);
  }

  /** A stamp in this node's own log; the next leader continues from the largest. */
  observe(clusterTimeMs: Millis, wallTimeMs: Millis): void {
    this.currentMs = Math.max(this.currentMs, clusterTimeMs);
    this.lastWallMs = Math.max(this.lastWallMs, wallTimeMs);
  }

  /** This node began to lead: from now on time advances with its monotonic clock. */
  startLeading(): void {
    this.lastNowMs = this.clock.nowMs();
  }

  stopLeading(): void {
    this.lastNowMs = undefined;
  }

  /** Lets time go on while leading. Called at least once per heartbeat; without effect on a follower. */
  advance(): void {
    if (this.lastNowMs === undefined) return;
    const nowMs = this.clock.nowMs();
    this.currentMs += Math.min(Math.max(0, nowMs - this.lastNowMs), this.stepMsMax);
    this.lastNowMs = nowMs;
  }

  /** The times for an entry that is about to be proposed. */
  stamp(): { clusterTimeMs: Millis; wallTimeMs: Millis } {
    this.advance();
    this.lastWallMs = Math.max(this.lastWallMs, Math.floor(this.clock.wallMs()));
    return { clusterTimeMs: this.timeMs, wallTimeMs: this.lastWallMs };
  }
}
