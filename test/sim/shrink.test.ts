// Shrinking: what is not needed goes, what remains is a sound plan that breaks the same promise.

import { describe, expect, it } from 'vitest';
import type { InvariantId, Violation } from '../../src/sim/checkers/violations.js';
import { checkReferences } from '../../src/sim/plan/file-references.js';
import { readPlan, writePlan } from '../../src/sim/plan/file.js';
import { planOf } from '../../src/sim/plan/draw.js';
import type { Plan } from '../../src/sim/plan/plan.js';
import { type ShrinkProgress, shrinkPlan, sizeOf } from '../../src/sim/run/shrink.js';
import { endingAt, withoutClient, withoutMachine } from '../../src/sim/plan/shrink-steps.js';

const plan = planOf(2, { safetyMs: 20_000, nodes: 5, families: ['kill', 'partition', 'pause', 'storm'] });

function violation(id: InvariantId, timeMs = plan.safetyMs): Violation {
  return { id, timeUs: timeMs * 1000, where: 'n1', message: 'made up' };
}

/** Fails as long as the plan has a kill, two writes of the first client and three machines. */
function needy({ faults, operations, machines }: Plan): Violation | undefined {
  const kills = faults.filter(({ kind }) => kind === 'crash').length;
  const writes = operations.filter(({ client, kind }) => client === 0 && kind === 'put').length;
  return kills >= 1 && writes >= 2 && machines.length >= 3 ? violation('logMatching') : undefined;
}

describe('shrinking', () => {
  it('leaves what the failure needs, and nothing else', () => {
    const { plan: small, violation: found } = shrinkPlan(plan, { check: needy });
    expect(found.id).toBe('logMatching');
    expect(needy(small)).toBeDefined();
    expect(sizeOf(small)).toBe(3);
    expect(small.machines).toHaveLength(3);
    expect(small.clients).toHaveLength(1);
    expect(small.safetyMs).toBeLessThan(plan.safetyMs);
    expect(small.conditions).toMatchObject({ loss: 0, duplication: 0, reordering: 0 });
    expect(readPlan(writePlan(small))).toEqual(small);
  });

  it('runs sound plans only', () => {
    shrinkPlan(plan, {
      check: (candidate) => {
        checkReferences(candidate);
        return needy(candidate);
      },
    });
  });

  it('does not take another promise for the same one', () => {
    const check = (candidate: Plan): Violation | undefined => {
      if (needy(candidate) !== undefined) return violation('logMatching');
      return candidate.faults.length > 0 ? violation('electionSafety') : undefined;
    };
    const { plan: small, violation: found } = shrinkPlan(plan, { check });
    expect(found.id).toBe('logMatching');
    expect(needy(small)).toBeDefined();
  });

  it('cuts the run right after a violation that was seen on the way', () => {
    const check = ({ safetyMs }: Plan): Violation | undefined =>
      safetyMs > 7_000 ? violation('logMatching', 7_000) : undefined;
    const { plan: small, runs } = shrinkPlan(plan, { check });
    expect(small.safetyMs).toBe(7_001);
    expect(sizeOf(small)).toBe(0);
    expect(runs).toBeLessThan(200);
  });

  it('tries other dice where leaving something out shifts the moment', () => {
    // Fails with two of three dice, whatever is in the plan.
    const check = ({ seed }: Plan): Violation | undefined =>
      seed === plan.seed || seed % 3 !== 0 ? violation('logMatching') : undefined;
    expect(sizeOf(shrinkPlan(plan, { check }).plan)).toBe(0);
  });

  it('ends when it is told to, with the best plan so far', () => {
    let runs = 0;
    const seen: ShrinkProgress[] = [];
    const result = shrinkPlan(plan, {
      check: (candidate) => {
        runs++;
        return needy(candidate);
      },
      runsMax: 20,
      onProgress: (progress) => seen.push(progress),
    });
    expect(result.runs).toBe(20);
    expect(runs).toBe(20);
    expect(needy(result.plan)).toBeDefined();
    expect(seen.at(-1)?.runs).toBe(20);
    expect(shrinkPlan(plan, { check: needy, isOver: () => true }).plan).toEqual(plan);
  });

  it('refuses a plan that breaks nothing', () => {
    expect(() => shrinkPlan(plan, { check: () => undefined })).toThrow(/breaks no promise/);
  });
});

describe('the steps', () => {
  it('keep positions and names right', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const drawn = planOf(seed);
      for (const client of drawn.clients.keys()) checkReferences(withoutClient(drawn, client));
      for (const node of drawn.machines.keys()) {
        const smaller = withoutMachine(drawn, node);
        if (smaller !== undefined) checkReferences(smaller);
      }
      checkReferences(endingAt(drawn, drawn.safetyMs / 3));
    }
  });

  it('never leave a cluster without machines, or a core that is a minority', () => {
    expect(withoutMachine({ ...plan, machines: plan.machines.slice(0, 1) }, 0)).toBeUndefined();
    const others = [3, 4].map((node) => ({ node, state: 'dead' as const }));
    const cored = { ...plan, core: { nodes: [0, 1, 2], others } };
    expect(withoutMachine(cored, 0)).toBeUndefined();
    expect(withoutMachine(cored, 3)?.core).toEqual({
      nodes: [0, 1, 2],
      others: [{ node: 3, state: 'dead' }],
    });
  });
});
