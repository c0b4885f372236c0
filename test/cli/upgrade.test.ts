// `kvorum upgrade`: what it would raise, and what it shows before it asks.

import { describe, expect, test } from 'vitest';
import { levelLines, planOf } from '../../src/cli/commands/upgrade.js';
import type { ClusterStatus, NodeReport } from '../../src/client/index.js';

const node = (id: string, change: Partial<NodeReport> = {}): NodeReport => ({
  ...{ id, address: `${id}:1`, reachable: true, version: '0.2.0' },
  ...{ formatLevel: 1, formatLevelMax: 3, protocolMax: 4 },
  ...change,
});
const statusOf = (nodes: NodeReport[], leader: string | undefined = 'n1'): ClusterStatus => ({
  ...{ clusterId: 'c', leader, term: 1 },
  nodes,
});

describe('what is raised', () => {
  test('is the level that all nodes know, from that of the leader', () => {
    const nodes = [node('n1'), node('n2', { formatLevelMax: 2 }), node('n3')];
    expect(planOf(statusOf(nodes))).toEqual({ kind: 'raise', from: 1, to: 2 });
  });

  test('is nothing when the cluster is there already', () => {
    const nodes = [node('n1', { formatLevel: 2 }), node('n2', { formatLevelMax: 2 })];
    expect(planOf(statusOf(nodes))).toEqual({ kind: 'nothing', level: 2 });
  });

  test('is not decided while a node does not answer, or nobody leads', () => {
    const silent = { id: 'n2', address: 'n2:1', reachable: false };
    const words = /no answer from n2: .*; start it$/;
    expect(() => planOf(statusOf([node('n1'), silent]))).toThrow(words);
    expect(() => planOf({ ...statusOf([node('n1')]), leader: undefined })).toThrow(/no leader now/);
  });
});

test('the levels of every node are shown', () => {
  const silent = { id: 'n2', address: 'n2:1', reachable: false };
  const lines = levelLines(statusOf([node('n1'), silent]));
  expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['node', 'version', 'format', 'knows up to', 'protocol'],
    ['n1', '0.2.0', '1', '3', '4'],
    ['n2', 'unreachable'],
  ]);
});
