// Messages from clients to a node. Used by both sides: the library packs, the node unpacks.

import { decodeFrames, packMessage } from '../codec.js';
import { frameCodec, unknownFrame } from '../frame.js';
import type { WireArray } from '../values.js';
import { clientFrames, type ClientFrame } from './requests.js';

const codec = frameCodec<ClientFrame>(clientFrames);

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodeClientFrames(frames: readonly ClientFrame[]): Uint8Array {
  return packMessage(frames.map(codec.encode));
}

/** The frames of a message. Commands are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodeClientFrames(bytes: Uint8Array): ClientFrame[] {
  return decodeFrames(bytes, fromWire);
}

function fromWire(positions: WireArray): ClientFrame {
  const decoded = codec.decode(positions);
  if (decoded === undefined) throw unknownFrame('client', positions);
  return decoded;
}
