// Linearizability as a black box: is there one order of all operations, each somewhere between its call and
// its return, in which every answer is right? Judged by values alone and key by key (a history is
// linearizable if and only if it is for each key: M. Herlihy, J. Wing, 1990), against a register with get,
// put, delete and compare-and-set whose keys are all absent in the beginning. It uses nothing of how the
// store works, no revision and no version, and so it can judge any store. Pure and deterministic.
// Source: research §4.6.

import { KvorumError } from '../../../base/errors.js';
import type { HistoryOperation } from '../../history/file.js';
import { explainViolation } from '../search/explanation.js';
import { searchLinearization } from '../search/linearization-search.js';
import { absent, nothing, prune, type Register, registerOf } from './register-model.js';
import { SearchBudget, type SearchLimits } from '../search/search-budget.js';
import { smallestViolation } from '../search/smallest-violation.js';

export type { SearchLimits } from '../search/search-budget.js';

export type LinearizabilityResult =
  | { readonly result: 'linearizable' }
  | {
      readonly result: 'violation';
      readonly key: string;
      /** A few operations that have no order either, by call. Nothing that was left out can explain them. */
      readonly smallest: readonly HistoryOperation[];
      /** In words. */
      readonly explanation: string;
    }
  /** The limits were too tight, or a transaction touches the key: neither proven nor disproven. */
  | { readonly result: 'undecided'; readonly key: string; readonly reason: string };

/**
 * Judges a history. The limits hold for all keys together. An operation with `unknown` may have happened at
 * any time after its call, also after its return, or never. A violation of any key comes before an undecided
 * one. Throws INVALID_ARGUMENT for limits below 1 or a `budgetMs` without a clock.
 */
export function checkLinearizability(
  operations: readonly HistoryOperation[],
  limits: SearchLimits = {},
): LinearizabilityResult {
  checkLimits(limits);
  const budget = new SearchBudget(limits);
  let undecided: LinearizabilityResult | undefined;
  for (const [key, ofKey] of byKey(operations)) {
    const result = checkKey(key, ofKey, budget, limits);
    if (result.result === 'violation') return result;
    if (result.result === 'undecided') undecided ??= result;
  }
  return undecided ?? { result: 'linearizable' };
}

function checkKey(
  key: string,
  operations: readonly HistoryOperation[],
  budget: SearchBudget,
  limits: SearchLimits,
): LinearizabilityResult {
  if (operations.some(({ op }) => op === 'txn')) {
    const reason = 'a transaction touches it, and transactions cannot be judged key by key yet';
    return { result: 'undecided', key, reason };
  }
  const contradiction = operations.find(isContradiction);
  if (contradiction !== undefined) {
    const explanation = `cas by ${contradiction.c} failed although it found what it expected`;
    return { result: 'violation', key, smallest: [contradiction], explanation };
  }
  const register = registerOf(operations);
  budget.forgetConfigurations();
  const found = searchUnlessObvious(register, budget);
  if (found.kind === 'linearizable') return { result: 'linearizable' };
  if (found.kind === 'undecided') return { result: 'undecided', key, reason: found.reason };
  // The reduction has limits of its own: the verdict stands, only the proof would stay longer.
  const evidence = smallestViolation(found.register, found.until, new SearchBudget(limits));
  const smallest = evidence.map(({ source }) => source);
  return { result: 'violation', key, smallest, explanation: explainViolation(evidence, register.operations) };
}

type Found =
  | { readonly kind: 'linearizable' }
  | {
      readonly kind: 'violation';
      readonly register: Register;
      readonly until: number;
    }
  | { readonly kind: 'undecided'; readonly reason: string };

/**
 * A value that was found and that nobody wrote at all needs no search. Otherwise the search, which would find
 * that out only after it has tried everything before.
 */
function searchUnlessObvious(register: Register, budget: SearchBudget): Found {
  const written = new Set(register.operations.map(({ writes }) => writes)).add(absent).add(nothing);
  const invented = register.operations.find(({ needs, isOptional }) => !isOptional && !written.has(needs));
  if (invented !== undefined) {
    const operation = { ...invented, writes: nothing };
    return { kind: 'violation', register: { ...register, operations: [operation] }, until: operation.ret };
  }
  const result = searchLinearization(prune(register), budget);
  return result.kind === 'violation' ? { ...result, register } : result;
}

/** The answer of a cas that contradicts itself. */
function isContradiction({ op, exp, out }: HistoryOperation): boolean {
  return op === 'cas' && out.st === 'fail' && out.v !== undefined && out.v === exp;
}

/** In the order of their first operations. */
function byKey(operations: readonly HistoryOperation[]): Map<string, HistoryOperation[]> {
  const keys = new Map<string, HistoryOperation[]>();
  for (const operation of operations) {
    // What certainly did not happen touches nothing.
    if (operation.op === 'txn' && operation.out.st === 'fail') continue;
    for (const key of operation.keys ?? [operation.k]) {
      const known = keys.get(key);
      if (known === undefined) keys.set(key, [operation]);
      else known.push(operation);
    }
  }
  return keys;
}

function checkLimits({ stepsMax, configurationsMax, budgetMs, nowMs }: SearchLimits): void {
  for (const [name, value] of Object.entries({ stepsMax, configurationsMax, budgetMs })) {
    if (value !== undefined && !(value >= 1)) {
      throw new KvorumError('INVALID_ARGUMENT', `${name} is ${value}; it must be at least 1`);
    }
  }
  if (budgetMs !== undefined && nowMs === undefined) {
    throw new KvorumError('INVALID_ARGUMENT', 'budgetMs needs a clock: pass nowMs, or stepsMax instead');
  }
}
