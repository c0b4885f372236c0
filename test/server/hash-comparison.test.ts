// Members that compare their state hashes over a network of the test: who says what, who stops, who does not.

import { describe, expect, it } from 'vitest';
import {
  HashComparison,
  type HashComparisonHost,
  type HashDifference,
} from '../../src/server/replica/hash-comparison.js';
import type { StateHashFrame } from '../../src/wire/peers/frames.js';

interface Member {
  readonly comparison: HashComparison;
  applied: number;
  formatLevel: number;
  /** From this index on its hash is another one than that of the others. */
  wrongFrom: number;
  wrongAs: string;
  isUp: boolean;
  readonly alarms: number[];
  readonly agreed: number[];
  stopped: HashDifference | undefined;
}

class Stage {
  nowMs = 0;
  leaderId = 'n1';
  sent: { from: string; to: string; frame: StateHashFrame }[] = [];
  readonly members = new Map<string, Member>();

  constructor(count = 3) {
    const voters = Array.from({ length: count }, (_, i) => `n${i + 1}`);
    for (const nodeId of voters) this.members.set(nodeId, this.createMember(nodeId, voters));
  }

  member(nodeId: string): Member {
    const member = this.members.get(nodeId);
    if (member === undefined) throw new Error(`no member ${nodeId}`);
    return member;
  }

  /** Everybody applies through `index`, a round is opened, and all that is sent arrives. */
  round(index: number, appliedBy: readonly string[] = [...this.members.keys()]): void {
    for (const nodeId of appliedBy) this.apply(nodeId, index);
    this.nowMs += 1_000;
    for (const { comparison } of this.members.values()) comparison.tick();
    this.deliver();
  }

  apply(nodeId: string, index: number): void {
    this.member(nodeId).applied = index;
    this.member(nodeId).comparison.applied(index);
  }

  deliver(): void {
    for (let message = this.sent.shift(); message !== undefined; message = this.sent.shift()) {
      const { from, to, frame } = message;
      if (this.member(to).isUp && this.member(from).isUp) this.member(to).comparison.receive(from, frame);
    }
  }

  get stopped(): string[] {
    return [...this.members].filter(([, { stopped }]) => stopped !== undefined).map(([nodeId]) => nodeId);
  }

  private createMember(nodeId: string, voters: string[]): Member {
    const host: HashComparisonHost = {
      nodeId,
      voters,
      nowMs: () => this.nowMs,
      isLeader: () => this.leaderId === nodeId,
      appliedIndex: () => member.applied,
      formatLevel: () => member.formatLevel,
      stateHashAt: (index) => {
        if (index > member.applied || index <= member.applied - 1_024) return undefined;
        return index >= member.wrongFrom ? `${member.wrongAs}${index}` : `hash${index}`;
      },
      send: (to, frame) => this.sent.push({ from: nodeId, to, frame }),
      differ: ({ index }) => member.alarms.push(index),
      agree: (index) => member.agreed.push(index),
      diverged: (difference) => {
        member.stopped = difference;
      },
    };
    const member: Member = {
      comparison: new HashComparison(host),
      ...{ applied: 0, formatLevel: 1, wrongFrom: Infinity, wrongAs: 'other', isUp: true },
      ...{ alarms: [], agreed: [], stopped: undefined },
    };
    return member;
  }
}

describe('members that hold the same', () => {
  it('say so once for each index, and nothing while nothing is applied', () => {
    const stage = new Stage();
    stage.round(10);
    stage.nowMs += 1_000;
    for (const { comparison } of stage.members.values()) comparison.tick();
    expect(stage.sent).toEqual([]);
    stage.round(11);
    for (const { alarms, agreed } of stage.members.values()) expect([alarms, agreed]).toEqual([[], []]);
  });

  it('answer once they have applied as much, and never with the hash of another index', () => {
    const stage = new Stage();
    stage.round(10, ['n1', 'n2']);
    stage.apply('n3', 9);
    expect(stage.sent).toEqual([]);
    stage.apply('n3', 12);
    expect(stage.sent.map(({ to, frame: { index, hash } }) => [to, index, hash])).toEqual([
      ['n1', 10, 'hash10'],
      ['n2', 10, 'hash10'],
    ]);
    stage.deliver();
    for (const { alarms } of stage.members.values()) expect(alarms).toEqual([]);
  });

  it('say nothing of what is not kept any more, and are asked again at the next index', () => {
    const stage = new Stage();
    stage.round(10, ['n1', 'n2']);
    stage.apply('n3', 5_000);
    expect(stage.sent).toEqual([]);
    stage.round(5_000);
    expect(stage.stopped).toEqual([]);
  });
});

describe('one that differs from a majority', () => {
  it.each(['n2', 'n1'])('%s stops, all have the alarm, the others go on', (wrong) => {
    const stage = new Stage();
    stage.member(wrong).wrongFrom = 20;
    stage.round(10);
    expect(stage.stopped).toEqual([]);
    stage.round(25);
    expect(stage.stopped).toEqual([wrong]);
    expect(stage.member(wrong).stopped?.index).toBe(25);
    for (const { alarms } of stage.members.values()) expect(alarms).toEqual([25]);
  });

  it('is over for the others once it holds the same as they do at a later index', () => {
    const stage = new Stage();
    stage.member('n3').wrongFrom = 20;
    stage.round(25);
    stage.member('n3').isUp = false;
    stage.round(30, ['n1', 'n2']);
    expect(stage.member('n1').comparison.difference?.index).toBe(25);
    for (const nodeId of ['n1', 'n2']) {
      stage.member(nodeId).comparison.peerUp('n3');
      // Its next process, with the state of the others.
      const frame = { kind: 'stateHash', index: 30, formatLevel: 1, hash: 'hash30', asks: false } as const;
      stage.member(nodeId).comparison.receive('n3', frame);
      expect(stage.member(nodeId).agreed).toEqual([30]);
      expect(stage.member(nodeId).comparison.difference).toBeUndefined();
    }
  });

  it('is asked when it comes back, although nothing was applied since', () => {
    const stage = new Stage();
    stage.round(10);
    stage.member('n3').wrongFrom = 5;
    stage.member('n1').comparison.peerUp('n3');
    stage.round(10);
    expect(stage.sent).toEqual([]);
    expect(stage.member('n1').alarms).toEqual([]);
  });
});

describe('without a majority', () => {
  it('two against two is an alarm everywhere, and nobody stops', () => {
    const stage = new Stage(4);
    stage.member('n3').wrongFrom = 5;
    stage.member('n4').wrongFrom = 5;
    stage.round(10);
    stage.round(11);
    expect(stage.stopped).toEqual([]);
    for (const { alarms } of stage.members.values()) expect(alarms).toEqual([10, 11]);
  });

  it('one against one heard of three is an alarm, until the third decides', () => {
    const stage = new Stage();
    stage.member('n1').wrongFrom = 5;
    stage.member('n3').isUp = false;
    stage.round(10);
    expect(stage.stopped).toEqual([]);
    expect(stage.member('n2').alarms).toEqual([10]);
    stage.member('n3').isUp = true;
    stage.round(10);
    expect(stage.stopped).toEqual(['n1']);
  });
});

it('hashes of another format level are not compared', () => {
  const stage = new Stage();
  stage.member('n2').formatLevel = 2;
  stage.member('n2').wrongFrom = 5;
  stage.round(10);
  for (const { alarms } of stage.members.values()) expect(alarms).toEqual([]);
});
