// The client connections: handshake, one outbox per connection that leaves once per turn, limits, and the
// notices of leader changes. Bytes from here are untrusted: a frame that is not of the protocol ends its
// connection and nothing else.

import type { LinkId, Logger, Network, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { decodeClientFrames } from '../../wire/clients/request-codec.js';
import {
  protocolVersion,
  type ClientFrame,
  type LeaderNotice,
  type ServerFrame,
  type ServerHello,
} from '../../wire/protocol.js';
import { encodeServerMessages } from '../../wire/clients/answer-codec.js';

/** A request frame: everything but the handshake and the two that are not answered by the node's work. */
export type RequestFrame = Exclude<ClientFrame, { kind: 'hello' | 'cancel' | 'ping' }>;

export interface ClientsOptions {
  readonly network: Network;
  readonly logger: Logger;
  readonly timers: Timers;
  readonly connectionRequestsMax: number;
  /** `undefined` until the cluster is formed: clients are sent away to come again. */
  hello(): ServerHello | undefined;
  request(client: Client, frame: RequestFrame): void;
  /** There is something to send: call `flush` at the end of this turn. */
  wake(): void;
}

/** A connection on which nobody says hello takes the place of one that would. */
const greetingTimeoutMs = 5_000;

/** One connection. Answers to a connection that is gone are dropped. */
export class Client {
  readonly link: LinkId;
  greeted = false;
  gone = false;
  /** Requests received and not yet answered. */
  waiting = 0;
  outbox: ServerFrame[] = [];
  /** Requests the client no longer waits for; only ids that may still be answered. */
  readonly cancelled = new Set<number>();

  constructor(link: LinkId) {
    this.link = link;
  }
}

export class Clients {
  private readonly options: ClientsOptions;
  private readonly byLink = new Map<LinkId, Client>();
  private dirty: Client[] = [];

  constructor(options: ClientsOptions) {
    this.options = options;
  }

  get count(): number {
    return this.byLink.size;
  }

  accept(link: LinkId): void {
    const client = new Client(link);
    this.byLink.set(link, client);
    this.options.timers.set(greetingTimeoutMs, () => {
      if (!client.greeted) this.disconnect(client, 'TIMEOUT', 'no hello came in time');
    });
  }

  has(link: LinkId): boolean {
    return this.byLink.has(link);
  }

  closed(link: LinkId): void {
    const client = this.byLink.get(link);
    if (client === undefined) return;
    client.gone = true;
    client.outbox = [];
    this.byLink.delete(link);
  }

  receive(link: LinkId, message: Uint8Array): void {
    const client = this.byLink.get(link);
    if (client === undefined) return;
    try {
      for (const frame of decodeClientFrames(message)) {
        if (client.gone) return;
        this.dispatch(client, frame);
      }
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.disconnect(client, error.code, error.message);
    }
  }

  /** Queues an answer; it leaves at the end of the turn. */
  answer(client: Client, frame: Exclude<ServerFrame, ServerHello | LeaderNotice>): void {
    client.waiting--;
    if (client.gone) return;
    const cancelled = client.cancelled.size > 0 && client.cancelled.delete(frame.requestId);
    if (client.waiting === 0) client.cancelled.clear();
    if (!cancelled) this.enqueue(client, frame);
  }

  /** Tells every client who leads now. */
  notifyLeader(notice: LeaderNotice): void {
    for (const client of this.byLink.values()) {
      if (client.greeted) this.enqueue(client, notice);
    }
  }

  /** Sends what has gathered, in messages near the target size. */
  flush(): void {
    if (this.dirty.length === 0) return;
    const clients = this.dirty;
    this.dirty = [];
    for (const client of clients) this.flushOne(client);
  }

  closeAll(reason: string): void {
    for (const client of this.byLink.values()) {
      this.flushOne(client);
      client.gone = true;
      this.options.network.close(client.link, reason);
    }
    this.byLink.clear();
  }

  private dispatch(client: Client, frame: ClientFrame): void {
    if (frame.kind === 'hello') {
      this.greet(client, frame);
      return;
    }
    if (!client.greeted) {
      throw new KvorumError('PROTOCOL', 'the first frame on a client connection must be a hello');
    }
    switch (frame.kind) {
      case 'ping':
        this.enqueue(client, { kind: 'pong', requestId: frame.requestId });
        return;
      case 'cancel':
        if (client.waiting > 0 && client.cancelled.size < client.waiting)
          client.cancelled.add(frame.requestId);
        return;
      default:
        client.waiting++;
        if (client.waiting > this.options.connectionRequestsMax) {
          const message =
            `more than ${this.options.connectionRequestsMax} requests wait on this connection; ` +
            `send less at a time or raise limits.connectionRequestsMax`;
          this.answer(client, {
            kind: 'error',
            requestId: frame.requestId,
            code: 'OVERLOADED',
            message,
            outcome: 'none',
          });
          return;
        }
        this.options.request(client, frame);
    }
  }

  private greet(client: Client, hello: Extract<ClientFrame, { kind: 'hello' }>): void {
    if (client.greeted) throw new KvorumError('PROTOCOL', 'a second hello on one connection');
    if (hello.protocolVersion !== protocolVersion) {
      const versions = `client speaks protocol ${hello.protocolVersion}, this node ${protocolVersion}`;
      throw new KvorumError('PROTOCOL', `${versions}: use matching versions`);
    }
    const answer = this.options.hello();
    if (answer === undefined) {
      throw new KvorumError('UNAVAILABLE', 'this node is not part of a formed cluster yet');
    }
    if (hello.clusterId !== undefined && hello.clusterId !== answer.clusterId) {
      throw new KvorumError(
        'IDENTITY',
        `this node belongs to cluster ${answer.clusterId}, not ${hello.clusterId}`,
      );
    }
    client.greeted = true;
    this.enqueue(client, answer);
  }

  private enqueue(client: Client, frame: ServerFrame): void {
    if (client.gone) return;
    if (client.outbox.length === 0) {
      if (this.dirty.length === 0) this.options.wake();
      this.dirty.push(client);
    }
    client.outbox.push(frame);
  }

  private flushOne(client: Client): void {
    const frames = client.outbox;
    client.outbox = [];
    if (frames.length === 0 || client.gone) return;
    for (const message of encodeServerMessages(frames)) {
      if (this.options.network.send(client.link, message)) continue;
      this.disconnect(client, 'OVERLOADED', 'the client reads its answers too slowly');
      return;
    }
  }

  private disconnect(client: Client, code: string, message: string): void {
    if (client.gone) return;
    this.options.logger.debug({ link: client.link, code }, `client connection closed: ${message}`);
    client.gone = true;
    client.outbox = [];
    this.byLink.delete(client.link);
    this.options.network.close(client.link, `${code}: ${message}`.slice(0, 120));
  }
}
