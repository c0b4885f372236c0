// Real nodes as processes for the end-to-end tests: a folder and ports of their own, ended by pid whatever
// happens. Runs the built package in dist, as a user does: `npm test` builds it first.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { waitUntilWhole } from '../../src/cli/bench/failover.js';
import { freePorts, LocalCluster } from '../../src/cli/local-cluster.js';
import { connect, type ClusterStatus, type KvorumClient } from '../../src/client/index.js';

export const commandPath = fileURLToPath(new URL('../../bin/kvorum.js', import.meta.url));

/** What tests started and must end, newest first. */
const cleanups: (() => unknown)[] = [];

/** Ends everything the tests of a file started. For `afterEach` or `afterAll`. */
export async function endAll(): Promise<void> {
  while (cleanups.length > 0) await cleanups.pop()?.();
}

export function onEnd(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

/** An empty folder that is removed in the end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-test-'));
  onEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }));
  return folder;
}

export interface TestCluster {
  readonly cluster: LocalCluster;
  readonly client: KvorumClient;
}

/** A cluster of three that serves. */
export async function startCluster(config: Record<string, unknown> = {}): Promise<TestCluster> {
  const cluster = new LocalCluster({
    directory: temporaryFolder(),
    ports: await freePorts(3),
    logLevel: 'error',
    config,
  });
  onEnd(() => cluster.stopAll());
  cluster.startAll();
  const client = await connectTo(cluster.endpoints);
  await waitUntilWhole(cluster, client);
  return { cluster, client };
}

/** A client that is closed in the end. */
export async function connectTo(endpoints: readonly string[], timeoutMs = 20_000): Promise<KvorumClient> {
  const client = await connect({ endpoints: [...endpoints], lazy: true, timeoutMs });
  onEnd(() => client.close());
  return client;
}

/** Polls until `check` gives a value. Fails after 30 s with what it was waiting for. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const giveUpAt = performance.now() + 30_000;
  let last: unknown;
  while (performance.now() < giveUpAt) {
    try {
      const value = await check();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    await sleep(50);
  }
  throw new Error(`waited 30 s in vain: ${what}`, { cause: last });
}

/** The status once all nodes are reachable and report the hash of the same index. */
export function agreedStatus(client: KvorumClient): Promise<ClusterStatus> {
  return eventually('all nodes report the state hash of one index', async () => {
    const status = await client.status({ timeoutMs: 5_000 });
    if (!status.nodes.every((node) => node.reachable)) return undefined;
    return new Set(status.nodes.map((node) => node.stateHashIndex)).size === 1 ? status : undefined;
  });
}

/** The id of the node that leads now. */
export function currentLeader(client: KvorumClient): Promise<string> {
  return eventually('a leader', async () => {
    const { nodes } = await client.status({ timeoutMs: 5_000 });
    return nodes.find((node) => node.reachable && node.role === 'leader')?.id;
  });
}

export interface CommandResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly result: Promise<CommandResult>;
  stdout(): string;
  stderr(): string;
}

export interface CommandOptions {
  readonly input?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** In a process group of its own, as a shell starts it: `pressCtrlC` reaches it and its children. */
  readonly ownGroup?: boolean;
}

/** Starts `kvorum …`; it is killed in the end if it still runs. */
export function startCommand(parts: readonly string[], options: CommandOptions = {}): RunningCommand {
  return startProgram(process.execPath, [commandPath, ...parts], options);
}

export function startProgram(
  program: string,
  parts: readonly string[],
  options: CommandOptions = {},
): RunningCommand {
  const child = spawn(program, parts, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    detached: options.ownGroup === true,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input);
  onEnd(() => child.kill('SIGKILL'));
  const result = new Promise<CommandResult>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, result, stdout: () => stdout, stderr: () => stderr };
}

/** What a terminal does at Ctrl-C: SIGINT to all processes of the group, not only to the first. */
export function pressCtrlC({ child }: RunningCommand): void {
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
}

/** Runs `kvorum …` to its end. */
export function runCommand(parts: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return startCommand(parts, options).result;
}

/**
 * Whether a process with this id runs. One that has ended and waits to be collected by its parent does not.
 */
export function processRuns(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return process.platform !== 'linux';
  }
}
