// `kvorum sim` as users run it: seeds, plan files, failures, Ctrl-C.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makePlan } from '../../src/chaos/plan.js';
import { readPlan, writePlan } from '../../src/sim/plan/file.js';
import { planOf } from '../../src/sim/plan/draw.js';
import type { Plan } from '../../src/sim/plan/plan.js';
import { commandPath, endAll, runCommand, startCommand, temporaryFolder, untilSays } from './processes.js';

afterAll(endAll);

const quick = ['--nodes', '3', '--faults', 'kill,partition'];

/** A plan that cannot come to rest: nobody gives it time to. */
function hopelessPlan(): Plan {
  return { ...planOf(7, { safetyMs: 3_000, nodes: 3, families: ['kill'] }), healMs: 1 };
}

function planFile(plan: unknown): string {
  const path = join(temporaryFolder(), 'plan.json');
  writeFileSync(path, typeof plan === 'string' ? plan : writePlan(plan as Plan));
  return path;
}

describe('seeds', () => {
  test('pass, with coverage and rates; nothing is written', async () => {
    const cwd = temporaryFolder();
    const { code, stdout, stderr } = await runCommand(['sim', '--seeds', '3', ...quick], { cwd });
    expect(code, stderr + stdout).toBe(0);
    expect(stdout).toContain('seeds 1 to 3: 3 passed, 0 failed');
    expect(stdout).toMatch(/elections +\d+ +100 %/);
    expect(stdout).toMatch(/[\d.]+ seeds\/s, \d+ events\/s, \d+ virtual s\/s/);
    expect(readdirSync(cwd)).toEqual([]);
  });

  test('as one JSON document, from a seed that is a text', async () => {
    const parts = ['sim', '--seeds', '2', '--seed', 'b713c12', ...quick, '--json', '--workers', '1'];
    const { code, stdout, stderr } = await runCommand(parts);
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).toMatchObject({ seeds: 2, passed: 2, failed: 0, failures: [], interrupted: false });
    expect(Object.keys(report['coverage'] as object)).toContain('elections');
  });

  test('end with Ctrl-C at once, and still say what was found', async () => {
    const parts = ['sim', '--seeds', '1000000', ...quick, '--json', '--workers', '2'];
    const running = startCommand(parts);
    await untilSays(running, /[1-9]\d* seeds,/);
    running.child.kill('SIGINT');
    const { code, stdout } = await running.result;
    expect(code).toBe(130);
    const report = JSON.parse(stdout) as { seeds: number; interrupted: boolean };
    expect(report.interrupted).toBe(true);
    expect(report.seeds).toBeGreaterThan(0);
    expect(report.seeds).toBeLessThan(1_000_000);
  });
});

describe('a plan file', () => {
  test('is replayed with its trace in words and as lines of JSON', async () => {
    const plan = planOf(5, { safetyMs: 4_000, nodes: 3, families: ['kill'] });
    const traceFile = join(temporaryFolder(), 'trace.ndjson');
    const parts = ['sim', '--replay', planFile(plan), '--trace-json', traceFile, '--messages'];
    const { code, stdout, stderr } = await runCommand(parts);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('is leader in term');
    expect(stdout).toContain('sends appendEntries to');
    expect(stdout).toContain('seed 5: 1 passed, 0 failed');
    const events = readFileSync(traceFile, 'utf8').trimEnd().split('\n');
    const kinds = new Set(events.map((line) => (JSON.parse(line) as { kind: string }).kind));
    for (const kind of ['message', 'role', 'commit', 'call', 'answer', 'fault'])
      expect(kinds).toContain(kind);
  });

  test('may also be a seed: its plan is drawn and told', async () => {
    const parts = ['sim', '--replay', '5', '--nodes', '3', '--faults', 'kill'];
    const { code, stdout, stderr } = await runCommand(parts, { cwd: temporaryFolder() });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('is leader in term');
    expect(stdout).toContain('seed 5: 1 passed, 0 failed');
  });

  test('that breaks a promise gives the exit code of its kind, and is made small', async () => {
    const folder = join(temporaryFolder(), 'failures');
    const path = planFile(hopelessPlan());
    const { code, stdout, stderr } = await runCommand(['sim', '--replay', path, '--shrink', '--out', folder]);
    expect(code, stderr).toBe(11);
    expect(stdout).toMatch(/VIOLATES (availability|convergence)/);
    const small = readPlan(readFileSync(join(folder, 'seed-7.small.json'), 'utf8'));
    expect(small.faults.length + small.operations.length).toBeLessThan(10);
    expect(existsSync(join(folder, 'seed-7.small.trace.txt'))).toBe(true);
    const again = await runCommand(['sim', '--replay', join(folder, 'seed-7.small.json'), '--json']);
    expect(again.code).toBe(11);
    expect(JSON.parse(again.stdout)).toMatchObject({ failed: 1, kinds: { liveness: 1 } });
  });
});

test.runIf(existsSync('/dev/full'))('a trace for which there is no room fails the replay', async () => {
  const plan = planFile(planOf(5, { safetyMs: 1_000, nodes: 3, families: [] }));
  const { code, stdout, stderr } = await runCommand(['sim', '--replay', plan, '--trace-json', '/dev/full']);
  expect(code).toBe(1);
  expect(stdout).toContain('1 passed');
  expect(stderr).toContain('--trace-json /dev/full is not complete: ENOSPC');
});

describe('is refused', () => {
  test.each([
    ['an unknown fault', ['--faults', 'kill,meteor'], [/meteor/, /partition, isolation/]],
    ['no seeds', ['--seeds', '0'], [/--seeds/]],
    ['too many nodes', ['--nodes', '8'], [/1 to 7/]],
    ['no minutes', ['--minutes', '0'], [/--minutes/]],
    ['messages without a replay', ['--messages'], [/--replay/]],
    ['a replay of many seeds', ['--replay', '7', '--seeds', '3'], [/--replay.*not with --seeds/]],
    ['a replay with a first seed', ['--replay', '7', '--seed', '1'], [/--replay.*not with --seed\b/]],
    ['a replay with a time', ['--replay', '7', '--minutes', '1'], [/--replay.*not with --minutes/]],
    ['a plan file with nodes', ['--replay', 'a.json', '--nodes', '3'], [/--replay a.json.*not with --nodes/]],
    ['a plan file with faults', ['--replay', 'a.json', '--faults', 'kill'], [/--replay.*not with --faults/]],
    ['to shrink and not to', ['--no-shrink', '--shrink'], [/--shrink or --no-shrink, not both/]],
    [
      'a trace that cannot be written',
      ['--replay', '7', '--trace-json', '/nowhere/x'],
      [/--trace-json \/nowhere\/x cannot be written: ENOENT/],
    ],
    ['a trace that is a folder', ['--replay', '7', '--trace-json', '.'], [/--trace-json \. .*EISDIR/]],
    ['an output folder that is a file', ['--out', commandPath], [/--out .*kvorum.js is a file/]],
    ['an output folder below a file', ['--out', `${commandPath}/x`], [/--out .*kvorum.js, which is a file/]],
    [
      'a plan file that is not there',
      ['--replay', '/nowhere/plan.json'],
      [/cannot read \/nowhere\/plan.json/],
    ],
  ])('%s', async (_name, parts, words) => {
    const { code, stdout, stderr } = await runCommand(['sim', ...parts]);
    expect(code, stderr).toBe(2);
    expect(stdout).toBe('');
    for (const word of words) expect(stderr).toMatch(word);
    expect(stderr).not.toContain('    at ');
  });

  test.each([
    [
      'of another version',
      { ...hopelessPlan(), formatVersion: 9 },
      'formatVersion is 9, this kvorum knows 1',
    ],
    [
      'with an unknown fault',
      { ...hopelessPlan(), faults: [{ kind: 'meteor' }] },
      'faults[0].kind is "meteor"',
    ],
    ['that is no JSON', 'seed 1', 'not JSON'],
    [
      'of kvorum chaos',
      JSON.stringify(makePlan({ seed: 9, nodes: 5, durationMs: 60_000, faults: ['kill'] })),
      'kvorum chaos --seed 9 --nodes 5',
    ],
  ])('a plan %s', async (_name, plan, words) => {
    const path = planFile(plan);
    const { code, stderr } = await runCommand(['sim', '--replay', path]);
    expect(code, stderr).toBe(2);
    expect(stderr).toContain(path);
    expect(stderr).toContain(words);
  });
});
