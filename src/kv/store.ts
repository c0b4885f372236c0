// The ordered store below the state machine: LevelDB in a node, memory in tests and in the simulator. Keys
// are ByteStrings, so that order is byte order everywhere. One writer; batches are atomic and durable when
// done.

import type { ByteString } from '../base/bytes.js';
import type { Done } from '../base/env.js';

export type StoreOperation =
  | { readonly type: 'put'; readonly key: ByteString; readonly value: Uint8Array }
  | { readonly type: 'delete'; readonly key: ByteString };

export interface StoreRange {
  /** Inclusive. */
  readonly start: ByteString;
  /** Exclusive. */
  readonly end: ByteString;
  /** At most this many records, 1 or more. */
  readonly limit: number;
  /** From the end of the range downwards. */
  readonly reverse: boolean;
}

export interface StoreRecord {
  readonly key: ByteString;
  readonly value: Uint8Array;
}

/** Keys and values of the records, bytes. */
export function recordsBytes(records: readonly StoreRecord[]): number {
  let bytes = 0;
  for (const { key, value } of records) bytes += key.length + value.length;
  return bytes;
}

/**
 * The store as it was when the view was opened, whatever is written since. Open views cost the store space
 * for what they still show: open few, and close each.
 */
export interface StoreView {
  /** As `OrderedStore.fetchRange`. With an error once the view or its store is closed. */
  fetchRange(
    range: StoreRange,
    done: (error: Error | undefined, records: readonly StoreRecord[]) => void,
  ): void;
  /** Ends the view; a fetch under way is still answered. Idempotent. */
  close(): void;
}

export interface OrderedStore {
  /** The value, or `undefined`. Synchronous: a few microseconds. */
  getSync(key: ByteString): Uint8Array | undefined;
  /** Records of a range as the store was when this was called (a batch under way may be in or not). */
  fetchRange(
    range: StoreRange,
    done: (error: Error | undefined, records: readonly StoreRecord[]) => void,
  ): void;
  /** The values of many keys as the store was when this was called, in the order asked for. */
  fetchMany(
    keys: readonly ByteString[],
    done: (error: Error | undefined, values: readonly (Uint8Array | undefined)[]) => void,
  ): void;
  /**
   * Writes all or nothing, durably before `done`. Only one batch is under way at a time. After an error
   * nothing more may be written: the node stops.
   */
  writeBatch(operations: readonly StoreOperation[], done: Done): void;
  /** The store as it is now (a batch under way is in as a whole or not at all). Throws when it is closed. */
  openView(): StoreView;
}

/** A store that its owner closes. */
export interface OpenStore extends OrderedStore {
  /** Bytes of its files when they were last measured. */
  bytesOnDisk(): number;
  /**
   * Ends open views, waits for what is under way, then releases the files. Nothing may be asked of the store
   * after this call.
   */
  close(done: Done): void;
}

/** The stores of one node, by name. One store is open once at a time. */
export interface Stores {
  /**
   * Opens a store, making it durably if it is not there. `done` gets `CORRUPT` when it is damaged, `DISK`
   * when the system refuses.
   */
  open(name: string, done: (error: Error | undefined, store: OpenStore | undefined) => void): void;
  /** The names of all stores, sorted. */
  list(done: (error: Error | undefined, names: readonly string[]) => void): void;
  /**
   * Removes a store that is not open, in whole: durable when `done`, and after a crash before it is there
   * as it was or gone, never a part of it. One that does not exist is removed already.
   */
  remove(name: string, done: Done): void;
}
