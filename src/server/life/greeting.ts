// What this node says of itself to peers and clients when a link opens.

import { encodeFormation, type Formation } from '../../wire/commands/entry-codec.js';
import { formatLevels } from '../../kv/format-level.js';
import type { Member, ServerHello } from '../../wire/clients/answers.js';
import type { PeerHello } from '../../wire/peers/frames.js';
import { ownVersions } from '../../wire/versions.js';
import type { OwnIdentity } from './identity.js';
import type { Running } from './standing.js';

/** `currentTerm`: undefined while the node is forming or recovering. */
export function peerHelloOf(
  own: OwnIdentity,
  formation: Formation | undefined,
  currentTerm: number | undefined,
  catchingUp: boolean,
): PeerHello {
  const { nodeId, instanceId, incarnation, memberIds } = own;
  return {
    kind: 'hello',
    ...ownVersions,
    formatLevel: formation && formatLevels.min,
    nodeId,
    instanceId,
    incarnation,
    clusterId: formation?.clusterId,
    memberIds,
    formation: formation && encodeFormation(formation),
    currentTerm,
    catchingUp,
  };
}

/** `members`: of the cluster file, which says where members are now. */
export function serverHelloOf(
  members: readonly Member[],
  { own, formation, replica }: Pick<Running, 'own' | 'formation' | 'replica'>,
): ServerHello {
  const { leaderId, currentTerm: term } = replica.raft;
  return {
    kind: 'hello',
    ...ownVersions,
    formatLevel: formatLevels.min,
    clusterId: formation.clusterId,
    nodeId: own.nodeId,
    members: formation.members.map(({ nodeId: id, address }) => ({
      nodeId: id,
      address: members.find((candidate) => candidate.nodeId === id)?.address ?? address,
    })),
    leaderId,
    term,
    clusterTimeMs: replica.clusterTimeMs,
  };
}
