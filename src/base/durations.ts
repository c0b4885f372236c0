// How long something took, each time it was done, counted by size: enough for a histogram, and no more work
// for each than a few comparisons.

import type { Millis } from './env.js';

/** Upper bounds of the sizes, ms, ascending; what took longer than the last is counted beside them. */
export const durationBoundsMs: readonly Millis[] = [
  0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000,
];

export class Durations {
  /** How many there were up to each bound and above the one before; the last: above all. */
  readonly counts: number[] = new Array<number>(durationBoundsMs.length + 1).fill(0);
  sumMs: Millis = 0;

  add(durationMs: Millis): void {
    let size = 0;
    while (size < durationBoundsMs.length && durationMs > (durationBoundsMs[size] as number)) size++;
    this.counts[size] = (this.counts[size] as number) + 1;
    this.sumMs += durationMs;
  }
}
