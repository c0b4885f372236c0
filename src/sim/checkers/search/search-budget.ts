// How much a search may cost before it gives up. Counted in steps and configurations, so that the same
// history has the same verdict on every machine; a caller that would rather have an answer soon can pass a
// clock as well. Pure: it never looks at a clock of its own.

export interface SearchLimits {
  /** Operations and counts looked at; some ten millions a second. Default 200,000,000; 1 or more. */
  readonly stepsMax?: number;
  /**
   * Configurations kept in memory, some 100 bytes each; a larger one counts as several. Default 1,000,000; 1
   * or more.
   */
  readonly configurationsMax?: number;
  /** Gives up after this time, in milliseconds, by `nowMs`. Default: never. */
  readonly budgetMs?: number;
  /** The clock for `budgetMs`; without one there is no bound in time. */
  readonly nowMs?: () => number;
}

const stepsMaxDefault = 200_000_000;
const configurationsMaxDefault = 1_000_000;
const bytesPerConfiguration = 100;
/** Steps between two looks at the clock. */
const stepsPerLook = 65_536;

export class SearchBudget {
  private readonly limits: SearchLimits;
  private readonly deadlineMs: number;
  private stepsLeft: number;
  private configurationsLeft: number;
  private nextLook: number;
  private isLate = false;

  constructor(limits: SearchLimits = {}) {
    this.limits = limits;
    this.stepsLeft = limits.stepsMax ?? stepsMaxDefault;
    this.configurationsLeft = limits.configurationsMax ?? configurationsMaxDefault;
    this.deadlineMs = (limits.nowMs?.() ?? 0) + (limits.budgetMs ?? Infinity);
    this.nextLook = this.stepsLeft - stepsPerLook;
  }

  /** Why to give up; `undefined` while there is something left. */
  get exhausted(): string | undefined {
    if (this.stepsLeft <= 0) return `gave up after ${this.limits.stepsMax ?? stepsMaxDefault} steps`;
    if (this.configurationsLeft <= 0) {
      return `gave up after ${this.limits.configurationsMax ?? configurationsMaxDefault} configurations`;
    }
    if (this.stepsLeft < this.nextLook) {
      this.nextLook = this.stepsLeft - stepsPerLook;
      this.isLate ||= (this.limits.nowMs?.() ?? 0) > this.deadlineMs;
    }
    return this.isLate ? `gave up after ${this.limits.budgetMs} ms` : undefined;
  }

  step(count = 1): void {
    this.stepsLeft -= count;
  }

  /** A configuration comes into memory; `bytes`: what it takes. */
  remember(bytes: number): void {
    this.configurationsLeft -= Math.ceil(bytes / bytesPerConfiguration);
  }

  /** A configuration is not in memory any more. */
  forget(bytes: number): void {
    this.configurationsLeft += Math.ceil(bytes / bytesPerConfiguration);
  }

  /** The configurations of a finished search are not in memory any more. */
  forgetConfigurations(): void {
    this.configurationsLeft = this.limits.configurationsMax ?? configurationsMaxDefault;
  }
}
