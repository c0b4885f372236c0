// Figures of a node in Prometheus' text format, each declared once: with what it says, its unit, and where it
// comes from. They are read from the node when asked for, so that the hot path counts nothing twice.
// `docs/metrics.md` is made of these declarations.

import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { durationBoundsMs, type Durations } from '../../base/durations.js';
import type { Clock, Millis, TimerHandle, Timers } from '../../base/env.js';
import type { ServerNode } from '../node.js';
import { LogAges, noteIntervalMs } from './log-ages.js';

/** What figures are read from. */
export interface MetricSource {
  readonly node: ServerNode;
  readonly clock: Clock;
  readonly ages: LogAges;
  readonly version: string;
  /** Lines of the log of this process that were lost. */
  lostLogLines(): number;
}

/** One of several values of a metric, by the label that tells them apart. */
interface Labelled {
  readonly label: string;
  readonly value: number;
}

interface Declared {
  readonly help: string;
  /** `1`: a number without a unit, of whatever the name says. */
  readonly unit: '1' | 'bytes' | 'seconds';
  /** The part that knows it. */
  readonly from: string;
}

type One = { read(source: MetricSource): number };
type Several = { readonly labelName: string; read(source: MetricSource): readonly Labelled[] };
type Metric = Declared &
  (
    | ({ readonly type: 'gauge' } & (One | Several))
    /** Only grows: what a replaced member counted is kept, or it begins again, as after a restart. */
    | ({ readonly type: 'counter' } & (One | Several))
    | { readonly type: 'histogram'; read(source: MetricSource): Durations | undefined }
  );

type MetricName = `kvorum_${string}`;

/** A counter's name ends in `_total`, and no other's does: that is how Prometheus tells them. */
export const metrics: Readonly<Record<MetricName, Metric>> = {
  kvorum_raft_term: {
    type: 'gauge',
    help: 'Current term.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => node.raft?.currentTerm ?? 0,
  },
  kvorum_raft_is_leader: {
    type: 'gauge',
    help: '1 while this node leads.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => Number(node.raft?.role === 'leader'),
  },
  kvorum_raft_has_leader: {
    type: 'gauge',
    help: '1 while this node knows a leader.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => Number(node.raft?.leaderId !== undefined),
  },
  kvorum_raft_elections_total: {
    type: 'counter',
    help: 'Elections that this node has begun.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => node.events.of('electionBegun'),
  },
  kvorum_raft_leader_changes_total: {
    type: 'counter',
    help: 'How often another leader became known to this node, or one at all.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => node.events.leaders,
  },
  kvorum_raft_follower_lag_entries: {
    type: 'gauge',
    help: 'At the leader: entries of its log that a follower does not hold durably yet.',
    unit: '1',
    from: 'raft',
    labelName: 'peer',
    read: ({ node: { raft } }) =>
      ofFollowers(raft, ({ matchIndex }, { lastIndex }) => lastIndex - matchIndex),
  },
  kvorum_raft_follower_lag_seconds: {
    type: 'gauge',
    help: 'At the leader: for how long it has had the oldest of these entries, to a second; at most 600.',
    unit: 'seconds',
    from: 'raft',
    labelName: 'peer',
    read: ({ node: { raft }, ages, clock }) =>
      ofFollowers(raft, ({ matchIndex }) => ages.ageAbove(matchIndex, clock.nowMs()) / 1_000),
  },
  kvorum_raft_follower_silence_seconds: {
    type: 'gauge',
    help: 'At the leader: for how long it has not heard from a follower.',
    unit: 'seconds',
    from: 'raft',
    labelName: 'peer',
    read: ({ node: { raft }, clock }) =>
      ofFollowers(raft, ({ heardMs }) => Math.max(0, clock.nowMs() - heardMs) / 1_000),
  },
  kvorum_raft_commit_index: {
    type: 'gauge',
    help: 'Highest committed index.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => node.raft?.commitIndex ?? 0,
  },
  kvorum_raft_last_index: {
    type: 'gauge',
    help: 'Highest index in the log.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => node.raft?.lastIndex ?? 0,
  },
  kvorum_applied_index: {
    type: 'gauge',
    help: 'Highest applied index.',
    unit: '1',
    from: 'kv',
    read: ({ node }) => node.stateMachine?.appliedIndex ?? 0,
  },
  kvorum_apply_lag_entries: {
    type: 'gauge',
    help: 'Entries that are committed and not applied yet.',
    unit: '1',
    from: 'raft, kv',
    read: ({ node: { raft, stateMachine } }) =>
      Math.max(0, (raft?.commitIndex ?? 0) - (stateMachine?.appliedIndex ?? 0)),
  },
  kvorum_store_applied_index: {
    type: 'gauge',
    help: 'Highest applied index that is durable in the store.',
    unit: '1',
    from: 'kv',
    read: ({ node }) => node.stateMachine?.durableAppliedIndex ?? 0,
  },
  kvorum_revision: {
    type: 'gauge',
    help: 'Newest revision.',
    unit: '1',
    from: 'kv',
    read: ({ node }) => node.stateMachine?.revision ?? 0,
  },
  kvorum_format_level: {
    type: 'gauge',
    help: "Format level of this node's state; 0 before it is part of a cluster.",
    unit: '1',
    from: 'kv',
    read: ({ node }) => node.status().formatLevel,
  },
  kvorum_format_level_max: {
    type: 'gauge',
    help: 'Highest format level that the software of this node knows.',
    unit: '1',
    from: 'kv',
    read: ({ node }) => node.status().formatLevelMax,
  },
  kvorum_sessions: {
    type: 'gauge',
    help: 'Open client sessions.',
    unit: '1',
    from: 'kv',
    read: ({ node }) => node.stateMachine?.sizeOf('sessions') ?? 0,
  },
  kvorum_connections: {
    type: 'gauge',
    help: 'Open connections, by kind: of clients, dialed to peers, accepted from peers.',
    unit: '1',
    from: 'server/front, server/peers',
    labelName: 'kind',
    read: ({ node }) => labelled(node.gauges.connections),
  },
  kvorum_queued_bytes: {
    type: 'gauge',
    help: 'What waits: writes not yet answered, answers not yet read by clients, messages to peers.',
    unit: 'bytes',
    from: 'server/front, transport',
    labelName: 'queue',
    read: ({ node }) => labelled(node.gauges.queuedBytes),
  },
  kvorum_descriptor_shortages_total: {
    type: 'counter',
    help: 'Times that no file descriptor was left for a file, which was then waited for.',
    unit: '1',
    from: 'storage/disk',
    read: ({ node }) => node.events.of('descriptorsShort'),
  },
  kvorum_pending_writes: {
    type: 'gauge',
    help: 'Writes not yet answered.',
    unit: '1',
    from: 'server/front',
    read: ({ node }) => node.gauges.pendingWrites,
  },
  kvorum_pending_reads: {
    type: 'gauge',
    help: 'Reads not yet answered.',
    unit: '1',
    from: 'server/front',
    read: ({ node }) => node.gauges.pendingReads,
  },
  kvorum_is_catching_up: {
    type: 'gauge',
    help: '1 while this node, whose disk was damaged, is supplied by the others and does not vote.',
    unit: '1',
    from: 'server/life',
    read: ({ node }) => Number(['recovering', 'catchingUp'].includes(node.status().state)),
  },
  kvorum_log_sync_duration_seconds: {
    type: 'histogram',
    help: 'Time of a write to the log and its sync together. Begins again with a new log.',
    unit: 'seconds',
    from: 'storage/wal',
    read: ({ node }) => node.syncTimes,
  },
  kvorum_log_bytes: {
    type: 'gauge',
    help: 'Bytes of the log on disk.',
    unit: 'bytes',
    from: 'storage/wal',
    read: ({ node }) => node.status().logBytes,
  },
  kvorum_db_bytes: {
    type: 'gauge',
    help: 'Bytes of the store on disk.',
    unit: 'bytes',
    from: 'storage/level',
    read: ({ node }) => node.status().dbBytes,
  },
  kvorum_members_differ: {
    type: 'gauge',
    help: '1 while this node knows of members whose state is not the same after the same entry.',
    unit: '1',
    from: 'server/replica',
    read: ({ node }) => Number(node.status().difference !== undefined),
  },
  kvorum_histories_differ_total: {
    type: 'counter',
    help: 'How often this node found an entry, committed at a member, that the log of its leader lacks.',
    unit: '1',
    from: 'raft',
    read: ({ node }) => node.events.of('historiesDiffer'),
  },
  kvorum_snapshots_sent_total: {
    type: 'counter',
    help: 'Snapshots sent that the receiver holds durably.',
    unit: '1',
    from: 'server/snapshots',
    read: ({ node }) => node.events.of('snapshotDelivered'),
  },
  kvorum_snapshots_installed_total: {
    type: 'counter',
    help: 'Snapshots that took the place of log and store.',
    unit: '1',
    from: 'server/snapshots',
    read: ({ node }) => node.events.of('snapshotInstalled'),
  },
  kvorum_snapshots_bytes_total: {
    type: 'counter',
    help: 'Keys and values in snapshots.',
    unit: 'bytes',
    from: 'server/snapshots',
    labelName: 'direction',
    read: ({ node: { snapshotFigures } }) => [
      { label: 'sent', value: snapshotFigures.bytesSent },
      { label: 'received', value: snapshotFigures.bytesReceived },
    ],
  },
  kvorum_log_lines_lost_total: {
    type: 'counter',
    help: 'Lines that the log for people had no room for, since nobody read it fast enough.',
    unit: '1',
    from: 'server/operate',
    read: (source) => source.lostLogLines(),
  },
  kvorum_build_info: {
    type: 'gauge',
    help: 'Always 1; the label is the version of the software.',
    unit: '1',
    from: 'server',
    labelName: 'version',
    read: ({ version }) => [{ label: version, value: 1 }],
  },
};

type Raft = NonNullable<ServerNode['raft']>;
type Follower = ReturnType<Raft['progress']>[number];

/** Empty at a node that does not lead. */
function ofFollowers(
  raft: Raft | undefined,
  valueOf: (follower: Follower, raft: Raft) => number,
): Labelled[] {
  if (raft === undefined) return [];
  return raft.progress().map((follower) => ({ label: follower.peer, value: valueOf(follower, raft) }));
}

function labelled(values: Readonly<Record<string, number>>): Labelled[] {
  return Object.entries(values).map(([label, value]) => ({ label, value }));
}

/** By prom-client, of what is active in the process: they walk over all of it, and are named as counters. */
const unwanted = /^nodejs_active_/;
/** Whoever asks more often gets the same answer again: a figure is never worth more than that. */
const freshMs: Millis = 1_000;

export interface MetricsOptions extends Omit<MetricSource, 'ages'> {
  readonly timers: Timers;
}

/** The figures of one node, and of its process. */
export class Metrics {
  readonly contentType: string;
  private readonly options: MetricsOptions;
  private readonly registry = new Registry();
  private readonly ages = new LogAges();
  private timer: TimerHandle;
  private last: { readonly atMs: Millis; readonly text: Promise<string> } | undefined;

  constructor(options: MetricsOptions) {
    this.options = options;
    this.contentType = this.registry.contentType;
    collectDefaultMetrics({ register: this.registry });
    for (const { name } of this.registry.getMetricsAsArray()) {
      if (unwanted.test(name)) this.registry.removeSingleMetric(name);
    }
    const source = { ...options, lostLogLines: () => options.lostLogLines(), ages: this.ages };
    for (const [name, metric] of Object.entries(metrics)) register(this.registry, source, name, metric);
    this.noteAge();
  }

  /** All figures as text. */
  text(): Promise<string> {
    const nowMs = this.options.clock.nowMs();
    if (this.last === undefined || nowMs - this.last.atMs >= freshMs) {
      this.last = { atMs: nowMs, text: this.registry.metrics() };
    }
    return this.last.text;
  }

  /** Nothing is noted any more. */
  stop(): void {
    this.options.timers.clear(this.timer);
  }

  private noteAge(): void {
    const { node, clock, timers } = this.options;
    if (node.raft !== undefined) this.ages.note(clock.nowMs(), node.raft.lastIndex);
    this.timer = timers.set(noteIntervalMs, () => this.noteAge());
  }
}

function register(registry: Registry, source: MetricSource, name: string, metric: Metric): void {
  const { help, type } = metric;
  if (type === 'histogram') {
    const get = (): unknown => ({
      name,
      help,
      type,
      aggregator: 'sum',
      values: valuesOf(name, metric.read(source)),
    });
    // Counted elsewhere: this is only how the registry asks for it.
    registry.registerMetric({ name, get, reset: () => undefined } as unknown as Gauge);
    return;
  }
  const labelNames = 'labelName' in metric ? [metric.labelName] : [];
  const add = (labels: Record<string, string>, value: number): void => {
    if (figure instanceof Gauge) figure.set(labels, value);
    else figure.inc(labels, value);
  };
  const collect = (): void => {
    figure.reset();
    if (!('labelName' in metric)) add({}, metric.read(source));
    else for (const { label, value } of metric.read(source)) add({ [metric.labelName]: label }, value);
  };
  const options = { name, help, labelNames, registers: [registry], collect };
  const figure: Gauge | Counter = type === 'gauge' ? new Gauge(options) : new Counter(options);
}

interface HistogramValue {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

function valuesOf(name: string, durations: Durations | undefined): HistogramValue[] {
  const values: HistogramValue[] = [];
  let upTo = 0;
  [...durationBoundsMs, Infinity].forEach((boundMs, i) => {
    upTo += durations?.counts[i] ?? 0;
    const le = boundMs === Infinity ? '+Inf' : boundMs / 1_000;
    values.push({ metricName: `${name}_bucket`, labels: { le }, value: upTo });
  });
  values.push({ metricName: `${name}_sum`, labels: {}, value: (durations?.sumMs ?? 0) / 1_000 });
  values.push({ metricName: `${name}_count`, labels: {}, value: upTo });
  return values;
}
