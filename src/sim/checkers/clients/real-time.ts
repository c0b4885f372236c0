// Revisions respect real time: what returned before another was called has a revision no higher, and lower
// than that of a write. With it, an order by revision in which every answer is right is a linearization of
// the whole store, transactions and all.

/** An operation with an answer that names a revision. */
export interface Placed<T> {
  readonly operation: T;
  /** In any unit, the same for all. */
  readonly called: number;
  readonly returned: number;
  readonly revision: number;
  /** It made the revision. */
  readonly isWrite: boolean;
}

/** Calls `found` with each operation that is behind one which had returned before it was called. */
export function checkRealTimeOrder<T>(
  placed: readonly Placed<T>[],
  found: (behind: T, returnedBefore: T) => void,
): void {
  const byReturn = [...placed].sort((a, b) => a.returned - b.returned);
  const byCall = [...placed].sort((a, b) => a.called - b.called);
  let next = 0;
  let newest: Placed<T> | undefined;
  for (const { operation, called, revision, isWrite } of byCall) {
    for (;;) {
      const candidate = byReturn[next];
      if (candidate === undefined || candidate.returned >= called) break;
      next++;
      if (newest === undefined || candidate.revision >= newest.revision) newest = candidate;
    }
    if (newest === undefined) continue;
    const isBehind = isWrite ? revision <= newest.revision : revision < newest.revision;
    if (isBehind) found(operation, newest.operation);
  }
}
