// `kvorum upgrade`: brings a cluster whose nodes all run a newer version to the newest format level that all
// of them know. It says that there is no way down before it asks, and asks before it does anything.

import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { KvorumError, type ClusterStatus } from '../../client/index.js';
import { UsageError } from '../terminal/exit-codes.js';
import { addClientFlags, withClient, type ClientFlags } from '../terminal/options.js';
import { alignColumns, say, writeJson, writeLine } from '../terminal/output.js';
import { readWholeStatus } from './status.js';

interface UpgradeFlags extends ClientFlags {
  readonly yes?: boolean;
}

const noWayDown =
  'There is no way down: once raised, no node of the cluster can run an older version again, and no older ' +
  'backup of a single node can join.';

export function addUpgradeCommand(program: Command): void {
  addClientFlags(program.command('upgrade'))
    .description('raise the format level once every node runs the newer version; there is no way down')
    .option('--yes', 'do not ask')
    .action((flags: UpgradeFlags) => withClient(flags, (client) => upgrade(client, flags)));
}

type UpgradeClient = Parameters<Parameters<typeof withClient>[1]>[0];

async function upgrade(client: UpgradeClient, flags: UpgradeFlags): Promise<void> {
  const status = await readWholeStatus(client, flags.timeout);
  const plan = planOf(status);
  if (!flags.json) for (const line of levelLines(status)) await writeLine(line);
  if (plan.kind === 'nothing') {
    const { level } = plan;
    if (flags.json) await writeJson({ formatLevel: level, raised: false });
    else await writeLine(`the cluster is at format level ${level}, the highest that all of its nodes know`);
    return;
  }
  say(noWayDown);
  if (flags.yes !== true && !(await isConfirmed(plan))) {
    say('nothing was changed');
    return;
  }
  const formatLevel = await client.raiseFormat(plan.to, { timeoutMs: flags.timeout });
  if (flags.json) await writeJson({ formatLevel, raised: true });
  else await writeLine(`the cluster is at format level ${formatLevel}`);
}

/** `raise`: from this level to that one. */
export type UpgradePlan =
  | { readonly kind: 'nothing'; readonly level: number }
  | { readonly kind: 'raise'; readonly from: number; readonly to: number };

/** What can be raised. Throws `UNAVAILABLE` when a node does not answer: what it knows cannot be told. */
export function planOf({ nodes, leader }: ClusterStatus): UpgradePlan {
  const silent = nodes.filter((node) => !node.reachable).map((node) => node.id);
  if (silent.length > 0) {
    const fact = `no answer from ${silent.join(', ')}: every node must be running to be upgraded`;
    throw new KvorumError('UNAVAILABLE', `${fact}; start it`);
  }
  const leading = nodes.find((node) => node.id === leader);
  if (leading === undefined) throw new KvorumError('UNAVAILABLE', 'the cluster has no leader now: try again');
  const from = leading.formatLevel ?? 0;
  const to = Math.min(...nodes.map((node) => node.formatLevelMax ?? 0));
  return to > from ? { kind: 'raise', from, to } : { kind: 'nothing', level: from };
}

/** The levels of all nodes, for people. */
export function levelLines({ nodes }: ClusterStatus): string[] {
  const rows = nodes.map(({ id, reachable, version = '', formatLevel, formatLevelMax, protocolMax }) =>
    reachable
      ? [id, version, String(formatLevel), String(formatLevelMax), String(protocolMax)]
      : [id, 'unreachable'],
  );
  return alignColumns([['node', 'version', 'format', 'knows up to', 'protocol'], ...rows], [2, 3, 4]);
}

async function isConfirmed({ from, to }: Extract<UpgradePlan, { kind: 'raise' }>): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new UsageError(
      'this is not a terminal, so nobody can be asked: add --yes to raise the format level',
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`Raise the format level from ${from} to ${to}? Type yes: `);
    return answer.trim().toLowerCase() === 'yes';
  } finally {
    terminal.close();
  }
}
