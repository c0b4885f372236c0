// Which process of each member this node hears: the one that proved itself last. A member whose disk was
// damaged takes back what its earlier processes acknowledged: what they sent and what is still on its way
// must not be heard after that. A proof answers a number that this node drew for the link, so its sender was
// alive after that moment; a process that proves itself on a link whose number is older than another one's
// proof may be the earlier of the two. Must never hear a process again that another one of the member has
// followed: if it can prove itself later, two processes use one identity. Pure.

import type { NodeId } from '../../base/env.js';

interface Heard {
  /** The process that proved itself last. */
  current: string;
  /** When it did so last, counted as the challenges are. */
  provedAt: number;
  /** What it has lost was taken back. */
  wasReset: boolean;
  /** Processes that others have followed, the newest last. */
  readonly replaced: string[];
}

/** So many processes of a member are remembered after another one has followed. */
const replacedMax = 64;

/**
 * `newer`: no link of another process of the member may be heard any more. `late`: this link says nothing
 * about which process is the living one; another one would. `twice`: two processes are alive.
 */
export type ProvedStep = 'known' | 'newer' | 'late' | 'twice';

export class Incarnations {
  private readonly heardByPeer = new Map<NodeId, Heard>();
  private count = 0;

  /** The moment at which a number for a new link is drawn. */
  challenge(): number {
    return ++this.count;
  }

  /**
   * A process has proved itself on a link of that challenge. `isDialed`: it answers at the member's address,
   * which decides between two that are alive.
   */
  proved(nodeId: NodeId, incarnation: string, challengedAt: number, isDialed: boolean): ProvedStep {
    const heard = this.heardByPeer.get(nodeId);
    const provedAt = ++this.count;
    if (heard === undefined) {
      this.heardByPeer.set(nodeId, { current: incarnation, provedAt, wasReset: false, replaced: [] });
      return 'newer';
    }
    if (incarnation === heard.current) {
      heard.provedAt = provedAt;
      return 'known';
    }
    if (challengedAt < heard.provedAt) return 'late';
    const place = heard.replaced.indexOf(incarnation);
    if (place >= 0 && !isDialed) return 'twice';
    if (place >= 0) heard.replaced.splice(place, 1);
    heard.replaced.push(heard.current);
    if (heard.replaced.length > replacedMax) heard.replaced.shift();
    heard.current = incarnation;
    heard.provedAt = provedAt;
    heard.wasReset = false;
    return 'newer';
  }

  /** Whether the member's process has lost something that was not taken back yet; true once for each. */
  takesBack(nodeId: NodeId, catchingUp: boolean): boolean {
    const heard = this.heardByPeer.get(nodeId);
    if (heard === undefined || !catchingUp || heard.wasReset) return false;
    heard.wasReset = true;
    return true;
  }
}
