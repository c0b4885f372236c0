// How a member keeps its log short and those who lag behind supplied: the snapshots that it sends as the
// leader, and what it drops of its own log. Only wiring: see snapshot-sender.ts and log-retention.ts.

import type { Clock, Logger, NodeId, Timers } from '../base/env.js';
import type { StateMachine } from '../kv/state-machine.js';
import type { OrderedStore } from '../kv/store.js';
import type { Raft } from '../raft/raft.js';
import type { Wal } from '../storage/wal.js';
import type { TransferFrame } from '../wire/protocol.js';
import { LogRetention } from './log-retention.js';
import type { RaftLoop } from './loop.js';
import type { NodeConfig } from './node-config.js';
import { SnapshotSender } from './snapshot-sender.js';

export interface MemberLogOptions {
  readonly raft: Raft;
  readonly loop: RaftLoop;
  readonly wal: Wal;
  readonly store: OrderedStore;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly config: NodeConfig;
  /** Random. */
  readonly firstTransferId: number;
  sendTransfer(peer: NodeId, frame: TransferFrame): boolean;
}

export function createSender(options: MemberLogOptions): SnapshotSender {
  const { raft, loop, store, stateMachine, clock, timers, logger, config, firstTransferId } = options;
  return new SnapshotSender({
    clock,
    timers,
    logger,
    firstTransferId,
    // What the receiver needs after it must still be in the log when it begins.
    viewEntriesMax: Math.max(1, Math.floor(config.snapshot.logEntriesMax / 2)),
    openView: () => store.openView(),
    durableAppliedIndex: () => stateMachine.durableAppliedIndex,
    matchIndexOf: (peer) => raft.progress().find((progress) => progress.peer === peer)?.matchIndex ?? 0,
    send: (peer, frame) => options.sendTransfer(peer, frame),
    ended: (peer, installed) => loop.step({ kind: 'snapshotEnded', peer, installed }),
  });
}

export function createRetention(options: MemberLogOptions, sender: SnapshotSender): LogRetention {
  const { raft, loop, wal, stateMachine, clock, config } = options;
  const { logEntriesMax, logBytesMax } = config.snapshot;
  return new LogRetention({
    logEntriesMax,
    logBytesMax,
    baseIndex: () => raft.baseIndex,
    lastIndex: () => raft.lastIndex,
    durableAppliedIndex: () => Math.min(stateMachine.durableAppliedIndex, raft.appliedIndex),
    logBytes: () => wal.logBytes,
    sealedThrough: (bytesToKeep) => wal.sealedThrough(bytesToKeep) ?? raft.baseIndex,
    matchIndexes: () => {
      const heardSinceMs = clock.nowMs() - config.raft.electionTimeoutMsMax;
      const live = raft.progress().filter(({ heardMs }) => heardMs >= heardSinceMs);
      return live.map(({ matchIndex }) => matchIndex);
    },
    pinnedIndex: () => sender.pinnedIndex,
    truncate: (index) => loop.truncatePrefix(index),
  });
}
