// The network between all programs of the virtual world: who listens where, which ways are blocked, and the
// two views of it that programs get: a node's (it keeps dialing its peers and accepts links) and a client's
// (it opens links). Partitions are sets of directed pairs of hosts, so every shape is possible, one-way
// ones too. Source: design §9.

import type { LinkId, Network, NetworkHandler, NodeId } from '../base/env.js';
import type { ClientNetwork, ClientNetworkHandler } from '../client/env.js';
import { Dice, streamOf } from './dice.js';
import type { Scheduler } from './scheduler.js';
import { Connection, type Conditions, type Endpoint, type LinkMode } from './virtual-connection.js';
import type { VirtualProcess } from './virtual-process.js';

/** Sees every message between nodes at the moment it is sent. */
export type PeerTap = (fromHost: string, toHost: string, message: Uint8Array) => void;

interface Listener {
  readonly hostName: string;
  readonly process: VirtualProcess;
  readonly handler: () => NetworkHandler;
  readonly network: NodeNetwork;
}

const connectTimeoutUs = 500_000;
const redialUsMin = 20_000;
const redialUsMax = 500_000;

export class VirtualNetwork {
  readonly scheduler: Scheduler;
  readonly seed: number;
  readonly peerMode: LinkMode;
  readonly conditions: Conditions;
  readonly bufferBytesMax = 16 * 1024 * 1024;
  readonly dice: Dice;
  /** Set by the world's checkers. */
  peerTap: PeerTap = () => undefined;
  private readonly listeners = new Map<string, Listener>();
  /** Addresses whose machine is without power: nobody refuses, nothing answers. */
  private readonly darkAddresses = new Set<string>();
  /** How many faults block each way now. */
  private readonly blocks = new Map<string, number>();
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

  attachClient(process: VirtualProcess, handler: () => ClientNetworkHandler): ClientNetwork {
    return new VirtualClientNetwork(this, process, handler);
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

  /** `refuses`: connections that use one of the ways break at once. */
  block(pairs: readonly (readonly [from: string, to: string])[], refuses = false): void {
    for (const [from, to] of pairs) this.blocks.set(`${from}>${to}`, this.blockCount(from, to) + 1);
    this.tellConnections(pairs, (connection) => connection.blocked(refuses));
  }

  unblock(pairs: readonly (readonly [from: string, to: string])[]): void {
    for (const [from, to] of pairs)
      this.blocks.set(`${from}>${to}`, Math.max(0, this.blockCount(from, to) - 1));
    this.tellConnections(pairs, (connection) => connection.unblocked());
  }

  isBlocked(fromHost: string, toHost: string): boolean {
    return this.blocks.size > 0 && this.blockCount(fromHost, toHost) > 0;
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
    const acceptor = network.newEndpoint(listener.hostName);
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

  private blockCount(from: string, to: string): number {
    return this.blocks.get(`${from}>${to}`) ?? 0;
  }

  private tellConnections(
    pairs: readonly (readonly [from: string, to: string])[],
    tell: (connection: Connection) => void,
  ): void {
    const ways = new Set(pairs.map(([from, to]) => `${from}>${to}`));
    for (const connection of this.connections) {
      const [a, b] = connection.ends;
      if (ways.has(`${a.hostName}>${b.hostName}`) || ways.has(`${b.hostName}>${a.hostName}`))
        tell(connection);
    }
  }
}

/** The open links of one process by number. */
class LinkTable {
  private readonly links = new Map<LinkId, { endpoint: Endpoint; connection: Connection; toPeer: boolean }>();
  private nextLink: LinkId = 1;

  newLink(): LinkId {
    return this.nextLink++;
  }

  add(endpoint: Endpoint, connection: Connection, toPeer: boolean): void {
    this.links.set(endpoint.link, { endpoint, connection, toPeer });
  }

  get(link: LinkId): { endpoint: Endpoint; connection: Connection; toPeer: boolean } | undefined {
    return this.links.get(link);
  }

  remove(link: LinkId): void {
    this.links.delete(link);
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

  close(link: LinkId, _reason: string): void {
    const entry = this.table.get(link);
    if (entry === undefined || !this.process.effective) return;
    this.table.remove(link);
    entry.connection.close(entry.endpoint);
    this.redial(link);
  }

  newEndpoint(hostName: string): Endpoint {
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

class VirtualClientNetwork implements ClientNetwork {
  private readonly world: VirtualNetwork;
  private readonly process: VirtualProcess;
  private readonly handler: () => ClientNetworkHandler;
  private readonly table = new LinkTable();
  /** Links that are being opened; removed when the client closes them before. */
  private readonly opening = new Set<LinkId>();

  constructor(world: VirtualNetwork, process: VirtualProcess, handler: () => ClientNetworkHandler) {
    this.world = world;
    this.process = process;
    this.handler = handler;
  }

  open(address: string): LinkId {
    const { world, process } = this;
    const link = this.table.newLink();
    this.opening.add(link);
    world.scheduler.schedule(2 * world.latencyUs(), 'link', process, () => {
      if (!this.opening.has(link)) return;
      const found = world.probe(process.name, address);
      if (found === 'silent') {
        world.scheduler.schedule(connectTimeoutUs, 'link', process, () => this.fail(link, 'ETIMEDOUT'));
      } else if (found === 'refused') {
        this.fail(link, 'ECONNREFUSED');
      } else {
        this.opening.delete(link);
        const endpoint = this.endpoint(link);
        this.table.add(endpoint, world.connect('tcp', endpoint, found, 'client'), false);
        this.handler().onOpen(link);
      }
    });
    return link;
  }

  send(link: LinkId, message: Uint8Array): boolean {
    const entry = this.table.get(link);
    return entry !== undefined && this.process.effective && entry.connection.send(entry.endpoint, message);
  }

  bufferedBytes(link: LinkId): number {
    const entry = this.table.get(link);
    return entry === undefined ? 0 : entry.connection.bufferedBytes(entry.endpoint);
  }

  close(link: LinkId, _reason: string): void {
    this.opening.delete(link);
    const entry = this.table.get(link);
    if (entry === undefined) return;
    this.table.remove(link);
    entry.connection.close(entry.endpoint);
  }

  private endpoint(link: LinkId): Endpoint {
    return {
      hostName: this.process.name,
      process: this.process,
      link,
      open: true,
      onMessage: (message) => this.handler().onMessage(link, message),
      onClosed: () => {
        this.table.remove(link);
        this.handler().onClosed(link, 'connection lost');
      },
    };
  }

  private fail(link: LinkId, reason: string): void {
    if (this.opening.delete(link)) this.handler().onClosed(link, reason);
  }
}

function otherEnd(connection: Connection, end: Endpoint): Endpoint {
  return connection.ends[0] === end ? connection.ends[1] : connection.ends[0];
}
