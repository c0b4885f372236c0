// Which process of each member this node has heard. A member whose disk was damaged takes back what its
// earlier processes acknowledged: what they sent and what is still on its way must not be heard after that.
// Links are closed for it (peers.ts); here a late hello of an earlier process is recognised. Pure.

import type { NodeId } from '../base/env.js';
import type { PeerHello } from '../wire/protocol.js';

/** Earlier processes of a member that are remembered. More than can have messages on their way. */
const earlierMax = 8;

interface Heard {
  incarnation: string;
  /** What was reset is of an earlier process than this one. */
  wasReset: boolean;
  /** Processes before a reset, oldest first. */
  readonly earlier: string[];
}

/**
 * `reset`: this process has lost what earlier ones acknowledged; said once for each process. `earlier`: the
 * hello is of a process before such a loss. `known`: nothing to do.
 */
export type HeardStep = 'reset' | 'earlier' | 'known';

export class Incarnations {
  private readonly heardByPeer = new Map<NodeId, Heard>();

  /** `isDialed`: the answer to a link that this node opened just now, so its sender is alive. */
  heard(
    { nodeId, incarnation, catchingUp }: Pick<PeerHello, 'nodeId' | 'incarnation' | 'catchingUp'>,
    isDialed: boolean,
  ): HeardStep {
    let heard = this.heardByPeer.get(nodeId);
    if (heard === undefined) {
      heard = { incarnation, wasReset: false, earlier: [] };
      this.heardByPeer.set(nodeId, heard);
    }
    const at = heard.earlier.indexOf(incarnation);
    if (at >= 0 && !isDialed) return 'earlier';
    if (at >= 0) heard.earlier.splice(at, 1);
    if (incarnation !== heard.incarnation) {
      if (catchingUp) remember(heard.earlier, heard.incarnation);
      heard.incarnation = incarnation;
      heard.wasReset = false;
    }
    if (!catchingUp || heard.wasReset) return 'known';
    heard.wasReset = true;
    return 'reset';
  }
}

function remember(earlier: string[], incarnation: string): void {
  earlier.push(incarnation);
  if (earlier.length > earlierMax) earlier.shift();
}
