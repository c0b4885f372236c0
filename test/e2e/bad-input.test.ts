// Wrong files, wrong folders, wrong bytes: a clear error that names what is wrong, and nothing is lost.

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { freePorts } from '../../src/cli/local-cluster.js';
import {
  endAll,
  onEnd,
  runCommand,
  startCluster,
  startCommand,
  temporaryFolder,
  untilSays,
  type CommandResult,
  type TestCluster,
} from './processes.js';

afterAll(endAll);

/** One cluster that the tests of this file leave as it is. */
let shared: Promise<TestCluster> | undefined;
function sharedCluster(): Promise<TestCluster> {
  shared ??= startCluster();
  return shared;
}

function clusterFile(folder: string, content: unknown): string {
  const path = join(folder, 'cluster.json');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function startNode(file: string, node: string, dataFolder: string): Promise<CommandResult> {
  return runCommand(['start', '--cluster', file, '--node', node, '--data-dir', dataFolder]);
}

async function freeMembers(): Promise<{ id: string; address: string }[]> {
  const ports = await freePorts(3);
  return ports.map((port, index) => ({ id: `n${index + 1}`, address: `127.0.0.1:${port}` }));
}

describe('start refuses', () => {
  test.each([
    ['no file', undefined, ['cannot read', 'cluster.json']],
    ['no JSON', '{ "members": [', ['not JSON', 'cluster.json']],
    ['no members', {}, ['members']],
    ['an address without a port', { members: [{ id: 'n1', address: 'localhost' }] }, ['members.0.address']],
    ['an unknown field', { members: [{ id: 'n1', address: 'localhost:1', port: 5 }] }, ['port']],
    [
      'the same id twice',
      {
        members: [
          { id: 'n1', address: 'localhost:1' },
          { id: 'n1', address: 'localhost:2' },
        ],
      },
      ['members.1.id', 'n1'],
    ],
    [
      'a number out of bounds',
      { members: [{ id: 'n1', address: 'localhost:1' }], raft: { heartbeatIntervalMs: -5 } },
      ['raft'],
    ],
  ])('a cluster file with %s', async (_name, content, words) => {
    const folder = temporaryFolder();
    const file = content === undefined ? join(folder, 'cluster.json') : clusterFile(folder, content);
    const { code, stderr } = await startNode(file, 'n1', join(folder, 'n1'));
    expect(code, stderr).toBe(2);
    for (const word of words) expect(stderr).toContain(word);
    expect(stderr).not.toContain('    at ');
  });

  test('a node id that is not in the cluster file, naming those that are', async () => {
    const folder = temporaryFolder();
    const file = clusterFile(folder, { members: await freeMembers() });
    const { code, stderr } = await startNode(file, 'n9', join(folder, 'n9'));
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/n9[^]*n1, n2, n3/);
  });

  test('a port that is in use, naming it', async () => {
    const folder = temporaryFolder();
    const members = await freeMembers();
    const port = Number(members[0]?.address.split(':')[1]);
    const server = createServer().listen(port, '127.0.0.1');
    onEnd(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { code, stderr } = await startNode(clusterFile(folder, { members }), 'n1', join(folder, 'n1'));
    expect(code, stderr).toBeGreaterThan(0);
    expect(stderr).toContain(String(port));
    expect(stderr).toMatch(/in use/);
  });

  test('a data folder that another process has open', async () => {
    const { cluster } = await sharedCluster();
    const folder = temporaryFolder();
    const members = await freeMembers();
    const dataFolder = cluster.nodes[0]?.dataDirectory ?? '';
    const { code, stderr } = await startNode(clusterFile(folder, { members }), 'n1', dataFolder);
    expect(code, stderr).toBeGreaterThan(0);
    expect(stderr).toContain(dataFolder);
    expect(stderr).toMatch(/another process|in use|locked/);
  });

  test('the data folder of another node', async () => {
    const { cluster, client } = await startCluster();
    await client.put('a', '1');
    await cluster.stop('n1');
    await cluster.stop('n2');
    const folder = cluster.nodes[0]?.dataDirectory ?? '';
    const { code, stderr } = await startNode(cluster.clusterFile, 'n2', folder);
    expect(code, stderr).toBeGreaterThan(0);
    expect(stderr).toContain('n1');
    expect(stderr).toContain(folder);
  });

  test('an unknown option and a missing one', async () => {
    expect((await runCommand(['start', '--nodes', '3'])).code).toBe(2);
    const { code, stderr } = await runCommand(['start', '--node', 'n1']);
    expect(code).toBe(2);
    expect(stderr).toContain('--cluster');
  });
});

describe('a member that is started with an empty data folder', () => {
  test('stops and says what to do; the others go on', async () => {
    const { cluster, client } = await startCluster();
    await client.put('a', '1');
    await cluster.stop('n3');
    const { code, stderr } = await startNode(cluster.clusterFile, 'n3', join(temporaryFolder(), 'n3'));
    expect(code, stderr).toBeGreaterThan(0);
    expect(stderr).toContain('restore');
    expect((await client.get('a'))?.text()).toBe('1');
  });
});

describe('bytes that are not of the protocol', () => {
  const rubbish: [string, string | Buffer][] = [
    ['text', 'hello'],
    ['random bytes', Buffer.from('c1ff00deadbeef', 'hex')],
    ['deep nesting', Buffer.alloc(100_000, 0x91)],
    ['a map', Buffer.from('81a161c3', 'hex')],
    ['an announced array of 2^32-1', Buffer.from('ddffffffff', 'hex')],
    ['nothing', Buffer.alloc(0)],
    ['5 MiB', Buffer.alloc(5 * 1_048_576, 0xc0)],
  ];

  test.each(
    ['/client', '/raft'].flatMap((path) => rubbish.map(([name, bytes]) => [path, name, bytes] as const)),
  )('on %s: %s closes that connection and nothing else', async (path, _name, bytes) => {
    const { cluster, client } = await sharedCluster();
    for (const address of cluster.endpoints) {
      const socket = new WebSocket(`ws://${address}${path}`);
      onEnd(() => socket.terminate());
      const closed = new Promise((resolve) => {
        socket.once('close', resolve);
        socket.on('error', () => undefined);
      });
      await new Promise((resolve) => socket.once('open', resolve));
      socket.send(bytes);
      await closed;
    }
    await client.put('still', 'here');
    expect((await client.get('still'))?.text()).toBe('here');
    expect(cluster.nodes.every((node) => cluster.isRunning(node.id))).toBe(true);
  });

  test('on other paths: an HTTP answer, no upgrade', async () => {
    const { cluster } = await sharedCluster();
    const socket = new WebSocket(`ws://${cluster.endpoints[0]}/elsewhere`);
    const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
    expect(error.message).toMatch(/40\d/);
  });
});

describe('start', () => {
  test('prints one line when it listens and ends with code 0 on Ctrl-C, formed or not', async () => {
    const folder = temporaryFolder();
    const file = clusterFile(folder, { members: await freeMembers() });
    const node = startCommand(['start', '--cluster', file, '--node', 'n1', '--data-dir', join(folder, 'n1')]);
    await untilSays(node, /listens on/);
    node.child.kill('SIGINT');
    const { code, stdout } = await node.result;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[^\n]*listens on[^\n]*\n$/);
  });

  test('says which members it waits for', async () => {
    const folder = temporaryFolder();
    const file = clusterFile(folder, { members: await freeMembers() });
    const node = startCommand(['start', '--cluster', file, '--node', 'n1', '--data-dir', join(folder, 'n1')]);
    await untilSays(node, /n2.*n3/);
    node.child.kill('SIGKILL');
    await node.result;
  });
});
