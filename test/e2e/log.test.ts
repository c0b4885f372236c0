// The log of a real node: nobody has to read it, whoever reads it learns why a node ended, and strangers
// cannot fill it.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import WebSocket from 'ws';
import { freePorts } from '../../src/cli/local-cluster.js';
import { until } from '../waiting.js';
import {
  commandPath,
  connectTo,
  endAll,
  onEnd,
  startCommand,
  temporaryFolder,
  untilSays,
} from './processes.js';

afterEach(endAll);

interface OneNode {
  readonly flags: readonly string[];
  readonly data: string;
  readonly endpoint: string;
}

async function oneNode(folder: string): Promise<OneNode> {
  const [port] = await freePorts(1);
  const endpoint = `127.0.0.1:${port}`;
  const file = join(folder, 'cluster.json');
  writeFileSync(file, JSON.stringify({ members: [{ id: 'n1', address: endpoint }] }));
  const data = join(folder, 'n1');
  const flags = ['start', '--cluster', file, '--node', 'n1', '--data-dir', data, '--log-level', 'debug'];
  return { flags, data, endpoint };
}

/** A pipe that is full; `read` takes what is in it. */
interface FullPipe {
  readonly writeEnd: number;
  read(): string;
}

function fullPipe(folder: string): FullPipe {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const filler = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  onEnd(() => closeSync(readEnd));
  const page = Buffer.alloc(4_096, '.');
  const isFull = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EAGAIN';
  for (let fills = true; fills;) {
    try {
      writeSync(filler, page);
    } catch (error) {
      if (!isFull(error)) throw error;
      fills = false;
    }
  }
  closeSync(filler);
  const read = (): string => {
    const buffer = Buffer.alloc(1_048_576);
    try {
      return buffer.toString('utf8', 0, readSync(readEnd, buffer)).replace(/^\.+/, '');
    } catch (error) {
      if (isFull(error)) return '';
      throw error;
    }
  };
  // Blocks, as a shell leaves it to what it starts.
  return { writeEnd: openSync(path, constants.O_WRONLY), read };
}

/** As `stderr` of the node; a socket instead of a pipe when it is left to Node. */
function startUnread(node: OneNode, stderr: number | 'pipe'): ChildProcess {
  const child = spawn(process.execPath, [commandPath, ...node.flags], {
    stdio: ['ignore', 'ignore', stderr],
  });
  onEnd(() => child.kill('SIGKILL'));
  return child;
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

test.skipIf(process.platform === 'win32')(
  'a node serves and ends while its log is a full pipe that nobody reads',
  async () => {
    const folder = temporaryFolder();
    const node = await oneNode(folder);
    const pipe = fullPipe(folder);
    const child = startUnread(node, pipe.writeEnd);
    closeSync(pipe.writeEnd);
    const client = await connectTo([node.endpoint]);
    for (let i = 0; i < 100; i++) await client.put(`k/${i}`, 'v');
    expect(await client.count({ prefix: 'k/' })).toBe(100);
    // Somebody looks at last: nothing was lost, for there was room in the buffer.
    let text = '';
    await until(
      () => (text += pipe.read()).includes('this node leads'),
      'the lines that waited',
      () => text,
    );
    child.kill('SIGTERM');
    await until(() => hasEnded(child), 'the end of the node');
    text += pipe.read();
    expect(text.indexOf('"event":"nodeStarted"')).toBeLessThan(text.indexOf('"event":"leaderChanged"'));
  },
);

test.skipIf(process.platform === 'win32')(
  'a node ends although its last lines cannot be written',
  async () => {
    const folder = temporaryFolder();
    const node = await oneNode(folder);
    const pipe = fullPipe(folder);
    const child = startUnread(node, pipe.writeEnd);
    closeSync(pipe.writeEnd);
    const client = await connectTo([node.endpoint]);
    await client.put('k', 'v');
    child.kill('SIGTERM');
    await until(() => hasEnded(child), 'the end of the node');
    expect(child.exitCode).toBe(0);
    expect(pipe.read()).toBe('');
  },
);

test('whoever reads the log late learns why the node ended', async () => {
  const folder = temporaryFolder();
  const node = await oneNode(folder);
  const first = startCommand(node.flags);
  await untilSays(first, /this node leads/);
  const client = await connectTo([node.endpoint]);
  for (let i = 0; i < 10; i++) await client.put(`k/${i}`, 'v'.repeat(10_000));
  first.child.kill('SIGTERM');
  expect((await first.result).code).toBe(0);
  const log = join(node.data, 'wal');
  const [segment] = readdirSync(log).filter((name) => name.endsWith('.wal'));
  const path = join(log, segment ?? '');
  const bytes = readFileSync(path);
  bytes[50_000] = (bytes[50_000] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  const pipe = fullPipe(folder);
  const child = startUnread(node, pipe.writeEnd);
  closeSync(pipe.writeEnd);
  let text = '';
  await until(() => {
    text += pipe.read();
    return hasEnded(child);
  }, 'the end of a node with a damaged log');
  text += pipe.read();
  expect(child.exitCode).toBe(1);
  expect(text).toContain('"event":"nodeFailed"');
  expect(text).toContain('kvorum n1 stopped:');
});

test('strangers do not fill the log', async () => {
  const node = await oneNode(temporaryFolder());
  const command = startCommand([...node.flags, '--log-level', 'info']);
  await untilSays(command, /this node leads/);
  const before = command.stderr().length;
  const startedAt = performance.now();
  const junk = [
    Buffer.from('garbage'),
    Buffer.alloc(100, 0x91),
    Buffer.alloc(3_000),
    Buffer.from([0x93, 1, 2, 3]),
  ];
  const rounds = 40;
  for (let round = 0; round < rounds; round++) {
    const links = Array.from({ length: 25 }, (_, i) => strange(node.endpoint, round % 2 === 0, junk[i % 4]));
    await Promise.all(links);
  }
  const client = await connectTo([node.endpoint]);
  await client.put('k', 'v');
  const lines = command.stderr().slice(before);
  const minutes = Math.ceil((performance.now() - startedAt) / 60_000);
  expect(lines).toContain('"event":"peerLinkClosed"');
  expect(lines.length).toBeLessThan(minutes * 20_000);
  command.child.kill('SIGTERM');
  await command.result;
  // How often it happened is told at the end.
  const closed = command
    .stderr()
    .slice(before)
    .split('\n')
    .filter((line) => line.includes('"peerLinkClosed"'));
  const told = closed.map((line) => (JSON.parse(line) as { omitted?: number }).omitted ?? 1);
  expect(told.reduce((sum, count) => sum + count, 0)).toBe((rounds / 2) * 25);
});

/** Sends what no member and no client sends, and waits for the end of the link. */
function strange(endpoint: string, asPeer: boolean, junk: Buffer | undefined): Promise<void> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://${endpoint}/${asPeer ? 'raft' : 'client'}`);
    socket.on('open', () => socket.send(junk ?? ''));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}
