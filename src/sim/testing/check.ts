// What a test sees of the nodes of its cluster, and the comparison of their states. Reads only.

import { KvorumError } from '../../base/errors.js';
import type { Violation } from '../checkers/violations.js';
import type { Machine } from '../world/machine/machine.js';
import type { World } from '../run/world.js';

/** A node at one moment. Absent while it is not known: the node is down, or not yet part of a cluster. */
export interface NodeView {
  readonly id: string;
  readonly state: 'running' | 'paused' | 'down';
  /** How often it was started. */
  readonly starts: number;
  /** As the node sees itself. */
  readonly role?: string;
  /** Whom the node takes for the leader. */
  readonly leader?: string;
  readonly term?: number;
  readonly lastIndex?: number;
  readonly commitIndex?: number;
  readonly appliedIndex?: number;
  /** Of the store, after what was applied. */
  readonly revision?: number;
  /** Of the replicated state after `appliedIndex`: equal on all nodes that applied as much. */
  readonly stateHash?: string;
}

const traceLinesShown = 30;

export function viewOf({ name: id, process, node, incarnation: starts }: Machine): NodeView {
  const raft = node?.raft;
  if (process === undefined || node === undefined) return { id, state: 'down', starts };
  const state = process.state === 'paused' ? 'paused' : 'running';
  const { stateMachine } = node;
  if (raft === undefined || stateMachine === undefined) return { id, state, starts };
  const { leaderId } = raft;
  return {
    id,
    state,
    starts,
    role: raft.role,
    term: raft.currentTerm,
    lastIndex: raft.lastIndex,
    commitIndex: raft.commitIndex,
    appliedIndex: stateMachine.appliedIndex,
    revision: stateMachine.revision,
    stateHash: stateMachine.stateHash,
    ...(leaderId === undefined ? {} : { leader: leaderId }),
  };
}

/**
 * Compares the states of all nodes that are up, pair by pair, where both have been; adds a violation for the
 * first pair that differs. "If a server has applied a log entry at a given index to its state machine, no
 * other server will ever apply a different log entry for the same index" (§5.4.3).
 */
export function compareReplicas({ machines, violations }: World): void {
  const replicas = machines.flatMap(({ name, node }) =>
    node?.raft === undefined || node.stateMachine === undefined ? [] : [{ name, state: node.stateMachine }],
  );
  for (const [i, { name, state }] of replicas.entries()) {
    for (const other of replicas.slice(i + 1)) {
      const index = Math.min(state.appliedIndex, other.state.appliedIndex);
      const [hash, otherHash] = [state.stateHashAt(index), other.state.stateHashAt(index)];
      const isComparable = hash !== undefined && otherHash !== undefined;
      const isSameContent =
        state.appliedIndex !== other.state.appliedIndex || state.contentHash === other.state.contentHash;
      if ((!isComparable || hash === otherHash) && isSameContent) continue;
      const message = `${name} and ${other.name} have different states at index ${index}`;
      violations.add('stateMachineSafety', 'cluster', message);
      return;
    }
  }
}

/** What is broken, for people. `violations`: one or more. */
export function brokenError(
  violations: readonly Violation[],
  seed: number,
  trace: readonly string[],
): KvorumError {
  const [first] = violations;
  const others = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
  const message =
    `kvorum broke ${first?.id} on ${first?.where}, seed ${seed}: ${first?.message}${others}. This is a bug ` +
    `in kvorum; please report it with the test and this trace:\n${trace.slice(-traceLinesShown).join('\n')}`;
  return new KvorumError('INTERNAL', message, { details: { violations } });
}
