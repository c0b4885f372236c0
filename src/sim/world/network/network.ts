// The network between all programs of the virtual world: who listens where, which ways are blocked, and the
// two views of it that programs get: a node's (it keeps dialing its peers and accepts links) and a client's
// (it opens links). Partitions are sets of directed pairs of hosts, so every shape is possible, one-way ones
// too.

import type { LinkId, Network, NetworkHandler, NodeId } from '../../../base/env.js';
import { Dice, streamOf } from '../dice.js';
import { LinkTable } from './link-table.js';
import type { Scheduler } from '../scheduler.js';
import { Connection, type Endpoint, type LinkMode } from './connection.js';
import type { VirtualProcess } from '../machine/process.js';
import { type Conditions, Ways, type WayState } from './ways.js';

/** Sees every message between nodes at the moment it is sent. */
export type PeerTap = (fromHost: string, toHost: string, message: Uint8Array) => void;

type Pair = readonly [from: string, to: string];

interface Listener {
  readonly hostName: string;
  readonly process: VirtualProcess;
  readonly handler: () => NetworkHandler;
  readonly network: NodeNetwork;
}

/** Until a node or a client gives up on an address that does not answer. */
export const connectTimeoutUs = 500_000;
const redialUsMin = 20_000;
const redialUsMax = 500_000;

export class VirtualNetwork {
  readonly scheduler: Scheduler;
  readonly seed: number;
  readonly peerMode: LinkMode;
  readonly conditions: Conditions;
  readonly dice: Dice;
  /** Set by the world's checkers. */
  peerTap: PeerTap = () => undefined;
  private readonly listeners = new Map<string, Listener>();
  /** Addresses whose machine is without power: nobody refuses, nothing answers. */
  private readonly darkAddresses = new Set<string>();
  private readonly ways = new Ways();
  private readonly connections = new Set<Connection>();
  private readonly connectionCounts = new Map<string, number>();

  constructor(scheduler: Scheduler, seed: number, peerMode: LinkMode, conditions: Conditions) {
    this.scheduler = scheduler;
    this.seed = seed ^ streamOf('network');
    this.peerMode = peerMode;
    this.conditions = conditions;
    this.dice = new Dice(this.seed, 'dialing');
  }

  /**
   * A node's process starts and listens at `address`. The handler is asked for only once the node is made.
   */
  attachNode(
    process: VirtualProcess,
    address: string,
    handler: () => NetworkHandler,
    onEffect: () => void,
  ): Network {
    const network = new NodeNetwork(this, process, handler, onEffect);
    this.listeners.set(address, { hostName: process.name, process, handler, network });
    this.darkAddresses.delete(address);
    return network;
  }

  /**
   * The process died. With the machine (`power`) nobody says so to the other ends; they find out by
   * themselves.
   */
  detach(process: VirtualProcess, address: string, kind: 'kill' | 'power'): void {
    this.listeners.delete(address);
    if (kind === 'power') this.darkAddresses.add(address);
    for (const connection of [...this.connections]) {
      const end = connection.ends.find((candidate) => candidate.process === process);
      if (end === undefined) continue;
      const other = connection.ends[0] === end ? connection.ends[1] : connection.ends[0];
      const silent = kind === 'power' || this.isBlocked(end.hostName, other.hostName);
      connection.abandon(end, silent ? 200_000 + this.dice.fraction() * 3_000_000 : this.latencyUs());
    }
  }

  wayOf(fromHost: string, toHost: string): WayState {
    return this.ways.of(fromHost, toHost);
  }

  /** Every way is as it is everywhere. */
  forgetOwnConditions(): void {
    this.ways.forgetOwnConditions();
  }

  /** Cuts the ways. `refuses`: connections that use one of them break at once. */
  block(pairs: readonly Pair[], refuses = false): void {
    for (const way of this.waysOf(pairs)) way.cuts++;
    for (const connection of this.connectionsOver(pairs)) connection.blocked(refuses);
  }

  unblock(pairs: readonly Pair[]): void {
    for (const way of this.waysOf(pairs)) way.cuts = Math.max(0, way.cuts - 1);
    for (const connection of this.connectionsOver(pairs)) connection.unblocked();
  }

  /** Messages wait on the ways until `unclog`. */
  clog(pairs: readonly Pair[]): void {
    for (const way of this.waysOf(pairs)) way.clogs++;
  }

  unclog(pairs: readonly Pair[]): void {
    for (const way of this.waysOf(pairs)) way.clogs = Math.max(0, way.clogs - 1);
    for (const connection of this.connectionsOver(pairs)) connection.unblocked();
  }

  /** Connections that stand swallow what is sent over the ways. Returns them: they must be reset some day. */
  silence(pairs: readonly Pair[]): Connection[] {
    const silenced = this.connectionsOver(pairs);
    for (const connection of silenced) for (const way of this.waysOf(pairs)) connection.silence(way);
    return silenced;
  }

  /** Connections over one of the ways break now. */
  reset(pairs: readonly Pair[]): void {
    for (const connection of this.connectionsOver(pairs)) connection.reset();
  }

  /** The ways carry no more than that; `undefined`: as much as is sent. */
  narrow(pairs: readonly Pair[], to: { bytesPerSecond: number; bufferBytesMax: number } | undefined): void {
    for (const way of this.waysOf(pairs)) this.ways.narrow(way, to);
  }

  isBlocked(fromHost: string, toHost: string): boolean {
    return this.ways.of(fromHost, toHost).cuts > 0;
  }

  forget(connection: Connection): void {
    this.connections.delete(connection);
  }

  /** A duration of one way, for what is not a message. Microseconds. */
  latencyUs(): number {
    const { latencyUsMin, latencyUsMean } = this.conditions;
    return latencyUsMin + Math.min(1_000_000, -Math.log(1 - this.dice.fraction()) * latencyUsMean);
  }

  /** What a program finds that connects to `address` now. */
  probe(fromHost: string, address: string): Listener | 'refused' | 'silent' {
    const listener = this.listeners.get(address);
    if (listener === undefined) return this.darkAddresses.has(address) ? 'silent' : 'refused';
    const { hostName, process } = listener;
    const cut = this.isBlocked(fromHost, hostName) || this.isBlocked(hostName, fromHost);
    return cut || process.state !== 'running' ? 'silent' : listener;
  }

  /** Makes the connection; the listener hears of it a moment later. */
  connect(mode: LinkMode, dialer: Endpoint, listener: Listener, accept: 'peer' | 'client'): Connection {
    const pair = `${dialer.hostName}>${listener.hostName}`;
    const ordinal = (this.connectionCounts.get(pair) ?? 0) + 1;
    this.connectionCounts.set(pair, ordinal);
    const { handler, network, process } = listener;
    const acceptor = network.newEndpoint(listener.hostName, accept === 'client');
    const connection = new Connection(this, mode, `${pair} ${ordinal}`, dialer, acceptor);
    this.connections.add(connection);
    network.register(acceptor, connection, accept === 'peer');
    const acceptUs = Math.ceil(this.scheduler.nowUs + this.latencyUs());
    connection.acceptAt(acceptUs);
    this.scheduler.scheduleAt(acceptUs, 'link', process, () => {
      if (!acceptor.open) return;
      if (accept === 'peer') handler().onPeerAccepted(acceptor.link);
      else handler().onClientAccepted(acceptor.link);
    });
    return connection;
  }

  private waysOf(pairs: readonly Pair[]): WayState[] {
    return pairs.map(([from, to]) => this.ways.of(from, to));
  }

  /** Those that use one of the ways in either direction, in the order in which they were made. */
  private connectionsOver(pairs: readonly Pair[]): Connection[] {
    const ways = new Set(pairs.map(([from, to]) => `${from}>${to}`));
    return [...this.connections].filter(({ ends: [a, b] }) => {
      return ways.has(`${a.hostName}>${b.hostName}`) || ways.has(`${b.hostName}>${a.hostName}`);
    });
  }
}

interface Dialing {
  readonly address: string;
  /** Failed tries since the link last stood. */
  failures: number;
  link: LinkId | undefined;
  stopped: boolean;
}

class NodeNetwork implements Network {
  private readonly world: VirtualNetwork;
  private readonly process: VirtualProcess;
  private readonly handler: () => NetworkHandler;
  private readonly onEffect: () => void;
  private readonly table = new LinkTable();
  private readonly dialings = new Map<NodeId, Dialing>();

  constructor(
    world: VirtualNetwork,
    process: VirtualProcess,
    handler: () => NetworkHandler,
    onEffect: () => void,
  ) {
    this.world = world;
    this.process = process;
    this.handler = handler;
    this.onEffect = onEffect;
  }

  dial(peerId: NodeId, address: string): void {
    if (this.dialings.has(peerId)) return;
    const dialing: Dialing = { address, failures: 0, link: undefined, stopped: false };
    this.dialings.set(peerId, dialing);
    this.tryToConnect(peerId, dialing, 0);
  }

  stopDialing(peerId: NodeId): void {
    const dialing = this.dialings.get(peerId);
    if (dialing === undefined) return;
    dialing.stopped = true;
    this.dialings.delete(peerId);
  }

  send(link: LinkId, message: Uint8Array): boolean {
    this.onEffect();
    const entry = this.table.get(link);
    if (entry === undefined) return false;
    if (!this.process.effective) return true;
    const { endpoint, connection, toPeer } = entry;
    const accepted = connection.send(endpoint, message);
    if (accepted && toPeer)
      this.world.peerTap(this.process.name, otherEnd(connection, endpoint).hostName, message);
    return accepted;
  }

  bufferedBytes(link: LinkId): number {
    const entry = this.table.get(link);
    return entry === undefined ? 0 : entry.connection.bufferedBytes(entry.endpoint);
  }

  /** There is room for all of a virtual world. */
  admit(): undefined {
    return undefined;
  }

  addressOf(link: LinkId): string {
    const entry = this.table.get(link);
    return entry === undefined ? '' : otherEnd(entry.connection, entry.endpoint).hostName;
  }

  close(link: LinkId, _reason: string): void {
    const entry = this.table.get(link);
    if (entry === undefined || !this.process.effective) return;
    this.table.remove(link);
    entry.connection.close(entry.endpoint);
    this.redial(link);
  }

  newEndpoint(hostName: string, isClient = false): Endpoint {
    const link = this.table.newLink();
    return {
      hostName,
      process: this.process,
      link,
      open: true,
      onMessage: (message) => this.handler().onMessage(link, message),
      onClosed: () => {
        this.table.remove(link);
        this.redial(link);
        this.handler().onClosed(link);
      },
      ...(isClient ? { onDrained: () => this.handler().onClientDrained(link) } : {}),
    };
  }

  register(endpoint: Endpoint, connection: Connection, toPeer: boolean): void {
    this.table.add(endpoint, connection, toPeer);
  }

  private tryToConnect(peerId: NodeId, dialing: Dialing, delayUs: number): void {
    const { scheduler } = this.world;
    const { process } = this;
    scheduler.schedule(delayUs + 2 * this.world.latencyUs(), 'link', process, () => {
      if (dialing.stopped) return;
      const found = this.world.probe(process.name, dialing.address);
      if (found === 'silent') {
        scheduler.schedule(connectTimeoutUs, 'link', process, () => this.unreachable(peerId, dialing));
      } else if (found === 'refused') {
        this.unreachable(peerId, dialing);
      } else {
        const endpoint = this.newEndpoint(process.name);
        dialing.link = endpoint.link;
        dialing.failures = 0;
        this.register(endpoint, this.world.connect(this.world.peerMode, endpoint, found, 'peer'), true);
        this.handler().onPeerDialed(endpoint.link, peerId);
      }
    });
  }

  private unreachable(peerId: NodeId, dialing: Dialing): void {
    if (dialing.stopped) return;
    dialing.failures++;
    this.tryToConnect(peerId, dialing, this.backOffUs(dialing));
    this.handler().onPeerUnreachable(peerId);
  }

  private redial(link: LinkId): void {
    for (const [peerId, dialing] of this.dialings) {
      if (dialing.link !== link) continue;
      dialing.link = undefined;
      this.tryToConnect(peerId, dialing, this.backOffUs(dialing));
    }
  }

  /** Doubles with each failure up to a bound; half of it is jitter. */
  private backOffUs(dialing: Dialing): number {
    const longest = Math.min(redialUsMax, redialUsMin * 2 ** dialing.failures);
    return longest / 2 + (this.world.dice.fraction() * longest) / 2;
  }
}

function otherEnd(connection: Connection, end: Endpoint): Endpoint {
  return connection.ends[0] === end ? connection.ends[1] : connection.ends[0];
}
