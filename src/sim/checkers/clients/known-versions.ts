// What a history file tells of a store's own history: which versions of each key there were, by revision, and
// which writes may have made some that nobody named. Evidence, not judgement; only where two operations tell
// of the same version differently both are kept for whoever judges. Keys of transactions are left out.

import type { HistoryOperation } from '../../history/file.js';

/** A version, or a deletion, that an answer names. */
export interface KnownVersion {
  readonly revision: number;
  /** null: a deletion. */
  readonly value: string | null;
  /** As told; `undefined` when it was not. */
  readonly version: number | undefined;
  /** The answer that named it. */
  readonly source: HistoryOperation;
  /** `source` wrote it; otherwise it was only found. */
  readonly isOwn: boolean;
}

export interface KeyEvidence {
  readonly key: string;
  readonly operations: readonly HistoryOperation[];
  /** By ascending revision, one per revision; of several that tell of it the writer. */
  readonly versions: readonly KnownVersion[];
  /** Two that tell differently of the same revision. */
  readonly contradictions: readonly (readonly [KnownVersion, KnownVersion])[];
  /** Writes that happened at a revision which nobody names, or may have happened. */
  readonly unplaced: readonly HistoryOperation[];
  /** By the value that they leave, when the first of them was called; null: a deletion. */
  readonly unplacedSince: ReadonlyMap<string | null, number>;
}

export function evidenceByKey(operations: readonly HistoryOperation[]): KeyEvidence[] {
  const byKey = new Map<string, HistoryOperation[]>();
  const inTransactions = new Set<string>();
  for (const operation of operations) {
    for (const key of operation.keys ?? []) inTransactions.add(key);
    if (operation.op === 'txn') continue;
    const ofKey = byKey.get(operation.k);
    if (ofKey === undefined) byKey.set(operation.k, [operation]);
    else ofKey.push(operation);
  }
  const keys = [...byKey].filter(([key]) => !inTransactions.has(key));
  return keys.map(([key, ofKey]) => evidenceOf(key, ofKey));
}

function evidenceOf(key: string, operations: readonly HistoryOperation[]): KeyEvidence {
  const versions = new Map<number, KnownVersion>();
  const contradictions: [KnownVersion, KnownVersion][] = [];
  const unplaced: HistoryOperation[] = [];
  for (const operation of operations) {
    const named = namedBy(operation);
    if (named === undefined) {
      if (mayHaveWritten(operation)) unplaced.push(operation);
      continue;
    }
    const known = versions.get(named.revision);
    if (known !== undefined && tellsOtherwise(known, named)) contradictions.push([named, known]);
    // The writer tells more than who found it; of two writers the second is a contradiction anyway.
    if (known === undefined || (named.isOwn && !known.isOwn)) versions.set(named.revision, named);
  }
  const unplacedSince = new Map<string | null, number>();
  for (const write of unplaced) {
    const value = writtenBy(write);
    unplacedSince.set(value, Math.min(unplacedSince.get(value) ?? Infinity, write.call));
  }
  const ascending = [...versions.values()].sort((a, b) => a.revision - b.revision);
  return { key, operations, versions: ascending, contradictions, unplaced, unplacedSince };
}

/** The version that an answer names: the one it made, or the one it found. */
export function namedBy(source: HistoryOperation): KnownVersion | undefined {
  const { op, out } = source;
  const { rev, mod, ver } = out;
  if (isOwnRevision(source) && rev !== undefined) {
    const value = op === 'delete' ? null : (source.v ?? null);
    return { revision: rev, value, version: value === null ? undefined : ver, source, isOwn: true };
  }
  const found = foundBy(source);
  if (found === undefined || found === null || mod === undefined) return undefined;
  return { revision: mod, value: found, version: ver, source, isOwn: false };
}

/** The value that an answer says was there; null: the key was absent; `undefined`: it does not say. */
export function foundBy({ op, out }: HistoryOperation): string | null | undefined {
  if (op === 'delete') return out.st === 'ok' && out.n === 0 ? null : undefined;
  return out.st === 'unknown' || (op !== 'get' && op !== 'cas') ? undefined : out.v;
}

/** Whether `rev` of an acknowledged write is surely its own. A delete may have found nothing. */
export function isOwnRevision({ op, v, exp, out }: HistoryOperation): boolean {
  if (out.st !== 'ok') return false;
  if (op === 'delete') return out.n === 1;
  // A cas that deletes what is absent changes nothing.
  return op === 'put' || (op === 'cas' && !(v === null && exp === null));
}

/** Whether it wrote at a revision that it does not name, or may have written. */
function mayHaveWritten({ op, out }: HistoryOperation): boolean {
  if (op === 'get' || out.st === 'fail') return false;
  return !(op === 'delete' && out.n === 0);
}

/** What a write leaves; null: nothing. */
export function writtenBy({ op, v }: HistoryOperation): string | null {
  return op === 'delete' ? null : (v ?? null);
}

/** The newest known version at or below a revision. */
export function newestAt({ versions }: KeyEvidence, revision: number): KnownVersion | undefined {
  let low = 0;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle]?.revision ?? 0) <= revision) low = middle + 1;
    else high = middle;
  }
  return versions[low - 1];
}

function tellsOtherwise(a: KnownVersion, b: KnownVersion): boolean {
  const sameVersion = a.version === undefined || b.version === undefined || a.version === b.version;
  return a.value !== b.value || !sameVersion || (a.isOwn && b.isOwn);
}
