// What is declared once for each kind of record in a store; the registry (kinds.ts) names them all.

import type { ByteString } from '../../base/bytes.js';

/**
 * What a snapshot does with records of a kind: `history`, `table` and `end` are its parts; `follows`: they
 * are not sent and come out of history; `local`: they speak of one store only and never leave it.
 */
export type SnapshotRole = 'history' | 'table' | 'end' | 'follows' | 'local';

export interface RecordKind<T> {
  /** The key of the one record; or, with a `/` at its end, what the keys of all of them begin with. */
  readonly keys: ByteString;
  readonly inSnapshot: SnapshotRole;
  encode(value: T): Uint8Array;
  /** Throws CORRUPT for a record that is not of this kind, or not as it was written. */
  decode(storeKey: ByteString, record: Uint8Array): T;
}

export function isOfKind({ keys }: Pick<RecordKind<unknown>, 'keys'>, storeKey: ByteString): boolean {
  return keys.endsWith('/') ? storeKey.startsWith(keys) : storeKey === keys;
}
