// The client connections: handshake, one outbox per connection that leaves once per turn, limits, and the
// notices of leader changes. Bytes from here are untrusted: a frame that is not of the protocol ends its
// connection and nothing else.

import type { LinkId, Network, Report, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { decodeClientFrames } from '../../wire/clients/request-codec.js';
import type { ClientFrame, LeaderNotice, ServerFrame, ServerHello } from '../../wire/protocol.js';
import { agreedProtocol, ownVersions } from '../../wire/versions.js';
import { encodeServerMessages } from '../../wire/clients/answer-codec.js';
import {
  anonymous,
  errorAnswer,
  OpenRequests,
  type AnswerFrame,
  type Caller,
  type CallerLimits,
} from './caller.js';
import type { NodeEvent } from '../events.js';

type StreamFrameKind = 'openStream' | 'streamCredit' | 'closeStream';

/** A request frame: not the handshake, not of a stream, and not the two that need none of the node's work. */
export type RequestFrame = Exclude<ClientFrame, { kind: 'hello' | 'cancel' | 'ping' | StreamFrameKind }>;

export interface ClientsOptions {
  readonly network: Network;
  readonly report: Report<NodeEvent>;
  readonly timers: Timers;
  readonly limits: CallerLimits;
  /** `undefined` until the cluster is formed: clients are sent away to come again. */
  hello(): ServerHello | undefined;
  request(caller: Caller, frame: RequestFrame): void;
  /** There is something to send: call `flush` at the end of this turn. */
  wake(): void;
}

/** A connection on which nobody says hello takes the place of one that would. */
const greetingTimeoutMs = 5_000;

/** One connection, as the rest of the node knows it. Answers to one that is gone are dropped. */
class Client implements Caller {
  readonly principal = anonymous;
  readonly limits: CallerLimits;
  readonly link: LinkId;
  readonly requests: OpenRequests;
  isGreeted = false;
  isGone = false;
  outbox: ServerFrame[] = [];
  private readonly enqueue: (client: Client, frame: AnswerFrame) => void;

  constructor(link: LinkId, limits: CallerLimits, enqueue: (client: Client, frame: AnswerFrame) => void) {
    this.link = link;
    this.limits = limits;
    this.requests = new OpenRequests(limits.requestsMax);
    this.enqueue = enqueue;
  }

  isCancelled(requestId: number): boolean {
    return this.requests.isCancelled(requestId);
  }

  /** The answer leaves at the end of the turn. */
  answer(frame: AnswerFrame): void {
    if (this.requests.end(frame.requestId)) this.enqueue(this, frame);
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
    const client = new Client(link, this.options.limits, this.enqueue);
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
    if (client === undefined) return;
    client.isGone = true;
    client.outbox = [];
    this.byLink.delete(link);
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
      if (!KvorumError.is(error)) throw error;
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
      client.isGone = true;
      this.options.network.close(client.link, reason);
    }
    this.byLink.clear();
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
      case 'openStream': {
        const message = `this node has no streams of the topic ${frame.topic}`;
        const { requestId } = frame;
        this.enqueue(client, { kind: 'streamEnd', requestId, code: 'INVALID_ARGUMENT', message });
        return;
      }
      case 'streamCredit':
      case 'closeStream':
        // Sent before the client had the end of its stream.
        return;
      default:
        this.request(client, frame);
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
    if (answer === undefined) {
      throw new KvorumError('UNAVAILABLE', 'this node is not part of a formed cluster yet');
    }
    if (hello.clusterId !== undefined && hello.clusterId !== answer.clusterId) {
      throw new KvorumError(
        'IDENTITY',
        `this node belongs to cluster ${answer.clusterId}, not ${hello.clusterId}`,
      );
    }
    client.isGreeted = true;
    this.enqueue(client, answer);
  }

  private readonly enqueue = (client: Client, frame: ServerFrame): void => {
    if (client.isGone) return;
    if (client.outbox.length === 0) {
      if (this.dirty.length === 0) this.options.wake();
      this.dirty.push(client);
    }
    client.outbox.push(frame);
  };

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
      // What changes something may be decided by then.
      const outcome = frame.kind === 'written' || frame.kind === 'error' ? 'unknown' : 'none';
      return encodeServerMessages([errorAnswer(frame.requestId, code, message, outcome)]);
    }
  }

  private disconnect(client: Client, code: string, message: string): void {
    if (client.isGone) return;
    this.options.report({ kind: 'clientClosed', link: client.link, code, message });
    client.isGone = true;
    client.outbox = [];
    this.byLink.delete(client.link);
    this.options.network.close(client.link, `${code}: ${message}`.slice(0, 120));
  }
}
