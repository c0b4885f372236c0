// Three real processes under the faults an operating system can deal out: SIGKILL, restart, SIGSTOP, SIGTERM.

import { afterEach, describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/client/index.js';
import { InVain, patienceMs, until } from '../waiting.js';
import {
  agreedStatus,
  connectTo,
  currentLeader,
  endAll,
  startCluster,
  startProgram,
  untilWhole,
} from './processes.js';

afterEach(endAll);

/** A call whose question is under way at its deadline ends with TIMEOUT: then it is called again. */
async function untilUnavailable(call: () => Promise<unknown>): Promise<void> {
  const answered = (): never => {
    throw new InVain('there was an answer');
  };
  const look = async (): Promise<boolean> => {
    const error = await call().then(answered, (reason: unknown) => reason);
    if (KvorumError.is(error, 'TIMEOUT')) return false;
    if (KvorumError.is(error, 'UNAVAILABLE')) return true;
    throw new InVain(String(error));
  };
  await until(look, 'UNAVAILABLE');
}

describe('three processes', () => {
  test('keep every acknowledged write when all are killed at once', async () => {
    const { cluster, client } = await startCluster();
    const written = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => ({
        key: `k/${index}`,
        revision: (await client.put(`k/${index}`, `v${index}`)).revision,
      })),
    );
    await Promise.all(cluster.nodes.map((node) => cluster.kill(node.id)));
    cluster.startAll();
    for (const { key, revision } of written) {
      const entry = await client.get(key);
      expect(entry?.modRevision, key).toBe(revision);
      expect(entry?.version, key).toBe(1);
    }
    const { nodes } = await agreedStatus(client);
    expect(new Set(nodes.map((node) => node.stateHash)).size).toBe(1);
  });

  test('go on when the leader is killed, and it catches up when it is started again', async () => {
    const { cluster, client } = await startCluster();
    const first = await currentLeader(client);
    await client.put('a', '1');
    await cluster.kill(first);
    await client.put('a', '2');
    const second = await currentLeader(client);
    expect(second).not.toBe(first);
    expect((await client.get('a'))?.text()).toBe('2');
    cluster.start(first);
    await untilWhole(cluster, client);
    const { nodes } = await agreedStatus(client);
    expect(new Set(nodes.map((node) => node.stateHash)).size).toBe(1);
    expect(nodes.find((node) => node.id === first)).toMatchObject({ reachable: true, state: 'running' });
  });

  test('elect another leader while one is under SIGSTOP, which never answers with old data', async () => {
    const { cluster, client } = await startCluster();
    const stopped = await currentLeader(client);
    const address = cluster.nodes.find((node) => node.id === stopped)?.address ?? '';
    const direct = await connectTo([address]);
    await direct.put('a', 'before');
    cluster.signal(stopped, 'SIGSTOP');
    await client.put('a', 'after');
    // The first node still believes that it leads at the moment it wakes up.
    const reading = direct.get('a');
    cluster.signal(stopped, 'SIGCONT');
    expect((await reading)?.text()).toBe('after');
    await untilWhole(cluster, client);
    const { nodes } = await agreedStatus(client);
    expect(new Set(nodes.map((node) => node.stateHash)).size).toBe(1);
  });

  test('hand leadership over on SIGTERM: no write fails, and the node ends with code 0', async () => {
    const { cluster, client } = await startCluster();
    const leader = await currentLeader(client);
    let stop = false;
    let written = 0;
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      while (!stop) {
        await client.put(`w/${writer}`, String(written));
        written += 1;
      }
    });
    await until(() => written > 50, 'writes before');
    const ended = cluster.ended(leader);
    cluster.signal(leader, 'SIGTERM');
    expect(await ended).toMatchObject({ code: 0, signal: null });
    const before = written;
    await until(() => written > before + 50, 'writes after');
    stop = true;
    await Promise.all(writers);
    expect(await currentLeader(client)).not.toBe(leader);
  });

  test('without a quorum calls end with UNAVAILABLE by their deadline, and work again after', async () => {
    const { cluster, client } = await startCluster();
    await client.put('a', '1');
    await cluster.kill('n2');
    await cluster.kill('n3');
    const seesNoLeader = async (): Promise<boolean> => (await client.status()).leader === undefined;
    await until(seesNoLeader, 'the node that is left to see that it cannot lead');
    const deadline = { timeoutMs: 2_000 };
    const calls = [() => client.put('a', '2', deadline), () => client.get('a', deadline)];
    await Promise.all(calls.map(untilUnavailable));
    cluster.start('n2');
    await client.put('b', '1');
    // What a majority does not have is not lost for ever either: the write above may or may not have
    // happened.
    expect(['1', '2']).toContain((await client.get('a'))?.text());
  });

  test('lose nothing while each in turn is killed and started again under load', async () => {
    const script = new URL('./kill-each.js', import.meta.url).pathname;
    const flags = ['--writes', '3000', '--turns', '1', '--patience-ms', String(patienceMs)];
    const result = await startProgram(process.execPath, [script, ...flags]).result;
    expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(0);
    expect(result.stdout).toContain('3000 of 3000 writes acknowledged, 0 unknown, 3 nodes killed');
  });
});
