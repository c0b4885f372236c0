// What the log promises to the loop that uses it: order, group commit, the idle frame, quota, failure,
// identity.

import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import type { LogEntry } from '../../src/raft/types.js';
import { damageOf } from '../../src/storage/folder/damage.js';
import { createWal, type Wal, type WalUnit } from '../../src/storage/wal/wal.js';
import { segmentHeaderBytes } from '../../src/storage/wal/format.js';
import { listSegments, segmentPath } from '../../src/storage/wal/segments.js';
import { Contents } from './fault-disk.js';
import { describeState, readAll, readState, randomUnit, Twin, World } from './wal-world.js';

const first: WalUnit = {
  hardState: { currentTerm: 1, votedFor: 'n1', commitIndex: 0 },
  entries: [{ index: 1, term: 1, kind: 'configuration', payload: Buffer.from('members') }],
};

function entry(index: number, bytes = 10, term = 1): LogEntry {
  return { index, term, kind: 'command', payload: Buffer.alloc(bytes, index) };
}

function newWorld(seed = 1): World {
  const world = new World(seed);
  createWal(world.options(), first);
  return world;
}

/** An open log whose segments ahead are prepared, with the operations so far forgotten. */
function ready(world: World, overrides = {}): Wal {
  const { wal } = world.open(overrides);
  world.run();
  world.disk.log.length = 0;
  return wal;
}

const nothing = (): void => undefined;

describe('group commit', () => {
  it('has one write and one sync under way, and puts what arrives meanwhile into the next', () => {
    const world = newWorld();
    const wal = ready(world);
    const done: number[] = [];
    wal.append({ entries: [entry(2)] }, () => done.push(2));
    wal.append({ entries: [entry(3)] }, () => done.push(3));
    expect(world.disk.log).toEqual([]);
    world.step();
    for (const index of [4, 5, 6]) wal.append({ entries: [entry(index)] }, () => done.push(index));
    world.step();
    expect(done).toEqual([]);
    expect(world.disk.log).toEqual([`write ${segmentPath('wal', 1)}`]);
    world.step();
    expect(done).toEqual([2, 3]);
    world.run();
    expect(done).toEqual([2, 3, 4, 5, 6]);
    expect(wal.stats.syncs).toBe(2);
    expect(wal.stats.entriesWritten).toBe(5);
    expect(world.disk.log.filter((line) => line.startsWith('sync '))).toHaveLength(2);
  });

  it('writes what a done callback appends', () => {
    const world = newWorld();
    const wal = ready(world);
    let last = 1;
    const next = (): void => {
      if (++last < 10) wal.append({ entries: [entry(last)] }, next);
    };
    next();
    world.run();
    expect(last).toBe(10);
    expect(world.open().recovered.log.lastIndex).toBe(9);
  });

  it('refuses a gap, and the removal of committed entries', () => {
    const wal = ready(newWorld());
    expect(() => wal.append({ entries: [entry(3)] }, nothing)).toThrow('entry 3 appended where 2 is next');
    const world = newWorld();
    const other = ready(world);
    other.noteCommitIndex(2);
    other.append({ entries: [entry(2)] }, nothing);
    world.run();
    expect(() => other.append({ truncateSuffix: 2, entries: [] }, nothing)).toThrow('removed but committed');
  });
});

describe('what a restart finds', () => {
  it('is term, vote, commit index and entries', () => {
    const world = newWorld();
    const wal = ready(world);
    wal.append(
      { hardState: { currentTerm: 7, votedFor: 'n3', commitIndex: 2 }, entries: [entry(2, 5, 3)] },
      nothing,
    );
    world.run();
    const { hardState, log } = world.open().recovered;
    expect(hardState).toEqual({ currentTerm: 7, votedFor: 'n3', commitIndex: 2 });
    expect(log.termRuns).toEqual([
      { firstIndex: 1, term: 1 },
      { firstIndex: 2, term: 3 },
    ]);
    expect(log.recentEntries.map(({ index, kind }) => [index, kind])).toEqual([
      [1, 'configuration'],
      [2, 'command'],
    ]);
  });

  it('never has a commit index above the last entry', () => {
    const world = newWorld();
    const wal = ready(world);
    wal.noteCommitIndex(50);
    wal.append({ entries: [entry(2)] }, nothing);
    world.run();
    expect(world.open().recovered.hardState.commitIndex).toBe(2);
    wal.append({ entries: Array.from({ length: 100 }, (_, i) => entry(i + 3)) }, nothing);
    world.run();
    expect(world.open().recovered.hardState.commitIndex).toBe(50);
  });

  it('has recent entries within their limit', () => {
    const world = newWorld();
    const wal = ready(world);
    for (let i = 2; i < 200; i++) wal.append({ entries: [entry(i, 100)] }, nothing);
    world.run();
    for (const recentEntriesBytesMax of [0, 5_000, 10_000, 1e9]) {
      const { recentEntries } = world.open({ recentEntriesBytesMax }).recovered.log;
      const bytes = recentEntries.reduce((sum, { payload }) => sum + payload.length + 64, 0);
      expect(bytes).toBeLessThanOrEqual(recentEntriesBytesMax);
      if (recentEntriesBytesMax >= 10_000) expect(recentEntries.at(-1)?.index).toBe(199);
    }
  });

  it('is the same as what a dumb twin holds, over many restarts', () => {
    for (let seed = 1; seed <= 25; seed++) {
      const world = newWorld(seed);
      const twin = new Twin();
      twin.apply(first);
      let commitIndex = 1;
      for (let start = 0; start < 4; start++) {
        const opened = world.open({ appliedIndexFloor: twin.baseIndex, recentEntriesBytesMax: seed * 100 });
        expect(readState(world, opened)).toBe(twin.describe());
        for (let i = 0; i < 15; i++) {
          commitIndex = world.random.integer(commitIndex, twin.lastIndex);
          opened.wal.noteCommitIndex(commitIndex);
          opened.wal.append(randomUnit(world.random, twin, commitIndex), nothing);
          if (world.random.chance(0.5)) world.run();
        }
        world.run();
        const from = world.random.integer(twin.baseIndex + 1, twin.lastIndex);
        const to = world.random.integer(from, twin.lastIndex);
        const wanted = twin.entries.slice(from - twin.baseIndex - 1, to - twin.baseIndex);
        const read = readAll(world, opened.wal, from, to);
        expect(describeState(0, undefined, 0, read)).toBe(describeState(0, undefined, 0, wanted));
        if (world.random.chance(0.3) && commitIndex > twin.baseIndex) {
          opened.wal.truncatePrefix(commitIndex);
          twin.truncatePrefix(commitIndex);
        }
        let closed = false;
        opened.wal.close((error) => {
          expect(error).toBeUndefined();
          closed = true;
        });
        world.run();
        expect(closed).toBe(true);
      }
      expect(world.failures).toEqual([]);
    }
  });

  it('does not reach what the store has applied: damage', () => {
    const world = newWorld();
    expect(() => world.open({ appliedIndexFloor: 2 })).toThrow(
      /ends here with entry 1, but the store has applied 2/,
    );
  });
});

/** Payloads come back as Uint8Array. */
function plain(given: LogEntry): LogEntry {
  return { ...given, payload: new Uint8Array(given.payload) };
}

describe('the idle frame', () => {
  it('follows the last batch after 100 ms, once, and carries the commit index', () => {
    const world = newWorld();
    const wal = ready(world);
    world.advance(500);
    expect(wal.stats.syncs).toBe(1);
    wal.append({ entries: [entry(2)] }, nothing);
    world.advance(90);
    wal.noteCommitIndex(2);
    wal.append({ entries: [entry(3)] }, nothing);
    world.advance(90);
    expect(wal.stats.syncs).toBe(3);
    wal.noteCommitIndex(3);
    world.advance(20);
    expect(wal.stats.syncs).toBe(4);
    expect(world.open().recovered.hardState.commitIndex).toBe(3);
    world.advance(10_000);
    expect(wal.stats.syncs).toBe(4);
  });

  it('is written by close, after everything that was appended', () => {
    const world = newWorld();
    const wal = ready(world);
    let done = false;
    wal.append({ entries: [entry(2)] }, () => (done = true));
    wal.close((error) => {
      expect(error).toBeUndefined();
      expect(done).toBe(true);
      done = false;
    });
    world.run();
    expect(done).toBe(false);
    expect(wal.stats.syncs).toBe(2);
    wal.append({ entries: [entry(3)] }, () => expect.unreachable());
    world.advance(1_000);
    expect(world.open().recovered.log.lastIndex).toBe(2);
  });
});

describe('reading while the log changes', () => {
  it('never returns entries that were cut off meanwhile', () => {
    const world = newWorld();
    const wal = ready(world, { segmentBytes: 65_536 });
    for (let i = 2; i <= 40; i++) wal.append({ entries: [entry(i, 1_000)] }, nothing);
    world.run();
    let read: readonly LogEntry[] | undefined;
    wal.readEntries({ firstIndex: 5, lastIndex: 40, bytesMax: 1e9 }, (_error, entries) => (read = entries));
    world.step();
    wal.append({ truncateSuffix: 12, entries: [entry(12, 10, 2)] }, nothing);
    world.run();
    expect(read?.map(({ index }) => index)).toEqual([5, 6, 7, 8, 9, 10, 11]);
    expect(readAll(world, wal, 10, 40).map(({ index, term }) => [index, term])).toEqual([
      [10, 1],
      [11, 1],
      [12, 2],
    ]);
  });

  it('returns nothing above what is durable', () => {
    const world = newWorld();
    const wal = ready(world);
    wal.append({ entries: [entry(2)] }, nothing);
    let read: readonly LogEntry[] | undefined;
    wal.readEntries({ firstIndex: 2, lastIndex: 2, bytesMax: 1 }, (_error, entries) => (read = entries));
    world.run();
    expect(read).toEqual([]);
  });

  it('reads at least one entry and stops at the limit', () => {
    const world = newWorld();
    const wal = ready(world);
    wal.append({ entries: [2, 3, 4, 5].map((index) => entry(index, 100)) }, nothing);
    world.run();
    const counts = [1, 100, 101, 1e9].map((bytesMax) => {
      let count = 0;
      wal.readEntries(
        { firstIndex: 2, lastIndex: 9, bytesMax },
        (_error, entries) => (count = entries.length),
      );
      world.run();
      return count;
    });
    expect(counts).toEqual([1, 1, 2, 4]);
  });

  it('reports damage and read errors', () => {
    const world = newWorld();
    const wal = ready(world);
    wal.append({ entries: [entry(2, 400)] }, nothing);
    world.run();
    const read = (): unknown => {
      let found: unknown;
      wal.readEntries(
        { firstIndex: 1, lastIndex: 2, bytesMax: 1e9 },
        (error, entries) => (found = error ?? entries),
      );
      world.run();
      return found;
    };
    world.disk.failure = (operation) => (operation === 'read' ? 'EIO' : undefined);
    expect(KvorumError.is(read(), 'DISK')).toBe(true);
    world.disk.failure = () => undefined;
    const bytes = world.disk.bytesOf(segmentPath('wal', 1));
    bytes[4_096 + 300] = (bytes[4_096 + 300] as number) ^ 1;
    expect(KvorumError.is(read(), 'CORRUPT')).toBe(true);
    expect(world.failures).toEqual([]);
  });
});

describe('a failing disk', () => {
  for (const operation of ['write', 'sync'] as const) {
    for (const errno of ['EIO', 'ENOSPC']) {
      it(`stops the log for good after ${errno} in ${operation}`, () => {
        const world = newWorld();
        const wal = ready(world);
        world.disk.failure = (failing) => (failing === operation ? errno : undefined);
        wal.append({ entries: [entry(2)] }, () => expect.unreachable());
        world.step();
        wal.append({ entries: [entry(3)] }, () => expect.unreachable());
        world.run();
        world.disk.failure = () => undefined;
        wal.append({ entries: [entry(4)] }, () => expect.unreachable());
        world.advance(5_000);
        expect(world.failures).toHaveLength(1);
        const error = world.failures[0] as KvorumError;
        expect(error.code).toBe('DISK');
        expect(error.message).toMatch(new RegExp(`wal/0000000001.wal at offset \\d+ failed: ${errno}`));
        expect(error.details).toMatchObject({ path: segmentPath('wal', 1), errno });
        let closed: Error | undefined;
        wal.close((failure) => (closed = failure));
        world.run();
        expect(closed).toBe(error);
      });
    }
  }

  it('stops the log when a segment cannot be prepared', () => {
    const world = newWorld();
    world.disk.failure = (operation) => (operation === 'createZeroed' ? 'EIO' : undefined);
    world.open();
    world.run();
    expect(world.failures.map((error) => (error as KvorumError).code)).toEqual(['DISK']);
  });

  it('goes on with its spare segments when the disk is full, says so, and recovers alone', () => {
    const world = newWorld();
    const wal = ready(world);
    world.disk.capacityBytes = 3 * 8_192;
    let index = 1;
    let done = 0;
    const fill = (count: number): void => {
      for (let i = 0; i < count; i++) wal.append({ entries: [entry(++index, 900)] }, () => done++);
      world.advance(5_000);
    };
    expect(wal.isOverQuota).toBe(false);
    fill(5);
    expect(wal.isOverQuota).toBe(true);
    expect(done).toBe(5);
    // A node starts on the full disk, too.
    expect(world.copy().open().recovered.log.lastIndex).toBe(index);
    fill(20);
    expect(done).toBeLessThan(25);
    expect(world.failures).toEqual([]);
    world.disk.capacityBytes = 100 * 8_192;
    world.advance(5_000);
    expect(done).toBe(25);
    expect(wal.isOverQuota).toBe(false);
    expect(world.open().recovered.log.lastIndex).toBe(26);
  });

  it('can be closed while it waits for room', () => {
    const world = newWorld();
    const wal = ready(world);
    world.disk.capacityBytes = 0;
    for (let index = 2; index < 40; index++) wal.append({ entries: [entry(index, 900)] }, nothing);
    world.run();
    let closed: Error | undefined;
    wal.close((error) => (closed = error));
    world.run();
    expect(KvorumError.is(closed, 'NO_SPACE')).toBe(true);
  });
});

describe('size', () => {
  it('is counted, compared with the quota, and shrinks with the prefix', () => {
    const world = newWorld();
    const wal = ready(world, { quotaBytes: 30_000 });
    for (let index = 2; index <= 40; index++) wal.append({ entries: [entry(index, 900)] }, nothing);
    world.run();
    expect(wal.logBytes).toBeGreaterThan(36_000);
    expect(wal.isOverQuota).toBe(true);
    const segments = listSegments(world.disk, 'wal').length;
    wal.noteCommitIndex(40);
    wal.truncatePrefix(35);
    world.run();
    expect(listSegments(world.disk, 'wal').length).toBeLessThan(segments - 5);
    expect(wal.isOverQuota).toBe(false);
    expect(readAll(world, wal, 30, 34)).toEqual([]);
    expect(readAll(world, wal, 36, 40)).toHaveLength(5);
    const { log } = world.open({ appliedIndexFloor: 35 }).recovered;
    expect([log.baseIndex, log.baseTerm, log.lastIndex]).toEqual([35, 1, 40]);
    expect(log.termRuns).toEqual([{ firstIndex: 36, term: 1 }]);
    expect(() => world.open({ appliedIndexFloor: 34 })).toThrow(/begins after entry 35/);
  });

  it('has room for a unit larger than a segment', () => {
    const world = newWorld();
    const wal = ready(world);
    const big = { entries: [entry(2, 30_000), entry(3, 5)] };
    let done = 0;
    wal.append(big, () => done++);
    wal.append({ entries: [entry(4)] }, () => done++);
    world.run();
    expect(done).toBe(2);
    const opened = world.open();
    expect(opened.recovered.log.recentEntries[1]).toEqual(plain(entry(2, 30_000)));
    expect(readAll(world, opened.wal, 1, 4)).toHaveLength(4);
  });
});

describe('identity and format', () => {
  it('refuses the log of another cluster or node', () => {
    const world = newWorld();
    expect(() => world.open({ clusterId: 'other' })).toThrow(/is the log of node n1 of cluster cluster/);
    let code: unknown;
    try {
      world.open({ nodeId: 'n2' });
    } catch (error) {
      code = KvorumError.is(error) && error.code;
    }
    expect(code).toBe('IDENTITY');
  });

  it('refuses a newer format and says what to do', () => {
    const world = newWorld();
    const bytes = Buffer.from(world.disk.bytesOf(segmentPath('wal', 1)));
    bytes.writeUInt32LE(2, 8);
    const refusal = (): KvorumError => {
      world.disk.files.set(segmentPath('wal', 1), new Contents(bytes));
      try {
        world.open();
      } catch (error) {
        if (KvorumError.is(error)) return error;
      }
      throw new Error('the log was opened');
    };
    const current = { log: 'wal', store: 'db', catchingUp: false };
    // A flipped bit makes no newer kvorum: that would be no damage, and nobody would mend it.
    expect(refusal().message).toMatch(/the checksum of its header is wrong/);
    expect(damageOf(refusal(), current)?.what).toBe('log');
    bytes.writeUInt32LE(0, 12);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, segmentHeaderBytes)), 12);
    expect(refusal().message).toMatch(/format version 2 .* up to 1: use a newer kvorum/);
    expect(damageOf(refusal(), current)).toBeUndefined();
  });

  it('refuses to make a log where there is one, and sizes that make no sense', () => {
    const world = newWorld();
    expect(() => createWal(world.options(), first)).toThrow(/there is a log/);
    expect(() => createWal(world.options({ directory: 'other', segmentBytes: 100 }), first)).toThrow(
      /segmentBytes/,
    );
  });
});
