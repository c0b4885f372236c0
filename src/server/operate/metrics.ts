// Figures of a node in Prometheus' text format, each declared once. They are read from the node when asked
// for, so that the hot path counts nothing twice.

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { ServerNode } from '../node.js';

/** One of several values of a metric, by the label that tells them apart. */
interface Labelled {
  readonly label: string;
  readonly value: number;
}

type Metric = { readonly help: string } & (
  | { readonly type: 'gauge'; read(node: ServerNode): number }
  /** Only grows: what a replaced member counted is kept (`server/snapshots/figures.ts`). */
  | { readonly type: 'counter'; read(node: ServerNode): number }
  | { readonly type: 'counter'; readonly labelName: string; read(node: ServerNode): readonly Labelled[] }
);

type MetricName = `kvorum_${string}`;

/** A counter's name ends in `_total`, and no other's does: that is how Prometheus tells them. */
export const metrics: Readonly<Record<MetricName, Metric>> = {
  kvorum_raft_term: {
    type: 'gauge',
    help: 'Current term.',
    read: ({ raft }) => raft?.currentTerm ?? 0,
  },
  kvorum_raft_is_leader: {
    type: 'gauge',
    help: '1 while this node leads.',
    read: ({ raft }) => Number(raft?.role === 'leader'),
  },
  kvorum_raft_has_leader: {
    type: 'gauge',
    help: '1 while this node knows a leader.',
    read: ({ raft }) => Number(raft?.leaderId !== undefined),
  },
  kvorum_raft_commit_index: {
    type: 'gauge',
    help: 'Highest committed index.',
    read: ({ raft }) => raft?.commitIndex ?? 0,
  },
  kvorum_raft_last_index: {
    type: 'gauge',
    help: 'Highest index in the log.',
    read: ({ raft }) => raft?.lastIndex ?? 0,
  },
  kvorum_applied_index: {
    type: 'gauge',
    help: 'Highest applied index.',
    read: ({ stateMachine }) => stateMachine?.appliedIndex ?? 0,
  },
  kvorum_store_applied_index: {
    type: 'gauge',
    help: 'Highest applied index that is durable in the store.',
    read: ({ stateMachine }) => stateMachine?.durableAppliedIndex ?? 0,
  },
  kvorum_revision: {
    type: 'gauge',
    help: 'Newest revision.',
    read: ({ stateMachine }) => stateMachine?.revision ?? 0,
  },
  kvorum_format_level: {
    type: 'gauge',
    help: "Format level of this node's state; 0 before it is part of a cluster.",
    read: (node) => node.status().formatLevel,
  },
  kvorum_format_level_max: {
    type: 'gauge',
    help: 'Highest format level that the software of this node knows.',
    read: (node) => node.status().formatLevelMax,
  },
  kvorum_sessions: {
    type: 'gauge',
    help: 'Open client sessions.',
    read: ({ stateMachine }) => stateMachine?.sizeOf('sessions') ?? 0,
  },
  kvorum_clients: {
    type: 'gauge',
    help: 'Client connections.',
    read: ({ gauges }) => gauges.clients,
  },
  kvorum_pending_writes: {
    type: 'gauge',
    help: 'Writes not yet answered.',
    read: ({ gauges }) => gauges.pendingWrites,
  },
  kvorum_pending_reads: {
    type: 'gauge',
    help: 'Reads not yet answered.',
    read: ({ gauges }) => gauges.pendingReads,
  },
  kvorum_is_catching_up: {
    type: 'gauge',
    help: '1 while this node, whose disk was damaged, is supplied by the others and does not vote.',
    read: (node) => Number(['recovering', 'catchingUp'].includes(node.status().state)),
  },
  kvorum_log_bytes: {
    type: 'gauge',
    help: 'Bytes of the log on disk.',
    read: (node) => node.status().logBytes,
  },
  kvorum_db_bytes: {
    type: 'gauge',
    help: 'Bytes of the store on disk.',
    read: (node) => node.status().dbBytes,
  },
  kvorum_snapshots_sent_total: {
    type: 'counter',
    help: 'Snapshots sent that the receiver holds durably.',
    read: ({ events }) => events.of('snapshotDelivered'),
  },
  kvorum_snapshots_installed_total: {
    type: 'counter',
    help: 'Snapshots that took the place of log and store.',
    read: ({ events }) => events.of('snapshotInstalled'),
  },
  kvorum_snapshots_bytes_total: {
    type: 'counter',
    help: 'Keys and values in snapshots.',
    labelName: 'direction',
    read: ({ snapshotFigures }) => [
      { label: 'sent', value: snapshotFigures.bytesSent },
      { label: 'received', value: snapshotFigures.bytesReceived },
    ],
  },
};

/** The registry of one node's figures, and of its process. */
export function createMetrics(node: ServerNode): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const [name, metric] of Object.entries(metrics)) register(registry, node, name, metric);
  return registry;
}

function register(registry: Registry, node: ServerNode, name: string, metric: Metric): void {
  const { help } = metric;
  const registers = [registry];
  if (metric.type === 'gauge') {
    const collect = (): void => gauge.set(metric.read(node));
    const gauge: Gauge = new Gauge({ name, help, registers, collect });
    return;
  }
  const collect = (): void => {
    counter.reset();
    if (!('labelName' in metric)) counter.inc(metric.read(node));
    else for (const { label, value } of metric.read(node)) counter.inc({ [metric.labelName]: label }, value);
  };
  const labelNames = 'labelName' in metric ? [metric.labelName] : [];
  const counter: Counter = new Counter({ name, help, labelNames, registers, collect });
}
