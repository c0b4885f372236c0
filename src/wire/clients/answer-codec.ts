// Messages from a node to its clients. Used by both sides: the node packs, the library unpacks. The library
// trusts a node no further than a node trusts a client: every position is checked here too.

import { decodeFrames, packMessage, packMessages } from '../codec.js';
import { frameCodec } from '../frame.js';
import { serverFrames, type ServerFrame } from './answers.js';

const codec = frameCodec<ServerFrame>(serverFrames);

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodeServerFrames(frames: readonly ServerFrame[]): Uint8Array {
  return packMessage(frames.map(codec.encode));
}

/**
 * As many messages as the frames need to stay near `messageBytesTarget`. Throws `TOO_LARGE` for a single
 * frame.
 */
export function encodeServerMessages(frames: readonly ServerFrame[]): Uint8Array[] {
  return packMessages(frames.map(codec.encode));
}

/** The frames of a message. Values are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodeServerFrames(bytes: Uint8Array): ServerFrame[] {
  return decodeFrames(bytes, 'server', codec.decode);
}
