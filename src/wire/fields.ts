// What a position of a frame can hold: each kind of field is declared once, with how it is written and how it
// is read and checked. Reading throws `PROTOCOL` naming position, field, what was expected and what is there;
// writing checks nothing, but cuts texts that may be cut. A bound given here is one that receivers enforce.

import { fromByteString, toByteString, type ByteString } from '../base/bytes.js';
import { assert } from '../base/assert.js';
import type { NodeId } from '../base/env.js';
import { kvLimits } from '../kv/commands.js';
import { arrayAt, asciiAt, booleanAt, bytesAt, checkArity, hexAt, keyAt, listAt } from './checks.js';
import { nodeIdAt, textAt, uintAt } from './checks.js';
import { fieldLimits } from './limits.js';
import type { WireArray, WireValue } from './values.js';

/** One position of a frame. */
export interface Field<T> {
  write(value: T): WireValue;
  read(frame: WireArray, position: number, name: string): T;
}

/** Several positions in a row: what a frame, a record or an item of a list holds. */
export interface Row<T> {
  readonly width: number;
  push(into: WireValue[], value: T): void;
  read(list: WireArray, first: number): T;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type ValueOf<F> = F extends Field<infer T> ? T : never;
/** What a row of the fields holds. */
export type ValuesOf<F extends Fields> = { readonly [N in keyof F]: ValueOf<F[N]> };

const asIs = <T extends WireValue>(value: T): WireValue => value;

/** An integer `min` .. `max`; without bounds 0 .. 2^53-1. */
export function uint(max: number = Number.MAX_SAFE_INTEGER, min = 0): Field<number> {
  return { write: asIs, read: (frame, position, name) => uintAt(frame, position, name, max, min) };
}

/** As `uint` without bounds. */
export const count: Field<number> = uint();
/** From 1. */
export const positive: Field<number> = uint(Number.MAX_SAFE_INTEGER, 1);

export const boolean: Field<boolean> = { write: asIs, read: booleanAt };

/** `min` .. `max` bytes; what is read is a view into the message. */
export function bytes(max: number, min = 0): Field<Uint8Array> {
  return { write: asIs, read: (frame, position, name) => bytesAt(frame, position, name, max, min) };
}

export function byteString(max: number, min = 0): Field<ByteString> {
  return {
    write: fromByteString,
    read: (frame, position, name) => toByteString(bytesAt(frame, position, name, max, min)),
  };
}

export const key: Field<ByteString> = { write: fromByteString, read: keyAt };
export const value: Field<Uint8Array> = bytes(kvLimits.valueBytesMax);

/** Start of a range, which may be empty, or its exclusive end. */
export const rangeBound: Field<ByteString> = byteString(fieldLimits.rangeBoundBytesMax);

/** Text for people; what is over `max` characters is cut by the sender. */
export function text(max: number): Field<string> {
  return {
    write: (words) => words.slice(0, max),
    read: (frame, position, name) => textAt(frame, position, name, max),
  };
}

export function ascii(max: number): Field<string> {
  return { write: asIs, read: (frame, position, name) => asciiAt(frame, position, name, max) };
}

/** A hash or an id in lower case. */
export function hex(digits: number): Field<string> {
  return { write: asIs, read: (frame, position, name) => hexAt(frame, position, name, digits) };
}

export const nodeId: Field<NodeId> = { write: asIs, read: nodeIdAt };
export const clusterId: Field<string> = ascii(fieldLimits.clusterIdLengthMax);
export const message: Field<string> = text(fieldLimits.messageLengthMax);

/** Nil for `undefined`. */
export function optional<T>(field: Field<T>): Field<T | undefined> {
  return {
    write: (given) => (given === undefined ? undefined : field.write(given)),
    read: (frame, position, name) =>
      frame[position] === null ? undefined : field.read(frame, position, name),
  };
}

/** As `clusterId`; the empty id of a node whose cluster is not formed yet is sent as nil. */
export const clusterIdOrEmpty: Field<string> = {
  write: (id) => (id === '' ? undefined : id),
  read: (frame, position, name) => (frame[position] === null ? '' : clusterId.read(frame, position, name)),
};

/** One of some words, sent as its number; the numbers are 0, 1, 2 and so on. */
export function word<W extends string>(numbers: Readonly<Record<W, number>>): Field<W> {
  const words: W[] = [];
  for (const name in numbers) words[numbers[name]] = name;
  const isDense = words.length === Object.keys(numbers).length && !words.includes(undefined as never);
  assert(isDense, `the numbers of words must be 0, 1, 2 and so on: ${Object.keys(numbers).join(', ')}`);
  return {
    write: (name) => numbers[name],
    read: (frame, position, name) => words[uintAt(frame, position, name, words.length - 1)] as W,
  };
}

/** The fields one after the other. `label` stands before their names in errors; empty: nothing does. */
export function row<F extends Fields>(label: string, fields: F): Row<ValuesOf<F>> {
  const read = readerOf(label, fields);
  const entries = Object.entries(fields);
  return {
    width: entries.length,
    push: (into, values: Readonly<Record<string, unknown>>) => {
      for (const [name, field] of entries) into.push(field.write(values[name]));
    },
    read: (list, first) => read({}, list, first) as ValuesOf<F>,
  };
}

/** Reads the fields into an object. */
export function readerOf(
  label: string,
  fields: Fields,
): (into: Record<string, unknown>, list: WireArray, first: number) => Record<string, unknown> {
  const names = Object.keys(fields);
  const list = Object.values(fields);
  const labels = names.map((name) => (label === '' ? name : `${label}, ${name}`));
  return (into, positions, first) => {
    for (let i = 0; i < list.length; i++) {
      const name = names[i] as string;
      into[name] = (list[i] as Field<unknown>).read(positions, first + i, labels[i] as string);
    }
    return into;
  };
}

/** A row in an array of its own. */
export function nested<T>(item: Row<T>): Field<T> {
  return {
    write: (given) => {
      const positions: WireValue[] = [];
      item.push(positions, given);
      return positions;
    },
    read: (frame, position, name) => {
      const positions = arrayAt(frame, position, name, Number.MAX_SAFE_INTEGER);
      checkArity(positions, item.width, name);
      return item.read(positions, 0);
    },
  };
}

/** At most `max` rows, all in one array. */
export function listOf<T>(item: Row<T>, max: number): Field<readonly T[]> {
  return {
    write: (items) => {
      const positions: WireValue[] = [];
      for (const given of items) item.push(positions, given);
      return positions;
    },
    read: (frame, position, name) => {
      const positions = listAt(frame, position, name, item.width, max);
      const items: T[] = [];
      for (let i = 0; i < positions.length; i += item.width) items.push(item.read(positions, i));
      return items;
    },
  };
}

/** At most `max` values of one field, in one array. */
export function arrayOf<T>(field: Field<T>, max: number): Field<readonly T[]> {
  return {
    write: (items) => items.map((item) => field.write(item)),
    read: (frame, position, name) => {
      const positions = arrayAt(frame, position, name, max);
      return positions.map((_, i) => field.read(positions, i, name));
    },
  };
}
