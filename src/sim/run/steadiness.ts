// What a world that is slow and not broken owes its clients while it is slow: a leader that stays, and writes
// that go on. Looked at in the runs that say so (`Plan.steady`); elsewhere nobody asks for availability
// before the healed phase.

import type { Violations } from '../checkers/violations.js';
import type { History } from '../history/history.js';
import type { Steadiness } from '../plan/plan.js';
import type { Scheduler } from '../world/scheduler.js';

export interface SteadinessOptions {
  readonly scheduler: Scheduler;
  readonly violations: Violations;
  readonly history: History;
  readonly steady: Steadiness;
  readonly untilMs: number;
  /** Terms that had a leader so far. */
  electionCount(): number;
}

export class SteadinessChecker {
  private readonly options: SteadinessOptions;
  private electionsBefore = 0;

  constructor(options: SteadinessOptions) {
    this.options = options;
    const { scheduler, steady, untilMs } = options;
    scheduler.schedule(steady.fromMs * 1_000, 'workload', undefined, () => {
      this.electionsBefore = options.electionCount();
    });
    scheduler.schedule(untilMs * 1_000, 'workload', undefined, () => this.judge());
  }

  private judge(): void {
    const { violations, steady, untilMs } = this.options;
    const { fromMs, electionsMax } = steady;
    const elections = this.options.electionCount() - this.electionsBefore;
    if (elections > electionsMax) {
      const message = `${elections} elections from ${fromMs} to ${untilMs} ms, ${electionsMax} have a reason`;
      violations.add('steadiness', 'cluster', message);
    }
    const { fromUs, lengthMs } = this.longestSilence();
    if (lengthMs <= steady.silenceMsMax) return;
    const message = `no write was acknowledged for ${Math.floor(lengthMs)} ms from ${fromUs / 1_000} ms on`;
    violations.add('steadiness', 'cluster', message);
  }

  /** The longest time without an acknowledged write. */
  private longestSilence(): { readonly fromUs: number; readonly lengthMs: number } {
    const { history, steady, untilMs } = this.options;
    const timesUs = history.operations
      .filter(({ result, returnedUs }) => result?.kind === 'written' && returnedUs !== undefined)
      .map(({ returnedUs }) => returnedUs ?? 0)
      .filter((us) => us > steady.fromMs * 1_000)
      .sort((a, b) => a - b);
    let longest = { fromUs: steady.fromMs * 1_000, lengthMs: 0 };
    let lastUs = steady.fromMs * 1_000;
    for (const us of [...timesUs, untilMs * 1_000]) {
      if ((us - lastUs) / 1_000 > longest.lengthMs)
        longest = { fromUs: lastUs, lengthMs: (us - lastUs) / 1_000 };
      lastUs = us;
    }
    return longest;
  }
}
