// One version of one key, as the client hands it out. Its bytes are its own: keeping an entry keeps no
// message alive, and nobody else changes them. Keys are bytes, not text, because not every key is text:
// `keyText` is for those that are.

import { asBuffer, copyBytes, fromByteString, type ByteString } from '../base/bytes.js';
import { KvorumError } from '../base/errors.js';
import type { KeyRecord, Revision } from '../kv/commands.js';

const beyondAscii = /[\x80-\xff]/;
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `{ name: text }`, or what is not UTF-8 as `{ nameBase64: … }`. */
function printable(name: string, bytes: Uint8Array): Record<string, string> {
  try {
    return { [name]: strictDecoder.decode(bytes) };
  } catch {
    return { [`${name}Base64`]: asBuffer(bytes).toString('base64') };
  }
}

/** Characters of a value that are shown when an entry is printed. */
const shownCharactersMax = 200;

export class Entry {
  readonly value: Uint8Array;
  /** Revision of the put that brought the key into being. */
  readonly createRevision: Revision;
  /** Revision of this version; give it to `ifRevision`. */
  readonly modRevision: Revision;
  /** 1 for the put that created the key, one more with each put since. */
  readonly version: number;
  /** 0: no lease. */
  readonly leaseId: number;
  /** The key as UTF-8 text; for keys that were given as strings. Bytes that are not UTF-8 become U+FFFD. */
  readonly keyText: string;
  readonly #key: ByteString;

  constructor(record: KeyRecord) {
    const { key, value, createRevision, modRevision, version, leaseId } = record;
    this.#key = key;
    this.keyText = beyondAscii.test(key) ? Buffer.from(key, 'latin1').toString('utf8') : key;
    // A decoded value is a view into the whole message it came in.
    this.value = value.byteLength === value.buffer.byteLength ? value : copyBytes(value);
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.version = version;
    this.leaseId = leaseId;
  }

  /** The key's bytes. A new array at each call. */
  get key(): Uint8Array {
    return fromByteString(this.#key);
  }

  /** The value as UTF-8 text. Bytes that are not UTF-8 become U+FFFD. */
  text(): string {
    return asBuffer(this.value).toString('utf8');
  }

  /**
   * The value parsed as JSON. Throws INVALID_ARGUMENT when it is not JSON. `T` is the caller's claim, not
   * checked.
   */
  json<T = unknown>(): T {
    try {
      return JSON.parse(this.text()) as T;
    } catch (error) {
      const message = `the value of key ${JSON.stringify(this.keyText)} is not JSON; use text() or value`;
      throw new KvorumError('INVALID_ARGUMENT', message, { cause: error });
    }
  }

  /** For `JSON.stringify`: text, or what is not UTF-8 as base64 in `keyBase64`, `valueBase64`. */
  toJSON(): Record<string, unknown> {
    const { createRevision, modRevision, version, leaseId } = this;
    const bytes = { ...printable('key', this.key), ...printable('value', this.value) };
    return { ...bytes, createRevision, modRevision, version, leaseId };
  }

  /** How it is printed by `console.log`: as its JSON, with a long value cut off. */
  [Symbol.for('nodejs.util.inspect.custom')](_depth: number, options: object, inspect: InspectValue): string {
    const facts = this.toJSON();
    for (const name of ['value', 'valueBase64']) {
      const text = facts[name];
      if (typeof text !== 'string' || text.length <= shownCharactersMax) continue;
      facts[name] = `${text.slice(0, shownCharactersMax)}… (${this.value.length} bytes)`;
    }
    return `Entry ${inspect(facts, options)}`;
  }
}

type InspectValue = (value: unknown, options: object) => string;
