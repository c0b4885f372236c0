// Deletes all keys of a range by one revision, in byte order; or none, when they are too many.

import type { DeleteRangeOperation } from '../../commands.js';
import { defined } from '../../../base/assert.js';
import type { OperationRule } from '../rule.js';
import { RangeLoad } from './range-load.js';

export const deleteRange: OperationRule<DeleteRangeOperation> = {
  growsStore: false,
  endsSession: false,
  keepsOutcome: true,

  touches({ start, end }, visitor) {
    visitor.range('write', start, end);
  },

  needs({ layers }, run, operation) {
    run.load ??= new RangeLoad(layers, operation);
    return run.load.needs();
  },

  apply({ change }, run) {
    const { existing, tooLarge } = defined(run.load, 'the keys of a delete range');
    if (tooLarge) return change.result('TOO_LARGE', existing.length);
    for (const { key, head } of existing) change.delete(key, head);
    return change.result('OK', change.count);
  },
};
