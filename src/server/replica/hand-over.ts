// Waits until this node has handed its leadership over (§3.10), or nobody took it in time: what a stop in
// order waits for. Starts and ends no transfer; those are the core's (raft/transfer.ts).

import type { Millis, TimerHandle, Timers } from '../../base/env.js';

export class HandOver {
  private readonly timers: Timers;
  private readonly done: () => void;
  private readonly patience: TimerHandle;
  private isOver = false;

  /** `done` is called once: after `leadershipEnded`, or after `patienceMs`. */
  constructor(timers: Timers, patienceMs: Millis, done: () => void) {
    this.timers = timers;
    this.done = done;
    this.patience = timers.set(patienceMs, () => this.finish());
  }

  leadershipEnded(): void {
    // The step that ended it is still being carried out.
    this.timers.defer(() => this.finish());
  }

  private finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.timers.clear(this.patience);
    this.done();
  }
}
