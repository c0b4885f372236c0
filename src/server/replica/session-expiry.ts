// The leader's part in ending sessions: when one is due by the cluster time it proposes an entry that says
// so; `apply` checks the deadline again. One such entry at a time; an idle cluster writes none.

import type { Timers } from '../../base/env.js';
import type { StateMachine } from '../../kv/state-machine.js';
import type { Raft } from '../../raft/raft.js';
import type { LogIndex } from '../../raft/types.js';
import { encodeCommand } from '../../wire/commands/command-codec.js';
import { encodeEntryPayload } from '../../wire/commands/entry-codec.js';
import type { ClusterClock } from './cluster-clock.js';

export interface SessionExpiryOptions {
  readonly raft: Raft;
  readonly stateMachine: StateMachine;
  readonly clusterClock: ClusterClock;
  readonly timers: Timers;
  readonly checkIntervalMs: number;
  /** Appends one entry; its index, or `undefined` when it was refused. */
  propose(payload: Uint8Array): LogIndex | undefined;
}

export class SessionExpiry {
  private readonly options: SessionExpiryOptions;
  /** An entry is on its way. */
  private proposed = false;
  private halted = false;

  constructor(options: SessionExpiryOptions) {
    this.options = options;
  }

  /** What was proposed may never be applied. */
  leadershipEnded(): void {
    this.proposed = false;
  }

  halt(): void {
    this.halted = true;
  }

  /** Proposes the end of sessions if one is due. */
  check(): void {
    const { raft, stateMachine, clusterClock } = this.options;
    if (raft.role !== 'leader' || raft.isTransferring || this.proposed) return;
    const deadlineMs = stateMachine.nextSessionDeadlineMs;
    if (deadlineMs === undefined || deadlineMs > clusterClock.timeMs) return;
    const command = encodeCommand({ kind: 'expireSessions' });
    const index = this.options.propose(encodeEntryPayload(clusterClock.stamp(), [command]));
    if (index === undefined) return;
    // The next is due when this one has been applied, or was lost with the leadership.
    this.proposed = true;
    this.awaitApplied(index);
  }

  private awaitApplied(index: LogIndex): void {
    const { raft, stateMachine, timers, checkIntervalMs } = this.options;
    timers.set(checkIntervalMs, () => {
      if (this.halted) return;
      if (stateMachine.appliedIndex >= index || raft.role !== 'leader') this.proposed = false;
      else this.awaitApplied(index);
    });
  }
}
