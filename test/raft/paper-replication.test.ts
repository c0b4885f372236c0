// The paper's rules about the log, one test each, with the section in the name.

import { describe, expect, it } from 'vitest';
import type { AppendEntries } from '../../src/raft/messages.js';
import type { Term } from '../../src/raft/types.js';
import { append, entriesFrom, lastSent } from './leader-messages.js';
import { VirtualCluster } from './virtual-cluster.js';

const three = ['n1', 'n2', 'n3'];

function led(options: { slowDisks?: boolean } = {}): VirtualCluster {
  const cluster = new VirtualCluster({ voters: three });
  cluster.elect('n1');
  cluster.pass(100);
  cluster.slowDisks = options.slowDisks ?? false;
  return cluster;
}

/** n1 with a log of these terms, in the last of them. */
function follower(terms: Term[], commitIndex = 0): VirtualCluster {
  const currentTerm = terms.at(-1) ?? 0;
  return new VirtualCluster({ voters: three }, { n1: { terms, currentTerm, commitIndex } });
}

function termsOf(cluster: VirtualCluster, nodeId: string): (Term | undefined)[] {
  const raft = cluster.raft(nodeId);
  return Array.from({ length: raft.lastIndex }, (_, position) => raft.termAt(position + 1));
}

describe('AppendEntries at the follower', () => {
  it('§5.3: refuses without the entry before, and hints at the end of an older term', () => {
    const cluster = follower([1, 1, 2, 2, 2]);
    cluster.step('n1', append([9, 4], [5]));
    expect(lastSent(cluster, 'n1')).toMatchObject([
      { success: false, matchIndex: 9, hintIndex: 5, hintTerm: 2 },
    ]);
    cluster.step('n1', append([4, 1], [5]));
    expect(lastSent(cluster, 'n1')).toMatchObject([
      { success: false, matchIndex: 4, hintIndex: 2, hintTerm: 1 },
    ]);
    expect(termsOf(cluster, 'n1')).toEqual([1, 1, 2, 2, 2]);
  });

  it('§5.3: removes a conflicting entry and all that follow it, and appends the new ones', () => {
    const cluster = follower([1, 1, 2, 2]);
    const output = cluster.step('n1', append([2, 1], [4]));
    expect(output.truncateSuffix).toBe(3);
    expect(output.entries.map(({ index }) => index)).toEqual([3]);
    expect(termsOf(cluster, 'n1')).toEqual([1, 1, 4]);
  });

  it('§5.3: a message that ends before the log does removes nothing (it may be an old one)', () => {
    const cluster = follower([1, 1, 2, 2]);
    const output = cluster.step('n1', append([1, 1], [1, 2]));
    expect(output.truncateSuffix).toBeUndefined();
    expect(output.entries).toEqual([]);
    expect(termsOf(cluster, 'n1')).toEqual([1, 1, 2, 2]);
    expect(output.messagesAfterPersist, 'only what it verified').toMatchObject([
      { success: true, matchIndex: 3 },
    ]);
  });

  it('§5.3: of entries known in part, only the new ones go to disk', () => {
    const cluster = follower([1, 1]);
    const output = cluster.step('n1', append([0, 0], [1, 1, 3, 5]));
    expect(output.truncateSuffix).toBeUndefined();
    expect(output.entries.map(({ index }) => index)).toEqual([3, 4]);
  });

  it('§5.3: acknowledges when the entries are durable, also those it received before', () => {
    const cluster = follower([]);
    cluster.slowDisks = true;
    cluster.step('n1', append([0, 0], [5]));
    cluster.step('n1', append([0, 0], [5]));
    expect(cluster.network).toEqual([]);
    cluster.persist('n1');
    expect(cluster.network).toMatchObject([{ matchIndex: 1 }, { matchIndex: 1 }]);
  });

  it('Figure 2: commits through min(leaderCommit, the last entry that the message verified)', () => {
    const cluster = follower([1, 1, 2, 2]);
    cluster.step('n1', append([1, 1], [1], { leaderCommit: 4 }));
    expect(cluster.raft('n1').commitIndex).toBe(2);
    cluster.step('n1', append([2, 1], [5, 5], { leaderCommit: 3 }));
    expect(cluster.raft('n1').commitIndex).toBe(3);
    cluster.step('n1', append([0, 0], [1], { leaderCommit: 1 }));
    expect(cluster.raft('n1').commitIndex).toBe(3);
  });

  it('an old message from below the commit index is acknowledged through it', () => {
    const cluster = follower([1, 1, 2], 3);
    cluster.step('n1', append([0, 0], [1]));
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: true, matchIndex: 3 }]);
    cluster.step('n1', append([1, 1], [1, 2, 5]));
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: true, matchIndex: 4 }]);
  });

  it('stops when a leader contradicts what is committed, rather than remove it', () => {
    const cluster = follower([1, 1, 2], 3);
    cluster.mayContradict = true;
    const { contradiction } = cluster.step('n1', append([1, 1], [1, 3, 5]));
    expect(contradiction).toMatchObject({ index: 3, memberTerm: 2, leaderTerm: 3 });
    expect(termsOf(cluster, 'n1')).toEqual([1, 1, 2]);
  });

  it.each<[string, Partial<AppendEntries>, RegExp]>([
    ['entries that leave a gap', { entries: entriesFrom(4, [5]) }, /has entry 4 where 3 follows/],
    ['terms that go back', { entries: entriesFrom(3, [4, 3]) }, /entry 4 of term 3 after term 4/],
    ['an entry of a later term than its own', { entries: entriesFrom(3, [9]) }, /term 9, after its own/],
    ['another receiver', { to: 'n3' }, /not to n1/],
  ])('refuses a message with %s, and nothing has changed', (_what, part, message) => {
    const cluster = follower([1, 1]);
    expect(() => cluster.step('n1', append([2, 1], [5], part))).toThrow(message);
    expect(cluster.raft('n1').currentTerm).toBe(1);
    expect(termsOf(cluster, 'n1')).toEqual([1, 1]);
  });
});

describe('replication by the leader', () => {
  it('§5.3: an entry is committed when a majority has it on disk, the leader counted like any other', () => {
    const cluster = led({ slowDisks: true });
    cluster.propose('n1', 'a');
    cluster.stabilize();
    const raft = cluster.raft('n1');
    cluster.persist('n1');
    expect(raft.commitIndex).toBe(1);
    cluster.persist('n2');
    cluster.stabilize();
    expect(raft.commitIndex).toBe(2);

    cluster.propose('n1', 'b');
    cluster.stabilize();
    for (const nodeId of ['n2', 'n3']) while (cluster.persist(nodeId));
    cluster.stabilize();
    expect(raft.commitIndex, 'two followers are a majority').toBe(3);
    expect(raft.handedOutIndex, 'but what is not on its own disk is not applied').toBe(2);
    while (cluster.persist('n1'));
    expect(raft.handedOutIndex).toBe(3);
  });

  it('§5.3: an entry is sent to all at once, and sent again until it is acknowledged', () => {
    const cluster = led();
    let losing = true;
    cluster.passes = ({ kind, to }) => !(losing && kind === 'appendEntries' && to === 'n3');
    const output = cluster.propose('n1', 'a', 'b', 'c');
    expect(output.messages.map(({ to }) => to)).toEqual(['n2', 'n3']);
    cluster.pass(300);
    expect(cluster.raft('n3').lastIndex).toBe(1);
    losing = false;
    cluster.pass(150);
    expect(cluster.raft('n3').commitIndex).toBe(4);
  });

  it('§5.3: a follower learns of a commit soon, also when no entries follow', () => {
    const cluster = led();
    cluster.propose('n1', 'a');
    cluster.pass(6);
    expect(cluster.raft('n3').commitIndex).toBe(2);
  });

  it('§8: a new leader appends an entry of its own term, and with it commits what was there', () => {
    const preset = { terms: [1, 2, 2], currentTerm: 2, commitIndex: 1 };
    const cluster = new VirtualCluster({ voters: three }, { n1: preset, n2: preset, n3: preset });
    cluster.elect('n1');
    expect(cluster.raft('n1').commitIndex).toBe(4);
    expect(cluster.member('n1').applied.map(({ term }) => term)).toEqual([1, 2, 2, 3]);
  });

  it('§10.2.1: the leader sends entries while its own disk is still writing them', () => {
    const cluster = led({ slowDisks: true });
    const output = cluster.propose('n1', 'a');
    expect(output.persist).toBeDefined();
    expect(output.messages.map(({ kind }) => kind)).toEqual(['appendEntries', 'appendEntries']);
  });

  it('§10.2.2: entries are pipelined within the window, one message for what one step brings', () => {
    const cluster = led();
    for (const payload of ['a', 'b', 'c']) cluster.propose('n1', payload);
    const toN2 = cluster.network.filter(({ to }) => to === 'n2') as AppendEntries[];
    expect(toN2.map(({ prevLogIndex, entries }) => [prevLogIndex, entries.length])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ]);
    cluster.stabilize();
    cluster.propose('n1', 'd', 'e', 'f');
    expect(cluster.network.map(({ to }) => to)).toEqual(['n2', 'n3']);
  });

  it('nobody can make the leader believe in what it never sent', () => {
    const cluster = led();
    const result = { from: 'n2', to: 'n1', term: 1 } as const;
    const acknowledgement = { ...result, kind: 'appendEntriesResult', success: true, matchIndex: 9 } as const;
    const wrong = { kind: 'message', message: { ...acknowledgement, hintIndex: 0, hintTerm: 0 } } as const;
    cluster.mayContradict = true;
    const output = cluster.step('n1', wrong);
    expect(output.contradiction).toEqual({
      term: 1,
      leaderId: 'n1',
      memberId: 'n2',
      index: 9,
      memberTerm: undefined,
      leaderTerm: undefined,
    });
    expect(cluster.raft('n1').progress()[0]).toMatchObject({ peer: 'n2', matchIndex: 1 });
    const answer = { ...result, kind: 'heartbeatResult', round: 99, commitIndex: 0, commitTerm: 0 } as const;
    const round = { kind: 'message', message: answer } as const;
    expect(() => cluster.step('n1', round)).toThrow(/acknowledges round 99/);
  });

  it('are not followed by who never acknowledged what a heartbeat says, in this term or a later one', () => {
    const cluster = new VirtualCluster({ voters: ['n1', 'n2', 'n3'] });
    for (const term of [1, 2]) {
      const before = cluster.raft('n1').currentTerm;
      const heartbeat = { kind: 'heartbeat', from: 'n2', to: 'n1', term, leaderCommit: 9, round: 1 } as const;
      const hear = (): unknown => cluster.step('n1', { kind: 'message', message: heartbeat });
      expect(hear).toThrow(/entry 9 was acknowledged; the log here ends at/);
      expect(cluster.raft('n1').currentTerm).toBe(before);
    }
  });
});

describe('leadership transfer', () => {
  it('§3.10: goes to the member that is furthest when none is named, and refuses proposals meanwhile', () => {
    const cluster = led();
    cluster.passes = ({ to }) => to !== 'n2';
    cluster.propose('n1', 'a');
    cluster.stabilize();
    cluster.passes = () => true;
    cluster.step('n1', { kind: 'transferLeadership' });
    expect(cluster.raft('n1').isTransferring).toBe(true);
    expect(cluster.propose('n1', 'b').proposal).toEqual({ accepted: false, reason: 'transferring' });
    cluster.stabilize();
    expect(cluster.leader?.nodeId).toBe('n3');
    expect(cluster.leader?.currentTerm).toBe(2);
    expect(cluster.propose('n1', 'c').proposal).toEqual({ accepted: false, reason: 'notLeader' });
  });

  it('§3.10: is given up after an election timeout, and a TimeoutNow that was lost is sent again', () => {
    const cluster = led();
    cluster.passes = ({ kind }) => kind !== 'timeoutNow';
    cluster.step('n1', { kind: 'transferLeadership', to: 'n3' });
    cluster.pass(300);
    cluster.passes = () => true;
    cluster.pass(60);
    expect(cluster.leader?.nodeId).toBe('n3');

    cluster.crash('n2');
    cluster.step('n3', { kind: 'transferLeadership', to: 'n2' });
    cluster.pass(590);
    expect(cluster.propose('n3', 'a').proposal).toMatchObject({ reason: 'transferring' });
    cluster.pass(20);
    expect(cluster.propose('n3', 'a').proposal).toMatchObject({ accepted: true });
  });

  it.each(['n1', 'stranger', 'l1'])('§3.10: has no effect for %s, which cannot lead next', (to) => {
    const cluster = new VirtualCluster({ voters: three, learners: ['l1'] });
    cluster.elect('n1');
    cluster.step('n1', { kind: 'transferLeadership', to });
    expect(cluster.raft('n1').isTransferring).toBe(false);
  });
});
