// `kvorum sim`: the production node in a virtual world with faults, seed after seed, and every promise
// checked. What a seed does is decided by the seed alone; a failure is written down as a plan that can be run
// again.

import { availableParallelism } from 'node:os';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { membersMax } from '../../server/config/members.js';
import { manySeeds } from '../../sim/run/coverage-marks.js';
import { streamOf } from '../../sim/world/dice.js';
import { readPlan, writePlan } from '../../sim/plan/file.js';
import { familyNames } from '../../sim/plan/families.js';
import { planOf, type PlanOptions } from '../../sim/plan/draw.js';
import type { Plan } from '../../sim/plan/plan.js';
import { sizeOf } from '../../sim/run/shrink.js';
import { exitCodes, UsageError } from '../terminal/exit-codes.js';
import { checkFile, checkFolder, makeFolder } from '../terminal/folders.js';
import { integerParser, wordListParser } from '../terminal/options.js';
import { say, writeJson, writeLine } from '../terminal/output.js';
import { bar, Progress } from '../terminal/progress.js';
import { refuseContradictions, seedsDefault, type SimFlags } from './flags.js';
import type { RunReport } from './jobs.js';
import { SimPool } from './pool.js';
import { type Failure, SimReport } from './report.js';

/** Every so many-th seed is run twice, whether it fails or not. */
const verifyEvery = 50;
/** How long the first failure may be made smaller. */
const shrinkSecondsMax = 60;

/** Of `--out`. */
const defaultFolder = 'kvorum-sim';

export function addSimCommand(program: Command): void {
  const command = program.command('sim');
  /** Of `--shrink` and `--no-shrink`, which set one flag: those that were given. */
  const shrinkFlags = new Set<string>();
  for (const name of ['shrink', 'no-shrink']) command.on(`option:${name}`, () => shrinkFlags.add(name));
  command
    .description('run the node in a simulated world with faults and check every promise')
    .addOption(
      new Option('--seeds <count>', `how many seeds (default ${seedsDefault})`).argParser(integerParser(1)),
    )
    .addOption(
      new Option('--seed <seed>', 'the first: a number, or any text, such as a commit hash')
        .argParser(parseSeed)
        .default(1),
    )
    .addOption(new Option('--minutes <count>', 'until the time is over').argParser(parseMinutes))
    .addOption(
      new Option('--nodes <count>', 'size of the cluster; drawn if absent').argParser(
        integerParser(1, membersMax),
      ),
    )
    .addOption(
      new Option('--faults <list>', 'only these: none, or some of the names below').argParser(parseFaults),
    )
    .option('--replay <plan>', 'run a plan file, or the plan of a seed (a number), and print its trace')
    .option('--messages', 'with --replay: every message too')
    .option('--trace-json <file>', 'write the trace of the replay, or of the first failure, as lines of JSON')
    .option('--shrink', 'make the failing plan small; the first failure of seeds is, unless told otherwise')
    .option('--no-shrink', 'leave it as it is')
    .option('--floors', `fail also when ${manySeeds} seeds or more met too little of what is rare`)
    .option('--out <folder>', `where failing plans and their traces go (default: "${defaultFolder}")`)
    .addOption(
      new Option('--workers <count>', 'threads')
        .argParser(integerParser(1, 256))
        .default(availableParallelism()),
    )
    .option('--json', 'print one JSON document')
    .addHelpText('after', helpText)
    .action(async (flags: SimFlags) => {
      refuseContradictions(flags, (name) => command.getOptionValueSource(name) === 'cli', shrinkFlags);
      await runSim(flags);
    });
}

const helpText = `
Faults: ${familyNames.join(', ')}

Exit codes: 0 all seeds passed, 1 the command itself failed or --floors found too little, 2 usage,
  ${exitCodes.safety} a promise to clients or between nodes broke,
  ${exitCodes.liveness} the cluster did not come to rest after faults, or a leader stayed without a quorum,
  ${exitCodes.determinism} two runs of one plan differed, ${exitCodes.exception} something threw or stopped,
  ${exitCodes.interrupted} Ctrl-C`;

async function runSim(flags: SimFlags): Promise<void> {
  const plan = flags.replay === undefined ? undefined : planToReplay(flags.replay, flags);
  // Seeds that pass write nothing: only who names a folder is refused for it.
  if (flags.out !== undefined && (plan === undefined || flags.shrink === true))
    checkFolder('--out', flags.out);
  if (flags.traceJson !== undefined) checkFile('--trace-json', flags.traceJson);
  const pool = new SimPool();
  const onInterrupt = (): void => pool.stop();
  process.once('SIGINT', onInterrupt);
  process.once('SIGTERM', onInterrupt);
  try {
    if (plan === undefined) await runSeeds(flags, pool);
    else await replay(flags, plan, pool);
  } finally {
    pool.stop();
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  }
}

async function runSeeds(flags: SimFlags, pool: SimPool): Promise<void> {
  const report = new SimReport(flags.seed);
  report.hasFloors = flags.floors === true;
  const firstPlans: Plan[] = [];
  await search(flags, pool, report, firstPlans);
  report.end();
  const [failure] = report.failures;
  const [plan] = firstPlans;
  if (failure !== undefined && plan !== undefined) {
    if (flags.shrink !== false) await shrinkFailure(flags, pool, failure, plan);
    await record(flags, pool, report, plan);
  }
  await conclude(flags, pool, report);
}

/** Runs the seeds on all workers. The plan of the first failure is put into `firstPlans`. */
async function search(flags: SimFlags, pool: SimPool, report: SimReport, firstPlans: Plan[]): Promise<void> {
  const seedsMax = flags.seeds ?? (flags.minutes === undefined ? seedsDefault : Number.POSITIVE_INFINITY);
  const durationMs = (flags.minutes ?? Number.POSITIVE_INFINITY) * 60_000;
  const startedMs = performance.now();
  const options = planOptions(flags);
  let next = 0;
  const progress = new Progress('sim', () => {
    const share = Math.max(report.seeds / seedsMax, (performance.now() - startedMs) / durationMs);
    return `${bar(share, 1)} ${report.progress}`;
  });
  const work = async (): Promise<void> => {
    while (next < seedsMax && performance.now() - startedMs < durationMs) {
      const position = next++;
      const seed = (flags.seed + position) >>> 0;
      const verify = position % verifyEvery === 0;
      const result = await pool.run({ kind: 'seed', seed, options, verify });
      if (result === undefined) return;
      if (result.kind === 'ran') {
        const failure = report.add(result.report, verify || result.report.violations.length > 0);
        if (failure === undefined) continue;
        if (result.report.plan !== undefined) firstPlans.push(result.report.plan);
        keep(flags.out ?? defaultFolder, failure, result.report, `seed-${seed}`);
        progress.interrupt(`seed ${seed}: ${failure.kind}, ${failure.promise}`);
      } else if (result.kind === 'error') {
        const failure = report.addError(seed, result.message);
        if (failure !== undefined) firstPlans.push(planOf(seed, options));
        progress.interrupt(`seed ${seed}: the simulator fell over`);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(flags.workers, seedsMax) }, work));
  } finally {
    progress.end();
  }
}

async function shrinkFailure(flags: SimFlags, pool: SimPool, failure: Failure, plan: Plan): Promise<void> {
  // Two runs that differ cannot be made small by running.
  if (failure.kind === 'determinism' || pool.isStopped) return;
  let words = '';
  const progress = new Progress(`making seed ${failure.seed} small:`, () => words);
  const result = await pool.run(
    { kind: 'shrink', plan, secondsMax: shrinkSecondsMax },
    ({ progress: now }) => {
      words = `${now.faults} faults and ${now.operations} operations after ${now.runs} runs (${now.phase})`;
    },
  );
  progress.end();
  if (result?.kind === 'error') say(`it could not be made small: ${result.message}`);
  if (result?.kind !== 'shrunk') return;
  const { plan: small, report } = result.shrunk;
  failure.events = sizeOf(small);
  keep(flags.out ?? defaultFolder, failure, { ...report, plan: small }, `seed-${failure.seed}.small`);
}

async function replay(flags: SimFlags, plan: Plan, pool: SimPool): Promise<void> {
  const report = new SimReport(plan.seed);
  const result = await pool.run({ kind: 'plan', plan, detail: flags.messages === true ? 'full' : 'words' });
  report.end();
  if (result?.kind === 'ran') {
    const failure = report.add(result.report, true);
    if (!flags.json) for (const line of result.report.trace ?? []) await writeLine(line);
    await record(flags, pool, report, plan);
    if (failure !== undefined && flags.shrink === true) {
      await shrinkFailure(flags, pool, failure, plan);
    }
  } else if (result?.kind === 'error') {
    report.addError(plan.seed, result.message);
  }
  await conclude(flags, pool, report);
}

/** Writes the trace for `--trace-json`. Its file was looked at before the run, but a disk can be full. */
async function record(flags: SimFlags, pool: SimPool, report: SimReport, plan: Plan): Promise<void> {
  const { traceJson: path } = flags;
  if (path === undefined) return;
  const result = await pool.run({ kind: 'record', plan, path });
  if (result?.kind === 'ran') return;
  report.isIncomplete = true;
  say(`--trace-json ${path} is not complete: ${result?.kind === 'error' ? result.message : 'interrupted'}`);
}

async function conclude(flags: SimFlags, pool: SimPool, report: SimReport): Promise<void> {
  report.interrupted = pool.isStopped;
  process.exitCode = report.exitCode;
  if (flags.json) await writeJson(report.toJson());
  else for (const line of report.lines()) await writeLine(line);
}

/**
 * Writes what is needed to look into a failure. A folder that cannot be written must not hide the failure.
 */
function keep(folder: string, failure: Failure, { plan, trace }: RunReport, name: string): void {
  if (plan === undefined) return;
  try {
    makeFolder('--out', folder);
    const planPath = join(folder, `${name}.json`);
    writeFileSync(planPath, writePlan(plan));
    writeFileSync(join(folder, `${name}.trace.txt`), `${(trace ?? []).join('\n')}\n`);
    failure.files.push(`kvorum sim --replay ${planPath}`);
  } catch (error) {
    say(`the plan of seed ${failure.seed} cannot be written to ${folder}: ${messageOf(error)}`);
  }
}

/** The plan that is drawn for a seed, when `text` is one and no file has that name; else that of the file. */
function planToReplay(text: string, flags: SimFlags): Plan {
  const isSeed = /^\d+$/.test(text) && Number(text) <= 0xffff_ffff && !existsSync(text);
  if (isSeed) return planOf(Number(text), planOptions(flags));
  const ignored = flags.nodes === undefined ? '--faults' : '--nodes';
  if ((flags.nodes ?? flags.faults) !== undefined) {
    throw new UsageError(`--replay ${text} is a plan file, which says it all: not with ${ignored}`);
  }
  return planFromFile(text);
}

function planFromFile(path: string): Plan {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${messageOf(error)}`);
  }
  try {
    return readPlan(text);
  } catch (error) {
    throw new UsageError(chaosPlanWords(text, path) ?? `${path}: ${messageOf(error)}`);
  }
}

/** What to say of a file that is the plan of `kvorum chaos`; `undefined` of every other. */
function chaosPlanWords(text: string, path: string): string | undefined {
  try {
    const { seed, nodes, durationMs } = JSON.parse(text) as Record<string, unknown>;
    if (typeof seed !== 'number' || typeof nodes !== 'number' || typeof durationMs !== 'number')
      return undefined;
    const command = `kvorum chaos --seed ${seed} --nodes ${nodes} --seconds ${durationMs / 1_000}`;
    return `${path} is the plan of a chaos run on real processes; the same faults again: ${command}`;
  } catch {
    return undefined;
  }
}

function planOptions({ nodes, faults }: SimFlags): PlanOptions {
  return {
    ...(nodes === undefined ? {} : { nodes }),
    ...(faults === undefined ? {} : { families: faults }),
  };
}

/** A number stands for itself, any other text for the number it hashes to. */
export function parseSeed(text: string): number {
  if (text === '') throw new InvalidArgumentError('it must be a number or a text.');
  const isNumber = /^\d+$/.test(text) && Number(text) <= 0xffff_ffff;
  return isNumber ? Number(text) : streamOf(text);
}

function parseMinutes(text: string): number {
  const minutes = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(minutes > 0 && minutes <= 100_000)) {
    throw new InvalidArgumentError('it must be a number above 0, at most 100000.');
  }
  return minutes;
}

function parseFaults(text: string): string[] {
  return text.trim() === 'none' ? [] : wordListParser(familyNames)(text);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
