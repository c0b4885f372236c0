// What a replicated table is: a small collection beside the keys, in memory as a whole, changed by entries
// only, written with the group of those entries. The state machine, snapshots and the proposer of expiries go
// over the registry (index.ts) and name none of them. A table must be the same on every replica after the
// same entry, in its records too, wherever groups begin and end.

import { asBuffer, type ByteString } from '../../base/bytes.js';
import { Hash64 } from '../../base/hash.js';
import { checkBytes } from '../records/record-check.js';
import type { RecordKind } from '../records/record-kind.js';
import type { ContentHash } from '../state-hash.js';
import type { StoreOperation } from '../store.js';

export interface ReplicatedTable {
  /** What it holds, as users count it. */
  readonly size: number;
  /** Nothing of it is over before this cluster time: may be early, never late. `undefined`: never. */
  readonly nextDeadlineMs: number | undefined;
  /** Estimated bytes of what `takeOperations` would add now. */
  readonly groupBytes: number;
  /** Sum of the hashes (`hashTableRecord`) of its records as `takeOperations` last left them. */
  readonly hash: ContentHash;
  /** Adds a record read from the store. Throws CORRUPT. */
  restore(storeKey: ByteString, record: Uint8Array): void;
  /** Ends what is over; what ends goes into `effects`. */
  expire(clusterTimeMs: number, effects: Hash64): void;
  /** Adds what brings the store from the last call to the table's state now. */
  takeOperations(operations: StoreOperation[]): void;
}

/**
 * The hash of a record of a table: over its key and its check, which stands for the rest. A sum of these
 * shows a record that is missing, too many, or another than it should be.
 */
export function hashTableRecord(storeKey: ByteString, record: Uint8Array): [high: number, low: number] {
  const check = asBuffer(record).readUInt32BE(record.length - checkBytes);
  return new Hash64().text(storeKey).number(check).words();
}

/** What is known of a table without having one. */
export interface TableKind<T extends ReplicatedTable = ReplicatedTable> {
  /** Its records: of a folder of their own. */
  readonly record: RecordKind<unknown>;
  create(): T;
}
