// What the one port of a node answers to plain HTTP: health and metrics, and that a wrong request harms
// nothing.

import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePorts } from '../../src/cli/local-cluster.js';
import { until } from '../waiting.js';
import {
  endAll,
  onEnd,
  startCluster,
  startCommand,
  temporaryFolder,
  untilSays,
  type TestCluster,
} from './processes.js';

let shared: TestCluster;

beforeAll(async () => {
  shared = await startCluster();
});

afterAll(endAll);

async function get(address: string | undefined, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://${address}${path}`);
  return { status: response.status, body: await response.text() };
}

describe('HTTP', () => {
  test('a node that serves is alive and ready', async () => {
    for (const address of shared.cluster.endpoints) {
      expect((await get(address, '/livez')).status).toBe(200);
      await until(async () => (await get(address, '/readyz')).status === 200, 'the node to be ready');
    }
  });

  test('a node that waits for the others is alive, not ready', async () => {
    const folder = temporaryFolder();
    const ports = await freePorts(3);
    const members = ports.map((port, index) => ({ id: `n${index + 1}`, address: `127.0.0.1:${port}` }));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'cluster.json'), JSON.stringify({ members }));
    const file = join(folder, 'cluster.json');
    const node = startCommand(['start', '--cluster', file, '--node', 'n1', '--data-dir', join(folder, 'n1')]);
    await untilSays(node, /listens on/);
    expect((await get(members[0]?.address, '/livez')).status).toBe(200);
    expect((await get(members[0]?.address, '/readyz')).status).toBe(503);
  });

  test('metrics in the text format of Prometheus', async () => {
    const { status, body } = await get(shared.cluster.endpoints[0], '/metrics');
    expect(status).toBe(200);
    expect(body).toMatch(/^# HELP kvorum_/m);
    expect(body).toMatch(/^# TYPE kvorum_\w+ (gauge|counter|histogram|summary)$/m);
  });

  test('other paths are not found; bytes that are not HTTP end their connection only', async () => {
    expect((await get(shared.cluster.endpoints[0], '/nowhere')).status).toBe(404);
    const port = Number(shared.cluster.endpoints[0]?.split(':')[1]);
    const socket = connectSocket(port, '127.0.0.1');
    onEnd(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('\u0016\u0003\u0001 this is not HTTP\r\n\r\n');
    await closed;
    await shared.client.put('still', 'here');
    expect(shared.cluster.nodes.every((node) => shared.cluster.isRunning(node.id))).toBe(true);
  });
});
