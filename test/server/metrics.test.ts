// Figures of snapshots in the node's metrics, and the line in the log while a member catches up.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { complaintsAbout } from './metrics-lint.js';
import type { NodeEvent } from '../../src/server/events.js';
import { EventLog } from '../../src/server/operate/event-log.js';
import { EventCounts } from '../../src/server/operate/event-counts.js';
import { LogAges } from '../../src/server/operate/log-ages.js';
import { metrics, Metrics } from '../../src/server/operate/metrics.js';
import { Durations } from '../../src/base/durations.js';
import type { ServerNode } from '../../src/server/node.js';
import { reportCatchingUp } from '../../src/server/snapshots/figures.js';
import { VirtualTime } from './snapshot-world.js';

/** The figures of a node that is in the state of the given parts. */
function metricsOf(parts: object, time = new VirtualTime(), lost = 0): Metrics {
  const gauges = {
    connections: { client: 3, peerDialed: 2, peerAccepted: 1 },
    pendingWrites: 0,
    pendingReads: 0,
    queuedBytes: { proposals: 10, answers: 20, peers: 30 },
  };
  const status = (): object => ({
    state: 'running',
    logBytes: 0,
    dbBytes: 0,
    formatLevel: 1,
    formatLevelMax: 1,
  });
  const snapshotFigures = { bytesSent: 0, bytesReceived: 0 };
  const node = { events: new EventCounts(), snapshotFigures, gauges, status, ...parts };
  const { clock, timers } = time;
  return new Metrics({
    node: node as unknown as ServerNode,
    clock,
    timers,
    version: '1.2.3',
    lostLogLines: () => lost,
  });
}

const linesOf = (text: string): string[] =>
  text.split('\n').filter((line) => /^kvorum_(snapshots|is_)/.test(line));

describe('the metrics', () => {
  it('say what was sent and received in snapshots, and whether the node catches up', async () => {
    let state = 'running';
    const snapshotFigures = { bytesSent: 300, bytesReceived: 40 };
    const events = new EventCounts();
    const staged = { store: 'db1', index: 9, term: 2 };
    for (const index of [8, 9]) {
      events.count({ kind: 'snapshotDelivered', peer: 'n2', sendingId: index, index, bytesSent: 150 });
    }
    events.count({ kind: 'snapshotArrived', ...staged });
    events.count({ kind: 'snapshotInstalled', ...staged });
    const status = (): object => ({ state, logBytes: 0, dbBytes: 0, formatLevel: 1, formatLevelMax: 1 });
    const time = new VirtualTime();
    const figures = metricsOf({ events, snapshotFigures, status }, time);
    const expected = [
      'kvorum_is_catching_up 0',
      'kvorum_snapshots_sent_total 2',
      'kvorum_snapshots_installed_total 1',
      'kvorum_snapshots_bytes_total{direction="sent"} 300',
      'kvorum_snapshots_bytes_total{direction="received"} 40',
    ];
    expect(linesOf(await figures.text())).toEqual(expected);
    // Read, not counted: the same again when asked again, after a second.
    state = 'catchingUp';
    snapshotFigures.bytesSent = 900;
    expect(linesOf(await figures.text())).toEqual(expected);
    time.run(1_000);
    const later = ['kvorum_is_catching_up 1', 'kvorum_snapshots_bytes_total{direction="sent"} 900'];
    expect(linesOf(await figures.text())).toEqual(expect.arrayContaining(later));
  });
});

describe('the metrics of versions', () => {
  it('say at which format level the state is, and which one the software knows', async () => {
    const status = (): object => ({
      state: 'running',
      logBytes: 0,
      dbBytes: 0,
      formatLevel: 2,
      formatLevelMax: 3,
    });
    const text = await metricsOf({ status }).text();
    const levels = text.split('\n').filter((line) => line.startsWith('kvorum_format_'));
    expect(levels).toEqual(['kvorum_format_level 2', 'kvorum_format_level_max 3']);
  });
});

/** The samples of a metric, as they stand in the text. */
function samplesOf(text: string, name: string): string[] {
  return text.split('\n').filter((line) => line.startsWith(name) && /[{ ]/.test(line.charAt(name.length)));
}

describe('the figures for alarms', () => {
  it('say how far followers are behind at the leader, in entries and in time', async () => {
    const time = new VirtualTime();
    const raft = {
      lastIndex: 0,
      currentTerm: 2,
      commitIndex: 0,
      role: 'leader',
      progress: () => [
        { peer: 'n2', matchIndex: raft.lastIndex, heardMs: time.nowMs },
        { peer: 'n3', matchIndex: 40, heardMs: time.nowMs - 250 },
      ],
    };
    const figures = metricsOf({ raft, stateMachine: { appliedIndex: 97, sizeOf: () => 5 } }, time);
    for (let second = 1; second <= 10; second++) {
      raft.lastIndex = second * 10;
      raft.commitIndex = second * 10;
      time.run(1_000);
    }
    const text = await figures.text();
    const of = (name: string): string[] => samplesOf(text, `kvorum_${name}`).map((line) => line.slice(7));
    expect(of('raft_follower_lag_entries')).toEqual([
      'raft_follower_lag_entries{peer="n2"} 0',
      'raft_follower_lag_entries{peer="n3"} 60',
    ]);
    // It has had an entry above 40 since the fifth second.
    expect(of('raft_follower_lag_seconds')).toEqual([
      'raft_follower_lag_seconds{peer="n2"} 0',
      'raft_follower_lag_seconds{peer="n3"} 5',
    ]);
    expect(of('raft_follower_silence_seconds')[1]).toBe('raft_follower_silence_seconds{peer="n3"} 0.25');
    expect(of('apply_lag_entries')).toEqual(['apply_lag_entries 3']);
    raft.progress = () => [];
    time.run(1_000);
    expect(samplesOf(await figures.text(), 'kvorum_raft_follower_lag_entries')).toEqual([]);
  });

  it('count elections, leaders, lost lines and syncs, and name the version', async () => {
    const events = new EventCounts();
    events.count({ kind: 'electionBegun', term: 2 });
    for (const leaderId of ['n1', undefined, 'n2']) {
      events.count({ kind: 'leaderChanged', leaderId, term: 2, isLeader: false });
    }
    const syncTimes = new Durations();
    for (const ms of [0.2, 1, 1.1, 99, 7_000]) syncTimes.add(ms);
    const text = await metricsOf({ events, syncTimes }, new VirtualTime(), 17).text();
    for (const line of [
      'kvorum_raft_elections_total 1',
      'kvorum_raft_leader_changes_total 2',
      'kvorum_log_lines_lost_total 17',
      'kvorum_build_info{version="1.2.3"} 1',
      'kvorum_connections{kind="client"} 3',
      'kvorum_queued_bytes{queue="answers"} 20',
      'kvorum_log_sync_duration_seconds_bucket{le="0.00025"} 1',
      'kvorum_log_sync_duration_seconds_bucket{le="0.001"} 2',
      'kvorum_log_sync_duration_seconds_bucket{le="5"} 4',
      'kvorum_log_sync_duration_seconds_bucket{le="+Inf"} 5',
      'kvorum_log_sync_duration_seconds_count 5',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    expect(Number(samplesOf(text, 'kvorum_log_sync_duration_seconds_sum')[0]?.split(' ')[1])).toBeCloseTo(
      7.1013,
    );
    expect(text).toContain('# TYPE kvorum_log_sync_duration_seconds histogram');
  });

  it('are made once a second, however often somebody asks', async () => {
    let asked = 0;
    const time = new VirtualTime();
    const status = (): object => {
      asked++;
      return { state: 'running', logBytes: 0, dbBytes: 0, formatLevel: 1, formatLevelMax: 1 };
    };
    const figures = metricsOf({ status }, time);
    await figures.text();
    const once = asked;
    for (let i = 0; i < 100; i++) await figures.text();
    expect(asked).toBe(once);
    time.run(1_000);
    await figures.text();
    expect(asked).toBeGreaterThan(once);
  });

  it('remember a bounded time of the log, and nothing that was cut off its end', () => {
    const ages = new LogAges();
    for (let second = 1; second <= 2_000; second++) ages.note(second * 1_000, second);
    expect(ages.ageAbove(2_000, 2_000_000)).toBe(0);
    expect(ages.ageAbove(1_990, 2_000_000)).toBe(9_000);
    expect(ages.ageAbove(0, 2_000_000)).toBe(599_000);
    ages.note(2_001_000, 1_995);
    expect(ages.ageAbove(1_995, 2_001_000)).toBe(0);
    expect(ages.ageAbove(1_994, 2_001_000)).toBe(6_000);
  });
});

describe('the text for Prometheus', () => {
  it('says nothing that its linter objects to', async () => {
    const raft = { lastIndex: 1, progress: () => [{ peer: 'n2', matchIndex: 1, heardMs: 0 }] };
    const text = await metricsOf({
      raft,
      stateMachine: { sizeOf: () => 1 },
      syncTimes: new Durations(),
    }).text();
    expect(complaintsAbout(text)).toEqual([]);
    for (const name of Object.keys(metrics)) expect(text).toContain(`# TYPE ${name} `);
  });

  it.each([
    ['# TYPE a gauge\na 1', /no help/],
    ['# HELP a Words.\n# TYPE a counter\na 1', /counter without _total/],
    ['# HELP a_total Words.\n# TYPE a_total gauge\na_total 1', /_total of a gauge/],
    ['# HELP a_milliseconds Words.\n# TYPE a_milliseconds gauge\na_milliseconds 1', /base unit seconds/],
    ['# HELP a_ms Words.\n# TYPE a_ms gauge\na_ms 1', /abbreviated unit ms/],
    ['# HELP a_count Words.\n# TYPE a_count gauge\na_count 1', /_count of a gauge/],
    ['# HELP a Words.\n# TYPE a gauge\na{le="1"} 1', /label le/],
    ['# HELP a_gauge Words.\n# TYPE a_gauge gauge\na_gauge 1', /its type in its name/],
    ['# HELP aB Words.\n# TYPE aB gauge\naB 1', /characters/],
    ['# HELP a Words.\n# TYPE a gauge\na 1\n# HELP a Words.\n# TYPE a gauge', /declared twice/],
  ])('%j would be objected to', (text, complaint) => {
    expect(complaintsAbout(text).join()).toMatch(complaint);
  });
});

describe('the page of metrics', () => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');

  it('is what is declared, in its order', () => {
    const rows = Object.entries(metrics).map(([name, metric]) => {
      const label = 'labelName' in metric ? `\`${metric.labelName}\`` : '';
      const unit = metric.unit === '1' ? '' : metric.unit;
      return `| \`${name}\` | ${metric.type} | ${unit} | ${label} | ${metric.help} | ${metric.from} |`;
    });
    const table = page.slice(page.indexOf('| metric |')).split('\n\n')[0] ?? '';
    expect(table.trimEnd().split('\n').slice(2)).toEqual(rows);
  });

  it('names figures of the process that are there', async () => {
    const text = await metricsOf({}).text();
    const named = [...page.matchAll(/`((?:process|nodejs)_\w+)`/g)].map(([, name]) => name ?? '');
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((name) => !text.includes(`# TYPE ${name} `))).toEqual([]);
  });
});

describe('a member that catches up', () => {
  it('says so every ten seconds, until it votes again', () => {
    const time = new VirtualTime();
    const lines: string[] = [];
    const nothing = (): void => undefined;
    const info = (_fields: unknown, message: string): void => void lines.push(message);
    const raft = {
      isCatchingUp: true,
      leaderId: undefined as string | undefined,
      appliedIndex: 7,
      lastIndex: 9,
    };
    const logger = { debug: nothing, info, warn: nothing, error: nothing };
    const log = new EventLog({ logger, clock: time.clock, timers: time.timers });
    const report = (event: NodeEvent): void => log.write(event);
    reportCatchingUp({ timers: time.timers, report }, { raft, isHalted: false });
    time.run(10_500);
    raft.leaderId = 'n2';
    time.run(10_000);
    raft.isCatchingUp = false;
    time.run(60_000);
    expect(lines).toEqual([
      'still catching up and not voting: no leader is known, applied through 7',
      'still catching up and not voting: node n2 leads, applied through 7',
    ]);
  });
});
