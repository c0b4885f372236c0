// `kvorum dev`: a whole cluster on this machine, one process per node, in the foreground. Says when it can
// serve, and leaves no process behind, however it ends.

import { Option, type Command } from 'commander';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { connect, KvorumError, type KvorumClient } from '../../client/index.js';
import { membersMax } from '../../server/config/members.js';
import { exitCodes, UsageError } from '../terminal/exit-codes.js';
import { makeFolder } from '../terminal/folders.js';
import { LocalCluster, savedPorts, takenPort, type NodeExit } from '../local-cluster.js';
import { readableLogLine } from '../terminal/log-lines.js';
import { defaultDevPort, integerParser } from '../terminal/options.js';
import { paint, say, writeLine } from '../terminal/output.js';
import { commandPath, shortPath } from '../terminal/paths.js';
import { Progress } from '../terminal/progress.js';
import { judge, statusLines } from './status.js';

/** How far from taken ports others are proposed. */
const otherPortsAfter = 100;

interface DevFlags {
  readonly nodes?: number;
  readonly dataDir: string;
  readonly port?: number;
}

export function addDevCommand(program: Command): void {
  program
    .command('dev')
    .description('run a whole cluster on this machine until Ctrl-C')
    .addOption(
      new Option('--nodes <count>', 'how many nodes (default: 3)').argParser(integerParser(1, membersMax)),
    )
    .addOption(
      new Option('--data-dir <folder>', 'where the data of all nodes lives; started again, it is all there')
        .env('KVORUM_DATA_DIR')
        .default(join('.kvorum', 'dev')),
    )
    .addOption(
      new Option(
        '--port <number>',
        `port of the first node, the others follow (default: ${defaultDevPort})`,
      ).argParser(integerParser(1, 65_535)),
    )
    .action(async (flags: DevFlags) => {
      const ports = choosePorts(flags);
      await refuseTakenPort(ports);
      makeFolder('--data-dir', flags.dataDir);
      const session = new DevSession(flags.dataDir, ports);
      process.exitCode = await session.run();
    });
}

/**
 * The ports of the cluster in the folder, or new ones by the flags. A folder's cluster keeps its size and
 * ports.
 */
export function choosePorts(flags: DevFlags): number[] {
  const saved = savedPorts(flags.dataDir);
  const first = saved?.[0] ?? flags.port ?? defaultDevPort;
  const count = saved?.length ?? flags.nodes ?? 3;
  if (saved !== undefined && existsSync(join(flags.dataDir, 'n1'))) {
    const holds = `${flags.dataDir} holds a cluster of ${count} nodes from port ${first}`;
    if ((flags.nodes ?? count) !== count)
      throw new UsageError(`${holds}: --nodes ${flags.nodes} needs another --data-dir`);
    if ((flags.port ?? first) !== first)
      throw new UsageError(`${holds}: --port ${flags.port} needs another --data-dir`);
    return saved;
  }
  const from = flags.port ?? defaultDevPort;
  const nodes = flags.nodes ?? 3;
  if (from + nodes - 1 > 65_535)
    throw new UsageError(`--port ${from} leaves no room for ${nodes} nodes below 65536`);
  return Array.from({ length: nodes }, (_, index) => from + index);
}

/** Throws `UsageError` when one of the ports is taken, before anything is started or written. */
async function refuseTakenPort(ports: readonly number[]): Promise<void> {
  const taken = await takenPort(ports);
  if (taken === undefined) return;
  const { port, code } = taken;
  const why = code === 'EADDRINUSE' ? 'is in use, perhaps by another kvorum dev' : `cannot be used (${code})`;
  const first = ports[0] ?? defaultDevPort;
  const other =
    first + otherPortsAfter + ports.length > 65_536 ? first - otherPortsAfter : first + otherPortsAfter;
  throw new UsageError(
    `port ${port} of 127.0.0.1 ${why}: stop what uses it, or run a second cluster beside it with ` +
      `--port ${other} --data-dir ${join('.kvorum', `dev-${other}`)}`,
  );
}

/** One run of `dev`, from the first process to the last. */
class DevSession {
  private readonly cluster: LocalCluster;
  private readonly startedAt = performance.now();
  private progress: Progress | undefined;
  private client: KvorumClient | undefined;
  private ready = false;
  private stopCode: number | undefined;
  /** Set by the promise below, which resolves when the session is to end. */
  private requestStop: (code: number) => void = () => undefined;
  private readonly stopRequested: Promise<void>;

  constructor(directory: string, ports: readonly number[]) {
    this.stopRequested = new Promise((resolve) => {
      this.requestStop = (code) => {
        this.stopCode ??= code;
        resolve();
      };
    });
    this.cluster = new LocalCluster({
      directory,
      ports,
      onLine: (nodeId, line) => this.onLine(nodeId, line),
      onExit: (nodeId, exit) => this.onExit(nodeId, exit),
    });
  }

  /** Resolves with the exit code when every node has ended. */
  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.onSignal());
    this.cluster.startAll();
    this.progress = new Progress(`starting ${this.cluster.nodes.length} nodes`, () => {
      const seconds = ((performance.now() - this.startedAt) / 1_000).toFixed(1);
      return `(${seconds} s, waiting for a leader)`;
    });
    await Promise.race([this.becomeReady(), this.stopRequested]);
    const stopListening = this.listenToKeys();
    await this.stopRequested;
    this.progress.end();
    stopListening();
    if (this.ready) say('stopping: every node closes (Ctrl-C again: at once)');
    await Promise.all([this.client?.close().catch(() => undefined), this.cluster.stopAll()]);
    if (this.ready) say(`stopped; the data stays in ${shortPath(this.cluster.directory)}`);
    else if (this.stopCode === exitCodes.ok) say('stopped before the cluster was ready');
    return this.stopCode ?? exitCodes.ok;
  }

  private async becomeReady(): Promise<void> {
    this.client = await connect({ endpoints: this.cluster.endpoints, lazy: true, timeoutMs: 1_000 });
    let leader: string | undefined;
    while (this.stopCode === undefined && leader === undefined) leader = await this.findLeader(this.client);
    if (this.stopCode !== undefined) return;
    this.ready = true;
    const seconds = ((performance.now() - this.startedAt) / 1_000).toFixed(1);
    this.progress?.end();
    await writeLine(
      paint('green', `ready after ${seconds} s: ${this.cluster.nodes.length} nodes, leader ${leader}`),
    );
    for (const line of this.invitation()) await writeLine(line);
  }

  /** The leader, once it serves; `undefined` while it does not. Then a little time has passed. */
  private async findLeader(client: KvorumClient): Promise<string | undefined> {
    try {
      // A linearizable read: a leader has a quorum behind it and has applied what was committed.
      await client.get('kvorum dev', { timeoutMs: 1_000 });
      const { leader, nodes } = await client.status({ timeoutMs: 1_000 });
      // Another cluster may have the ports: then these processes are about to end, and say why.
      const isOurs = nodes.some(({ id, pid }) => id === leader && pid === this.cluster.pid(id));
      if (isOurs) return leader;
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    return undefined;
  }

  private invitation(): string[] {
    const endpoints = this.cluster.endpoints.join(',');
    const isDefault = this.cluster.nodes[0]?.address === `127.0.0.1:${defaultDevPort}`;
    const flags = isDefault ? '' : ` --endpoints ${endpoints}`;
    const command = commandName();
    const keys = 'keys: k kill the leader with SIGKILL, r restart what is down, s status, q quit';
    return [
      `endpoints ${endpoints}`,
      `data in ${shortPath(this.cluster.directory)}`,
      '',
      'try in another terminal:',
      `  ${command} put greeting hello${flags}`,
      `  ${command} get greeting${flags}`,
      `  ${command} status${flags}`,
      '',
      process.stdin.isTTY ? keys : 'Ctrl-C stops the cluster',
    ];
  }

  private onSignal(): void {
    if (this.stopCode === undefined) {
      this.requestStop(exitCodes.ok);
      return;
    }
    this.cluster.killAll();
    process.exit(exitCodes.interrupted);
  }

  private onLine(nodeId: string, line: string): void {
    if (this.stopCode !== undefined) return;
    const text = `${nodeId}: ${readableLogLine(line)}`;
    if (this.progress === undefined || this.ready) say(text);
    else this.progress.interrupt(text);
  }

  private onExit(nodeId: string, exit: NodeExit): void {
    if (this.stopCode !== undefined) return;
    const how = exit.signal === null ? `with code ${exit.code}` : `by ${exit.signal}`;
    if (!this.ready) {
      this.progress?.end();
      say(paint('red', `${nodeId} ended ${how} before the cluster was ready`));
      this.requestStop(exit.code ?? exitCodes.failure);
      return;
    }
    say(paint('yellow', `${nodeId} ended ${how}${process.stdin.isTTY ? '; r starts it again' : ''}`));
  }

  /** Takes single keys when stdin is a terminal. Returns what gives the terminal back. */
  private listenToKeys(): () => void {
    const { stdin } = process;
    if (!stdin.isTTY || this.stopCode !== undefined) return () => undefined;
    const onData = (data: Buffer): void => {
      for (const key of data.toString('latin1')) this.onKey(key);
    };
    stdin.setRawMode(true);
    stdin.on('data', onData);
    stdin.resume();
    return () => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      // In raw mode Ctrl-C is a byte; from here on it is a signal again.
    };
  }

  private onKey(key: string): void {
    switch (key) {
      case 'k':
        this.report(this.killLeader());
        break;
      case 'r':
        this.restartDown();
        break;
      case 's':
        this.report(this.showStatus());
        break;
      case 'q':
      case '\u0003':
      case '\u0004':
        this.onSignal();
        break;
      default:
        say('keys: k kill the leader, r restart what is down, s status, q quit');
    }
  }

  private report(work: Promise<void>): void {
    work.catch((error: unknown) => say(paint('red', error instanceof Error ? error.message : String(error))));
  }

  private async killLeader(): Promise<void> {
    const status = await this.client?.status({ timeoutMs: 1_000 });
    if (status?.leader === undefined || !this.cluster.isRunning(status.leader)) {
      say('there is no leader to kill');
      return;
    }
    this.cluster.signal(status.leader, 'SIGKILL');
  }

  private restartDown(): void {
    const down = this.cluster.nodes.filter((node) => !this.cluster.isRunning(node.id));
    if (down.length === 0) say('every node runs');
    for (const node of down) {
      say(`${node.id} starts again`);
      this.cluster.start(node.id);
    }
  }

  private async showStatus(): Promise<void> {
    const status = await this.client?.status({ timeoutMs: 1_000 });
    if (status === undefined) return;
    for (const line of statusLines(status)) await writeLine(line);
    await writeLine(judge(status).words);
  }
}

/** How this program is called from here: by npx when it is installed as a package, else by its path. */
function commandName(): string {
  if (commandPath.includes('/node_modules/')) return 'npx kvorum';
  return `node ${shortPath(commandPath)}`;
}
