// Logs that begin after an entry: made so by an install or a repair, or cut so while they run.

import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import type { LogEntry } from '../../src/raft/types.js';
import { createWal, walExists, type Wal } from '../../src/storage/wal/wal.js';
import { listSegments } from '../../src/storage/wal/segments.js';
import { readAll, World } from './wal-world.js';

const base = { index: 40, term: 6 };
const hardState = { currentTerm: 9, votedFor: 'n1', commitIndex: 40 };
const entry = (index: number, bytes = 10): LogEntry => ({
  index,
  term: 9,
  kind: 'command',
  payload: Buffer.alloc(bytes, index),
});

function appended(world: World, wal: Wal, first: number, last: number, bytes = 10): void {
  let done = 0;
  for (let index = first; index <= last; index++)
    wal.append({ entries: [entry(index, bytes)] }, () => done++);
  world.run();
  expect(done).toBe(last - first + 1);
}

describe('a log made with a base', () => {
  it('begins after it, with the promises it was made with, and goes on', () => {
    const world = new World(1);
    createWal(world.options(), { hardState, entries: [] }, base);
    const { wal, recovered } = world.open({ appliedIndexFloor: 40 });
    expect(recovered.hardState).toEqual(hardState);
    expect(recovered.log).toEqual({
      ...{ baseIndex: 40, baseTerm: 6, lastIndex: 40 },
      ...{ termRuns: [], recentEntries: [] },
    });
    appended(world, wal, 41, 300, 100);
    expect(listSegments(world.disk, 'wal').length).toBeGreaterThan(3);
    const again = world.open({ appliedIndexFloor: 40 });
    expect(again.recovered.log).toMatchObject({ baseIndex: 40, baseTerm: 6, lastIndex: 300 });
    expect(again.recovered.log.termRuns).toEqual([{ firstIndex: 41, term: 9 }]);
    expect(readAll(world, again.wal, 41, 300)).toHaveLength(260);
  });

  it('is damaged when the store is before its base, or beyond its end', () => {
    const world = new World(1);
    createWal(world.options(), { hardState, entries: [] }, base);
    expect(() => world.open({ appliedIndexFloor: 39 })).toThrow(/begins after entry 40.*applied only 39/);
    expect(() => world.open({ appliedIndexFloor: 41 })).toThrow(/ends here with entry 40.*applied 41/);
  });

  it('takes no entry that does not follow its base', () => {
    const world = new World(1);
    const first = { ...entry(41), term: 5 };
    expect(() => createWal(world.options(), { hardState, entries: [first] }, base)).toThrow(/of term 6/);
    expect(() => createWal(world.options(), { hardState, entries: [entry(40)] }, base)).toThrow(/follows/);
  });

  it('is whole or absent after a power cut at any step of its making', () => {
    const found = { whole: 0, absent: 0 };
    for (let seed = 1; seed <= 20; seed++) {
      const world = new World(seed);
      world.disk.onChange = () => {
        const left = world.afterPowerCut(new Prng(world.random.uint32()));
        if (!walExists(left.disk, 'wal')) {
          found.absent++;
          return;
        }
        found.whole++;
        const { recovered } = left.open({ appliedIndexFloor: 40 });
        expect([recovered.hardState, recovered.log.baseIndex]).toEqual([hardState, 40]);
      };
      createWal(world.options(), { hardState, entries: [] }, base);
      world.disk.onChange = () => undefined;
      expect(walExists(world.afterPowerCut(new Prng(seed)).disk, 'wal')).toBe(true);
    }
    expect(Math.min(found.whole, found.absent)).toBeGreaterThan(0);
  });
});

describe('a log that is cut while it runs', () => {
  /** Entries 1 .. 200, 100 bytes each, in segments of 8 KiB. */
  function filled(): { world: World; wal: Wal } {
    const world = new World(3);
    createWal(world.options(), { hardState: { ...hardState, commitIndex: 0 }, entries: [] });
    const { wal } = world.open();
    appended(world, wal, 1, 200, 100);
    wal.noteCommitIndex(200);
    return { world, wal };
  }

  it('names the index that frees whole segments and leaves what is to be kept', () => {
    const { world, wal } = filled();
    const before = wal.logBytes;
    expect(wal.sealedThrough(before)).toBeUndefined();
    const index = wal.sealedThrough(before / 2) ?? 0;
    expect(index).toBeGreaterThan(50);
    wal.truncatePrefix(index);
    world.run();
    expect(wal.logBytes).toBeGreaterThanOrEqual(before / 2);
    expect(wal.logBytes).toBeLessThan(before / 2 + 2 * 8_192);
    // The next segment is one too many now.
    expect(wal.sealedThrough(wal.logBytes - 1)).toBeUndefined();
    expect(wal.sealedThrough(0)).toBeGreaterThan(index);
  });

  it('gives a reader under way all it asked for or nothing, never a part with a gap', () => {
    for (let steps = 0; steps < 40; steps++) {
      const { world, wal } = filled();
      const answers: (readonly LogEntry[])[] = [];
      wal.readEntries({ firstIndex: 5, lastIndex: 150, bytesMax: 1e6 }, (error, entries) => {
        expect(error).toBeUndefined();
        answers.push(entries);
      });
      for (let i = 0; i < steps; i++) world.step();
      wal.truncatePrefix(120);
      world.run();
      expect(answers).toHaveLength(1);
      const indexes = (answers[0] ?? []).map(({ index }) => index);
      expect(indexes).toEqual(indexes.length === 0 ? [] : indexes.map((_, i) => 5 + i));
      expect(readAll(world, wal, 121, 200)).toHaveLength(80);
    }
  });

  it('removes what a later cut allows while an earlier removal is under way', () => {
    const { world, wal } = filled();
    wal.truncatePrefix(60);
    while (listSegments(world.disk, 'wal')[0] === 1) expect(world.step()).toBe(true);
    // The removal of the first segments goes on; nobody cuts again after this.
    wal.truncatePrefix(190);
    world.run();
    const { log } = world.open({ appliedIndexFloor: 190 }).recovered;
    expect(log).toMatchObject({ baseIndex: 190, lastIndex: 200 });
    expect(wal.logBytes).toBeLessThan(3 * 8_192);
  });

  it('has the base of the last cut that was durable, whatever survives of the segments before it', () => {
    let images = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const { world, wal } = filled();
      const bases = [0];
      world.disk.onChange = () => {
        const left = world.afterPowerCut(new Prng(seed * 1_000 + images));
        images++;
        const { log } = left.open({ appliedIndexFloor: 200 }).recovered;
        expect(bases).toContain(log.baseIndex);
        expect(log.lastIndex).toBe(200);
        // A second crash in the repair and the next start are no worse.
        const again = left.afterPowerCut(new Prng(seed)).open({ appliedIndexFloor: 200 }).recovered.log;
        expect(again.baseIndex).toBe(log.baseIndex);
      };
      for (const index of [30, 31, 90, 180]) {
        bases.push(index);
        wal.truncatePrefix(index);
        world.run();
      }
      world.disk.onChange = () => undefined;
      expect(
        world.afterPowerCut(new Prng(seed)).open({ appliedIndexFloor: 200 }).recovered.log.baseIndex,
      ).toBe(180);
    }
    expect(images).toBeGreaterThan(50);
  });
});
