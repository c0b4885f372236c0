// Real processes whose log does not reach back: members that were away get a snapshot, also when the sending
// is broken off on either side, and members whose disk was damaged come back by themselves with the others'
// data.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../waiting.js';
import {
  agreedStatus,
  currentLeader,
  endAll,
  startCluster,
  untilWhole,
  type TestCluster,
} from './processes.js';

afterEach(endAll);

/** A log that is truncated all the time, and chunks so small that a snapshot takes many of them. */
const shortLog = {
  wal: { segmentBytes: 65_536, quotaBytes: 64 * 1_048_576 },
  snapshot: { logEntriesMax: 40, logBytesMax: 1_048_576, chunkBytes: 8_192 },
};

/**
 * Writes one after the other in each of a few rows, so that many entries come about. Counts what is
 * acknowledged.
 */
async function write({ client }: TestCluster, prefix: string, count: number, bytes = 400): Promise<void> {
  const rows = 4;
  await Promise.all(
    Array.from({ length: rows }, async (_, row) => {
      for (let index = row; index < count; index += rows) {
        await client.put(`${prefix}/${index}`, `${index} ${'x'.repeat(bytes)}`);
      }
    }),
  );
}

async function expectWhole(shared: TestCluster, prefix: string, count: number): Promise<void> {
  const { cluster, client } = shared;
  await untilWhole(cluster, client);
  const { nodes } = await agreedStatus(client);
  expect(new Set(nodes.map((node) => node.stateHash)).size).toBe(1);
  expect(await client.count({ prefix: `${prefix}/` })).toBe(count);
  for (const entry of await client.range({ prefix: `${prefix}/` }).all()) expect(entry.version).toBe(1);
}

function folderOf({ cluster }: TestCluster, nodeId: string): string {
  return cluster.nodes.find((node) => node.id === nodeId)?.dataDirectory ?? '';
}

/** Names of the files in the node's newest store or log. */
function filesIn(folder: string, pattern: RegExp): string[] {
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .map((name) => join(folder, name));
}

async function followerOf({ client }: TestCluster): Promise<string> {
  const leader = await currentLeader(client);
  return leader === 'n3' ? 'n2' : 'n3';
}

/** Until a node has made a part of a snapshot durable since its process was started. */
async function untilReceiving({ cluster }: TestCluster, nodeId: string): Promise<void> {
  const address = cluster.nodes.find((node) => node.id === nodeId)?.address;
  await until(async () => {
    const metrics = await (await fetch(`http://${address}/metrics`)).text();
    return Number(/^kvorum_snapshots_bytes_total\{direction="received"\} (\d+)/m.exec(metrics)?.[1]) > 0;
  }, `a part of a snapshot at ${nodeId}`);
}

function flip(path: string, offset: number): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

describe('a member that was away while the log was truncated', () => {
  test('gets a snapshot and is as the others', async () => {
    const shared = await startCluster(shortLog);
    const away = await followerOf(shared);
    await shared.cluster.kill(away);
    await write(shared, 'k', 1_500);
    shared.cluster.start(away);
    await expectWhole(shared, 'k', 1_500);
  });

  test('gets it also while writes go on, and when either side is killed in the middle', async () => {
    const shared = await startCluster(shortLog);
    const { cluster, client } = shared;
    const away = await followerOf(shared);
    await cluster.kill(away);
    await write(shared, 'k', 1_500, 2_000);
    let stop = false;
    let written = 0;
    const writer = (async () => {
      for (; !stop; written++) await client.put(`w/${written}`, 'x'.repeat(300));
    })();
    cluster.start(away);
    await untilReceiving(shared, away);
    await cluster.kill(away);
    cluster.start(away);
    await untilReceiving(shared, away);
    const leader = await currentLeader(client);
    await cluster.kill(leader);
    // The others go on without it.
    const before = written;
    await until(() => written > before, 'a write');
    cluster.start(leader);
    await untilWhole(cluster, client);
    stop = true;
    await writer;
    await expectWhole(shared, 'k', 1_500);
    expect(await client.count({ prefix: 'w/' })).toBe(written);
  });
});

describe('a member with a damaged disk', () => {
  test('whose log has a flipped bit takes the data from the others', async () => {
    const shared = await startCluster();
    const { cluster } = shared;
    await write(shared, 'k', 300);
    const damaged = await followerOf(shared);
    await cluster.stop(damaged);
    const path = join(folderOf(shared, damaged), 'wal', '0000000001.wal');
    flip(path, 50_000);
    cluster.start(damaged);
    await expectWhole(shared, 'k', 300);
    await write(shared, 'm', 20);
    await expectWhole(shared, 'm', 20);
  });

  test('whose store has damaged files takes the data from the others', async () => {
    const shared = await startCluster(shortLog);
    const { cluster } = shared;
    await write(shared, 'k', 1_500);
    const damaged = await followerOf(shared);
    await cluster.kill(damaged);
    const store = join(
      folderOf(shared, damaged),
      readdirSync(folderOf(shared, damaged)).find((name) => /^db/.test(name)) ?? 'db',
    );
    for (const path of filesIn(store, /^MANIFEST|\.ldb$/)) flip(path, Math.floor(statSync(path).size / 2));
    cluster.start(damaged);
    await expectWhole(shared, 'k', 1_500);
  });

  test('and the leader it was: the others elect another, and it comes back', async () => {
    const shared = await startCluster();
    const { cluster, client } = shared;
    await write(shared, 'k', 300);
    const leader = await currentLeader(client);
    await cluster.kill(leader);
    flip(join(folderOf(shared, leader), 'wal', '0000000001.wal'), 20_000);
    await write(shared, 'm', 50);
    cluster.start(leader);
    await expectWhole(shared, 'm', 50);
    const areRunning = async (): Promise<boolean> =>
      (await client.status()).nodes.every((node) => node.reachable && node.state === 'running');
    await until(areRunning, 'the member to vote again');
  });
});
