// Messages between nodes of one cluster.

import { KvorumError } from '../../base/errors.js';
import type { Message } from '../../raft/messages.js';
import { decodeFrames, packMessage, packMessages } from '../codec.js';
import { frameCodec } from '../frame.js';
import { entryLimits } from '../limits.js';
import type { WireArray, WireFrame } from '../values.js';
import { greetingFrames, peerFrames } from './frames.js';
import type { GreetingFrame, PeerFrame, PeerRaft } from './frames.js';
import { raftFrames } from './raft-frames.js';

const raftCodec = frameCodec<Message>(raftFrames);
const otherCodec = frameCodec<Exclude<PeerFrame, PeerRaft>>(peerFrames);

const greetingCodec = frameCodec<GreetingFrame>(greetingFrames);

/** The largest message of a greeting, bytes: one with a formation. */
export const greetingBytesMax: number = entryLimits.formationBytesMax + 4_096;

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

/**
 * The frames of a message on a link whose other side has not proved who it is: nothing but a greeting is
 * looked at. Throws `PROTOCOL`.
 */
export function decodeGreeting(bytes: Uint8Array): GreetingFrame[] {
  if (bytes.length > greetingBytesMax) {
    const fact = `${bytes.length} bytes came before the other side proved who it is`;
    throw new KvorumError('PROTOCOL', `${fact}; a greeting has at most ${greetingBytesMax}`);
  }
  return decodeFrames(bytes, 'greeting', (positions) => greetingCodec.decode(positions));
}

function toWire(frame: PeerFrame): WireFrame {
  return frame.kind === 'raft' ? raftCodec.encode(frame.message) : otherCodec.encode(frame);
}

function fromWire(positions: WireArray): PeerFrame | undefined {
  const message = raftCodec.decode(positions);
  return message === undefined ? otherCodec.decode(positions) : { kind: 'raft', message };
}
