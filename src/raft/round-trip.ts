// How long a heartbeat to one follower and its answer take together, smoothed. One heartbeat is timed at a
// time, so that it costs nothing to keep; one that is lost is given up for the next that is answered.

/** The weight of a new measurement. */
const weight = 0.2;

export class RoundTrip {
  /** ms; `undefined` before the first answer. */
  smoothedMs: number | undefined;
  /** The round that is timed; 0 while none is. */
  private round = 0;
  private sentMs = 0;

  /** A heartbeat of `round` left. Rounds begin at 1. */
  sent(round: number, nowMs: number): void {
    if (this.round !== 0) return;
    this.round = round;
    this.sentMs = nowMs;
  }

  /** A heartbeat of `round` was answered; 0 of none. */
  answered(round: number, nowMs: number): void {
    if (this.round === 0 || round < this.round) return;
    // A later one was answered: the one that is timed was lost, and says nothing.
    if (round === this.round) {
      const tookMs = nowMs - this.sentMs;
      this.smoothedMs =
        this.smoothedMs === undefined ? tookMs : this.smoothedMs + weight * (tookMs - this.smoothedMs);
    }
    this.round = 0;
  }
}
