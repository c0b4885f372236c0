// What a node is on its links to others, and the frames and proofs that follow from it. Must never put more
// into a hello than anybody may know.

import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { PeerHello, PeerProof } from '../../wire/peers/frames.js';
import { proofInput, type Greeting, type PeerClaim } from '../../wire/peers/proof-input.js';
import { ownVersions } from '../../wire/versions.js';
import type { ClusterSecret } from './secret.js';

/** Part of no cluster yet. */
export interface UnformedSide {
  readonly kind: 'unformed';
  readonly nodeId: NodeId;
  readonly formatLevelMax: number;
  readonly instanceId: string;
  readonly memberIds: readonly NodeId[];
}

export interface MemberSide {
  readonly kind: 'member';
  readonly nodeId: NodeId;
  readonly formatLevelMax: number;
  readonly formation: Formation;
  readonly secret: ClusterSecret;
  readonly claim: PeerClaim;
}

export type OwnSide = UnformedSide | MemberSide;

/** The hello to `to`, with a nonce that was never used. */
export function helloOf(own: OwnSide, to: NodeId, nonce: Uint8Array): PeerHello {
  return {
    kind: 'hello',
    ...ownVersions,
    formatLevelMax: own.formatLevelMax,
    nodeId: own.nodeId,
    to,
    nonce,
    instanceId: own.kind === 'unformed' ? own.instanceId : undefined,
    memberIds: own.kind === 'unformed' ? own.memberIds : [],
    proof: undefined,
  };
}

/** Of two members. */
export function greetingOf({ formation }: MemberSide, dialer: PeerHello, acceptor: PeerHello): Greeting {
  return {
    clusterId: formation.clusterId,
    dialer,
    acceptor,
    dialerInstanceId: instanceIdOf(formation, dialer.nodeId),
    acceptorInstanceId: instanceIdOf(formation, acceptor.nodeId),
  };
}

/** What an accepting member adds to its hello. */
export function firstProof({ secret }: MemberSide, greeting: Greeting): Uint8Array {
  return secret.prove(proofInput('acceptor', greeting, undefined));
}

/** Throws `IDENTITY` unless the hello that answers proves that its sender is a member. */
export function checkFirstProof({ secret }: MemberSide, greeting: Greeting): void {
  const { proof, nodeId } = greeting.acceptor;
  if (proof !== undefined && secret.isProof(proof, proofInput('acceptor', greeting, undefined))) return;
  throw unproven(`who answers at the address of node ${nodeId}`);
}

/** The claim of this node, proved for one side of the greeting. */
export function proofOf({ secret, claim }: MemberSide, side: 'dialer' | 'acceptor', of: Greeting): PeerProof {
  return { kind: 'proof', ...claim, proof: secret.prove(proofInput(side, of, claim)) };
}

/** Throws `IDENTITY` unless the claim is that of a member, made for this link and side. */
export function checkProof(
  { secret }: MemberSide,
  side: 'dialer' | 'acceptor',
  greeting: Greeting,
  claim: PeerProof,
): void {
  if (secret.isProof(claim.proof, proofInput(side, greeting, claim))) return;
  throw unproven(`who came in the name of node ${greeting[side].nodeId}`);
}

function unproven(who: string): KvorumError {
  const fact = `${who} does not prove that it is a member of this cluster`;
  return new KvorumError(
    'IDENTITY',
    `${fact}: check the addresses in the cluster files, and who can reach them`,
  );
}

function instanceIdOf({ members }: Formation, nodeId: NodeId): string {
  return members.find((member) => member.nodeId === nodeId)?.instanceId ?? '';
}
