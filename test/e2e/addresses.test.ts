// Where nodes are: a node that binds elsewhere than where the others find it, members that move one after
// the other while the cluster serves, and files that cannot be taken.

import { writeFileSync } from 'node:fs';
import { createServer, connect as connectSocket, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { freePorts } from '../../src/cli/local-cluster.js';
import { until } from '../waiting.js';
import {
  connectTo,
  endAll,
  onEnd,
  runCommand,
  startCommand,
  temporaryFolder,
  untilSays,
  type RunningCommand,
} from './processes.js';

afterEach(endAll);

interface Seat {
  readonly id: string;
  address: string;
  listen?: string;
  command?: RunningCommand;
}

const local = (port: number): string => `127.0.0.1:${port}`;

class Cluster {
  readonly seats: Seat[];
  readonly file: string;
  private readonly folder = temporaryFolder();

  constructor(seats: Seat[]) {
    this.seats = seats;
    this.file = join(this.folder, 'cluster.json');
    this.write();
  }

  write(change: Record<string, unknown> = {}): void {
    const members = this.seats.map(({ id, address, listen }) => ({ id, address, listen }));
    writeFileSync(this.file, JSON.stringify({ members, ...change }));
  }

  async start(seat: Seat, flags: readonly string[] = []): Promise<void> {
    const places = ['--cluster', this.file, '--node', seat.id, '--data-dir', join(this.folder, seat.id)];
    seat.command = startCommand(['start', ...places, ...flags]);
    await untilSays(seat.command, /listens on/);
  }

  async startAll(): Promise<void> {
    for (const seat of this.seats) await this.start(seat);
  }

  /** A node is told to read its files again, and has done so. */
  async reload({ command }: Seat, event = 'clusterFileRead'): Promise<void> {
    if (command === undefined) throw new Error('the node does not run');
    const count = (): number => command.stderr().split(`"event":"${event}"`).length;
    const before = count();
    command.child.kill('SIGHUP');
    await until(
      () => count() > before,
      `another ${event}`,
      () => command.stderr(),
    );
  }
}

/** As a published port of a container does: what arrives at one port goes on to another. */
async function forward(to: number): Promise<number> {
  const server = createServer((near) => {
    const far = connectSocket(to, '127.0.0.1');
    near.on('error', () => far.destroy()).pipe(far);
    far.on('error', () => near.destroy()).pipe(near);
    onEnd(() => near.destroy());
    onEnd(() => far.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onEnd(() => server.close());
  return (server.address() as AddressInfo).port;
}

test('nodes bind where they are told, and are found where the others look', async () => {
  const ports = await freePorts(3);
  const published = await Promise.all(ports.map(forward));
  const cluster = new Cluster(
    ports.map((port, i) => ({ id: `n${i + 1}`, address: local(published[i] ?? 0), listen: local(port) })),
  );
  await cluster.startAll();
  const [first] = cluster.seats;
  expect(first?.command?.stdout()).toContain(`listens on ${first?.listen}, known as ${first?.address}`);
  const client = await connectTo([local(published[0] ?? 0)]);
  await client.put('a', '1');
  const { nodes } = await client.status();
  expect(nodes.map((node) => node.address)).toEqual(published.map(local));
});

test('members move one after the other while the cluster serves', async () => {
  const ports = await freePorts(6);
  const cluster = new Cluster([1, 2, 3].map((n) => ({ id: `n${n}`, address: local(ports[n - 1] ?? 0) })));
  await cluster.startAll();
  const client = await connectTo(ports.map(local));
  for (const [i, seat] of cluster.seats.entries()) {
    await client.put('before', seat.id);
    seat.command?.child.kill('SIGTERM');
    expect((await seat.command?.result)?.code).toBe(0);
    seat.address = local(ports[3 + i] ?? 0);
    cluster.write();
    for (const other of cluster.seats) if (other !== seat) await cluster.reload(other);
    await cluster.start(seat);
    // The next one goes only when all three are heard again, at the addresses of now.
    const look = async (): Promise<boolean> => {
      await client.put('after', seat.id);
      const { nodes } = await client.status();
      const applied = nodes.map((node) => (node.reachable ? (node.appliedIndex ?? -1) : -1));
      const isAt = nodes.every(({ id, address }) =>
        cluster.seats.some((s) => s.id === id && s.address === address),
      );
      return isAt && Math.min(...applied) > 0 && new Set(applied).size === 1;
    };
    await until(look, `all of them after ${seat.id} has moved`, () => client.status());
  }
  expect((await client.get('after'))?.text()).toBe('n3');
});

test('a file that cannot be taken changes nothing, and says why', async () => {
  const ports = await freePorts(1);
  const cluster = new Cluster([{ id: 'n1', address: local(ports[0] ?? 0) }]);
  await cluster.startAll();
  const [seat] = cluster.seats as [Seat];
  const client = await connectTo([seat.address]);
  writeFileSync(cluster.file, '{ "members": [');
  await cluster.reload(seat, 'clusterFileRefused');
  cluster.seats.push({ id: 'n2', address: 'localhost:1' });
  cluster.write();
  await cluster.reload(seat, 'clusterFileRefused');
  expect(seat.command?.stderr()).toContain('may only move members');
  cluster.seats.pop();
  cluster.write({ limits: { streamsMax: 7 } });
  await cluster.reload(seat, 'settingsNeedRestart');
  expect(seat.command?.stderr()).toContain('"settings":["limits.streamsMax"]');
  await client.put('a', '1');
});

test('a listen address that is none is refused with words', async () => {
  const cluster = new Cluster([{ id: 'n1', address: 'localhost:7' }]);
  const places = ['--cluster', cluster.file, '--node', 'n1', '--data-dir', temporaryFolder()];
  const { code, stderr } = await runCommand(['start', ...places, '--listen', '7401']);
  expect(code, stderr).toBe(2);
  expect(stderr).toContain('listen must be host:port, not "7401"');
});
