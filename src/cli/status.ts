// `kvorum status`: every node as it sees itself, and whether the cluster can serve.

import type { Command } from 'commander';
import { exitCodes } from './exit-codes.js';
import { addClientFlags, withClient, type Client, type ClientFlags } from './options.js';
import { alignColumns, formatBytes, paint, say, writeJson, writeLine } from './output.js';

export type ClusterStatus = Awaited<ReturnType<Client['status']>>;
type NodeLine = ClusterStatus['nodes'][number];

export function addStatusCommand(program: Command): void {
  addClientFlags(program.command('status'))
    .description('show every node: role, indexes, state hash, sizes')
    .action(async (flags: ClientFlags) => {
      const status = await withClient(flags, (client) => client.status({ timeoutMs: flags.timeout }));
      if (flags.json) await writeJson(status);
      else for (const line of statusLines(status)) await writeLine(line);
      const health = judge(status);
      if (health.serving) return;
      say(paint('red', health.words));
      process.exitCode = exitCodes.unavailable;
    });
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
  ];
  const rows = status.nodes.map(nodeRow);
  const leader = status.leader ?? 'none';
  return [
    `cluster ${status.clusterId ?? 'unknown'}, leader ${leader}, term ${status.term}`,
    ...alignColumns([head, ...rows], [3, 4, 5, 6, 7, 9, 10]),
  ];
}

function nodeRow(node: NodeLine): string[] {
  if (!node.reachable) return [node.id, 'unreachable', node.address];
  return [
    node.id,
    node.role ?? '',
    node.address,
    String(node.pid),
    String(node.term),
    String(node.commitIndex),
    String(node.appliedIndex),
    String(node.revision),
    `${node.stateHash}@${node.stateHashIndex}`,
    formatBytes(node.dbBytes ?? 0),
    formatBytes(node.logBytes ?? 0),
  ];
}
