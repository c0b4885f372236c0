// One node's own view of itself, for `kvorum status` and the tests: answered at once, without a quorum.

import type { StateMachine } from '../../kv/state-machine.js';
import type { OpenStore } from '../../kv/store.js';
import type { Raft } from '../../raft/raft.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { NodeStatus } from '../../wire/protocol.js';
import type { NodeOptions } from '../node.js';

const hashesMax = 64;
/** Stands for the state of a node that has none yet. */
const noHash = '0000000000000000';

export interface StatusSources {
  readonly raft: Raft | undefined;
  /** Both absent while they are being opened. */
  readonly stateMachine?: StateMachine;
  readonly store?: OpenStore;
  readonly formation: Formation | undefined;
  readonly isRecovering: boolean;
  readonly logBytes: number;
}

export function statusOf(
  { nodeId, version, pid }: Pick<NodeOptions, 'nodeId' | 'version' | 'pid'>,
  { raft, stateMachine, store, formation, isRecovering, logBytes }: StatusSources,
): NodeStatus {
  const appliedIndex = stateMachine?.appliedIndex ?? 0;
  return {
    clusterId: formation?.clusterId ?? '',
    nodeId,
    role: raft?.role ?? (isRecovering ? 'recovering' : 'forming'),
    state: stateOf(raft, isRecovering),
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
    logBytes,
  };
}

function stateOf(raft: Raft | undefined, isRecovering: boolean): NodeStatus['state'] {
  if (raft === undefined) return isRecovering ? 'recovering' : 'forming';
  return raft.isCatchingUp ? 'catchingUp' : 'running';
}
