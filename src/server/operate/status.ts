// One node's own view of itself, for `kvorum status` and the tests: answered at once, without a quorum. Made
// from its standing alone, and here alone.

import { assertNever } from '../../base/assert.js';
import type { NodeId } from '../../base/env.js';
import type { Software } from '../../kv/format-level.js';
import type { NodeStatus } from '../../wire/clients/status.js';
import { fieldLimits } from '../../wire/limits.js';
import { ownVersions } from '../../wire/versions.js';
import { formatLevelOf, formationOf, storeOf, type Standing } from '../life/standing.js';

/** Stands for the state of a node that has none yet. */
const noHash = '0'.repeat(fieldLimits.hashDigits);

/** What does not change while a process runs. */
export interface ProcessFacts {
  readonly nodeId: NodeId;
  readonly software: Software;
  readonly version: string;
  readonly pid: number;
}

export function statusOf({ nodeId, software, version, pid }: ProcessFacts, standing: Standing): NodeStatus {
  const opened = storeOf(standing);
  const stateMachine = opened?.stateMachine;
  const appliedIndex = stateMachine?.appliedIndex ?? 0;
  return {
    clusterId: formationOf(standing)?.clusterId ?? '',
    nodeId,
    ...consensusOf(standing),
    appliedIndex,
    revision: stateMachine?.revision ?? 0,
    stateHash: stateMachine?.stateHash ?? noHash,
    stateHashIndex: appliedIndex,
    stateHashes: stateMachine?.stateHashes(fieldLimits.stateHashesMax) ?? [],
    version,
    pid,
    dbBytes: opened?.store.bytesOnDisk() ?? 0,
    formatLevel: levelIn(standing),
    formatLevelMax: software.formatLevelMax,
    protocolMax: ownVersions.protocolMax,
    difference: differenceIn(standing),
    trouble: standing.kind === 'running' ? standing.replica.vigil.trouble : '',
    logBytes: standing.kind === 'running' ? standing.wal.logBytes : 0,
  };
}

function differenceIn(standing: Standing): string | undefined {
  const difference = standing.kind === 'running' ? standing.replica.hashDifference : undefined;
  if (difference === undefined) return undefined;
  const list = difference.hashes.map(([node, hash]) => `${node} ${hash}`).join(', ');
  return `members differ in their state after entry ${difference.index}: ${list}`.slice(
    0,
    fieldLimits.messageLengthMax,
  );
}

function levelIn(standing: Standing): number {
  return standing.kind === 'recovering' || standing.kind === 'running' ? formatLevelOf(standing) : 0;
}

function consensusOf(
  standing: Standing,
): Pick<NodeStatus, 'role' | 'state' | 'leaderId' | 'term' | 'commitIndex'> {
  const none = { leaderId: undefined, term: 0, commitIndex: 0 };
  switch (standing.kind) {
    case 'opening':
    case 'forming':
      return { role: 'forming', state: 'forming', ...none };
    case 'recovering':
      return { role: 'recovering', state: 'recovering', ...none };
    case 'running': {
      const { role, isCatchingUp, leaderId, currentTerm: term, commitIndex } = standing.replica.raft;
      return { role, state: isCatchingUp ? 'catchingUp' : 'running', leaderId, term, commitIndex };
    }
    default:
      return assertNever(standing);
  }
}
