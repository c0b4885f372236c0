// What this node says of itself to peers and clients when a link opens.

import { encodeFormation, type Formation } from '../../wire/commands/entry-codec.js';
import type { ServerHello } from '../../wire/clients/answers.js';
import type { PeerHello } from '../../wire/peers/frames.js';
import { ownVersions } from '../../wire/versions.js';
import type { ClusterView } from './cluster-view.js';
import type { OwnIdentity } from './identity.js';
import { formatLevelOf, type Running } from './standing.js';

/** `currentTerm`: undefined while the node is forming or recovering. */
export function peerHelloOf(
  own: OwnIdentity,
  formed: { readonly formation: Formation; readonly formatLevel: number } | undefined,
  currentTerm: number | undefined,
  catchingUp: boolean,
): PeerHello {
  const { nodeId, instanceId, incarnation, memberIds, formatLevelMax } = own;
  return {
    kind: 'hello',
    ...ownVersions,
    formatLevelMax,
    formatLevel: formed?.formatLevel,
    nodeId,
    instanceId,
    incarnation,
    clusterId: formed?.formation.clusterId,
    memberIds,
    formation: formed && encodeFormation(formed.formation),
    currentTerm,
    catchingUp,
  };
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
