// The errors of a node whose data contradicts what a majority of the members agrees on, in words for whoever
// operates it: what was found, that nobody else is harmed, and what there is to do. Pure.

import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Contradiction } from '../../raft/io.js';
import type { HashDifference } from './hash-comparison.js';

/** In `details`: only a state can be replaced by that of the others, a history may be the only copy. */
type Diverged = 'history' | 'state';

/** At the member: what it knows to be committed is not in the log of the leader. */
export function historyError(contradiction: Contradiction): KvorumError {
  const { memberId, leaderId, index, memberTerm, leaderTerm, term } = contradiction;
  const own = memberTerm === undefined ? '' : ` in term ${memberTerm}`;
  const other =
    leaderTerm === undefined
      ? 'has a log that ends before it'
      : `has another entry there, of term ${leaderTerm}`;
  const fact = `node ${memberId} holds entry ${index} as committed${own}`;
  const cause =
    'the disk of a member was set back to an earlier time, and acknowledged writes are lost to the others';
  return new KvorumError(
    'DIVERGED',
    `${fact}, but node ${leaderId}, which leads term ${term}, ${other}: ${cause}; ${historyAdvice}`,
    { details: { diverged: 'history' satisfies Diverged, index, leaderId, term } },
  );
}

const historyAdvice =
  'keep a copy of this data folder, the only one that has them, and find out which disk was set back';

/** At a member whose state is another one than that of a majority under the same index. */
export function stateError(nodeId: NodeId, { index, hashes }: HashDifference): KvorumError {
  const list = hashes.map(([node, hash]) => `${node} ${hash}`).join(', ');
  const fact = `the state of node ${nodeId} after entry ${index} is not that of a majority (${list})`;
  const advice =
    'its store is damaged, or its software: copy this data folder to find out why; ' +
    'at its next start the node takes its state from the other members';
  return new KvorumError('DIVERGED', `${fact}: ${advice}`, {
    details: { diverged: 'state' satisfies Diverged, index },
  });
}
