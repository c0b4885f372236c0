// The state of the cluster: asks every member at once and puts the answers together. A node that does not
// answer is part of the picture, not an error. The answers are of slightly different moments; nothing here is
// linearizable.

import { KvorumError } from '../base/errors.js';
import type { NodeStatus } from '../wire/clients/status.js';
import type { StatusAnswer } from '../wire/clients/answers.js';
import type { ClientEngine } from './engine/engine.js';
import type { ClusterStatus, NodeReport } from './options.js';
import type { EngineStatus } from './engine/requests.js';

/** How long one node may take when the caller would wait longer. */
const nodeTimeoutMs = 2_000;

export async function readStatus(
  engine: ClientEngine,
  timeoutMs: number,
  ask: (request: EngineStatus, timeoutMs: number) => Promise<StatusAnswer>,
): Promise<ClusterStatus> {
  const nodes = await Promise.all(
    engine.nodes().map(async ({ nodeId, address }): Promise<NodeReport> => {
      try {
        const answer = await ask({ kind: 'status', endpoint: address }, Math.min(timeoutMs, nodeTimeoutMs));
        return { id: answer.status.nodeId, address, reachable: true, ...factsOf(answer.status) };
      } catch (error) {
        if (!KvorumError.is(error)) throw error;
        // That the caller or the client gave up says nothing about the node.
        if (error.code === 'ABORTED' || error.code === 'CLOSED') throw error;
        return { id: nodeId ?? address, address, reachable: false, reason: error.message };
      }
    }),
  );
  let term = 0;
  let leader: string | undefined;
  for (const node of nodes) {
    if (node.term === undefined || node.term < term) continue;
    if (node.term > term) leader = undefined;
    term = node.term;
    if (node.role === 'leader') leader = node.id;
  }
  return { clusterId: engine.clusterId, leader, term, nodes };
}

/** What a report shows of a node's own view. */
function factsOf(status: NodeStatus): Partial<NodeReport> {
  return {
    role: status.role,
    state: status.state,
    pid: status.pid,
    term: status.term,
    commitIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    revision: status.revision,
    stateHash: status.stateHash,
    stateHashIndex: status.stateHashIndex,
    version: status.version,
    dbBytes: status.dbBytes,
    logBytes: status.logBytes,
    formatLevel: status.formatLevel,
    formatLevelMax: status.formatLevelMax,
    protocolMax: status.protocolMax,
    difference: status.difference,
    trouble: status.trouble,
  };
}
