// `kvorum status`: every node as it sees itself, and whether the cluster can serve.

import type { Command } from 'commander';
import { exitCodes } from '../terminal/exit-codes.js';
import type { ClusterStatus, KvorumClient, NodeReport } from '../../client/index.js';
import { addClientFlags, withClient, type ClientFlags } from '../terminal/options.js';
import { alignColumns, formatBytes, paint, say, writeJson, writeLine } from '../terminal/output.js';

export function addStatusCommand(program: Command): void {
  addClientFlags(program.command('status'))
    .description('show every node: role, indexes, state hash, sizes')
    .action(async (flags: ClientFlags) => {
      const status = await withClient(flags, (client) => readWholeStatus(client, flags.timeout));
      if (flags.json) await writeJson(statusToJson(status));
      else for (const line of statusLines(status)) await writeLine(line);
      const alarms = new Set(status.nodes.flatMap(({ difference }) => difference ?? []));
      for (const alarm of alarms) say(paint('red', `alarm: ${alarm}`));
      if (alarms.size > 0) process.exitCode = exitCodes.safety;
      const health = judge(status);
      if (health.serving) return;
      say(paint('red', health.words));
      process.exitCode ??= exitCodes.unavailable;
    });
}

/**
 * The status of every member. The first answer of a node tells the client who the other members are; when
 * some were not known before, all are asked again.
 */
export async function readWholeStatus(client: KvorumClient, timeoutMs: number): Promise<ClusterStatus> {
  const first = await client.status({ timeoutMs });
  if (!first.nodes.some((node) => node.reachable)) return first;
  return client.status({ timeoutMs });
}

/** The status as one JSON document, in which what is not known is `null`. */
function statusToJson({ clusterId, leader, term, nodes }: ClusterStatus): Record<string, unknown> {
  return { clusterId: clusterId ?? null, leader: leader ?? null, term, nodes };
}

/** Whether the reachable nodes are a majority that has a leader, in words. */
export function judge(status: ClusterStatus): { serving: boolean; words: string } {
  const reachable = status.nodes.filter((node) => node.reachable).length;
  const majority = Math.floor(status.nodes.length / 2) + 1;
  const count = `${reachable} of ${status.nodes.length} nodes reachable`;
  if (reachable < majority) return { serving: false, words: `no quorum: ${count}, ${majority} needed` };
  const leads = status.nodes.some((node) => node.reachable && node.role === 'leader');
  return leads
    ? { serving: true, words: `serving: ${count}` }
    : { serving: false, words: `no leader: ${count}` };
}

/** The status as aligned lines for people. */
export function statusLines(status: ClusterStatus): string[] {
  const head = [
    'node',
    'role',
    'address',
    'process',
    'term',
    'commit',
    'applied',
    'revision',
    'state',
    'data',
    'log',
    'format',
  ];
  const rows = status.nodes.map(nodeRow);
  const leader = status.leader ?? 'none';
  return [
    `cluster ${status.clusterId ?? 'unknown'}, leader ${leader}, term ${status.term}`,
    ...alignColumns([head, ...rows], [3, 4, 5, 6, 7, 9, 10]),
    ...status.nodes
      .filter(({ trouble = '' }) => trouble !== '')
      .map(({ id, trouble }) => `${id}: ${trouble}`),
    ...status.nodes
      .filter((node) => !node.reachable)
      .map(({ id, reason = 'no answer' }) => (reason.startsWith(`${id} `) ? reason : `${id}: ${reason}`)),
  ];
}

function nodeRow(node: NodeReport): string[] {
  if (!node.reachable) return [node.id, 'unreachable', node.address];
  return [
    node.id,
    node.state === 'catchingUp' ? `${node.role ?? ''}, catching up` : (node.role ?? ''),
    node.address,
    String(node.pid),
    String(node.term),
    String(node.commitIndex),
    String(node.appliedIndex),
    String(node.revision),
    `${node.stateHash}@${node.stateHashIndex}`,
    formatBytes(node.dbBytes ?? 0),
    formatBytes(node.logBytes ?? 0),
    `${node.formatLevel}/${node.formatLevelMax}`,
  ];
}
