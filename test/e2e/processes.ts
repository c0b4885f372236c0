// Real nodes as processes for the end-to-end tests: a folder and ports of their own, ended by pid whatever
// happens. Runs the built package in dist, as a user does: `npm test` builds it first.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitUntilWhole } from '../../src/cli/bench/failover.js';
import { freePorts, LocalCluster } from '../../src/cli/local-cluster.js';
import { connect, type ClusterStatus, type KvorumClient } from '../../src/client/index.js';
import { InVain, patienceMs, until } from '../waiting.js';

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
  await untilWhole(cluster, client);
  return { cluster, client };
}

/** Until every node runs and has what the leader had committed; returns the leader of that moment. */
export function untilWhole(cluster: LocalCluster, client: KvorumClient): Promise<string> {
  return waitUntilWhole(cluster, client, patienceMs);
}

/** A client that is closed in the end. Its calls have all the patience there is. */
export async function connectTo(endpoints: readonly string[]): Promise<KvorumClient> {
  const client = await connect({ endpoints: [...endpoints], lazy: true, timeoutMs: patienceMs });
  onEnd(() => client.close());
  return client;
}

/** The status once all nodes are reachable and report the hash of the same index. */
export function agreedStatus(client: KvorumClient): Promise<ClusterStatus> {
  let last: ClusterStatus | undefined;
  const look = async (): Promise<ClusterStatus | undefined> => {
    last = await client.status();
    if (!last.nodes.every((node) => node.reachable)) return undefined;
    return new Set(last.nodes.map((node) => node.stateHashIndex)).size === 1 ? last : undefined;
  };
  return until(look, 'all nodes to report the state hash of one index', () => last);
}

/** The id of the node that leads now. */
export function currentLeader(client: KvorumClient): Promise<string> {
  return until(async () => {
    const { nodes } = await client.status();
    return nodes.find((node) => node.reachable && node.role === 'leader')?.id;
  }, 'a leader');
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

/**
 * Starts `kvorum …`; it is killed in the end if it still runs. Unless a flag says otherwise its requests have
 * all the patience there is.
 */
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
    env: { ...process.env, KVORUM_TIMEOUT: `${patienceMs}ms`, ...options.environment },
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

/** Until a command has written what `pattern` is about; fails when it ends before. */
export async function untilSays(command: RunningCommand, pattern: RegExp): Promise<void> {
  const said = (): string => command.stdout() + command.stderr();
  const look = (): boolean => {
    if (pattern.test(said())) return true;
    const { exitCode, signalCode } = command.child;
    if (exitCode === null && signalCode === null) return false;
    throw new InVain(`ended with ${signalCode ?? exitCode} without saying ${pattern}: ${said()}`);
  };
  await until(look, `a command to say ${pattern}`, said);
}

/** Until none of these processes runs any more. */
export async function untilGone(pids: readonly number[]): Promise<void> {
  const left = (): number[] => pids.filter(processRuns);
  await until(() => left().length === 0, 'the end of processes', left);
}

/** What a terminal does at Ctrl-C: SIGINT to all processes of the group, not only to the first. */
export function pressCtrlC({ child }: RunningCommand): void {
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
}

/** Runs `kvorum …` to its end. */
export function runCommand(parts: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return startCommand(parts, options).result;
}

/** UNAVAILABLE and TIMEOUT. */
const lateCodes: readonly (number | null)[] = [5, 6];

/**
 * Runs a command that tells how things are at the moment, such as `status`, until it ends with 0 and
 * `isWhole` holds for it: what is late on a busy machine counts as not there.
 */
export function runUntil(
  parts: readonly string[],
  options: CommandOptions = {},
  isWhole: (result: CommandResult) => boolean = () => true,
): Promise<CommandResult> {
  let last: CommandResult | undefined;
  const look = async (): Promise<CommandResult | undefined> => {
    last = await runCommand(parts, options);
    if (last.code !== 0 && !lateCodes.includes(last.code)) throw new InVain(last.stderr);
    return last.code === 0 && isWhole(last) ? last : undefined;
  };
  return until(look, `kvorum ${parts.join(' ')}`, () => last);
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
