// A frame declared once: its number, its kind and its fields in the order of their positions give its type,
// its encoder, its checked decoder and its arity. The number of a frame and the meaning of its positions
// never change within a protocol version. A frame that is made very often may be encoded and decoded by hand
// beside its declaration; the declaration then still gives type and arity, and what both do must not differ.

import { assert } from '../base/assert.js';
import { checkArity } from './checks.js';
import { count, readerOf, row, type Fields, type ValuesOf } from './fields.js';
import { readHello, type Versions } from './versions.js';
import type { WireArray, WireFrame, WireValue } from './values.js';

export interface Frame<T extends Kinded> {
  /** Position 0. */
  readonly number: number;
  readonly kind: string;
  /** Positions, that of the number included. */
  readonly arity: number;
  readonly encode: (frame: T) => WireFrame;
  /** Throws `PROTOCOL`, naming what is wrong. */
  readonly decode: (positions: WireArray) => T;
  /** What a frame by hand was declared as. */
  readonly declared?: Frame<T>;
}

export interface Kinded {
  readonly kind: string;
}

/** One object type instead of an intersection, with the comments of its fields. */
type Flat<T> = { readonly [N in keyof T]: T[N] };
type Declared<K extends string, F extends Fields> = Flat<{ readonly kind: K } & ValuesOf<F>>;

/** The type that a declaration stands for. */
export type FrameOf<D> = D extends Frame<infer T> ? T : never;

export function frame<K extends string, F extends Fields>(
  number: number,
  kind: K,
  fields: F,
): Frame<Declared<K, F>> {
  const { width, push } = row('', fields);
  const read = readerOf('', fields);
  const arity = 1 + width;
  return {
    number,
    kind,
    arity,
    encode: (given) => {
      const positions: WireValue[] = [number];
      push(positions, given as unknown as ValuesOf<F>);
      return positions;
    },
    decode: (positions) => {
      checkArity(positions, arity, kind);
      return read({ kind }, positions, 1) as Declared<K, F>;
    },
  };
}

const versionFields = { protocolMin: count, protocolMax: count, formatLevelMax: count };

/** The first frame of a side: begins with its versions, and may be longer than this version knows. */
export function hello<F extends Fields>(
  number: number,
  fields: F,
): Frame<Flat<{ readonly kind: 'hello' } & Versions & ValuesOf<F>>> {
  type Hello = Flat<{ readonly kind: 'hello' } & Versions & ValuesOf<F>>;
  const { arity, encode } = frame(number, 'hello', { ...versionFields, ...fields });
  const read = readerOf('', fields);
  const first = arity - Object.keys(fields).length;
  return {
    number,
    kind: 'hello',
    arity,
    encode: encode as unknown as (given: Hello) => WireFrame,
    decode: (positions) =>
      readHello(positions, arity, (versions) => {
        return read({ kind: 'hello', ...versions }, positions, first) as Hello;
      }),
  };
}

/** A hot frame: `decode` is called with an array of the declared arity. */
export function byHand<T extends Kinded>(
  declared: Frame<T>,
  encode: (frame: NoInfer<T>) => WireFrame,
  decode: (positions: WireArray) => NoInfer<T>,
): Frame<T> {
  const { arity, kind } = declared;
  return {
    ...declared,
    encode,
    decode: (positions) => {
      checkArity(positions, arity, kind);
      return decode(positions);
    },
    declared,
  };
}

/** One declaration for each kind of a union. */
export type FrameTable<T extends Kinded> = {
  readonly [K in T['kind']]: Frame<Extract<T, { readonly kind: K }>>;
};

/** Encoder and decoder of a union of frames, found by kind and by number. */
export interface FrameCodec<T extends Kinded> {
  readonly encode: (frame: T) => WireFrame;
  /** `undefined` when position 0 is not the number of a frame of the union. */
  readonly decode: (positions: WireArray) => T | undefined;
}

export function frameCodec<T extends Kinded>(table: FrameTable<T>): FrameCodec<T> {
  const byKind = table as unknown as Readonly<Record<string, Frame<T>>>;
  const byNumber: (Frame<T> | undefined)[] = [];
  for (const declared of Object.values(byKind)) {
    const other = byNumber[declared.number];
    assert(other === undefined, `${declared.kind} and ${other?.kind} have one number`);
    byNumber[declared.number] = declared;
  }
  return {
    encode: (given) => (byKind[given.kind] as Frame<T>).encode(given),
    decode: (positions) => {
      const number = positions[0];
      return typeof number === 'number' ? byNumber[number]?.decode(positions) : undefined;
    },
  };
}
