// What two members prove to each other, as bytes: everything that both sides said before, who they are by the
// formation, and which side proves it. A proof for one direction, link, pair or claim is none for another.

import { packValue } from '../codec.js';
import type { WireValue } from '../values.js';
import type { PeerHello, PeerProof } from './frames.js';

/** Both hellos of a link, and what neither of them says. */
export interface Greeting {
  readonly clusterId: string;
  readonly dialer: PeerHello;
  readonly acceptor: PeerHello;
  /** By the formation, of the two names. */
  readonly dialerInstanceId: string;
  readonly acceptorInstanceId: string;
}

/** What a member says of itself in its proof. */
export type PeerClaim = Omit<PeerProof, 'kind' | 'proof'>;

/** The proof of `side` over the greeting, and over what it claims; its first one comes without a claim. */
export function proofInput(
  side: 'dialer' | 'acceptor',
  greeting: Greeting,
  claim: PeerClaim | undefined,
): Uint8Array {
  const { clusterId, dialer, acceptor, dialerInstanceId, acceptorInstanceId } = greeting;
  return packValue([
    'kvorum member',
    side,
    clusterId,
    [dialerInstanceId, ...saidIn(dialer)],
    [acceptorInstanceId, ...saidIn(acceptor)],
    claim && [claim.incarnation, claim.formatLevel, claim.currentTerm, claim.catchingUp],
  ]);
}

function saidIn({ protocolMin, protocolMax, formatLevelMax, nodeId, to, nonce }: PeerHello): WireValue[] {
  return [protocolMin, protocolMax, formatLevelMax, nodeId, to, nonce];
}
