// The plan of a chaos run is data from a seed; what its faults mean for the links follows from their dice.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { networkFault, type NetworkFault } from '../../src/chaos/faults/network-faults.js';
import { defaultFaults, faultKinds, faultNames, makePlan } from '../../src/chaos/plan.js';

const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const someFaults = fc.subarray([...faultNames], { minLength: 1 });

describe('a plan', () => {
  test('is the same for the same seed, and another for another', () => {
    const options = { nodes: 3, durationMs: 120_000, faults: faultNames };
    expect(makePlan({ ...options, seed: 5 })).toEqual(makePlan({ ...options, seed: 5 }));
    expect(makePlan({ ...options, seed: 5 })).not.toEqual(makePlan({ ...options, seed: 6 }));
  });

  test('of ten minutes has at least 100 faults of nearly every kind', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const { faults } = makePlan({ seed, nodes: 3, durationMs: 600_000, faults: defaultFaults });
        expect(faults.length).toBeGreaterThan(130);
        expect(new Set(faults.map(({ kind }) => kind)).size).toBeGreaterThan(defaultFaults.length - 6);
      }),
      { numRuns: 200 },
    );
  });

  test('keeps to the faults asked for and to its time', () => {
    fc.assert(
      fc.property(seeds, someFaults, fc.integer({ min: 5_000, max: 90_000 }), (seed, faults, durationMs) => {
        const plan = makePlan({ seed, nodes: 5, durationMs, faults });
        let before = 0;
        plan.faults.forEach((fault, index) => {
          expect(fault.id).toBe(index + 1);
          expect(faults).toContain(fault.kind);
          expect(fault.atMs).toBeGreaterThanOrEqual(before);
          expect(fault.durationMs).toBeGreaterThanOrEqual(0);
          expect(fault.atMs + fault.durationMs).toBeLessThanOrEqual(durationMs - 1_000);
          expect(faultKinds[fault.kind].scopes as readonly string[]).toContain(fault.scope);
          before = fault.atMs;
        });
      }),
    );
  });
});

describe('a fault of the network', () => {
  const clients = ['c1', 'c2'];
  const kinds: NetworkFault[] = [
    'one-way',
    'isolate',
    'split',
    'ring',
    'flapping',
    'slow',
    'lossy',
    'drop',
    'clients',
  ];

  test.each(kinds)('%s touches somebody, and does what its name says', (kind) => {
    fc.assert(
      fc.property(seeds, fc.constantFrom(3, 5), fc.nat(4), (seed, size, pick) => {
        const nodes = Array.from({ length: size }, (_, index) => `n${index + 1}`);
        const victim = nodes[pick % size] ?? 'n1';
        const dice = new Prng(seed);
        const { rule, words } = networkFault(kind, { nodes, clients, victims: [victim], dice });
        const cut = (from: string, to: string): boolean => rule.flow?.(from, to)?.mode === 'hold';
        const pairs = nodes.flatMap((from) =>
          nodes.filter((to) => to !== from).map((to) => [from, to] as const),
        );
        expect(words.length).toBeGreaterThan(5);
        for (const [from, to] of pairs) {
          const touched = from === victim || to === victim;
          if (kind === 'isolate' || kind === 'flapping') expect(cut(from, to)).toBe(touched);
          if (kind === 'one-way' && cut(from, to)) expect(touched && !cut(to, from)).toBe(true);
          if (kind === 'split') expect(cut(from, to)).toBe(cut(to, from));
          if (kind === 'clients') expect(rule.flow?.(from, to)).toBeUndefined();
          if (kind === 'drop' && from !== victim) expect(rule.flow?.(from, to)).toBeUndefined();
        }
        const cuts = pairs.filter(([from, to]) => cut(from, to)).length;
        if (kind === 'one-way') expect(cuts).toBe(size - 1);
        // Everybody reaches two others, or with three nodes one.
        if (kind === 'ring') expect(cuts).toBe(size === 3 ? 3 : size * (size - 3));
        if (kind === 'split') expect(cuts).toBeGreaterThanOrEqual(2 * (size - 1));
        const all = [...nodes, ...clients];
        const touches = all.some((from) =>
          all.some((to) => rule.flow?.(from, to) !== undefined || rule.refuses?.(from, to) === true),
        );
        expect(touches).toBe(true);
      }),
    );
  });
});
