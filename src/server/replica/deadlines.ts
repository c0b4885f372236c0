// The leader's part in ending what lives until a time: when something in the replicated tables is due by the
// cluster time it proposes an entry that says so; `apply` checks the deadlines again. One such entry at a
// time; an idle cluster writes none.

import type { LogIndex } from '../../raft/types.js';
import { encodeCommand } from '../../wire/commands/command-codec.js';
import { encodeEntryPayload } from '../../wire/commands/entry-codec.js';
import type { ClusterClock } from './cluster-clock.js';
import type { ReplicaContext } from './context.js';

export interface DeadlinesContext extends Pick<ReplicaContext, 'config' | 'software' | 'formatLevel'> {
  readonly env: Pick<ReplicaContext['env'], 'timers'>;
  readonly stateMachine: Pick<ReplicaContext['stateMachine'], 'appliedIndex' | 'nextDeadlineMs'>;
  readonly raft: Pick<ReplicaContext['raft'], 'role' | 'isTransferring'>;
  readonly loop: Pick<ReplicaContext['loop'], 'step'>;
}

export class Deadlines {
  private readonly context: DeadlinesContext;
  private readonly clusterClock: Pick<ClusterClock, 'timeMs' | 'stamp'>;
  /** An entry is on its way. */
  private proposed = false;
  private halted = false;

  constructor(context: DeadlinesContext, clusterClock: Pick<ClusterClock, 'timeMs' | 'stamp'>) {
    this.context = context;
    this.clusterClock = clusterClock;
  }

  /** What was proposed may never be applied. */
  leadershipEnded(): void {
    this.proposed = false;
  }

  halt(): void {
    this.halted = true;
  }

  /** Proposes that what is due ends, if anything is. */
  check(): void {
    const { raft, stateMachine, software, formatLevel } = this.context;
    if (raft.role !== 'leader' || raft.isTransferring || this.proposed) return;
    const deadlineMs = stateMachine.nextDeadlineMs;
    if (deadlineMs === undefined || deadlineMs > this.clusterClock.timeMs) return;
    if (software.commandLevels.expireTables > formatLevel) return;
    const command = encodeCommand({ kind: 'expireTables' });
    const times = this.clusterClock.stamp();
    const index = this.propose(encodeEntryPayload(times, formatLevel, [command]));
    if (index === undefined) return;
    // The next is due when this one has been applied, or was lost with the leadership.
    this.proposed = true;
    this.awaitApplied(index);
  }

  /** Appends one entry; its index, or `undefined` when it was refused. */
  private propose(payload: Uint8Array): LogIndex | undefined {
    const { loop } = this.context;
    const result = loop.step({ kind: 'propose', proposals: [{ kind: 'command', payload }] })?.proposal;
    return result?.accepted === true ? result.firstIndex : undefined;
  }

  private awaitApplied(index: LogIndex): void {
    const { raft, stateMachine, env, config } = this.context;
    env.timers.set(config.raft.heartbeatIntervalMs, () => {
      if (this.halted) return;
      if (stateMachine.appliedIndex >= index || raft.role !== 'leader') this.proposed = false;
      else this.awaitApplied(index);
    });
  }
}
