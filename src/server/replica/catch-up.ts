// The last step of a member whose disk was damaged: until its log again holds everything that it may have
// acknowledged, it neither votes nor stands for election. All of that was committed, or may be lost, when a
// leader that it did not help to elect answers a ReadIndex that this member asked for after it came back:
// reached by what it has applied, and has on its own disk, it votes again. Must never say so before that is
// durable.

import type { ConfirmedRead } from '../../raft/io.js';
import type { Raft } from '../../raft/raft.js';
import type { LogIndex } from '../../raft/types.js';
import type { ReplicaContext } from './context.js';

export interface CatchUpContext {
  readonly raft: Pick<Raft, 'appliedIndex' | 'durableIndex' | 'leaderId'>;
  readonly loop: Pick<ReplicaContext['loop'], 'step'>;
}

/** Ids from here on are of catching up, those below are of reads. */
export const catchUpRequestIds = 2 ** 50;

export class CatchUp {
  private readonly context: CatchUpContext;
  private readonly caughtUp: () => void;
  private lastRequestId: number;
  /** Asked and not answered. */
  private waitsFor: number | undefined;
  private readIndex: LogIndex | undefined;
  private isOver = false;

  /**
   * `firstRequestId`: random, so that late answers are recognised. `caughtUp`: the log holds all again; makes
   * that durable before it returns.
   */
  constructor(context: CatchUpContext, firstRequestId: number, caughtUp: () => void) {
    this.context = context;
    this.caughtUp = caughtUp;
    this.lastRequestId = catchUpRequestIds + firstRequestId;
  }

  /** Asks, asks again, or finishes. Call it from time to time. */
  check(): void {
    if (this.isOver) return;
    const { raft, loop } = this.context;
    if (this.readIndex !== undefined) {
      if (raft.appliedIndex < this.readIndex || raft.durableIndex < this.readIndex) return;
      this.isOver = true;
      this.caughtUp();
      loop.step({ kind: 'caughtUp' });
    } else if (this.waitsFor === undefined && raft.leaderId !== undefined) {
      this.waitsFor = ++this.lastRequestId;
      loop.step({ kind: 'readIndex', requestId: this.waitsFor });
    }
  }

  confirm(reads: readonly ConfirmedRead[]): void {
    const own = reads.find(({ requestId }) => requestId === this.waitsFor);
    if (own === undefined) return;
    this.waitsFor = undefined;
    this.readIndex = own.readIndex;
  }

  fail(requestIds: readonly number[]): void {
    if (this.waitsFor !== undefined && requestIds.includes(this.waitsFor)) this.waitsFor = undefined;
  }
}
