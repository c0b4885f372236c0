// Numbers that somebody sets: each is declared once, with its default, its bounds and its words; the type of
// the values, the defaults, the check and the fields of files follow from that. All are whole numbers.

import { KvorumError } from './errors.js';

export const kibibyte = 1_024;
export const mebibyte = 1_048_576;
export const gibibyte = 1_073_741_824;

export interface Setting {
  readonly default: number;
  /** Least and largest value, both allowed. */
  readonly min: number;
  readonly max: number;
  /** Of the number; also for the reader of a table of all settings. */
  readonly unit: 'ms' | 'bytes' | 'count';
  /** What it is for, to stand in a table. */
  readonly words: string;
}

export type Settings = Readonly<Record<string, Setting>>;

/** One number for each of the settings. */
export type ValuesOf<S extends Settings> = { readonly [Name in keyof S]: number };

export function defaultsOf<S extends Settings>(settings: S): ValuesOf<S> {
  const values = Object.entries(settings).map(([name, setting]) => [name, setting.default]);
  return Object.fromEntries(values) as ValuesOf<S>;
}

/**
 * Throws `CONFIG` for the first value that is not a whole number within its bounds; the message calls it
 * `group` and its name.
 */
export function checkSettings<S extends Settings>(group: string, values: ValuesOf<S>, settings: S): void {
  for (const [name, { min, max }] of Object.entries(settings)) {
    const value = values[name as keyof S];
    if (Number.isSafeInteger(value) && value >= min && value <= max) continue;
    const range = `${min.toLocaleString('en')} to ${max.toLocaleString('en')}`;
    throw new KvorumError('CONFIG', `${group}${name} must be a whole number from ${range}, not ${value}`);
  }
}
