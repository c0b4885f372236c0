// Checks of single positions of an unpacked frame. What the unpacker yields has the types its sender chose;
// nothing of it may be used before one of these has seen it. Every function takes the array, the position and
// the field's name, returns the value in its type, and throws `PROTOCOL` naming position, field, what was
// expected and what was there.

import { toByteString, type ByteString } from '../base/bytes.js';
import type { NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { kvLimits } from '../kv/commands.js';

/** An unpacked array: a frame, a record or a command. */
export type WireArray = readonly unknown[];

/** Bounds of single fields; part of the protocol. Lengths of text are in characters. */
export const fieldLimits = {
  nodeIdLengthMax: 64,
  clusterIdLengthMax: 64,
  addressLengthMax: 255,
  codeLengthMax: 64,
  /** Longer messages of errors are cut by the sender. */
  messageLengthMax: 1_024,
  versionLengthMax: 64,
  topicLengthMax: 64,
  membersMax: 64,
  /** A range may start just after a key of the greatest length, which takes one byte more. */
  rangeBoundBytesMax: kvLimits.keyBytesMax + 1,
} as const;

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

/** The start of a range: may be empty. */
export function rangeStartAt(frame: WireArray, position: number, name: string): ByteString {
  return toByteString(bytesAt(frame, position, name, fieldLimits.rangeBoundBytesMax));
}

/** The end of a range; nil: to the last key. */
export function rangeEndAt(frame: WireArray, position: number, name: string): ByteString | undefined {
  if (frame[position] === null) return undefined;
  return toByteString(bytesAt(frame, position, name, fieldLimits.rangeBoundBytesMax));
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
  return asciiAt(frame, position, name, fieldLimits.nodeIdLengthMax);
}

/** As `asciiAt`, or nil. */
export function optionalAsciiAt(
  frame: WireArray,
  position: number,
  name: string,
  max: number,
): string | undefined {
  return frame[position] === null ? undefined : asciiAt(frame, position, name, max);
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

/** One of a list of words, sent as its place in the list. */
export function wordAt<T extends string>(
  frame: WireArray,
  position: number,
  name: string,
  words: readonly T[],
): T {
  return words[uintAt(frame, position, name, words.length - 1)] as T;
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

function refuse(position: number, name: string, expected: string, value: unknown): never {
  const message = `position ${position} (${name}) must be ${expected}, not ${describe(value)}`;
  throw new KvorumError('PROTOCOL', message, { details: { position, field: name } });
}

/** What a value is, in few words and without its content when that may be long. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return `text of ${value.length} characters`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return `a ${typeof value}`;
}
