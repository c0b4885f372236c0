// Bounds of numbers that somebody sets: one table for each group of them, and one message for all.

import { KvorumError } from './errors.js';

/** Least and largest value, both allowed. */
export type Bounds<Names extends string> = Readonly<Record<Names, readonly [min: number, max: number]>>;

/**
 * Throws `CONFIG` for the first value that is not a whole number within its bounds; the message calls it
 * `group` and its name.
 */
export function checkBounds<Names extends string>(
  group: string,
  values: Readonly<Record<Names, number>>,
  bounds: Bounds<Names>,
): void {
  for (const name of Object.keys(bounds) as Names[]) {
    const value = values[name];
    const [min, max] = bounds[name];
    if (Number.isSafeInteger(value) && value >= min && value <= max) continue;
    const range = `${min.toLocaleString('en')} to ${max.toLocaleString('en')}`;
    throw new KvorumError('CONFIG', `${group}${name} must be a whole number from ${range}, not ${value}`);
  }
}
