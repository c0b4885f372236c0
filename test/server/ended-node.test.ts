// A node inside a process that goes on after it: however it ended, nothing of its data folder stays open.

import fs, { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { freePorts } from '../../src/cli/local-cluster.js';
import { connect } from '../../src/client/index.js';
import { parseClusterConfig, startServer, type RunningServer } from '../../src/server/index.js';
import { patienceMs } from '../waiting.js';

let dataDirectory: string;
const fdatasync = fs.fdatasync;

beforeEach(() => {
  dataDirectory = mkdtempSync(join(tmpdir(), 'kvorum-ended-'));
});
afterEach(() => {
  fs.fdatasync = fdatasync;
  syncBuiltinESMExports();
  rmSync(dataDirectory, { recursive: true, force: true });
});

function openFiles(): string[] {
  const numbers = readdirSync('/proc/self/fd');
  return numbers.map(linkOf).filter((path) => path.startsWith(dataDirectory));
}

function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    // It was the one that listed the folder.
    return '';
  }
}

function failSyncs(): void {
  fs.fdatasync = ((_descriptor: number, done: (error: Error) => void) => {
    setImmediate(done, Object.assign(new Error('EIO'), { code: 'EIO' }));
  }) as unknown as typeof fs.fdatasync;
  syncBuiltinESMExports();
}

async function startAlone(): Promise<{ server: RunningServer; endpoint: string }> {
  const [port = 0] = await freePorts(1);
  const endpoint = `127.0.0.1:${port}`;
  const cluster = parseClusterConfig({ members: [{ id: 'n1', address: endpoint }] }, 'cluster.json');
  const server = await startServer({ nodeId: 'n1', cluster, dataDirectory, logLevel: 'silent' });
  return { server, endpoint };
}

describe.runIf(process.platform === 'linux')('a node that has ended', () => {
  it('has no file open after it was stopped', async () => {
    const { server, endpoint } = await startAlone();
    const client = await connect({ endpoints: [endpoint], timeoutMs: patienceMs });
    await client.put('key', 'value');
    await client.close();
    expect(openFiles()).not.toEqual([]);
    await server.stop();
    expect(openFiles()).toEqual([]);
  });

  it('has none after its disk failed, and can be started again', async () => {
    const { server, endpoint } = await startAlone();
    const client = await connect({ endpoints: [endpoint], timeoutMs: patienceMs });
    await client.put('key', 'value');
    failSyncs();
    const failed = client.put('key', 'other').catch((error: unknown) => error);
    expect((await server.stopped)?.message).toMatch(/failed: EIO/);
    expect(openFiles()).toEqual([]);
    await client.close();
    await failed;

    fs.fdatasync = fdatasync;
    syncBuiltinESMExports();
    const again = await startAlone();
    const next = await connect({ endpoints: [again.endpoint], timeoutMs: patienceMs });
    const read = await next.get('key');
    expect(['value', 'other']).toContain(Buffer.from(read?.value ?? '').toString());
    await next.close();
    await again.server.stop();
  });
});
