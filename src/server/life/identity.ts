// Who this node is, and whether a peer is who it must be. Pure comparisons, one place for every rule of
// identity, so that the same words reach the log, the refused peer and the operator.

import { assertNever } from '../../base/assert.js';
import type { NodeId } from '../../base/env.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import { KvorumError } from '../../base/errors.js';
import { formatLevels } from '../../kv/format-level.js';
import type { PeerHello, PeerRefusal } from '../../wire/peers/frames.js';
import { agreedProtocol, ownVersions } from '../../wire/versions.js';

export interface OwnIdentity {
  readonly nodeId: NodeId;
  readonly instanceId: string;
  /** Drawn at each start of the process. */
  readonly incarnation: string;
  /** The highest format level that this software reads and writes. */
  readonly formatLevelMax: number;
  /** Ids in the cluster file, sorted. */
  readonly memberIds: readonly NodeId[];
}

/** Why this node and the peer may not talk, in words for both sides; `undefined` when they may. */
export function refusePeer(
  own: OwnIdentity,
  formed: Formation | undefined,
  hello: PeerHello,
): PeerRefusal | undefined {
  const refuse = (code: PeerRefusal['code'], message: string): PeerRefusal => ({
    kind: 'refusal',
    code,
    message,
  });
  try {
    agreedProtocol(ownVersions, hello, `node ${own.nodeId}`, `node ${hello.nodeId}`);
  } catch (error) {
    if (!KvorumError.is(error, 'PROTOCOL')) throw error;
    return refuse('PROTOCOL', error.message);
  }
  if (hello.nodeId === own.nodeId) {
    return refuse(
      'IDENTITY',
      `two nodes call themselves ${own.nodeId}: check --node and the addresses in the cluster file`,
    );
  }
  if (formed === undefined) return refuseUnformed(own, hello, refuse);
  // What is refused here anybody may ask for: no word of the cluster, nor of what belongs to whom.
  const member = formed.members.find((candidate) => candidate.nodeId === hello.nodeId);
  if (member === undefined) {
    const fact = `node ${hello.nodeId} is not a member of the cluster of node ${own.nodeId}`;
    return refuse('noMember', `${fact}: it must be added as a member first, or stopped`);
  }
  // Who is part of no cluster proves nothing; all others prove what data they have (server/peers/peers.ts).
  const isOther = hello.instanceId !== undefined && hello.instanceId !== member.instanceId;
  return isOther ? refuse('otherData', otherData(hello.nodeId)) : undefined;
}

function refuseUnformed(
  own: OwnIdentity,
  hello: PeerHello,
  refuse: (code: PeerRefusal['code'], message: string) => PeerRefusal,
): PeerRefusal | undefined {
  if (hello.formatLevelMax < formatLevels.min) {
    const fact = `node ${hello.nodeId} knows format levels up to ${hello.formatLevelMax}`;
    return refuse('FORMAT', `${fact}, a cluster begins at ${formatLevels.min} or above: upgrade it`);
  }
  if (!own.memberIds.includes(hello.nodeId)) {
    const fact = `node ${hello.nodeId} is not in the cluster file of ${own.nodeId}`;
    return refuse('IDENTITY', `${fact}: name it there, or stop it`);
  }
  // A formed cluster is the truth; its members' files no longer matter.
  if (hello.instanceId === undefined) return undefined;
  if (hello.memberIds.join() !== own.memberIds.join()) {
    const lists =
      `${hello.nodeId} lists ${hello.memberIds.join(', ')}; ` +
      `${own.nodeId} lists ${own.memberIds.join(', ')}`;
    return refuse('IDENTITY', `the cluster files differ: ${lists}: start all nodes with the same one`);
  }
  return undefined;
}

/** Why a member's software is too old for this node's store, of this level; `undefined` when it is not. */
export function refuseLevel(
  own: OwnIdentity,
  formatLevel: number,
  peer: Pick<PeerHello, 'nodeId' | 'formatLevelMax'>,
): PeerRefusal | undefined {
  const { nodeId, formatLevelMax } = peer;
  if (formatLevelMax >= formatLevel) return undefined;
  return {
    kind: 'refusal',
    code: 'FORMAT',
    message: belowLevel(nodeId, formatLevelMax, own.nodeId, formatLevel),
  };
}

/** `FORMAT` when this node's software is too old for the store of a peer; `undefined` when it is not. */
export function outdatedBy(
  { nodeId, formatLevelMax }: OwnIdentity,
  peer: { readonly nodeId: NodeId; readonly formatLevel: number },
): KvorumError | undefined {
  const { formatLevel } = peer;
  if (formatLevel <= formatLevelMax) return undefined;
  return new KvorumError('FORMAT', belowLevel(nodeId, formatLevelMax, peer.nodeId, formatLevel), {
    details: { formatLevel, formatLevelMax },
  });
}

function belowLevel(nodeId: NodeId, formatLevelMax: number, of: NodeId, formatLevel: number): string {
  const fact = `node ${nodeId} knows format levels up to ${formatLevelMax}`;
  return `${fact}, the store of node ${of} is of level ${formatLevel}: upgrade node ${nodeId}`;
}

/**
 * Whether this node, unformed, is a member of the formation it was told of, by a peer that is one. Otherwise
 * the error to stop with: a node with an empty disk never votes under its old identity.
 */
export function refuseFormation(
  own: OwnIdentity,
  formation: Formation,
  peer: { readonly nodeId: NodeId; readonly formatLevel: number },
): KvorumError | undefined {
  const member = formation.members.find((candidate) => candidate.nodeId === own.nodeId);
  if (member === undefined) {
    const fact = `the cluster was formed without node ${own.nodeId}`;
    return new KvorumError('IDENTITY', `${fact}: it must be added as a member first`);
  }
  if (member.instanceId !== own.instanceId) return new KvorumError('IDENTITY', otherData(own.nodeId));
  const { nodeId, formatLevel } = peer;
  return outdatedBy(own, { nodeId, formatLevel: Math.max(formatLevel, formation.formatLevel) });
}

/**
 * The error to stop with for a node that is part of no cluster and was turned away at a member's address;
 * `undefined` when it may go on trying.
 */
export function turnedAwayFor({ code, message }: PeerRefusal): KvorumError | undefined {
  switch (code) {
    case 'otherData':
    case 'noMember':
      return new KvorumError('IDENTITY', message);
    case 'PROTOCOL':
    case 'IDENTITY':
    case 'FORMAT':
      return undefined;
    default:
      return assertNever(code);
  }
}

function otherData(nodeId: NodeId): string {
  return `node ${nodeId} was a member with other data: restore its data folder, or replace the member`;
}
