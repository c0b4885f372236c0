// What the parts of one engine share: the outside, the limits, the timers, who owns which link, and the
// cluster that the client belongs to. No behaviour beyond drawing numbers and keeping the table of links,
// which is bounded by the number of addresses.

import { Prng } from '../../base/prng.js';
import type { ClientEnv, LinkId } from './env.js';
import type { ClientLimits } from './limits.js';
import { TimerQueue } from './timer-queue.js';

/** Whoever opened a link hears of it. */
export interface LinkOwner {
  linkOpened(): void;
  linkMessage(message: Uint8Array): void;
  linkClosed(reason: string): void;
}

export class EngineContext {
  readonly env: ClientEnv;
  readonly limits: ClientLimits;
  readonly alarms: TimerQueue;
  /** Links that were opened and have not been closed, by either side. */
  readonly links = new Map<LinkId, LinkOwner>();
  /** Set by the first node that answers, and never changed. */
  clusterId: string | undefined = undefined;
  private readonly random: Prng;
  private lastRequestId = 0;

  constructor(env: ClientEnv, limits: ClientLimits) {
    this.env = env;
    this.limits = limits;
    this.alarms = new TimerQueue(env.clock, env.timers);
    const seed = env.entropy.bytes(4);
    this.random = new Prng(new DataView(seed.buffer, seed.byteOffset, 4).getUint32(0));
  }

  open(address: string, owner: LinkOwner): LinkId {
    const link = this.env.network.open(address);
    this.links.set(link, owner);
    return link;
  }

  close(link: LinkId, reason: string): void {
    if (this.links.delete(link)) this.env.network.close(link, reason);
  }

  nextRequestId(): number {
    return ++this.lastRequestId;
  }

  /** Exponential back-off with full jitter: `min` .. `min * 2^failures`, at most `max` milliseconds. */
  backOffMs(failures: number, min: number, max: number): number {
    const ceiling = Math.min(max, min * 2 ** Math.min(failures, 30));
    return min + this.random.fraction() * (ceiling - min);
  }
}
