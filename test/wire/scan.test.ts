// The scan before unpacking: what it lets through and what it refuses, and where.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wireLimits } from '../../src/wire/limits.js';
import { scan } from '../../src/wire/scan.js';
import { packValue, unpackArray } from '../../src/wire/codec.js';
import type { WireValue } from '../../src/wire/values.js';
import { errorOf, plain, runs } from './arbitraries.js';

const { depthMax, elementsMax } = wireLimits;
const refusal = (...bytes: number[]) => errorOf(() => scan(Uint8Array.from(bytes)));
const nested = (depth: number) => Uint8Array.from([...new Array<number>(depth).fill(0x91), 0xc0]);

describe('scan', () => {
  it.each([
    ['nil', [0xc0]],
    ['booleans', [0x92, 0xc2, 0xc3]],
    ['small integers', [0x93, 0x00, 0x7f, 0xff]],
    ['unsigned integers', [0x94, 0xcc, 1, 0xcd, 1, 2, 0xce, 1, 2, 3, 4, 0xcf, 1, 2, 3, 4, 5, 6, 7, 8]],
    ['signed integers', [0x94, 0xd0, 1, 0xd1, 1, 2, 0xd2, 1, 2, 3, 4, 0xd3, 1, 2, 3, 4, 5, 6, 7, 8]],
    ['floats', [0x92, 0xca, 1, 2, 3, 4, 0xcb, 1, 2, 3, 4, 5, 6, 7, 8]],
    ['strings', [0x94, 0xa1, 65, 0xd9, 1, 65, 0xda, 0, 1, 65, 0xdb, 0, 0, 0, 1, 65]],
    ['binaries', [0x93, 0xc4, 1, 0xc1, 0xc5, 0, 1, 0xc1, 0xc6, 0, 0, 0, 1, 0xc1]],
    ['arrays', [0x93, 0x90, 0xdc, 0, 1, 0xc0, 0xdd, 0, 0, 0, 1, 0xc0]],
  ])('passes %s', (_name, bytes) => {
    expect(refusal(...bytes)).toBeUndefined();
  });

  it.each([
    ['the reserved byte 0xC1', [0x92, 0x00, 0xc1], 2],
    ['a map', [0x91, 0x80], 1],
    ['a map', [0x91, 0x8f], 1],
    ['a map', [0xde, 0, 0], 0],
    ['a map', [0xdf, 0, 0, 0, 0], 0],
    ['an extension', [0x91, 0xc7, 0, 1], 1],
    ['an extension', [0xc8, 0, 0, 1], 0],
    ['an extension', [0xc9, 0, 0, 0, 0, 1], 0],
    ['an extension', [0xd4, 1, 1], 0],
    ['an extension', [0xd5, 1, 1, 1], 0],
    ['an extension', [0xd6, 1, 1, 1, 1, 1], 0],
    ['an extension', [0xd7, 1, 1, 1, 1, 1, 1, 1, 1, 1], 0],
    ['an extension', [0xd8, ...new Array<number>(17).fill(1)], 0],
    ['bytes too many', [0xc0, 0xc0], 1],
    ['the end', [], 0],
    ['the end', [0x92, 0x91, 0xc0], 3],
    ['more than there are', [0xa2, 65], 0],
    ['more than there are', [0xc4, 2, 0], 0],
    ['more than there are', [0xc6, 0xff, 0xff, 0xff, 0xff, 0], 0],
    ['more than there are', [0xdb, 0xff, 0xff, 0xff, 0xff, 0], 0],
    ['more than there are', [0xcb, 0, 0, 0, 0, 0, 0, 0], 0],
    ['inside a length', [0xc5, 1], undefined],
    ['inside a length', [0xdd, 0, 0, 0], undefined],
    ['an array of 65535', [0xdc, 0xff, 0xff, 0], 0],
    ['an array of 4294967295', [0xdd, 0xff, 0xff, 0xff, 0xff, 0], 0],
  ])('refuses %s in %j', (what, bytes, offset) => {
    const error = refusal(...bytes);
    expect(error?.code).toBe('PROTOCOL');
    expect(error?.message).toContain(what);
    expect(error?.message).toContain('at byte');
    if (offset !== undefined) expect(error?.details['offset']).toBe(offset);
  });

  it('passes the greatest depth and refuses one more', () => {
    expect(errorOf(() => scan(nested(depthMax)))).toBeUndefined();
    expect(errorOf(() => scan(nested(depthMax + 1)))?.message).toContain(`deeper than ${depthMax}`);
    expect(errorOf(() => scan(nested(4_000_000)))?.message).toContain(`deeper than ${depthMax}`);
  });

  it('passes the greatest number of values and refuses one more', () => {
    const array = (length: number) => packValue(new Array<WireValue>(length).fill(0));
    expect(errorOf(() => scan(array(elementsMax - 1)))).toBeUndefined();
    expect(errorOf(() => scan(array(elementsMax)))?.message).toContain(`more than ${elementsMax} values`);
    // Also when they are spread over many arrays.
    const rows = new Array<WireValue>(1_000).fill(new Array<WireValue>(100).fill(1));
    expect(errorOf(() => scan(packValue(rows)))?.message).toContain(`more than ${elementsMax} values`);
  });

  it('passes whatever is packed, which then unpacks to the same', () => {
    const { value } = fc.letrec<{ value: WireValue }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.oneof(fc.constant(null), fc.boolean(), fc.maxSafeNat(), fc.string(), fc.uint8Array()),
        fc.array(tie('value'), { maxLength: 20 }),
      ) as fc.Arbitrary<WireValue>,
    }));
    fc.assert(
      fc.property(fc.array(value), (values) => {
        const depth = (item: WireValue): number =>
          Array.isArray(item) ? 1 + Math.max(0, ...(item as WireValue[]).map(depth)) : 0;
        fc.pre(depth(values) <= depthMax);
        expect(plain(unpackArray(packValue(values)))).toEqual(plain(values));
      }),
      runs,
    );
  });

  it('never passes what the unpacker then fails on, for any bytes', () => {
    const token = fc.oneof(
      fc.constantFrom(0x91, 0x92, 0x93, 0xc0, 0xc4, 0xd9, 0xdc, 0xcb, 0xcf, 0xa1, 0x40, 0x7f),
      fc.integer({ min: 0, max: 255 }),
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 60 }), (bytes) => {
        const input = Uint8Array.from(bytes);
        if (errorOf(() => scan(input)) !== undefined) return;
        const error = errorOf(() => unpackArray(input));
        if (error !== undefined) expect(error.message).toContain('expected an array');
      }),
      { numRuns: 3_000 },
    );
  });

  it('skips the content of binaries and strings instead of reading it', () => {
    const message = packValue([new Uint8Array(1_000_000).fill(0xc1), 'x'.repeat(1_000_000), 1]);
    let reads = 0;
    const counted = new Proxy(message, {
      get: (target, name) => {
        if (name !== 'length') reads++;
        return Reflect.get(target, name, target) as unknown;
      },
    });
    scan(counted);
    expect(reads).toBeLessThan(30);
  });
});
