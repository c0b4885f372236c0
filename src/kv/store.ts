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
}
