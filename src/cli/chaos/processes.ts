// The processes of a chaos run: nodes that see each other through proxies, and load processes, each a child
// of this process that ends with it. Must never end a process that it did not start.

import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type {
  ChaosNode,
  LoadEnd,
  LoadProcess,
  NodeControl,
  NodeFailure,
  UnexpectedExit,
} from '../../chaos/control.js';
import type { Links } from '../../chaos/links.js';
import type { LoadReport } from '../../chaos/load/messages.js';
import type { NodeEventKind } from '../../server/events.js';
import { hasOwnGroup, LocalCluster } from '../local-cluster.js';
import { logRecord } from '../terminal/log-lines.js';
import { commandPath } from '../terminal/paths.js';

/** The name of the command that load processes run; not shown in any help. */
export const loadCommandName = 'chaos-load';

/** Small logs and early snapshots, so that a run of a minute meets what otherwise takes days. */
const nodeConfig = {
  wal: { segmentBytes: 262_144, quotaBytes: 67_108_864 },
  snapshot: { logEntriesMax: 2_000, logBytesMax: 1_048_576, chunkBytes: 16_384 },
};

export interface ChaosClusterOptions {
  /** Made for this run; holds the data of all nodes. */
  readonly directory: string;
  /** Where each node's output goes, as `<id>.log`. */
  readonly logDirectory: string;
  readonly ports: readonly number[];
  readonly links: Links;
  onUnexpectedExit(exit: UnexpectedExit): void;
  /** A node said that it found its disk damaged. */
  onDamageNoticed(nodeId: string): void;
  /** What a node said could not be written to its log. */
  onLogError(error: Error): void;
}

export class ChaosProcesses implements NodeControl {
  readonly nodes: readonly ChaosNode[];
  private readonly cluster: LocalCluster;
  private readonly logs = new Map<string, WriteStream>();
  private readonly loads = new Set<LoadProcess>();
  private readonly paused = new Set<string>();
  /** What the process that runs now has told of its end. */
  private readonly failures = new Map<string, NodeFailure>();
  private readonly options: ChaosClusterOptions;

  /** Writes the nodes' cluster files; starts nothing yet. */
  constructor(options: ChaosClusterOptions) {
    this.options = options;
    const { directory, logDirectory, ports, links } = options;
    mkdirSync(logDirectory, { recursive: true, mode: 0o700 });
    const chaosFolder = (id: string): string => join(directory, `${id}-notes`);
    this.cluster = new LocalCluster({
      directory,
      ports,
      logLevel: 'info',
      config: nodeConfig,
      addressSeenBy: (nodeId, other) => links.addressSeenBy(nodeId, other.id),
      flagsOf: (nodeId) => ['--chaos-folder', chaosFolder(nodeId)],
      onLine: (nodeId, line) => {
        this.log(nodeId, line);
        this.hear(nodeId, line);
      },
      onExit: (nodeId, { code, signal, expected, lastLines }) => {
        const how = signal ?? `code ${code}`;
        this.log(nodeId, `-- ended with ${how}${expected ? '' : ', by itself'}`);
        const failure = this.failures.get(nodeId);
        this.failures.delete(nodeId);
        if (expected) return;
        const lastLine = lastLines.at(-1) ?? '';
        options.onUnexpectedExit({ nodeId, how, lastLine, ...(failure === undefined ? {} : { failure }) });
      },
    });
    for (const { id } of this.cluster.nodes) {
      const log = createWriteStream(join(logDirectory, `${id}.log`), { flags: 'a' });
      log.on('error', (error) => options.onLogError(error));
      this.logs.set(id, log);
    }
    this.nodes = this.cluster.nodes.map((node) => ({ ...node, chaosFolder: chaosFolder(node.id) }));
    for (const node of this.nodes) mkdirSync(node.chaosFolder, { recursive: true, mode: 0o700 });
  }

  start(nodeId: string): void {
    this.cluster.start(nodeId);
  }

  async kill(nodeId: string): Promise<void> {
    await this.cluster.kill(nodeId);
  }

  async stop(nodeId: string): Promise<void> {
    await this.cluster.stop(nodeId);
  }

  signal(nodeId: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
    if (signal === 'SIGSTOP') this.paused.add(nodeId);
    else this.paused.delete(nodeId);
    const pids = [...this.paused].map((id) => this.cluster.pid(id)).filter((pid) => pid !== undefined);
    for (const load of this.loads) load.send({ kind: 'paused', pids });
    this.cluster.signal(nodeId, signal);
  }

  isRunning(nodeId: string): boolean {
    return this.cluster.isRunning(nodeId);
  }

  async stopAll(): Promise<void> {
    await this.cluster.stopAll();
    await Promise.all([...this.logs.values()].map((log) => new Promise<void>((done) => log.end(done))));
  }

  killAll(): void {
    this.cluster.killAll();
  }

  /** Goes by the kind of the event that a line was made from, never by its words. */
  private hear(nodeId: string, line: string): void {
    const { event, code, isOutOfSpace } = logRecord(line) ?? {};
    if (event === ('damageFound' satisfies NodeEventKind)) this.options.onDamageNoticed(nodeId);
    if (event !== ('nodeFailed' satisfies NodeEventKind)) return;
    this.failures.set(nodeId, { code: String(code), isOutOfSpace: isOutOfSpace === true });
  }

  private log(nodeId: string, line: string): void {
    const log = this.logs.get(nodeId);
    if (log?.destroyed === false) log.write(`${line}\n`);
  }

  /** As `launchLoad`; the process also sees to it that no node stays under SIGSTOP without this one. */
  launchLoad(onReport: (report: LoadReport) => void): LoadProcess {
    const load = launchLoad(onReport);
    this.loads.add(load);
    return load;
  }
}

/** Starts a load process. It ends when its channel to this process closes. */
export function launchLoad(onReport: (report: LoadReport) => void): LoadProcess {
  const child = spawn(process.execPath, [commandPath, loadCommandName], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: hasOwnGroup,
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.on('exit', kill);
  const ended = new Promise<LoadEnd>((resolve) => {
    const end = (isOrdinary: boolean, how: string): void => {
      process.off('exit', kill);
      resolve({ isOrdinary, how });
    };
    // The channel may close after the process has ended: what was reported before is heard first.
    const channelClosed = new Promise((closed) => child.once('disconnect', closed));
    child.once('exit', (code, signal) => {
      void channelClosed.then(() => end(code === 0, signal ?? `code ${code}`));
    });
    child.once('error', (error) => {
      if (child.pid === undefined) end(false, error.message);
    });
  });
  child.on('message', (message) => onReport(message as LoadReport));
  return {
    send: (command) => {
      if (child.connected) child.send(command, () => undefined);
    },
    ended,
    kill,
  };
}
