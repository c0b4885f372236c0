// The network as one client process of the virtual world sees it: it opens links, one by one, and is told
// when one is open or gone. Source: src/client/engine/env.ts.

import type { LinkId } from '../../../base/env.js';
import type { ClientNetwork, ClientNetworkHandler } from '../../../client/engine/env.js';
import { LinkTable } from './link-table.js';
import type { Endpoint } from './connection.js';
import { connectTimeoutUs, type VirtualNetwork } from './network.js';
import type { VirtualProcess } from '../machine/process.js';

export class VirtualClientNetwork implements ClientNetwork {
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
