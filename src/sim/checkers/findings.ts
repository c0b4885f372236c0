// What a checker of history files found: which promise is broken, by which operations, and why in words. A
// file may come from any store, so there is no place in a virtual world to point at.

import { describeHistoryOperation, type HistoryOperation } from '../history/file.js';
import type { InvariantId } from './violations.js';

export interface Finding {
  readonly id: InvariantId;
  readonly key: string;
  readonly message: string;
  /** The operations that prove it together, first the one that must not have been answered so. */
  readonly operations: readonly HistoryOperation[];
}

/** At most so many are listed: the first entries matter, the rest is echo. */
const findingsMax = 50;

export class Findings {
  readonly list: Finding[] = [];

  /** `reason` is told between the first operation and the others. */
  add(id: InvariantId, reason: string, ...operations: readonly HistoryOperation[]): void {
    const [first, ...others] = operations;
    if (first === undefined || this.list.length >= findingsMax) return;
    const words = others.map(describeHistoryOperation).join('; ');
    const between = words === '' ? '' : reason.endsWith(':') ? ' ' : '; ';
    const message = `${describeHistoryOperation(first)}; ${reason}${between}${words}`;
    this.list.push({ id, key: first.k, message, operations });
  }
}
