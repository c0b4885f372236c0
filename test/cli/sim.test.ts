// What `kvorum sim` makes of its arguments and of what runs come to.

import { describe, expect, test } from 'vitest';
import { createProgram } from '../../src/cli/main.js';
import { exitCodes } from '../../src/cli/terminal/exit-codes.js';
import { parseSeed } from '../../src/cli/sim/sim.js';
import { failureKindOf, type RunReport } from '../../src/cli/sim/jobs.js';
import { failuresKept, SimReport } from '../../src/cli/sim/report.js';
import { coverageMarks, manySeeds } from '../../src/sim/run/coverage-marks.js';
import type { InvariantId, Violation } from '../../src/sim/checkers/violations.js';

function run(seed: number, ...ids: InvariantId[]): RunReport {
  const violations = ids.map((id): Violation => ({ id, timeUs: 1, where: 'n1', message: 'first\nsecond' }));
  const facts = { seed, hash: 'abc', events: 1_000, virtualMs: 2_000, families: ['kill'], nodes: 3 };
  return { ...facts, violations, coverage: { kill: seed % 2, elections: 3 } };
}

describe('a seed', () => {
  test('is itself when it is a number, and a hash of any other text', () => {
    expect(parseSeed('0')).toBe(0);
    expect(parseSeed('4294967295')).toBe(4_294_967_295);
    const hashed = ['831ef5e', '99999999999', 'a text', '-1', '1.5'].map(parseSeed);
    for (const seed of hashed) {
      expect(Number.isInteger(seed) && seed >= 0 && seed <= 0xffff_ffff).toBe(true);
    }
    expect(new Set(hashed).size).toBe(hashed.length);
    expect(parseSeed('831ef5e')).toBe(parseSeed('831ef5e'));
    expect(() => parseSeed('')).toThrow();
  });
});

describe('the kind of a failure', () => {
  test.each<[InvariantId, string]>([
    ['electionSafety', 'safety'],
    ['realTimeOrder', 'safety'],
    ['acknowledgedWriteLost', 'safety'],
    ['convergence', 'liveness'],
    ['availability', 'liveness'],
    ['deadline', 'liveness'],
    ['unexpectedStop', 'exception'],
    ['exception', 'exception'],
  ])('of %s is %s', (id, kind) => {
    expect(failureKindOf(run(1, id))).toBe(kind);
  });

  test('is none when nothing broke, determinism when runs differed', () => {
    expect(failureKindOf(run(1))).toBeUndefined();
    const divergence = { eventsEqual: 3, first: undefined, hashes: ['a', 'b'] as const };
    expect(failureKindOf({ ...run(1), divergence })).toBe('determinism');
    expect(failureKindOf({ ...run(1, 'logMatching'), divergence })).toBe('safety');
  });
});

describe('the report', () => {
  test('fails for what is too rare over many seeds, when it is asked to', () => {
    const report = new SimReport(1);
    report.hasFloors = true;
    const coverage = Object.fromEntries(coverageMarks.map(({ name }) => [name, 1]));
    for (let seed = 1; seed < manySeeds; seed++) report.add({ ...run(seed), coverage }, false);
    expect(report.exitCode).toBe(exitCodes.ok);
    report.add({ ...run(manySeeds), coverage: {} }, false);
    expect(report.exitCode).toBe(exitCodes.ok);
    const poor = new SimReport(1);
    for (let seed = 1; seed <= manySeeds; seed++) poor.add({ ...run(seed), coverage: {} }, false);
    expect(poor.exitCode).toBe(exitCodes.ok);
    poor.hasFloors = true;
    expect(poor.exitCode).toBe(exitCodes.failure);
    expect(poor.lines().filter((line) => line.includes('too rare'))).toHaveLength(coverageMarks.length);
  });

  test('counts, adds up and gives the exit code of the worst failure', () => {
    const report = new SimReport(1);
    expect(report.add(run(1), true)).toBeUndefined();
    expect(report.exitCode).toBe(exitCodes.ok);
    expect(report.add(run(2, 'convergence'), true)?.kind).toBe('liveness');
    expect(report.exitCode).toBe(exitCodes.liveness);
    report.addError(3, 'fell over');
    expect(report.exitCode).toBe(exitCodes.exception);
    report.add(run(4, 'logMatching', 'stateMachineSafety'), true);
    report.interrupted = true;
    expect(report.exitCode).toBe(exitCodes.safety);
    const json = report.toJson();
    expect(json).toMatchObject({ firstSeed: 1, seeds: 4, passed: 1, failed: 3, interrupted: true });
    expect(json['coverage']).toEqual({ kill: { sum: 1, seeds: 1 }, elections: { sum: 9, seeds: 3 } });
    const text = report.lines().join('\n');
    expect(text).toContain('seeds 1 to 4: 1 passed, 3 failed, interrupted');
    expect(text).toContain('safety, breaks logMatching on n1: first');
    expect(text).toContain('fell over');
  });

  test('says that it was interrupted when nothing failed', () => {
    const report = new SimReport(1);
    report.interrupted = true;
    expect(report.exitCode).toBe(exitCodes.interrupted);
    expect(report.lines()[0]).toBe('no seed finished, interrupted');
    report.add(run(1), false);
    expect(report.lines().join('\n')).toContain('seed 1: 1 passed, 0 failed, interrupted\n1 seed, ');
  });

  test('fails when something that was asked for could not be written', () => {
    const report = new SimReport(1);
    report.isIncomplete = true;
    expect(report.exitCode).toBe(exitCodes.failure);
    report.add(run(1, 'convergence'), true);
    expect(report.exitCode).toBe(exitCodes.liveness);
  });

  test('keeps the first failures only', () => {
    const report = new SimReport(1);
    for (let seed = 1; seed <= 2 * failuresKept; seed++) report.add(run(seed, 'logMatching'), true);
    expect(report.failures).toHaveLength(failuresKept);
    expect(report.failed).toBe(2 * failuresKept);
    expect(report.lines().join('\n')).toContain(`${failuresKept} more failures`);
  });
});

describe('the help', () => {
  test('lists the faults and the exit codes', () => {
    const sim = createProgram().commands.find((command) => command.name() === 'sim');
    let text = '';
    sim?.configureOutput({ writeOut: (part) => (text += part) }).outputHelp();
    for (const words of ['--seeds', '--replay', '--no-shrink', 'partition', 'clientPause', '10 a promise']) {
      expect(text).toContain(words);
    }
    for (const line of text.split('\n')) expect(line).not.toMatch(/undefined/);
  });
});
