// What the checkers found. A violation names the invariant that broke, not the line that noticed it:
// shrinking a plan keeps only plans that break the same one. The list is bounded; the first entries matter,
// the rest is echo.

/** One name per property that the simulator watches. */
export type InvariantId =
  | 'electionSafety'
  | 'leaderAppendOnly'
  | 'logMatching'
  | 'leaderCompleteness'
  | 'stateMachineSafety'
  | 'commitRule'
  | 'durableCommit'
  | 'monotonicState'
  | 'indexOrder'
  | 'durableVote'
  | 'durableAcknowledgement'
  | 'durableLog'
  | 'readIndex'
  | 'catchingUpVote'
  | 'replicaEquality'
  | 'bounds'
  | 'leaderWithoutQuorum'
  | 'leaderUnchecked'
  | 'acknowledgedWriteLost'
  | 'appliedTwice'
  | 'revisionSequence'
  | 'readValue'
  | 'conditionJudged'
  | 'realTimeOrder'
  | 'linearizability'
  | 'falseFailure'
  | 'deadline'
  | 'unexpectedError'
  | 'convergence'
  | 'availability'
  | 'steadiness'
  | 'unexpectedStop'
  | 'falseDamage'
  | 'falseAlarm'
  | 'formatLevel'
  | 'identity'
  | 'exception';

export interface Violation {
  readonly id: InvariantId;
  /** Microseconds of virtual time. */
  readonly timeUs: number;
  /** The node or client it was seen on. */
  readonly where: string;
  readonly message: string;
}

const violationsMax = 50;

export class Violations {
  readonly list: Violation[] = [];
  private readonly nowUs: () => number;

  constructor(nowUs: () => number) {
    this.nowUs = nowUs;
  }

  get any(): boolean {
    return this.list.length > 0;
  }

  add(id: InvariantId, where: string, message: string): void {
    if (this.list.length < violationsMax) this.list.push({ id, timeUs: this.nowUs(), where, message });
  }
}
