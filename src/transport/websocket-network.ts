// The real `Network`: WebSockets over the node's one HTTP address. Owns all links and dialers, gives each
// link its number, and passes on what happens as calls to one handler: for each link opened, its messages in
// order, gone once. May lose what was sent when a link breaks; never throws into the node for what the other
// side did.

import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { assert, defined } from '../base/assert.js';
import type { LinkId, Network, NetworkHandler, NodeId, Report } from '../base/env.js';
import { Dialer, type DialerEvents } from './dialer.js';
import { KvorumError } from '../base/errors.js';
import { originOf, type NoPlace, type PlaceKind } from './doors.js';
import type { TransportEvent } from './events.js';
import type { HttpRoutes } from './http.js';
import { defaultTransportLimits, type TransportLimits } from './limits.js';
import { Link, type LinkEvents } from './link.js';
import { Listener } from './listener.js';

export interface WebSocketNetworkOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly report: Report<TransportEvent>;
  /** Of plain HTTP; asked for when it listens. */
  readonly routes: () => HttpRoutes;
  /** What differs from `defaultTransportLimits`. */
  readonly limits?: Partial<TransportLimits>;
}

/** Links are looked at in this many groups in turn, so that pinging thousands never holds up the loop. */
const lookGroups = 32;

export class WebSocketNetwork implements Network {
  private readonly report: Report<TransportEvent>;
  private readonly limits: TransportLimits;
  private readonly listener: Listener;
  private readonly linkEvents: LinkEvents;
  private readonly dialerEvents: DialerEvents;
  private handler: NetworkHandler | undefined;
  private nextLinkId: LinkId = 1;
  /** Links that the handler may use: open, and not closed by either side as far as this node knows. */
  private readonly links = new Map<LinkId, Link>();
  /** The same links by `id % lookGroups`. */
  private readonly groups: Set<Link>[] = Array.from({ length: lookGroups }, () => new Set<Link>());
  private readonly dialers = new Map<NodeId, Dialer>();
  /** The dialer of a dialed link that is open. */
  private readonly dialedBy = new Map<LinkId, Dialer>();
  /** Every WebSocket until it is fully closed, also those whose link is gone already. */
  private readonly webSockets = new Set<WebSocket>();
  private readonly lookTimer: NodeJS.Timeout;
  private lookedAt = 0;
  private stopping: Promise<void> | undefined;

  constructor(options: WebSocketNetworkOptions) {
    this.report = options.report;
    this.limits = { ...defaultTransportLimits, ...options.limits };
    this.listener = new Listener({
      host: options.host,
      port: options.port,
      report: options.report,
      routes: options.routes,
      limits: this.limits,
      onAccepted: (kind, webSocket, socket) => this.accepted(kind, webSocket, socket),
    });
    this.linkEvents = {
      onMessage: (link, message) => this.currentHandler().onMessage(link.id, message),
      onGone: (link, reason) => this.gone(link, reason),
    };
    this.dialerEvents = {
      onOpen: (dialer, webSocket, socket) => this.dialed(dialer, webSocket, socket),
      onFailed: (dialer, reason) => this.dialFailed(dialer, reason),
    };
    this.lookTimer = setInterval(() => this.look(), this.limits.pingIntervalMs / lookGroups);
    // A process is not kept alive by the wish to ping.
    this.lookTimer.unref();
  }

  /** Who hears of links and messages from now on. Comes before `listen` and `dial`. */
  setHandler(handler: NetworkHandler): void {
    this.handler = handler;
  }

  /**
   * Begins to accept. Rejects with `CONFIG`, naming host, port and what to do, when the address cannot be
   * used.
   */
  listen(): Promise<{ port: number }> {
    this.currentHandler();
    return this.listener.listen();
  }

  /**
   * Closes all links and the address, and resolves when they are closed. No call to the handler comes after
   * this.
   */
  stop(): Promise<void> {
    this.stopping ??= this.closeAll();
    return this.stopping;
  }

  /** A second `dial` with the same address changes nothing; with another one it replaces the link. */
  dial(peerId: NodeId, address: string): void {
    this.currentHandler();
    if (this.stopping !== undefined || this.dialers.get(peerId)?.address === address) return;
    this.stopDialing(peerId);
    const dialer = new Dialer({ peerId, address, limits: this.limits, events: this.dialerEvents });
    this.dialers.set(peerId, dialer);
    dialer.start();
  }

  /** Also closes the link to the peer that is open, as `close` does. */
  stopDialing(peerId: NodeId): void {
    const dialer = this.dialers.get(peerId);
    if (dialer === undefined) return;
    this.dialers.delete(peerId);
    dialer.stop();
    for (const [id, owner] of this.dialedBy) {
      if (owner === dialer) this.close(id, 'not needed any more');
    }
  }

  send(link: LinkId, message: Uint8Array): boolean {
    return this.links.get(link)?.send(message) ?? false;
  }

  bufferedBytes(link: LinkId): number {
    return this.links.get(link)?.bufferedBytes ?? 0;
  }

  /** A dialed link is dialed again after this, as long as `stopDialing` is not called. */
  close(link: LinkId, reason: string): void {
    const open = this.links.get(link);
    if (open === undefined) return;
    const dialer = this.forget(open);
    open.close(reason);
    if (open.cameAs !== undefined) this.listener.release(open.socket);
    dialer?.linkGone();
  }

  admit(link: LinkId): KvorumError | undefined {
    const open = this.links.get(link);
    if (open?.cameAs === undefined) return undefined;
    const reason = this.listener.admit(open.socket, open.cameAs);
    return reason === undefined ? undefined : noPlace(reason, this.limits, open.socket);
  }

  addressOf(link: LinkId): string {
    return originOf(this.links.get(link)?.socket.remoteAddress).address;
  }

  /** Descriptors are short: connections go that nobody has said anything on. */
  shed(): void {
    this.listener.shed();
  }

  /** Connections that have not said who they are, plain HTTP among them. */
  get strangers(): number {
    return this.listener.strangers;
  }

  private accepted(kind: PlaceKind, webSocket: WebSocket, socket: Socket): void {
    if (this.stopping !== undefined) {
      webSocket.on('error', () => undefined);
      webSocket.terminate();
      return;
    }
    const { clientBufferedBytesMax, peerBufferedBytesMax } = this.limits;
    const isClient = kind === 'client';
    const max = isClient ? clientBufferedBytesMax : peerBufferedBytesMax;
    const link = this.open(webSocket, socket, max, kind);
    if (isClient) {
      // A socket says so when nothing waits any more, after it had asked to wait: far below a backlog.
      socket.on('drain', () => {
        if (this.links.has(link.id)) this.currentHandler().onClientDrained(link.id);
      });
      this.currentHandler().onClientAccepted(link.id);
    } else this.currentHandler().onPeerAccepted(link.id);
  }

  private dialed(dialer: Dialer, webSocket: WebSocket, socket: Socket): void {
    const link = this.open(webSocket, socket, this.limits.peerBufferedBytesMax, undefined);
    this.dialedBy.set(link.id, dialer);
    this.currentHandler().onPeerDialed(link.id, dialer.peerId);
  }

  private dialFailed(dialer: Dialer, reason: string): void {
    const { peerId, address } = dialer;
    this.report({ kind: 'peerUnreachable', peerId, address, reason });
    this.currentHandler().onPeerUnreachable(peerId);
  }

  private open(
    webSocket: WebSocket,
    socket: Socket,
    bufferedBytesMax: number,
    cameAs: PlaceKind | undefined,
  ): Link {
    const id = this.nextLinkId++;
    const link = new Link({ id, webSocket, socket, cameAs, bufferedBytesMax, events: this.linkEvents });
    this.links.set(id, link);
    this.groupOf(id).add(link);
    this.webSockets.add(webSocket);
    webSocket.once('close', () => this.webSockets.delete(webSocket));
    return link;
  }

  private gone(link: Link, reason: string): void {
    const dialer = this.forget(link);
    this.report({ kind: 'linkGone', link: link.id, reason });
    this.currentHandler().onClosed(link.id);
    dialer?.linkGone();
  }

  /** Takes the link out of all tables; returns who dialed it. */
  private forget(link: Link): Dialer | undefined {
    const dialer = this.dialedBy.get(link.id);
    this.links.delete(link.id);
    this.groupOf(link.id).delete(link);
    this.dialedBy.delete(link.id);
    return dialer;
  }

  private look(): void {
    this.lookedAt = (this.lookedAt + 1) % lookGroups;
    const silentLooksMax = Math.ceil(this.limits.deadAfterMs / this.limits.pingIntervalMs);
    for (const link of this.groupOf(this.lookedAt)) link.look(silentLooksMax);
  }

  private groupOf(id: number): Set<Link> {
    return defined(this.groups[id % lookGroups], 'group of links');
  }

  private currentHandler(): NetworkHandler {
    assert(this.handler !== undefined, 'the network needs its handler before it is used');
    return this.handler;
  }

  private async closeAll(): Promise<void> {
    clearInterval(this.lookTimer);
    for (const dialer of this.dialers.values()) dialer.stop();
    this.dialers.clear();
    const closed = this.listener.close();
    for (const id of [...this.links.keys()]) this.close(id, 'the node stops');
    const timer = setTimeout(() => {
      for (const webSocket of this.webSockets) webSocket.terminate();
      this.listener.destroyConnections();
    }, this.limits.stopTimeoutMs);
    await closed;
    await Promise.all(
      [...this.webSockets].map(
        (webSocket) => new Promise<void>((resolve) => webSocket.once('close', () => resolve())),
      ),
    );
    clearTimeout(timer);
  }
}

/** Short enough for the reason of a close. */
function noPlace(reason: NoPlace, limits: TransportLimits, { remoteAddress }: Socket): KvorumError {
  const { clientsMax, addressClientsMax } = limits;
  const message =
    reason === 'full'
      ? `the node has its limit of ${clientsMax} clients: close some, raise limits.clientsMax or ulimit -n`
      : `${originOf(remoteAddress).address} has its limit of ${addressClientsMax} clients: raise ` +
        'limits.addressClientsPercent';
  return new KvorumError('OVERLOADED', message, { details: { clientsMax, addressClientsMax } });
}
