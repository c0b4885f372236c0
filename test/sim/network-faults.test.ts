// What may be wrong with single ways: clogged, narrow, half open, lossy by themselves, flapping; and the
// named shapes of partitions.

import { describe, expect, it } from 'vitest';
import type { LinkId, Network, NetworkHandler } from '../../src/base/env.js';
import { Prng } from '../../src/base/prng.js';
import type { NetworkFault, Way } from '../../src/sim/plan/faults.js';
import { NetworkFaults } from '../../src/sim/run/network-faults.js';
import {
  isolate,
  leaderWithoutClients,
  topologyWays,
  splitBySize,
  waysBetween,
} from '../../src/sim/plan/topologies.js';
import { Scheduler } from '../../src/sim/world/scheduler.js';
import { VirtualNetwork } from '../../src/sim/world/network/network.js';
import type { VirtualProcess } from '../../src/sim/world/machine/process.js';
import { processOn, runFor } from './world.js';

const calm = { latencyUsMin: 100, latencyUsMean: 1, loss: 0, duplication: 0, reordering: 0 };
const there: Way = ['a', 'b'];
const back: Way = ['b', 'a'];

class Host {
  readonly process: VirtualProcess;
  readonly network: Network;
  /** First byte of each message, and when it came; microseconds. */
  readonly received: (readonly [first: number, atUs: number])[] = [];
  readonly heard: string[] = [];
  outbound: LinkId | undefined;
  inbound: LinkId | undefined;

  constructor(world: VirtualNetwork, name: string, ordinal: number) {
    this.process = processOn(world.scheduler, name, ordinal);
    const handler: NetworkHandler = {
      onPeerDialed: (link) => {
        this.outbound = link;
        this.heard.push('dialed');
      },
      onPeerUnreachable: () => undefined,
      onPeerAccepted: (link) => (this.inbound = link),
      onClientAccepted: () => undefined,
      onClientDrained: () => undefined,
      onMessage: (_link, message) => this.received.push([message[0] ?? 0, world.scheduler.nowUs]),
      onClosed: () => this.heard.push('closed'),
    };
    this.network = world.attachNode(
      this.process,
      `${name}:1`,
      () => handler,
      () => undefined,
    );
  }

  send(first: number, length = 1): boolean {
    const message = new Uint8Array(length);
    message[0] = first;
    return this.outbound !== undefined && this.network.send(this.outbound, message);
  }

  get firsts(): number[] {
    return this.received.map(([first]) => first);
  }
}

function build() {
  const scheduler = new Scheduler();
  const network = new VirtualNetwork(scheduler, 1, 'tcp', { ...calm });
  const a = new Host(network, 'a', 1);
  const b = new Host(network, 'b', 2);
  a.network.dial('b', 'b:1');
  runFor(scheduler, 100_000);
  const log: string[] = [];
  const faults = new NetworkFaults({
    ...{ scheduler, network, machines: [], ordinary: calm },
    log: (what) => log.push(what),
    leader: () => undefined,
  });
  /** Begins a fault that lasts so long. */
  const begin = (forMs: number, fault: (atMs: number, untilMs: number) => NetworkFault): void => {
    const atMs = scheduler.nowUs / 1000;
    faults.begin(fault(atMs, atMs + forMs));
  };
  return { scheduler, network, a, b, faults, begin };
}

describe('ways', () => {
  it('that are clogged deliver in one burst, in order, and no link breaks', () => {
    const { scheduler, a, b, begin } = build();
    begin(8_000, (atMs, untilMs) => ({ kind: 'clog', atMs, untilMs, ways: [there] }));
    for (const i of [1, 2, 3]) {
      a.send(i);
      runFor(scheduler, 2_000_000);
    }
    expect(b.received).toEqual([]);
    runFor(scheduler, 2_100_000);
    expect(b.firsts).toEqual([1, 2, 3]);
    const times = b.received.map(([, atUs]) => atUs);
    expect(Math.max(...times) - Math.min(...times)).toBeLessThan(1_000);
    expect(a.heard).toEqual(['dialed']);
  });

  it('that are narrow take as long as the bytes need, and refuse what is too much at once', () => {
    const { scheduler, a, b, begin } = build();
    const width = { bytesPerSecond: 10_000, bufferBytesMax: 6_000 };
    begin(10_000, (atMs, untilMs) => ({ kind: 'throttle', atMs, untilMs, ways: [there], ...width }));
    const sentUs = scheduler.nowUs;
    expect([a.send(1, 2_000), a.send(2, 2_000), a.send(3, 4_000)]).toEqual([true, true, false]);
    runFor(scheduler, 1_000_000);
    const tookMs = b.received.map(([, atUs]) => Math.round((atUs - sentUs) / 1000));
    expect(b.firsts).toEqual([1, 2]);
    expect(tookMs).toEqual([200, 400]);
    runFor(scheduler, 10_000_000);
    expect(a.send(4, 4_000_000)).toBe(true);
    runFor(scheduler, 2_000);
    expect(b.firsts).toEqual([1, 2, 4]);
  });

  it('that are half open swallow everything without an error, until the link breaks', () => {
    const { scheduler, a, b, begin } = build();
    begin(20_000, (atMs, untilMs) => ({ kind: 'halfOpen', atMs, untilMs, ways: [there] }));
    for (let i = 0; i < 10; i++) {
      expect(a.send(i)).toBe(true);
      runFor(scheduler, 1_000_000);
    }
    expect(b.received).toEqual([]);
    expect(a.heard).toEqual(['dialed']);
    // The other direction of the same link is as good as ever.
    b.network.send(b.inbound ?? 0, new Uint8Array([7]));
    runFor(scheduler, 10_000);
    expect(a.firsts).toEqual([7]);
    runFor(scheduler, 12_000_000);
    expect(a.heard).toEqual(['dialed', 'closed', 'dialed']);
    a.send(9);
    runFor(scheduler, 10_000);
    expect(b.firsts).toEqual([9]);
  });

  it('that are reset lose what is on its way and are dialed anew', () => {
    const { scheduler, a, faults } = build();
    faults.begin({ kind: 'reset', atMs: 0, ways: [back] });
    runFor(scheduler, 3_000_000);
    expect(a.heard).toEqual(['dialed', 'closed', 'dialed']);
  });

  it('lose messages by themselves, and not elsewhere', () => {
    const { scheduler, network, begin } = build();
    const worse = { loss: 0.5, duplication: 0, reordering: 0, latencyFactor: 10 };
    begin(1_000, (atMs, untilMs) => ({ kind: 'conditions', atMs, untilMs, ways: [there], ...worse }));
    expect(network.wayOf(...there).conditions).toMatchObject({ loss: 0.5, latencyUsMin: 1_000 });
    expect(network.wayOf(...back).conditions).toBeUndefined();
    expect(network.conditions.loss).toBe(0);
    runFor(scheduler, 1_000_000);
    expect(network.wayOf(...there).conditions).toBeUndefined();
  });

  it('that flap are shut and open in turn, and open in the end', () => {
    const { scheduler, network, begin } = build();
    const rhythm = { periodMs: 1_000, shutMs: 300 };
    begin(2_600, (atMs, untilMs) => ({ kind: 'flap', atMs, untilMs, ways: [there], ...rhythm }));
    const seen = Array.from({ length: 30 }, () => {
      const isShut = network.isBlocked('a', 'b');
      runFor(scheduler, 100_000);
      return isShut ? 1 : 0;
    });
    const period = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
    expect(seen).toEqual([...period, ...period, ...period]);
    expect(network.isBlocked('a', 'b')).toBe(false);
  });

  it('are whole again when the world heals, whatever was on', () => {
    const { scheduler, network, a, b, faults, begin } = build();
    const span = { atMs: 0, untilMs: 1e9, ways: [there, back] };
    begin(0, () => ({ kind: 'cut', ...span }));
    begin(0, () => ({ kind: 'clog', ...span }));
    begin(0, () => ({ kind: 'halfOpen', ...span }));
    begin(0, () => ({ kind: 'throttle', ...span, bytesPerSecond: 1, bufferBytesMax: 1 }));
    begin(0, () => ({ kind: 'flap', ...span, periodMs: 500, shutMs: 400 }));
    const storm = { loss: 1, duplication: 1, reordering: 1, latencyFactor: 100 };
    begin(0, () => ({ kind: 'conditions', atMs: 0, untilMs: 1e9, ...storm }));
    runFor(scheduler, 1_000_000);
    faults.heal();
    runFor(scheduler, 3_000_000);
    expect(network.conditions).toEqual(calm);
    expect(a.send(5, 100_000)).toBe(true);
    runFor(scheduler, 10_000);
    expect(b.firsts).toEqual([5]);
  });
});

describe('shapes', () => {
  const nodes = ['n1', 'n2', 'n3', 'n4', 'n5'];
  const openWays = (ways: readonly Way[]): string[] => {
    const cut = new Set(ways.map(([from, to]) => `${from}>${to}`));
    return waysBetween(nodes, nodes)
      .map(([from, to]) => `${from}>${to}`)
      .filter((way, i, all) => all.indexOf(way) === i && !cut.has(way));
  };
  /** With how many others each node can talk, ascending. */
  const degrees = (ways: readonly Way[]): number[] => {
    const open = openWays(ways);
    return nodes.map((name) => open.filter((way) => way.startsWith(`${name}>`)).length).sort((a, b) => a - b);
  };

  it('are what they are called', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new Prng(seed);
      expect(degrees(topologyWays(random, 'star', nodes))).toEqual([1, 1, 1, 1, 4]);
      expect(degrees(topologyWays(random, 'ring', nodes))).toEqual([2, 2, 2, 2, 2]);
      expect(degrees(topologyWays(random, 'chain', nodes))).toEqual([1, 1, 2, 2, 2]);
      expect(degrees(topologyWays(random, 'bridge', nodes))).toEqual([2, 2, 2, 2, 4]);
      expect(degrees(isolate('n2', nodes))).toEqual([0, 3, 3, 3, 3]);
      const [smallest, ...others] = degrees(splitBySize(random, nodes));
      expect(smallest === 0 ? others : [smallest, ...others]).toEqual(
        smallest === 0 ? [3, 3, 3, 3] : [1, 1, 2, 2, 2],
      );
    }
  });

  it('leave the leader its followers when only clients are cut off', () => {
    const ways = leaderWithoutClients(new Prng(3), { nodes, clients: ['c1', 'c2', 'c3', 'c4'] });
    expect(ways.length).toBeGreaterThan(0);
    for (const way of ways)
      expect(way.filter((host) => host === 'leader' || host.startsWith('c'))).toEqual(way);
  });
});
