// One node's own view of itself, for `kvorum status` and the tests: answered at once, without a quorum.

import type { StateMachine } from '../kv/state-machine.js';
import type { Raft } from '../raft/raft.js';
import type { NodeStatus } from '../wire/protocol.js';
import type { FormedDisk } from './boot.js';
import type { NodeOptions } from './node.js';

const hashesMax = 64;

export interface StatusSources {
  readonly raft: Raft | undefined;
  readonly stateMachine: StateMachine;
  readonly disk: FormedDisk | undefined;
}

export function statusOf(
  { nodeId, version, pid, dbBytes }: Pick<NodeOptions, 'nodeId' | 'version' | 'pid' | 'dbBytes'>,
  { raft, stateMachine, disk }: StatusSources,
): NodeStatus {
  const { appliedIndex, revision, stateHash } = stateMachine;
  return {
    clusterId: disk?.formation.clusterId ?? '',
    nodeId,
    role: raft?.role ?? 'forming',
    leaderId: raft?.leaderId,
    term: raft?.currentTerm ?? 0,
    commitIndex: raft?.commitIndex ?? 0,
    appliedIndex,
    revision,
    stateHash,
    stateHashIndex: appliedIndex,
    stateHashes: stateMachine.stateHashes(hashesMax),
    version,
    pid,
    dbBytes: dbBytes?.() ?? 0,
    logBytes: disk?.wal.logBytes ?? 0,
  };
}
