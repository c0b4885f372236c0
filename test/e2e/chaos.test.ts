// `kvorum chaos` as a user runs it: a short run with several faults, one that is cut short, one whose command
// is killed, one against a cluster that runs already, and wrong command lines.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { checkLinearizability } from '../../src/sim/checkers/clients/linearizability.js';
import { parseHistory } from '../../src/sim/history/file.js';
import type { ChaosPlan } from '../../src/chaos/plan.js';
import { until } from '../waiting.js';
import {
  agreedStatus,
  commandPath,
  endAll,
  runCommand,
  startCluster,
  pressCtrlC,
  startCommand,
  temporaryFolder,
  untilGone,
  untilSays,
  type CommandResult,
  type RunningCommand,
} from './processes.js';

afterEach(endAll);

/** Seconds of a run that a test ends. */
const endless = '600';

interface FaultLine {
  readonly id: number;
  readonly kind: string;
  readonly done: string;
}

function linesOf(path: string): unknown[] {
  const text = readFileSync(path, 'utf8');
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]));
}

/** Children of a process, and theirs. */
function descendants(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => {
      try {
        return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${candidate}/stat`, 'utf8'))?.[1]) === pid;
      } catch {
        return false;
      }
    });
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** Once a command has so many processes below it, all of them. */
function untilChildren({ child, stderr }: RunningCommand, count: number): Promise<number[]> {
  const look = (): number[] | undefined => {
    const found = descendants(child.pid ?? 0);
    return found.length >= count ? found : undefined;
  };
  return until(look, `${count} processes`, stderr);
}

/** How often a text stands in a file, which may not be there yet. */
function countIn(path: string, text: string): number {
  return existsSync(path) ? readFileSync(path, 'utf8').split(text).length - 1 : 0;
}

/** A run that was cut short says of what there is what its history says. */
function expectCutShort({ stdout }: CommandResult, out: string): void {
  const operations = parseHistory(readFileSync(join(out, 'history.jsonl'), 'utf8'));
  const hasAnswers = operations.some(({ out: { st } }) => st === 'ok');
  expect(stdout).toContain(
    hasAnswers ? 'Cut short: what there is holds' : 'Cut short: no operation succeeded',
  );
}

describe('kvorum chaos', () => {
  test('kills, tears and cuts a cluster, and proves that it kept its word', async () => {
    const out = join(temporaryFolder(), 'out');
    const faults = 'kill,pause,isolate,torn-tail,damage,reset';
    const result = await runCommand([
      'chaos',
      '--seconds',
      '20',
      '--seed',
      '12',
      '--faults',
      faults,
      '--out',
      out,
      '--json',
    ]);
    expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
    const printed = JSON.parse(result.stdout) as { verdict: string; seed: number; figures: { ok: number } };
    expect(printed).toMatchObject({ verdict: 'holds', seed: 12 });
    // Everything is there for someone else to check.
    const operations = parseHistory(readFileSync(join(out, 'history.jsonl'), 'utf8'));
    expect(operations.filter(({ out: { st } }) => st === 'ok')).toHaveLength(printed.figures.ok);
    expect(checkLinearizability(operations)).toEqual({ result: 'linearizable' });
    const plan = JSON.parse(readFileSync(join(out, 'plan.json'), 'utf8')) as ChaosPlan;
    expect(plan).toMatchObject({ seed: 12, version: 1 });
    const lines = linesOf(join(out, 'faults.jsonl')) as FaultLine[];
    expect(lines.map(({ id }) => id).sort((a, b) => a - b)).toEqual(plan.faults.map(({ id }) => id));
    expect(lines.map(({ done }) => done)).toContain('done');
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('Every guarantee held');
    expect(readdirSync(join(out, 'logs')).sort()).toEqual(['n1.log', 'n2.log', 'n3.log']);
    expect(existsSync(join(out, 'data'))).toBe(false);
  });

  test('Ctrl-C: reports what there is, and leaves no process behind', async () => {
    const out = join(temporaryFolder(), 'out');
    const flags = ['--seconds', endless, '--faults', 'kill,pause,isolate', '--out', out];
    const running = startCommand(['chaos', ...flags], { ownGroup: true });
    const isLoaded = (): boolean =>
      countIn(join(out, 'history.jsonl'), '"st":"ok"') > 100 &&
      countIn(join(out, 'faults.jsonl'), '"done":"done"') >= 3;
    await until(isLoaded, 'operations and faults', running.stderr);
    // Three nodes, one of which may be down at the moment, and three load processes.
    const children = await untilChildren(running, 6);
    pressCtrlC(running);
    const result = await running.result;
    expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(130);
    expectCutShort(result, out);
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('Cut short');
    await untilGone(children);
  });

  // Some processes have not begun to listen for signals, whatever the moment.
  test.each([1, 3, 4, 6])(
    'Ctrl-C when %i of its processes have been started: reports that',
    async (count) => {
      const out = join(temporaryFolder(), 'out');
      const running = startCommand(['chaos', '--seconds', endless, '--out', out], { ownGroup: true });
      const children = await untilChildren(running, count);
      pressCtrlC(running);
      const result = await running.result;
      expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(130);
      expect(result.stderr).not.toContain('by itself');
      // Until it heard of Ctrl-C the load may have begun, and some of it come to something.
      expectCutShort(result, out);
      expect(existsSync(join(out, 'report.html'))).toBe(true);
      await untilGone(children);
    },
  );

  test('killed with SIGKILL while its nodes are under SIGSTOP: they end too', async () => {
    const out = join(temporaryFolder(), 'out');
    const running = startCommand([
      'chaos',
      '--seconds',
      endless,
      '--faults',
      'pause',
      '--seed',
      '3',
      '--out',
      out,
    ]);
    const pid = running.child.pid ?? 0;
    const isStopped = (child: number): boolean => / T /.test(readFileSync(`/proc/${child}/stat`, 'utf8'));
    await until(() => descendants(pid).some(isStopped), 'a process that is stopped', running.stderr);
    const children = descendants(pid);
    running.child.kill('SIGKILL');
    await running.result;
    await untilGone(children);
  });

  test('loads a cluster that runs already, and leaves its processes alone', async () => {
    const { cluster, client } = await startCluster();
    await client.put('mine', 'stays');
    const pids = cluster.nodes.map(({ id }) => cluster.pid(id));
    const out = join(temporaryFolder(), 'out');
    const endpoints = ['--endpoints', cluster.endpoints.join(',')];
    const result = await runCommand(['chaos', ...endpoints, '--seconds', '8', '--seed', '2', '--out', out]);
    expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
    expect(result.stderr).toContain('its processes and the links between its nodes are left alone');
    expect(cluster.nodes.map(({ id }) => cluster.pid(id))).toEqual(pids);
    expect((await client.get('mine'))?.text()).toBe('stays');
    await agreedStatus(client);
    const kinds = (linesOf(join(out, 'faults.jsonl')) as FaultLine[]).map(({ kind }) => kind);
    for (const kind of kinds) expect(['clients', 'slow', 'lossy', 'drop', 'reset']).toContain(kind);
  });

  test.each([
    [['--faults', 'kill,meteor'], '"meteor" is not one of kill, restart, pause'],
    [['--nodes', '4'], 'it must be 3 or 5'],
    [['--minutes', '1', '--seconds', '10'], 'give --minutes or --seconds, not both'],
    [['--endpoints', '127.0.0.1:1', '--faults', 'kill'], 'needs nodes that chaos has started itself'],
    [['--endpoints', '127.0.0.1:1', '--nodes', '3'], '--nodes is for a cluster that chaos starts'],
    [['--seed', '-1'], 'it must be a whole number'],
    [['--out', '.'], 'is not empty'],
    [['--out', commandPath], 'kvorum.js is a file; give a new or empty folder'],
    [['--minutes', '0'], 'from 1 to 180; for less there is --seconds'],
    [['--minutes', '181'], 'from 1 to 180: all operations are kept in memory'],
  ])('%j is refused with words', async (flags, words) => {
    const result = await runCommand(['chaos', ...flags]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(words);
    expect(result.stdout).toBe('');
  });

  test.each([
    ['by itself', 1, /load process c\d ended with SIGKILL/],
    ['while the run is cut short', 130, /stopping; what there is will be checked/],
  ])('a load process that ends %s', async (when, expected, words) => {
    const out = join(temporaryFolder(), 'out');
    const running = startCommand([
      'chaos',
      '--seconds',
      endless,
      '--faults',
      'reset',
      '--seed',
      '3',
      '--out',
      out,
    ]);
    const history = join(out, 'history.jsonl');
    await until(() => countIn(history, '"st":"ok"') > 50, 'some history', running.stderr);
    const loads = descendants(running.child.pid ?? 0).filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('chaos-load'),
    );
    expect(loads).toHaveLength(3);
    const load = loads[2] ?? 0;
    if (when !== 'by itself') {
      // A process that is stopped does not end in order before it is killed.
      process.kill(load, 'SIGSTOP');
      running.child.kill('SIGTERM');
      await untilSays(running, words);
    }
    process.kill(load, 'SIGKILL');
    const { code, stdout, stderr } = await running.result;
    expect(stderr).toMatch(words);
    expect(when === 'by itself' ? stderr : stdout).toMatch(/load process c\d ended with SIGKILL/);
    // What the process did last may be what others have read: then nothing is decided, and nothing broken.
    const isUndecided = code === 1 && /what it did last is not known/.test(stdout);
    expect(code === expected || (expected === 130 && isUndecided), `${code} ${stdout}\n${stderr}`).toBe(true);
  });
});
