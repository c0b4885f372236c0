// `kvorum start`: one node in this process, until a signal or a fatal fault ends it.

import { Option, type Command } from 'commander';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import type { RunningServer, ServerOptions } from '../../server/server.js';
import { exitCodeOf, exitCodes } from '../terminal/exit-codes.js';
import { endProcess, say } from '../terminal/output.js';

const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;

interface StartFlags {
  readonly cluster: string;
  readonly node: string;
  readonly dataDir?: string;
  readonly listen?: string;
  readonly logLevel: (typeof logLevels)[number];
  /** Given by `kvorum chaos`: where the node keeps the notes that faults of its disk are made from. */
  readonly chaosFolder?: string;
}

/**
 * After this long a node that was told to stop ends without having closed everything; its log makes that
 * safe.
 */
const stopTimeMs = 7_000;

export function addStartCommand(program: Command): void {
  program
    .command('start')
    .description('run one node until SIGTERM or Ctrl-C')
    .addOption(
      new Option('--cluster <file>', 'JSON file with the members of the cluster')
        .env('KVORUM_CLUSTER')
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--node <id>', 'which member this node is').env('KVORUM_NODE').makeOptionMandatory(),
    )
    .addOption(
      new Option('--data-dir <folder>', "this node's own data folder (default: .kvorum/<id>)").env(
        'KVORUM_DATA_DIR',
      ),
    )
    .addOption(
      new Option(
        '--listen <host:port>',
        'where it binds, such as 0.0.0.0:7401 (default: "listen" of the cluster file, else the address)',
      ).env('KVORUM_LISTEN'),
    )
    .addOption(
      new Option('--log-level <level>', 'how much is logged to stderr')
        .env('KVORUM_LOG_LEVEL')
        .choices(logLevels)
        .default('info'),
    )
    .addOption(new Option('--chaos-folder <folder>').hideHelp())
    .action(runStart);
}

async function runStart(flags: StartFlags): Promise<void> {
  // LevelDB makes its files by the process's rules: no other account gets at what a node stores.
  process.umask(0o077);
  const stopRequested = listenForStop();
  void stopRequested.then(() => {
    setTimeout(() => {
      say(`kvorum ${flags.node}: stopping took more than ${stopTimeMs} ms, ending now`);
      void endProcess(exitCodes.failure);
    }, stopTimeMs).unref();
  });
  const { startServer } = await import('../../server/server.js');
  const { loadClusterFile } = await import('../../server/config/cluster-file.js');
  let server: RunningServer | undefined = undefined;
  reloadOnHangUp(() => server?.reload(() => loadClusterFile(flags.cluster)));
  const dataDirectory = flags.dataDir ?? join('.kvorum', flags.node);
  server = await startServer({
    nodeId: flags.node,
    cluster: loadClusterFile(flags.cluster),
    dataDirectory,
    logLevel: flags.logLevel,
    ...(flags.listen === undefined ? {} : { listen: flags.listen }),
    ...(flags.chaosFolder === undefined ? {} : { wrapDisk: await notedIn(flags.chaosFolder) }),
  });
  const { listen, address } = server;
  const where = listen === address ? address : `${listen}, known as ${address}`;
  process.stdout.write(
    `kvorum ${flags.node} listens on ${where}, data in ${dataDirectory}, process ${process.pid}\n`,
  );
  void stopRequested.then(() => server?.stop());
  const fatal = await server.stopped;
  if (fatal !== undefined) say(`kvorum ${flags.node} stopped: ${fatal.message}`);
  // Nothing of a node that has ended may keep its process, whatever handle is still open.
  await endProcess(fatal === undefined ? exitCodes.ok : exitCodeOf(fatal));
}

/** The disk of a node under `kvorum chaos`, which keeps notes of it in `folder`. */
async function notedIn(folder: string): Promise<NonNullable<ServerOptions['wrapDisk']>> {
  const { withSyncNotes } = await import('../../chaos/faults/sync-notes.js');
  return (disk) => withSyncNotes(disk, folder);
}

/**
 * SIGHUP asks a service to read its files again, but the kernel also sends it when the terminal of a process
 * is closed: then the node stops, as at SIGTERM, instead of staying behind unseen. A node with a channel to
 * its parent hears nothing of either (`listenForStop`).
 */
function reloadOnHangUp(reload: () => void): void {
  const startedInTerminal = isatty(2);
  if (process.send !== undefined) return;
  process.on('SIGHUP', () => {
    if (startedInTerminal && !isatty(2)) process.kill(process.pid, 'SIGTERM');
    else reload();
  });
}

/**
 * Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. A node started by `dev` or
 * `bench` has a channel to its parent: it stops when that closes, and leaves the keyboard's signals to the
 * parent.
 */
function listenForStop(): Promise<void> {
  return new Promise((resolve) => {
    let count = 0;
    const stop = (code: number): void => {
      count += 1;
      if (count > 1) process.exit(code);
      resolve();
    };
    process.on('SIGTERM', () => stop(143));
    const managed = process.send !== undefined;
    process.on('SIGINT', () => {
      if (!managed) stop(exitCodes.interrupted);
    });
    if (managed) {
      process.on('SIGHUP', () => undefined);
      process.on('disconnect', () => stop(exitCodes.failure));
      // Listening would keep a process alive whose node could not start.
      process.channel?.unref();
      if (!process.connected) stop(exitCodes.failure);
    }
  });
}
