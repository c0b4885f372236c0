// What the search for an order has seen: a configuration that is reached again leads nowhere new, which is
// what keeps the search from trying every order. Forgetting one costs time and never a verdict, so there is
// a bound wherever many would have to be compared; what comparing costs is charged like any other step.

import type { SearchBudget } from '../search/search-budget.js';

/** More of them are seldom worth what comparing costs. */
const usedCountsMax = 1_000;

/** To look at so many counts, one after the other, takes as long as to look at an operation. */
const countsPerStep = 4;

/** Arguments of one call are kept on the stack. */
const spreadMax = 10_000;

/**
 * Configurations seen, exactly: the value, the last operation that took effect, and those called before it
 * that have not. The latter are all concurrent, so a configuration takes a few bytes however long the history
 * is. Of the optional classes the fewer were used, the more can still come.
 */
export class VisitedConfigurations {
  private readonly budget: SearchBudget;
  private readonly isWide: boolean;
  private readonly usedBy = new Map<string, UsedCounts>();
  private readonly names = new Set<string>();

  constructor(budget: SearchBudget, isWide: boolean) {
    this.budget = budget;
    this.isWide = isWide;
  }

  /** False when nothing can be reached from here that was not reached before. */
  add(value: number, highest: number, pending: readonly number[], used: readonly number[]): boolean {
    const numbers = [value, highest + 1, ...pending];
    const name = numbers.length > spreadMax ? numbers.join() : this.pack(numbers);
    if (used.length === 0) {
      if (this.names.has(name)) return false;
      this.names.add(name);
      this.budget.remember(2 * name.length);
      return true;
    }
    let known = this.usedBy.get(name);
    if (known === undefined) {
      known = new UsedCounts(used.length, 2 * name.length, this.budget);
      this.usedBy.set(name, known);
    }
    return known.add(used);
  }

  private pack(numbers: readonly number[]): string {
    return String.fromCharCode(...(this.isWide ? numbers.flatMap(halves) : numbers));
  }
}

/**
 * How often each optional class was used when one configuration was reached: of all times those that used no
 * more than another did of none. Not more than a few, because each new one is compared with all: what finds
 * no room is not remembered, so that it may be looked at again, but is never taken for seen.
 */
class UsedCounts {
  /** Of a class each, one time after the other. */
  private readonly counts: number[] = [];
  private readonly classes: number;
  private readonly bytes: number;
  private readonly budget: SearchBudget;

  /** `nameBytes`: of the configuration's name. */
  constructor(classes: number, nameBytes: number, budget: SearchBudget) {
    this.classes = classes;
    this.bytes = nameBytes + 8 * classes;
    this.budget = budget;
  }

  /** False when the same configuration was reached before with no more of any class. */
  add(used: readonly number[]): boolean {
    const { counts, classes, budget } = this;
    let start = 0;
    while (start < counts.length) {
      const order = this.compare(start, used);
      if (order === 'no more') return false;
      if (order === 'more') this.drop(start);
      else start += classes;
    }
    if (counts.length >= classes * usedCountsMax) return true;
    budget.remember(this.bytes);
    for (const count of used) counts.push(count);
    return true;
  }

  /** How the counts at `start` are: no more of any class than `used`, else no fewer of any, or neither. */
  private compare(start: number, used: readonly number[]): 'no more' | 'more' | 'neither' {
    let hasMore = false;
    let hasFewer = false;
    let i = 0;
    for (; i < this.classes && !(hasMore && hasFewer); i++) {
      const difference = (this.counts[start + i] ?? 0) - (used[i] ?? 0);
      hasMore ||= difference > 0;
      hasFewer ||= difference < 0;
    }
    this.budget.step(Math.ceil(i / countsPerStep));
    if (!hasMore) return 'no more';
    return hasFewer ? 'neither' : 'more';
  }

  /** The last ones take the place of those at `start`. */
  private drop(start: number): void {
    const { counts, classes } = this;
    const last = counts.length - classes;
    counts.copyWithin(start, last);
    counts.length = last;
    this.budget.forget(this.bytes);
  }
}

function halves(value: number): [number, number] {
  return [value >>> 16, value & 0xffff];
}
