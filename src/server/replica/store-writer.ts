// Writes the applied state to the store in groups, off every answer's path: one batch at a time, each
// ending with the applied record, so that the store is at any moment exactly the state at its applied
// index. A rejected batch stops the node: what the store holds after that is nobody's to guess.

import type { Millis, TimerHandle, Timers } from '../../base/env.js';
import type { StateMachine } from '../../kv/state-machine.js';
import type { OrderedStore } from '../../kv/store.js';

export interface StoreWriterOptions {
  readonly stateMachine: StateMachine;
  readonly store: OrderedStore;
  readonly timers: Timers;
  readonly groupBytesMax: number;
  readonly groupIntervalMs: Millis;
  /** The active layer must not grow without bound while a batch is slow: above this, applying waits. */
  readonly backlogBytesMax: number;
  /** No entry is half applied: what has gathered is the state at an applied index. */
  mayFreeze(): boolean;
  onFailure(error: Error): void;
  /** Applying may go on, if it waited. */
  onProgress(): void;
}

export class StoreWriter {
  private readonly options: StoreWriterOptions;
  private writing = false;
  private timer: TimerHandle | undefined;
  private halted = false;
  private afterDrain: (() => void) | undefined;

  constructor(options: StoreWriterOptions) {
    this.options = options;
  }

  /** Whether applying must wait for the store to catch up. */
  get isBehind(): boolean {
    return this.writing && this.options.stateMachine.activeBytes > this.options.backlogBytesMax;
  }

  /** Entries without effects count too: an idle node's store catches up with its applied index. */
  private get isBehindApplied(): boolean {
    const { appliedIndex, durableAppliedIndex } = this.options.stateMachine;
    return durableAppliedIndex < appliedIndex;
  }

  /** Something was applied: starts a group when it is large enough, else lets the interval gather more. */
  noteApplied(): void {
    if (this.halted || this.writing) return;
    if (this.options.stateMachine.activeBytes >= this.options.groupBytesMax) this.write();
    else this.timer ??= this.options.timers.set(this.options.groupIntervalMs, () => this.onInterval());
  }

  /** Writes everything applied so far, then calls `done`. Used once, when the node closes. */
  drain(done: () => void): void {
    this.afterDrain = done;
    if (!this.writing) this.write();
  }

  halt(): void {
    this.halted = true;
    this.clearTimer();
  }

  private onInterval(): void {
    this.timer = undefined;
    if (!this.halted && !this.writing) this.write();
  }

  private write(): void {
    this.clearTimer();
    // The end of the entry calls `noteApplied` again.
    if (!this.options.mayFreeze()) return;
    const operations = this.options.stateMachine.freeze();
    if (operations === undefined) {
      this.drained();
      return;
    }
    this.writing = true;
    this.options.store.writeBatch(operations, (error) => {
      this.writing = false;
      if (this.halted) return;
      if (error !== undefined) {
        this.options.onFailure(error);
        return;
      }
      this.options.stateMachine.writeResolved();
      if (this.afterDrain !== undefined) this.write();
      else if (this.isBehindApplied) this.noteApplied();
      this.options.onProgress();
    });
  }

  private drained(): void {
    const done = this.afterDrain;
    this.afterDrain = undefined;
    done?.();
  }

  private clearTimer(): void {
    if (this.timer !== undefined) this.options.timers.clear(this.timer);
    this.timer = undefined;
  }
}
