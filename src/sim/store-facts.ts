// Reads the history of a store back as facts: every version of every key in order of revision, straight
// from the records below the state machine, so that the checkers do not rely on the code that answers
// clients.

import { asBuffer, fromByteString } from '../base/bytes.js';
import { decodeVersion, historyRange } from '../kv/schema.js';
import type { StoreRecord } from '../kv/store.js';
import type { VersionFact } from './checkers/witness.js';

/** Where a version's record says how long its key is; the key follows. See kv/schema.ts. */
const keyLengthOffset = 37;
/** `V/`, then revision and place within the revision, big endian. */
const revisionOffset = 2;
const decoder = new TextDecoder();

/**
 * All versions among the records, by ascending revision. Throws CORRUPT for records that contradict
 * themselves.
 */
export function factsOf(records: readonly StoreRecord[]): VersionFact[] {
  const facts: VersionFact[] = [];
  for (const { key: storeKey, value: record } of records) {
    if (storeKey < historyRange.start || storeKey >= historyRange.end) continue;
    const place = asBuffer(fromByteString(storeKey));
    const revision =
      place.readUInt32BE(revisionOffset) * 0x1_0000_0000 + place.readUInt32BE(revisionOffset + 4);
    const bytes = asBuffer(record);
    const keyStart = keyLengthOffset + 2;
    const key = bytes.toString('latin1', keyStart, keyStart + bytes.readUInt16BE(keyLengthOffset));
    const version = decodeVersion(record, key, revision, place.readUInt32BE(revisionOffset + 8));
    facts.push({
      revision,
      key: decoder.decode(fromByteString(key)),
      deleted: version.deleted,
      value: decoder.decode(version.value),
      createRevision: version.createRevision,
      version: version.version,
    });
  }
  return facts;
}
