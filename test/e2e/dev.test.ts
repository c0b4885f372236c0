// `kvorum dev` as a user meets it: ready, usable, and never a process left behind.

import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { freePorts } from '../../src/cli/local-cluster.js';
import type { ClusterStatus } from '../../src/client/index.js';
import { aWhile } from '../waiting.js';
import {
  endAll,
  onEnd,
  processRuns,
  runCommand,
  runUntil,
  startCommand,
  temporaryFolder,
  untilGone,
  untilSays,
  type RunningCommand,
} from './processes.js';

afterEach(endAll);

interface Dev {
  readonly command: RunningCommand;
  readonly endpoints: string;
}

/** The first of three free ports in a row. */
async function firstPort(): Promise<number> {
  const [port] = await freePorts(3);
  return port ?? 0;
}

function startDev(folder: string, port: number, ...more: string[]): Dev {
  const command = startCommand(['dev', '--data-dir', folder, '--port', String(port), ...more]);
  const endpoints = [0, 1, 2].map((offset) => `127.0.0.1:${port + offset}`).join(',');
  return { command, endpoints };
}

async function untilReady(dev: Dev): Promise<void> {
  await untilSays(dev.command, /Ctrl-C stops the cluster/);
}

async function nodePids(dev: Dev): Promise<number[]> {
  const pidsIn = (stdout: string): number[] =>
    (JSON.parse(stdout) as ClusterStatus).nodes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  const parts = ['status', '--json', '--endpoints', dev.endpoints];
  const { stdout } = await runUntil(parts, {}, (result) => pidsIn(result.stdout).length === 3);
  const pids = pidsIn(stdout);
  for (const pid of pids) onEnd(() => processRuns(pid) && process.kill(pid, 'SIGKILL'));
  return pids;
}

describe('kvorum dev', () => {
  test('says when it is ready, how to use it, stops on Ctrl-C, and finds all data again', async () => {
    const folder = join(temporaryFolder(), 'data');
    const dev = startDev(folder, await firstPort());
    await untilReady(dev);
    expect(dev.command.stdout()).toMatch(/ready after \d+\.\d s: 3 nodes, leader n[123]/);
    expect(dev.command.stdout()).toContain(dev.endpoints);

    // The three commands it prints work as they stand.
    const commands = dev.command
      .stdout()
      .split('\n')
      .filter((line) => line.startsWith('  '));
    expect(commands).toHaveLength(3);
    const outputs: string[] = [];
    for (const line of commands) {
      const words = line.trim().split(' ');
      outputs.push((await runUntil(words.slice(2))).stdout);
    }
    expect(outputs[0]).toMatch(/^revision \d+\n$/);
    expect(outputs[1]).toBe('hello');
    expect(outputs[2]).toMatch(/n1.*\n.*n2.*\n.*n3/);

    const pids = await nodePids(dev);
    expect(pids).toHaveLength(3);
    dev.command.child.kill('SIGINT');
    expect((await dev.command.result).code).toBe(0);
    await untilGone(pids);

    const again = startCommand(['dev', '--data-dir', folder]);
    const second = { command: again, endpoints: dev.endpoints };
    await untilReady(second);
    const { stdout } = await runCommand(['get', 'greeting', '--endpoints', dev.endpoints]);
    expect(stdout).toBe('hello');
    const secondPids = await nodePids(second);
    again.child.kill('SIGTERM');
    expect((await again.result).code).toBe(0);
    await untilGone(secondPids);
  });

  test('leaves no process behind when it is killed with SIGKILL', async () => {
    const dev = startDev(join(temporaryFolder(), 'data'), await firstPort());
    await untilReady(dev);
    const pids = await nodePids(dev);
    expect(pids).toHaveLength(3);
    dev.command.child.kill('SIGKILL');
    await dev.command.result;
    await untilGone(pids);
  });

  test.each([0, 100, 400, 800])('leaves no process behind on Ctrl-C after %d ms', async (delayMs) => {
    const port = await firstPort();
    const dev = startDev(join(temporaryFolder(), 'data'), port);
    await untilSays(dev.command, /./);
    await aWhile(delayMs);
    dev.command.child.kill('SIGINT');
    const { code, stderr } = await dev.command.result;
    expect(code, stderr).toBe(0);
    // Whatever was started has let go of its port and its folder: the same again comes up.
    const again = startDev(join(temporaryFolder(), 'data'), port);
    await untilReady(again);
    again.command.child.kill('SIGINT');
    await again.command.result;
  });

  test('refuses another size or port for a folder in use, and ends when a port is taken', async () => {
    const folder = join(temporaryFolder(), 'data');
    const port = await firstPort();
    const dev = startDev(folder, port);
    await untilReady(dev);
    const resized = await runCommand(['dev', '--data-dir', folder, '--nodes', '5']);
    expect(resized.code, resized.stderr).toBe(2);
    expect(resized.stderr).toContain('--data-dir');
    const moved = await runCommand([
      'dev',
      '--data-dir',
      folder,
      '--port',
      String(port === 9_000 ? 9_100 : 9_000),
    ]);
    expect(moved.code, moved.stderr).toBe(2);
    const clash = await runCommand([
      'dev',
      '--data-dir',
      join(temporaryFolder(), 'data'),
      '--port',
      String(port),
    ]);
    expect(clash.code, clash.stderr).toBe(2);
    // One sentence: which port, and what to do. No node was started for it.
    expect(clash.stderr).toMatch(
      new RegExp(`^error: port ${port} of 127\\.0\\.0\\.1 is in use.*--port \\d+ --data-dir \\S+\\n$`),
    );
    const { code } = await runCommand(['put', 'a', 'b', '--endpoints', dev.endpoints]);
    expect(code).toBe(0);
    dev.command.child.kill('SIGINT');
    await dev.command.result;
  });
});
