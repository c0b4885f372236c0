// The paper's rules about terms, votes and elections, one test each, with the section in the name.

import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/raft/messages.js';
import { VirtualCluster, type PresetLogs } from './virtual-cluster.js';

const three = ['n1', 'n2', 'n3'];
const five = ['n1', 'n2', 'n3', 'n4', 'n5'];

/** A cluster whose leader is n1, in term 1. */
function led(voters = three): VirtualCluster {
  const cluster = new VirtualCluster({ voters });
  cluster.elect('n1');
  cluster.pass(100);
  expect(cluster.raft('n1').role).toBe('leader');
  return cluster;
}

/** n1, which asked, becomes a candidate by the consent of n2. */
function winPreVote(cluster: VirtualCluster): void {
  cluster.deliver();
  cluster.deliver(1);
  expect(cluster.raft('n1').role).toBe('candidate');
}

/** The messages of a kind that left in the last step of a node, at once or with a unit. */
function sent<Kind extends Message['kind']>(cluster: VirtualCluster, nodeId: string, kind: Kind) {
  const output = cluster.member(nodeId).lastOutput;
  const messages = [...(output?.messages ?? []), ...(output?.messagesAfterPersist ?? [])];
  return messages.filter((message) => message.kind === kind) as Extract<Message, { kind: Kind }>[];
}

function requestVote(
  to: string,
  term: number,
  log: [number, number],
  options: { from?: string; transfer?: boolean } = {},
) {
  const [lastLogIndex, lastLogTerm] = log;
  const from = options.from ?? 'n2';
  const leadershipTransfer = options.transfer ?? false;
  const message = {
    kind: 'requestVote',
    from,
    to,
    term,
    lastLogIndex,
    lastLogTerm,
    leadershipTransfer,
  } as const;
  return { kind: 'message', message } as const;
}

function preVote(to: string, term: number, log: [number, number], from = 'n2') {
  const [lastLogIndex, lastLogTerm] = log;
  return {
    kind: 'message',
    message: { kind: 'preVote', from, to, term, lastLogIndex, lastLogTerm },
  } as const;
}

function heartbeat(from: string, to: string, term: number) {
  return {
    kind: 'message',
    message: { kind: 'heartbeat', from, to, term, leaderCommit: 0, round: 1 },
  } as const;
}

describe('terms', () => {
  it('§5.1: a message of a higher term makes any member a follower in that term', () => {
    for (const role of ['follower', 'precandidate', 'candidate', 'leader']) {
      const cluster = new VirtualCluster({ voters: three });
      if (role !== 'follower') cluster.timeout('n1');
      if (role === 'candidate' || role === 'leader') winPreVote(cluster);
      if (role === 'leader') cluster.stabilize();
      expect(cluster.raft('n1').role).toBe(role);

      cluster.step('n1', heartbeat('n2', 'n1', 7));

      expect(cluster.raft('n1').role).toBe('follower');
      expect(cluster.raft('n1').currentTerm).toBe(7);
      expect(cluster.raft('n1').leaderId).toBe('n2');
      expect(cluster.raft('n1').votedFor).toBeUndefined();
    }
  });

  it('§5.1: a request of an older term is refused with the current one', () => {
    const cluster = new VirtualCluster({ voters: three }, { n1: { terms: [], currentTerm: 5 } });

    cluster.step('n1', requestVote('n1', 4, [9, 4]));
    expect(sent(cluster, 'n1', 'requestVoteResult')).toMatchObject([{ term: 5, voteGranted: false }]);
    cluster.step('n1', heartbeat('n2', 'n1', 4));
    expect(sent(cluster, 'n1', 'heartbeatResult')).toMatchObject([{ term: 5, round: 0 }]);

    expect(cluster.raft('n1').leaderId).toBeUndefined();
  });

  it('§5.1: results of an older term are dropped', () => {
    const cluster = new VirtualCluster({ voters: three }, { n1: { terms: [], currentTerm: 5 } });
    cluster.timeout('n1');
    winPreVote(cluster);
    cluster.persist('n1');

    const message = {
      kind: 'requestVoteResult',
      from: 'n2',
      to: 'n1',
      term: 5,
      voteGranted: true,
      refusal: undefined,
    } as const;
    cluster.step('n1', { kind: 'message', message });

    expect(cluster.raft('n1').role).toBe('candidate');
  });
});

describe('elections', () => {
  it('§5.2: a member starts as follower and stays one while it hears from a leader', () => {
    const cluster = led();
    cluster.pass(5_000);
    expect(cluster.raft('n1').role).toBe('leader');
    expect(cluster.running.map((raft) => raft.currentTerm)).toEqual([1, 1, 1]);
  });

  it('§5.2: a candidate increments its term and votes for itself, and both are one record on disk', () => {
    const cluster = new VirtualCluster({ voters: three });
    cluster.timeout('n1');
    winPreVote(cluster);
    const output = cluster.member('n1').lastOutput;
    expect(output?.hardState).toEqual({ currentTerm: 1, votedFor: 'n1', commitIndex: 0 });
    expect(output?.messages).toEqual([]);
    expect(sent(cluster, 'n1', 'requestVote').map(({ to }) => to)).toEqual(['n2', 'n3']);
  });

  it('§5.2: a candidate with votes of a majority leads, its own vote counting once it is durable', () => {
    const cluster = new VirtualCluster({ voters: three, slowDisks: true });
    cluster.timeout('n1');
    cluster.stabilize();
    expect(cluster.raft('n1').role).toBe('candidate');
    // Another's vote arrives before its own is on disk, as it may after a crash of the test's making.
    const message = {
      kind: 'requestVoteResult',
      from: 'n2',
      to: 'n1',
      term: 1,
      voteGranted: true,
      refusal: undefined,
    } as const;
    cluster.step('n1', { kind: 'message', message });
    expect(cluster.raft('n1').role).toBe('candidate');

    cluster.persist('n1');

    expect(cluster.raft('n1').role).toBe('leader');
  });

  it('§5.2: a member alone leads as soon as its vote is durable, and commits when its entries are', () => {
    const cluster = new VirtualCluster({ voters: ['n1'], slowDisks: true });
    expect(cluster.raft('n1').deadlineMs).toBe(cluster.now);
    cluster.timeout('n1');
    expect(cluster.raft('n1').role).toBe('candidate');
    cluster.persist('n1');
    expect(cluster.raft('n1').role).toBe('leader');
    cluster.propose('n1', 'a');
    expect(cluster.raft('n1').commitIndex).toBe(0);
    while (cluster.persist('n1'));
    expect(cluster.raft('n1').commitIndex).toBe(2);
    cluster.step('n1', { kind: 'readIndex', requestId: 1 });
    expect(cluster.member('n1').reads.get(1)).toBe(2);
  });

  it('§5.2: a member votes once in a term, first come first served, and repeats a lost grant', () => {
    const cluster = new VirtualCluster({ voters: three });
    cluster.step('n1', requestVote('n1', 1, [0, 0], { from: 'n2' }));
    expect(sent(cluster, 'n1', 'requestVoteResult')).toMatchObject([{ to: 'n2', voteGranted: true }]);
    cluster.step('n1', requestVote('n1', 1, [0, 0], { from: 'n3' }));
    expect(sent(cluster, 'n1', 'requestVoteResult')).toMatchObject([{ to: 'n3', voteGranted: false }]);
    cluster.step('n1', requestVote('n1', 1, [0, 0], { from: 'n2' }));
    expect(sent(cluster, 'n1', 'requestVoteResult')).toMatchObject([{ to: 'n2', voteGranted: true }]);
    expect(cluster.network, 'nothing leaves before the vote and its term are durable').toEqual([]);
  });

  it('§5.2: election timeouts are random within their bounds', () => {
    const deadlines = new Set<number>();
    for (let seed = 1; seed <= 50; seed++) {
      const cluster = new VirtualCluster({ voters: three, seed });
      const waitMs = cluster.raft('n1').deadlineMs - cluster.now;
      expect(waitMs).toBeGreaterThanOrEqual(300);
      expect(waitMs).toBeLessThanOrEqual(600);
      deadlines.add(waitMs);
    }
    expect(deadlines.size).toBeGreaterThan(30);
  });

  it('§5.2: a candidate that hears the leader of its term follows it and keeps its vote', () => {
    const cluster = new VirtualCluster({ voters: three });
    cluster.timeout('n1');
    winPreVote(cluster);
    cluster.step('n1', heartbeat('n2', 'n1', 1));
    expect(cluster.raft('n1').role).toBe('follower');
    expect(cluster.raft('n1').leaderId).toBe('n2');
    expect(cluster.raft('n1').votedFor).toBe('n1');
  });

  it.each<[string, [number, number], boolean]>([
    ['a later last term', [1, 3], true],
    ['the same last term, a longer log', [4, 2], true],
    ['an equal log', [3, 2], true],
    ['the same last term, a shorter log', [2, 2], false],
    ['an older last term, a longer log', [9, 1], false],
  ])('§5.4.1: the vote for a candidate with %s', (_log, log, voteGranted) => {
    const preset: PresetLogs = { n1: { terms: [1, 1, 2], currentTerm: 3 } };
    const cluster = new VirtualCluster({ voters: three }, preset);
    cluster.step('n1', requestVote('n1', 4, log));
    expect(sent(cluster, 'n1', 'requestVoteResult')).toMatchObject([{ voteGranted }]);
    const other = new VirtualCluster({ voters: three }, preset);
    other.step('n1', preVote('n1', 4, log));
    expect(sent(other, 'n1', 'preVoteResult')).toMatchObject([{ voteGranted }]);
  });

  it('§5.4.1: entries not yet durable count for the voter, and keep it from campaigning', () => {
    const cluster = led();
    cluster.slowDisks = true;
    cluster.propose('n1', 'a');
    cluster.stabilize();
    expect(cluster.raft('n2').lastIndex).toBe(2);
    expect(cluster.raft('n2').durableIndex).toBe(1);
    cluster.timeout('n2');
    expect(cluster.raft('n2').role).toBe('follower');
    expect(cluster.raft('n2').deadlineMs).toBe(cluster.now + 50);
    cluster.step('n2', preVote('n2', 2, [1, 1], 'n3'));
    expect(sent(cluster, 'n2', 'preVoteResult')).toMatchObject([{ voteGranted: false }]);

    while (cluster.persist('n2'));
    cluster.timeout('n2');

    expect(cluster.raft('n2').role).toBe('precandidate');
  });

  it('§3.4: granting a vote puts off the own election, refusing does not', () => {
    const cluster = new VirtualCluster({ voters: three }, { n1: { terms: [1], currentTerm: 1 } });
    cluster.now += 290;
    const before = cluster.raft('n1').deadlineMs;
    cluster.step('n1', requestVote('n1', 2, [0, 0]));
    expect(cluster.raft('n1').deadlineMs).toBe(before);
    cluster.step('n1', requestVote('n1', 3, [1, 1]));
    expect(cluster.raft('n1').deadlineMs).toBeGreaterThanOrEqual(cluster.now + 300);
  });
});

describe('pre-vote and check-quorum', () => {
  it('§9.6: a pre-vote changes neither term nor vote nor timer, of the asking or of the asked', () => {
    const cluster = new VirtualCluster({ voters: three });
    const before = cluster.raft('n2').deadlineMs;
    const output = cluster.timeout('n1');
    expect(output.persist).toBeUndefined();
    cluster.deliver();
    expect(cluster.member('n2').lastOutput?.persist).toBeUndefined();
    expect(cluster.raft('n2').deadlineMs).toBe(before);
    expect(cluster.raft('n1').currentTerm).toBe(0);
  });

  it('§9.6: a member cut off and back again disturbs nobody', () => {
    const cluster = led();
    cluster.passes = ({ from, to }) => from !== 'n3' && to !== 'n3';
    cluster.pass(10_000);
    expect(cluster.raft('n3').role).toBe('precandidate');
    cluster.passes = () => true;
    cluster.pass(2_000);
    expect(cluster.running.map((raft) => [raft.leaderId, raft.currentTerm])).toEqual(
      three.map(() => ['n1', 1]),
    );
  });

  it('§4.2.3: who hears from a leader grants no vote and adopts no term, but for a transfer', () => {
    const cluster = led();
    cluster.step('n3', requestVote('n3', 5, [9, 9]));
    expect(cluster.raft('n3').currentTerm).toBe(1);
    cluster.step('n1', requestVote('n1', 5, [9, 9]));
    expect(cluster.raft('n1').role).toBe('leader');
    cluster.step('n3', preVote('n3', 5, [9, 9]));
    expect(sent(cluster, 'n3', 'preVoteResult')).toMatchObject([{ voteGranted: false, term: 1 }]);

    cluster.step('n3', requestVote('n3', 5, [9, 9], { transfer: true }));

    expect(cluster.raft('n3').currentTerm).toBe(5);
    expect(cluster.raft('n3').votedFor).toBe('n2');
  });

  it('§6.2: a leader that hears from no quorum steps down in time, and keeps term and vote', () => {
    const cluster = led(five);
    cluster.passes = ({ from }) => !['n3', 'n4', 'n5'].includes(from);
    cluster.pass(250);
    expect(cluster.raft('n1').role).toBe('leader');
    cluster.pass(150);
    expect(cluster.raft('n1').role).not.toBe('leader');
    expect(cluster.raft('n1').currentTerm).toBe(1);
    expect(cluster.raft('n1').votedFor).toBe('n1');
  });

  it('a broken link to the leader starts a pre-vote soon, and the leader alive ends it (timing only)', () => {
    const cluster = led();
    cluster.step('n2', { kind: 'peerDown', peer: 'n3' });
    expect(cluster.raft('n2').deadlineMs - cluster.now).toBeGreaterThan(60);
    cluster.step('n2', { kind: 'peerDown', peer: 'n1' });
    expect(cluster.raft('n2').deadlineMs - cluster.now).toBeLessThanOrEqual(60);
    expect(cluster.raft('n2').deadlineMs - cluster.now).toBeGreaterThanOrEqual(20);
    cluster.step('n2', preVote('n2', 2, [1, 1], 'n3'));
    expect(sent(cluster, 'n2', 'preVoteResult')).toMatchObject([{ voteGranted: true }]);

    cluster.step('n2', heartbeat('n1', 'n2', 1));

    expect(cluster.raft('n2').deadlineMs - cluster.now).toBeGreaterThanOrEqual(300);
    cluster.step('n2', preVote('n2', 2, [1, 1], 'n3'));
    expect(sent(cluster, 'n2', 'preVoteResult')).toMatchObject([{ voteGranted: false }]);
  });

  it('a leader that dies is replaced within 200 ms when its links break', () => {
    const cluster = led();
    cluster.crash('n1');
    for (const nodeId of ['n2', 'n3']) cluster.step(nodeId, { kind: 'peerDown', peer: 'n1' });
    cluster.pass(200);
    expect(cluster.leader?.currentTerm).toBeGreaterThan(1);
  });
});

describe('members and strangers', () => {
  it('§4.2.1: a learner neither campaigns nor counts', () => {
    const cluster = new VirtualCluster({ voters: ['n1', 'n2'], learners: ['l1'] });
    for (let times = 0; times < 5; times++) cluster.timeout('l1');
    expect(cluster.raft('l1').role).toBe('follower');
    cluster.elect('n1');
    cluster.crash('n2');
    cluster.propose('n1', 'a');
    cluster.stabilize();
    expect(cluster.raft('l1').lastIndex).toBe(2);
    expect(cluster.raft('n1').commitIndex).toBe(1);
    const message = {
      kind: 'requestVoteResult',
      from: 'l1',
      to: 'n1',
      term: 2,
      voteGranted: true,
      refusal: undefined,
    } as const;
    cluster.pass(1_000);
    cluster.step('n1', { kind: 'message', message });
    expect(cluster.raft('n1').role).not.toBe('leader');
  });

  it('§4.2.3: a node that is no member is not heard, whatever its term', () => {
    const cluster = led();
    cluster.now += 1_000;
    cluster.step('n2', requestVote('n2', 9, [9, 9], { from: 'removed', transfer: true }));
    const timeoutNow = { kind: 'timeoutNow', from: 'removed', to: 'n2', term: 9 } as const;
    cluster.step('n2', { kind: 'message', message: timeoutNow });
    expect(cluster.raft('n2').currentTerm).toBe(1);
  });
});
