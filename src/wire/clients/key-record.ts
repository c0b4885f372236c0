// One version of a key in an answer. By hand because every read that finds something carries it.

import { fromByteString } from '../../base/bytes.js';
import type { KeyRecord } from '../../kv/commands.js';
import { kvLimits } from '../../kv/commands.js';
import { bytesAt, keyAt, uintAt } from '../checks.js';
import { count, key, row, value, type Row } from '../fields.js';

export const declaredKeyRecord: Row<KeyRecord> = row('record', {
  key,
  value,
  createRevision: count,
  modRevision: count,
  version: count,
  leaseId: count,
});

export const keyRecord: Row<KeyRecord> = {
  width: declaredKeyRecord.width,
  push: (into, record) => {
    const { createRevision, modRevision, version, leaseId } = record;
    into.push(fromByteString(record.key), record.value, createRevision, modRevision, version, leaseId);
  },
  read: (list, first) => ({
    key: keyAt(list, first, 'record, key'),
    value: bytesAt(list, first + 1, 'record, value', kvLimits.valueBytesMax),
    createRevision: uintAt(list, first + 2, 'record, createRevision'),
    modRevision: uintAt(list, first + 3, 'record, modRevision'),
    version: uintAt(list, first + 4, 'record, version'),
    leaseId: uintAt(list, first + 5, 'record, leaseId'),
  }),
};
