// The last step of a member whose disk was damaged: until its log again holds everything that it may have
// acknowledged, it neither votes nor stands for election. All of that was committed, or may be lost, when a
// leader that it did not help to elect answers a ReadIndex that this member asked for after it came back:
// reached by what it has applied, and has on its own disk, it votes again. Must never say so before that is
// durable.

import type { ConfirmedRead } from '../../raft/io.js';
import type { Raft } from '../../raft/raft.js';
import type { LogIndex } from '../../raft/types.js';

export interface CatchUpOptions {
  readonly raft: Raft;
  /** Apart from all other request ids of this member; random, so that late answers are recognised. */
  readonly firstRequestId: number;
  requestReadIndex(requestId: number): void;
  /** The log holds all again: make that durable, then tell the core. */
  caughtUp(): void;
}

/** Ids from here on are of catching up, those below are of reads. */
export const catchUpRequestIds = 2 ** 50;

export class CatchUp {
  private readonly options: CatchUpOptions;
  private lastRequestId: number;
  /** Asked and not answered. */
  private waitsFor: number | undefined;
  private readIndex: LogIndex | undefined;
  private isOver = false;

  constructor(options: CatchUpOptions) {
    this.options = options;
    this.lastRequestId = catchUpRequestIds + options.firstRequestId;
  }

  /** Asks, asks again, or finishes. Call it from time to time. */
  check(): void {
    if (this.isOver) return;
    const { raft } = this.options;
    if (this.readIndex !== undefined) {
      if (raft.appliedIndex < this.readIndex || raft.durableIndex < this.readIndex) return;
      this.isOver = true;
      this.options.caughtUp();
    } else if (this.waitsFor === undefined && raft.leaderId !== undefined) {
      this.waitsFor = ++this.lastRequestId;
      this.options.requestReadIndex(this.waitsFor);
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
