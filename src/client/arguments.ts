// Checks of what callers give, before anything is sent. Each function returns the value in the form the
// engine takes, or throws INVALID_ARGUMENT or TOO_LARGE with the argument's name, what is allowed, and what
// was given.

import { copyBytes, prefixEnd, toByteString, toBytes, type ByteString } from '../base/bytes.js';
import { KvorumError } from '../base/errors.js';
import type { Condition, Revision } from '../kv/commands.js';
import type { Consistency } from '../wire/clients/consistency.js';
import { fieldLimits, timeoutMsMax } from '../wire/limits.js';
import { storeLimits, type ClientLimits } from './engine/limits.js';
import {
  optionNames,
  selectionNames,
  type BytesLike,
  type ConsistencyLevel,
  type RangeSelection,
} from './options.js';

const endpointsMax = 32;
const endpointPattern = /^(?:ws:\/\/)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})\/?$/;
const loneSurrogate = /\p{Surrogate}/u;

function invalid(message: string, cause?: unknown): KvorumError {
  return new KvorumError('INVALID_ARGUMENT', message, { cause });
}

/** What was given, short enough for a message. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  if (typeof value === 'function') return 'a function';
  if (value === null || typeof value !== 'object') return String(value).slice(0, 80);
  if (ArrayBuffer.isView(value)) return 'bytes';
  return isArray(value) ? 'an array' : 'an object';
}

/** A proxy that was revoked is no array, and asking it must not throw. */
function isArray(value: unknown): value is unknown[] {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

function unreadable(name: string, cause: unknown): KvorumError {
  return invalid(
    `${name} cannot be read: looking at it threw the error that is the cause of this one`,
    cause,
  );
}

/** Looks into what a caller gave: getters and proxies may throw anything. */
function look<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw unreadable(name, cause);
  }
}

/** The options of a call that was given none. */
export const noOptions = Object.freeze({});

/**
 * The options as they are now, each read once: what is checked is what is used. Refuses what is not an
 * object, and every name that is no option of `call`: a misspelt condition must not become a write without
 * one. A known name without a value is as good as none.
 */
export function optionsOf<Options extends object>(options: Options, call: keyof typeof optionNames): Options {
  if (options === noOptions) return options;
  if (options === null || typeof options !== 'object' || isArray(options) || ArrayBuffer.isView(options)) {
    throw invalid(`${call} takes an object of options, not ${shown(options)}`);
  }
  const known = optionNames[call];
  return fieldsOf(options, known, `the options of ${call}`, (name) => {
    const names = [...known].join(', ');
    return invalid(`${name} is not an option of ${call}; its options are ${names}`);
  });
}

/** The known fields of an object, inherited ones too. An own field of another name is refused. */
function fieldsOf<Fields extends object>(
  given: Fields,
  known: ReadonlySet<string>,
  what: string,
  refuse: (name: string) => KvorumError,
): Fields {
  const names = look(what, () => Object.keys(given));
  for (const name of names) if (!known.has(name)) throw refuse(name.slice(0, 80));
  if (names.length === 0 && !look(what, () => mayHaveFields(given, known))) {
    throw invalid(`${what} must be a plain object; a Map, a promise and the like have no options`);
  }
  const fields: Record<string, unknown> = {};
  for (const name of known) {
    const value = look(name, () => (given as Record<string, unknown>)[name]);
    if (value !== undefined) fields[name] = value;
  }
  return fields as Fields;
}

/** A plain object of whatever realm, or one that inherits fields: a forgotten `await` is neither. */
function mayHaveFields(given: object, known: ReadonlySet<string>): boolean {
  const prototype = Object.getPrototypeOf(given) as object | null;
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return true;
  for (const name of known) if (name in given) return true;
  return false;
}

function bytesOf(value: unknown, name: string): Uint8Array {
  if (typeof value === 'string') {
    if (!loneSurrogate.test(value)) return toBytes(value);
    throw invalid(`${name} contains half of a surrogate pair, which UTF-8 cannot carry; give bytes instead`);
  }
  // A proxy of bytes is an instance of Uint8Array as well, and has none.
  if (ArrayBuffer.isView(value)) {
    try {
      return viewedBytes(value);
    } catch (cause) {
      throw unreadable(name, cause);
    }
  }
  throw invalid(`${name} must be a string or a Uint8Array, not ${shown(value)}`);
}

const typedArrayValues = Uint8Array.prototype.values;

/** The bytes of a view of whatever kind and realm. Throws when its memory was given away or cut off. */
function viewedBytes(view: ArrayBufferView): Uint8Array {
  const { byteLength } = view;
  if (byteLength > 0 && view instanceof Uint8Array && !Object.hasOwn(view, 'length')) return view;
  // Such a view looks empty, but cannot be walked over.
  if (byteLength === 0 && !(view instanceof DataView)) typedArrayValues.call(view);
  return new Uint8Array(view.buffer, view.byteOffset, byteLength);
}

/** Whether a call was given one key, and not a range of them. */
export function isKey(value: unknown): value is BytesLike {
  return typeof value === 'string' || ArrayBuffer.isView(value);
}

/** A key of 1 .. 4,096 bytes. */
export function keyOf(value: unknown, name = 'key'): ByteString {
  const key = boundOf(value, name);
  if (key.length === 0)
    throw invalid(`${name} must not be empty; it has 1 .. ${storeLimits.keyBytesMax} bytes`);
  return key;
}

/** One end of a range, or a prefix: may be empty. */
function boundOf(value: unknown, name: string): ByteString {
  const bytes = bytesOf(value, name);
  const { keyBytesMax } = storeLimits;
  if (bytes.length <= keyBytesMax) return toByteString(bytes);
  throw new KvorumError('TOO_LARGE', `${name} has ${bytes.length} bytes, its limit is ${keyBytesMax}`, {
    details: { bytes: bytes.length, bytesMax: keyBytesMax },
  });
}

/** The value's bytes, as they are now: the caller may change its array afterwards, the write must not. */
export function valueOf(value: unknown): Uint8Array {
  const bytes = bytesOf(value, 'value');
  const { valueBytesMax } = storeLimits;
  if (bytes.length <= valueBytesMax) return typeof value === 'string' ? bytes : copyBytes(bytes);
  const message = `value has ${bytes.length} bytes, its limit is ${valueBytesMax}; split it over keys`;
  throw new KvorumError('TOO_LARGE', message, { details: { bytes: bytes.length, bytesMax: valueBytesMax } });
}

/** True or false; `undefined` is false. */
export function flagOf(value: unknown, name: string): boolean {
  if (value === undefined) return false;
  if (typeof value === 'boolean') return value;
  throw invalid(`${name} must be a boolean, not ${shown(value)}`);
}

/** An AbortSignal of whatever realm or library; how it behaves later is `abort-signals`' matter. */
export function signalOf(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && look('signal', () => isSignal(value))) {
    return value as AbortSignal;
  }
  throw invalid(
    `signal must be an AbortSignal, such as the signal of an AbortController, not ${shown(value)}`,
  );
}

function isSignal(value: object): boolean {
  const { aborted, addEventListener, removeEventListener } = value as AbortSignal;
  const listens = typeof addEventListener === 'function' && typeof removeEventListener === 'function';
  return listens && typeof aborted === 'boolean';
}

/** A revision of at least `min`. */
export function revisionOf(value: unknown, name: string, min: number): Revision {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value;
  throw invalid(`${name} must be an integer of at least ${min}, not ${shown(value)}`);
}

/** A format level, as the wire carries one. */
export function formatLevelOf(level: unknown): number {
  const { formatLevelMax } = fieldLimits;
  if (typeof level === 'number' && Number.isSafeInteger(level) && level >= 1 && level <= formatLevelMax) {
    return level;
  }
  throw invalid(`level must be an integer 1 .. ${formatLevelMax}, not ${shown(level)}`);
}

/** `ifRevision` 0 and `ifAbsent` both mean that the key must not exist. */
export function conditionOf(options: {
  readonly ifRevision?: Revision | undefined;
  readonly ifAbsent?: boolean | undefined;
}): Condition | undefined {
  const { ifRevision, ifAbsent } = options;
  const absent = flagOf(ifAbsent, 'ifAbsent');
  if (ifRevision === undefined) return absent ? { kind: 'modRevision', revision: 0 } : undefined;
  if (absent) throw invalid('ifRevision and ifAbsent exclude each other; give one of them');
  return { kind: 'modRevision', revision: revisionOf(ifRevision, 'ifRevision', 0) };
}

/** The range of a prefix, of start and end, or, with neither, of the whole store. */
export function rangeOf(selection: RangeSelection): { start: ByteString; end: ByteString | undefined } {
  const { prefix, start, end } = selection;
  if (prefix !== undefined) {
    if (start !== undefined || end !== undefined) {
      throw invalid('prefix excludes start and end; give either prefix, or start and end');
    }
    const bytes = boundOf(prefix, 'prefix');
    return { start: bytes, end: prefixEnd(bytes) };
  }
  const from = start === undefined ? '' : boundOf(start, 'start');
  if (end === undefined) return { start: from, end: undefined };
  const to = boundOf(end, 'end');
  if (from < to) return { start: from, end: to };
  throw invalid(`start must sort before end, byte by byte, and end is not part of the range`);
}

/**
 * What a delete of several keys selects. To delete everything it must be said: `{ start: '' }`; and a field
 * that is misspelt must not make the range larger.
 */
export function deletionOf(given: RangeSelection): { start: ByteString; end: ByteString | undefined } {
  if (given === null || typeof given !== 'object' || isArray(given)) {
    throw invalid(`delete takes a key, { prefix } or { start, end }, not ${shown(given)}`);
  }
  const selection = fieldsOf(given, selectionNames, 'the range of delete', (name) => {
    const fields = [...selectionNames].join(', ');
    return invalid(`${name} is not a field of a range; its fields are ${fields}, and options come after it`);
  });
  const { prefix, start, end } = selection;
  if (prefix === undefined && start === undefined && end === undefined) {
    throw invalid("delete needs a key, prefix, start or end; to delete every key give { start: '' }");
  }
  const range = rangeOf(selection);
  if (prefix === undefined || range.start !== '') return range;
  throw invalid("prefix must not be empty; to delete every key give { start: '' }");
}

export function limitOf(value: unknown): number {
  if (value === undefined) return Number.MAX_SAFE_INTEGER;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
  throw invalid(`limit must be an integer of at least 1, not ${shown(value)}`);
}

export function consistencyOf(value: ConsistencyLevel | undefined): Consistency {
  if (value === undefined || value === 'linearizable') return { kind: 'linearizable' };
  if (value === 'leaderLease' || value === 'serializable') return { kind: value };
  const maxStalenessMs: unknown =
    typeof value === 'object' ? look('consistency', () => value?.maxStalenessMs) : undefined;
  if (typeof maxStalenessMs === 'number' && maxStalenessMs >= 0 && maxStalenessMs <= timeoutMsMax) {
    return { kind: 'bounded', maxStalenessMs: Math.floor(maxStalenessMs) };
  }
  throw invalid(
    `consistency must be 'linearizable', 'leaderLease', 'serializable' or ` +
      `{ maxStalenessMs: 0 .. ${timeoutMsMax} }, not ${shown(value)}`,
  );
}

export function readFromOf(value: unknown): 'leader' | 'nearest' {
  if (value === undefined || value === 'leader') return 'leader';
  if (value === 'nearest') return 'nearest';
  throw invalid(`readFrom must be 'leader' or 'nearest', not ${shown(value)}`);
}

/** 1 .. 2^31-1 milliseconds; `fallback` when none is given. */
export function timeoutOf(value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === 'number' && value >= 1 && value <= timeoutMsMax) return Math.floor(value);
  throw invalid(`timeoutMs must be 1 .. ${timeoutMsMax}, not ${shown(value)}`);
}

/** Addresses as host:port, each once. */
export function endpointsOf(value: unknown): string[] {
  const given = isArray(value) ? look('endpoints', () => value.slice(0, endpointsMax + 1)) : undefined;
  if (given === undefined || given.length === 0 || given.length > endpointsMax) {
    const what = given?.length === 0 ? '0 of them' : given === undefined ? shown(value) : 'more of them';
    throw invalid(`endpoints must be an array of 1 .. ${endpointsMax} addresses, not ${what}`);
  }
  return [...new Set(Array.from(given, (endpoint, index) => endpointOf(endpoint, `endpoints[${index}]`)))];
}

/** The limits as they are now. What is in them is checked where they are known. */
export function limitsOf(value: unknown): Partial<ClientLimits> | undefined {
  if (typeof value !== 'object' || value === null || isArray(value)) return value as undefined;
  return look('limits', () => {
    const limits = { ...value };
    if (Object.keys(limits).length > 0 || mayHaveFields(value, new Set())) return limits;
    throw invalid('it is no plain object');
  });
}

function endpointOf(value: unknown, name: string): string {
  const parts = typeof value === 'string' ? endpointPattern.exec(value) : null;
  const port = Number(parts?.[2]);
  if (parts?.[1] !== undefined && port >= 1 && port <= 65_535) return `${parts[1]}:${port}`;
  throw invalid(
    `${name} must be host:port or ws://host:port with a port of 1 .. 65535, for example 127.0.0.1:7401, ` +
      `not ${shown(value)}`,
  );
}
