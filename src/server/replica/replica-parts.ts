// Parts of a member that need nothing of it but its loop: the core itself, the snapshots that it sends as the
// leader, what it drops of its own log, the end of sessions, and the way back after its disk was damaged.
// Only wiring: every rule is in the part's own file.

import { Raft } from '../../raft/raft.js';
import { CatchUp } from './catch-up.js';
import type { ClusterClock } from './cluster-clock.js';
import { LogRetention } from '../space/log-retention.js';
import type { RaftLoop } from './loop.js';
import type { MemberOptions } from './replica.js';
import { SessionExpiry } from './session-expiry.js';
import { SnapshotSender } from '../snapshots/sender.js';

export function createRaft(
  { env, nodeId, config, formation, recovered, stateMachine, isCatchingUp }: MemberOptions,
  seed: number,
): Raft {
  return new Raft({
    nodeId,
    config: config.raft,
    configuration: { voters: formation.members.map((member) => member.nodeId), learners: [] },
    recovered,
    appliedIndex: stateMachine.appliedIndex,
    isCatchingUp,
    seed,
    now: env.clock.nowMs(),
  });
}

export function createExpiry(
  { env, stateMachine, config }: MemberOptions,
  loop: RaftLoop,
  clusterClock: ClusterClock,
): SessionExpiry {
  return new SessionExpiry({
    raft: loop.raft,
    stateMachine,
    clusterClock,
    timers: env.timers,
    checkIntervalMs: config.raft.heartbeatIntervalMs,
    propose: (payload) => {
      const result = loop.step({ kind: 'propose', proposals: [{ kind: 'command', payload }] })?.proposal;
      return result?.accepted === true ? result.firstIndex : undefined;
    },
  });
}

export function createCatchUp(options: MemberOptions, loop: RaftLoop, random: number): CatchUp | undefined {
  if (!options.isCatchingUp) return undefined;
  return new CatchUp({
    raft: loop.raft,
    firstRequestId: random * 65_536,
    requestReadIndex: (requestId) => loop.step({ kind: 'readIndex', requestId }),
    caughtUp: () => {
      options.caughtUp();
      loop.step({ kind: 'caughtUp' });
    },
  });
}

export function createSender(
  options: MemberOptions,
  loop: RaftLoop,
  firstTransferId: number,
): SnapshotSender {
  const { env, store, stateMachine, config } = options;
  const { clock, timers, report } = env;
  const { raft } = loop;
  return new SnapshotSender({
    clock,
    timers,
    report,
    firstTransferId,
    // What the receiver needs after it must still be in the log when it begins.
    viewEntriesMax: Math.max(1, Math.floor(config.snapshot.logEntriesMax / 2)),
    chunkBytesMax: config.snapshot.chunkBytes,
    openView: () => store.openView(),
    durableAppliedIndex: () => stateMachine.durableAppliedIndex,
    matchIndexOf: (peer) => raft.progress().find((progress) => progress.peer === peer)?.matchIndex ?? 0,
    send: (peer, frame) => options.sendTransfer(peer, frame),
    damaged: (error) => options.fail(error),
    ended: (peer, installed) => loop.step({ kind: 'snapshotEnded', peer, installed }),
  });
}

export function createRetention(
  { env, wal, stateMachine, config }: MemberOptions,
  loop: RaftLoop,
  sender: SnapshotSender,
): LogRetention {
  const { raft } = loop;
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
      const heardSinceMs = env.clock.nowMs() - config.raft.electionTimeoutMsMax;
      const live = raft.progress().filter(({ heardMs }) => heardMs >= heardSinceMs);
      return live.map(({ matchIndex }) => matchIndex);
    },
    pinnedIndex: () => sender.pinnedIndex,
    truncate: (index) => loop.truncatePrefix(index),
  });
}
