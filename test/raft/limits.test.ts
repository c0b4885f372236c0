// Every table and queue of the core has a bound, and the core goes on beyond it: the window to a follower,
// uncommitted proposals, what is handed to the state machine, entries in memory, waiting reads. And what does
// not fit in memory is read from disk, where the answer may come late, stale or not at all.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { termMax } from '../../src/base/terms.js';
import { defaultRaftConfig, validateRaftConfig, type RaftConfig } from '../../src/raft/config.js';
import { VirtualCluster } from './virtual-cluster.js';

const three = ['n1', 'n2', 'n3'];

function led(config: Partial<RaftConfig>): VirtualCluster {
  const cluster = new VirtualCluster({ voters: three, config });
  cluster.elect('n1');
  cluster.pass(100);
  return cluster;
}

function proposeMany(cluster: VirtualCluster, count: number, bytes: number): void {
  for (let i = 0; i < count; i++) cluster.propose('n1', 'x'.repeat(bytes));
}

describe('limits', () => {
  it('bytes and messages in flight to a follower', () => {
    const cluster = led({ inFlightBytesMax: 100, inFlightMessagesMax: 5 });
    proposeMany(cluster, 30, 40);
    const [n2] = cluster.raft('n1').progress();
    expect(n2?.inFlightBytes).toBe(80);
    cluster.stabilize();
    expect(cluster.raft('n2').lastIndex).toBe(31);
    cluster.passes = () => false;
    proposeMany(cluster, 30, 1);
    expect(cluster.raft('n1').progress()[0]?.inFlightMessages).toBe(5);
  });

  it('entries and bytes of one message', () => {
    const cluster = led({ appendEntriesMax: 3, appendBytesMax: 50 });
    cluster.propose('n1', ...Array.from({ length: 10 }, () => 'x'));
    const counts = cluster.network
      .filter(({ to }) => to === 'n2')
      .map((sent) => 'entries' in sent && sent.entries.length);
    expect(counts).toEqual([3, 3, 3, 1]);
    cluster.stabilize();
    cluster.propose('n1', 'x'.repeat(30), 'x'.repeat(30), 'x'.repeat(99));
    expect(cluster.network.filter(({ to }) => to === 'n2').length).toBe(3);
    cluster.stabilize();
    expect(cluster.raft('n2').lastIndex).toBe(14);
  });

  it('uncommitted proposals; one larger than the limit is taken when nothing else waits', () => {
    const cluster = led({ uncommittedBytesMax: 100 });
    cluster.passes = () => false;
    expect(cluster.propose('n1', 'x'.repeat(500)).proposal?.accepted).toBe(true);
    expect(cluster.propose('n1', 'x').proposal).toEqual({ accepted: false, reason: 'tooMuch' });
    expect(cluster.raft('n1').lastIndex).toBe(2);
    cluster.passes = () => true;
    cluster.pass(100);
    expect(cluster.propose('n1', 'x').proposal).toEqual({ accepted: true, term: 1, firstIndex: 3 });
  });

  it('bytes handed to the state machine', () => {
    const cluster = led({ applyBytesMax: 100 });
    proposeMany(cluster, 10, 40);
    while (cluster.deliver() !== undefined || three.some((nodeId) => cluster.persist(nodeId)));
    expect(cluster.raft('n1').commitIndex).toBe(11);
    const { toApply } = cluster.member('n1');
    expect(toApply.length).toBe(2);
    cluster.apply('n1', 1);
    expect(toApply.length).toBe(2);
    expect(cluster.raft('n1').handedOutIndex - cluster.raft('n1').appliedIndex).toBe(2);
    cluster.stabilize();
    expect(cluster.member('n1').applied.length).toBe(11);
  });

  it('entries in memory, also while a follower is far behind and catches up from disk', () => {
    const cluster = led({ entryCacheBytesMax: 200, appendBytesMax: 100 });
    cluster.crash('n3');
    for (let i = 0; i < 50; i++) {
      proposeMany(cluster, 1, 40);
      cluster.stabilize();
    }
    let fromDisk = 0;
    cluster.onStep = (_member, input, output) => {
      expect(cluster.raft('n1').cacheBytes).toBeLessThanOrEqual(200);
      if (input.kind === 'entriesRead') fromDisk++;
      expect(output.readEntries.length).toBeLessThanOrEqual(1);
    };
    cluster.restart('n3');
    cluster.pass(200);
    expect(cluster.raft('n3').commitIndex).toBe(51);
    expect(fromDisk).toBeGreaterThan(10);
  });

  it('reads that wait, on the leader and on a follower', () => {
    const cluster = led({ readsMax: 2 });
    cluster.passes = () => false;
    for (const nodeId of ['n1', 'n2']) {
      for (const requestId of [1, 2, 3]) cluster.step(nodeId, { kind: 'readIndex', requestId });
      expect(cluster.member(nodeId).reads.get(3)).toBe('failed');
      expect(cluster.member(nodeId).reads.get(2)).toBeUndefined();
    }
  });
});

describe('entries read from disk', () => {
  function lagging(): VirtualCluster {
    const cluster = led({ entryCacheBytesMax: 1 });
    cluster.crash('n3');
    proposeMany(cluster, 20, 10);
    cluster.stabilize();
    cluster.restart('n3');
    cluster.now += 50;
    cluster.step('n1', { kind: 'timeout' });
    while (cluster.member('n1').toRead.length === 0) {
      if (cluster.deliver() === undefined && !cluster.persist('n3')) throw new Error('nobody reads');
    }
    return cluster;
  }

  it('are asked for once, and again with the next heartbeat when nothing came', () => {
    const cluster = lagging();
    const { toRead } = cluster.member('n1');
    expect(toRead.length).toBe(1);
    const reader = { for: 'peer', peer: 'n3' } as const;
    toRead.length = 0;
    const output = cluster.step('n1', { kind: 'entriesRead', reader, entries: [] });
    expect(output.readEntries).toEqual([]);
    cluster.pass(100);
    expect(cluster.raft('n3').commitIndex).toBe(21);
  });

  it('are not sent when they are of another place or term', () => {
    const cluster = lagging();
    const reader = { for: 'peer', peer: 'n3' } as const;
    const { entries } = cluster.member('n1').disk;
    cluster.member('n1').toRead.length = 0;
    const elsewhere = cluster.step('n1', { kind: 'entriesRead', reader, entries: entries.slice(7, 9) });
    expect(elsewhere.messages).toEqual([]);
    expect(elsewhere.readEntries.length).toBe(1);
    cluster.member('n1').toRead.length = 0;
    const first = elsewhere.readEntries[0]?.firstIndex ?? 0;
    const old = entries.slice(first - 1, first).map((entry) => ({ ...entry, term: 0 }));
    expect(cluster.step('n1', { kind: 'entriesRead', reader, entries: old }).messages).toEqual([]);
    cluster.pass(100);
    expect(cluster.raft('n3').commitIndex).toBe(21);
  });

  it('come late, for a leadership that is over, and do no harm', () => {
    const cluster = lagging();
    cluster.step('n1', { kind: 'message', message: { kind: 'timeoutNow', from: 'n2', to: 'n1', term: 2 } });
    expect(cluster.raft('n1').role).toBe('follower');
    cluster.answerRead('n1');
    cluster.pass(2_000);
    expect(cluster.running.map((raft) => raft.commitIndex)).toEqual([22, 22, 22]);
  });

  it('are applied after a restart that kept no payloads', () => {
    const cluster = new VirtualCluster({ voters: ['n1'], config: { applyBytesMax: 30 }, recentMax: 0 });
    cluster.elect('n1');
    proposeMany(cluster, 20, 10);
    while (cluster.persist('n1'));
    cluster.crash('n1');
    cluster.restart('n1');
    cluster.step('n1', { kind: 'timeout' });
    while (cluster.persist('n1'));
    expect(cluster.member('n1').toRead).toMatchObject([{ reader: { for: 'apply' }, firstIndex: 2 }]);
    cluster.member('n1').toRead.length = 0;
    const refused = cluster.step('n1', { kind: 'entriesRead', reader: { for: 'apply' }, entries: [] });
    expect(refused.readEntries, 'not again at once').toEqual([]);
    cluster.pass(2_000);
    expect(cluster.member('n1').applied.length).toBe(22);
  });

  it('are asked for again by a follower whose read failed, also under a leader that stays', () => {
    const voters = ['n1', 'n2', 'n3'];
    const cluster = new VirtualCluster({ voters, config: { applyBytesMax: 30 }, recentMax: 0 });
    cluster.elect('n1');
    proposeMany(cluster, 20, 10);
    cluster.pass(500);
    cluster.crash('n3');
    cluster.member('n3').applied = [];
    cluster.restart('n3');
    cluster.timeout('n1');
    while (cluster.member('n3').toRead.length === 0 && cluster.deliver() !== undefined);
    expect(cluster.member('n3').toRead.length).toBe(1);
    cluster.member('n3').toRead.length = 0;
    cluster.step('n3', { kind: 'entriesRead', reader: { for: 'apply' }, entries: [] });
    const { currentTerm } = cluster.raft('n3');
    cluster.pass(5_000);
    expect(cluster.raft('n3').currentTerm, 'nobody has stood for election').toBe(currentTerm);
    expect(cluster.member('n3').applied.length).toBe(21);
  });

  it('stop the node when the disk returns other entries than were committed', () => {
    const cluster = new VirtualCluster({ voters: ['n1'], recentMax: 0 });
    cluster.elect('n1');
    cluster.propose('n1', 'a');
    cluster.crash('n1');
    cluster.member('n1').applied = [];
    cluster.restart('n1');
    cluster.step('n1', { kind: 'timeout' });
    while (cluster.persist('n1'));
    expect(cluster.member('n1').toRead.length).toBe(1);
    const entries = cluster.member('n1').disk.entries.map((entry) => ({ ...entry, term: 9 }));
    const input = { kind: 'entriesRead', reader: { for: 'apply' }, entries } as const;
    expect(() => cluster.step('n1', input)).toThrow(/the disk returned entry 1 of term 9/);
  });
});

describe('config', () => {
  it('has defaults within its bounds, and names the field that is not', () => {
    expect(() => validateRaftConfig(defaultRaftConfig)).not.toThrow();
    const wrong: [Partial<RaftConfig>, RegExp][] = [
      [{ readsMax: 0 }, /raft\.readsMax/],
      [{ electionTimeoutMsMax: 900 }, /raft\.electionTimeoutMsMax/],
      [{ linkDownElectionMsMax: 10 }, /raft\.linkDownElectionMsMax/],
      [{ heartbeatIntervalMs: 334 }, /raft\.heartbeatIntervalMs/],
    ];
    for (const [part, message] of wrong) {
      const validate = () => validateRaftConfig({ ...defaultRaftConfig, ...part });
      expect(validate).toThrow(message);
      expect(validate).toThrow(KvorumError);
    }
  });
});

describe('terms', () => {
  it('bring members together again, however far apart they are', () => {
    const cluster = led({});
    cluster.passes = () => false;
    const message = { kind: 'requestVoteResult', to: 'n2', voteGranted: false, refusal: undefined } as const;
    cluster.step('n2', { kind: 'message', message: { ...message, from: 'n3', term: 2 ** 50 } });
    cluster.step('n3', { kind: 'message', message: { ...message, from: 'n1', to: 'n3', term: 2 ** 51 } });
    cluster.passes = () => true;
    cluster.pass(10_000);
    const terms = three.map((nodeId) => cluster.raft(nodeId).currentTerm);
    expect(new Set(terms).size).toBe(1);
    expect(terms[0]).toBeGreaterThanOrEqual(2 ** 51);
    expect(three.filter((nodeId) => cluster.raft(nodeId).role === 'leader')).toHaveLength(1);
  });

  it('that leave no room for elections to come are not followed', () => {
    const cluster = led({});
    const message = {
      kind: 'requestVoteResult',
      from: 'n3',
      to: 'n2',
      voteGranted: false,
      refusal: undefined,
    } as const;
    const lift = (term: number) => cluster.step('n2', { kind: 'message', message: { ...message, term } });
    expect(() => lift(termMax + 1)).toThrow(/which nobody follows/);
    expect(cluster.raft('n2').currentTerm).toBe(1);
    lift(termMax);
    expect(cluster.raft('n2').currentTerm).toBe(termMax);
  });

  it('of nodes that are no members change nothing', () => {
    const cluster = led({});
    const last = { lastLogIndex: 99, lastLogTerm: 9, leadershipTransfer: true };
    const from = { from: 'stranger', to: 'n2', term: 9 };
    for (const message of [
      { kind: 'requestVote', ...from, ...last },
      { kind: 'preVote', ...from, ...last },
      { kind: 'requestVoteResult', ...from, voteGranted: true, refusal: undefined },
      { kind: 'appendEntriesResult', ...from, success: true, matchIndex: 1, hintIndex: 0, hintTerm: 0 },
      { kind: 'heartbeatResult', ...from, round: 1, commitIndex: 0, commitTerm: 0 },
      { kind: 'readIndex', ...from, requestId: 1 },
      { kind: 'timeoutNow', ...from },
    ] as const) {
      const { messages } = cluster.step('n2', { kind: 'message', message });
      expect(messages).toEqual([]);
      expect(cluster.raft('n2')).toMatchObject({ currentTerm: 1, role: 'follower' });
    }
  });
});
