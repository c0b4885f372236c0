// One key's history as operations on a register: what each needed the value to be, and what it made of it.
// Values are numbers here; the register begins absent. Before the search the operations of unknown outcome
// are pruned, so that hundreds of them cost next to nothing: what nobody can have noticed is dropped, what
// somebody did notice happened, and only what stays ambiguous is left open. Pure.

import type { HistoryOperation } from '../../history/file.js';

/** Value number of an absent key. */
export const absent = 0;
/** In place of a value number: needs nothing, or writes nothing. */
export const nothing = -1;

export interface RegisterOperation {
  readonly source: HistoryOperation;
  /** The value it found, or `nothing`. */
  readonly needs: number;
  /** The value it left, or `nothing`. */
  readonly writes: number;
  readonly call: number;
  /** Infinity for one that may take effect at any time. */
  readonly ret: number;
  /** It may as well never have happened. */
  readonly isOptional: boolean;
}

export interface Register {
  /** By call. */
  readonly operations: readonly RegisterOperation[];
  /** Numbers in use are below this. */
  readonly valueCount: number;
}

/** Optional operations that do the same: which of them happens makes no difference, only how many. */
export interface OptionalClass {
  readonly needs: number;
  readonly writes: number;
  /** Ascending. */
  readonly calls: readonly number[];
}

export interface PrunedRegister {
  /** All happened. By call. */
  readonly definite: readonly RegisterOperation[];
  readonly optional: readonly OptionalClass[];
  /** Numbers in use are at most this one, which stands for every value that nobody looks at. */
  readonly blank: number;
}

/**
 * The register of one key. Left out is what says nothing about the values: operations that certainly did not
 * happen, and reads without an answer. A cas that was judged and found something else is a read.
 */
export function registerOf(operations: readonly HistoryOperation[]): Register {
  const numbers = new Map<string | null, number>([[null, absent]]);
  const numberOf = (value: string | null | undefined): number => {
    const known = numbers.get(value ?? null);
    if (known !== undefined) return known;
    numbers.set(value ?? null, numbers.size);
    return numbers.size - 1;
  };
  const found: RegisterOperation[] = [];
  for (const source of operations) {
    const { op, v, exp, call, out } = source;
    const isOptional = out.st === 'unknown';
    const ret = isOptional ? Infinity : (source.ret ?? Infinity);
    const base = { source, call, ret, isOptional };
    if (out.st === 'fail') {
      if (op === 'cas' && out.v !== undefined) {
        found.push({ ...base, needs: numberOf(out.v), writes: nothing });
      }
    } else if (op === 'get') {
      if (!isOptional) found.push({ ...base, needs: numberOf(out.v), writes: nothing });
    } else if (op === 'put' || op === 'delete') {
      found.push({ ...base, needs: nothing, writes: op === 'put' ? numberOf(v) : absent });
    } else if (op === 'cas') {
      // One that leaves what it finds is a read, and nothing at all if it may not have happened.
      const isRead = v === exp;
      if (isRead && isOptional) continue;
      found.push({ ...base, needs: numberOf(exp), writes: isRead ? nothing : numberOf(v) });
    }
  }
  found.sort((a, b) => a.call - b.call || (a.ret < b.ret ? -1 : a.ret > b.ret ? 1 : 0));
  return { operations: found, valueCount: numbers.size };
}

/** Who looks at and who brings about each value. */
class ValueCounts {
  /** Operations that did find the value, and when the first of them returned. */
  readonly seen: Int32Array;
  readonly seenBefore: Float64Array;
  /** Those and the optional ones that would have to find it. */
  readonly wanted: Int32Array;
  /** The beginning is one for `absent`. */
  readonly writers: Int32Array;

  constructor(operations: Iterable<RegisterOperation>, valueCount: number) {
    this.seen = new Int32Array(valueCount);
    this.seenBefore = new Float64Array(valueCount).fill(Infinity);
    this.wanted = new Int32Array(valueCount);
    this.writers = new Int32Array(valueCount);
    this.writers[absent] = 1;
    for (const { needs, writes, ret, isOptional } of operations) {
      if (needs !== nothing) {
        add(this.wanted, needs);
        if (!isOptional) {
          add(this.seen, needs);
          this.seenBefore[needs] = Math.min(this.seenBefore[needs] ?? Infinity, ret);
        }
      }
      if (writes !== nothing) add(this.writers, writes);
    }
  }
}

/**
 * Decides about optional operations what can be decided without a search, until nothing changes:
 * - A value that nobody finds or would have to find cannot help anybody: in an order that explains all
 *   answers, nothing between such a write and the next one needs a value, so the write can be left out of it.
 * - A value that was found and that only one operation writes shows that this one happened, and at the latest
 *   when the first that found it returned.
 * Definite writes that nobody looks at stay, with one value number for all of them.
 */
export function prune({ operations, valueCount }: Register): PrunedRegister {
  let definite = operations.filter(({ isOptional }) => !isOptional);
  let open = operations.filter(({ isOptional }) => isOptional);
  let counts = new ValueCounts(operations, valueCount);
  for (;;) {
    const decided = open.filter(({ writes }) => isDecided(counts, writes));
    const kept = open.filter(({ writes }) => counts.wanted[writes] !== 0 && !isDecided(counts, writes));
    if (kept.length === open.length) break;
    const happened = decided.map((operation) => ({
      ...operation,
      isOptional: false,
      ret: Math.max(operation.call, counts.seenBefore[operation.writes] ?? Infinity),
    }));
    definite = [...definite, ...happened];
    open = kept;
    counts = new ValueCounts([...definite, ...open], valueCount);
  }
  const visible = definite.map((operation) =>
    operation.writes !== nothing && counts.wanted[operation.writes] === 0
      ? { ...operation, writes: valueCount }
      : operation,
  );
  visible.sort((a, b) => a.call - b.call || a.ret - b.ret);
  return { definite: visible, optional: classesOf(open), blank: valueCount };
}

function isDecided(counts: ValueCounts, value: number): boolean {
  return counts.seen[value] !== 0 && counts.writers[value] === 1;
}

function classesOf(open: readonly RegisterOperation[]): OptionalClass[] {
  const classes = new Map<string, { needs: number; writes: number; calls: number[] }>();
  for (const { needs, writes, call } of open) {
    const name = `${needs} ${writes}`;
    const known = classes.get(name);
    if (known === undefined) classes.set(name, { needs, writes, calls: [call] });
    else known.calls.push(call);
  }
  for (const { calls } of classes.values()) calls.sort((a, b) => a - b);
  return [...classes.values()];
}

function add(counts: Int32Array, value: number): void {
  counts[value] = (counts[value] ?? 0) + 1;
}
