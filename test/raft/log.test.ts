// The log against a dumb twin: an array of entries that forgets nothing and looks everything up by walking.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/base/assert.js';
import { Log } from '../../src/raft/log.js';
import type { LogEntry, RecoveredLog, Term } from '../../src/raft/types.js';
import { VirtualDisk } from './virtual-disk.js';

function entryOf(index: number, term: Term, bytes: number): LogEntry {
  return { index, term, kind: 'command', payload: new Uint8Array(bytes) };
}

function recoveredFrom(terms: readonly Term[], recent: number): RecoveredLog {
  const disk = new VirtualDisk();
  disk.preset(terms, { currentTerm: terms.at(-1) ?? 0 });
  return disk.recovered(recent).log;
}

class TwinLog {
  entries: LogEntry[] = [];
  durableIndex = 0;
  baseIndex = 0;

  get lastIndex(): number {
    return this.entries.length;
  }

  termAt(index: number): Term | undefined {
    if (index < this.baseIndex) return undefined;
    return index === 0 ? 0 : this.entries[index - 1]?.term;
  }

  get baseTerm(): Term {
    return this.termAt(this.baseIndex) ?? 0;
  }

  lastIndexAtOrBelow(index: number, term: Term): number {
    let candidate = Math.min(index, this.lastIndex);
    while (candidate >= this.baseIndex && (this.termAt(candidate) ?? 0) > term) candidate--;
    return candidate;
  }
}

type Operation =
  | { kind: 'append'; count: number; termStep: number; bytes: number }
  | { kind: 'truncate'; from: number }
  | { kind: 'truncatePrefix'; through: number }
  | { kind: 'durable'; through: number }
  | { kind: 'evict'; bytesMax: number };

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    count: fc.integer({ min: 1, max: 5 }),
    termStep: fc.integer({ min: 0, max: 2 }),
    bytes: fc.integer({ min: 0, max: 20 }),
  }),
  fc.record({ kind: fc.constant('truncate' as const), from: fc.nat(100) }),
  fc.record({ kind: fc.constant('truncatePrefix' as const), through: fc.nat(100) }),
  fc.record({ kind: fc.constant('durable' as const), through: fc.nat(100) }),
  fc.record({ kind: fc.constant('evict' as const), bytesMax: fc.nat(60) }),
);

function run(log: Log, twin: TwinLog, step: Operation): void {
  if (step.kind === 'append') {
    const term = Math.max(1, (twin.termAt(twin.lastIndex) ?? 0) + step.termStep);
    const first = twin.lastIndex + 1;
    const entries = Array.from({ length: step.count }, (_, i) => entryOf(first + i, term, step.bytes));
    log.append(entries);
    twin.entries.push(...entries);
  } else if (step.kind === 'truncate') {
    if (twin.lastIndex === twin.baseIndex) return;
    const from = twin.baseIndex + 1 + (step.from % (twin.lastIndex - twin.baseIndex));
    log.truncateSuffix(from);
    twin.entries.length = from - 1;
    twin.durableIndex = Math.min(twin.durableIndex, from - 1);
  } else if (step.kind === 'truncatePrefix') {
    const through = step.through % (twin.durableIndex + 1);
    log.truncatePrefix(through);
    twin.baseIndex = Math.max(twin.baseIndex, through);
  } else if (step.kind === 'durable') {
    const through = Math.min(step.through, twin.lastIndex);
    log.markDurable(through);
    twin.durableIndex = Math.max(twin.durableIndex, through);
  } else {
    log.evict(step.bytesMax);
    const isBounded = log.cacheBytes <= step.bytesMax || log.cacheFirstIndex > log.durableIndex;
    expect(isBounded, 'only what is not durable exceeds the limit').toBe(true);
  }
}

function compare(log: Log, twin: TwinLog): void {
  expect(log.lastIndex).toBe(twin.lastIndex);
  expect(log.lastTerm).toBe(twin.termAt(twin.lastIndex));
  expect(log.durableIndex).toBe(twin.durableIndex);
  expect([log.baseIndex, log.baseTerm]).toEqual([twin.baseIndex, twin.baseTerm]);
  expect(log.termAt(-1)).toBeUndefined();
  expect(log.termAt(twin.lastIndex + 1)).toBeUndefined();
  let bytes = 0;
  for (let index = 0; index <= twin.lastIndex; index++) {
    expect(log.termAt(index)).toBe(twin.termAt(index));
    const isCached = index >= log.cacheFirstIndex && index > twin.baseIndex;
    for (const term of [0, twin.baseTerm, 3]) {
      expect(log.lastIndexAtOrBelow(index, term)).toBe(twin.lastIndexAtOrBelow(index, term));
    }
    expect(log.entry(index)).toBe(isCached ? twin.entries[index - 1] : undefined);
    if (isCached) bytes += twin.entries[index - 1]?.payload.length ?? 0;
  }
  expect(log.cacheBytes).toBe(bytes);
  expect(log.cacheFirstIndex, 'what is not durable stays').toBeLessThanOrEqual(twin.durableIndex + 1);
}

describe('log', () => {
  it('agrees with a log that forgets nothing', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const log = new Log(recoveredFrom([], 0));
        const twin = new TwinLog();
        for (const step of operations) {
          run(log, twin, step);
          compare(log, twin);
        }
      }),
    );
  });

  it('goes on after everything was truncated, in the same term and in a later one', () => {
    for (const term of [2, 3]) {
      const log = new Log(recoveredFrom([1, 2, 2], 1));
      log.truncatePrefix(3);
      expect([log.baseIndex, log.baseTerm, log.lastIndex, log.lastTerm]).toEqual([3, 2, 3, 2]);
      expect([log.cacheBytes, log.cacheFirstIndex]).toEqual([0, 4]);
      log.append([entryOf(4, term, 5)]);
      expect([2, 3, 4, 5].map((index) => log.termAt(index))).toEqual([undefined, 2, term, undefined]);
      log.truncateSuffix(4);
      expect([log.lastIndex, log.lastTerm]).toEqual([3, 2]);
    }
  });

  it('forgets only what is durable, and nothing twice', () => {
    const log = new Log(recoveredFrom([1, 1, 2], 3));
    log.append([entryOf(4, 2, 5)]);
    expect(() => log.truncatePrefix(4), 'not durable').toThrow(AssertionError);
    log.truncatePrefix(2);
    log.truncatePrefix(1);
    expect([log.baseIndex, log.baseTerm, log.cacheFirstIndex]).toEqual([2, 1, 3]);
    log.truncatePrefix(3);
    expect([log.baseIndex, log.baseTerm, log.cacheFirstIndex]).toEqual([3, 2, 4]);
    expect(() => log.truncateSuffix(3), 'below the base').toThrow(AssertionError);
  });

  it('says that two logs part below its base when it knows no more', () => {
    const recovered = { baseIndex: 5, baseTerm: 3, lastIndex: 7, recentEntries: [] };
    const log = new Log({ ...recovered, termRuns: [{ firstIndex: 6, term: 4 }] });
    expect(log.lastIndexAtOrBelow(9, 4)).toBe(7);
    expect(log.lastIndexAtOrBelow(7, 3), 'the base itself').toBe(5);
    expect(log.lastIndexAtOrBelow(7, 2), 'not even the base').toBe(4);
    expect(log.lastIndexAtOrBelow(3, 9)).toBe(3);
  });

  it('finds the last index at or below a term as by walking back (§5.3)', () => {
    const steps = fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 30 });
    fc.assert(
      fc.property(steps, fc.nat(40), fc.nat(20), (termSteps, index, term) => {
        let last = 1;
        const terms = termSteps.map((step) => (last += step));
        const log = new Log(recoveredFrom(terms, 3));
        const twin = new TwinLog();
        twin.entries = terms.map((each, position) => entryOf(position + 1, each, 0));
        expect(log.lastIndexAtOrBelow(index, term)).toBe(twin.lastIndexAtOrBelow(index, term));
      }),
    );
  });

  it('cuts slices by entries and bytes, and always gives one', () => {
    const sizes = fc.array(fc.nat(10), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        sizes,
        fc.nat(19),
        fc.integer({ min: 1, max: 8 }),
        fc.nat(30),
        (bytes, skip, entriesMax, bytesMax) => {
          const log = new Log(recoveredFrom([], 0));
          const entries = bytes.map((size, position) => entryOf(position + 1, 1, size));
          log.append(entries);
          const first = 1 + (skip % bytes.length);
          const slice = log.slice(first, log.lastIndex, { entriesMax, bytesMax });
          const total = slice.reduce((sum, entry) => sum + entry.payload.length, 0);
          expect(slice).toEqual(entries.slice(first - 1, first - 1 + slice.length));
          expect(slice.length).toBeGreaterThan(0);
          expect(slice.length).toBeLessThanOrEqual(entriesMax);
          expect(slice.length === 1 || total <= bytesMax).toBe(true);
          const next = entries[first - 1 + slice.length];
          const isFull =
            slice.length === entriesMax || next === undefined || total + next.payload.length > bytesMax;
          expect(isFull, 'no room is left unused').toBe(true);
        },
      ),
    );
  });

  it('evicts many entries and still finds the rest', () => {
    const log = new Log(recoveredFrom([], 0));
    for (let index = 1; index <= 5_000; index++) {
      log.append([entryOf(index, 1 + Math.floor(index / 100), 10)]);
      log.markDurable(index);
      log.evict(1_000);
    }
    expect(log.cacheFirstIndex).toBe(4_901);
    expect(log.entry(4_901)?.index).toBe(4_901);
    expect(log.termAt(250)).toBe(3);
  });

  it('starts from what recovery found, payloads of a suffix only', () => {
    const log = new Log(recoveredFrom([1, 1, 2, 4, 4], 2));
    expect(log.cacheFirstIndex).toBe(4);
    expect(log.durableIndex).toBe(5);
    expect([0, 1, 2, 3, 4, 5].map((index) => log.termAt(index))).toEqual([0, 1, 1, 2, 4, 4]);
  });

  it.each([
    ['runs that leave a gap at the start', { termRuns: [{ firstIndex: 2, term: 1 }] }],
    [
      'runs that go back in term',
      {
        termRuns: [
          { firstIndex: 1, term: 2 },
          { firstIndex: 2, term: 1 },
        ],
      },
    ],
    [
      'a run after the end',
      {
        termRuns: [
          { firstIndex: 1, term: 1 },
          { firstIndex: 9, term: 2 },
        ],
      },
    ],
    ['entries without a run', { termRuns: [] }],
    ['a base without its term', { baseIndex: 1, termRuns: [{ firstIndex: 2, term: 1 }] }],
    ['a base of a later term', { baseIndex: 1, baseTerm: 2, termRuns: [{ firstIndex: 2, term: 1 }] }],
    ['a recent entry of another term', { recentEntries: [entryOf(3, 2, 0)] }],
    ['recent entries that end early', { recentEntries: [entryOf(2, 1, 0)] }],
  ])('refuses a recovered log with %s', (_what, part) => {
    const recovered = { ...recoveredFrom([1, 1, 1], 0), ...part };
    expect(() => new Log(recovered)).toThrow(AssertionError);
  });

  it('refuses entries that leave a gap or go back in term', () => {
    const log = new Log(recoveredFrom([1, 2], 2));
    expect(() => log.append([entryOf(4, 2, 0)])).toThrow(AssertionError);
    expect(() => log.append([entryOf(3, 1, 0)])).toThrow(AssertionError);
  });
});
