// The links of one virtual process by number, as its view of the network hands them out. Numbers are not used
// again within a process.

import type { LinkId } from '../../../base/env.js';
import type { Connection, Endpoint } from './connection.js';

interface Link {
  readonly endpoint: Endpoint;
  readonly connection: Connection;
  /** Made by this node to a peer: messages between nodes leave on it. */
  readonly toPeer: boolean;
}

/** The open links of one process by number. */
export class LinkTable {
  private readonly links = new Map<LinkId, Link>();
  private nextLink: LinkId = 1;

  newLink(): LinkId {
    return this.nextLink++;
  }

  add(endpoint: Endpoint, connection: Connection, toPeer: boolean): void {
    this.links.set(endpoint.link, { endpoint, connection, toPeer });
  }

  get(link: LinkId): Link | undefined {
    return this.links.get(link);
  }

  remove(link: LinkId): void {
    this.links.delete(link);
  }
}
