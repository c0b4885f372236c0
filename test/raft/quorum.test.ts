// Majorities against the definition: a quorum is any set with more than half of the voters, of each
// configuration.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMember, isVoter, peersOf, quorumValue, voteResult } from '../../src/raft/quorum.js';
import type { Configuration, NodeId } from '../../src/raft/types.js';

const nodeIds = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const voters = fc.shuffledSubarray(nodeIds, { minLength: 1 });
const simple = fc.record({ voters, learners: fc.constant<NodeId[]>(['l']) });
const joint = fc.record({ voters, outgoingVoters: voters, learners: fc.constant<NodeId[]>(['l']) });
const configurations: fc.Arbitrary<Configuration> = fc.oneof(simple, joint);

function hasMajority(set: ReadonlySet<NodeId>, of: readonly NodeId[]): boolean {
  return of.filter((node) => set.has(node)).length > of.length / 2;
}

/** By definition: more than half of each. */
function isQuorum(set: ReadonlySet<NodeId>, { voters: incoming, outgoingVoters }: Configuration): boolean {
  return hasMajority(set, incoming) && (outgoingVoters === undefined || hasMajority(set, outgoingVoters));
}

describe('quorum', () => {
  it('is won by votes of a quorum and lost when none can be had any more (§4.3)', () => {
    const answers = fc.dictionary(fc.constantFrom(...nodeIds, 'l', 'stranger'), fc.boolean());
    fc.assert(
      fc.property(configurations, answers, (configuration, given) => {
        const votes = new Map(Object.entries(given));
        const granted = new Set([...votes].filter(([, yes]) => yes).map(([node]) => node));
        const possible = new Set([...nodeIds, 'l'].filter((node) => votes.get(node) !== false));
        const expected = isQuorum(granted, configuration)
          ? 'won'
          : isQuorum(possible, configuration)
            ? 'pending'
            : 'lost';
        expect(voteResult(configuration, votes)).toBe(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('has reached the largest value that the voters of a quorum have reached', () => {
    const values = fc.array(fc.oneof(fc.nat(8), fc.constantFrom(Infinity, -Infinity)), {
      minLength: 7,
      maxLength: 7,
    });
    fc.assert(
      fc.property(configurations, values, (configuration, reached) => {
        const valueOf = (node: NodeId) => reached[nodeIds.indexOf(node)] ?? Infinity;
        const isReached = (value: number) =>
          isQuorum(new Set(nodeIds.filter((node) => valueOf(node) >= value)), configuration);
        const expected = Math.max(...reached.filter(isReached));
        expect(quorumValue(configuration, valueOf)).toBe(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('knows who is who', () => {
    const configuration = { voters: ['a', 'b'], outgoingVoters: ['b', 'c'], learners: ['l'] };
    expect(peersOf(configuration, 'b')).toEqual(['a', 'c', 'l']);
    expect(['a', 'b', 'c', 'l', 'x'].map((node) => isVoter(configuration, node))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(['c', 'l', 'x'].map((node) => isMember(configuration, node))).toEqual([true, true, false]);
  });
});
