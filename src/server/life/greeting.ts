// What this node says of itself to peers and clients when a link opens.

import { encodeFormation } from '../../wire/commands/entry-codec.js';
import type { ServerHello } from '../../wire/clients/answers.js';
import type { PeerFormation } from '../../wire/peers/frames.js';
import type { PeerClaim } from '../../wire/peers/proof-input.js';
import { ownVersions } from '../../wire/versions.js';
import type { ClusterView } from './cluster-view.js';
import type { Membership } from './forming.js';
import type { OwnIdentity } from './identity.js';
import type { OwnSide } from '../peers/own-side.js';
import { formatLevelOf, type Running } from './standing.js';

/** Of a node that is part of no cluster yet. */
export function unformedSide({ nodeId, instanceId, memberIds, formatLevelMax }: OwnIdentity): OwnSide {
  return { kind: 'unformed', nodeId, formatLevelMax, instanceId, memberIds };
}

export function memberSide(
  { nodeId, incarnation, formatLevelMax }: OwnIdentity,
  { formation, secret }: Membership,
  claim: Omit<PeerClaim, 'incarnation'>,
): OwnSide {
  return { kind: 'member', nodeId, formatLevelMax, formation, secret, claim: { incarnation, ...claim } };
}

/** What makes a node a member that missed the forming; `echoes` as in the frame. */
export function formationFrame(
  { formation, secret }: Membership,
  formatLevel: number,
  echoes: readonly Uint8Array[],
): PeerFormation {
  const bytes = encodeFormation(formation);
  return { kind: 'formation', formation: bytes, secret: secret.forMember(), formatLevel, echoes };
}

/** `view`: where members are now. */
export function serverHelloOf(view: ClusterView, running: Running): ServerHello {
  const { own, formation, replica } = running;
  const { leaderId, currentTerm: term } = replica.raft;
  return {
    kind: 'hello',
    ...ownVersions,
    formatLevelMax: own.formatLevelMax,
    formatLevel: formatLevelOf(running),
    clusterId: formation.clusterId,
    nodeId: own.nodeId,
    members: formation.members.map(({ nodeId: id, address }) => ({
      nodeId: id,
      address: view.addressOf(id) ?? address,
    })),
    leaderId,
    term,
    clusterTimeMs: replica.clusterTimeMs,
  };
}
