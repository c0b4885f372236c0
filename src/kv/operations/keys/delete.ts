// Deletes one key, if it exists.

import type { DeleteOperation } from '../../commands.js';
import type { OperationRule } from '../rule.js';
import { existingOf, holds } from './condition.js';

export const deleteKey: OperationRule<DeleteOperation> = {
  growsStore: false,
  endsSession: false,
  keepsOutcome: true,

  touches({ key }, visitor) {
    visitor.key('write', key);
  },

  apply({ layers, change }, _run, { key, condition }) {
    const existing = existingOf(layers.head(key));
    if (!holds(condition, existing)) return change.result('CONFLICT', 0);
    if (existing !== undefined) change.delete(key, existing);
    return change.result('OK', change.count);
  },
};
