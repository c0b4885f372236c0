// Connections of clients whose network is in the test's hands: what a client says arrives as bytes, what the
// node sends is decoded, and how much a link takes is the test's to say. And a caller without any connection.

import type { LinkId, Network } from '../../src/base/env.js';
import { anonymous, type AnswerFrame, type Caller } from '../../src/server/front/caller.js';
import type { NodeEvent } from '../../src/server/events.js';
import { Clients, type RequestFrame } from '../../src/server/front/clients.js';
import { decodeServerFrames } from '../../src/wire/clients/answer-codec.js';
import { encodeClientFrames } from '../../src/wire/clients/request-codec.js';
import type { ClientFrame, ServerFrame, ServerHello } from '../../src/wire/protocol.js';
import { ownVersions } from '../../src/wire/versions.js';
import { VirtualTime } from './snapshot-world.js';

/** Keeps what it is answered. */
export class FakeCaller implements Caller {
  readonly principal = anonymous;
  readonly limits = { requestsMax: 1_000 };
  isGone = false;
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

export class ClientsWorld {
  readonly time = new VirtualTime();
  readonly sent = new Map<LinkId, ServerFrame[]>();
  readonly closed = new Map<LinkId, string>();
  /** Links that take nothing more. */
  readonly full = new Set<LinkId>();
  readonly events: NodeEvent[] = [];
  readonly requests: { readonly caller: Caller; readonly frame: RequestFrame }[] = [];
  hello: ServerHello | undefined = serverHello;
  readonly clients: Clients;
  /** Something asked for the end of the turn. */
  isWoken = false;

  constructor(requestsMax = 1_000) {
    this.clients = new Clients({
      network: this.network(),
      report: (event) => this.events.push(event),
      timers: this.time.timers,
      limits: { requestsMax },
      hello: () => this.hello,
      request: (caller, frame) => this.requests.push({ caller, frame }),
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
        this.sent.set(link, [...(this.sent.get(link) ?? []), ...decodeServerFrames(message)]);
        return true;
      },
      bufferedBytes: () => 0,
      close: (link, reason) => void this.closed.set(link, reason),
    };
  }
}
