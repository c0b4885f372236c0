// The rules of logs that begin after 1, of members that need a snapshot and of members that lost their log,
// one test each. Sections are the dissertation's; other names are bugs of other systems.

import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/base/assert.js';
import type { Message } from '../../src/raft/messages.js';
import type { PeerProgress } from '../../src/raft/raft.js';
import { installedState } from '../../src/raft/snapshot.js';
import type { Term } from '../../src/raft/types.js';
import { append, lastSent } from './leader-messages.js';
import { VirtualCluster } from './virtual-cluster.js';

const three = ['n1', 'n2', 'n3'];

/** n1 leads term 1; all have entries 1 to 4 and have applied them. */
function led(): VirtualCluster {
  const cluster = new VirtualCluster({ voters: three });
  cluster.elect('n1');
  cluster.propose('n1', 'a', 'b', 'c');
  cluster.pass(100);
  cluster.slowSendings = true;
  return cluster;
}

/** The same, but n3 misses entries 3 to 6, of which n1 has truncated all but 6; then it is heard again. */
function withLaggard(): VirtualCluster {
  const cluster = new VirtualCluster({ voters: three });
  cluster.slowSendings = true;
  cluster.elect('n1');
  cluster.propose('n1', 'a');
  cluster.pass(100);
  cluster.passes = ({ to }) => to !== 'n3';
  cluster.propose('n1', 'b', 'c', 'd', 'e');
  cluster.stabilize();
  cluster.truncate('n1', 5);
  cluster.passes = () => true;
  return cluster;
}

/** n1 with a log of these terms, truncated through `baseIndex`, in term 5. */
function follower(terms: Term[], baseIndex: number, commitIndex = 0): VirtualCluster {
  return new VirtualCluster({ voters: three }, { n1: { terms, currentTerm: 5, baseIndex, commitIndex } });
}

function progressOf(cluster: VirtualCluster, peer: string, leader = 'n1'): PeerProgress {
  const progress = cluster.raft(leader).progress();
  return progress.find((each) => each.peer === peer) ?? expect.fail(`${leader} does not know ${peer}`);
}

function sentTo(cluster: VirtualCluster, peer: string, kind: Message['kind']): Message[] {
  return cluster.network.filter((message) => message.to === peer && message.kind === kind);
}

/** Time passes; the kinds of what n1 sends to n3 meanwhile. */
function kindsToN3(cluster: VirtualCluster, milliseconds: number): Set<string> {
  const kinds = new Set<string>();
  const { passes } = cluster;
  cluster.passes = (message) => {
    if (message.from === 'n1' && message.to === 'n3') kinds.add(message.kind);
    return passes(message);
  };
  cluster.pass(milliseconds);
  cluster.passes = passes;
  return kinds;
}

describe('truncation of the prefix', () => {
  it('§5.1: only what is applied, and so in the state machine, is discarded', () => {
    const cluster = led();
    cluster.propose('n1', 'd');
    expect(() => cluster.step('n1', { kind: 'truncatePrefix', index: 5 })).toThrow(AssertionError);
    cluster.stabilize();
    cluster.truncate('n1', 5);
    expect([cluster.raft('n1').baseIndex, cluster.raft('n1').baseTerm]).toEqual([5, 1]);
    expect(() => cluster.step('n1', { kind: 'truncatePrefix', index: 6 })).toThrow(/applied is 5/);
  });

  it('happens once: at or below the base it does nothing', () => {
    const cluster = led();
    cluster.truncate('n1', 3);
    for (const index of [3, 2, 0]) cluster.truncate('n1', index);
    expect(cluster.raft('n1').baseIndex).toBe(3);
    expect(cluster.raft('n1').termAt(2)).toBeUndefined();
  });

  it('§5.1: of an empty log the last included term stands for the log in votes', () => {
    const cluster = led();
    for (const nodeId of three) cluster.truncate(nodeId, 4);
    expect(cluster.raft('n2').lastTerm).toBe(1);
    cluster.elect('n2');
    cluster.pass(700);
    expect(cluster.leader?.lastIndex).toBeGreaterThan(4);
    expect(three.map((nodeId) => cluster.member(nodeId).applied.length)).toEqual([5, 5, 5]);
  });

  it('§6.4: reads go on where the last entry committed is the base', () => {
    const cluster = led();
    cluster.truncate('n1', 4);
    cluster.step('n1', { kind: 'readIndex', requestId: 7 });
    cluster.stabilize();
    expect(cluster.member('n1').reads.get(7)).toBe(4);
  });

  it('etcd#2918: followers that have what was truncated are not disturbed, and those in flight go on', () => {
    const cluster = led();
    cluster.passes = ({ to }) => to !== 'n3';
    cluster.propose('n1', 'd');
    cluster.stabilize();
    cluster.passes = () => true;
    cluster.truncate('n1', 5);
    expect(progressOf(cluster, 'n2')).toMatchObject({ mode: 'replicate', matchIndex: 5 });
    expect(progressOf(cluster, 'n3'), 'sent, so that it may have it').toMatchObject({ mode: 'replicate' });
    cluster.propose('n1', 'e');
    cluster.pass(60);
    expect(cluster.raft('n2').commitIndex).toBe(6);
  });

  it('etcd#2918: entries read from disk for a follower are of no use once they were truncated', () => {
    const cluster = new VirtualCluster({ voters: three, config: { entryCacheBytesMax: 1 } });
    cluster.elect('n1');
    cluster.pass(100);
    cluster.crash('n3');
    cluster.propose('n1', 'aaa');
    cluster.propose('n1', 'bbb');
    cluster.pass(100);
    cluster.restart('n3');
    cluster.slowSendings = true;
    // n3's refusal leads to a read of entry 2; before it comes back, the entry is gone.
    while (cluster.member('n1').toRead.length === 0) {
      if (cluster.deliver() !== undefined) continue;
      cluster.timeout('n1');
      cluster.persist('n3');
    }
    cluster.truncate('n1', 3);
    cluster.answerRead('n1');
    cluster.pass(100);
    expect(progressOf(cluster, 'n3').mode).toBe('snapshot');
    expect(cluster.raft('n1').cacheBytes).toBe(0);
  });

  it('a member starts from a log that begins after 1, with everything through there committed', () => {
    const cluster = follower([1, 1, 2, 3, 3], 3);
    const raft = cluster.raft('n1');
    expect([raft.commitIndex, raft.appliedIndex, raft.baseTerm]).toEqual([3, 3, 2]);
    const raised = follower([1, 1, 2, 3, 3], 3, 4).raft('n1');
    expect(raised.commitIndex, 'what the disk says is more').toBe(4);
  });
});

describe('AppendEntries at a follower whose log begins after the message does', () => {
  it('RedisLabs/raft#49: prevLogIndex 0 appends nothing twice', () => {
    const cluster = follower([1, 1, 2, 3, 3], 3);
    const output = cluster.step('n1', append([0, 0], [1, 1, 2, 3, 3, 5]));
    expect(output.entries.map(({ index }) => index)).toEqual([6]);
    expect(output.truncateSuffix).toBeUndefined();
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: true, matchIndex: 6 }]);
  });

  it('a message that ends below the base is acknowledged through the commit index', () => {
    const cluster = follower([1, 1, 2, 3, 3], 3);
    cluster.step('n1', append([0, 0], [1]));
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: true, matchIndex: 3 }]);
  });

  it('§5.3: what conflicts above the base is removed, the base is not', () => {
    const cluster = follower([1, 1, 2, 3, 3], 3);
    const output = cluster.step('n1', append([2, 1], [2, 5]));
    expect(output.truncateSuffix).toBe(4);
    expect([3, 4, 5].map((index) => cluster.raft('n1').termAt(index))).toEqual([2, 5, undefined]);
  });

  it('§5.3: its hint is never below what it knows to be committed', () => {
    const cluster = follower([1, 1, 2, 3, 3], 3);
    cluster.step('n1', append([9, 4], [5]));
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: false, hintIndex: 5, hintTerm: 3 }]);
    cluster.step('n1', append([5, 2], [5]));
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: false, hintIndex: 3, hintTerm: 2 }]);
    cluster.step('n1', append([5, 1], [5]));
    expect(lastSent(cluster, 'n1')).toMatchObject([{ success: false, hintIndex: 3, hintTerm: 2 }]);
  });

  it('stops when a leader has another entry where the log begins', () => {
    const cluster = follower([1, 1, 2, 3, 3], 3);
    cluster.mayContradict = true;
    const { contradiction } = cluster.step('n1', append([2, 1], [4, 5]));
    expect(contradiction).toMatchObject({ index: 3, memberTerm: 2, leaderTerm: 4 });
  });
});

describe('a follower that needs what the log does not hold', () => {
  it('§5.3: is named for a snapshot when its own answer says so, once, and gets heartbeats only', () => {
    const cluster = withLaggard();
    let asked = 0;
    cluster.onStep = (_member, _input, output) => (asked += output.sendSnapshots.length);
    cluster.pass(200);
    expect(cluster.sendings.map(({ to }) => to)).toEqual(['n3']);
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'snapshot', matchIndex: 2, nextIndex: 3 });
    cluster.propose('n1', 'f');
    expect(kindsToN3(cluster, 200)).toEqual(new Set(['heartbeat']));
    expect(asked).toBe(1);
    expect(cluster.raft('n3').commitIndex, 'told through what it has acknowledged').toBe(2);
  });

  it('is not named while nothing is heard from it, whatever is truncated', () => {
    const cluster = led();
    cluster.crash('n3');
    cluster.propose('n1', 'd', 'e');
    cluster.pass(100);
    cluster.step('n1', { kind: 'peerDown', peer: 'n3' });
    cluster.truncate('n1', 6);
    cluster.pass(500);
    cluster.step('n1', { kind: 'peerUp', peer: 'n3' });
    cluster.pass(500);
    expect(cluster.sendings).toEqual([]);
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'probe', matchIndex: 4, nextIndex: 7 });
  });

  it('is asked first by a new leader whose log begins after 1; it may have everything', () => {
    const cluster = led();
    cluster.truncate('n2', 4);
    cluster.crash('n1');
    // The others do not count on it any more, and have not begun to ask.
    cluster.now += 301;
    cluster.elect('n2');
    cluster.pass(100);
    expect(cluster.leader?.nodeId).toBe('n2');
    expect(progressOf(cluster, 'n3', 'n2')).toMatchObject({ mode: 'replicate', matchIndex: 5 });
    cluster.step('n2', { kind: 'peerUp', peer: 'n3' });
    cluster.pass(100);
    expect(cluster.sendings).toEqual([]);
  });

  it('is not named for an old acknowledgement of less than it has', () => {
    const cluster = led();
    cluster.truncate('n1', 4);
    cluster.step('n1', { kind: 'peerReset', peer: 'n3' });
    const old = { kind: 'appendEntriesResult', from: 'n3', to: 'n1', term: 1, success: true } as const;
    const message = { ...old, matchIndex: 2, hintIndex: 0, hintTerm: 0 };
    cluster.step('n1', { kind: 'message', message });
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'probe', matchIndex: 2, nextIndex: 5 });
    cluster.pass(100);
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'replicate', matchIndex: 4 });
    expect(cluster.sendings).toEqual([]);
  });

  it('goes on after the snapshot', () => {
    const cluster = withLaggard();
    cluster.pass(200);
    expect(cluster.finishSending(0)).toBe('installed');
    expect(cluster.raft('n3').baseIndex).toBe(6);
    cluster.propose('n1', 'f');
    cluster.pass(60);
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'replicate', matchIndex: 7 });
    expect(cluster.member('n3').applied.map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('is named again after a sending that failed, once it is heard', () => {
    const cluster = withLaggard();
    cluster.pass(200);
    cluster.passes = ({ from }) => from !== 'n3';
    cluster.finishSending(0, { isLost: true });
    expect(sentTo(cluster, 'n3', 'appendEntries'), 'paused').toEqual([]);
    cluster.pass(100);
    expect(cluster.sendings).toEqual([]);
    expect(progressOf(cluster, 'n3').mode).toBe('probe');
    cluster.passes = () => true;
    cluster.pass(200);
    expect(cluster.sendings.map(({ to }) => to)).toEqual(['n3']);
  });

  it.each(['peerUp', 'peerReset'] as const)('is asked anew after %s', (kind) => {
    const cluster = withLaggard();
    cluster.pass(200);
    cluster.step('n1', { kind, peer: 'n3' });
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'probe', nextIndex: 7 });
    expect(sentTo(cluster, 'n3', 'appendEntries')).toMatchObject([{ prevLogIndex: 6, entries: [] }]);
    cluster.pass(100);
    expect(cluster.sendings.length, 'the answer is the same').toBe(2);
  });

  it('stays named when its link breaks: the sending has an end of its own', () => {
    const cluster = withLaggard();
    cluster.pass(200);
    cluster.step('n1', { kind: 'peerDown', peer: 'n3' });
    cluster.pass(200);
    expect(progressOf(cluster, 'n3').mode).toBe('snapshot');
    expect(cluster.sendings.length).toBe(1);
  });

  it('is replicated to at once when it acknowledges what the log goes on from', () => {
    const cluster = withLaggard();
    cluster.pass(200);
    const late = { kind: 'appendEntriesResult', from: 'n3', to: 'n1', term: 1, success: true } as const;
    cluster.checker.noteMatches = () => {};
    for (const [matchIndex, mode] of [
      [4, 'snapshot'],
      [3, 'snapshot'],
      [5, 'replicate'],
    ] as const) {
      const message = { ...late, matchIndex, hintIndex: 0, hintTerm: 0 };
      cluster.step('n1', { kind: 'message', message });
      expect(progressOf(cluster, 'n3').mode, `after ${matchIndex}`).toBe(mode);
    }
    expect(sentTo(cluster, 'n3', 'appendEntries')).toMatchObject([{ prevLogIndex: 5 }]);
    cluster.step('n1', { kind: 'snapshotEnded', peer: 'n3', installed: false });
    expect(progressOf(cluster, 'n3').mode, 'the end of the sending is of no interest').toBe('replicate');
  });

  it('counts for reads and for the quorum as ever, and is no target of a transfer of leadership', () => {
    const cluster = withLaggard();
    cluster.pass(200);
    cluster.crash('n2');
    cluster.pass(400);
    expect(cluster.raft('n1').role, 'n3 alone is heard').toBe('leader');
    cluster.step('n1', { kind: 'readIndex', requestId: 7 });
    cluster.pass(60);
    expect(cluster.member('n1').reads.get(7)).toBe(6);
    cluster.step('n1', { kind: 'transferLeadership', to: 'n3' });
    expect(cluster.raft('n1').isTransferring).toBe(false);
  });

  it.each([
    ['nobody, when all need snapshots', [] as string[], false],
    ['a member that is not heard rather than one that needs a snapshot', ['n2'], true],
  ])('§3.10: is not the furthest member: that is %s', (_what, down, isTransferring) => {
    const leader = { terms: [1, 1, 1, 1], currentTerm: 1, baseIndex: 3 };
    const behind = { terms: [1], currentTerm: 1 };
    const cluster = new VirtualCluster({ voters: three }, { n1: leader, n2: behind, n3: behind });
    cluster.slowSendings = true;
    for (const nodeId of down) cluster.crash(nodeId);
    cluster.elect('n1');
    cluster.pass(60);
    expect(cluster.sendings.map(({ to }) => to)).toEqual(['n2', 'n3'].filter((to) => !down.includes(to)));
    cluster.step('n1', { kind: 'transferLeadership' });
    expect(cluster.raft('n1').isTransferring).toBe(isTransferring);
  });

  it('ends a transfer of leadership to it: proposals go on', () => {
    const cluster = withLaggard();
    cluster.step('n1', { kind: 'transferLeadership', to: 'n3' });
    expect(cluster.raft('n1').isTransferring).toBe(true);
    cluster.pass(100);
    expect(progressOf(cluster, 'n3').mode).toBe('snapshot');
    expect(cluster.raft('n1').isTransferring).toBe(false);
  });

  it('is forgotten with the leadership', () => {
    const cluster = withLaggard();
    cluster.pass(200);
    cluster.step('n1', { kind: 'transferLeadership', to: 'n2' });
    cluster.stabilize();
    expect(cluster.leader?.nodeId).toBe('n2');
    cluster.finishSending(0, { isLost: true });
    cluster.pass(200);
    expect(cluster.raft('n3').lastIndex, 'n2 has all entries').toBe(7);
  });
});

describe('a snapshot at the member that installs it', () => {
  it('hashicorp/raft#697: takes the place of a log that conflicts with it, all of it', () => {
    const preset = { terms: [1, 1, 3, 3, 3], currentTerm: 3, baseIndex: 4 };
    const stale = { terms: [1, 1, 2, 2, 2, 2, 2], currentTerm: 2 };
    const cluster = new VirtualCluster({ voters: three }, { n1: preset, n2: preset, n3: stale });
    cluster.elect('n1');
    cluster.pass(200);
    expect(cluster.raft('n3').baseIndex).toBeGreaterThanOrEqual(4);
    expect(cluster.raft('n3').lastIndex).toBe(6);
    expect(cluster.raft('n3').commitIndex).toBe(6);
    expect(cluster.member('n3').applied.map(({ term }) => term)).toEqual([1, 1, 3, 3, 3, 4]);
  });

  it('etcd#1763: is not needed where the log holds its last entry; what follows it stays', () => {
    const cluster = led();
    const view = cluster.view('n2');
    cluster.propose('n1', 'd', 'e');
    cluster.pass(100);
    expect(cluster.receiveSnapshot('n3', view)).toBe('kept');
    expect(cluster.raft('n3').lastIndex).toBe(6);
  });

  it('etcd#18055: two in short order, and one that is older than what the first one brought', () => {
    const cluster = withLaggard();
    const first = cluster.view('n1');
    cluster.propose('n1', 'f');
    cluster.network = cluster.network.filter(({ to }) => to !== 'n3');
    cluster.stabilize();
    const second = cluster.view('n1');
    expect([first.index, second.index]).toEqual([6, 7]);
    expect(cluster.receiveSnapshot('n3', first)).toBe('installed');
    expect(cluster.receiveSnapshot('n3', second)).toBe('installed');
    expect(cluster.receiveSnapshot('n3', first)).toBe('kept');
    cluster.pass(100);
    expect(cluster.raft('n3')).toMatchObject({ baseIndex: 7, lastIndex: 7, appliedIndex: 7 });
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'replicate', matchIndex: 7 });
  });

  it('keeps term and vote, and brings the member into the term in which it was taken', () => {
    const kept = { currentTerm: 5, votedFor: 'n2', commitIndex: 1 };
    const base = { index: 7, term: 3 };
    expect(installedState(kept, { ...base, senderTerm: 4 }).hardState).toEqual({ ...kept, commitIndex: 7 });
    expect(installedState(kept, { ...base, senderTerm: 6 }).hardState).toEqual({
      currentTerm: 6,
      votedFor: undefined,
      commitIndex: 7,
    });
    expect(installedState(kept, { ...base, senderTerm: 5 }).hardState.votedFor).toBe('n2');
  });

  it('frees it from a leader that was replaced before the snapshot was committed', () => {
    const preset = { terms: [1, 1], currentTerm: 2, commitIndex: 2 };
    const cluster = new VirtualCluster(
      { voters: ['n1', 'n2', 'n3', 'n4', 'n5'] },
      { n1: preset, n2: { ...preset, terms: [1, 1, 2] }, n3: preset, n4: preset, n5: preset },
    );
    // n1 leads term 3; only n3 has its entry 3. n2 leads term 4 and commits an entry 3 of term 2.
    const toN3: Message[] = [];
    cluster.passes = (message) => {
      if (message.kind === 'appendEntries' && message.to === 'n3') toN3.push(message);
      return !message.kind.startsWith('append') || message.to === 'n3';
    };
    cluster.elect('n1');
    const isOld = (nodeId: string) => nodeId === 'n1' || nodeId === 'n3';
    cluster.passes = ({ from, to }) => isOld(from) === isOld(to);
    cluster.elect('n2');
    expect([cluster.raft('n1').currentTerm, cluster.raft('n3').currentTerm]).toEqual([3, 3]);
    const { senderTerm, applied } = cluster.view('n2');
    const view = { index: 3, term: 2, senderTerm, applied: applied.slice(0, 3) };
    expect([view.senderTerm, applied.length]).toEqual([4, 4]);

    expect(cluster.raft('n3').termAt(3)).toBe(3);
    expect(cluster.receiveSnapshot('n3', view)).toBe('installed');
    expect(cluster.raft('n3')).toMatchObject({ currentTerm: 4, baseIndex: 3, baseTerm: 2, lastIndex: 3 });
    for (const message of toN3) cluster.step('n3', { kind: 'message', message });
    expect(toN3.length).toBeGreaterThan(0);
    expect(lastSent(cluster, 'n3')).toMatchObject([{ success: false, term: 4 }]);
    cluster.stabilize();
    expect(cluster.raft('n1').role, 'learns that it was replaced').toBe('follower');
  });
});

describe('a member that has lost its log', () => {
  /** All have entries 1 to 4; then n3 loses its log and its store, and has recovered. */
  function withDamaged(): VirtualCluster {
    const cluster = led();
    cluster.damage('n3', { keepsStore: false });
    for (const peer of ['n1', 'n2']) cluster.hello('n3', peer);
    expect(cluster.recover('n3')).toBe(true);
    return cluster;
  }

  it('is known to have nothing, whatever it acknowledged before', () => {
    const cluster = led();
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'replicate', matchIndex: 4, resetCount: 0 });
    cluster.damage('n3', { keepsStore: false });
    cluster.hello('n3', 'n1');
    expect(progressOf(cluster, 'n3')).toMatchObject({ mode: 'probe', matchIndex: 0, resetCount: 1 });
    cluster.pass(100);
    expect(cluster.raft('n2').commitIndex).toBe(4);
  });

  it('is no target of a transfer of leadership any more', () => {
    const cluster = led();
    cluster.damage('n3', { keepsStore: false });
    cluster.step('n1', { kind: 'transferLeadership', to: 'n3' });
    expect(cluster.raft('n1').isTransferring).toBe(true);
    cluster.hello('n3', 'n1');
    expect(cluster.propose('n1', 'd').proposal).toMatchObject({ accepted: true });
  });

  it('no longer counts for what it acknowledged and lost', () => {
    const cluster = led();
    cluster.passes = ({ to, kind }) => to !== 'n2' || kind !== 'appendEntries';
    cluster.slowDisks = true;
    cluster.propose('n1', 'd');
    cluster.stabilize();
    cluster.persist('n3');
    cluster.stabilize();
    expect(progressOf(cluster, 'n3').matchIndex).toBe(5);
    cluster.damage('n3', { keepsStore: true });
    for (const peer of ['n1', 'n2']) cluster.hello('n3', peer);
    cluster.persist('n1');
    expect(cluster.raft('n1').commitIndex, 'only n1 has entry 5').toBe(4);
  });

  it('gives no vote and no pre-vote until it has caught up, and says its term', () => {
    const cluster = withDamaged();
    cluster.now += 10_000;
    const log = { lastLogIndex: 9, lastLogTerm: 8 };
    const preVote = { kind: 'preVote', from: 'n2', to: 'n3', term: 9, ...log } as const;
    cluster.step('n3', { kind: 'message', message: preVote });
    expect(lastSent(cluster, 'n3')).toMatchObject([{ voteGranted: false, term: 1 }]);
    for (const leadershipTransfer of [false, true]) {
      const ask = { kind: 'requestVote', from: 'n2', to: 'n3', term: 9, ...log, leadershipTransfer } as const;
      cluster.step('n3', { kind: 'message', message: ask });
      expect(lastSent(cluster, 'n3').at(-1)).toMatchObject({ voteGranted: false, term: 9 });
      expect(cluster.raft('n3').votedFor).toBeUndefined();
    }
    cluster.step('n3', { kind: 'caughtUp' });
    const ask = { kind: 'requestVote', from: 'n2', to: 'n3', term: 9, ...log } as const;
    cluster.step('n3', { kind: 'message', message: { ...ask, leadershipTransfer: false } });
    expect(lastSent(cluster, 'n3')).toMatchObject([{ voteGranted: true, term: 9 }]);
  });

  it('does not vote in the term in which it may have voted before, caught up or not', () => {
    const cluster = withDamaged();
    cluster.step('n3', { kind: 'caughtUp' });
    cluster.now += 10_000;
    const log = { lastLogIndex: 9, lastLogTerm: 1, leadershipTransfer: true };
    const ask = { kind: 'requestVote', from: 'n2', to: 'n3', term: 1, ...log } as const;
    cluster.step('n3', { kind: 'message', message: ask });
    expect(lastSent(cluster, 'n3')).toMatchObject([{ voteGranted: false }]);
  });

  it('does not stand for election, neither on its own nor when it is told to', () => {
    const cluster = withDamaged();
    cluster.crash('n1');
    cluster.crash('n2');
    cluster.step('n3', { kind: 'peerDown', peer: 'n1' });
    for (let round = 0; round < 5; round++) {
      expect(cluster.timeout('n3').messages, 'not even a pre-vote').toEqual([]);
      expect(cluster.raft('n3').role).toBe('follower');
    }
    const timeoutNow = { kind: 'timeoutNow', from: 'n1', to: 'n3', term: 1 } as const;
    cluster.step('n3', { kind: 'message', message: timeoutNow });
    expect(cluster.raft('n3')).toMatchObject({ role: 'follower', currentTerm: 1, isCatchingUp: true });
    cluster.step('n3', { kind: 'caughtUp' });
    cluster.timeout('n3');
    expect(cluster.raft('n3').role).toBe('precandidate');
  });

  it('follows, acknowledges and reads as any other, and its acknowledgements count', () => {
    const cluster = withDamaged();
    cluster.crash('n2');
    cluster.propose('n1', 'd');
    cluster.pass(300);
    expect(cluster.raft('n1').commitIndex, 'n1 and n3').toBe(5);
    cluster.step('n3', { kind: 'readIndex', requestId: 7 });
    cluster.pass(60);
    expect(cluster.member('n3').reads.get(7)).toBe(5);
    expect(cluster.member('n3').applied.length).toBe(5);
  });

  it('an entry that it had acknowledged survives: without its vote nobody is elected who misses it', () => {
    const cluster = led();
    // Entry 5 is committed by n1 and n3; n2 misses it. Then n3 loses it, and n1 is cut off.
    cluster.passes = ({ to }) => to !== 'n2';
    cluster.propose('n1', 'd');
    cluster.stabilize();
    expect(cluster.raft('n1').commitIndex).toBe(5);
    cluster.damage('n3', { keepsStore: false });
    for (const peer of ['n1', 'n2']) cluster.hello('n3', peer);
    cluster.passes = ({ from, to }) => from !== 'n1' && to !== 'n1';
    expect(cluster.recover('n3')).toBe(true);
    cluster.pass(5_000);
    expect(cluster.raft('n2').role).not.toBe('leader');
    cluster.passes = () => true;
    cluster.pass(5_000);
    expect(cluster.leader?.nodeId).toBe('n1');
    expect(cluster.raft('n2').termAt(5)).toBe(1);
  });

  it('needs a snapshot when the others have truncated their logs, and stays a member that catches up', () => {
    const cluster = led();
    for (const nodeId of ['n1', 'n2']) cluster.truncate(nodeId, 4);
    cluster.damage('n3', { keepsStore: false });
    for (const peer of ['n1', 'n2']) cluster.hello('n3', peer);
    cluster.recover('n3');
    cluster.pass(200);
    expect(cluster.finishSending(0)).toBe('installed');
    expect(cluster.raft('n3')).toMatchObject({ baseIndex: 4, isCatchingUp: true });
    cluster.pass(100);
    cluster.catchUp('n3', 7);
    cluster.pass(100);
    expect(cluster.catchUp('n3', 8)).toBe(true);
    expect(cluster.raft('n3').isCatchingUp).toBe(false);
  });
});
