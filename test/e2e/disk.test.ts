// Damaged and full disks under real processes: what the others cannot repair stops the node, which says what
// and where; the others go on, and nothing that was acknowledged is lost. What they can repair:
// snapshots.test.ts.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/client/index.js';
import { freePorts, LocalCluster } from '../../src/cli/local-cluster.js';
import { NodeDisk } from '../../src/storage/disk/node-disk.js';
import { readJsonFile, writeJsonFile } from '../../src/storage/folder/json-file.js';
import {
  connectTo,
  endAll,
  onEnd,
  runCommand,
  startCluster,
  temporaryFolder,
  type CommandResult,
  type TestCluster,
} from './processes.js';

afterEach(endAll);

/** Starts n1 outside the cluster's supervision, to see how it ends. */
function startFirst({ cluster }: TestCluster): Promise<CommandResult> {
  const folder = cluster.nodes[0]?.dataDirectory ?? '';
  return runCommand(['start', '--cluster', cluster.clusterFile, '--node', 'n1', '--data-dir', folder]);
}

function fileOfFirst({ cluster }: TestCluster, ...path: string[]): string {
  return join(cluster.nodes[0]?.dataDirectory ?? '', ...path);
}

async function writeSome({ client }: TestCluster): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const writes = Array.from({ length: 20 }, (_, index) =>
      client.put(`k/${round}/${index}`, 'v'.repeat(1_000)),
    );
    await Promise.all(writes);
  }
}

async function expectOthersGoOn({ client }: TestCluster): Promise<void> {
  expect(await client.count({ prefix: 'k/' })).toBe(100);
  await client.put('more', 'x');
}

describe('a node', () => {
  test('alone in its cluster, with a flipped bit in its log, does not start, and says where', async () => {
    const [port] = await freePorts(1);
    const cluster = new LocalCluster({ directory: temporaryFolder(), ports: [port ?? 0], logLevel: 'error' });
    onEnd(() => cluster.stopAll());
    cluster.startAll();
    const shared = { cluster, client: await connectTo(cluster.endpoints) };
    await writeSome(shared);
    await cluster.stop('n1');
    const path = fileOfFirst(shared, 'wal', '0000000001.wal');
    const bytes = readFileSync(path);
    const offset = 50_000;
    expect(bytes[offset]).not.toBe(0);
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { code, stderr } = await startFirst(shared);
    expect(code, stderr).toBe(1);
    expect(stderr).toContain('CORRUPT');
    expect(stderr).toContain('0000000001.wal');
    expect(stderr).toMatch(/\b\d{5}\b/);
    expect(readFileSync(path).equals(bytes), 'a damaged log is left as it is').toBe(true);
  });

  test('with data of a newer format does not start, and says so', async () => {
    const shared = await startCluster();
    await writeSome(shared);
    await shared.cluster.stop('n1');
    const disk = new NodeDisk(fileOfFirst(shared));
    writeJsonFile(disk, 'identity.json', 99, readJsonFile(disk, 'identity.json', 1) ?? {});
    const { code, stderr } = await startFirst(shared);
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/identity\.json has format 99, this version knows \d+: use a newer kvorum/);
    await expectOthersGoOn(shared);
  });
});

describe('a cluster', () => {
  test('whose log is at its quota refuses writes with NO_SPACE and goes on reading', async () => {
    const { client, cluster } = await startCluster({
      wal: { segmentBytes: 65_536, quotaBytes: 262_144 },
      // Never cut: by itself the log stays below half of its quota.
      snapshot: { logBytesMax: 268_435_456 },
    });
    let written = 0;
    let refusal: unknown;
    while (refusal === undefined && written < 2_000) {
      try {
        await client.put(`k/${written}`, 'v'.repeat(1_000));
        written += 1;
      } catch (error) {
        refusal = error;
      }
    }
    expect(KvorumError.is(refusal, 'NO_SPACE'), String(refusal)).toBe(true);
    expect((refusal as KvorumError).outcome).toBe('none');
    expect(await client.count({ prefix: 'k/' })).toBe(written);
    expect(cluster.nodes.every((node) => cluster.isRunning(node.id))).toBe(true);
  });
});
