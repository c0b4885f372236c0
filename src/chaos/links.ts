// All links of a cluster under chaos, each through a proxy of its own: from every node to every other, and
// from every load process to every node. Faults are rules about directed pairs; several may hold at once, and
// what flows is what all of them leave. Must never touch a link without a rule for it.

import { Prng } from '../base/prng.js';
import { freeFlow, Proxy, type Flow } from './faults/proxy.js';

export interface LinkNode {
  readonly id: string;
  /** host:port */
  readonly address: string;
}

/** A fault of the network while it lasts. */
export interface LinkRule {
  /** What becomes of bytes that `from` sends to `to`; `undefined`: this fault does not touch them. */
  flow?(from: string, to: string): Partial<Flow> | undefined;
  /** Whether new connections from `from` to `to` are refused. */
  refuses?(from: string, to: string): boolean;
}

interface Link {
  /** Who dials. */
  readonly from: string;
  readonly to: string;
  readonly proxy: Proxy;
  address: string;
}

export class Links {
  private readonly links: Link[] = [];
  private readonly rules = new Set<LinkRule>();

  /**
   * Proxies for `dialers`, each to every node but itself: ids of load processes, and of nodes when their
   * links to each other go through proxies too. Nothing listens before `listen`.
   */
  constructor(nodes: readonly LinkNode[], dialers: readonly string[], seed: number) {
    const prng = new Prng(seed);
    for (const from of dialers) {
      for (const { id, address } of nodes) {
        if (id === from) continue;
        const proxy = new Proxy(targetOf(address), new Prng(prng.uint32()));
        this.links.push({ from, to: id, proxy, address: '' });
      }
    }
  }

  async listen(): Promise<void> {
    for (const link of this.links) link.address = `127.0.0.1:${await link.proxy.listen()}`;
  }

  /** Where `from` reaches `to`. Throws for a pair that has no proxy. */
  addressSeenBy(from: string, to: string): string {
    const link = this.links.find((candidate) => candidate.from === from && candidate.to === to);
    if (link === undefined) throw new Error(`there is no proxy from ${from} to ${to}`);
    return link.address;
  }

  add(rule: LinkRule): void {
    this.rules.add(rule);
    this.apply();
  }

  remove(rule: LinkRule): void {
    if (this.rules.delete(rule)) this.apply();
  }

  /** Takes back all rules. */
  heal(): void {
    this.rules.clear();
    this.apply();
  }

  /** Resets the connections between pairs; how many there were. */
  reset(touches: (from: string, to: string) => boolean): number {
    let count = 0;
    for (const { from, to, proxy } of this.links) {
      if (!touches(from, to)) continue;
      count += proxy.openConnections;
      proxy.resetAll();
    }
    return count;
  }

  close(): void {
    for (const { proxy } of this.links) proxy.close();
  }

  private apply(): void {
    for (const { from, to, proxy } of this.links) {
      proxy.setRefusing([...this.rules].some((rule) => rule.refuses?.(from, to) === true));
      proxy.setFlows(this.flow(from, to), this.flow(to, from));
    }
  }

  private flow(from: string, to: string): Flow {
    let flow = freeFlow;
    for (const rule of this.rules) flow = worse(flow, rule.flow?.(from, to) ?? {});
    return flow;
  }
}

const modes: readonly Flow['mode'][] = ['pass', 'hold', 'drop'];

function worse(flow: Flow, more: Partial<Flow>): Flow {
  const mode = modes[Math.max(modes.indexOf(flow.mode), modes.indexOf(more.mode ?? 'pass'))] ?? 'pass';
  return {
    mode,
    delayMs: flow.delayMs + (more.delayMs ?? 0),
    lossProbability: Math.max(flow.lossProbability, more.lossProbability ?? 0),
    bytesPerSecond: Math.min(flow.bytesPerSecond, more.bytesPerSecond ?? Number.POSITIVE_INFINITY),
  };
}

function targetOf(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}
