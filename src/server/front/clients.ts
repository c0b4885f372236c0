// The client connections: handshake, one outbox per connection that leaves once per turn, limits, and the
// notices of leader changes. Bytes from here are untrusted: a frame that is not of the protocol ends its
// connection and nothing else.

import { assertNever } from '../../base/assert.js';
import { linkBacklogBytes, type LinkId, type Network, type Report, type Timers } from '../../base/env.js';
import { KvorumError, type Outcome } from '../../base/errors.js';
import { decodeClientFrames } from '../../wire/clients/request-codec.js';
import type { ClientFrame } from '../../wire/clients/requests.js';
import type {
  LeaderNotice,
  ServerFrame,
  ServerHello,
  StreamData,
  StreamEnd,
} from '../../wire/clients/answers.js';
import { agreedProtocol, ownVersions } from '../../wire/versions.js';
import { encodeServerMessages } from '../../wire/clients/answer-codec.js';
import {
  anonymous,
  errorAnswer,
  isDamage,
  OpenRequests,
  type AnswerFrame,
  type Caller,
  type CallerLimits,
} from './caller.js';
import type { NodeEvent } from '../events.js';
import type { StreamCaller, Streams } from './streams.js';

type StreamFrameKind = 'openStream' | 'streamCredit' | 'closeStream';

/** A request frame: not the handshake, not of a stream, and not the two that need none of the node's work. */
export type RequestFrame = Exclude<ClientFrame, { kind: 'hello' | 'cancel' | 'ping' | StreamFrameKind }>;

export interface ClientsOptions {
  readonly network: Network;
  readonly report: Report<NodeEvent>;
  readonly timers: Timers;
  readonly limits: CallerLimits;
  /** Or why the node cannot serve yet: clients are sent away to come again. */
  hello(): ServerHello | string;
  request(caller: Caller, frame: RequestFrame): void;
  readonly streams: Streams;
  /** A connection has room again. */
  drained(): void;
  /** There is something to send: call `flush` at the end of this turn. */
  wake(): void;
}

/** A connection on which nobody says hello takes the place of one that would. */
const greetingTimeoutMs = 5_000;

/**
 * Bytes that a connection may have waiting while streams give it more: above what a link says that it was
 * drained of, and far below what it may hold of answers, so that a stream never costs a connection.
 */
const streamBacklogBytes = 2 * linkBacklogBytes;

/** One connection, as the rest of the node knows it. Answers to one that is gone are dropped. */
class Client implements StreamCaller {
  readonly principal = anonymous;
  readonly limits: CallerLimits;
  readonly link: LinkId;
  readonly requests: OpenRequests;
  isGreeted = false;
  isGone = false;
  outbox: ServerFrame[] = [];
  private readonly clients: Clients;

  constructor(link: LinkId, limits: CallerLimits, clients: Clients) {
    this.link = link;
    this.limits = limits;
    this.requests = new OpenRequests(limits.requestsMax);
    this.clients = clients;
  }

  get roomBytes(): number {
    return streamBacklogBytes - this.clients.bufferedBytes(this);
  }

  isCancelled(requestId: number): boolean {
    return this.requests.isCancelled(requestId);
  }

  /** The answer leaves at the end of the turn. */
  answer(frame: AnswerFrame): void {
    if (this.requests.end(frame.requestId)) this.clients.enqueue(this, frame);
  }

  give(frames: readonly (StreamData | StreamEnd)[]): void {
    this.clients.send(this, frames);
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

  /** Of answers that wait for their readers, over all connections: it walks over them. */
  get waitingBytes(): number {
    let bytes = 0;
    for (const link of this.byLink.keys()) bytes += this.options.network.bufferedBytes(link);
    return bytes;
  }

  accept(link: LinkId): void {
    const client = new Client(link, this.options.limits, this);
    this.byLink.set(link, client);
    this.options.timers.set(greetingTimeoutMs, () => {
      if (!client.isGreeted) this.disconnect(client, 'TIMEOUT', 'no hello came in time');
    });
  }

  has(link: LinkId): boolean {
    return this.byLink.has(link);
  }

  closed(link: LinkId): void {
    const client = this.byLink.get(link);
    if (client !== undefined) this.forget(client);
  }

  /** What was sent over the link has left. */
  drained(link: LinkId): void {
    const client = this.byLink.get(link);
    if (client === undefined) return;
    this.options.streams.drained(client);
    this.options.drained();
  }

  receive(link: LinkId, message: Uint8Array): void {
    const client = this.byLink.get(link);
    if (client === undefined) return;
    try {
      for (const frame of decodeClientFrames(message)) {
        if (client.isGone) return;
        this.dispatch(client, frame);
      }
    } catch (error) {
      if (!KvorumError.is(error) || isDamage(error)) throw error;
      this.disconnect(client, error.code, error.message);
    }
  }

  /** Tells every client who leads now. */
  notifyLeader(notice: LeaderNotice): void {
    for (const client of this.byLink.values()) {
      if (client.isGreeted) this.enqueue(client, notice);
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
      this.forget(client);
      this.options.network.close(client.link, reason);
    }
  }

  private dispatch(client: Client, frame: ClientFrame): void {
    if (frame.kind === 'hello') {
      this.greet(client, frame);
      return;
    }
    if (!client.isGreeted) {
      throw new KvorumError('PROTOCOL', 'the first frame on a client connection must be a hello');
    }
    switch (frame.kind) {
      case 'ping':
        this.enqueue(client, { kind: 'pong', requestId: frame.requestId });
        return;
      case 'cancel':
        client.requests.cancel(frame.requestId);
        return;
      case 'openStream':
        this.options.streams.open(client, frame);
        return;
      case 'streamCredit':
        this.options.streams.credit(client, frame);
        return;
      case 'closeStream':
        this.options.streams.close(client, frame);
        return;
      case 'write':
      case 'get':
      case 'range':
      case 'count':
      case 'status':
      case 'raiseFormat':
        this.request(client, frame);
        return;
      default:
        assertNever(frame);
    }
  }

  private request(client: Client, frame: RequestFrame): void {
    if (client.requests.begin()) {
      this.options.request(client, frame);
      return;
    }
    const message =
      `more than ${client.limits.requestsMax} requests wait on this connection; ` +
      `send less at a time or raise limits.connectionRequestsMax`;
    this.enqueue(client, errorAnswer(frame.requestId, 'OVERLOADED', message));
  }

  private greet(client: Client, hello: Extract<ClientFrame, { kind: 'hello' }>): void {
    if (client.isGreeted) throw new KvorumError('PROTOCOL', 'a second hello on one connection');
    agreedProtocol(ownVersions, hello, 'this node', 'the client');
    const answer = this.options.hello();
    if (typeof answer === 'string') throw new KvorumError('UNAVAILABLE', answer);
    if (hello.clusterId !== undefined && hello.clusterId !== answer.clusterId) {
      throw new KvorumError(
        'IDENTITY',
        `this node belongs to cluster ${answer.clusterId}, not ${hello.clusterId}`,
      );
    }
    const refusal = this.options.network.admit(client.link);
    if (refusal !== undefined) throw refusal;
    client.isGreeted = true;
    this.enqueue(client, answer);
  }

  /** Of a client, for its callers: the frame leaves at the end of the turn. */
  enqueue(client: Client, frame: ServerFrame): void {
    if (client.isGone) return;
    if (client.outbox.length === 0) {
      if (this.dirty.length === 0) this.options.wake();
      this.dirty.push(client);
    }
    client.outbox.push(frame);
  }

  /** Bytes on their way to a client. */
  bufferedBytes(client: Client): number {
    return this.options.network.bufferedBytes(client.link);
  }

  /** Sends frames of streams, for which the link has room; those of its answers have left before. */
  send(client: Client, frames: readonly (StreamData | StreamEnd)[]): void {
    if (client.isGone) return;
    for (const message of encodeServerMessages(frames)) {
      if (this.options.network.send(client.link, message)) continue;
      this.disconnect(client, 'OVERLOADED', 'the connection takes no frame of a stream');
      return;
    }
  }

  private flushOne(client: Client): void {
    const frames = client.outbox;
    client.outbox = [];
    if (frames.length === 0 || client.isGone) return;
    for (const message of this.encode(client, frames)) {
      if (this.options.network.send(client.link, message)) continue;
      this.disconnect(client, 'OVERLOADED', 'the client reads its answers too slowly');
      return;
    }
  }

  /** What cannot be encoded costs its own request, or this connection, and none of the others. */
  private encode(client: Client, frames: readonly ServerFrame[]): Uint8Array[] {
    try {
      return encodeServerMessages(frames);
    } catch {
      return frames.flatMap((frame) => this.encodeAlone(client, frame));
    }
  }

  private encodeAlone(client: Client, frame: ServerFrame): Uint8Array[] {
    try {
      return encodeServerMessages([frame]);
    } catch (error) {
      const code = KvorumError.is(error) ? error.code : 'INTERNAL';
      const reason = error instanceof Error ? error.message : String(error);
      this.options.report({ kind: 'frameNotEncoded', link: client.link, frame: frame.kind, reason });
      if (!('requestId' in frame)) {
        this.disconnect(client, code, `the frame ${frame.kind} cannot be encoded`);
        return [];
      }
      const message = `the answer cannot be sent: ${reason}`;
      return encodeServerMessages([errorAnswer(frame.requestId, code, message, outcomeWithout(frame.kind))]);
    }
  }

  private disconnect(client: Client, code: string, message: string): void {
    if (client.isGone) return;
    this.options.report({ kind: 'clientClosed', link: client.link, code, message });
    this.forget(client);
    this.options.network.close(client.link, `${code}: ${message}`.slice(0, 120));
  }

  private forget(client: Client): void {
    client.isGone = true;
    client.outbox = [];
    this.byLink.delete(client.link);
    this.options.streams.release(client);
  }
}

/** What is known about the effect of a request whose answer cannot be sent. */
function outcomeWithout(answer: ServerFrame['kind']): Outcome {
  // What changes something may be decided by then.
  return answer === 'written' || answer === 'formatRaised' || answer === 'error' ? 'unknown' : 'none';
}
