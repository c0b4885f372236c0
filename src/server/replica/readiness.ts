// Whether this node can answer a linearizable read now: a ReadIndex round that began within the last election
// timeout has been confirmed, and is reached by what is applied here. Who asks without such a round joins one
// that all who ask share, and waits for it, a bounded time. Must never say yes of a node whose reads fail.

import type { Millis, TimerHandle } from '../../base/env.js';
import type { ConfirmedRead } from '../../raft/io.js';
import type { LogIndex } from '../../raft/types.js';
import type { ReplicaContext } from './context.js';

export interface ReadinessContext {
  readonly env: { readonly [K in 'clock' | 'timers']: ReplicaContext['env'][K] };
  readonly config: { readonly raft: Pick<ReplicaContext['config']['raft'], 'electionTimeoutMsMax'> };
  readonly raft: Pick<ReplicaContext['raft'], 'commitIndex' | 'leaderId'>;
  readonly loop: Pick<ReplicaContext['loop'], 'step'>;
  readonly stateMachine: Pick<ReplicaContext['stateMachine'], 'appliedIndex'>;
}

/** Told `undefined` when the node is ready, else why it is not, in words. */
export type Verdict = (reason: string | undefined) => void;

/** Ids from here on are of readiness: those of reads are below, those of catching up above. */
const readinessRequestIds = 2 ** 49;
/** Committed entries that may wait here to be applied: more, and what is read here is late. */
const lagEntriesMax = 1_000;

/** The round that is shared. */
interface Round {
  readonly requestId: number;
  readonly beganMs: Millis;
  /** Confirmed: to be applied here. */
  readIndex: LogIndex | undefined;
}

export class Readiness {
  private readonly context: ReadinessContext;
  private lastRequestId: number;
  private round: Round | undefined;
  /** When the newest round that was reached began. */
  private reachedFromMs = -Infinity;
  private readonly waiting = new Map<Verdict, TimerHandle>();
  private isHalted = false;

  /** `firstRequestId`: random, so that late answers are recognised. */
  constructor(context: ReadinessContext, firstRequestId: number) {
    this.context = context;
    this.lastRequestId = readinessRequestIds + firstRequestId;
  }

  /** `verdict` is called once, now or within an election timeout. */
  ask(verdict: Verdict): void {
    const { env, raft } = this.context;
    if (this.isHalted) verdict('the node is stopping, or replaces its data');
    else if (raft.leaderId === undefined) verdict('no leader is known');
    else if (this.lagWords !== undefined) verdict(this.lagWords);
    else if (this.isFresh(this.reachedFromMs)) verdict(undefined);
    else {
      // Before the round, which may be confirmed at once.
      this.waiting.set(
        verdict,
        env.timers.set(this.windowMs, () => this.giveUp(verdict)),
      );
      if (this.round === undefined || !this.isFresh(this.round.beganMs)) this.begin();
    }
  }

  confirm(reads: readonly ConfirmedRead[]): void {
    const { round } = this;
    if (round === undefined) return;
    for (const { requestId, readIndex } of reads)
      if (requestId === round.requestId) round.readIndex = readIndex;
    this.reached(this.context.stateMachine.appliedIndex);
  }

  fail(requestIds: readonly number[]): void {
    if (this.round === undefined || !requestIds.includes(this.round.requestId)) return;
    this.round = undefined;
    this.tell('no leader has confirmed a read: leadership has just changed');
  }

  /** The state machine has reached `index`. */
  reached(index: LogIndex): void {
    const { round } = this;
    if (round?.readIndex === undefined || round.readIndex > index) return;
    this.round = undefined;
    this.reachedFromMs = round.beganMs;
    if (this.isFresh(round.beganMs)) this.tell(this.lagWords);
    else if (this.waiting.size > 0) this.begin();
  }

  halt(): void {
    this.isHalted = true;
    this.tell('the node is stopping, or replaces its data');
  }

  private get windowMs(): Millis {
    return this.context.config.raft.electionTimeoutMsMax;
  }

  private get lagWords(): string | undefined {
    const { raft, stateMachine } = this.context;
    const lag = raft.commitIndex - stateMachine.appliedIndex;
    return lag > lagEntriesMax ? `${lag} committed entries are not applied here yet` : undefined;
  }

  private isFresh(beganMs: Millis): boolean {
    return this.context.env.clock.nowMs() - beganMs <= this.windowMs;
  }

  private begin(): void {
    const requestId = ++this.lastRequestId;
    this.round = { requestId, beganMs: this.context.env.clock.nowMs(), readIndex: undefined };
    this.context.loop.step({ kind: 'readIndex', requestId });
  }

  private giveUp(verdict: Verdict): void {
    if (!this.waiting.delete(verdict)) return;
    const needed = this.round?.readIndex;
    verdict(
      needed === undefined
        ? `no leader has confirmed a read within ${this.windowMs} ms`
        : `this node has applied ${this.context.stateMachine.appliedIndex}, a read now needs ${needed}`,
    );
  }

  private tell(reason: string | undefined): void {
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const [verdict, timer] of waiting) {
      this.context.env.timers.clear(timer);
      verdict(reason);
    }
  }
}
