// The longest that the disk took of late for one unit, from when it had it until it was durable: how much
// longer than messages take an election must be given. Forgotten after a while, so that a stall is not held
// against a disk that has long been quick again.

const bucketMs = 5_000;

export class SlowestSync {
  private bucketBeginMs = -Infinity;
  private current = 0;
  private previous = 0;

  /** A unit that became durable at `nowMs` had been with the disk for `tookMs`. */
  note(nowMs: number, tookMs: number): void {
    this.turn(nowMs);
    this.current = Math.max(this.current, tookMs);
  }

  /** The longest of the last 5 to 10 s, ms; 0 when nothing was synced meanwhile. */
  recentMs(nowMs: number): number {
    this.turn(nowMs);
    return Math.max(this.current, this.previous);
  }

  private turn(nowMs: number): void {
    const ageMs = nowMs - this.bucketBeginMs;
    if (ageMs < bucketMs) return;
    this.previous = ageMs < 2 * bucketMs ? this.current : 0;
    this.current = 0;
    this.bucketBeginMs = nowMs;
  }
}
