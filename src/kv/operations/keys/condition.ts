// What a write may ask of its key before it is done.

import { assertNever } from '../../../base/assert.js';
import type { Condition } from '../../commands.js';
import type { Head } from '../../records/schema.js';

/** The head of a key that exists now. */
export function existingOf(head: Head | undefined): Head | undefined {
  return head === undefined || head.deleted ? undefined : head;
}

/** `existing`: of a key that exists now. */
export function holds(condition: Condition | undefined, existing: Head | undefined): boolean {
  if (condition === undefined) return true;
  switch (condition.kind) {
    case 'modRevision':
      return condition.revision === (existing === undefined ? 0 : existing.modRevision);
    default:
      return assertNever(condition.kind);
  }
}
