// The search for an order of a register's operations that explains every answer: Wing and Gong's, with Lowe's
// memoisation of configurations (which operations have taken effect, and the value then), on arrays and
// without recursion. Four rules, each of which keeps an order to be found if there is one, make it all but
// linear on histories whose values are mostly unique:
// - An operation that only looks takes effect as soon as the value is the one that it found.
// - Writes that nobody looks at take effect right before another write that covers them.
// - A value is not left while somebody must still find it and nobody can bring it back.
// - What may as well never have happened does only if who comes right after it finds its value. Of all orders
//   take one with the fewest of those: in it a value that is written over unseen was written by somebody who
//   had to.
// Bounded by steps and configurations, never by time alone. Source: J. M. Wing, C. Gong, "Testing and
// Verifying Concurrent Objects" (1993); G. Lowe, "Testing for Linearizability" (2017).

import { absent, nothing, type OptionalClass, type PrunedRegister } from '../clients/register-model.js';
import type { SearchBudget } from './search-budget.js';
import { VisitedConfigurations } from '../raft/visited-configurations.js';

export type SearchResult =
  | { readonly kind: 'linearizable' }
  /** `until`: when all had returned that kept the search from going on where it came furthest. A hint. */
  | { readonly kind: 'violation'; readonly until: number }
  | { readonly kind: 'undecided'; readonly reason: string };

/**
 * Whether some order explains every answer. Uses up `budget`. First as if optional operations could happen
 * again and again: then it is all one how many did before, and there are far fewer configurations. No such
 * order, no order at all; and nearly always the order that is found does not use what there is not.
 */
export function searchLinearization(register: PrunedRegister, budget: SearchBudget): SearchResult {
  const result = new Search(register, budget, 'repeatable').run();
  if (result.kind !== 'repeats') return result;
  const exact = new Search(register, budget, 'once').run();
  return exact.kind === 'repeats' ? { kind: 'linearizable' } : exact;
}

/** How often an optional operation may take effect. */
type Optionals = 'once' | 'repeatable';

/**
 * Calls and returns form one list by time, a call before a return of the same moment (so the two are
 * concurrent). Node i + 1 is the call of operation i, node i + 1 + count its return, node 0 the list's head.
 * An operation takes effect by being lifted out of the list; what can take effect next is what is called
 * before the first return in the list.
 */
class Search {
  private readonly register: PrunedRegister;
  private readonly budget: SearchBudget;
  private readonly optionals: Optionals;
  private readonly count: number;
  private readonly needs: Int32Array;
  private readonly writes: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** By value: operations in the list that need it, and those in the list or still optional that write it. */
  private readonly needed: Int32Array;
  /** By value: 1 if optional operations need it. */
  private readonly neededByOptional: Uint8Array;
  private readonly writers: Int32Array;
  /** How many of each optional class have taken effect, and how many of all that there were not. */
  private readonly used: number[];
  private repeats = 0;
  /** Operations lifted, in order. */
  private readonly trail: number[] = [];
  private value = absent;
  /** The last in order of call that was lifted; -1: none. */
  private highest = -1;
  private readonly frames: Frame[] = [];
  private readonly visited: VisitedConfigurations;
  /** Where the search came furthest: how many had taken effect, the value then, and what had to come next. */
  private furthest = -1;
  private furthestValue = absent;
  private furthestReturn = 0;

  constructor(register: PrunedRegister, budget: SearchBudget, optionals: Optionals) {
    const { definite, optional, blank } = register;
    this.register = register;
    this.budget = budget;
    this.optionals = optionals;
    this.count = definite.length;
    this.needs = Int32Array.from(definite, ({ needs }) => needs);
    this.writes = Int32Array.from(definite, ({ writes }) => writes);
    this.needed = new Int32Array(blank + 1);
    this.writers = new Int32Array(blank + 1);
    for (const { needs, writes } of definite) {
      if (needs !== nothing) bump(this.needed, needs, 1);
      if (writes !== nothing) bump(this.writers, writes, 1);
    }
    this.neededByOptional = new Uint8Array(blank + 1);
    for (const { needs, writes, calls } of optional) {
      bump(this.writers, writes, calls.length);
      if (needs !== nothing) this.neededByOptional[needs] = 1;
    }
    this.used = optional.map(() => 0);
    this.visited = new VisitedConfigurations(budget, Math.max(this.count, blank) >= 0xffff);
    this.next = new Int32Array(2 * this.count + 1);
    this.previous = new Int32Array(2 * this.count + 1);
    this.linkByTime();
  }

  run(): SearchResult | { readonly kind: 'repeats' } {
    this.pushFrame(0, -1, false);
    for (;;) {
      const isNew = this.arrive();
      if (this.next[0] === 0) return { kind: this.repeats > 0 ? 'repeats' : 'linearizable' };
      if (!isNew) this.retreat();
      while (!this.advance()) {
        if (this.frames.length === 1) return { kind: 'violation', until: this.stuckUntil() };
        this.retreat();
      }
      const reason = this.budget.exhausted;
      if (reason !== undefined) return { kind: 'undecided', reason };
    }
  }

  private linkByTime(): void {
    const { definite } = this.register;
    const returns = Array.from(definite.keys()).sort((a, b) => this.returnOf(a) - this.returnOf(b) || a - b);
    let last = 0;
    let nextReturn = 0;
    const link = (node: number): void => {
      this.next[last] = node;
      this.previous[node] = last;
      last = node;
    };
    const linkReturnsBefore = (time: number): void => {
      for (; nextReturn < returns.length; nextReturn++) {
        const operation = returns[nextReturn] ?? 0;
        if (this.returnOf(operation) >= time) return;
        link(operation + 1 + this.count);
      }
    };
    for (const [i, { call }] of definite.entries()) {
      linkReturnsBefore(call);
      link(i + 1);
    }
    linkReturnsBefore(Infinity);
    this.next[last] = 0;
    this.previous[0] = last;
  }

  private returnOf(operation: number): number {
    return this.register.definite[operation]?.ret ?? Infinity;
  }

  /**
   * Completes the configuration of the top frame: all that only looks at the value it has now takes effect.
   * Moving such a step forward changes no value and only takes away what others must wait for. Returns
   * whether the configuration is new.
   */
  private arrive(): boolean {
    const frame = this.topFrame();
    const liftedBefore = this.trail.length;
    this.liftWhere(this.value, nothing, -1);
    frame.isUnseen = frame.optionalClass >= 0 && this.trail.length === liftedBefore;
    frame.highest = this.highest;
    frame.cursor = this.nodeAfter(0);
    const pending: number[] = [];
    let node = frame.cursor;
    for (; node !== 0 && node <= this.count; node = this.nodeAfter(node)) {
      if (node <= this.highest) pending.push(node);
    }
    if (this.trail.length > this.furthest) {
      this.furthest = this.trail.length;
      this.furthestValue = this.value;
      this.furthestReturn = this.returnOf(node - 1 - this.count);
    }
    const used = this.optionals === 'once' ? this.used : [];
    this.budget.step(used.length);
    return this.visited.add(this.value, this.highest, pending, used);
  }

  /** Either what had to come next could not, or the value could not be left because of somebody later. */
  private stuckUntil(): number {
    if (this.furthestValue === absent) return this.furthestReturn;
    const finders = this.register.definite.filter(({ needs }) => needs === this.furthestValue);
    return finders.reduce((latest, { ret }) => Math.max(latest, ret), this.furthestReturn);
  }

  /** Takes the next choice of the top frame, which makes a new frame. False when there is none left. */
  private advance(): boolean {
    const frame = this.topFrame();
    let node = frame.cursor;
    for (; node !== 0 && node <= this.count; node = this.nodeAfter(node)) {
      const operation = node - 1;
      const needs = this.needs[operation] ?? 0;
      if (frame.isUnseen && needs === nothing) continue;
      if (!this.canChoose(needs, this.writes[operation] ?? 0, 1)) continue;
      frame.cursor = this.nodeAfter(node);
      this.choose(operation);
      return true;
    }
    frame.cursor = node;
    const first = node - 1 - this.count;
    const { optional } = this.register;
    while (frame.choice < optional.length) {
      this.budget.step();
      const i = frame.choice++;
      const { needs, writes, calls } = optional[i] as OptionalClass;
      const isThere = (calls[this.used[i] ?? 0] ?? Infinity) <= this.returnOf(first);
      const mayRepeat = this.optionals === 'repeatable' && (calls[0] ?? Infinity) <= this.returnOf(first);
      if (!(isThere || mayRepeat) || !this.isUseful(writes)) continue;
      if ((frame.isUnseen && needs === nothing) || !this.canChoose(needs, writes, 0)) continue;
      this.chooseOptional(i, needs, writes, !isThere);
      return true;
    }
    return false;
  }

  /** Whether an optional write can help anybody: one that must, or one that may find its value. */
  private isUseful(writes: number): boolean {
    if (writes === this.value) return false;
    return this.needed[writes] !== 0 || this.neededByOptional[writes] !== 0;
  }

  /** `own`: 1 for an operation of the list, which counts among those that need its value. */
  private canChoose(needs: number, writes: number, own: 0 | 1): boolean {
    if (needs !== nothing && needs !== this.value) return false;
    if (writes === nothing) return false;
    if (writes === this.value) return true;
    const others = (this.needed[this.value] ?? 0) - (needs === nothing ? 0 : own);
    return others === 0 || (this.writers[this.value] ?? 0) > 0;
  }

  private choose(operation: number): void {
    const trailLength = this.trail.length;
    if (this.needs[operation] === nothing) this.liftBlanks(operation);
    this.lift(operation);
    this.value = this.writes[operation] ?? 0;
    this.pushFrame(trailLength, -1, false);
  }

  private chooseOptional(i: number, needs: number, writes: number, isRepeat: boolean): void {
    const trailLength = this.trail.length;
    if (needs === nothing) this.liftBlanks(-1);
    this.value = writes;
    this.pushFrame(trailLength, i, isRepeat);
    this.countOptional(i, 1);
  }

  private countOptional(i: number, by: 1 | -1): void {
    if (this.topFrame().isRepeat) this.repeats += by;
    bump(this.used, i, by);
    if (this.optionals === 'once') bump(this.writers, this.register.optional[i]?.writes ?? 0, -by);
  }

  /**
   * What nobody looks at takes effect right before the blind write that comes next. Wherever an order has it
   * later, it can be moved here: what followed it there up to the next write needed no value.
   */
  private liftBlanks(except: number): void {
    this.liftWhere(nothing, this.register.blank, except);
  }

  /** Lifts what needs and writes just this and can take effect, also what can only because of that. */
  private liftWhere(needs: number, writes: number, except: number): void {
    let before = 0;
    for (;;) {
      const node = this.nodeAfter(before);
      if (node === 0 || node > this.count) return;
      const operation = node - 1;
      const isOne = this.needs[operation] === needs && this.writes[operation] === writes;
      // A lifted node's own links are of the past; the one before it leads on.
      if (isOne && operation !== except) this.lift(operation);
      else before = node;
    }
  }

  private pushFrame(trailLength: number, optionalClass: number, isRepeat: boolean): void {
    const { value, highest } = this;
    this.frames.push({
      value,
      highest,
      trailLength,
      optionalClass,
      isRepeat,
      isUnseen: false,
      cursor: 0,
      choice: 0,
    });
  }

  /** Undoes the top frame. */
  private retreat(): void {
    const { trailLength, optionalClass } = this.topFrame();
    while (this.trail.length > trailLength) this.putBack(this.trail.pop() ?? 0);
    if (optionalClass >= 0) this.countOptional(optionalClass, -1);
    this.frames.pop();
    const { value, highest } = this.topFrame();
    this.value = value;
    this.highest = highest;
  }

  private topFrame(): Frame {
    return this.frames[this.frames.length - 1] as Frame;
  }

  private nodeAfter(node: number): number {
    this.budget.step();
    return this.next[node] ?? 0;
  }

  private lift(operation: number): void {
    this.unlink(operation + 1);
    this.unlink(operation + 1 + this.count);
    this.trail.push(operation);
    this.countOut(operation, -1);
    if (operation > this.highest) this.highest = operation;
  }

  private putBack(operation: number): void {
    this.countOut(operation, 1);
    this.relink(operation + 1 + this.count);
    this.relink(operation + 1);
  }

  private countOut(operation: number, by: number): void {
    const needs = this.needs[operation] ?? nothing;
    const writes = this.writes[operation] ?? nothing;
    if (needs !== nothing) bump(this.needed, needs, by);
    if (writes !== nothing) bump(this.writers, writes, by);
  }

  private unlink(node: number): void {
    const [before, after] = [this.previous[node] ?? 0, this.next[node] ?? 0];
    this.next[before] = after;
    this.previous[after] = before;
  }

  private relink(node: number): void {
    this.next[this.previous[node] ?? 0] = node;
    this.previous[this.next[node] ?? 0] = node;
  }
}

/** One configuration on the way; `cursor` and `choice` say which choices in it were taken already. */
interface Frame {
  readonly value: number;
  highest: number;
  /** Of the trail before the choice that led here. */
  readonly trailLength: number;
  /** The optional class chosen to get here, or -1. */
  readonly optionalClass: number;
  /** More of that class than there were. */
  readonly isRepeat: boolean;
  /**
   * Chosen to get here was an optional one, and nobody has found its value yet: whoever is next must. The
   * other choices were there before that one, with fewer used, so this configuration may count as any other.
   */
  isUnseen: boolean;
  /** Node of the list from which to look on. */
  cursor: number;
  /** Optional class from which to look on. */
  choice: number;
}

function bump(counts: Int32Array | number[], value: number, by: number): void {
  counts[value] = (counts[value] ?? 0) + by;
}
