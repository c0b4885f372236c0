// Each check of a single position: what it takes at its bounds, and what it says otherwise.

import { nodeIds } from './node-ids.js';
import { describe, expect, it } from 'vitest';
import { arrayAt, asciiAt, booleanAt, bytesAt, hexAt, keyAt, listAt } from '../../src/wire/checks.js';
import { nodeIdAt, textAt, uintAt } from '../../src/wire/checks.js';
import { ascii, optional, rangeBound, word, type Field } from '../../src/wire/fields.js';
import { errorOf } from './arbitraries.js';

const of = (length: number) => new Uint8Array(length).fill(0xff);
const max = 2 ** 53 - 1;

type Check = (value: unknown) => unknown;
const at =
  <T>(check: (frame: readonly unknown[], position: number, name: string) => T): Check =>
  (value) =>
    check(['before', value, 'after'], 1, 'field');
const by = <T>(field: Field<T>): Check => at((frame, position, name) => field.read(frame, position, name));

const cases: { name: string; check: Check; good: unknown[]; bad: unknown[] }[] = [
  {
    name: 'integers',
    check: at(uintAt),
    good: [0, 1, 2 ** 32, max],
    bad: [-1, 0.5, max + 1, NaN, Infinity, 1n, '1', null, undefined, true, [], of(1)],
  },
  {
    name: 'integers with bounds',
    check: at((frame, position, name) => uintAt(frame, position, name, 9, 2)),
    good: [2, 9],
    bad: [1, 10],
  },
  { name: 'booleans', check: at(booleanAt), good: [true, false], bad: [0, 1, null, 'true'] },
  {
    name: 'bytes',
    check: at((frame, position, name) => bytesAt(frame, position, name, 3, 1)),
    good: [of(1), of(3)],
    bad: [of(0), of(4), 'abc', [1, 2], null],
  },
  { name: 'keys', check: at(keyAt), good: [of(1), of(4_096)], bad: [of(0), of(4_097), 'key', null] },
  { name: 'range starts', check: by(rangeBound), good: [of(0), of(4_097)], bad: [of(4_098), null, ''] },
  {
    name: 'range ends',
    check: by(optional(rangeBound)),
    good: [of(0), of(4_097), null],
    bad: [of(4_098), undefined, ''],
  },
  {
    name: 'texts',
    check: at((frame, position, name) => textAt(frame, position, name, 3)),
    good: ['', 'äöü', '\0'],
    bad: ['four', null, of(1)],
  },
  {
    name: 'ASCII',
    check: at((frame, position, name) => asciiAt(frame, position, name, 3)),
    good: ['a', ' ~!'],
    bad: ['', 'four', 'ü', '\x7f', '\n', '\x1f', null, of(1)],
  },
  { name: 'node ids', check: at(nodeIdAt), good: [...nodeIds.good], bad: [...nodeIds.bad, 1, null] },
  {
    name: 'optional ASCII',
    check: by(optional(ascii(3))),
    good: ['a', null],
    bad: ['', undefined, 'four', 0],
  },
  {
    name: 'hexadecimal',
    check: at((frame, position, name) => hexAt(frame, position, name, 4)),
    good: ['0af9'],
    bad: ['0AF9', '0af', '0af90', 'ghij', '0af\n', 1],
  },
  {
    name: 'arrays',
    check: at((frame, position, name) => arrayAt(frame, position, name, 2)),
    good: [[], [1, 2]],
    bad: [[1, 2, 3], of(1), 'a', null, {}],
  },
  {
    name: 'lists',
    check: at((frame, position, name) => listAt(frame, position, name, 2, 2)),
    good: [[], [1, 2], [1, 2, 3, 4]],
    bad: [[1], [1, 2, 3], [1, 2, 3, 4, 5, 6]],
  },
  {
    name: 'words',
    check: by(word({ b: 1, a: 0 })),
    good: [0, 1],
    bad: [2, -1, 'a', null],
  },
];

describe.each(cases)('$name', ({ check, good, bad }) => {
  it('are taken', () => {
    for (const value of good) expect(errorOf(() => check(value))).toBeUndefined();
  });

  it('are refused, with position, field and what was there', () => {
    for (const value of bad) {
      const error = errorOf(() => check(value));
      expect(error?.code, String(value)).toBe('PROTOCOL');
      expect(error?.message).toMatch(/^position 1 \(field\) must be .+, not .+$/);
      expect(error?.details).toEqual({ position: 1, field: 'field' });
    }
  });
});

describe('a number', () => {
  it('of minus zero becomes zero', () => {
    expect(Object.is(uintAt([-0], 0, 'field'), 0)).toBe(true);
  });
});

describe('words', () => {
  it('go by the numbers that they were given, which must be 0, 1, 2 and so on', () => {
    const field = word({ b: 1, a: 0 });
    expect([field.write('a'), field.write('b')]).toEqual([0, 1]);
    expect([field.read([0], 0, 'field'), field.read([1], 0, 'field')]).toEqual(['a', 'b']);
    const wrong: Record<string, number>[] = [{ a: 1 }, { a: 0, b: 2 }, { a: 0, b: 0 }, { a: -1, b: 0 }];
    for (const numbers of wrong) {
      expect(() => word(numbers)).toThrow('the numbers of words');
    }
  });
});
