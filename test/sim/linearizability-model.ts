// Histories for the tests of the checkers: a slow judge that cannot be wrong, a generator of anything at all,
// and a small honest store with concurrent clients whose histories are linearizable by construction.

import type { HistoryOperation, HistoryOutcome } from '../../src/sim/history/file.js';
import type { Prng } from '../../src/base/prng.js';

/** Whether one key's few operations have an order that explains every answer: tries them all. */
export function isLinearizable(operations: readonly HistoryOperation[]): boolean {
  return tryOrders([...operations], null);
}

function tryOrders(left: readonly HistoryOperation[], value: string | null): boolean {
  if (left.every(isIgnorable)) return true;
  return left.some((operation, i) => {
    const mustWait = left.some((other) => other !== operation && endOf(other) < operation.call);
    if (mustWait) return false;
    const rest = left.filter((_, j) => j !== i);
    // What need not have happened may be left out at any time.
    if (isIgnorable(operation) && tryOrders(rest, value)) return true;
    const after = effectOf(operation, value);
    return after !== undefined && tryOrders(rest, after);
  });
}

function isIgnorable({ op, out }: HistoryOperation): boolean {
  return out.st === 'unknown' || (out.st === 'fail' && !(op === 'cas' && out.v !== undefined));
}

function endOf(operation: HistoryOperation): number {
  return isIgnorable(operation) ? Infinity : (operation.ret ?? Infinity);
}

/** The value after it; `undefined` when it cannot have happened on `value`. */
function effectOf({ op, v, exp, out }: HistoryOperation, value: string | null): string | null | undefined {
  if (out.st === 'fail') {
    const isJudged = op === 'cas' && out.v !== undefined;
    return isJudged && out.v === value && exp !== value ? value : undefined;
  }
  switch (op) {
    case 'get':
      return out.st === 'ok' && out.v === value ? value : undefined;
    case 'put':
    case 'delete':
      return v ?? null;
    case 'cas':
      return exp === value ? (v ?? null) : undefined;
    case 'txn':
      return undefined;
  }
}

/** A few operations on one key with any answers: mostly not linearizable, often nearly so. */
export function anyHistory(
  prng: Prng,
  count: number,
  values: readonly (string | null)[],
): HistoryOperation[] {
  const operations: HistoryOperation[] = [];
  const span = prng.integer(2, 4 * count);
  for (let i = 0; i < count; i++) {
    const call = prng.integer(0, span);
    const base = { c: `c${i}`, k: 'x', call, ret: call + prng.integer(0, Math.ceil(span / 2)) };
    const [a, b] = [prng.pick(values), prng.pick(values)];
    const written = values.filter((value) => value !== null);
    const st = prng.chance(0.2) ? 'unknown' : 'ok';
    const end = st === 'unknown' && prng.chance(0.5) ? { ret: null } : {};
    const choice = prng.integer(0, 5);
    if (choice <= 1) operations.push({ ...base, op: 'get', out: { st: 'ok', v: a } });
    else if (choice === 2)
      operations.push({ ...base, ...end, op: 'put', v: prng.pick(written), out: { st } });
    else if (choice === 3) operations.push({ ...base, ...end, op: 'delete', out: { st } });
    else if (choice === 4) operations.push({ ...base, ...end, op: 'cas', exp: a, v: b, out: { st } });
    else {
      const seen = prng.pick(prng.chance(0.9) ? values.filter((value) => value !== a) : values);
      operations.push({ ...base, op: 'cas', exp: a, v: b, out: { st: 'fail', v: seen } });
    }
  }
  if (prng.chance(0.2)) return operations;
  // What nobody wrote is seen at once; let most find what somebody wrote.
  const written = [null, ...operations.flatMap(({ v, out }) => (out.st === 'fail' ? [] : (v ?? [])))];
  return operations.map((operation) =>
    operation.op === 'get' ? { ...operation, out: { st: 'ok', v: prng.pick(written) } } : operation,
  );
}

export interface StoreOptions {
  readonly operations: number;
  readonly keys: number;
  readonly clients: number;
  /** Of all writes; half of them happen. */
  readonly unknown: number;
  /** Shares of the kinds; the rest are puts. */
  readonly gets: number;
  readonly deletes: number;
  readonly swaps: number;
}

interface Version {
  readonly value: string | null;
  readonly mod: number;
  readonly ver: number;
}

const gone: Version = { value: null, mod: 0, ver: 0 };

/** Clients that each do one thing after the other on a store that answers truthfully, in virtual time. */
export function honestHistory(prng: Prng, options: StoreOptions): HistoryOperation[] {
  const state = new Map<string, Version>();
  const operations: HistoryOperation[] = [];
  /** What each client does now, with the moment at which it takes effect. */
  const freeAt = Array.from({ length: options.clients }, () => prng.integer(0, 50));
  const renamed = freeAt.map(() => 0);
  let revision = 0;
  const begun: { at: number; run: () => void }[] = [];
  for (let i = 0; i < options.operations; i++) {
    const client = freeAt.indexOf(Math.min(...freeAt));
    const call = freeAt[client] ?? 0;
    const at = call + prng.integer(1, 100);
    const ret = at + prng.integer(1, 100);
    freeAt[client] = ret + prng.integer(0, 30);
    const k = `k${prng.integer(1, options.keys)}`;
    const c = `c${client + 1}.${renamed[client]}`;
    const kind = prng.fraction();
    const isUnknown = kind >= options.gets && prng.chance(options.unknown);
    const isLost = isUnknown && prng.chance(0.5);
    const guess = prng.chance(0.8);
    if (isUnknown) renamed[client] = (renamed[client] ?? 0) + 1;
    const place = operations.length;
    operations.push({ c, op: 'get', k, call, ret, out: { st: 'unknown' } });
    // A late effect, long after the client gave up, is part of what unknown means.
    const late = isUnknown && prng.chance(0.5) ? prng.integer(0, 3_000) : 0;
    begun.push({
      at: at + late,
      run: () => {
        const before = state.get(k) ?? gone;
        const value = `v${i}`;
        const exp = guess ? before.value : `v${prng.integer(0, i)}`;
        let filled: Pick<HistoryOperation, 'op' | 'v' | 'exp' | 'out'>;
        const found = { v: before.value, rev: revision, mod: before.mod, ver: before.ver };
        const write = (written: string | null): HistoryOutcome => {
          if (isLost) return { st: 'ok' };
          if (written === null && before.value === null) return { st: 'ok', rev: revision, n: 0 };
          revision++;
          const ver = written === null ? 0 : before.ver + 1;
          state.set(k, { value: written, mod: written === null ? 0 : revision, ver });
          return { st: 'ok', rev: revision, ...(written === null ? { n: 1 } : { ver }) };
        };
        if (kind < options.gets) filled = { op: 'get', out: { st: 'ok', ...found } };
        else if (kind < options.gets + options.deletes) filled = { op: 'delete', out: write(null) };
        else if (kind < options.gets + options.deletes + options.swaps) {
          const isRight = exp === before.value;
          const out: HistoryOutcome = isRight ? write(value) : { st: 'fail', ...found };
          filled = { op: 'cas', v: value, exp, out };
        } else filled = { op: 'put', v: value, out: write(value) };
        const out: HistoryOutcome = isUnknown ? { st: 'unknown' } : filled.out;
        operations[place] = { c, k, call, ret: isUnknown && late > 0 ? null : ret, ...filled, out };
      },
    });
  }
  begun.sort((a, b) => a.at - b.at);
  for (const { run } of begun) run();
  return operations;
}

/** What an honest store holds after a history without unknown outcomes: the newest version of each key. */
export function finalStateOf(
  operations: readonly HistoryOperation[],
): Map<string, { value: string; version: number; rev: number }> {
  const final = new Map<string, { value: string; version: number; rev: number }>();
  const newest = new Map<string, number>();
  for (const { op, k, v, out } of operations) {
    const { rev = 0, ver = 0 } = out;
    const isWrite = op !== 'get' && out.st === 'ok' && out.n !== 0;
    if (!isWrite || rev <= (newest.get(k) ?? 0)) continue;
    newest.set(k, rev);
    if (typeof v === 'string') final.set(k, { value: v, version: ver, rev });
    else final.delete(k);
  }
  return final;
}

/**
 * Lies of a store that real time exposes: each needs a place where the order is beyond doubt, and gives
 * `undefined` for a history without one.
 */
type Damage = (operations: readonly HistoryOperation[], prng: Prng) => HistoryOperation[] | undefined;

export type DamageName = 'staleByOneRevision' | 'lostWrite' | 'appliedTwice' | 'swappedReads';

/**
 * Reads that found a put or cas, with it; `before`: the write that it covered, which had returned by then.
 */
function certainReads(
  operations: readonly HistoryOperation[],
): { read: HistoryOperation; write: HistoryOperation; before: HistoryOperation }[] {
  const byRevision = new Map(operations.filter(isPlacedWrite).map((write) => [write.out.rev ?? 0, write]));
  return operations.flatMap((read) => {
    const write = read.op === 'get' && read.out.st === 'ok' ? byRevision.get(read.out.mod ?? 0) : undefined;
    if (write === undefined || (write.ret ?? Infinity) >= read.call) return [];
    const earlier = [...byRevision.values()].filter(
      (other) => other.k === read.k && (other.ret ?? Infinity) < write.call && typeof other.v === 'string',
    );
    const before = earlier.sort((a, b) => (b.out.rev ?? 0) - (a.out.rev ?? 0))[0];
    return before === undefined ? [] : [{ read, write, before }];
  });
}

function isPlacedWrite({ op, out }: HistoryOperation): boolean {
  return (op === 'put' || op === 'cas') && out.st === 'ok';
}

function replace(
  operations: readonly HistoryOperation[],
  changes: ReadonlyMap<HistoryOperation, HistoryOutcome>,
): HistoryOperation[] {
  return operations.map((one) => ({ ...one, out: changes.get(one) ?? one.out }));
}

export const damages: Readonly<Record<DamageName, Damage>> = {
  /** A read answers from the state just before the newest write of its key. */
  staleByOneRevision: (operations, prng) => {
    const places = certainReads(operations);
    if (places.length === 0) return undefined;
    const { read, write, before } = prng.pick(places);
    const rev = (write.out.rev ?? 0) - 1;
    const out = {
      st: 'ok',
      v: before.v ?? null,
      rev,
      mod: before.out.rev ?? 0,
      ver: before.out.ver ?? 0,
    } as const;
    return replace(operations, new Map([[read, out]]));
  },

  /** A write is acknowledged and forgotten: all who found it find what was there before. */
  lostWrite: (operations, prng) => {
    const places = certainReads(operations).filter(
      // A cas that built on the write would have to be forgotten as well.
      ({ write }) =>
        !operations.some(({ op, exp, out }) => op === 'cas' && out.st !== 'fail' && exp === write.v),
    );
    if (places.length === 0) return undefined;
    const { write, before } = prng.pick(places);
    const { v = null } = before;
    const changes = new Map<HistoryOperation, HistoryOutcome>();
    for (const one of operations) {
      if (one.out.v !== write.v || one.out.st === 'unknown') continue;
      changes.set(one, { ...one.out, v, mod: before.out.rev ?? 0, ver: before.out.ver ?? 0 });
    }
    return replace(operations, changes);
  },

  /** An earlier write is applied once more after a later one, and found, at a revision of its own. */
  appliedTwice: (operations, prng) => {
    const places = certainReads(operations);
    if (places.length === 0) return undefined;
    const { read, write, before } = prng.pick(places);
    const again = (write.out.rev ?? 0) + 0.5;
    const ver = (write.out.ver ?? 0) + 1;
    const rev = Math.max(read.out.rev ?? 0, again);
    const out = { st: 'ok', v: before.v ?? null, rev, mod: again, ver } as const;
    return replace(operations, new Map([[read, out]]));
  },

  /** Two reads, one after the other, with the newer value and then the older one. */
  swappedReads: (operations, prng) => {
    const places = certainReads(operations).flatMap(({ read, write }) =>
      operations
        .filter(
          ({ op, k, ret, out }) => op === 'get' && k === read.k && out.st === 'ok' && (ret ?? 0) < write.call,
        )
        .map((earlier) => ({ earlier, read })),
    );
    if (places.length === 0) return undefined;
    const { earlier, read } = prng.pick(places);
    const changes = new Map([
      [earlier, read.out],
      [read, earlier.out],
    ]);
    return replace(operations, changes);
  },
};
