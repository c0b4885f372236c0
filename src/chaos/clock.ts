// The time of a chaos run: nanoseconds since it began, on the monotonic clock that all processes of one
// machine share, so that the times of different load processes can be compared. Must never be compared with
// the times of another machine or of another boot.

export class RunClock {
  private readonly base: bigint;

  /** `base`: what another process of this machine calls zero (`baseText`); default: now. */
  constructor(base: bigint = process.hrtime.bigint()) {
    this.base = base;
  }

  /** For other processes. */
  get baseText(): string {
    return String(this.base);
  }

  /** Nanoseconds since the run began; below 2^53 for 104 days. */
  nowNs(): number {
    return Number(process.hrtime.bigint() - this.base);
  }
}

/** Resolves after the time, or at once when the signal is or gets aborted. */
export function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.max(0, delayMs));
    signal?.addEventListener('abort', end);
  });
}
