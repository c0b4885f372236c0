// `kvorum chaos`: torments a cluster of real processes, by default one of its own, and proves from the
// history of all operations whether it kept its word. Leaves a folder with the history, the faults, the
// nodes' logs and a report, and no process, however it ends.

import { InvalidArgumentError, Option, type Command } from 'commander';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { assertNever } from '../../base/assert.js';
import { connect } from '../../client/index.js';
import type { ObservedNode } from '../../chaos/observer.js';
import { counted } from '../../chaos/report/html.js';
import { Links } from '../../chaos/links.js';
import {
  clientSideFaults,
  defaultFaults,
  faultKinds,
  faultNames,
  makePlan,
  type FaultName,
} from '../../chaos/plan.js';
import { ChaosRun, type ChaosEvidence, type ChaosOptions } from '../../chaos/run.js';
import { judge, type Verdict } from '../../chaos/verdict.js';
import { ChaosFolder } from './folder.js';
import { ChaosProcesses, launchLoad } from './processes.js';
import { exitCodes, UsageError } from '../terminal/exit-codes.js';
import { freePorts } from '../local-cluster.js';
import { integerParser, parseEndpoints, wordListParser } from '../terminal/options.js';
import { paint, say, writeJson, writeLine } from '../terminal/output.js';
import { bar, Progress } from '../terminal/progress.js';

interface ChaosFlags {
  readonly nodes?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly seed?: number;
  readonly faults?: FaultName[];
  readonly clients: number;
  readonly keys: number;
  readonly out?: string;
  readonly endpoints?: string[];
  readonly json?: boolean;
}

const defaultSeconds = 60;
/** About 400 operations a second: a longer history is more than `historyOperationsMax`. */
const minutesMax = 180;
const whyNotLonger = 'all operations are kept in memory and checked at once';
const loadProcesses = 3;

export function addChaosCommand(program: Command): void {
  const count = (flags: string, words: string, least: number, most: number): Option =>
    new Option(flags, words).argParser(integerParser(least, most));
  program
    .command('chaos')
    .description('torment a cluster of real processes and prove that it keeps its guarantees')
    .addOption(
      new Option('--nodes <count>', 'size of the cluster that is started: 3 or 5 (default: 3)').argParser(
        parseNodes,
      ),
    )
    .addOption(
      new Option(
        '--minutes <count>',
        `how long it is loaded; at most ${minutesMax}, since ${whyNotLonger}`,
      ).argParser(parseMinutes),
    )
    .addOption(
      count('--seconds <count>', `the same in seconds (default: ${defaultSeconds})`, 5, minutesMax * 60),
    )
    .addOption(
      count(
        '--seed <number>',
        'the same seed gives the same plan of faults (default: random)',
        0,
        2 ** 32 - 1,
      ),
    )
    .addOption(
      new Option(
        '--faults <list>',
        `which faults: ${faultNames.join(', ')} (default: all but rot)`,
      ).argParser(wordListParser(faultNames)),
    )
    .addOption(count('--clients <count>', 'clients that do one thing at a time', 1, 1_000).default(12))
    .addOption(count('--keys <count>', 'keys in use at one time', 1, 1_000).default(6))
    .addOption(new Option('--out <folder>', 'an empty or new folder for report, history, faults and logs'))
    .addOption(
      new Option(
        '--endpoints <list>',
        'load a cluster that runs already, such as one of kvorum dev; only its links to clients suffer then',
      ).argParser(parseEndpoints),
    )
    .option('--json', 'print the verdict and the figures as one JSON document')
    .addHelpText('after', helpText)
    .action(async (flags: ChaosFlags) => {
      const code = await runChaos(flags);
      // Sockets that were reset in the middle of everything must not keep the process.
      process.stdout.write('', () => process.exit(code));
    });
}

const helpText = `
Faults:
${faultNames.map((name) => `  ${name.padEnd(10)} ${faultKinds[name].words}`).join('\n')}

Exit codes: 0 every guarantee held, 1 the command itself failed or something could not be decided, 2 usage,
  ${exitCodes.safety} a guarantee was broken, ${exitCodes.liveness} the cluster did not recover,
  ${exitCodes.exception} a node ended by itself, ${exitCodes.interrupted} Ctrl-C; what there was holds`;

function parseNodes(text: string): number {
  if (text !== '3' && text !== '5') throw new InvalidArgumentError('it must be 3 or 5.');
  return Number(text);
}

function parseMinutes(text: string): number {
  const minutes = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (minutes >= 1 && minutes <= minutesMax) return minutes;
  const range = `it must be a whole number from 1 to ${minutesMax}`;
  if (minutes > minutesMax) {
    throw new InvalidArgumentError(`${range}: ${whyNotLonger}.`);
  }
  throw new InvalidArgumentError(`${range}; for less there is --seconds.`);
}

async function runChaos(flags: ChaosFlags): Promise<number> {
  const { endpoints } = flags;
  if (flags.minutes !== undefined && flags.seconds !== undefined)
    throw new UsageError('give --minutes or --seconds, not both');
  if (endpoints !== undefined && flags.nodes !== undefined)
    throw new UsageError('--nodes is for a cluster that chaos starts; --endpoints names one that runs');
  const faults = chooseFaults(flags);
  const seed = flags.seed ?? randomInt(2 ** 32 - 1);
  const durationMs =
    (flags.minutes === undefined ? (flags.seconds ?? defaultSeconds) : flags.minutes * 60) * 1_000;
  const nodes = endpoints === undefined ? await ownNodes(flags.nodes ?? 3) : await membersOf(endpoints);
  const plan = makePlan({ seed, nodes: nodes.length, durationMs, faults });
  const folder = new ChaosFolder(flags.out, plan, () => session.onIncomplete());
  const session = new ChaosSession(flags, folder, nodes);
  const { evidence, verdict } = await session.run();
  const report = await folder.finish(evidence, verdict);
  if (flags.json === true) await writeJson(report);
  else for (const line of folder.summary(evidence, verdict)) await writeLine(line);
  return exitCodeFor(verdict, folder.incomplete === undefined);
}

/** The worst that was found. */
export function exitCodeFor({ result, checks }: Verdict, isComplete: boolean): number {
  if (!isComplete && result !== 'violated') return exitCodes.failure;
  switch (result) {
    case 'holds':
      return exitCodes.ok;
    case 'violated': {
      const broken = new Set(checks.filter((check) => check.result === 'violated').map(({ about }) => about));
      if (broken.has('safety')) return exitCodes.safety;
      return broken.has('liveness') ? exitCodes.liveness : exitCodes.exception;
    }
    case 'undecided':
      return exitCodes.failure;
    case 'interrupted':
      return exitCodes.interrupted;
    default:
      return assertNever(result);
  }
}

/** The faults of the flags, or all that the cluster allows. */
function chooseFaults({ faults, endpoints }: ChaosFlags): readonly FaultName[] {
  if (endpoints === undefined) return faults ?? defaultFaults;
  const other = faults?.find((name) => !clientSideFaults.includes(name));
  if (other === undefined) return faults ?? clientSideFaults;
  throw new UsageError(
    `--faults ${other} (${faultKinds[other].words}) needs nodes that chaos has started itself; ` +
      `with --endpoints there are ${clientSideFaults.join(', ')}`,
  );
}

async function ownNodes(count: number): Promise<ObservedNode[]> {
  const ports = await freePorts(count);
  return ports.map((port, index) => ({ id: `n${index + 1}`, address: `127.0.0.1:${port}` }));
}

async function membersOf(endpoints: readonly string[]): Promise<ObservedNode[]> {
  say('a cluster that runs already: its processes and the links between its nodes are left alone');
  const client = await connect({ endpoints });
  try {
    const { nodes } = await client.status();
    return nodes.map(({ id, address }) => ({ id, address }));
  } finally {
    await client.close();
  }
}

/** From the proxies to the verdict. */
class ChaosSession {
  private readonly flags: ChaosFlags;
  private readonly folder: ChaosFolder;
  private readonly nodes: readonly ObservedNode[];
  private chaosRun: ChaosRun | undefined;
  private processes: ChaosProcesses | undefined;
  private progress: Progress | undefined;
  private startedAtMs = 0;

  constructor(flags: ChaosFlags, folder: ChaosFolder, nodes: readonly ObservedNode[]) {
    this.flags = flags;
    this.folder = folder;
    this.nodes = nodes;
  }

  async run(): Promise<{ evidence: ChaosEvidence; verdict: Verdict }> {
    const { folder } = this;
    const onSignal = (): void => this.onSignal();
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
    for (const signal of signals) process.on(signal, onSignal);
    try {
      const options = await this.prepare();
      const run = new ChaosRun(options);
      this.chaosRun = run;
      say(
        `seed ${options.plan.seed}, ${counted(options.plan.faults.length, 'fault')} planned, ` +
          `output in ${folder.path}`,
      );
      if (folder.incomplete !== undefined) run.interrupt();
      const evidence = await run.run();
      this.progress?.end();
      this.isJudging = true;
      say('checking the history');
      return { evidence, verdict: judge(evidence) };
    } finally {
      this.progress?.end();
      for (const signal of signals) process.off(signal, onSignal);
    }
  }

  private async prepare(): Promise<ChaosOptions> {
    const { flags, folder, nodes } = this;
    const { plan } = folder;
    const own = flags.endpoints === undefined;
    const loadIds = Array.from(
      { length: Math.min(loadProcesses, flags.clients) },
      (_, index) => `c${index + 1}`,
    );
    const links = new Links(nodes, [...(own ? nodes.map(({ id }) => id) : []), ...loadIds], plan.seed);
    await links.listen();
    if (own) {
      this.processes = new ChaosProcesses({
        directory: join(folder.path, 'data'),
        logDirectory: join(folder.path, 'logs'),
        ports: nodes.map(({ address }) => Number(address.slice(address.lastIndexOf(':') + 1))),
        links,
        onLogError: (error) => folder.cannotWrite(error),
        onDamageNoticed: (nodeId) => this.chaosRun?.damageNoticed(nodeId),
        onUnexpectedExit: (exit) => {
          // The keyboard's signal also ends a child that has not got to a group of its own yet.
          if (this.interrupted && exit.how === 'SIGINT') return;
          this.tell(paint('red', `${exit.nodeId} ended by itself with ${exit.how}: ${exit.lastLine}`));
          this.chaosRun?.nodeEnded(exit);
        },
      });
    }
    const { processes } = this;
    return {
      plan,
      loadIds,
      nodes,
      links,
      clients: flags.clients,
      keys: flags.keys,
      keyPrefix: `chaos/${Date.now().toString(36)}/`,
      control: processes,
      launchLoad: (onReport) => processes?.launchLoad(onReport) ?? launchLoad(onReport),
      onOperations: (operations) => folder.addOperations(operations),
      onFault: (record) => folder.addFault(record),
      onPhase: (words) => this.onPhase(words),
    };
  }

  private onPhase(words: string): void {
    this.progress?.end();
    this.startedAtMs = performance.now();
    const { durationMs } = this.folder.plan;
    const isLoad = words.startsWith('loading');
    this.progress = new Progress(words, () => {
      const elapsedMs = performance.now() - this.startedAtMs;
      if (!isLoad) return `(${(elapsedMs / 1_000).toFixed(0)} s)`;
      return `${bar(elapsedMs, durationMs)} ${this.chaosRun?.progress ?? ''}`;
    });
  }

  private tell(line: string): void {
    if (this.progress === undefined) say(line);
    else this.progress.interrupt(line);
  }

  /** A run whose history cannot be kept is not worth going on with; what there is of it is judged. */
  onIncomplete(): void {
    if (this.isJudging) return;
    this.tell(paint('red', `stopping, since output cannot be written: ${this.folder.incomplete}`));
    this.chaosRun?.interrupt();
  }

  private interrupted = false;
  /** The run is over: what cannot be written from now on stands in the summary. */
  private isJudging = false;

  private onSignal(): void {
    if (this.interrupted) {
      this.processes?.killAll();
      process.exit(exitCodes.interrupted);
    }
    this.interrupted = true;
    this.tell('stopping; what there is will be checked and reported (Ctrl-C again: at once)');
    if (this.chaosRun === undefined) process.exit(exitCodes.interrupted);
    this.chaosRun.interrupt();
  }
}
