// The virtual disk and store promise what the real ones do, and no more: what was synced is there after any
// crash, what was not may be lost, torn or kept, and names need a sync of their own.

import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { Disk, DiskFile } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { Scheduler } from '../../src/sim/world/scheduler.js';
import { VirtualDisk, type DiskCrash } from '../../src/sim/world/disk/disk.js';
import { diskUnitBytes, type UnsyncedFate } from '../../src/sim/world/disk/file.js';
import type { EntryFate } from '../../src/sim/world/disk/folders.js';
import { VirtualStore } from '../../src/sim/world/disk/store.js';
import type { VirtualProcess } from '../../src/sim/world/machine/process.js';
import { processOn, runFor } from './world.js';

const times = { writeUsMin: 5, writeUsMean: 50, syncUsMin: 20, syncUsMean: 200 };
const unsyncedFates: readonly UnsyncedFate[] = ['none', 'prefix', 'subset', 'all'];
const entryFates: readonly EntryFate[] = ['none', 'prefix', 'subset', 'all'];

class Bench {
  readonly scheduler = new Scheduler();
  readonly machine: VirtualDisk;
  process: VirtualProcess;
  disk: Disk;

  constructor(seed = 1) {
    this.machine = new VirtualDisk(this.scheduler, seed, 'n1', times);
    this.process = processOn(this.scheduler);
    this.disk = this.machine.attach(this.process);
  }

  /** A file whose name and `bytes` are durable. */
  durableFile(path: string, bytes: Uint8Array): DiskFile {
    const file = this.disk.openSync(path, { create: true });
    file.writeSync(0, bytes);
    file.syncSync();
    this.disk.syncDirectorySync('');
    return file;
  }

  crash(crash: DiskCrash): void {
    this.process.kill();
    this.machine.crash(crash);
    this.process = processOn(this.scheduler);
    this.disk = this.machine.attach(this.process);
  }

  read(path: string): Uint8Array {
    const file = this.disk.openSync(path, { create: false });
    return file.readSync(0, file.sizeSync());
  }

  settle(): void {
    runFor(this.scheduler, 10_000_000);
  }
}

const power = (unsynced: UnsyncedFate, entries: EntryFate = 'all'): DiskCrash => ({
  kind: 'power',
  unsynced,
  entries,
});
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);

describe('files', () => {
  it('keep what was synced and lose what was not, when fate keeps nothing', () => {
    const bench = new Bench();
    const file = bench.durableFile('a', filled(2_000, 1));
    file.writeSync(500, filled(3_000, 2));
    expect(file.sizeSync()).toBe(3_500);
    bench.crash(power('none'));
    expect(bench.read('a')).toEqual(filled(2_000, 1));
  });

  it('keep the page cache when only the process dies, and its writes are still not durable then', () => {
    const bench = new Bench();
    bench.durableFile('a', filled(100, 1)).writeSync(0, filled(100, 2));
    bench.crash({ kind: 'kill' });
    expect(bench.read('a')).toEqual(filled(100, 2));
    bench.crash(power('none'));
    expect(bench.read('a')).toEqual(filled(100, 1));
  });

  it('let a new process make durable what the one before it wrote', () => {
    const bench = new Bench();
    bench.durableFile('a', filled(100, 1)).writeSync(0, filled(100, 2));
    bench.crash({ kind: 'kill' });
    bench.disk.openSync('a', { create: false }).syncSync();
    bench.crash(power('none'));
    expect(bench.read('a')).toEqual(filled(100, 2));
  });

  it('tear unsynced writes only at units, each unit holding a state it went through', () => {
    const fates = new Set<string>();
    fc.assert(
      fc.property(
        fc.integer(),
        fc.constantFrom(...unsyncedFates),
        fc.array(fc.tuple(fc.nat(4_000), fc.integer({ min: 1, max: 2_000 })), { minLength: 1, maxLength: 6 }),
        (seed, fate, writes) => {
          const bench = new Bench(seed);
          const file = bench.durableFile('a', filled(6_000, 0));
          const states: Uint8Array[] = [file.readSync(0, 6_000)];
          for (const [i, [offset, length]] of writes.entries()) {
            file.writeSync(offset, filled(length, i + 1));
            states.push(file.readSync(0, 6_000));
          }
          bench.crash(power(fate));
          const after = bench.read('a');
          const kept = new Set<number>();
          for (let start = 0; start < after.length; start += diskUnitBytes) {
            const unit = Buffer.from(after.subarray(start, start + diskUnitBytes));
            const state = states.findLastIndex((bytes) =>
              unit.equals(bytes.subarray(start, start + diskUnitBytes)),
            );
            expect(state).toBeGreaterThanOrEqual(0);
            kept.add(state);
          }
          if (fate === 'none') expect(Buffer.from(after).equals(states[0] ?? after)).toBe(true);
          if (fate === 'all') expect(Buffer.from(after).equals(states.at(-1) ?? after)).toBe(true);
          if (fate === 'subset' && kept.size > 1) fates.add('torn');
        },
      ),
    );
    expect(fates).toContain('torn');
  });

  it('make durable with a sync only what was written when it was asked for', () => {
    const bench = new Bench();
    const file = bench.durableFile('a', filled(100, 1));
    file.writeSync(0, filled(100, 2));
    let synced = false;
    file.sync((error) => {
      expect(error).toBeUndefined();
      synced = true;
    });
    file.writeSync(0, filled(100, 3));
    bench.settle();
    expect(synced).toBe(true);
    bench.crash(power('none'));
    expect(bench.read('a')).toEqual(filled(100, 2));
  });

  it('write nothing before a write is under way, and a part of it when the process dies meanwhile', () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const bench = new Bench(seed);
      const file = bench.durableFile('a', filled(10, 0));
      file.write(0, [filled(4, 1), filled(4, 1)], () => expect.unreachable('the process died'));
      expect(file.readSync(0, 10)).toEqual(filled(10, 0));
      bench.crash({ kind: 'kill' });
      bench.settle();
      lengths.add(bench.read('a').filter((byte) => byte === 1).length);
    }
    expect(lengths.size).toBeGreaterThan(3);
  });
});

describe('names', () => {
  it('need a sync of their folder, for creating, renaming and removing', () => {
    const bench = new Bench();
    bench.durableFile('old', filled(10, 1));
    bench.durableFile('gone', filled(10, 2));
    bench.disk.openSync('new', { create: true }).syncSync();
    bench.disk.renameSync('old', 'renamed');
    bench.disk.removeSync('gone');
    expect(bench.disk.listSync('')).toEqual(['new', 'renamed']);
    bench.crash(power('all', 'none'));
    expect(bench.disk.listSync('')).toEqual(['gone', 'old']);
    bench.disk.renameSync('old', 'renamed');
    bench.disk.removeSync('gone');
    bench.disk.syncDirectorySync('');
    bench.crash(power('all', 'none'));
    expect(bench.disk.listSync('')).toEqual(['renamed']);
    expect(bench.read('renamed')).toEqual(filled(10, 1));
  });

  it('never show a rename in part', () => {
    for (let seed = 0; seed < 50; seed++) {
      for (const fate of entryFates) {
        const bench = new Bench(seed);
        bench.durableFile('current', filled(4, 1));
        const file = bench.disk.openSync('temporary', { create: true });
        file.writeSync(0, filled(4, 2));
        file.syncSync();
        bench.disk.renameSync('temporary', 'current');
        bench.crash(power('none', fate));
        expect([1, 2]).toContain(bench.read('current')[0]);
      }
    }
  });

  it('go with their folder when its own name was never synced', () => {
    const bench = new Bench();
    bench.disk.makeDirectorySync('wal');
    bench.disk.openSync('wal/1', { create: true }).syncSync();
    bench.disk.syncDirectorySync('wal');
    bench.crash(power('all', 'none'));
    expect(bench.disk.existsSync('wal')).toBe(false);
    bench.disk.makeDirectorySync('wal');
    bench.disk.syncDirectorySync('');
    bench.disk.openSync('wal/1', { create: true }).syncSync();
    bench.disk.syncDirectorySync('wal');
    bench.crash(power('all', 'none'));
    expect(bench.disk.listSync('wal')).toEqual(['1']);
  });

  it('of a zeroed file need the sync too, its content does not', () => {
    const bench = new Bench();
    bench.disk.createZeroed('a', 3_000, (error) => expect(error).toBeUndefined());
    bench.disk.createZeroed('b', 3_000, (error) => expect(error).toBeUndefined());
    bench.settle();
    bench.crash(power('none', 'none'));
    expect(bench.disk.listSync('')).toEqual([]);
    bench.disk.createZeroed('c', 3_000, (error) => expect(error).toBeUndefined());
    bench.settle();
    bench.disk.syncDirectory('', (error) => expect(error).toBeUndefined());
    bench.settle();
    bench.crash(power('none', 'none'));
    expect(bench.read('c')).toEqual(new Uint8Array(3_000));
  });
});

describe('faults of the disk', () => {
  const errnoOf = (error: Error | undefined): unknown =>
    KvorumError.is(error, 'DISK') ? error.details['errno'] : error;

  it('fail one sync and never write its data, although reads still show it', () => {
    const bench = new Bench();
    const file = bench.durableFile('a', filled(10, 1));
    file.writeSync(0, filled(10, 2));
    bench.machine.failNextSync = true;
    const seen: unknown[] = [];
    file.sync((error) => seen.push(errnoOf(error)));
    bench.settle();
    file.sync((error) => seen.push(errnoOf(error)));
    bench.settle();
    expect(seen).toEqual(['EIO', undefined]);
    expect(file.readSync(0, 10)).toEqual(filled(10, 2));
    bench.crash(power('all'));
    expect(bench.read('a')).toEqual(filled(10, 1));
  });

  it('refuse growth on a full disk, keep what fitted, and take writes in place', () => {
    const bench = new Bench();
    const file = bench.durableFile('a', filled(100, 1));
    bench.machine.capacityBytes = 150;
    const seen: unknown[] = [];
    file.write(50, [filled(101, 2)], (error) => seen.push(errnoOf(error)));
    file.write(0, [filled(100, 3)], (error) => seen.push(errnoOf(error)));
    bench.disk.createZeroed('b', 60, (error) => seen.push(errnoOf(error)));
    bench.disk.freeBytes((_error, bytes) => seen.push(bytes));
    bench.settle();
    expect(seen).toHaveLength(4);
    expect(seen.filter((result) => result === 'ENOSPC')).toHaveLength(2);
    expect(seen).toContain(0);
    expect(bench.read('a')).toEqual(new Uint8Array([...filled(100, 3), ...filled(50, 2)]));
  });

  it('let nothing of a doomed process through', () => {
    const bench = new Bench();
    const file = bench.durableFile('a', filled(10, 1));
    bench.process.doomed = true;
    expect(() => file.writeSync(0, filled(10, 2))).toThrow('EIO');
    file.write(0, [filled(10, 2)], () => expect.unreachable('it is gone'));
    expect(() => bench.disk.removeSync('a')).toThrow('EIO');
    bench.crash({ kind: 'kill' });
    expect(bench.read('a')).toEqual(filled(10, 1));
  });
});

describe('the virtual store', () => {
  const storeTimes = { readUsMean: 10, batchUsMin: 100, batchUsMean: 100 };
  const put = (key: string, byte: number) => ({ type: 'put', key, value: filled(1, byte) }) as const;

  it('keeps every batch that was done, and the one under way in whole or not at all', () => {
    const kept = new Set<boolean>();
    for (let seed = 0; seed < 60; seed++) {
      const scheduler = new Scheduler();
      const machine = new VirtualStore(scheduler, seed, 'n1', storeTimes);
      const process = processOn(scheduler);
      const store = machine.attach(process);
      store.writeBatch([put('a', 1), put('b', 1)], (error) => expect(error).toBeUndefined());
      runFor(scheduler, 10_000_000);
      store.writeBatch([put('a', 2), { type: 'delete', key: 'b' }, put('c', 2)], () =>
        expect.unreachable('the process died'),
      );
      process.kill();
      machine.crash();
      runFor(scheduler, 10_000_000);
      const state = machine.records().map(({ key, value }) => `${key}${value[0]}`);
      expect([
        ['a1', 'b1'],
        ['a2', 'c2'],
      ]).toContainEqual(state);
      kept.add(state[0] === 'a2');
    }
    expect(kept.size).toBe(2);
  });

  it('is done with a batch that fails, which is in whole or not at all', () => {
    const kept = new Set<boolean>();
    for (let seed = 0; seed < 60; seed++) {
      const scheduler = new Scheduler();
      const machine = new VirtualStore(scheduler, seed, 'n1', storeTimes);
      const store = machine.attach(processOn(scheduler));
      const seen: string[] = [];
      machine.failNextBatch = true;
      store.writeBatch([put('a', 1), put('b', 1)], (error) => seen.push(String(error)));
      store.close(() => seen.push('closed'));
      runFor(scheduler, 10_000_000);
      expect(seen).toEqual([expect.stringContaining('EIO'), 'closed']);
      const state = machine.records().map(({ key }) => key);
      expect([[], ['a', 'b']]).toContainEqual(state);
      kept.add(state.length > 0);
    }
    expect(kept.size).toBe(2);
  });

  it('reads ranges in byte order, both ways, as they were when asked for', () => {
    const scheduler = new Scheduler();
    const process = processOn(scheduler);
    const store = new VirtualStore(scheduler, 1, 'n1', storeTimes).attach(process);
    store.writeBatch(
      ['b', 'a', 'd', 'c'].map((key) => put(key, 1)),
      () => undefined,
    );
    runFor(scheduler, 10_000_000);
    const seen: string[] = [];
    const ask = (limit: number, reverse: boolean): void =>
      store.fetchRange({ start: 'a', end: 'd', limit, reverse }, (_error, records) => {
        seen.push(records.map(({ key, value }) => `${key}${value[0]}`).join());
      });
    ask(10, false);
    runFor(scheduler, 1_000_000);
    ask(2, true);
    runFor(scheduler, 1_000_000);
    store.fetchMany(['c', 'x'], (_error, values) => seen.push(values.map((value) => value?.[0]).join()));
    runFor(scheduler, 1_000_000);
    expect(seen).toEqual(['a1,b1,c1', 'c1,b1', '1,']);
  });
});
