// Connections of clients whose network is in the test's hands: what a client says arrives as bytes, what the
// node sends is decoded, and how much a link takes is the test's to say. And a caller without any connection.

import type { LinkId, Network } from '../../src/base/env.js';
import type { KvorumError } from '../../src/base/errors.js';
import { anonymous, type AnswerFrame, type Caller } from '../../src/server/front/caller.js';
import type { NodeEvent } from '../../src/server/events.js';
import { Clients, type ClientsOptions, type RequestFrame } from '../../src/server/front/clients.js';
import { Streams } from '../../src/server/front/streams.js';
import { decodeServerFrames } from '../../src/wire/clients/answer-codec.js';
import { encodeClientFrames } from '../../src/wire/clients/request-codec.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import type { ServerFrame, ServerHello } from '../../src/wire/clients/answers.js';
import { ownVersions } from '../../src/wire/versions.js';
import { Held, Numbers } from './stream-topics.js';
import { VirtualTime } from './snapshot-world.js';

/** Keeps what it is answered. */
export class FakeCaller implements Caller {
  readonly principal = anonymous;
  readonly limits = { requestsMax: 1_000, streamsMax: 10 };
  isGone = false;
  roomBytes = 65_536;
  readonly cancelled = new Set<number>();
  readonly answers: AnswerFrame[] = [];

  isCancelled(requestId: number): boolean {
    return this.cancelled.has(requestId);
  }

  answer(frame: AnswerFrame): void {
    this.answers.push(frame);
  }
}

export const clientHello: ClientFrame = { kind: 'hello', ...ownVersions, clusterId: undefined };

const serverHello: ServerHello = {
  kind: 'hello',
  ...ownVersions,
  formatLevel: 1,
  clusterId: 'c',
  nodeId: 'n1',
  members: [{ nodeId: 'n1', address: 'n1:1' }],
  leaderId: 'n1',
  term: 1,
  clusterTimeMs: 0,
};

interface WorldLimits {
  readonly requestsMax: number;
  readonly streamsMax: number;
  readonly nodeStreamsMax: number;
}

const defaultLimits: WorldLimits = { requestsMax: 1_000, streamsMax: 1_000, nodeStreamsMax: 10_000 };

export class ClientsWorld {
  readonly time = new VirtualTime();
  readonly sent = new Map<LinkId, ServerFrame[]>();
  readonly closed = new Map<LinkId, string>();
  /** Links that take nothing more. */
  readonly full = new Set<LinkId>();
  /** Links over which nothing leaves: what is sent stays with the node, as `buffered`. */
  readonly stuck = new Set<LinkId>();
  readonly buffered = new Map<LinkId, number>();
  /** Why the network has no place for a client that said hello. */
  refusal: KvorumError | undefined;
  readonly events: NodeEvent[] = [];
  readonly requests: { readonly caller: Caller; readonly frame: RequestFrame }[] = [];
  hello: ServerHello | undefined = serverHello;
  readonly numbers = new Numbers();
  readonly held = new Held();
  readonly streams: Streams;
  readonly clients: Clients;
  /** Something asked for the end of the turn. */
  isWoken = false;

  constructor(limits: Partial<WorldLimits> = {}, request?: ClientsOptions['request']) {
    const { requestsMax, streamsMax, nodeStreamsMax } = { ...defaultLimits, ...limits };
    this.streams = new Streams({
      topics: { numbers: this.numbers, held: this.held },
      clock: this.time.clock,
      report: (event) => this.events.push(event),
      streamsMax: nodeStreamsMax,
      sliceMs: 2,
      wake: () => (this.isWoken = true),
    });
    this.clients = new Clients({
      network: this.network(),
      report: (event) => this.events.push(event),
      timers: this.time.timers,
      limits: { requestsMax, streamsMax },
      streams: this.streams,
      drained: () => undefined,
      hello: () => this.hello ?? 'this node is not part of a formed cluster yet',
      request: request ?? ((caller, frame) => this.requests.push({ caller, frame })),
      wake: () => (this.isWoken = true),
    });
  }

  /** A connection on which hello was said and answered. */
  connect(link: LinkId): void {
    this.clients.accept(link);
    this.say(link, clientHello);
    this.turn();
  }

  say(link: LinkId, ...frames: readonly ClientFrame[]): void {
    this.clients.receive(link, encodeClientFrames(frames));
  }

  /** Ends a turn; only when something asked for its end. */
  turn(): void {
    if (!this.isWoken) return;
    this.isWoken = false;
    this.clients.flush();
    this.streams.flush();
  }

  /** Turns until nothing asks for another. */
  turns(): void {
    for (let turns = 0; this.isWoken; turns++) {
      if (turns > 100_000) throw new Error('it does not come to rest');
      this.turn();
    }
  }

  /** All that a link held has left. */
  drain(link: LinkId): void {
    this.buffered.delete(link);
    this.clients.drained(link);
  }

  /** What was sent over a link since it was last asked for, without the hello. */
  take(link: LinkId): ServerFrame[] {
    const frames = this.sent.get(link) ?? [];
    this.sent.delete(link);
    return frames.filter(({ kind }) => kind !== 'hello');
  }

  private network(): Network {
    const nothing = (): void => undefined;
    return {
      dial: nothing,
      stopDialing: nothing,
      send: (link, message) => {
        if (this.full.has(link) || this.closed.has(link)) return false;
        if (this.stuck.has(link)) this.buffered.set(link, (this.buffered.get(link) ?? 0) + message.length);
        this.sent.set(link, [...(this.sent.get(link) ?? []), ...decodeServerFrames(message)]);
        return true;
      },
      admit: () => this.refusal,
      addressOf: () => 'a',
      bufferedBytes: (link) => this.buffered.get(link) ?? 0,
      close: (link, reason) => void this.closed.set(link, reason),
    };
  }
}
