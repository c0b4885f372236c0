// A virtual clock, timers and network for the client engine. Everything happens in the order of the clock;
// nothing depends on the machine. Links are ordered and may break; what was sent before a break may still
// arrive.

import { Prng } from '../../src/base/prng.js';
import type { ClientEnv, ClientNetwork, ClientNetworkHandler, LinkId } from '../../src/client/engine/env.js';
import { decodeClientFrames } from '../../src/wire/clients/request-codec.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import type { ServerFrame } from '../../src/wire/clients/answers.js';
import { encodeServerFrames } from '../../src/wire/clients/answer-codec.js';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly isTimer: boolean;
  run(): void;
}

/** What listens at an address. */
export interface FakeNode {
  /** `refuse`: the dial fails at once; `silent`: nothing ever answers. */
  accept(): 'accept' | 'refuse' | 'silent';
  onOpen(link: FakeLink): void;
  onFrame(link: FakeLink, frame: ClientFrame): void;
  onClosed(link: FakeLink): void;
}

export class FakeLink {
  readonly id: LinkId;
  readonly address: string;
  /** The client's side: open until either side closes. */
  isOpen = false;
  /** Messages sent by the client, for asserts. */
  readonly messagesSent: Uint8Array[] = [];
  lastToNodeMs = 0;
  lastToClientMs = 0;
  private readonly world: FakeWorld;

  constructor(world: FakeWorld, id: LinkId, address: string) {
    this.world = world;
    this.id = id;
    this.address = address;
  }

  /** Sends from the node to the client. */
  reply(...frames: ServerFrame[]): void {
    const message = encodeServerFrames(frames);
    this.lastToClientMs = Math.max(this.lastToClientMs, this.world.nowMs + this.world.latencyMs());
    this.world.at(this.lastToClientMs, () => {
      if (this.isOpen) this.world.handler?.onMessage(this.id, message);
    });
  }

  /** Breaks it from the node's side; what the client sent before may still arrive. */
  break(reason = 'connection reset'): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.world.at(this.world.nowMs, () => this.world.handler?.onClosed(this.id, reason));
  }
}

export class FakeWorld {
  nowMs = 1_000;
  readonly random: Prng;
  readonly nodes = new Map<string, FakeNode>();
  readonly links: FakeLink[] = [];
  handler: ClientNetworkHandler | undefined;
  /** Of one message one way. */
  latencyMs: () => number = () => 1;
  bufferedBytes = 0;
  /** False: `send` refuses everything. */
  takesMessages = true;
  private readonly events: Event[] = [];
  private nextOrder = 0;

  constructor(seed = 1) {
    this.random = new Prng(seed);
  }

  get env(): ClientEnv {
    return {
      clock: { nowMs: () => this.nowMs, wallMs: () => 1_700_000_000_000 + this.nowMs },
      timers: {
        set: (delayMs, callback) => this.at(this.nowMs + delayMs, callback, true),
        clear: (handle) => this.remove(handle as Event),
        defer: (callback) => void this.at(this.nowMs, callback),
      },
      entropy: { bytes: (length) => this.random.bytes(length) },
      network: this.network(),
    };
  }

  get openLinks(): FakeLink[] {
    return this.links.filter((link) => link.isOpen);
  }

  get timerCount(): number {
    return this.events.filter((event) => event.isTimer).length;
  }

  at(atMs: number, run: () => void, isTimer = false): Event {
    const event = { atMs, order: this.nextOrder++, isTimer, run };
    let index = this.events.length;
    while (index > 0 && (this.events[index - 1] as Event).atMs > atMs) index--;
    this.events.splice(index, 0, event);
    return event;
  }

  /** Lets `durationMs` pass. */
  run(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (let first = this.events[0]; first !== undefined && first.atMs <= endMs; first = this.events[0]) {
      this.events.shift();
      this.nowMs = Math.max(this.nowMs, first.atMs);
      first.run();
    }
    this.nowMs = endMs;
  }

  /**
   * The client's process does not run for so long; then its timers, all late, fire before it reads a message.
   */
  standStill(durationMs: number): void {
    this.nowMs += durationMs;
    const late = this.events.splice(0);
    for (const event of late.filter(({ isTimer }) => isTimer)) this.events.push(event);
    for (const { atMs, run } of late.filter(({ isTimer }) => !isTimer)) {
      this.at(Math.max(atMs, this.nowMs + 0.5), run);
    }
  }

  private remove(event: Event): void {
    const index = this.events.indexOf(event);
    if (index >= 0) this.events.splice(index, 1);
  }

  private network(): ClientNetwork {
    return {
      open: (address) => {
        const link = new FakeLink(this, this.links.length + 1, address);
        this.links.push(link);
        this.at(this.nowMs + this.latencyMs(), () => this.dialed(link));
        return link.id;
      },
      send: (id, message) => {
        const link = this.links[id - 1];
        if (link === undefined || !link.isOpen || !this.takesMessages) return false;
        link.messagesSent.push(message);
        link.lastToNodeMs = Math.max(link.lastToNodeMs, this.nowMs + this.latencyMs());
        this.at(link.lastToNodeMs, () => {
          for (const frame of decodeClientFrames(message)) this.nodes.get(link.address)?.onFrame(link, frame);
        });
        return true;
      },
      close: (id) => {
        const link = this.links[id - 1];
        if (link === undefined || this.closedEarly.has(link)) return;
        this.closedEarly.add(link);
        if (!link.isOpen) return;
        link.isOpen = false;
        this.nodes.get(link.address)?.onClosed(link);
      },
      bufferedBytes: () => this.bufferedBytes,
    };
  }

  private readonly closedEarly = new Set<FakeLink>();

  private dialed(link: FakeLink): void {
    if (this.closedEarly.has(link)) return;
    const node = this.nodes.get(link.address);
    const answer = node?.accept() ?? 'refuse';
    if (answer === 'silent') return;
    if (node === undefined || answer === 'refuse') {
      this.handler?.onClosed(link.id, 'ECONNREFUSED');
      return;
    }
    link.isOpen = true;
    node.onOpen(link);
    this.handler?.onOpen(link.id);
  }
}
