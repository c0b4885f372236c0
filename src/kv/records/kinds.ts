// The registry of records: every kind that a store holds, declared once. Who must do something for every
// record goes over it, so that a new kind is not forgotten; a record of none of them does not belong in a
// store.

import type { ByteString } from '../../base/bytes.js';
import { sessionRecord, type Session } from '../tables/sessions.js';
import { isOfKind, type RecordKind } from './record-kind.js';
import {
  appliedKey,
  corrupt,
  decodeApplied,
  decodeLive,
  decodeStaging,
  decodeTombstone,
  encodeApplied,
  encodeLive,
  encodeStaging,
  encodeTombstone,
  livePrefix,
  placeOf,
  stagingKey,
  tombstonePrefix,
  versionPrefix,
  type AppliedRecord,
  type Head,
  type StagingRecord,
  type Version,
} from './schema.js';
import { decodeVersion, encodeVersion, keyOfVersion } from './version-record.js';

/** What each kind tells when it is decoded. */
interface Contents {
  live: Head;
  tombstone: Head;
  version: Version;
  session: Session;
  applied: AppliedRecord;
  staging: StagingRecord;
}

export const recordKinds = {
  live: {
    keys: livePrefix,
    inSnapshot: 'follows',
    encode: encodeLive,
    decode: (storeKey, record) => decodeLive(record, storeKey),
  },
  tombstone: {
    keys: tombstonePrefix,
    inSnapshot: 'follows',
    encode: encodeTombstone,
    decode: (storeKey, record) => decodeTombstone(record, storeKey),
  },
  version: {
    keys: versionPrefix,
    inSnapshot: 'history',
    encode: encodeVersion,
    decode: (storeKey, record) => {
      const place = placeOf(storeKey);
      if (place === undefined) throw corrupt(storeKey, 'is not of history');
      return decodeVersion(record, keyOfVersion(record, storeKey), place.revision, place.sub);
    },
  },
  session: sessionRecord,
  applied: {
    keys: appliedKey,
    inSnapshot: 'end',
    encode: encodeApplied,
    decode: (_storeKey, record) => decodeApplied(record),
  },
  staging: {
    keys: stagingKey,
    inSnapshot: 'local',
    encode: encodeStaging,
    decode: (_storeKey, record) => decodeStaging(record),
  },
} satisfies { [K in keyof Contents]: RecordKind<Contents[K]> };

const all: readonly RecordKind<unknown>[] = Object.values<RecordKind<unknown>>(recordKinds);

/** The kind of a record; `undefined` for one that no store should hold. */
export function recordKindOf(storeKey: ByteString): RecordKind<unknown> | undefined {
  return all.find((kind) => isOfKind(kind, storeKey));
}
