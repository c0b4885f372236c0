// Plans are drawn within what may be demanded of them afterwards, and as varied as they are meant to be.

import { describe, expect, it } from 'vitest';
import { checkAtlas, damagedBy, damagedMax } from '../../src/sim/plan/fault-atlas.js';
import { faultKinds } from '../../src/sim/plan/fault-rules.js';
import type { Fault } from '../../src/sim/plan/faults.js';
import { familyNames } from '../../src/sim/plan/families.js';
import { planOf } from '../../src/sim/plan/draw.js';
import type { Plan } from '../../src/sim/plan/plan.js';
import { readPlan, writePlan } from '../../src/sim/plan/file.js';
import { nodeConfigOf } from '../../src/sim/world/machine/config.js';

const plans: readonly Plan[] = Array.from({ length: 400 }, (_, i) => planOf(i + 1));
const share = (isSo: (plan: Plan) => boolean): number => plans.filter(isSo).length / plans.length;

describe('plans', () => {
  it('are the same for the same seed, and can be written and read', () => {
    for (const plan of plans.slice(0, 20)) {
      expect(planOf(plan.seed)).toEqual(plan);
      expect(readPlan(writePlan(plan))).toEqual(plan);
    }
  });

  it('have no faults but those that were chosen, and can be read also when they are short', () => {
    for (let seed = 1; seed <= 200; seed++) {
      expect(planOf(seed, { families: [] }).faults).toEqual([]);
      for (const { kind } of planOf(seed, { families: ['kill'] }).faults) expect(kind).toBe('crash');
      const short = planOf(seed, { safetyMs: 1_000 });
      expect(readPlan(writePlan(short))).toEqual(short);
    }
  });

  it('have clusters of all sizes, runs of all lengths, and all numbers of families', () => {
    const isOf =
      (nodes: number) =>
      ({ machines }: Plan): boolean =>
        machines.length === nodes;
    expect(share(isOf(1))).toBeGreaterThan(0.02);
    expect(share(isOf(3))).toBeGreaterThan(0.4);
    expect(share(isOf(5))).toBeGreaterThan(0.25);
    expect(share(isOf(7))).toBeGreaterThan(0.05);
    expect(share(({ safetyMs }) => safetyMs === 20_000)).toBeGreaterThan(0.6);
    expect(share(({ safetyMs }) => safetyMs === 60_000)).toBeGreaterThan(0.15);
    expect(share(({ safetyMs }) => safetyMs === 300_000)).toBeGreaterThan(0.02);
    for (const count of [0, 1, 2, 3, 4, 5, familyNames.length]) {
      expect(
        share(({ families }) => families.length === count),
        `${count} families`,
      ).toBeGreaterThan(0.01);
    }
  });

  it('use every kind of fault, in time and by time', () => {
    const kinds = new Set(plans.flatMap(({ faults }) => faults.map(({ kind }) => kind)));
    expect([...kinds].sort()).toEqual([...faultKinds].sort());
    for (const { faults, safetyMs } of plans) {
      const times = faults.map(({ atMs }) => atMs);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      for (const fault of faults) {
        expect(fault.atMs).toBeLessThan(safetyMs);
        if ('untilMs' in fault) expect(fault.untilMs).toBeLessThanOrEqual(safetyMs);
      }
    }
  });

  it('damage a minority at most, and nothing of a cluster of one', () => {
    for (const { machines, faults } of plans) {
      checkAtlas(machines.length, faults);
      expect(damagedBy(faults).length).toBeLessThanOrEqual(damagedMax(machines.length));
    }
    expect(share(({ faults }) => damagedBy(faults).length > 0)).toBeGreaterThan(0.1);
    expect([1, 3, 5, 7].map(damagedMax)).toEqual([0, 1, 2, 3]);
  });

  it('want rest of a majority that nothing is done to any more', () => {
    for (const { machines, core, faults } of plans) {
      if (core === undefined) continue;
      const others = core.others.map(({ node }) => node);
      expect([...core.nodes, ...others].sort()).toEqual(machines.map((_, i) => i));
      expect(core.nodes.length).toBeGreaterThan(machines.length / 2);
      // Who refills itself waits for all others, so that nobody may be missing.
      if (damagedBy(faults).length > 0) expect(others).toEqual(damagedBy(faults));
    }
    expect(share(({ core }) => core !== undefined)).toBeGreaterThan(0.3);
  });

  it('turn knobs only as far as a node would start with', () => {
    for (const { knobs } of plans) expect(() => nodeConfigOf(knobs)).not.toThrow();
    expect(share(({ knobs }) => knobs.snapshotLogEntriesMax === 10)).toBeGreaterThan(0.2);
    expect(share(({ knobs }) => knobs.electionTimeoutMsMin === 60)).toBeGreaterThan(0.01);
  });
});

describe('the atlas', () => {
  const wipe = (node: number): Fault => ({
    ...{ kind: 'damage', atMs: 1, node, downMs: 1, damage: 'wipe', position: 0 },
  });
  const rot = (node: number): Fault => ({
    ...{ kind: 'damage', atMs: 1, node, downMs: 1, damage: 'bitFlip', position: 0 },
  });

  it('refuses plans that nobody could survive, and says what is wrong', () => {
    expect(() => checkAtlas(3, [rot(0), rot(0)])).not.toThrow();
    expect(() => checkAtlas(3, [rot(0), rot(1)])).toThrow(/damages 2 of 3 machines, at most 1/);
    expect(() => checkAtlas(1, [rot(0)])).toThrow(/damages 1 of 1 machines, at most 0/);
    expect(() => checkAtlas(5, [wipe(0), wipe(1)])).not.toThrow();
    expect(() => checkAtlas(5, [wipe(0), rot(1)])).toThrow(/wipes one machine and damages another/);
  });
});
