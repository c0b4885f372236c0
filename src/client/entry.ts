// One version of one key, as the client hands it out. Its bytes are its own: keeping an entry keeps no
// message alive, and nobody else changes them. Keys are bytes, not text, because not every key is text:
// `keyText` is for those that are.

import { asBuffer, copyBytes, fromByteString, type ByteString } from '../base/bytes.js';
import { KvorumError } from '../base/errors.js';
import type { KeyRecord, Revision } from '../kv/commands.js';

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
  readonly #key: ByteString;

  constructor(record: KeyRecord) {
    const { key, value, createRevision, modRevision, version, leaseId } = record;
    this.#key = key;
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

  /** The key as UTF-8 text; for keys that were given as strings. Bytes that are not UTF-8 become U+FFFD. */
  get keyText(): string {
    return Buffer.from(this.#key, 'latin1').toString('utf8');
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
}
