// How fresh an answer to a read must be, and its position in the frames of reads.

import { refuse, uintAt } from '../checks.js';
import type { Field } from '../fields.js';

export type Consistency =
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'leaderLease' }
  | { readonly kind: 'bounded'; readonly maxStalenessMs: number }
  | { readonly kind: 'serializable' };

const numbers: Readonly<Record<Consistency['kind'], number>> = {
  linearizable: 0,
  leaderLease: 1,
  bounded: 2,
  serializable: 3,
};

const linearizable: Consistency = { kind: 'linearizable' };
const leaderLease: Consistency = { kind: 'leaderLease' };
const serializable: Consistency = { kind: 'serializable' };

/** A number; for `bounded` an array of it and the whole milliseconds, downwards: never staler than asked. */
export const consistency: Field<Consistency> = {
  write: (level) => {
    if (level.kind !== 'bounded') return numbers[level.kind];
    return [numbers.bounded, Math.floor(level.maxStalenessMs)];
  },
  read: (frame, position, name) => {
    const level = frame[position];
    switch (level) {
      case numbers.linearizable:
        return linearizable;
      case numbers.leaderLease:
        return leaderLease;
      case numbers.serializable:
        return serializable;
      default:
        if (Array.isArray(level) && level.length === 2 && level[0] === numbers.bounded) {
          return { kind: 'bounded', maxStalenessMs: uintAt(level, 1, `${name}, maxStalenessMs`) };
        }
        return refuse(position, name, 'the number of a consistency', level);
    }
  },
};
