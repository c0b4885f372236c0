// Decides how much of the log is kept: it is cut to about half of its limits when it is over one of them.
// Must never cut what the store does not hold durably. Followers and snapshots that still need a part of the
// log keep it, but not for ever: a limit that any slow peer can lift is none.

import type { NodeEnv } from '../../base/env.js';
import type { NodeConfig } from '../config/node-config.js';
import type { StateMachine } from '../../kv/state-machine.js';
import type { Raft } from '../../raft/raft.js';
import type { LogIndex } from '../../raft/types.js';
import type { Wal } from '../../storage/wal/wal.js';

/** What it looks at of a replica (replica/context.ts). */
export interface LogRetentionContext {
  readonly env: { readonly clock: Pick<NodeEnv['clock'], 'nowMs'> };
  readonly config: {
    readonly snapshot: Pick<NodeConfig['snapshot'], 'logEntriesMax' | 'logBytesMax'>;
    readonly raft: Pick<NodeConfig['raft'], 'electionTimeoutMsMax'>;
  };
  readonly raft: Pick<Raft, 'baseIndex' | 'lastIndex' | 'appliedIndex' | 'progress'>;
  readonly wal: Pick<Wal, 'logBytes' | 'sealedThrough'>;
  readonly stateMachine: Pick<StateMachine, 'durableAppliedIndex'>;
  readonly loop: { truncatePrefix(index: LogIndex): void };
}

/** Snapshots on their way need the entries after this one; `undefined`: none is. */
export interface SnapshotPins {
  readonly pinnedIndex: LogIndex | undefined;
}

/** So many times over its limits the log is kept for live followers, and for snapshots on their way. */
const followersLimit = 2;
const sendsLimit = 4;

export class LogRetention {
  private readonly context: LogRetentionContext;
  private readonly pins: SnapshotPins;

  constructor(context: LogRetentionContext, pins: SnapshotPins) {
    this.context = context;
    this.pins = pins;
  }

  /** Cuts the log if it is over its limits. Cheap: call it whenever the log or the store has moved. */
  check(): void {
    const { config, raft, wal, stateMachine, loop } = this.context;
    const { logEntriesMax, logBytesMax } = config.snapshot;
    const { baseIndex, lastIndex } = raft;
    const entries = lastIndex - baseIndex;
    const bytes = wal.logBytes;
    if (entries <= logEntriesMax && bytes <= logBytesMax) return;
    let index = baseIndex;
    if (entries > logEntriesMax) index = lastIndex - Math.floor(logEntriesMax / 2);
    if (bytes > logBytesMax) {
      index = Math.max(index, wal.sealedThrough(Math.floor(logBytesMax / 2)) ?? baseIndex);
    }
    index = Math.min(index, stateMachine.durableAppliedIndex, raft.appliedIndex);
    const excess = Math.max(entries / logEntriesMax, bytes / logBytesMax);
    if (excess <= followersLimit) index = Math.min(index, ...this.liveMatchIndexes());
    if (excess <= sendsLimit) index = Math.min(index, this.pins.pinnedIndex ?? index);
    if (index > baseIndex) loop.truncatePrefix(index);
  }

  /** While leading: the matchIndex of each other member heard within the election timeout. Else empty. */
  private liveMatchIndexes(): LogIndex[] {
    const { env, config, raft } = this.context;
    const heardSinceMs = env.clock.nowMs() - config.raft.electionTimeoutMsMax;
    const live = raft.progress().filter(({ heardMs }) => heardMs >= heardSinceMs);
    return live.map(({ matchIndex }) => matchIndex);
  }
}
