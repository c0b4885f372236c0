// What a leader sends, for tests of one follower: n2 leads term 5 and speaks to n1. And what a member sent
// last.

import type { AppendEntries, Message } from '../../src/raft/messages.js';
import type { LogEntry, Term } from '../../src/raft/types.js';
import type { VirtualCluster } from './virtual-cluster.js';

/** One entry of each term. */
export function entriesFrom(firstIndex: number, terms: readonly Term[]): LogEntry[] {
  return terms.map((term, position) => {
    const index = firstIndex + position;
    return { index, term, kind: 'command', payload: Buffer.from(`${index}/${term}`) };
  });
}

/** AppendEntries as an input: after `prev` (index, term) one entry of each term. */
export function append(prev: [number, number], terms: Term[], part: Partial<AppendEntries> = {}) {
  const [prevLogIndex, prevLogTerm] = prev;
  const entries = entriesFrom(prevLogIndex + 1, terms);
  const message: AppendEntries = {
    ...{
      kind: 'appendEntries',
      from: 'n2',
      to: 'n1',
      term: 5,
      prevLogIndex,
      prevLogTerm,
      entries,
      leaderCommit: 0,
    },
    ...part,
  };
  return { kind: 'message', message } as const;
}

/** What left in the last step of a member, at once or with a unit. */
export function lastSent(cluster: VirtualCluster, nodeId: string): Message[] {
  const output = cluster.member(nodeId).lastOutput;
  return [...(output?.messages ?? []), ...(output?.messagesAfterPersist ?? [])];
}
