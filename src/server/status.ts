// One node's own view of itself, for `kvorum status` and the tests: answered at once, without a quorum.

import type { StateMachine } from '../kv/state-machine.js';
import type { OpenStore } from '../kv/store.js';
import type { Raft } from '../raft/raft.js';
import type { NodeStatus } from '../wire/protocol.js';
import type { FormedDisk } from './boot.js';
import type { NodeOptions } from './node.js';

const hashesMax = 64;
/** Stands for the state of a node that has none yet. */
const noHash = '0000000000000000';

export interface StatusSources {
  readonly raft: Raft | undefined;
  /** Both absent while they are being opened. */
  readonly stateMachine?: StateMachine;
  readonly store?: OpenStore;
  readonly disk: FormedDisk | undefined;
}

export function statusOf(
  { nodeId, version, pid }: Pick<NodeOptions, 'nodeId' | 'version' | 'pid'>,
  { raft, stateMachine, store, disk }: StatusSources,
): NodeStatus {
  const appliedIndex = stateMachine?.appliedIndex ?? 0;
  return {
    clusterId: disk?.formation.clusterId ?? '',
    nodeId,
    role: raft?.role ?? 'forming',
    state: raft === undefined ? 'forming' : 'running',
    leaderId: raft?.leaderId,
    term: raft?.currentTerm ?? 0,
    commitIndex: raft?.commitIndex ?? 0,
    appliedIndex,
    revision: stateMachine?.revision ?? 0,
    stateHash: stateMachine?.stateHash ?? noHash,
    stateHashIndex: appliedIndex,
    stateHashes: stateMachine?.stateHashes(hashesMax) ?? [],
    version,
    pid,
    dbBytes: store?.bytesOnDisk() ?? 0,
    logBytes: disk?.wal.logBytes ?? 0,
  };
}
