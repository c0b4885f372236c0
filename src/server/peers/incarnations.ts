// Which process of each member this node may hear. A member whose disk was damaged takes back what its
// earlier processes acknowledged: what they sent and what is still on its way must not be heard after that.
// Which process is the living one says only who answers at the member's own address: whoever opens a link to
// this node can claim to be any member. Must never hear a process that was not confirmed so once the member
// has lost something, nor take anyone's word for such a loss. Pure.

import type { NodeId } from '../../base/env.js';
import type { PeerHello } from '../../wire/peers/frames.js';

interface Heard {
  /** The process that answered last at the member's address. */
  confirmed: string | undefined;
  /** What the confirmed process has lost was taken back. */
  wasReset: boolean;
  /** A process of it has lost something: those before it must not be heard any more. */
  hasLost: boolean;
}

/**
 * `reset`: this process has lost what earlier ones acknowledged; said once for each process. `unconfirmed`:
 * ask at the member's address, and hear nothing on this link until the same process has answered there.
 * `known`: nothing to do.
 */
export type HeardStep = 'reset' | 'unconfirmed' | 'known';

export class Incarnations {
  private readonly heardByPeer = new Map<NodeId, Heard>();

  /** `isDialed`: the answer to a link that this node opened just now, so its sender is alive. */
  heard(
    { nodeId, incarnation, catchingUp }: Pick<PeerHello, 'nodeId' | 'incarnation' | 'catchingUp'>,
    isDialed: boolean,
  ): HeardStep {
    let heard = this.heardByPeer.get(nodeId);
    if (heard === undefined) {
      heard = { confirmed: undefined, wasReset: false, hasLost: false };
      this.heardByPeer.set(nodeId, heard);
    }
    if (!isDialed) {
      // Who restarted whole has taken nothing back: it is heard at once while the member never did.
      const isLoss = incarnation === heard.confirmed ? !heard.wasReset && catchingUp : catchingUp;
      const mayBeEarlier = heard.hasLost && incarnation !== heard.confirmed;
      return isLoss || mayBeEarlier ? 'unconfirmed' : 'known';
    }
    if (incarnation !== heard.confirmed) heard.wasReset = false;
    heard.confirmed = incarnation;
    if (!catchingUp || heard.wasReset) return 'known';
    heard.wasReset = true;
    heard.hasLost = true;
    return 'reset';
  }
}
