// Values to bytes and back: the one msgpackr instance, and what is common to the frames of all protocols.
// Must never unpack what `scan` has not passed, and never give out bytes that a later call overwrites or that
// keep a larger buffer alive. What is encoded here is within the limits that the other side enforces: a
// message that would be refused for ever must fail where it is made, not close the connection again and
// again.

import { RESET_BUFFER_MODE, Packr } from 'msgpackr/pack';
import { asBuffer } from '../base/bytes.js';
import { KvorumError } from '../base/errors.js';
import { wireLimits } from './limits.js';
import { scan } from './scan.js';
import { describe, type WireArray, type WireFrame, type WireValue } from './values.js';

// Positional arrays without records: the bytes then depend on the value alone, not on what was packed before.
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: false,
  int64AsType: 'number',
  encodeUndefinedAsNil: true,
  copyBuffers: false,
  useToJSON: false,
});

/**
 * Above this the packer's grown buffer is given up after use, so that one large value does not stay for ever.
 */
const scratchBytesMax = 1_048_576;

/**
 * The value as msgpack, in bytes of its own. The packer works in one buffer that is used again and the result
 * is copied out of it: measured as fast as handing out views into the packer's slabs, without pinning a slab
 * per view.
 */
export function packValue(value: WireValue): Uint8Array {
  const bytes = Buffer.from(packr.pack(value, RESET_BUFFER_MODE));
  if (bytes.length > scratchBytesMax) packr.useBuffer(Buffer.allocUnsafeSlow(65_536));
  return bytes;
}

/**
 * The one array that `bytes` are. Binaries in it are views into `bytes`. Throws `PROTOCOL` for anything else.
 */
export function unpackArray(bytes: Uint8Array): WireArray {
  scan(bytes);
  let value: unknown;
  try {
    value = packr.unpack(asBuffer(bytes));
  } catch (error) {
    throw new KvorumError('PROTOCOL', 'malformed message: it cannot be unpacked', { cause: error });
  }
  if (Array.isArray(value)) return value as WireArray;
  throw new KvorumError('PROTOCOL', `malformed message: expected an array, not ${describe(value)}`);
}

/**
 * One message of all frames. Throws `TOO_LARGE` when it is over what receivers accept; only frames that were
 * bounded before, or few of them, belong here: otherwise use `packMessages`.
 */
export function packMessage(frames: readonly WireFrame[]): Uint8Array {
  let values = 1;
  for (const frame of frames) values += countValues(frame);
  checkSize(values, wireLimits.elementsMax, 'values');
  const bytes = packValue(frames);
  checkSize(bytes.length, wireLimits.messageBytesMax, 'bytes');
  return bytes;
}

/**
 * The frames in order, in as few messages as keep to `messageBytesTarget`; a larger frame gets a message of
 * its own. Throws `TOO_LARGE` when a single frame is over what receivers accept.
 */
export function packMessages(frames: readonly WireFrame[]): Uint8Array[] {
  const messages: Uint8Array[] = [];
  let first = 0;
  let bytes = 0;
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i] as WireFrame;
    const frameBytes = estimateBytes(frame);
    if (i > first && bytes + frameBytes > wireLimits.messageBytesTarget) {
      messages.push(packMessage(frames.slice(first, i)));
      first = i;
      bytes = 0;
    }
    bytes += frameBytes;
  }
  if (first < frames.length) messages.push(packMessage(first === 0 ? frames : frames.slice(first)));
  return messages;
}

/**
 * Unpacks a message of the protocol `name` and decodes each of its frames; `decode` gives `undefined` for a
 * number that it does not know. Throws `PROTOCOL` with the number of the frame, from 0, and what is wrong in
 * it; nothing of such a message is given out.
 */
export function decodeFrames<T>(
  bytes: Uint8Array,
  name: string,
  decode: (frame: WireArray) => T | undefined,
): T[] {
  const frames = unpackArray(bytes);
  const decoded: T[] = [];
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i];
    try {
      if (!Array.isArray(frame))
        throw new KvorumError('PROTOCOL', `expected an array, not ${describe(frame)}`);
      const positions = frame as WireArray;
      decoded.push(decode(positions) ?? unknownFrame(name, positions));
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      throw new KvorumError(error.code, `malformed message: frame ${i}: ${error.message}`, {
        details: { ...error.details, frame: i },
      });
    }
  }
  return decoded;
}

function unknownFrame(name: string, positions: WireArray): never {
  const message = `position 0 is not the number of a ${name} frame: ${describe(positions[0])}`;
  throw new KvorumError('PROTOCOL', message);
}

function checkSize(size: number, max: number, unit: string): void {
  if (size <= max) return;
  const message = `a message of ${size} ${unit} is over the limit of ${max}; send fewer frames at once`;
  throw new KvorumError('TOO_LARGE', message, { details: { size, max, unit } });
}

/** Values in a frame, itself included, as `scan` counts them. */
function countValues(frame: WireFrame): number {
  let values = 1 + frame.length;
  for (const value of frame) {
    if (Array.isArray(value)) values += countValues(value as WireFrame) - 1;
  }
  return values;
}

/**
 * At least the bytes that a frame packs to, and at least 5 for every value: so frames that keep to
 * `messageBytesTarget` keep to `elementsMax` as well.
 */
function estimateBytes(frame: WireFrame): number {
  let bytes = 5;
  for (const value of frame) {
    if (typeof value === 'string') bytes += 5 + 3 * value.length;
    else if (value instanceof Uint8Array) bytes += 5 + value.length;
    else if (Array.isArray(value)) bytes += estimateBytes(value as WireFrame);
    else bytes += 9;
  }
  return bytes;
}
