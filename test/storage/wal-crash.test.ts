// Power cuts and killed processes at every operation: whatever image is left, the log opens without complaint
// and holds every unit whose `done` was called, in order, and nothing that was not appended.

import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import { createWal, walExists, type OpenedWal, type WalUnit } from '../../src/storage/wal/wal.js';
import { listSegments } from '../../src/storage/wal/segments.js';
import { randomUnit, readState, Twin, World } from './wal-world.js';

const first: WalUnit = {
  hardState: { currentTerm: 1, votedFor: 'n1', commitIndex: 1 },
  entries: [{ index: 1, term: 1, kind: 'configuration', payload: Buffer.alloc(300, 1) }],
};

/** A run of one process on one disk, and what the log must hold after each unit that was appended. */
class Life {
  readonly world: World;
  readonly twins: Twin[];
  /** What was known to be committed when each unit was appended. */
  private readonly commitIndexes: number[];
  /** Units up to this one were reported durable. */
  acknowledged = 0;
  commitIndex: number;
  private readonly opened: OpenedWal;

  constructor(world: World, twin: Twin, commitIndex: number) {
    this.world = world;
    this.twins = [twin];
    this.commitIndex = Math.min(commitIndex, twin.lastIndex);
    this.commitIndexes = [this.commitIndex];
    this.opened = world.open({
      recentEntriesBytesMax: world.random.pick([0, 1_000, 1e9]),
      appliedIndexFloor: twin.baseIndex,
    });
  }

  /** As far as a store can have applied. */
  get appliedIndex(): number {
    return Math.min(
      this.commitIndexes[this.acknowledged] as number,
      (this.twins[this.acknowledged] as Twin).lastIndex,
    );
  }

  /** Appends a random unit, or a new base, and lets some time pass. */
  act(): void {
    const { random } = this.world;
    const { wal } = this.opened;
    const twin = (this.twins.at(-1) as Twin).copy();
    if (random.chance(0.1) && this.appliedIndex > twin.baseIndex) {
      const index = random.integer(twin.baseIndex + 1, this.appliedIndex);
      twin.truncatePrefix(index);
      this.twins.push(twin);
      this.commitIndexes.push(this.commitIndex);
      wal.noteCommitIndex(this.commitIndex);
      wal.truncatePrefix(index);
    } else {
      if (random.chance(0.5)) this.commitIndex = random.integer(this.commitIndex, twin.lastIndex);
      wal.noteCommitIndex(this.commitIndex);
      const unit = randomUnit(random, twin, this.commitIndex);
      this.twins.push(twin);
      this.commitIndexes.push(this.commitIndex);
      const position = this.twins.length - 1;
      wal.append(unit, () => {
        expect(this.acknowledged).toBeLessThan(position);
        this.acknowledged = position;
      });
    }
    if (random.chance(0.1)) this.world.advance(random.integer(1, 250));
    for (let steps = random.integer(0, 12); steps > 0; steps--) this.world.step();
  }

  /** What was left after an end of this life: the unit that it stands at. Fails when that is not allowed. */
  check(left: World): Twin {
    const found = readState(left, left.open({ appliedIndexFloor: this.appliedIndex }));
    const allowed = this.twins.slice(this.acknowledged).map((twin) => twin.describe());
    const position = allowed.lastIndexOf(found);
    if (position < 0) expect(found).toBe(allowed[0]);
    return this.twins[this.acknowledged + position] as Twin;
  }
}

describe('a log after a crash', () => {
  it('holds what was acknowledged, at whatever operation the power failed', () => {
    let images = 0;
    let segments = 0;
    for (let seed = 1; seed <= 25; seed++) {
      let world = new World(seed);
      createWal(world.options(), first);
      let twin = new Twin();
      twin.apply(first);
      let commitIndex = 1;
      for (let generation = 0; generation < 3; generation++) {
        const life: Life = new Life(world, twin, commitIndex);
        const images0 = images;
        world.disk.onChange = () => {
          if (!world.random.chance(0.08)) return;
          const random = new Prng(world.random.uint32());
          life.check(random.chance(0.2) ? world.copy() : world.afterPowerCut(random));
          images++;
        };
        for (let i = world.random.integer(10, 30); i > 0; i--) life.act();
        world.disk.onChange = () => undefined;
        expect(images).toBeGreaterThan(images0);
        expect(world.failures).toEqual([]);
        const left = world.afterPowerCut(new Prng(seed * 7 + generation));
        twin = life.check(left.copy());
        commitIndex = life.commitIndex;
        world = left;
      }
      segments = Math.max(segments, ...listSegments(world.disk, 'wal'));
    }
    expect(images).toBeGreaterThan(500);
    expect(segments).toBeGreaterThan(5);
  });

  it('is whole or absent when the crash is in its creation', () => {
    const twin = new Twin();
    twin.apply(first);
    let whole = 0;
    let absent = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const world = new World(seed);
      world.disk.onChange = () => {
        const left = world.afterPowerCut(new Prng(world.random.uint32()));
        if (walExists(left.disk, 'wal')) {
          whole++;
          expect(readState(left, left.open())).toBe(twin.describe());
        } else {
          absent++;
          createWal(left.options(), first);
          expect(readState(left, left.open())).toBe(twin.describe());
        }
      };
      createWal(world.options(), first);
      world.disk.onChange = () => undefined;
      const left = world.afterPowerCut(new Prng(seed));
      expect(walExists(left.disk, 'wal')).toBe(true);
    }
    expect(whole).toBeGreaterThan(0);
    expect(absent).toBeGreaterThan(0);
  });

  it('survives a second crash while a torn tail is being repaired', () => {
    let repaired = 0;
    for (let seed = 1; seed <= 100; seed++) {
      let acknowledged = 0;
      const world = new World(seed);
      createWal(world.options(), first);
      const twin = new Twin();
      twin.apply(first);
      const life = new Life(world, twin, 1);
      let left = world.afterPowerCut(new Prng(seed));
      world.disk.onChange = () => {
        if (world.disk.log.at(-1)?.startsWith('write wal/0') !== true || !world.random.chance(0.5)) return;
        left = world.afterPowerCut(new Prng(seed));
        acknowledged = life.acknowledged;
      };
      for (let i = 0; i < 6; i++) life.act();
      life.acknowledged = acknowledged;
      left.disk.onChange = () => void life.check(left.afterPowerCut(new Prng(left.random.uint32())));
      const opened = left.open({ appliedIndexFloor: life.appliedIndex });
      if (opened.repairedTail !== undefined) repaired++;
      left.disk.onChange = () => undefined;
      life.check(left.copy());
    }
    expect(repaired).toBeGreaterThan(10);
  });

  it('does not trust what a failed sync left in the page cache', () => {
    const world = new World(5);
    createWal(world.options(), first);
    const { wal } = world.open();
    world.run();
    world.disk.failure = (operation) => (operation === 'sync' ? 'EIO' : undefined);
    wal.append({ entries: [{ index: 2, term: 1, kind: 'command', payload: Buffer.alloc(50, 2) }] }, () => {
      expect.unreachable('acknowledged after a failed sync');
    });
    world.run();
    expect(world.failures).toHaveLength(1);
    // The process starts again on the same machine: the entry is readable there, but not on the disk.
    world.disk.failure = () => undefined;
    const opened = world.open();
    expect(opened.recovered.log.lastIndex).toBe(2);
    for (let seed = 0; seed < 20; seed++) {
      expect(world.afterPowerCut(new Prng(seed)).open().recovered.log.lastIndex).toBe(2);
    }
  });
});
