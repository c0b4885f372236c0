// Store and log replaced together, by an install or a repair: after a power cut at any step there is the old
// pair or the new one, and both open.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { openFolder } from '../../src/server/life/boot.js';
import { installSnapshot, type InstallOutcome, type Replaced } from '../../src/server/life/install.js';
import { openStore } from '../../src/server/life/pair.js';
import { rebuildPair } from '../../src/server/life/rebuild.js';
import { writeFormationRecord } from '../../src/server/life/formation-record.js';
import { firstCurrent, readCurrent } from '../../src/storage/folder/current.js';
import { writeDamage, type Damage } from '../../src/storage/folder/damage.js';
import { isNoSpace } from '../../src/storage/disk/no-space.js';
import { appliedAt, PairBench } from './pair-world.js';

/** Runs `change` with a power cut after each step of it; returns what the starts after that found. */
function found(prepare: (bench: PairBench) => void, change: (bench: PairBench) => void): Set<string> {
  const all = new Set<string>();
  for (let seed = 1; seed <= 10; seed++) {
    const bench = PairBench.fresh(seed);
    prepare(bench);
    const cut = (): void => {
      const left = bench.afterPowerCut(seed * 7_919 + all.size);
      const words = left.describe();
      // And once more: what the start itself did, and what it left, is the same for the next one.
      expect(left.afterPowerCut(seed).describe()).toBe(words);
      all.add(words);
    };
    bench.world.disk.onChange = cut;
    change(bench);
    bench.world.disk.onChange = () => undefined;
    const last = bench.afterPowerCut(seed).describe();
    all.delete(last);
    all.add(`at last ${last}`);
  }
  return all;
}

const old = 'db wal: applied 5, log 0/0..8, term 4 vote n3';

describe('a snapshot that is installed', () => {
  const staged = { storeName: 'db-2', index: 90, term: 6 };
  const arrived = (bench: PairBench): void => void bench.stores.contents.set('db-2', appliedAt(90, 6));

  /** `lastTerm`: what the member says when it ends, which is `ending`. */
  function install(
    bench: PairBench,
    currentTerm: number,
    isNeeded: () => boolean,
    lastTerm: number | 'never asked' = currentTerm,
    ending = (): void => undefined,
  ): InstallOutcome['kind'] | undefined {
    let ended: InstallOutcome | undefined;
    const promised = { currentTerm, votedFor: 'n3', commitIndex: 5 };
    const host: Replaced = {
      formation: bench.formation,
      current: readCurrent(bench.world.disk) ?? firstCurrent,
      isNeeded,
      promised: () => promised,
      end: (done) => {
        if (lastTerm === 'never asked') expect.unreachable('the member was ended');
        ending();
        done(undefined, { ...promised, currentTerm: lastTerm });
      },
    };
    installSnapshot(bench.options, host, staged, (error, outcome) => {
      expect(error).toBeUndefined();
      ended = outcome;
    });
    bench.world.run();
    return ended?.kind;
  }

  it('is there in whole or not at all, with the promises of the member', () => {
    const states = found(arrived, (bench) => void install(bench, 8, () => true));
    const after = 'db-2 wal-2: applied 90, log 90/6..90, term 8 vote n3';
    expect([...states].sort()).toEqual([`at last ${after}`, old].sort());
  });

  it('brings the member into the term of its last entry', () => {
    const states = found(arrived, (bench) => void install(bench, 4, () => true));
    expect([...states]).toContain('at last db-2 wal-2: applied 90, log 90/6..90, term 6 vote undefined');
  });

  it('keeps what a member promised on its way out', () => {
    const bench = PairBench.fresh(1);
    arrived(bench);
    expect(install(bench, 8, () => true, 9)).toBe('installed');
    expect(bench.describe()).toBe('db-2 wal-2: applied 90, log 90/6..90, term 9 vote n3');
  });

  it('is given up when the disk is full, and the member goes on', () => {
    // From no byte to nearly all that the new log and the file that names it take.
    for (const spareBytes of [0, 40_000, 65_536, 65_600]) {
      const bench = PairBench.fresh(1);
      arrived(bench);
      const { disk } = bench.world;
      disk.capacityBytes = bench.world.disk.usedBytes + spareBytes;
      expect(install(bench, 8, () => true, 'never asked')).toBe('noSpace');
      expect([...bench.stores.contents.keys()]).toEqual(['db']);
      expect(disk.listSync('wal-2')).toEqual([]);
      disk.capacityBytes = Number.POSITIVE_INFINITY;
      expect(bench.describe()).toBe(old);
    }
  });

  it('needs no more room once the member was ended', () => {
    const bench = PairBench.fresh(1);
    arrived(bench);
    const full = (): void => void (bench.world.disk.capacityBytes = 0);
    expect(install(bench, 8, () => true, 8, full)).toBe('installed');
    expect(bench.describe()).toBe('db-2 wal-2: applied 90, log 90/6..90, term 8 vote n3');
  });

  it('leaves a member that catches up catching up', () => {
    const bench = PairBench.fresh(1);
    arrived(bench);
    const damage = { what: 'log', name: 'wal', message: 'bad' } as const;
    writeDamage(bench.world.disk, damage);
    rebuild(bench, damage, true);
    install(bench, 8, () => true);
    // The repair took the other log, so the install takes the first name again: the note is not about it.
    expect(bench.describe()).toBe('db-2 wal catching up: applied 90, log 90/6..90, term 8 vote n3');
  });

  it('is removed when the log got there by itself, before or after the store was opened', () => {
    for (const answers of [[false], [true, false]]) {
      const bench = PairBench.fresh(1);
      arrived(bench);
      expect(install(bench, 8, () => answers.shift() ?? false)).toBe('discarded');
      expect([...bench.stores.contents.keys()]).toEqual(['db']);
      expect(bench.describe()).toBe(old);
    }
  });

  it('is removed when it does not open, and the member goes on', () => {
    const bench = PairBench.fresh(1);
    arrived(bench);
    bench.stores.damaged.add('db-2');
    expect(install(bench, 8, () => true)).toBe('discarded');
    expect(bench.describe()).toBe(old);
  });

  it('ends no member when the disk refuses to open or to remove it', () => {
    const bench = PairBench.fresh(1);
    arrived(bench);
    bench.stores.openError = new KvorumError('DISK', 'the store db-2 cannot be opened: ENOSPC');
    bench.stores.removeError = new KvorumError('DISK', 'the store db-2 cannot be removed: EIO');
    expect(install(bench, 8, () => true)).toBe('discarded');
    expect([...bench.stores.contents.keys()]).toEqual(['db', 'db-2']);
    expect(bench.describe()).toBe(old);
  });
});

/** Whether there was room for it. */
function rebuild(bench: PairBench, damage: Damage, hasStore: boolean): boolean {
  const { current } = openFolder(bench.options);
  const { formation } = bench;
  let outcome: Error | 'rebuilt' | undefined;
  const begin = (opened: Parameters<typeof rebuildPair>[1]['opened']): void => {
    rebuildPair(bench.options, { formation, current, damage, opened, floor: 7 }, (error) => {
      outcome = error ?? 'rebuilt';
    });
  };
  if (hasStore) openStore(bench.options, current.store, (_error, opened) => begin(opened));
  else begin(undefined);
  bench.world.run();
  if (outcome !== 'rebuilt') expect(isNoSpace(outcome)).toBe(true);
  return outcome === 'rebuilt';
}

describe('a damaged disk that is repaired', () => {
  it('keeps its store when the log is damaged, and promises nothing it may have forgotten', () => {
    const damage = { what: 'log', name: 'wal', message: 'bad' } as const;
    const prepare = (bench: PairBench): void => writeDamage(bench.world.disk, damage);
    const states = found(prepare, (bench) => void rebuild(bench, damage, true));
    const after = 'db wal-2 catching up: applied 5, log 5/2..5, term 7 vote n1';
    expect([...states].sort()).toEqual([`at last ${after}`, 'db wal: damaged log'].sort());
  });

  it('begins with an empty store and the formation when the store is damaged', () => {
    const damage = { what: 'store', name: 'db', message: 'bad' } as const;
    const prepare = (bench: PairBench): void => {
      bench.stores.damaged.add('db');
      // A part of a snapshot is there: it is not the beginning of anything.
      bench.stores.contents.set('db-2', appliedAt(90, 6));
    };
    const states = found(prepare, (bench) => void rebuild(bench, damage, false));
    const after = 'db-2 wal-2 catching up: applied 0, log 0/0..1, term 7 vote n1';
    expect([...states].sort()).toEqual([`at last ${after}`, 'db wal: damaged store'].sort());
  });

  it('waits for room on a full disk with nothing changed', () => {
    for (const hasStore of [true, false]) {
      const bench = PairBench.fresh(1);
      const what = hasStore ? 'log' : 'store';
      const damage: Damage = { what, name: hasStore ? 'wal' : 'db', message: 'bad' };
      writeDamage(bench.world.disk, damage);
      if (!hasStore) bench.stores.damaged.add('db');
      for (const spareBytes of [0, 65_600]) {
        bench.world.disk.capacityBytes = bench.world.disk.usedBytes + spareBytes;
        expect(rebuild(bench, damage, hasStore)).toBe(false);
        expect(bench.afterPowerCut(7).describe()).toBe(`db wal: damaged ${what}`);
      }
      bench.world.disk.capacityBytes = Number.POSITIVE_INFINITY;
      expect(rebuild(bench, damage, hasStore)).toBe(true);
      expect(bench.describe()).toMatch(/catching up: applied [05], log .*, term 7 vote n1/);
    }
  });

  it('is found at the start: a bad log, a log that is gone, a store that does not open, a note', () => {
    const flipped = PairBench.fresh(1);
    const bytes = flipped.world.disk.bytesOf('wal/0000000001.wal');
    bytes.writeUInt8(bytes.readUInt8(4_200) ^ 1, 4_200);
    expect(flipped.describe()).toMatch(/damaged log/);
    const gone = PairBench.fresh(1);
    gone.world.disk.removeSync('wal/0000000001.wal');
    expect(gone.describe()).toMatch(/damaged log/);
    const behind = PairBench.fresh(1);
    behind.stores.contents.set('db', appliedAt(9, 3));
    expect(behind.describe()).toMatch(/damaged log/);
    const store = PairBench.fresh(1);
    store.stores.damaged.add('db');
    expect(store.describe()).toMatch(/damaged store/);
    const noted = PairBench.fresh(1);
    writeDamage(noted.world.disk, { what: 'store', name: 'db', message: 'a bad record' });
    expect(noted.describe()).toMatch(/damaged store/);
    const past = PairBench.fresh(1);
    writeDamage(past.world.disk, { what: 'store', name: 'db-7', message: 'a bad record' });
    expect(past.describe()).toBe(old);
    expect(past.world.disk.existsSync('damaged.json')).toBe(false);
  });
});

describe('what is not in use', () => {
  it('is not guessed at: without current.json nothing is removed', () => {
    const bench = PairBench.fresh(1);
    for (const name of ['db-2', 'db-3']) bench.stores.contents.set(name, []);
    bench.world.disk.openSync('wal-2/0000000001.wal', { create: true });
    bench.world.disk.removeSync('current.json');
    expect(() => bench.describe()).toThrow(/current\.json is missing from the data folder/);
    expect([...bench.stores.contents.keys()].sort()).toEqual(['db', 'db-2', 'db-3']);
    expect(bench.world.disk.listSync('wal-2')).toEqual(['0000000001.wal']);
    // Earlier builds wrote it with the first change only.
    writeFormationRecord(bench.world.disk, bench.record);
    expect(bench.describe()).toBe(old);
  });

  it('is removed at the start, but for the store that a snapshot arrives in', () => {
    const bench = PairBench.fresh(1);
    for (const name of ['db-2', 'db-3', 'db-7']) bench.stores.contents.set(name, []);
    bench.world.disk.openSync('wal-2/unfinished.tmp', { create: true });
    expect(bench.describe()).toBe(old);
    expect([...bench.stores.contents.keys()].sort()).toEqual(['db', 'db-2']);
    expect(bench.world.disk.listSync('wal-2')).toEqual([]);
  });
});
