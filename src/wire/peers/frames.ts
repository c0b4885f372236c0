// Frames between nodes of one cluster, each declared once; those of the consensus core stand in
// `raft-frames`, those of a snapshot on its way in `snapshots/frames`.

import { formatLevels } from '../../kv/format-level.js';
import type { Message } from '../../raft/messages.js';
import {
  arrayOf,
  boolean,
  bytes,
  clusterId,
  count,
  hex,
  message,
  nodeId,
  optional,
  uint,
  word,
} from '../fields.js';
import { frame, hello, type FrameOf, type FrameTable } from '../frame.js';
import { entryLimits, fieldLimits } from '../limits.js';
import { snapshotFrames, type SnapshotFrame } from '../snapshots/frames.js';

/** First frame on a peer link, from the dialing and then from the accepting node. */
const peerHello = hello(1, {
  /** Of the state in the sender's store; `undefined` while the cluster is not formed on that node. */
  formatLevel: optional(uint(fieldLimits.formatLevelMax, formatLevels.min)),
  nodeId,
  /** Drawn at random when the node's data folder was made. */
  instanceId: hex(32),
  /** Drawn at random at each start of the process. */
  incarnation: hex(32),
  /** `undefined` while the cluster is not formed on that node. */
  clusterId: optional(clusterId),
  /** Of the hello's own cluster file, to tell two files apart before a cluster is formed: ids sorted. */
  memberIds: arrayOf(nodeId, fieldLimits.membersMax),
  /** Payload of entry 1 once formed, so that a node that missed the forming learns it. */
  formation: optional(bytes(entryLimits.formationBytesMax)),
  /** Of a member that takes part; `undefined` while the node is forming or recovering. */
  currentTerm: optional(count),
  /** The member takes entries and acknowledges them, but does not vote before it has caught up. */
  catchingUp: boolean,
});
export type PeerHello = FrameOf<typeof peerHello>;

/**
 * The accepting node will not talk to the dialing one; it closes after this. `FORMAT`: the software of the
 * dialing node is below the format level of the other one's store.
 */
const refusal = frame(2, 'refusal', { code: word({ PROTOCOL: 0, IDENTITY: 1, FORMAT: 2 }), message });
export type PeerRefusal = FrameOf<typeof refusal>;

/** A message of the core. On the wire it is a frame of its own, without an inner layer. */
export interface PeerRaft {
  readonly kind: 'raft';
  readonly message: Message;
}

export type PeerFrame = PeerHello | PeerRefusal | PeerRaft | SnapshotFrame;

export const peerFrames = {
  hello: peerHello,
  refusal,
  ...snapshotFrames,
} as const satisfies FrameTable<Exclude<PeerFrame, PeerRaft>>;
