// Makes a failing plan small by delta debugging: leaves out faults, operations, clients, machines and the end
// of the run, then makes plain what is left, as long as the SAME promise breaks; a plan that breaks another
// one is another finding. Every candidate is judged by running it. Where leaving something out shifts the
// moments that the failure depends on, the same candidate is tried with other dice. Pure: how long it may
// take is the caller's to say. Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
// Input".

import { KvorumError } from '../../base/errors.js';
import type { Violation } from '../checkers/violations.js';
import { roll32, streamOf } from '../world/dice.js';
import type { Plan } from '../plan/plan.js';
import { endingAt, plainer, withoutClient, withoutMachine } from '../plan/shrink-steps.js';
import { runSimulation } from './simulator.js';

export interface ShrinkProgress {
  /** What is being tried, for a progress line. */
  readonly phase: string;
  /** Simulations so far. */
  readonly runs: number;
  /** Of the smallest plan so far. */
  readonly faults: number;
  readonly operations: number;
}

export interface ShrinkOptions {
  /** The first promise that a plan breaks; by default by running it. */
  readonly check?: (plan: Plan) => Violation | undefined;
  /** No more simulations than this. */
  readonly runsMax?: number;
  /** Asked before each simulation; the best plan so far is the result once it says true. */
  readonly isOver?: () => boolean;
  readonly onProgress?: (progress: ShrinkProgress) => void;
}

export interface ShrinkResult {
  /** Breaks the same promise as the plan that was given; at most its size. */
  readonly plan: Plan;
  readonly violation: Violation;
  readonly runs: number;
}

const defaultRunsMax = 5_000;
/** How often a candidate that does not fail is tried again with other dice. */
const otherDiceMax = 3;
const diceStream = streamOf('shrink');
/** A candidate with at most this share of the items is worth other dice. */
const worthMuch = 0.8;
/** The first rounds leave out parts no smaller than this share of all. */
const coarseParts = 8;

/** Faults and operations: what a person has to look at. */
export function sizeOf({ faults, operations }: Plan): number {
  return faults.length + operations.length;
}

/**
 * The smallest plan found that breaks the same promise. Throws INVALID_ARGUMENT when the plan given breaks
 * none.
 */
export function shrinkPlan(plan: Plan, options: ShrinkOptions = {}): ShrinkResult {
  const check = options.check ?? ((candidate: Plan) => runSimulation(candidate).violations[0]);
  const violation = check(plan);
  if (violation === undefined) {
    throw new KvorumError('INVALID_ARGUMENT', 'the plan cannot be shrunk: it breaks no promise');
  }
  return new Shrinker(plan, violation, check, options).run();
}

class Shrinker {
  private best: Plan;
  private violation: Violation;
  private readonly check: (plan: Plan) => Violation | undefined;
  private readonly options: ShrinkOptions;
  private runs = 1;
  private phase = '';

  constructor(
    plan: Plan,
    violation: Violation,
    check: (plan: Plan) => Violation | undefined,
    options: ShrinkOptions,
  ) {
    this.best = plan;
    this.violation = violation;
    this.check = check;
    this.options = options;
  }

  run(): ShrinkResult {
    let previous: Plan | undefined;
    // Large parts of everything first: what is left out early makes all later runs shorter.
    for (let parts = coarseParts; previous !== this.best || parts !== Infinity;) {
      if (this.isOver) break;
      if (previous === this.best) parts = Infinity;
      previous = this.best;
      this.cutEnd();
      this.dropClients();
      this.thinOperations(parts);
      this.thinFaults(parts);
      this.dropMachines();
    }
    this.cutEnd();
    this.makePlain();
    return { plan: this.best, violation: this.violation, runs: this.runs };
  }

  private get isOver(): boolean {
    return this.runs >= (this.options.runsMax ?? defaultRunsMax) || (this.options.isOver?.() ?? false);
  }

  /** Keeps the candidate if it breaks the same promise, with its own dice or `otherDice` others. */
  private try(candidate: Plan, otherDice: number): boolean {
    for (let i = 0; i <= otherDice; i++) {
      if (this.isOver) return false;
      const seed = i === 0 ? candidate.seed : roll32(candidate.seed, diceStream, this.runs);
      const plan = { ...candidate, seed };
      this.runs++;
      const violation = this.check(plan);
      const { best } = this;
      this.options.onProgress?.({
        phase: this.phase,
        runs: this.runs,
        faults: best.faults.length,
        operations: best.operations.length,
      });
      if (violation?.id !== this.violation.id) continue;
      this.best = plan;
      this.violation = violation;
      return true;
    }
    return false;
  }

  /** Ends the run earlier: at once after the violation, if it was seen on the way, else by trying. */
  private cutEnd(): void {
    this.phase = 'end';
    const seenMs = Math.ceil(this.violation.timeUs / 1000) + 1;
    const { safetyMs } = this.best;
    const shorter = [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9].map((share) => Math.ceil(safetyMs * share));
    for (const endMs of [seenMs, ...shorter]) {
      if (endMs < safetyMs && this.try(endingAt(this.best, endMs), 0)) return;
    }
  }

  private thinFaults(parts: number): void {
    this.phase = 'faults';
    for (const kind of new Set(this.best.faults.map((fault) => fault.kind))) {
      this.keepFaults((fault) => fault.kind !== kind);
    }
    this.thin(
      parts,
      ({ faults }) => faults,
      (faults) => ({ ...this.best, faults }),
    );
  }

  private keepFaults(isKept: (fault: Plan['faults'][number]) => boolean): void {
    const faults = this.best.faults.filter(isKept);
    if (faults.length < this.best.faults.length) this.try({ ...this.best, faults }, otherDiceMax);
  }

  private dropClients(): void {
    this.phase = 'clients';
    for (let client = this.best.clients.length - 1; client >= 0; client--) {
      this.try(withoutClient(this.best, client), otherDiceMax);
    }
  }

  private thinOperations(parts: number): void {
    this.phase = 'operations';
    const { operations } = this.best;
    for (const key of new Set(operations.map((operation) => operation.key))) {
      this.keepOperations((operation) => operation.key !== key);
    }
    for (const kind of new Set(operations.map((operation) => operation.kind))) {
      this.keepOperations((operation) => operation.kind !== kind);
    }
    this.thin(
      parts,
      (plan) => plan.operations,
      (kept) => ({ ...this.best, operations: kept }),
    );
  }

  private keepOperations(isKept: (operation: Plan['operations'][number]) => boolean): void {
    const operations = this.best.operations.filter(isKept);
    if (operations.length < this.best.operations.length) {
      this.try({ ...this.best, operations }, otherDiceMax);
    }
  }

  private dropMachines(): void {
    this.phase = 'machines';
    for (let node = this.best.machines.length - 1; node >= 0; node--) {
      const plan = withoutMachine(this.best, node);
      if (plan !== undefined) this.try(plan, otherDiceMax);
    }
  }

  /** Leaves out runs of items, long ones first, later ones first, down to the `parts`-th part of all. */
  private thin<T>(
    parts: number,
    itemsOf: (plan: Plan) => readonly T[],
    withItems: (items: readonly T[]) => Plan,
  ): void {
    let length = Math.ceil(itemsOf(this.best).length / 2);
    const lengthMin = Math.max(1, itemsOf(this.best).length / parts);
    while (length >= lengthMin && !this.isOver) {
      for (let end = itemsOf(this.best).length; end > 0; end -= length) {
        const items = itemsOf(this.best);
        const kept = [...items.slice(0, Math.max(0, end - length)), ...items.slice(end)];
        const isWorthMuch = kept.length <= items.length * worthMuch;
        this.try(withItems(kept), isWorthMuch ? otherDiceMax : 0);
      }
      length = length === 1 ? 0 : Math.ceil(length / 2);
    }
  }

  /** Sets what is out of the ordinary back to the ordinary, one thing after the other. */
  private makePlain(): void {
    this.phase = 'values';
    for (const step of plainer) {
      // What was refused stays where it is in the list; what was taken leaves it.
      let refused = 0;
      while (!this.isOver) {
        const candidate = step(this.best)[refused];
        if (candidate === undefined) break;
        if (!this.try(candidate, 0)) refused++;
      }
    }
  }
}
