// Reads the history of a store back as facts: every version of every key in order of revision, straight
// from the records below the state machine, so that the checkers do not rely on the code that answers
// clients.

import { fromByteString } from '../../base/bytes.js';
import { placeOf } from '../../kv/records/schema.js';
import type { StoreRecord } from '../../kv/store.js';
import { decodeVersion, keyOfVersion } from '../../kv/records/version-record.js';
import type { VersionFact } from '../checkers/clients/timeline.js';

const decoder = new TextDecoder();

/**
 * All versions among the records, by ascending revision. Throws CORRUPT for records that contradict
 * themselves.
 */
export function factsOf(records: readonly StoreRecord[]): VersionFact[] {
  const facts: VersionFact[] = [];
  for (const { key: storeKey, value: record } of records) {
    const place = placeOf(storeKey);
    if (place === undefined) continue;
    const { revision, sub } = place;
    const key = keyOfVersion(record, storeKey);
    const version = decodeVersion(record, key, revision, sub);
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
