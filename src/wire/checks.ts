// Checks of single positions of an unpacked frame. What the unpacker yields has the types its sender chose;
// nothing of it may be used before one of these has seen it. Every function takes the array, the position and
// the field's name, returns the value in its type, and throws `PROTOCOL` naming position, field, what was
// expected and what was there.

import { toByteString, type ByteString } from '../base/bytes.js';
import type { NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { kvLimits } from '../kv/commands.js';
import { isNodeId, nodeIdRule } from './node-id.js';
import { describe, type WireArray } from './values.js';

/** Throws `PROTOCOL` unless the array has exactly `length` positions. */
export function checkArity(frame: WireArray, length: number, name: string): void {
  if (frame.length === length) return;
  throw new KvorumError('PROTOCOL', `${name} must have ${length} positions, not ${frame.length}`);
}

/** An integer `min` .. `max`; without bounds 0 .. 2^53-1, as revisions, indexes and terms are. */
export function uintAt(
  frame: WireArray,
  position: number,
  name: string,
  max: number = Number.MAX_SAFE_INTEGER,
  min = 0,
): number {
  const value = frame[position];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
    return value + 0; // -0, which a float can carry, becomes 0
  }
  return refuse(position, name, `an integer ${min} .. ${max}`, value);
}

export function booleanAt(frame: WireArray, position: number, name: string): boolean {
  const value = frame[position];
  return typeof value === 'boolean' ? value : refuse(position, name, 'a boolean', value);
}

/** Binary of `min` .. `max` bytes. A view into the message, not a copy. */
export function bytesAt(frame: WireArray, position: number, name: string, max: number, min = 0): Uint8Array {
  const value = frame[position];
  if (value instanceof Uint8Array && value.length >= min && value.length <= max) return value;
  return refuse(position, name, `${min} .. ${max} bytes`, value);
}

/** A key of 1 .. 4,096 bytes. */
export function keyAt(frame: WireArray, position: number, name: string): ByteString {
  return toByteString(bytesAt(frame, position, name, kvLimits.keyBytesMax, 1));
}

/** Any text of at most `max` characters. */
export function textAt(frame: WireArray, position: number, name: string, max: number): string {
  const value = frame[position];
  if (typeof value === 'string' && value.length <= max) return value;
  return refuse(position, name, `text of at most ${max} characters`, value);
}

/** Text of `1` .. `max` printable ASCII characters. */
export function asciiAt(frame: WireArray, position: number, name: string, max: number): string {
  const value = frame[position];
  if (typeof value === 'string' && isPrintableAscii(value, max)) return value;
  return refuse(position, name, `1 .. ${max} printable ASCII characters`, value);
}

export function nodeIdAt(frame: WireArray, position: number, name: string): NodeId {
  const value = frame[position];
  if (typeof value === 'string' && isNodeId(value)) return value;
  return refuse(position, name, `a node id (${nodeIdRule})`, value);
}

/** Exactly `length` lower-case hexadecimal digits. */
export function hexAt(frame: WireArray, position: number, name: string, length: number): string {
  const value = frame[position];
  if (typeof value === 'string' && value.length === length && /^[0-9a-f]*$/.test(value)) return value;
  return refuse(position, name, `${length} hexadecimal digits`, value);
}

/** An array of at most `max` positions. */
export function arrayAt(frame: WireArray, position: number, name: string, max: number): WireArray {
  const value = frame[position];
  if (Array.isArray(value) && value.length <= max) return value as WireArray;
  return refuse(position, name, `an array of at most ${max}`, value);
}

/** A flat list of at most `itemsMax` items, each of `itemPositions` positions in a row. */
export function listAt(
  frame: WireArray,
  position: number,
  name: string,
  itemPositions: number,
  itemsMax: number,
): WireArray {
  const positions = arrayAt(frame, position, name, itemPositions * itemsMax);
  if (positions.length % itemPositions === 0) return positions;
  return refuse(position, name, `an array of ${itemPositions} positions for each item`, positions);
}

/** Whether `text` is 1 .. `max` printable ASCII characters. */
export function isPrintableAscii(text: string, max: number): boolean {
  if (text.length === 0 || text.length > max) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit > 0x7e) return false;
  }
  return true;
}

/** Throws `PROTOCOL` naming position and field, what was expected and what is there. */
export function refuse(position: number, name: string, expected: string, value: unknown): never {
  const message = `position ${position} (${name}) must be ${expected}, not ${describe(value)}`;
  throw new KvorumError('PROTOCOL', message, { details: { position, field: name } });
}
