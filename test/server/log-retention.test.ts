// When the log is cut and to where: limits by entries and bytes, what holds it back, and for how long.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PeerProgress } from '../../src/raft/raft.js';
import { LogRetention, type LogRetentionContext } from '../../src/server/space/log-retention.js';

interface Facts {
  readonly base: number;
  readonly last: number;
  readonly durable: number;
  readonly applied: number;
  readonly bytes: number;
  readonly sealed: number;
  readonly matches: readonly number[];
  /** When all of those were heard; it is 60,000 ms now, and the election timeout is 1,000 ms. */
  readonly heardMs: number;
  readonly pinned: number | undefined;
}

const quiet: Facts = {
  base: 1_000,
  last: 1_050,
  durable: 1_050,
  applied: 10_000,
  bytes: 0,
  sealed: 0,
  matches: [],
  heardMs: 60_000,
  pinned: undefined,
};

const followerAt = (matchIndex: number, heardMs: number): PeerProgress => ({
  peer: 'n2',
  mode: 'replicate',
  matchIndex,
  nextIndex: matchIndex + 1,
  resetCount: 0,
  inFlightMessages: 0,
  inFlightBytes: 0,
  heardMs,
});

/** Where a log with limits of 100 entries and 1,000 bytes is cut; `undefined`: it is not. */
function cut(change: Partial<Facts>): { index: number | undefined; kept: number | undefined } {
  const facts = { ...quiet, ...change };
  let index: number | undefined;
  let kept: number | undefined;
  const context: LogRetentionContext = {
    env: { clock: { nowMs: () => 60_000 } },
    config: {
      snapshot: { logEntriesMax: 100, logBytesMax: 1_000 },
      raft: { electionTimeoutMsMax: 1_000 },
    },
    raft: {
      baseIndex: facts.base,
      lastIndex: facts.last,
      appliedIndex: facts.applied,
      progress: () => facts.matches.map((matchIndex) => followerAt(matchIndex, facts.heardMs)),
    },
    wal: {
      logBytes: facts.bytes,
      sealedThrough: (bytes) => {
        kept = bytes;
        return facts.sealed;
      },
    },
    stateMachine: { durableAppliedIndex: facts.durable },
    loop: { truncatePrefix: (through) => (index = through) },
  };
  new LogRetention(context, { pinnedIndex: facts.pinned }).check();
  return { index, kept };
}

describe('a log within its limits', () => {
  test('stays as it is', () => {
    expect(cut({}).index).toBeUndefined();
    expect(cut({ last: 1_100, durable: 1_100, bytes: 1_000 }).index).toBeUndefined();
  });
});

describe('a log over its limits is cut to half of them', () => {
  test('by entries', () => {
    expect(cut({ last: 1_101, durable: 1_101 }).index).toBe(1_051);
    expect(cut({ last: 1_900, durable: 1_900 }).index).toBe(1_850);
  });

  test('by bytes', () => {
    expect(cut({ bytes: 1_001, sealed: 1_020 })).toEqual({ index: 1_020, kept: 500 });
    // One segment that is still written cannot be cut.
    expect(cut({ bytes: 5_000, sealed: 1_000 }).index).toBeUndefined();
    expect(cut({ bytes: 5_000, sealed: 0 }).index).toBeUndefined();
  });

  test('by whichever asks for more', () => {
    const both = { last: 1_200, durable: 1_200, bytes: 1_500 };
    expect(cut({ ...both, sealed: 1_100 }).index).toBe(1_150);
    expect(cut({ ...both, sealed: 1_180 }).index).toBe(1_180);
  });
});

describe('never above what the store holds durably', () => {
  test('however far it is over', () => {
    expect(cut({ last: 9_000, durable: 1_010 }).index).toBe(1_010);
    expect(cut({ last: 9_000, durable: 1_000 }).index).toBeUndefined();
    expect(cut({ last: 9_000, durable: 9_000, applied: 1_010 }).index).toBe(1_010);
    expect(cut({ bytes: 90_000, sealed: 1_049, durable: 1_003 }).index).toBe(1_003);
  });
});

describe('live followers hold it back', () => {
  const followed = { last: 1_150, durable: 1_150 };

  test('to what the slowest of them has', () => {
    expect(cut({ ...followed, matches: [1_150, 1_090] }).index).toBe(1_090);
    expect(cut({ ...followed, matches: [1_150, 1_149] }).index).toBe(1_100);
    expect(cut({ ...followed, matches: [1_000] }).index).toBeUndefined();
    expect(cut({ ...followed, matches: [0] }).index).toBeUndefined();
  });

  test('but not those that were not heard for an election timeout', () => {
    expect(cut({ ...followed, matches: [1_090], heardMs: 59_000 }).index).toBe(1_090);
    expect(cut({ ...followed, matches: [1_090], heardMs: 58_999 }).index).toBe(1_100);
  });

  test('up to twice the limits', () => {
    expect(cut({ last: 1_200, durable: 1_200, matches: [1_001] }).index).toBe(1_001);
    expect(cut({ last: 1_201, durable: 1_201, matches: [1_001] }).index).toBe(1_151);
    expect(cut({ bytes: 2_000, sealed: 1_030, matches: [1_001] }).index).toBe(1_001);
    expect(cut({ bytes: 2_001, sealed: 1_030, matches: [1_001] }).index).toBe(1_030);
  });
});

describe('snapshots on their way hold it back', () => {
  test('to the entries after their views, up to four times the limits', () => {
    expect(cut({ last: 1_150, durable: 1_150, pinned: 1_020 }).index).toBe(1_020);
    expect(cut({ last: 1_150, durable: 1_150, pinned: 990 }).index).toBeUndefined();
    expect(cut({ last: 1_400, durable: 1_400, pinned: 1_020, matches: [1_001] }).index).toBe(1_020);
    expect(cut({ last: 1_401, durable: 1_401, pinned: 1_020, matches: [1_001] }).index).toBe(1_351);
    expect(cut({ bytes: 4_000, sealed: 1_040, pinned: 1_020 }).index).toBe(1_020);
    expect(cut({ bytes: 4_001, sealed: 1_040, pinned: 1_020 }).index).toBe(1_040);
  });

  test('and what is not pinned any more goes', () => {
    expect(cut({ last: 1_150, durable: 1_150, pinned: undefined }).index).toBe(1_100);
  });
});

test('whatever the numbers: only forward, never beyond the store, and pins hold within their limits', () => {
  const index = fc.integer({ min: 900, max: 2_000 });
  const property = fc.property(
    fc.record({
      base: fc.constant(1_000),
      last: fc.integer({ min: 1_000, max: 2_000 }),
      durable: fc.integer({ min: 1_000, max: 2_000 }),
      bytes: fc.integer({ min: 0, max: 6_000 }),
      sealed: index,
      matches: fc.array(index, { maxLength: 4 }),
      pinned: fc.option(index, { nil: undefined }),
    }),
    (facts) => {
      const found = cut(facts).index;
      if (found === undefined) return;
      const times = Math.max((facts.last - facts.base) / 100, facts.bytes / 1_000);
      expect(times).toBeGreaterThan(1);
      expect(found).toBeGreaterThan(facts.base);
      expect(found).toBeLessThanOrEqual(facts.durable);
      if (times <= 2) for (const match of facts.matches) expect(found).toBeLessThanOrEqual(match);
      if (times <= 4 && facts.pinned !== undefined) expect(found).toBeLessThanOrEqual(facts.pinned);
    },
  );
  fc.assert(property, { numRuns: 500 });
});
