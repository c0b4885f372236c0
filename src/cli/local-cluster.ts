// The nodes of one cluster as child processes on this machine: for `dev`, `bench` and the end-to-end tests.
// Never leaves a process behind: children stop when the channel to this process closes, however this process
// ended.

import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { UsageError } from './terminal/exit-codes.js';
import { commandPath } from './terminal/paths.js';

export interface LocalNode {
  readonly id: string;
  /** host:port */
  readonly address: string;
  readonly dataDirectory: string;
}

/** How a child ended: its exit code, or the signal that killed it. */
export interface NodeExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** This side asked for it with `signal`, `stop` or `stopAll`. */
  readonly expected: boolean;
  /** The last lines it wrote to stderr, at most 20. */
  readonly lastLines: readonly string[];
}

export interface LocalClusterOptions {
  /** Holds `cluster.json` and one data folder per node. Made when it is missing. */
  readonly directory: string;
  /** One node per port, named n1, n2, …; 1 to 9. */
  readonly ports: readonly number[];
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** The cluster file's further fields, such as `raft`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The address at which a node finds another, when it is not the other's own: of a proxy. */
  addressSeenBy?(nodeId: string, other: LocalNode): string;
  /** More flags for a node's process. */
  flagsOf?(nodeId: string): readonly string[];
  /** One line that a node wrote to stderr. */
  onLine?(nodeId: string, line: string): void;
  onExit?(nodeId: string, exit: NodeExit): void;
}

interface RunningNode {
  readonly child: ChildProcess;
  readonly ended: Promise<NodeExit>;
  readonly lastLines: string[];
  expected: boolean;
}

/**
 * The keyboard's signals go to every process of the terminal's group, also to one that has not begun to
 * listen for them: children that their parent ends in order are in groups of their own. Not on Windows, where
 * that means a window of their own.
 */
export const hasOwnGroup = process.platform !== 'win32';

/** How long a node gets to hand over and close before it is killed. */
const stopGraceMs = 8_000;
const lastLinesMax = 20;
const portTriesMax = 1_000;

export class LocalCluster {
  readonly directory: string;
  readonly clusterFile: string;
  readonly nodes: readonly LocalNode[];
  private readonly options: LocalClusterOptions;
  private readonly running = new Map<string, RunningNode>();
  private readonly killOnExit = (): void => this.killAll();
  private stopping = false;

  /** Writes the cluster file; starts nothing. */
  constructor(options: LocalClusterOptions) {
    this.options = options;
    this.directory = resolve(options.directory);
    this.clusterFile = join(this.directory, 'cluster.json');
    this.nodes = options.ports.map((port, index) => ({
      id: `n${index + 1}`,
      address: `127.0.0.1:${port}`,
      dataDirectory: join(this.directory, `n${index + 1}`),
    }));
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    this.writeClusterFile(this.clusterFile, ({ address }) => address);
    const { addressSeenBy } = options;
    if (addressSeenBy !== undefined) {
      for (const { id } of this.nodes) {
        const seen = (other: LocalNode): string =>
          other.id === id ? other.address : addressSeenBy(id, other);
        this.writeClusterFile(this.clusterFileOf(id), seen);
      }
    }
    process.on('exit', this.killOnExit);
  }

  get endpoints(): string[] {
    return this.nodes.map((node) => node.address);
  }

  startAll(): void {
    for (const node of this.nodes) this.start(node.id);
  }

  /** Starts a node that is down; nothing happens to one that runs, or when the cluster is being stopped. */
  start(nodeId: string): void {
    const node = this.node(nodeId);
    if (this.stopping || this.running.has(nodeId)) return;
    const flags = [
      '--cluster',
      this.clusterFileOf(nodeId),
      '--node',
      node.id,
      '--data-dir',
      node.dataDirectory,
    ];
    flags.push(...(this.options.flagsOf?.(nodeId) ?? []));
    const child = spawn(
      process.execPath,
      [commandPath, 'start', ...flags, '--log-level', this.options.logLevel ?? 'warn'],
      { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], detached: hasOwnGroup },
    );
    const lastLines: string[] = [];
    const ended = new Promise<NodeExit>((finish) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (this.running.get(nodeId)?.child === child) this.running.delete(nodeId);
        const exit = { code, signal, expected: entry.expected, lastLines };
        finish(exit);
        this.options.onExit?.(nodeId, exit);
      };
      child.once('close', end);
      child.once('error', (error) => {
        lastLines.push(error.message);
        if (child.pid === undefined) end(1, null);
      });
    });
    const entry: RunningNode = { child, ended, lastLines, expected: false };
    this.running.set(nodeId, entry);
    if (child.stderr !== null) this.readLines(nodeId, child.stderr, lastLines);
  }

  isRunning(nodeId: string): boolean {
    return this.running.has(nodeId);
  }

  pid(nodeId: string): number | undefined {
    return this.running.get(nodeId)?.child.pid;
  }

  /** Sends a signal to a node's process; a signal that ends it makes its end an expected one. */
  signal(nodeId: string, signal: NodeJS.Signals): void {
    const entry = this.running.get(nodeId);
    if (entry === undefined) return;
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') entry.expected = true;
    entry.child.kill(signal);
  }

  /** How the process that runs now ends; `undefined` when none runs. */
  async ended(nodeId: string): Promise<NodeExit | undefined> {
    return this.running.get(nodeId)?.ended;
  }

  /** SIGKILL, and waits for the end. */
  async kill(nodeId: string): Promise<void> {
    const ended = this.ended(nodeId);
    this.signal(nodeId, 'SIGKILL');
    await ended;
  }

  /** Gracefully: SIGTERM, and SIGKILL for a node that takes more than 8 s. Resolves when it has ended. */
  async stop(nodeId: string): Promise<void> {
    const ended = this.ended(nodeId);
    this.signal(nodeId, 'SIGTERM');
    // A process that is stopped by SIGSTOP would never see the SIGTERM.
    this.signal(nodeId, 'SIGCONT');
    const timer = setTimeout(() => this.signal(nodeId, 'SIGKILL'), stopGraceMs);
    await ended;
    clearTimeout(timer);
  }

  /** Stops every node and starts none any more. Idempotent. */
  async stopAll(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.nodes.map((node) => this.stop(node.id)));
    process.off('exit', this.killOnExit);
  }

  /** At once and synchronously, for the end of this process. */
  killAll(): void {
    this.stopping = true;
    for (const node of this.nodes) this.signal(node.id, 'SIGKILL');
  }

  private clusterFileOf(nodeId: string): string {
    if (this.options.addressSeenBy === undefined) return this.clusterFile;
    return join(this.directory, `cluster-${nodeId}.json`);
  }

  private writeClusterFile(path: string, addressOf: (node: LocalNode) => string): void {
    const members = this.nodes.map((node) => ({ id: node.id, address: addressOf(node) }));
    writeFileSync(path, `${JSON.stringify({ members, ...this.options.config }, null, 2)}\n`);
  }

  private node(nodeId: string): LocalNode {
    const node = this.nodes.find((candidate) => candidate.id === nodeId);
    if (node === undefined) throw new UsageError(`there is no node ${nodeId} in ${this.clusterFile}`);
    return node;
  }

  private readLines(nodeId: string, stream: NodeJS.ReadableStream, lastLines: string[]): void {
    createInterface({ input: stream }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > lastLinesMax) lastLines.shift();
      this.options.onLine?.(nodeId, line);
    });
  }
}

/**
 * Ports in a row on loopback that were free a moment ago. Below what systems give to connections by
 * themselves (from 32768, elsewhere from 49152): one of those may be taken before it is listened on, or
 * while its node is down.
 */
export async function freePorts(count: number): Promise<number[]> {
  for (let tries = 0; tries < portTriesMax; tries++) {
    const first = randomInt(10_000, 32_000);
    const ports = Array.from({ length: count }, (_, i) => first + i);
    if ((await takenPort(ports)) === undefined) return ports;
  }
  throw new Error(`no ${count} free ports in a row on 127.0.0.1 after ${portTriesMax} tries`);
}

/** The first of `ports` on loopback that cannot be listened on at this moment, with the errno. */
export async function takenPort(
  ports: readonly number[],
): Promise<{ port: number; code: string } | undefined> {
  for (const port of ports) {
    const code = await new Promise<string | undefined>((finish) => {
      const server = createServer();
      server.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
      server.listen(port, '127.0.0.1', () => server.close(() => finish(undefined)));
    });
    if (code !== undefined) return { port, code };
  }
  return undefined;
}

/**
 * The ports of the cluster whose data `directory` holds, or `undefined` when it holds none. Throws
 * `UsageError` when the file there is not one that `LocalCluster` wrote.
 */
export function savedPorts(directory: string): number[] | undefined {
  const path = join(directory, 'cluster.json');
  if (!existsSync(path)) return undefined;
  const broken = new UsageError(
    `${path} was not written by kvorum dev: use another --data-dir, or remove the file`,
  );
  let members: unknown;
  try {
    members = (JSON.parse(readFileSync(path, 'utf8')) as { members?: unknown } | null)?.members;
  } catch {
    throw broken;
  }
  if (!Array.isArray(members) || members.length === 0) throw broken;
  return members.map((member: unknown, index) => {
    const { id, address } = (member ?? {}) as { id?: unknown; address?: unknown };
    const port = /^127\.0\.0\.1:(\d{1,5})$/.exec(String(address))?.[1];
    if (id !== `n${index + 1}` || port === undefined) throw broken;
    return Number(port);
  });
}
