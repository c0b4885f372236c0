// The gate for untrusted msgpack bytes: one linear pass that proves, before anything is unpacked, that the
// decoder cannot overflow its stack, allocate by a lying length or build anything but arrays of plain values.
// The bytes of binaries and strings are skipped, not read. Must never allocate in proportion to what the
// input claims, and never accept what the decoder would turn into an object: maps, extensions and 0xC1.
// Source: the msgpack specification; the decoder's weak spots are listed with the tests.

import { KvorumError } from '../base/errors.js';
import { wireLimits } from './limits.js';

/** Elements still to come in each array that is open, outermost first; used only while `scan` runs. */
const openArrays = new Float64Array(wireLimits.depthMax + 1);

/**
 * Throws `PROTOCOL`, saying what is wrong and at which offset, unless the bytes from `start` to `end` are
 * exactly one msgpack value of nil, booleans, numbers, strings, binaries and arrays, within
 * `wireLimits.depthMax` and `wireLimits.elementsMax`.
 */
export function scan(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
  let offset = start;
  let elements = 0;
  let depth = 0;
  let left = 1;
  for (;;) {
    while (left === 0) {
      if (depth === 0) {
        if (offset !== end) refuse(`${end - offset} bytes too many`, offset);
        return;
      }
      depth--;
      left = openArrays[depth] as number;
    }
    left--;
    if (offset >= end) refuse('the end, where a value should begin', offset);
    if (++elements > wireLimits.elementsMax) refuse(`more than ${wireLimits.elementsMax} values`, offset);
    const token = bytes[offset] as number;
    if (token < 0x80 || token >= 0xe0) {
      offset++;
      continue;
    }
    const children =
      token < 0xc0 ? shortArrayLength(token, offset) : longArrayLength(bytes, token, offset, end);
    if (children < 0) {
      const next = offset + (token < 0xc0 ? 1 + (token & 0x1f) : scalarBytes(bytes, token, offset, end));
      if (next > end) refuse(`a value that needs ${next - end} bytes more than there are`, offset);
      offset = next;
      continue;
    }
    const header = offset;
    offset += token < 0xc0 ? 1 : token === 0xdc ? 3 : 5;
    // Every element takes at least a byte, so a longer array cannot be in the rest of the input.
    if (children > end - offset) refuse(`an array of ${children} in ${end - offset} bytes`, header);
    openArrays[depth++] = left;
    if (depth > wireLimits.depthMax) refuse(`arrays nested deeper than ${wireLimits.depthMax}`, header);
    left = children;
  }
}

/** For a token 0x80 .. 0xBF: the length of a short array, -1 for a short string. */
function shortArrayLength(token: number, offset: number): number {
  if (token < 0x90) refuse('a map', offset);
  return token < 0xa0 ? token - 0x90 : -1;
}

/** For a token 0xC0 .. 0xDF: the length of an array, -1 for anything that is none. */
function longArrayLength(bytes: Uint8Array, token: number, offset: number, end: number): number {
  if (token === 0xdc) return uint16(bytes, offset + 1, end);
  if (token === 0xdd) return uint32(bytes, offset + 1, end);
  return -1;
}

/**
 * The bytes of the value that starts at `offset` with a token 0xC0 .. 0xDF other than an array's, token
 * included.
 */
function scalarBytes(bytes: Uint8Array, token: number, offset: number, end: number): number {
  switch (token) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return 1;
    case 0xc4:
    case 0xd9:
      return 2 + uint8(bytes, offset + 1, end);
    case 0xc5:
    case 0xda:
      return 3 + uint16(bytes, offset + 1, end);
    case 0xc6:
    case 0xdb:
      return 5 + uint32(bytes, offset + 1, end);
    case 0xcc:
    case 0xd0:
      return 2;
    case 0xcd:
    case 0xd1:
      return 3;
    case 0xca:
    case 0xce:
    case 0xd2:
      return 5;
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 9;
    case 0xc1:
      return refuse('the reserved byte 0xC1', offset);
    case 0xde:
    case 0xdf:
      return refuse('a map', offset);
    default:
      return refuse('an extension type', offset);
  }
}

function uint8(bytes: Uint8Array, offset: number, end: number): number {
  if (offset >= end) refuse('the end inside a length', offset);
  return bytes[offset] as number;
}

function uint16(bytes: Uint8Array, offset: number, end: number): number {
  if (offset + 2 > end) refuse('the end inside a length', offset);
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}

function uint32(bytes: Uint8Array, offset: number, end: number): number {
  if (offset + 4 > end) refuse('the end inside a length', offset);
  return uint16(bytes, offset, end) * 0x1_0000 + uint16(bytes, offset + 2, end);
}

/**
 * Of an array that `scan` has passed, its elements; -1 for what is no array. The first one is at
 * `firstElement`.
 */
export function arrayLength(bytes: Uint8Array, offset: number): number {
  const token = bytes[offset] as number;
  if (token >= 0x90 && token < 0xa0) return token - 0x90;
  return longArrayLength(bytes, token, offset, bytes.length);
}

/** Where the elements of the array at `offset` begin. */
export function firstElement(bytes: Uint8Array, offset: number): number {
  const token = bytes[offset] as number;
  return offset + (token < 0xa0 ? 1 : token === 0xdc ? 3 : 5);
}

/** Where the value at `offset`, which `scan` has passed, ends; -1 for an array. */
export function scalarEnd(bytes: Uint8Array, offset: number): number {
  const token = bytes[offset] as number;
  if (token < 0x80 || token >= 0xe0) return offset + 1;
  if (token < 0xc0) return token < 0xa0 ? -1 : offset + 1 + (token & 0x1f);
  if (token === 0xdc || token === 0xdd) return -1;
  return offset + scalarBytes(bytes, token, offset, bytes.length);
}

/** Bytes of the binary at `offset`, which `scan` has passed; -1 for what is none. */
export function binaryLength(bytes: Uint8Array, offset: number): number {
  switch (bytes[offset]) {
    case 0xc4:
      return uint8(bytes, offset + 1, bytes.length);
    case 0xc5:
      return uint16(bytes, offset + 1, bytes.length);
    case 0xc6:
      return uint32(bytes, offset + 1, bytes.length);
    default:
      return -1;
  }
}

export function isNil(bytes: Uint8Array, offset: number): boolean {
  return bytes[offset] === 0xc0;
}

const float = new DataView(new ArrayBuffer(8));

/**
 * The number at `offset`, which `scan` has passed, in whichever of its encodings; -1 for a negative one and
 * for what is no number.
 */
export function numberIn(bytes: Uint8Array, offset: number): number {
  const token = bytes[offset] as number;
  if (token < 0x80) return token;
  const { length } = bytes;
  switch (token) {
    case 0xcc:
      return uint8(bytes, offset + 1, length);
    case 0xcd:
      return uint16(bytes, offset + 1, length);
    case 0xce:
      return uint32(bytes, offset + 1, length);
    case 0xcf:
      return uint32(bytes, offset + 1, length) * 2 ** 32 + uint32(bytes, offset + 5, length);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      // The unsigned encoding of the same width, unless its sign is set.
      return (bytes[offset + 1] as number) >= 0x80 ? -1 : unsignedIn(bytes, token, offset + 1);
    case 0xca:
    case 0xcb:
      return floatIn(bytes, token, offset + 1);
    default:
      return -1;
  }
}

function unsignedIn(bytes: Uint8Array, token: number, offset: number): number {
  let value = 0;
  for (let i = 0; i < 1 << (token - 0xd0); i++) value = value * 256 + (bytes[offset + i] as number);
  return value;
}

function floatIn(bytes: Uint8Array, token: number, offset: number): number {
  const isDouble = token === 0xcb;
  for (let i = 0; i < (isDouble ? 8 : 4); i++) float.setUint8(i, bytes[offset + i] as number);
  const value = isDouble ? float.getFloat64(0) : float.getFloat32(0);
  return value >= 0 ? value : -1;
}

function refuse(what: string, offset: number): never {
  throw new KvorumError('PROTOCOL', `malformed message: ${what} at byte ${offset}`, { details: { offset } });
}
