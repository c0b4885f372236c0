// Writes one key.

import { kvLimits, type PutOperation } from '../../commands.js';
import type { OperationRule } from '../rule.js';
import { existingOf, holds } from './condition.js';

export const put: OperationRule<PutOperation> = {
  growsStore: true,
  endsSession: false,
  keepsOutcome: true,

  touches({ key }, visitor) {
    visitor.key('write', key);
  },

  apply({ layers, change }, _run, { key, value, condition }) {
    // The door for requests checks this too; here it keeps the records of the store well formed in any case.
    if (key.length > kvLimits.keyBytesMax || value.length > kvLimits.valueBytesMax) {
      return change.result('TOO_LARGE', 0);
    }
    const previous = layers.head(key);
    if (!holds(condition, existingOf(previous))) return change.result('CONFLICT', 0);
    change.put(key, value, previous);
    return change.result('OK', 0);
  },
};
