// Figures of snapshots in the node's metrics, and the line in the log while a member catches up.

import { describe, expect, it } from 'vitest';
import type { NodeEvent } from '../../src/server/events.js';
import { EventLog } from '../../src/server/operate/event-log.js';
import { EventCounts } from '../../src/server/operate/event-counts.js';
import { createMetrics } from '../../src/server/operate/metrics.js';
import type { ServerNode } from '../../src/server/node.js';
import { reportCatchingUp } from '../../src/server/snapshots/figures.js';
import { VirtualTime } from './snapshot-world.js';

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
    const node = {
      events,
      snapshotFigures,
      gauges: { clients: 0, pendingWrites: 0, pendingReads: 0 },
      status: () => ({ state, logBytes: 0, dbBytes: 0, formatLevel: 1, formatLevelMax: 1 }),
    };
    const registry = createMetrics(node as unknown as ServerNode);
    const expected = [
      'kvorum_is_catching_up 0',
      'kvorum_snapshots_sent_total 2',
      'kvorum_snapshots_installed_total 1',
      'kvorum_snapshots_bytes_total{direction="sent"} 300',
      'kvorum_snapshots_bytes_total{direction="received"} 40',
    ];
    expect(linesOf(await registry.metrics())).toEqual(expected);
    // Read, not counted: the same again when asked again.
    state = 'catchingUp';
    snapshotFigures.bytesSent = 900;
    const later = ['kvorum_is_catching_up 1', 'kvorum_snapshots_bytes_total{direction="sent"} 900'];
    expect(linesOf(await registry.metrics())).toEqual(expect.arrayContaining(later));
  });
});

describe('the metrics of versions', () => {
  it('say at which format level the state is, and which one the software knows', async () => {
    const node = {
      events: new EventCounts(),
      snapshotFigures: { bytesSent: 0, bytesReceived: 0 },
      gauges: { clients: 0, pendingWrites: 0, pendingReads: 0 },
      status: () => ({ state: 'running', logBytes: 0, dbBytes: 0, formatLevel: 2, formatLevelMax: 3 }),
    };
    const text = await createMetrics(node as unknown as ServerNode).metrics();
    const levels = text.split('\n').filter((line) => line.startsWith('kvorum_format_'));
    expect(levels).toEqual(['kvorum_format_level 2', 'kvorum_format_level_max 3']);
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
