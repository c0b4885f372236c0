// What a member and a leader say when a disk has forgotten what it promised, and that they never say it of
// messages that are only late.

import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/raft/messages.js';
import { append } from './leader-messages.js';
import { VirtualCluster, type PresetLogs } from './virtual-cluster.js';

const three = ['n1', 'n2', 'n3'];

/** n1 has committed entries 3 and 4 of term 2 with n3, whose disk was set back; n2 never had them. */
function setBack(preset: PresetLogs): VirtualCluster {
  const cluster = new VirtualCluster({ voters: three }, preset);
  cluster.mayContradict = true;
  // What was committed before the disk was set back is nothing to hold the others to.
  cluster.checker.isBlind = true;
  return cluster;
}

function contradictionsIn(cluster: VirtualCluster): unknown[] {
  const found: unknown[] = [];
  cluster.onStep = ({ nodeId }, _, { contradiction }) => {
    if (contradiction !== undefined) found.push([nodeId, contradiction]);
  };
  return found;
}

describe('a member with entries that a later majority never had', () => {
  const behind = { terms: [1, 1], currentTerm: 2, commitIndex: 2 };

  it('finds the entry of another term at its own commit index, and acknowledges nothing', () => {
    const cluster = setBack({ n1: { terms: [1, 1, 2, 2], currentTerm: 2, commitIndex: 4 } });
    const output = cluster.step('n1', append([2, 1], [3, 3, 3]));
    expect(output.contradiction).toEqual({
      term: 5,
      leaderId: 'n2',
      memberId: 'n1',
      index: 4,
      memberTerm: 2,
      leaderTerm: 3,
    });
    expect(output.entries).toEqual([]);
    expect([...output.messages, ...output.messagesAfterPersist]).toEqual([]);
    expect(cluster.raft('n1').lastIndex).toBe(4);
  });

  it('finds it below its commit index, where the message ends, or where it begins', () => {
    for (const message of [append([2, 1], [3]), append([3, 3], []), append([4, 3], [3, 3])]) {
      const cluster = setBack({ n1: { terms: [1, 1, 2, 2], currentTerm: 2, commitIndex: 4 } });
      expect(cluster.step('n1', message).contradiction).toMatchObject({ memberTerm: 2, leaderTerm: 3 });
    }
  });

  it('meets the leader: the first that is heard ends it', () => {
    const cluster = setBack({
      n1: { terms: [1, 1, 2, 2], currentTerm: 2, commitIndex: 4 },
      n2: behind,
      n3: behind,
    });
    cluster.passes = ({ from, to }: Message) => from !== 'n1' && to !== 'n1';
    cluster.elect('n2');
    const found = contradictionsIn(cluster);
    cluster.passes = () => true;
    cluster.step('n2', { kind: 'peerUp', peer: 'n1' });
    cluster.deliver();
    expect(found).toMatchObject([['n1', { memberId: 'n1', leaderId: 'n2', index: 3, leaderTerm: 3 }]]);
  });

  it('is told by the leader where its own log begins after all that the leader has', () => {
    const cluster = setBack({
      n1: { terms: [1, 1, 2, 2], currentTerm: 2, commitIndex: 4, baseIndex: 4 },
      n2: behind,
      n3: behind,
    });
    cluster.passes = ({ from, to }: Message) => from !== 'n1' && to !== 'n1';
    cluster.elect('n2');
    const found = contradictionsIn(cluster);
    cluster.passes = () => true;
    cluster.pass(60);
    expect(found).toContainEqual(['n2', expect.objectContaining({ memberId: 'n1', index: 4 })]);
    expect(found).toContainEqual(['n1', expect.objectContaining({ memberId: 'n1', index: 4 })]);
    const [peer] = cluster.raft('n2').progress();
    expect(peer, 'nothing of it counts').toMatchObject({ peer: 'n1', matchIndex: 0 });
  });

  it('does not answer a read at an index where the leader has another entry', () => {
    const cluster = setBack({ n1: { terms: [1, 1, 2, 2], currentTerm: 3, commitIndex: 4 } });
    const envelope = { from: 'n2', to: 'n1', term: 3 } as const;
    const heartbeat = { ...envelope, kind: 'heartbeat', leaderCommit: 0, round: 1 } as const;
    cluster.step('n1', { kind: 'message', message: heartbeat });
    cluster.step('n1', { kind: 'readIndex', requestId: 7 });
    const answer = { ...envelope, kind: 'readIndexResult', requestId: 7, readIndex: 4 } as const;
    const output = cluster.step('n1', { kind: 'message', message: answer });
    expect(output.contradiction).toMatchObject({ index: 4, memberTerm: 2, leaderTerm: 3 });
    expect(output.reads).toEqual([]);
  });
});

describe('no contradiction', () => {
  /** Throws when a step says otherwise. */
  function healthy(preset: PresetLogs): VirtualCluster {
    return new VirtualCluster({ voters: three }, preset);
  }

  it('is a late message of the same leader, however old', () => {
    const cluster = healthy({ n1: { terms: [1, 1, 3, 3, 3], currentTerm: 3, commitIndex: 5 } });
    for (const message of [append([0, 0], [1]), append([2, 1], []), append([2, 1], [3])]) {
      cluster.step('n1', message);
    }
    const output = cluster.step('n1', append([2, 1], [3, 3, 3, 3]));
    expect(output.entries.map(({ index }) => index)).toEqual([6]);
  });

  it('is what begins below the base of the log: its terms are not known any more', () => {
    const cluster = healthy({
      n1: { terms: [1, 1, 3, 3, 3], currentTerm: 3, commitIndex: 5, baseIndex: 4 },
    });
    cluster.step('n1', append([0, 0], [1, 1]));
    cluster.step('n1', append([1, 1], [1]));
    cluster.step('n1', append([1, 1], [1, 3, 3, 3]));
    expect(cluster.raft('n1').commitIndex).toBe(5);
  });

  it('is a notice that came with the wrong index, of somebody else, or of a term that is over', () => {
    const cluster = healthy({ n1: { terms: [1, 1, 2, 3], currentTerm: 3, commitIndex: 3 } });
    cluster.step('n1', append([4, 3], []));
    const notice = {
      kind: 'historyDiffers',
      from: 'n2',
      to: 'n1',
      term: 3,
      index: 3,
      leaderTerm: 2,
    } as const;
    for (const message of [
      notice,
      { ...notice, index: 4, leaderTerm: 1 },
      { ...notice, from: 'n3', leaderTerm: 1 },
      { ...notice, term: 4, leaderTerm: 1 },
    ]) {
      expect(cluster.step('n1', { kind: 'message', message }).contradiction).toBeUndefined();
    }
  });

  it('is a member that has heard of fewer commits than the leader, or just as many', () => {
    const cluster = healthy({});
    cluster.elect('n1');
    cluster.propose('n1', 'a', 'b');
    cluster.pass(500);
    expect(cluster.raft('n3').commitIndex).toBe(3);
  });
});
