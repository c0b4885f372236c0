// Writes the applied state to the store in groups, off every answer's path: one batch at a time, each
// ending with the applied record, so that the store is at any moment exactly the state at its applied
// index. A rejected batch stops the node: what the store holds after that is nobody's to guess.

import type { NodeEnv, TimerHandle } from '../../base/env.js';
import type { NodeConfig } from '../config/node-config.js';
import type { ReplicaContext } from './context.js';

/** The active layer must not grow without bound while a batch is slow: at so many groups applying waits. */
const backlogGroups = 4;

export interface StoreWriterContext extends Pick<ReplicaContext, 'stateMachine' | 'store' | 'fail'> {
  readonly env: Pick<NodeEnv, 'timers'>;
  readonly config: Pick<NodeConfig, 'store'>;
}

/** What the writer needs of its replica. */
export interface StoreWriterHost {
  /** No entry is half applied: what has gathered is the state at an applied index. */
  mayFreeze(): boolean;
  /** Applying may go on, if it waited. */
  onProgress(): void;
}

export class StoreWriter {
  private readonly context: StoreWriterContext;
  private readonly host: StoreWriterHost;
  private writing = false;
  private timer: TimerHandle | undefined;
  private halted = false;
  private afterDrain: (() => void) | undefined;

  constructor(context: StoreWriterContext, host: StoreWriterHost) {
    this.context = context;
    this.host = host;
  }

  /** Whether applying must wait for the store to catch up. */
  get isBehind(): boolean {
    const { stateMachine, config } = this.context;
    return this.writing && stateMachine.activeBytes > backlogGroups * config.store.groupBytesMax;
  }

  /** Entries without effects count too: an idle node's store catches up with its applied index. */
  private get isBehindApplied(): boolean {
    const { appliedIndex, durableAppliedIndex } = this.context.stateMachine;
    return durableAppliedIndex < appliedIndex;
  }

  /** Something was applied: starts a group when it is large enough, else lets the interval gather more. */
  noteApplied(): void {
    if (this.halted || this.writing) return;
    const { stateMachine, config, env } = this.context;
    if (stateMachine.activeBytes >= config.store.groupBytesMax) this.write();
    else this.timer ??= env.timers.set(config.store.groupIntervalMs, () => this.onInterval());
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
    if (!this.host.mayFreeze()) return;
    const operations = this.context.stateMachine.freeze();
    if (operations === undefined) {
      this.drained();
      return;
    }
    this.writing = true;
    this.context.store.writeBatch(operations, (error) => {
      this.writing = false;
      if (this.halted) return;
      if (error !== undefined) {
        this.context.fail(error);
        return;
      }
      this.context.stateMachine.writeResolved();
      if (this.afterDrain !== undefined) this.write();
      else if (this.isBehindApplied) this.noteApplied();
      this.host.onProgress();
    });
  }

  private drained(): void {
    const done = this.afterDrain;
    this.afterDrain = undefined;
    done?.();
  }

  private clearTimer(): void {
    if (this.timer !== undefined) this.context.env.timers.clear(this.timer);
    this.timer = undefined;
  }
}
