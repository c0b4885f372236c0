// A load process of `kvorum chaos`, which starts it and talks to it over its channel. Not for people: without
// a parent it has nothing to do and ends at once.

import type { Command } from 'commander';
import { assertNever } from '../../base/assert.js';
import { Load } from '../../chaos/load/load.js';
import type { LoadCommand, LoadReport } from '../../chaos/load/messages.js';
import { loadCommandName } from './processes.js';
import { UsageError } from '../terminal/exit-codes.js';

export function addChaosLoadCommand(program: Command): void {
  program.command(loadCommandName, { hidden: true }).action(runLoadProcess);
}

async function runLoadProcess(): Promise<void> {
  if (process.send === undefined) throw new UsageError(`kvorum chaos starts ${loadCommandName} by itself`);
  // The keyboard's signals are the parent's matter, which then says what to do.
  process.on('SIGINT', () => undefined);
  let paused: readonly number[] = [];
  process.on('disconnect', () => {
    for (const pid of paused) wake(pid);
    // Without the parent nobody wants the result any more.
    process.exit();
  });
  const sent: Promise<unknown>[] = [];
  const report = (message: LoadReport): void => {
    const accepted = new Promise((resolve) => process.send?.(message, resolve));
    sent.push(accepted);
    void accepted.then(() => sent.splice(sent.indexOf(accepted), 1));
  };
  await new Promise<void>((resolve) => {
    let load: Load | undefined;
    process.on('message', (message) => {
      const command = message as LoadCommand;
      switch (command.kind) {
        case 'paused':
          paused = command.pids;
          return;
        case 'stop':
          if (load === undefined) resolve();
          load?.stop(command.atOnce);
          return;
        case 'start':
          load = new Load(command.settings, report);
          load.run().then(resolve, (error: unknown) => {
            report({ kind: 'failed', message: error instanceof Error ? (error.stack ?? '') : String(error) });
            resolve();
          });
          return;
        default:
          assertNever(command);
      }
    });
    report({ kind: 'ready' });
  });
  await Promise.all(sent);
  process.exit();
}

/** A process under SIGSTOP cannot have ended, so its number is still its own. */
function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // Somebody killed it meanwhile.
  }
}
