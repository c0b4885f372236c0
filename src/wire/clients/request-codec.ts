// Messages from clients to a node. Used by both sides: the library packs, the node unpacks.

import { decodeFrames, packMessage } from '../codec.js';
import { frameCodec } from '../frame.js';
import { clientFrames, type ClientFrame } from './requests.js';

const codec = frameCodec<ClientFrame>(clientFrames);

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodeClientFrames(frames: readonly ClientFrame[]): Uint8Array {
  return packMessage(frames.map(codec.encode));
}

/** The frames of a message. Commands are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodeClientFrames(bytes: Uint8Array): ClientFrame[] {
  return decodeFrames(bytes, 'client', codec.decode);
}
