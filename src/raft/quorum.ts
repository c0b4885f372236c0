// Majorities, of one set of voters or of two at once. During joint consensus "agreement (for elections and
// entry commitment) requires separate majorities from both the old and new configurations" (dissertation
// §4.3); a set that unites both would let two leaders be elected. Pure functions; they never
// look at who is alive.

import { assert } from '../base/assert.js';
import type { Configuration, NodeId } from './types.js';

/** Votes as they came in: true granted, false refused, absent not known. Only those of voters are counted. */
export type Votes = ReadonlyMap<NodeId, boolean>;

export type VoteResult = 'won' | 'lost' | 'pending';

/** Whether `node` votes in the configuration, or in the outgoing one while a change is under way. */
export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node) || (configuration.outgoingVoters?.includes(node) ?? false);
}

/** Whether `node` has any part in the configuration. */
export function isMember(configuration: Configuration, node: NodeId): boolean {
  return isVoter(configuration, node) || configuration.learners.includes(node);
}

/** All members but `node`, each once, in the order of the configuration. */
export function peersOf(configuration: Configuration, node: NodeId): NodeId[] {
  const members = new Set<NodeId>(configuration.voters);
  for (const voter of configuration.outgoingVoters ?? []) members.add(voter);
  for (const learner of configuration.learners) members.add(learner);
  members.delete(node);
  return [...members];
}

/** Won when every majority needed has granted; lost when one of them cannot be reached any more. */
export function voteResult(configuration: Configuration, votes: Votes): VoteResult {
  const incoming = majorityResult(configuration.voters, votes);
  if (configuration.outgoingVoters === undefined) return incoming;
  const outgoing = majorityResult(configuration.outgoingVoters, votes);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}

/**
 * The largest value that a quorum has reached, where `valueOf` is what each voter has reached: the commit
 * index from match indexes, the confirmed round from acknowledged rounds, the time a quorum was heard from.
 */
export function quorumValue(configuration: Configuration, valueOf: (node: NodeId) => number): number {
  const incoming = majorityValue(configuration.voters, valueOf);
  if (configuration.outgoingVoters === undefined) return incoming;
  return Math.min(incoming, majorityValue(configuration.outgoingVoters, valueOf));
}

function majorityResult(voters: readonly NodeId[], votes: Votes): VoteResult {
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const majority = majorityOf(voters);
  if (granted >= majority) return 'won';
  return voters.length - refused < majority ? 'lost' : 'pending';
}

function majorityValue(voters: readonly NodeId[], valueOf: (node: NodeId) => number): number {
  assert(voters.length > 0, 'a configuration without voters has no majority');
  const values = voters.map(valueOf).sort(descending);
  return values[majorityOf(voters) - 1] as number;
}

function majorityOf(voters: readonly NodeId[]): number {
  return Math.floor(voters.length / 2) + 1;
}

function descending(a: number, b: number): number {
  // Not b - a: that is NaN for two infinities.
  return a === b ? 0 : a < b ? 1 : -1;
}
