// The words in which the shape of a plan file is said: a check looks at one value and refuses it with its
// path. A shape has one check per field of a type, and the compiler sees to it that none is forgotten.

import { toBytes } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';

/** Throws INVALID_ARGUMENT, with `path`, when the value is not what it should be. */
export type Check = (value: unknown, path: string) => void;

/** One check for each field, also for those that may be absent. */
export type FieldChecks<T> = { readonly [Field in keyof T]-?: Check };

/** Throws: what is at `path` is wrong. */
export function refuse(path: string, problem: string): never {
  throw new KvorumError('INVALID_ARGUMENT', `the plan is wrong: ${path} ${problem}`, { details: { path } });
}

/** `faults[3].untilMs` from `faults[3]` and `untilMs`. */
export function path(parent: string, field: string): string {
  return parent === '' ? field : `${parent}.${field}`;
}

/** An object with these fields and no others. */
export function objectOf<T extends object>(shape: FieldChecks<T>): Check {
  const checks = new Map<string, Check>(Object.entries(shape));
  return (value, where) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      refuse(where, `is ${shown(value)}, not an object`);
    }
    const fields = value as Readonly<Record<string, unknown>>;
    for (const [field, check] of checks) {
      if (Object.hasOwn(fields, field)) check(fields[field], path(where, field));
      else if (!optionals.has(check)) refuse(path(where, field), 'is missing');
    }
    const unknown = Object.keys(fields).find((field) => !checks.has(field));
    if (unknown !== undefined) {
      refuse(path(where, unknown), `is not known; the fields are ${[...checks.keys()].join(', ')}`);
    }
  };
}

export function list(check: Check, lengthMax = Number.POSITIVE_INFINITY): Check {
  return (value, where) => {
    if (!Array.isArray(value)) refuse(where, `is ${shown(value)}, not a list`);
    if (value.length > lengthMax) {
      refuse(where, `has ${value.length} items, the limit is ${lengthMax}`);
    }
    for (const [i, item] of value.entries()) check(item, `${where}[${i}]`);
  };
}

const optionals = new WeakSet<Check>();

/** The field may be absent. */
export function optional(check: Check): Check {
  const copy: Check = (value, where) => check(value, where);
  optionals.add(copy);
  return copy;
}

/** One of the words of a union; a word that is added does not compile before it stands here. */
export function oneOf<Word extends string>(known: Readonly<Record<Word, 1>>): Check {
  const words = Object.keys(known);
  return (value, where) => {
    if (typeof value !== 'string' || !words.includes(value)) {
      refuse(where, `is ${shown(value)}, not one of ${words.join(', ')}`);
    }
  };
}

export const text: Check = (value, where) => {
  if (typeof value !== 'string' || value === '') refuse(where, `is ${shown(value)}, not a text`);
};

/** A text of at most so many bytes as UTF-8. */
export function textUpTo(bytesMax: number): Check {
  return (value, where) => {
    text(value, where);
    const bytes = toBytes(value as string).length;
    if (bytes > bytesMax) refuse(where, `has ${bytes} bytes, the limit is ${bytesMax}`);
  };
}

export const boolean: Check = (value, where) => {
  if (typeof value !== 'boolean') refuse(where, `is ${shown(value)}, not true or false`);
};

export const number: Check = (value, where) => within(value, where, -1e15, 1e15);

/** A time, a count or a size: 0 or more. */
export const time: Check = (value, where) => within(value, where, 0, 1e15);

export const positive: Check = (value, where) => {
  within(value, where, 0, 1e15);
  if (value === 0) refuse(where, 'is 0, it must be more');
};

/** 0 to 1. */
export const fraction: Check = (value, where) => within(value, where, 0, 1);

export const integer: Check = (value, where) => {
  if (!Number.isSafeInteger(value)) refuse(where, `is ${shown(value)}, not a whole number`);
};

export function numberFrom(min: number, max: number): Check {
  return (value, where) => within(value, where, min, max);
}

/** A whole number, from `min` to `max`. */
export function integerFrom(min: number, max: number): Check {
  return (value, where) => {
    integer(value, where);
    within(value, where, min, max);
  };
}

/** Directed ways between hosts: `[["n1", "n2"], …]`. */
export const ways: Check = list((value, where) => {
  if (!Array.isArray(value) || value.length !== 2) refuse(where, `is ${shown(value)}, not [from, to]`);
  list(text)(value, where);
});

function within(value: unknown, where: string, min: number, max: number): void {
  if (typeof value !== 'number' || !Number.isFinite(value)) refuse(where, `is ${shown(value)}, not a number`);
  if (value < min || value > max) refuse(where, `is ${value}, it must be from ${min} to ${max}`);
}

const shownLengthMax = 60;

function shown(value: unknown): string {
  const words = JSON.stringify(value) ?? 'nothing';
  return words.length > shownLengthMax ? `${words.slice(0, shownLengthMax)}…` : words;
}
