// The figures of a chaos run, from its evidence alone: how much was done, what became of it, how fast, and
// how long nothing went through. One pass over the operations; nothing here judges.

import type { HistoryOperation } from '../../sim/history/file.js';
import { finalClient, type ChaosEvidence } from '../run.js';

export interface ChaosFigures {
  readonly operations: number;
  readonly ok: number;
  /** Refused, or a condition that did not hold: certainly without effect. */
  readonly failed: number;
  readonly unknown: number;
  /** Those that changed something. */
  readonly acknowledgedWrites: number;
  readonly clients: number;
  readonly keys: number;
  readonly loadSeconds: number;
  readonly faultsDone: number;
  readonly faultsSkipped: number;
  /** By name, most first; only those done. */
  readonly faultsByKind: readonly (readonly [kind: string, count: number])[];
  /** The longest time in which no write of any client was acknowledged, and when it began. */
  readonly longestGapMs: number;
  readonly longestGapAtNs: number;
  readonly leaderships: number;
  readonly highestTerm: number;
  readonly latencyMsP50: number;
  readonly latencyMsP99: number;
  readonly latencyMsMax: number;
}

export function isWrite({ op }: HistoryOperation): boolean {
  return op !== 'get';
}

/** Whether it was acknowledged as a write that changed something. */
export function isEffectiveWrite({ op, out }: HistoryOperation): boolean {
  return op !== 'get' && out.st === 'ok' && !(op === 'delete' && out.n === 0);
}

export function figuresOf(evidence: ChaosEvidence): ChaosFigures {
  const { operations, faults, leaderships, loadFromNs, loadToNs } = evidence;
  const count = { ok: 0, fail: 0, unknown: 0 };
  let acknowledgedWrites = 0;
  const latencies: number[] = [];
  const writesAt: number[] = [];
  for (const operation of operations) {
    const { out, ret, call } = operation;
    count[out.st] += 1;
    if (isEffectiveWrite(operation)) acknowledgedWrites += 1;
    if (out.st !== 'ok' || ret === null) continue;
    if (operation.c !== finalClient) latencies.push(ret - call);
    if (isWrite(operation)) writesAt.push(ret);
  }
  const sorted = Float64Array.from(latencies).sort();
  const done = faults.filter((fault) => fault.done === 'done');
  const byKind = new Map<string, number>();
  for (const { kind } of done) byKind.set(kind, (byKind.get(kind) ?? 0) + 1);
  const gap = longestGap(writesAt, loadFromNs, loadToNs);
  return {
    operations: operations.length,
    ok: count.ok,
    failed: count.fail,
    unknown: count.unknown,
    acknowledgedWrites,
    clients: evidence.clients,
    keys: new Set(operations.map(({ k }) => k)).size,
    loadSeconds: Math.round((loadToNs - loadFromNs) / 1e8) / 10,
    faultsDone: done.length,
    faultsSkipped: faults.length - done.length,
    faultsByKind: [...byKind].sort((a, b) => b[1] - a[1]),
    longestGapMs: gap.ns / 1e6,
    longestGapAtNs: gap.atNs,
    leaderships: leaderships.length,
    highestTerm: Math.max(0, ...leaderships.map(({ term }) => term)),
    latencyMsP50: percentile(sorted, 0.5) / 1e6,
    latencyMsP99: percentile(sorted, 0.99) / 1e6,
    latencyMsMax: percentile(sorted, 1) / 1e6,
  };
}

/** Of ascending values; 0 for none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function longestGap(writesAt: number[], fromNs: number, toNs: number): { ns: number; atNs: number } {
  let gap = { ns: 0, atNs: fromNs };
  let last = fromNs;
  for (const at of [...writesAt.sort((a, b) => a - b), toNs]) {
    if (at > toNs) break;
    if (at - last > gap.ns) gap = { ns: at - last, atNs: last };
    last = Math.max(last, at);
  }
  return gap;
}
