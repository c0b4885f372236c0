// From a history that no order explains to the few operations that already prove it. What an operation says
// has two sides that can be dropped each for itself: what it found (a get, a cas) and what it wrote (a put, a
// delete, a cas). Dropping must never make up a violation, so not every part may go:
// - What was found may always go. An order that explains all answers explains fewer, too.
// - What was written may go only where nobody who stays can have found it. Let r stay and have found the
//   value that w wrote. Then w may go if r returned before w was called; or if some w' stays that certainly
//   happened, was called after w returned and returned before r was called: in every order w' stands between
//   them. In both cases w is not what r found, so whatever order explains the whole explains the part.
// Hence if the part has no order, the whole has none. The search for a small part is delta debugging: remove
// halves, quarters, ... and keep what still has no order.
// Source: A. Zeller, R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).

import { searchLinearization } from './linearization-search.js';
import { nothing, prune, type Register, type RegisterOperation } from '../clients/register-model.js';
import type { SearchBudget } from './search-budget.js';

/** One operation of the proof; `needs` or `writes` is `nothing` where that side is not part of it. */
export type Evidence = RegisterOperation;

/** Two per operation of the register: 2i what it found, 2i + 1 what it wrote. */
type Side = number;

/**
 * A part of a register without an order that has none either, by call; smaller ones of the same kind do have
 * one, as far as `budget` reached. `until`: the hint of the search.
 */
export function smallestViolation(
  register: Register,
  until: number,
  budget: SearchBudget,
): readonly Evidence[] {
  return new Reduction(register, budget).run(until);
}

class Reduction {
  private readonly operations: readonly RegisterOperation[];
  private readonly valueCount: number;
  private readonly budget: SearchBudget;
  private readonly writersOf = new Map<number, Writers>();
  /** Proven to have no order; ascending. */
  private kept: readonly Side[];

  constructor({ operations, valueCount }: Register, budget: SearchBudget) {
    this.operations = operations;
    this.valueCount = valueCount;
    this.budget = budget;
    const sides: Side[] = [];
    for (const [i, { needs, writes }] of operations.entries()) {
      if (needs !== nothing) sides.push(2 * i);
      if (writes === nothing) continue;
      sides.push(2 * i + 1);
      const writers = this.writersOf.get(writes) ?? new Writers();
      this.writersOf.set(writes, writers);
      writers.add(i, operations[i] as RegisterOperation);
    }
    this.kept = sides;
  }

  run(until: number): readonly Evidence[] {
    this.shorten(until);
    let size = Math.ceil(this.kept.length / 2);
    while (size >= 1 && this.budget.exhausted === undefined) {
      const lengthBefore = this.kept.length;
      for (let end = this.kept.length; end > 0; end -= size) {
        end = Math.min(end, this.kept.length);
        const start = Math.max(0, end - size);
        this.tryPart([...this.kept.slice(0, start), ...this.kept.slice(end)]);
      }
      // One by one, again and again, until nothing more can go.
      if (size > 1) size = Math.ceil(size / 2);
      else if (this.kept.length === lengthBefore) break;
    }
    return evidenceOf(this.operations, this.kept);
  }

  /**
   * A search costs the more the longer the history, and the contradiction is mostly within a short while
   * around the moment at which the search could not go on; so that is what is tried first.
   */
  private shorten(until: number): void {
    const all = this.kept;
    const later = all.findIndex((side) => (this.operations[side >>> 1]?.call ?? 0) > until);
    const place = later < 0 ? all.length : later;
    for (let length = 16; length < all.length; length *= 4) {
      const around = all.slice(Math.max(0, place - length), place + length);
      if (this.tryPart(this.withoutOldNeeds(around))) return;
    }
  }

  /**
   * Without those who found a value that nothing in the part covers: every write of it since the beginning
   * would have to stay with them.
   */
  private withoutOldNeeds(part: readonly Side[]): Side[] {
    const covers = new Covers(this.operations, part);
    return part.filter((side) => {
      if (side % 2 === 1) return true;
      return covers.latestCallBefore(this.operations[side >>> 1]?.call ?? 0) > -Infinity;
    });
  }

  /** Goes on with the part, and what must stay with it, if that is less than before and has no order. */
  private tryPart(part: readonly Side[]): boolean {
    if (this.budget.exhausted !== undefined) return false;
    const closed = this.close(part);
    if (closed.length >= this.kept.length) return false;
    const operations = evidenceOf(this.operations, closed);
    this.budget.forgetConfigurations();
    const pruned = prune({ operations, valueCount: this.valueCount });
    if (searchLinearization(pruned, this.budget).kind !== 'violation') return false;
    this.kept = closed;
    return true;
  }

  /** The sides and every write that one of those who found something may have found. */
  private close(part: readonly Side[]): Side[] {
    const closed = new Set(part);
    const covers = new Covers(this.operations, part);
    const lastReturns = new Map<number, number>();
    const keepWrite = (place: number): void => {
      closed.add(2 * place + 1);
    };
    for (const side of part) {
      const found = side % 2 === 0 ? this.operations[side >>> 1] : undefined;
      if (found === undefined) continue;
      const { needs, call, ret } = found;
      this.writersOf.get(needs)?.within(covers.latestCallBefore(call), ret, keepWrite);
      lastReturns.set(needs, Math.max(lastReturns.get(needs) ?? 0, ret));
    }
    for (const [value, ret] of lastReturns) this.writersOf.get(value)?.openUntil(ret, keepWrite);
    return [...closed].sort((a, b) => a - b);
  }
}

/** All writes of one value, by call. */
class Writers {
  /** Of those that may take effect at any time. */
  private readonly openPlaces: number[] = [];
  private readonly open: RegisterOperation[] = [];
  /** Of the others. */
  private readonly places: number[] = [];
  private readonly operations: RegisterOperation[] = [];
  /** The latest return among those up to the same place. */
  private readonly latestReturns: number[] = [];

  add(place: number, operation: RegisterOperation): void {
    if (operation.isOptional) {
      this.openPlaces.push(place);
      this.open.push(operation);
      return;
    }
    this.latestReturns.push(Math.max(this.latestReturns.at(-1) ?? -Infinity, operation.ret));
    this.places.push(place);
    this.operations.push(operation);
  }

  /** The open ones that were called until `end`. */
  openUntil(end: number, see: (place: number) => void): void {
    for (let i = countUpTo(this.open, end) - 1; i >= 0; i--) see(this.openPlaces[i] ?? 0);
  }

  /** Those that were called until `end` and did not return before `start`. */
  within(start: number, end: number, see: (place: number) => void): void {
    let i = countUpTo(this.operations, end) - 1;
    for (; i >= 0 && (this.latestReturns[i] ?? 0) >= start; i--) {
      if ((this.operations[i]?.ret ?? 0) >= start) see(this.places[i] ?? 0);
    }
  }
}

/** How many were called until `end`; the list is sorted by call. */
function countUpTo(operations: readonly RegisterOperation[], end: number): number {
  let low = 0;
  let high = operations.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((operations[middle]?.call ?? 0) <= end) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The writes that stay and certainly happened, for the question which of them stand before a moment. */
class Covers {
  private readonly returns: number[] = [];
  /** Of all that returned up to the same place, the latest call. */
  private readonly calls: number[] = [];

  constructor(operations: readonly RegisterOperation[], part: readonly Side[]) {
    const writes = part
      .filter((side) => side % 2 === 1)
      .map((side) => operations[side >>> 1] as RegisterOperation)
      .filter(({ isOptional }) => !isOptional)
      .sort((a, b) => a.ret - b.ret);
    let latest = -Infinity;
    for (const { call, ret } of writes) {
      latest = Math.max(latest, call);
      this.returns.push(ret);
      this.calls.push(latest);
    }
  }

  /** The latest call of a write that returned before `time`. What returned before that call is covered. */
  latestCallBefore(time: number): number {
    let low = 0;
    let high = this.returns.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.returns[middle] ?? 0) < time) low = middle + 1;
      else high = middle;
    }
    return this.calls[low - 1] ?? -Infinity;
  }
}

function evidenceOf(operations: readonly RegisterOperation[], sides: readonly Side[]): Evidence[] {
  const evidence: Evidence[] = [];
  for (const [position, side] of sides.entries()) {
    const operation = operations[side >>> 1] as RegisterOperation;
    const isFound = side % 2 === 0;
    if (!isFound && sides[position - 1] === side - 1) {
      // The side before it made the entry.
      evidence[evidence.length - 1] = operation;
    } else {
      evidence.push({ ...operation, ...(isFound ? { writes: nothing } : { needs: nothing }) });
    }
  }
  return evidence;
}
