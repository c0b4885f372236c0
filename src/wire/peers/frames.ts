// Frames between nodes of one cluster, each declared once; those of the consensus core stand in
// `raft-frames`, those of a snapshot on its way in `snapshots/frames`.

import { termMax } from '../../base/terms.js';
import { formatLevels } from '../../kv/format-level.js';
import type { Message } from '../../raft/messages.js';
import { arrayOf, boolean, bytes, count, hex, message, nodeId, optional, uint, word } from '../fields.js';
import { frame, hello, type FrameOf, type FrameTable } from '../frame.js';
import { entryLimits, fieldLimits } from '../limits.js';
import { snapshotFrames, type SnapshotFrame } from '../snapshots/frames.js';

/** Bytes of a nonce, of a proof and of the secret of a cluster. */
export const proofBytes = 32;
const proofField = bytes(proofBytes, proofBytes);

/**
 * First frame on a peer link, from the dialing and then from the accepting node. Anybody may ask for it, so a
 * member says nothing in it but its name and a number that nobody has seen; a node without a cluster has
 * nothing to hide yet.
 */
const peerHello = hello(1, {
  nodeId,
  /** Whom the sender means to talk to. */
  to: nodeId,
  /** Drawn for this link alone: what the other side proves, it proves of now. */
  nonce: proofField,
  /** Drawn at random when the node's data folder was made; only of a node that is part of no cluster. */
  instanceId: optional(hex(32)),
  /** Of such a node's cluster file, to tell two files apart before a cluster is formed: ids sorted. */
  memberIds: arrayOf(nodeId, fieldLimits.membersMax),
  /** Of an accepting member to a dialing one: that it knows the secret of the cluster. */
  proof: optional(proofField),
});
export type PeerHello = FrameOf<typeof peerHello>;

/**
 * The accepting node will not talk to the dialing one; it closes after this. `FORMAT`: the software of the
 * dialing node is below the format level of the other one's store. Only words to a member. A node without a
 * cluster goes by two of them: its name is that of a member with another data folder (`otherData`), or of no
 * member (`noMember`).
 */
const refusal = frame(2, 'refusal', {
  code: word({ PROTOCOL: 0, IDENTITY: 1, FORMAT: 2, otherData: 3, noMember: 4 }),
  message,
});
export type PeerRefusal = FrameOf<typeof refusal>;

/**
 * What a member says of itself once the other side has proved that it is one, under a proof of its own
 * (proof-input.ts): from the dialing and then from the accepting one.
 */
const peerProof = frame(3, 'proof', {
  /** Drawn at random at each start of the process. */
  incarnation: hex(32),
  /** Of the state in the sender's store. */
  formatLevel: uint(fieldLimits.formatLevelMax, formatLevels.min),
  /** Of a member that takes part; `undefined` while the node is recovering. */
  currentTerm: optional(uint(termMax)),
  /** The member takes entries and acknowledges them, but does not vote before it has caught up. */
  catchingUp: boolean,
  proof: proofField,
});
export type PeerProof = FrameOf<typeof peerProof>;

/** What makes a node a member, to one that missed the forming: only on a link that the sender dialed. */
const peerFormation = frame(4, 'formation', {
  /** Payload of entry 1. */
  formation: bytes(entryLimits.formationBytesMax),
  secret: proofField,
  /** Of the state in the sender's store. */
  formatLevel: uint(fieldLimits.formatLevelMax, formatLevels.min),
  /**
   * The nonces of links that came from the receiver's name: one of them it has sent to the sender's address.
   */
  echoes: arrayOf(proofField, 16),
});
export type PeerFormation = FrameOf<typeof peerFormation>;

/** What the sender's state hash is after an index. `asks`: the receiver is to say what its own is. */
const stateHash = frame(40, 'stateHash', {
  index: count,
  formatLevel: uint(fieldLimits.formatLevelMax, formatLevels.min),
  hash: hex(fieldLimits.hashDigits),
  asks: boolean,
});
export type StateHashFrame = FrameOf<typeof stateHash>;

/** A message of the core. On the wire it is a frame of its own, without an inner layer. */
export interface PeerRaft {
  readonly kind: 'raft';
  readonly message: Message;
}

/** The frames by which two nodes find out who they are, before any other is looked at. */
export type GreetingFrame = PeerHello | PeerRefusal | PeerProof | PeerFormation;

export type PeerFrame = GreetingFrame | PeerRaft | StateHashFrame | SnapshotFrame;

export const greetingFrames = {
  hello: peerHello,
  refusal,
  proof: peerProof,
  formation: peerFormation,
} as const satisfies FrameTable<GreetingFrame>;

export const peerFrames = {
  ...greetingFrames,
  stateHash,
  ...snapshotFrames,
} as const satisfies FrameTable<Exclude<PeerFrame, PeerRaft>>;
