// Figures of a node in Prometheus' text format. They are read from the node when asked for, so that the hot
// path counts nothing twice.

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { ServerNode } from '../node.js';

interface Figure {
  readonly name: string;
  readonly help: string;
  read(node: ServerNode): number;
}

const figures: readonly Figure[] = [
  { name: 'kvorum_raft_term', help: 'Current term.', read: (node) => node.raft?.currentTerm ?? 0 },
  {
    name: 'kvorum_raft_is_leader',
    help: '1 while this node leads.',
    read: (node) => Number(node.raft?.role === 'leader'),
  },
  {
    name: 'kvorum_raft_has_leader',
    help: '1 while this node knows a leader.',
    read: (node) => Number(node.raft?.leaderId !== undefined),
  },
  {
    name: 'kvorum_raft_commit_index',
    help: 'Highest committed index.',
    read: (node) => node.raft?.commitIndex ?? 0,
  },
  {
    name: 'kvorum_raft_last_index',
    help: 'Highest index in the log.',
    read: (node) => node.raft?.lastIndex ?? 0,
  },
  {
    name: 'kvorum_applied_index',
    help: 'Highest applied index.',
    read: (node) => node.stateMachine?.appliedIndex ?? 0,
  },
  {
    name: 'kvorum_store_applied_index',
    help: 'Highest applied index that is durable in the store.',
    read: (node) => node.stateMachine?.durableAppliedIndex ?? 0,
  },
  { name: 'kvorum_revision', help: 'Newest revision.', read: (node) => node.stateMachine?.revision ?? 0 },
  {
    name: 'kvorum_sessions',
    help: 'Open client sessions.',
    read: (node) => node.stateMachine?.sessionCount ?? 0,
  },
  { name: 'kvorum_clients', help: 'Client connections.', read: (node) => node.gauges.clients },
  {
    name: 'kvorum_pending_writes',
    help: 'Writes not yet answered.',
    read: (node) => node.gauges.pendingWrites,
  },
  { name: 'kvorum_pending_reads', help: 'Reads not yet answered.', read: (node) => node.gauges.pendingReads },
  {
    name: 'kvorum_is_catching_up',
    help: '1 while this node, whose disk was damaged, is supplied by the others and does not vote.',
    read: (node) => Number(['recovering', 'catchingUp'].includes(node.status().state)),
  },
  { name: 'kvorum_log_bytes', help: 'Bytes of the log on disk.', read: (node) => node.status().logBytes },
  { name: 'kvorum_db_bytes', help: 'Bytes of the store on disk.', read: (node) => node.status().dbBytes },
];

interface Total extends Figure {
  /** Which of several it is. */
  readonly labels: Readonly<Record<string, string>>;
}

/** They only grow: what a replaced member counted is kept (snapshot-figures.ts). */
const totals: readonly Total[] = [
  {
    name: 'kvorum_snapshots_sent_total',
    help: 'Snapshots sent that the receiver holds durably.',
    labels: {},
    read: (node) => node.snapshotFigures.sent,
  },
  {
    name: 'kvorum_snapshots_installed_total',
    help: 'Snapshots that took the place of log and store.',
    labels: {},
    read: (node) => node.snapshotFigures.installed,
  },
  ...(['sent', 'received'] as const).map((direction) => ({
    name: 'kvorum_snapshots_bytes_total',
    help: 'Keys and values in snapshots.',
    labels: { direction },
    read: (node: ServerNode) =>
      direction === 'sent' ? node.snapshotFigures.bytesSent : node.snapshotFigures.bytesReceived,
  })),
];

/** The registry of one node's figures, and of its process. */
export function createMetrics(node: ServerNode): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { name, help, read } of figures) {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [registry],
      collect: () => gauge.set(read(node)),
    });
  }
  for (const name of new Set(totals.map((total) => total.name))) registerTotals(registry, node, name);
  return registry;
}

function registerTotals(registry: Registry, node: ServerNode, name: string): void {
  const parts = totals.filter((total) => total.name === name);
  const counter: Counter = new Counter({
    name,
    help: parts[0]?.help ?? '',
    labelNames: Object.keys(parts[0]?.labels ?? {}),
    registers: [registry],
    collect: () => {
      counter.reset();
      for (const { labels, read } of parts) counter.inc(labels, read(node));
    },
  });
}
