// `kvorum bench`: closed loops of writes and reads against a cluster, by default one of its own that it
// starts in a temporary folder and removes again. Figures go to stdout, what happens meanwhile to stderr.

import { Option, type Command } from 'commander';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { defaultCallTimeoutMs } from '../../client/engine/limits.js';
import { connect, type KvorumClient } from '../../client/index.js';
import { membersMax } from '../../server/config/members.js';
import { runFailover, waitUntilWhole, type FailoverResult } from './failover.js';
import { benchOperations, runLoad, type BenchOperation, type LoadResult, type Workload } from './load.js';
import { exitCodes, UsageError } from '../terminal/exit-codes.js';
import { freePorts, LocalCluster } from '../local-cluster.js';
import { readableLogLine } from '../terminal/log-lines.js';
import {
  integerListParser,
  integerParser,
  parseEndpoints,
  timeoutOption,
  wordListParser,
} from '../terminal/options.js';
import { alignColumns, formatBytes, say, writeJson, writeLine } from '../terminal/output.js';
import { bar, Progress } from '../terminal/progress.js';

interface BenchFlags {
  readonly endpoints?: string[];
  readonly ops: BenchOperation[];
  readonly clients: number[];
  readonly seconds: number;
  readonly total?: number;
  readonly timeout: number;
  readonly warmUp: number;
  readonly valueBytes: number;
  readonly keys: number;
  readonly connections: number;
  readonly nodes: number;
  readonly dataDir?: string;
  readonly failover?: boolean;
  readonly rounds: number;
  readonly json?: boolean;
}

interface NodeMemory {
  readonly id: string;
  readonly rssAnonBytes: number;
}

interface BenchReport {
  readonly machine: Record<string, unknown>;
  readonly settings: Record<string, unknown>;
  readonly memory: NodeMemory[];
  readonly results: LoadResult[];
  readonly failover: FailoverResult[];
}

export function addBenchCommand(program: Command): void {
  const count = (flags: string, words: string, preset: number, most?: number): Option =>
    new Option(flags, words).argParser(integerParser(1, most)).default(preset);
  program
    .command('bench')
    .description('measure a cluster; by default a new one of three nodes on this machine')
    .addOption(
      new Option('--endpoints <list>', 'measure this cluster; keys below bench/ are written').argParser(
        parseEndpoints,
      ),
    )
    .addOption(
      new Option('--ops <list>', 'put, get (linearizable), stale (serializable)')
        .argParser(wordListParser(benchOperations))
        .default([...benchOperations], 'put,get,stale'),
    )
    .addOption(
      new Option('--clients <list>', 'requests under way at any time, one run each')
        .argParser(integerListParser(1, 100_000))
        .default([1, 64, 1_000], '1,64,1000'),
    )
    .addOption(count('--seconds <count>', 'length of one run', 5, 3_600))
    .addOption(
      new Option('--total <count>', 'requests of one run, instead of --seconds').argParser(integerParser(1)),
    )
    .addOption(
      timeoutOption('end with an error when nothing was answered for this long', defaultCallTimeoutMs),
    )
    .addOption(count('--warm-up <seconds>', 'before each run, not counted', 1, 3_600))
    .addOption(count('--value-bytes <count>', 'size of a value', 256, 1_048_576))
    .addOption(count('--keys <count>', 'size of the key space', 100_000, 99_999_999))
    .addOption(count('--connections <count>', 'client objects that share the requests', 4, 1_000))
    .addOption(count('--nodes <count>', 'nodes of the own cluster', 3, membersMax))
    .option('--data-dir <folder>', 'where the own cluster gets its temporary folder')
    .option('--failover', 'instead: kill and stop the leader under writes, and report the longest pauses')
    .addOption(count('--rounds <count>', 'kills and stops of --failover', 3, 1_000))
    .option('--json', 'print one JSON document')
    .action(runBench);
}

async function runBench(flags: BenchFlags): Promise<void> {
  if (flags.failover && flags.endpoints !== undefined) {
    throw new UsageError('--failover kills nodes: it runs on a cluster of its own, without --endpoints');
  }
  const own = flags.endpoints === undefined ? await startOwnCluster(flags) : undefined;
  const connections: KvorumClient[] = [];
  try {
    const endpoints = flags.endpoints ?? own?.cluster.endpoints ?? [];
    const connectionCount = Math.min(flags.connections, Math.max(...flags.clients));
    for (let index = 0; index < connectionCount; index++) {
      connections.push(await connect({ endpoints, lazy: true, timeoutMs: flags.timeout }));
    }
    const first = connections[0];
    if (first === undefined) throw new UsageError('--connections must be at least 1');
    if (own !== undefined) await waitUntilWhole(own.cluster, first);
    const report = flags.failover
      ? await measureFailover(flags, own?.cluster, connections)
      : await measureLoads(flags, first, connections);
    if (flags.json) await writeJson(report);
    else for (const line of reportLines(report)) await writeLine(line);
    if (report.results.some((result) => result.failed > 0)) process.exitCode = exitCodes.failure;
  } finally {
    await Promise.all(connections.map((client) => client.close()));
    await own?.end();
  }
}

interface OwnCluster {
  readonly cluster: LocalCluster;
  end(): Promise<void>;
}

/**
 * Starts a cluster in a new temporary folder. It ends with this process, whatever ends it; so does its
 * folder.
 */
async function startOwnCluster(flags: BenchFlags): Promise<OwnCluster> {
  const directory = mkdtempSync(join(flags.dataDir ?? tmpdir(), 'kvorum-bench-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  const cluster = new LocalCluster({
    directory,
    ports: await freePorts(flags.nodes),
    logLevel: flags.failover ? 'error' : 'warn',
    onLine: (nodeId, line) => say(`${nodeId}: ${readableLogLine(line)}`),
    onExit: (nodeId, exit) => {
      if (exit.expected) return;
      say(`${nodeId} ended unexpectedly with ${exit.signal ?? `code ${exit.code}`}`);
      process.exit(exitCodes.failure);
    },
  });
  process.on('exit', remove);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      cluster.killAll();
      process.exit(exitCodes.interrupted);
    });
  }
  say(`starting ${flags.nodes} nodes in ${directory}`);
  cluster.startAll();
  return {
    cluster,
    async end() {
      await cluster.stopAll();
      remove();
    },
  };
}

async function measureLoads(
  flags: BenchFlags,
  first: KvorumClient,
  connections: readonly KvorumClient[],
): Promise<BenchReport> {
  const shape = { keys: flags.keys, valueBytes: flags.valueBytes, timeoutMs: flags.timeout };
  await runShown(`fill ${flags.keys} keys`, connections, {
    ...shape,
    operation: 'put',
    clients: 256,
    operationsMax: flags.keys,
    durationMs: Number.POSITIVE_INFINITY,
  });
  const memory = await readMemory(first);
  const results: LoadResult[] = [];
  for (const operation of flags.ops) {
    for (const clients of flags.clients) {
      const endless = Number.POSITIVE_INFINITY;
      const name = `${operation}, ${clients} ${clients === 1 ? 'client' : 'clients'}`;
      const workload = { ...shape, operation, clients };
      await runShown(`${name}, warm-up`, connections, {
        ...workload,
        operationsMax: endless,
        durationMs: flags.warmUp * 1_000,
      });
      results.push(
        await runShown(name, connections, {
          ...workload,
          operationsMax: flags.total ?? endless,
          durationMs: flags.total === undefined ? flags.seconds * 1_000 : endless,
        }),
      );
    }
  }
  return { machine: describeMachine(), settings: settingsOf(flags), memory, results, failover: [] };
}

async function measureFailover(
  flags: BenchFlags,
  cluster: LocalCluster | undefined,
  connections: readonly KvorumClient[],
): Promise<BenchReport> {
  if (cluster === undefined) throw new UsageError('--failover needs a cluster of its own');
  const options = { writers: 16, rounds: flags.rounds, keys: flags.keys, valueBytes: flags.valueBytes };
  const failover = await runFailover(cluster, connections, options, say);
  return { machine: describeMachine(), settings: settingsOf(flags), memory: [], results: [], failover };
}

async function runShown(
  name: string,
  connections: readonly KvorumClient[],
  workload: Workload,
): Promise<LoadResult> {
  const counter = { operations: 0 };
  const startedAt = performance.now();
  const progress = new Progress(name, () => {
    const byTime = (performance.now() - startedAt) / workload.durationMs;
    return bar(Math.max(byTime, counter.operations / workload.operationsMax), 1);
  });
  try {
    return await runLoad(connections, workload, counter);
  } finally {
    progress.end();
  }
}

/** Anonymous resident memory of every node whose process is on this machine. */
async function readMemory(client: KvorumClient): Promise<NodeMemory[]> {
  const { nodes } = await client.status({ timeoutMs: 5_000 });
  const memory: NodeMemory[] = [];
  for (const node of nodes) {
    if (node.pid === undefined || !/^(127\.|localhost:|\[::1\])/.test(node.address)) continue;
    const bytes = rssAnonBytes(node.pid);
    if (bytes !== undefined) memory.push({ id: node.id, rssAnonBytes: bytes });
  }
  return memory;
}

/** RssAnon of a process in bytes; `undefined` where the system does not tell (only Linux does). */
export function rssAnonBytes(pid: number): number | undefined {
  try {
    const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024;
  } catch {
    return undefined;
  }
}

function describeMachine(): Record<string, unknown> {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

function settingsOf(flags: BenchFlags): Record<string, unknown> {
  const { nodes, connections, keys, valueBytes, seconds, total, warmUp } = flags;
  return { nodes, connections, keys, valueBytes, ...(total === undefined ? { seconds } : { total }), warmUp };
}

function reportLines(report: BenchReport): string[] {
  const { machine } = report;
  const lines = [`${machine['cores']} cores, ${machine['processor']}, Node ${machine['node']}`];
  if (report.memory.length > 0) {
    const parts = report.memory.map(({ id, rssAnonBytes }) => `${id} ${formatBytes(rssAnonBytes)}`);
    lines.push(`anonymous memory after ${report.settings['keys']} keys: ${parts.join(', ')}`);
  }
  if (report.results.length > 0) {
    const head = ['operation', 'clients', 'per second', 'p50 ms', 'p99 ms', 'p99.9 ms', 'failed'];
    const rows = report.results.map((result) => [
      result.operation,
      String(result.clients),
      String(result.operationsPerSecond),
      ...[result.p50Ms, result.p99Ms, result.p999Ms].map((value) => value.toFixed(2)),
      String(result.failed),
    ]);
    lines.push(...alignColumns([head, ...rows], [1, 2, 3, 4, 5, 6]));
    const failure = report.results.find((result) => result.firstFailure !== undefined)?.firstFailure;
    if (failure !== undefined) lines.push(`first failure: ${failure}`);
  }
  if (report.failover.length > 0) {
    const head = ['round', 'event', 'leader', 'longest gap ms', 'longest write ms', 'failed'];
    const rows = report.failover.map((result) => [
      String(result.round),
      result.event === 'kill' ? 'SIGKILL' : 'SIGTERM',
      result.leader,
      result.longestGapMs.toFixed(0),
      result.longestWriteMs.toFixed(0),
      String(result.failedWrites),
    ]);
    lines.push(...alignColumns([head, ...rows], [0, 3, 4, 5]));
  }
  return lines;
}
