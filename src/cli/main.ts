// The program `kvorum`: its commands, and what happens to everything that goes wrong: one line on stderr
// that says what and why, and the exit code of `cli/terminal/exit-codes.ts`. A stack trace only for bugs of
// kvorum itself.

import { Command, CommanderError } from 'commander';
import { readFileSync } from 'node:fs';
import { ConflictError, KvorumError } from '../client/index.js';
import { addBenchCommand } from './bench/bench.js';
import { addChaosCommand } from './chaos/chaos.js';
import { addChaosLoadCommand } from './chaos/load.js';
import { addDevCommand } from './commands/dev.js';
import { exitCodeOf, exitCodes, UsageError } from './terminal/exit-codes.js';
import { addKeyCommands, describeConflict } from './commands/keys.js';
import { endOnBrokenPipe, entryToJson, paint, say, sayAtOnce } from './terminal/output.js';
import { addSimCommand } from './sim/sim.js';
import { addStartCommand } from './commands/start.js';
import { addStatusCommand } from './commands/status.js';
import { addUpgradeCommand } from './commands/upgrade.js';

/** The whole command line, without running anything. */
export function createProgram(): Command {
  const program = new Command('kvorum')
    .description('A strongly consistent key-value store: Raft, fsync before every acknowledgement.')
    .version(packageVersion())
    .showHelpAfterError('(kvorum --help lists the commands, kvorum <command> --help the options of one)')
    .exitOverride();
  addStartCommand(program);
  addDevCommand(program);
  addKeyCommands(program);
  addStatusCommand(program);
  addUpgradeCommand(program);
  addBenchCommand(program);
  addSimCommand(program);
  addChaosCommand(program);
  addChaosLoadCommand(program);
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError('(--help lists the options)');
  return program;
}

/** Runs one command line and leaves the exit code in `process.exitCode`. Never rejects. */
export async function run(argv: readonly string[]): Promise<void> {
  endOnBrokenPipe();
  process.on('uncaughtException', (error) => endWithBug(error));
  process.on('unhandledRejection', (reason) => endWithBug(reason));
  try {
    await createProgram().parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = reportError(error, argv.includes('--json'));
  }
}

/** Says on stderr what went wrong, as JSON if the command was asked for JSON, and returns the exit code. */
export function reportError(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) {
    // Commander has printed it already; help and version are no errors.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  const code = exitCodeOf(error);
  if (json) {
    say(JSON.stringify({ error: errorToJson(error) }));
    return code;
  }
  if (KvorumError.is(error)) {
    const unknown = error.outcome === 'unknown' ? ' It may have taken effect.' : '';
    say(`${paint('red', 'error')} ${error.code}: ${error.message}${unknown}`);
    const conflict = describeConflict(error);
    if (conflict !== undefined) say(conflict);
  } else if (error instanceof UsageError || isSystemError(error)) {
    say(`${paint('red', 'error')}: ${error.message}`);
  } else {
    say(
      `${paint('red', 'error')}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
  return code;
}

function errorToJson(error: unknown): Record<string, unknown> {
  if (KvorumError.is(error)) {
    const { code, message, retryable, outcome } = error;
    const json = { code, message, retryable, outcome };
    if (!(error instanceof ConflictError)) return json;
    return { ...json, current: error.current === undefined ? null : entryToJson(error.current) };
  }
  return {
    code: error instanceof UsageError ? 'USAGE' : 'INTERNAL',
    message: String((error as Error).message),
  };
}

/** An error of the operating system, such as EACCES: its message says enough. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

function endWithBug(error: unknown): void {
  const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
  sayAtOnce(`kvorum: unexpected error: ${words}`);
  process.exit(exitCodes.failure);
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
