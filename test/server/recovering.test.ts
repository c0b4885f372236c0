// What a member with a damaged disk must hear, which process of a peer is heard, and when it votes again.

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CatchUp, catchUpRequestIds } from '../../src/server/replica/catch-up.js';
import type { LoopInput } from '../../src/server/replica/loop.js';
import { Incarnations } from '../../src/server/peers/incarnations.js';
import { RecoveryRule } from '../../src/server/life/recovering.js';

const three = ['n1', 'n2', 'n3'];
const five = ['n1', 'n2', 'n3', 'n4', 'n5'];

describe('a member that recovers', () => {
  test('waits for every other member, and starts in the largest term it heard', () => {
    const recovering = new RecoveryRule({ nodeId: 'n2', memberIds: three });
    expect(recovering.missing).toEqual(['n1', 'n3']);
    expect(recovering.heard({ nodeId: 'n1', currentTerm: 9 })).toEqual({ kind: 'wait', missing: ['n3'] });
    expect(recovering.heard({ nodeId: 'n3', currentTerm: 4 })).toEqual({ kind: 'rebuild', floor: 9 });
  });

  test('counts nobody twice, and neither itself nor strangers', () => {
    const recovering = new RecoveryRule({ nodeId: 'n1', memberIds: five });
    for (const nodeId of ['n2', 'n2', 'n1', 'stranger', 'n3', 'n4']) {
      expect(recovering.heard({ nodeId, currentTerm: 3 }).kind).toBe('wait');
    }
    expect(recovering.heard({ nodeId: 'n5', currentTerm: 3 }).kind).toBe('rebuild');
  });

  test('goes on with others that recover too, as long as a majority knows its terms', () => {
    const recovering = new RecoveryRule({ nodeId: 'n1', memberIds: five });
    recovering.heard({ nodeId: 'n2', currentTerm: undefined });
    recovering.heard({ nodeId: 'n3', currentTerm: 5 });
    recovering.heard({ nodeId: 'n4', currentTerm: 6 });
    expect(recovering.heard({ nodeId: 'n5', currentTerm: 2 })).toEqual({ kind: 'rebuild', floor: 6 });
    expect(recovering.damaged).toEqual(['n2']);
  });

  test('waits without a majority that knows its terms, until one comes back with its own', () => {
    const recovering = new RecoveryRule({ nodeId: 'n1', memberIds: three });
    recovering.heard({ nodeId: 'n2', currentTerm: 7 });
    expect(recovering.heard({ nodeId: 'n3', currentTerm: undefined })).toEqual({ kind: 'wait', missing: [] });
    expect(recovering.heard({ nodeId: 'n3', currentTerm: 6 })).toEqual({ kind: 'rebuild', floor: 7 });
  });

  test('forgets nothing that a member said, whatever it says when it is asked again', () => {
    const recovering = new RecoveryRule({ nodeId: 'n1', memberIds: three });
    recovering.heard({ nodeId: 'n2', currentTerm: 8 });
    recovering.heard({ nodeId: 'n2', currentTerm: undefined });
    recovering.heard({ nodeId: 'n2', currentTerm: 3 });
    expect(recovering.heard({ nodeId: 'n3', currentTerm: 1 })).toEqual({ kind: 'rebuild', floor: 8 });
  });

  test('never has a floor below a term in which a vote of its may have elected someone', () => {
    // A world of members and what each has on its disk; `voters` elected someone in `term` with n1's vote.
    const world = fc.record({
      members: fc.constantFrom(3, 4, 5, 7),
      term: fc.integer({ min: 1, max: 20 }),
      terms: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 6, maxLength: 6 }),
      damaged: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      order: fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
    });
    fc.assert(
      fc.property(world, ({ members, term, terms, damaged, order }) => {
        const memberIds = Array.from({ length: members }, (_, i) => `n${i + 1}`);
        const others = memberIds.slice(1);
        const votersNeeded = Math.floor(members / 2);
        const byOrder = others.map((_, i) => i).sort((a, b) => (order[a] ?? 0) - (order[b] ?? 0));
        const voters = new Set(byOrder.slice(0, votersNeeded));
        const recovering = new RecoveryRule({ nodeId: 'n1', memberIds });
        let floor: number | undefined;
        others.forEach((nodeId, i) => {
          // Who helped to elect has the term, or a later one, on its disk; or has lost it.
          const own = Math.max(terms[i] ?? 1, voters.has(i) ? term : 0);
          const step = recovering.heard({ nodeId, currentTerm: damaged[i] === true ? undefined : own });
          if (step.kind === 'rebuild') floor = step.floor;
        });
        if (floor !== undefined) expect(floor).toBeGreaterThanOrEqual(term);
      }),
      { numRuns: 500 },
    );
  });
});

describe('which process of a peer is heard', () => {
  const proved = (heard: Incarnations, letter: string, challengedAt = heard.challenge(), isDialed = false) =>
    heard.proved('n2', letter, challengedAt, isDialed);

  test('is the one that proved itself last, as often as it likes', () => {
    const heard = new Incarnations();
    expect(proved(heard, 'a')).toBe('newer');
    expect(proved(heard, 'a')).toBe('known');
    expect(proved(heard, 'b')).toBe('newer');
    expect(proved(heard, 'b')).toBe('known');
    expect(heard.proved('n3', 'b', heard.challenge(), false)).toBe('newer');
  });

  test('is not one that answers a number from before another one proved itself', () => {
    const heard = new Incarnations();
    const early = heard.challenge();
    proved(heard, 'a');
    proved(heard, 'b');
    for (const isDialed of [false, true]) {
      expect(proved(heard, 'a', early, isDialed)).toBe('late');
      expect(proved(heard, 'never seen', early, isDialed)).toBe('late');
    }
    expect(proved(heard, 'b', early)).toBe('known');
  });

  test('is not one that another one has followed, unless it answers at the address', () => {
    const heard = new Incarnations();
    proved(heard, 'original');
    expect(proved(heard, 'copy')).toBe('newer');
    expect(proved(heard, 'original')).toBe('twice');
    expect(proved(heard, 'copy')).toBe('known');
    expect(proved(heard, 'original', heard.challenge(), true)).toBe('newer');
    expect(proved(heard, 'original')).toBe('known');
    expect(proved(heard, 'copy')).toBe('twice');
    expect(proved(heard, 'restarted')).toBe('newer');
  });

  test('takes back what was lost once', () => {
    const heard = new Incarnations();
    expect(heard.takesBack('n2', true)).toBe(false);
    proved(heard, 'a');
    expect(heard.takesBack('n2', false)).toBe(false);
    proved(heard, 'b');
    expect(heard.takesBack('n2', true)).toBe(true);
    expect(heard.takesBack('n2', true)).toBe(false);
    proved(heard, 'c');
    expect(heard.takesBack('n2', true)).toBe(true);
  });
});

describe('catching up', () => {
  interface View {
    leaderId: string | undefined;
    appliedIndex: number;
    durableIndex: number;
  }

  function bench(): { view: View; asked: number[]; catchUp: CatchUp; isOver: () => boolean } {
    const view: View = { leaderId: undefined, appliedIndex: 0, durableIndex: 0 };
    const asked: number[] = [];
    let over = 0;
    let told = 0;
    const step = (input: LoopInput): undefined => {
      if (input.kind === 'readIndex') asked.push(input.requestId);
      // Only what is durable already may be told to the core.
      else if (input.kind === 'caughtUp' && over === 1) told++;
      else expect.unreachable(input.kind);
    };
    const catchUp = new CatchUp({ raft: view, loop: { step } }, 100, () => over++);
    return { view, asked, catchUp, isOver: () => over === 1 && told === 1 };
  }

  test('ends when what a leader had committed is applied and on its own disk', () => {
    const { view, asked, catchUp, isOver } = bench();
    catchUp.check();
    expect(asked).toEqual([]);
    view.leaderId = 'n1';
    catchUp.check();
    catchUp.check();
    expect(asked).toEqual([catchUpRequestIds + 101]);
    catchUp.confirm([{ requestId: catchUpRequestIds + 101, readIndex: 50 }]);
    catchUp.check();
    expect(isOver()).toBe(false);
    view.appliedIndex = 50;
    view.durableIndex = 49;
    catchUp.check();
    expect(isOver()).toBe(false);
    view.durableIndex = 50;
    catchUp.check();
    catchUp.check();
    expect(isOver()).toBe(true);
  });

  test('asks again when it got no answer, and takes none to an earlier question', () => {
    const { view, asked, catchUp, isOver } = bench();
    view.leaderId = 'n1';
    catchUp.check();
    catchUp.fail([7]);
    catchUp.check();
    expect(asked).toHaveLength(1);
    catchUp.fail(asked);
    catchUp.check();
    expect(asked).toHaveLength(2);
    catchUp.confirm([{ requestId: asked[0] ?? 0, readIndex: 0 }]);
    catchUp.check();
    expect(isOver()).toBe(false);
    catchUp.confirm([{ requestId: asked[1] ?? 0, readIndex: 0 }]);
    catchUp.check();
    expect(isOver()).toBe(true);
  });
});
