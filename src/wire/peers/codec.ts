// Messages between nodes of one cluster.

import type { Message } from '../../raft/messages.js';
import { decodeFrames, packMessage, packMessages } from '../codec.js';
import { frameCodec } from '../frame.js';
import type { WireArray, WireFrame } from '../values.js';
import { peerFrames, type PeerFrame, type PeerRaft } from './frames.js';
import { raftFrames } from './raft-frames.js';

const raftCodec = frameCodec<Message>(raftFrames);
const otherCodec = frameCodec<Exclude<PeerFrame, PeerRaft>>(peerFrames);

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodePeerFrames(frames: readonly PeerFrame[]): Uint8Array {
  return packMessage(frames.map(toWire));
}

/**
 * As many messages as the frames need to stay near `messageBytesTarget`. Throws `TOO_LARGE` for a single
 * frame.
 */
export function encodePeerMessages(frames: readonly PeerFrame[]): Uint8Array[] {
  return packMessages(frames.map(toWire));
}

/** The frames of a message. Payloads are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodePeerFrames(bytes: Uint8Array): PeerFrame[] {
  return decodeFrames(bytes, 'peer', fromWire);
}

function toWire(frame: PeerFrame): WireFrame {
  return frame.kind === 'raft' ? raftCodec.encode(frame.message) : otherCodec.encode(frame);
}

function fromWire(positions: WireArray): PeerFrame | undefined {
  const message = raftCodec.decode(positions);
  return message === undefined ? otherCodec.decode(positions) : { kind: 'raft', message };
}
