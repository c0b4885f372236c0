// Why no order of a few operations explains their answers, in words that a person can check. The common
// shapes have sentences of their own; the rest is small enough to be tried by hand. It only words what was
// proven, and never judges.

import { quote } from '../../history/file.js';
import { absent, nothing, type RegisterOperation } from '../clients/register-model.js';
import type { Evidence } from './smallest-violation.js';

/** `evidence`: a part of the register's operations that has no order, by call. */
export function explainViolation(
  evidence: readonly Evidence[],
  operations: readonly RegisterOperation[],
): string {
  const finders = evidence.filter(({ needs }) => needs !== nothing);
  const writers = evidence.filter(({ writes }) => writes !== nothing);
  return (
    explainNeverWritten(finders, operations) ??
    explainTwoSwaps(finders) ??
    explainCovered(finders, writers, operations) ??
    explainBackInTime(finders, writers) ??
    explainSeenAgain(finders, writers) ??
    `no order of these ${evidence.length} operations gives every one of their answers`
  );
}

function explainNeverWritten(
  finders: readonly Evidence[],
  operations: readonly RegisterOperation[],
): string | undefined {
  for (const finder of finders) {
    if (finder.needs === absent) continue;
    if (writersOf(finder.needs, operations).some(({ call }) => call <= finder.ret)) continue;
    return `${found(finder)}, but nobody had begun to write that before it returned`;
  }
  return undefined;
}

/** Two that both replaced the same value, which was there once. */
function explainTwoSwaps(finders: readonly Evidence[]): string | undefined {
  const [first, second] = finders;
  if (finders.length !== 2 || first === undefined || second === undefined) return undefined;
  const bothReplace = first.writes !== nothing && second.writes !== nothing && first.needs === second.needs;
  if (!bothReplace) return undefined;
  const once = 'but the first of the two replaced it, and nobody can have brought it back between them';
  return `${found(first)}, and ${found(second)}, ${once}`;
}

/** Every write of the value is before another write, which is before the one who found it. */
function explainCovered(
  finders: readonly Evidence[],
  writers: readonly Evidence[],
  operations: readonly RegisterOperation[],
): string | undefined {
  for (const finder of finders) {
    const own = writersOf(finder.needs, operations).filter(({ call }) => call <= finder.ret);
    for (const cover of writers) {
      const isBetween = cover.writes !== finder.needs && isAfter(finder, cover) && !cover.isOptional;
      if (!isBetween || !own.every((writer) => isAfter(cover, writer))) continue;
      const before = own.length === 0 ? 'no delete was called in time' : `${listOf(own)} had returned before`;
      return (
        `${found(finder)}, but ${wrote(cover)} had been acknowledged before it was called, and ${before} ` +
        'that one was called: what it found was gone'
      );
    }
  }
  return undefined;
}

/** Someone found the newer value, and someone later the older one. */
function explainBackInTime(finders: readonly Evidence[], writers: readonly Evidence[]): string | undefined {
  for (const later of finders) {
    const own = writersOf(later.needs, writers).filter(({ call }) => call <= later.ret);
    for (const earlier of finders) {
      if (earlier.needs === later.needs || !isAfter(later, earlier)) continue;
      const newer = writersOf(earlier.needs, writers);
      const isOlder = newer.length > 0 && newer.every((write) => own.every((old) => isAfter(write, old)));
      if (!isOlder) continue;
      const before = own.length === 0 ? 'which was so only before' : `written by ${listOf(own)} before`;
      return (
        `${found(later)}, ${before} ${listOf(newer)}, but ${found(earlier)}, and returned before the ` +
        'other was called: the value went back in time'
      );
    }
  }
  return undefined;
}

/** A value that was written once was found, then another one, then the first again. */
function explainSeenAgain(finders: readonly Evidence[], writers: readonly Evidence[]): string | undefined {
  for (const again of finders) {
    if (writersOf(again.needs, writers).length + (again.needs === absent ? 1 : 0) > 1) continue;
    for (const between of finders) {
      if (between.needs === again.needs || !isAfter(again, between)) continue;
      const first = finders.find(({ needs, ...at }) => needs === again.needs && isAfter(between, at));
      if (first === undefined) continue;
      return (
        `${found(first)}, then ${found(between)}, then ${found(again)}, each called after the one before ` +
        'had returned; but nobody can have brought back what the first and the last found'
      );
    }
  }
  return undefined;
}

function isAfter(later: { readonly call: number }, earlier: { readonly ret: number }): boolean {
  return earlier.ret < later.call;
}

function writersOf(value: number, operations: readonly RegisterOperation[]): RegisterOperation[] {
  return operations.filter(({ writes }) => writes === value);
}

/** The newest are the ones that a reader asks for. */
function listOf(operations: readonly RegisterOperation[]): string {
  const words = operations.slice(-2).map(wrote);
  if (operations.length > 2) words.push(`${operations.length - 2} more`);
  return words.join(' and ');
}

function wrote({ source: { c, op, v, out } }: RegisterOperation): string {
  const value = v === undefined || v === null ? '' : ` of ${quote(v)}`;
  return `the ${op}${value} by ${c}${out.st === 'unknown' ? ' (outcome unknown)' : ''}`;
}

function found({ source: { c, op, v, exp, out } }: Evidence): string {
  if (op !== 'cas') return `${op} by ${c} ${foundValue(out.v)}`;
  if (out.st === 'fail') return `cas by ${c} failed because it ${foundValue(out.v)}`;
  const to = v === undefined || v === null ? 'nothing' : quote(v);
  const from = exp === undefined || exp === null ? 'an absent key' : quote(exp);
  return `cas by ${c} replaced ${from} by ${to}`;
}

function foundValue(value: string | null | undefined): string {
  return value === undefined || value === null ? 'found the key absent' : `returned ${quote(value)}`;
}
