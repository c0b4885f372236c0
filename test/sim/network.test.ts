// The virtual network: ordered links that can break, partitions of every shape, and dialing that goes on by
// itself.

import { beforeEach, describe, expect, it } from 'vitest';
import { linkBacklogBytes, type LinkId, type Network, type NetworkHandler } from '../../src/base/env.js';
import { Scheduler } from '../../src/sim/world/scheduler.js';
import type { Conditions, LinkMode } from '../../src/sim/world/network/connection.js';
import { VirtualClientNetwork } from '../../src/sim/world/network/client-network.js';
import { VirtualNetwork } from '../../src/sim/world/network/network.js';
import type { VirtualProcess } from '../../src/sim/world/machine/process.js';
import { processOn, runFor } from './world.js';

const calm: Conditions = { latencyUsMin: 100, latencyUsMean: 100, loss: 0, duplication: 0, reordering: 0 };

/** A node that writes down what it hears. */
class Host {
  readonly process: VirtualProcess;
  readonly network: Network;
  readonly heard: string[] = [];
  readonly received: number[] = [];
  outbound: LinkId | undefined;
  inbound: LinkId | undefined;

  constructor(world: VirtualNetwork, name: string, ordinal: number) {
    this.process = processOn(world.scheduler, name, ordinal);
    const handler: NetworkHandler = {
      onPeerDialed: (link, peer) => {
        this.outbound = link;
        this.heard.push(`dialed ${peer}`);
      },
      onPeerUnreachable: (peer) => this.heard.push(`unreachable ${peer}`),
      onPeerAccepted: (link) => {
        this.inbound = link;
        this.heard.push('accepted');
      },
      onClientAccepted: (link) => {
        this.inbound = link;
        this.heard.push('client');
      },
      onClientDrained: () => this.heard.push('drained'),
      onMessage: (_link, message) => this.received.push(new DataView(message.buffer).getUint32(0)),
      onClosed: (link) => this.heard.push(link === this.outbound ? 'outbound closed' : 'inbound closed'),
    };
    this.network = world.attachNode(
      this.process,
      `${name}:1`,
      () => handler,
      () => undefined,
    );
  }

  send(number: number): boolean {
    const message = new Uint8Array(4);
    new DataView(message.buffer).setUint32(0, number);
    return this.outbound !== undefined && this.network.send(this.outbound, message);
  }
}

function build(mode: LinkMode, conditions: Partial<Conditions> = {}, seed = 1) {
  const scheduler = new Scheduler();
  const world = new VirtualNetwork(scheduler, seed, mode, { ...calm, ...conditions });
  const a = new Host(world, 'a', 1);
  const b = new Host(world, 'b', 2);
  a.network.dial('b', 'b:1');
  runFor(scheduler, 100_000);
  return { scheduler, world, a, b };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe('links in mode tcp', () => {
  it('deliver everything in order', () => {
    const { scheduler, a, b } = build('tcp', { latencyUsMean: 5_000 });
    for (const i of numbers(500)) {
      a.send(i);
      runFor(scheduler, 50);
    }
    runFor(scheduler, 1_000_000);
    expect(a.heard).toEqual(['dialed b']);
    expect(b.received).toEqual(numbers(500));
  });

  it('lose a suffix and break when a message is lost, tell both ends, and are dialed again', () => {
    const { scheduler, world, a, b } = build('tcp');
    world.conditions.loss = 0.02;
    for (const i of numbers(300)) a.send(i);
    world.conditions.loss = 0;
    runFor(scheduler, 2_000_000);
    expect(b.received.length).toBeLessThan(300);
    expect(b.received).toEqual(numbers(b.received.length));
    expect(a.heard).toEqual(['dialed b', 'outbound closed', 'dialed b']);
    expect(b.heard.filter((event) => event === 'inbound closed')).toHaveLength(1);
    b.received.length = 0;
    a.send(7);
    runFor(scheduler, 100_000);
    expect(b.received).toEqual([7]);
  });

  it('deliver what was sent before an orderly end, then tell the other side only', () => {
    const { scheduler, a, b } = build('tcp');
    for (const i of numbers(5)) a.send(i);
    a.network.stopDialing('b');
    if (a.outbound !== undefined) a.network.close(a.outbound, 'done');
    expect(a.send(9)).toBe(false);
    runFor(scheduler, 1_000_000);
    expect(b.received).toEqual(numbers(5));
    expect(b.heard).toEqual(['accepted', 'inbound closed']);
    expect(a.heard).toEqual(['dialed b']);
  });

  it('refuse what is over the buffer, and count what waits', () => {
    const { a } = build('tcp');
    const large = new Uint8Array(9 * 1024 * 1024);
    const link = a.outbound ?? 0;
    expect(a.network.send(link, large)).toBe(true);
    expect(a.network.send(link, large)).toBe(false);
    expect(a.network.bufferedBytes(link)).toBe(large.length);
  });
});

describe('links in mode datagram', () => {
  it('lose, double and overtake single messages, but never the first', () => {
    const { scheduler, a, b } = build('datagram', { loss: 0.3, duplication: 0.3, reordering: 0.3 });
    for (const i of numbers(300)) {
      a.send(i);
      runFor(scheduler, 100);
    }
    runFor(scheduler, 1_000_000);
    expect(a.heard).toEqual(['dialed b']);
    expect(b.received[0]).toBe(0);
    const distinct = new Set(b.received).size;
    expect(distinct).toBeGreaterThan(100);
    expect(distinct).toBeLessThan(290);
    expect(b.received.length).toBeGreaterThan(distinct);
    expect(b.received).not.toEqual([...b.received].sort((x, y) => x - y));
  });
});

describe('partitions', () => {
  let world: ReturnType<typeof build>;
  beforeEach(() => {
    world = build('tcp');
  });

  it('hold messages back while they last, and release them in order', () => {
    const { scheduler, a, b } = world;
    world.world.block([['a', 'b']]);
    for (const i of numbers(5)) a.send(i);
    runFor(scheduler, 4_000);
    expect(b.received).toEqual([]);
    world.world.unblock([['a', 'b']]);
    runFor(scheduler, 30_000);
    expect(b.received).toEqual(numbers(5));
  });

  it('break links that they outlast, and keep new ones from opening', () => {
    const { scheduler, a, b } = world;
    world.world.block([
      ['a', 'b'],
      ['b', 'a'],
    ]);
    a.send(1);
    runFor(scheduler, 10_000_000);
    expect(a.heard).toContain('outbound closed');
    expect(a.heard).toContain('unreachable b');
    expect(b.received).toEqual([]);
    a.outbound = undefined;
    world.world.unblock([
      ['a', 'b'],
      ['b', 'a'],
    ]);
    runFor(scheduler, 3_000_000);
    expect(a.heard.at(-1)).toBe('dialed b');
    expect(a.send(2)).toBe(true);
    runFor(scheduler, 100_000);
    expect(b.received).toEqual([2]);
  });

  it('can be one way: the other still carries messages', () => {
    const { scheduler, a, b } = world;
    world.world.block([['b', 'a']]);
    a.send(1);
    if (b.inbound !== undefined) b.network.send(b.inbound, new Uint8Array(4));
    runFor(scheduler, 4_000);
    expect(b.received).toEqual([1]);
    expect(a.received).toEqual([]);
  });

  it('overlap: a way is open again when the last of them is over', () => {
    const { scheduler, a, b } = world;
    world.world.block([['a', 'b']]);
    world.world.block([['a', 'b']]);
    a.send(1);
    world.world.unblock([['a', 'b']]);
    runFor(scheduler, 4_000);
    expect(b.received).toEqual([]);
    world.world.unblock([['a', 'b']]);
    runFor(scheduler, 20_000);
    expect(b.received).toEqual([1]);
  });
});

describe('processes that die', () => {
  it('are refused at once after a kill, and time out without power', () => {
    const { scheduler, world, a, b } = build('tcp');
    b.process.kill();
    world.detach(b.process, 'b:1', 'kill');
    runFor(scheduler, 100_000);
    expect(a.heard.slice(0, 3)).toEqual(['dialed b', 'outbound closed', 'unreachable b']);

    const dark = build('tcp');
    dark.b.process.kill();
    dark.world.detach(dark.b.process, 'b:1', 'power');
    runFor(dark.scheduler, 150_000);
    expect(dark.a.heard).toEqual(['dialed b']);
    runFor(dark.scheduler, 10_000_000);
    expect(dark.a.heard.slice(1, 3)).toEqual(['outbound closed', 'unreachable b']);
  });

  it('are found again by those that keep dialing, and get nothing that was meant for the one before', () => {
    const { scheduler, world, a, b } = build('tcp');
    for (const i of numbers(20)) a.send(i);
    b.process.kill();
    world.detach(b.process, 'b:1', 'kill');
    const again = new Host(world, 'b', 2);
    runFor(scheduler, 2_000_000);
    expect(a.heard.at(-1)).toBe('dialed b');
    expect(again.received).toEqual([]);
    expect(again.heard).toEqual(['accepted']);
    expect(b.received).toEqual([]);
  });
});

describe('clients', () => {
  it('open links, talk over them, and hear of refusals and ends', () => {
    const { scheduler, world, b } = build('tcp');
    const process = processOn(scheduler, 'c1', 100);
    const heard: string[] = [];
    const links = new VirtualClientNetwork(world, process, () => ({
      onOpen: (link) => {
        heard.push(`open ${link}`);
        links.send(link, new Uint8Array([0, 0, 0, 5]));
      },
      onMessage: (link, message) => heard.push(`message ${link} ${message.length}`),
      onClosed: (link, reason) => heard.push(`closed ${link} ${reason}`),
    }));
    const first = links.open('b:1');
    runFor(scheduler, 10_000);
    links.open('nowhere:1');
    runFor(scheduler, 10_000);
    expect(b.received).toEqual([5]);
    b.network.send(b.inbound ?? 0, new Uint8Array(3));
    b.network.close(b.inbound ?? 0, 'bye');
    runFor(scheduler, 10_000);
    expect(heard).toEqual(['open 1', 'closed 2 ECONNREFUSED', 'message 1 3', 'closed 1 connection lost']);
    expect(links.send(first, new Uint8Array(1))).toBe(false);
  });

  it('and the node hears when its backlog has left, once for each', () => {
    const { scheduler, world, a, b } = build('tcp');
    const process = processOn(scheduler, 'c1', 100);
    let received = 0;
    const links = new VirtualClientNetwork(world, process, () => ({
      onOpen: () => undefined,
      onMessage: (_link, { length }) => (received += length),
      onClosed: () => undefined,
    }));
    links.open('b:1');
    runFor(scheduler, 10_000);
    const link = b.inbound ?? 0;
    b.network.send(link, new Uint8Array(linkBacklogBytes));
    runFor(scheduler, 100_000);
    expect(b.heard).not.toContain('drained');
    for (let i = 0; i < 3; i++) b.network.send(link, new Uint8Array(linkBacklogBytes));
    while (!b.heard.includes('drained')) runFor(scheduler, 10);
    expect([b.network.bufferedBytes(link), received]).toEqual([0, 4 * linkBacklogBytes]);
    b.network.send(link, new Uint8Array(1));
    // Links between nodes have nobody to tell: no event is made for them.
    const { eventCount } = scheduler;
    for (let i = 0; i < 3; i++) a.network.send(a.outbound ?? 0, new Uint8Array(linkBacklogBytes));
    runFor(scheduler, 100_000);
    expect(scheduler.eventCount - eventCount).toBe(4);
    expect(b.heard.filter((event) => event === 'drained')).toHaveLength(1);
    expect(a.heard).toEqual(['dialed b']);
  });
});

it('the same seed gives the same world, another seed another', () => {
  const hashOf = (seed: number): string => {
    const { scheduler, a } = build('datagram', { loss: 0.1, duplication: 0.1, reordering: 0.1 }, seed);
    for (const i of numbers(50)) a.send(i);
    runFor(scheduler, 1_000_000);
    return scheduler.hash();
  };
  expect(hashOf(5)).toBe(hashOf(5));
  expect(hashOf(5)).not.toBe(hashOf(6));
});
