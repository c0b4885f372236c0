// Damage that no crash does: what it changes on a disk, what it must leave alone, and what nodes do about it,
// in plans made by hand.

import { describe, expect, it } from 'vitest';
import type { Disk, DiskFile } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import type { DamageKind, Fault } from '../../src/sim/plan/faults.js';
import { damageDisk } from '../../src/sim/world/machine/damage.js';
import type { Plan, PlannedOperation } from '../../src/sim/plan/plan.js';
import { Scheduler } from '../../src/sim/world/scheduler.js';
import { runSimulation, type SimulationResult } from '../../src/sim/run/simulator.js';
import { VirtualDisk, type DiskTimes } from '../../src/sim/world/disk/disk.js';
import { VirtualStores } from '../../src/sim/world/disk/stores.js';
import { planWith } from './regressions.js';
import { processOn, runFor } from './world.js';

const times: DiskTimes = { writeUsMin: 5, writeUsMean: 50, syncUsMin: 20, syncUsMean: 200 };
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
const errnoOf = (error: unknown): unknown =>
  KvorumError.is(error, 'DISK') ? error.details['errno'] : String(error);

function diskWith(more: Partial<DiskTimes> = {}) {
  const scheduler = new Scheduler();
  const machine = new VirtualDisk(scheduler, 1, 'n1', { ...times, ...more });
  const stores = new VirtualStores(scheduler, 1, 'n1', { readUsMean: 1, batchUsMin: 1, batchUsMean: 1 });
  const disk: Disk = machine.attach(processOn(scheduler));
  return { scheduler, machine, stores, disk };
}

/** A file of ten blocks of 1,000 bytes, each synced by itself. */
function fileOfTen(disk: Disk): DiskFile {
  const file = disk.openSync('log', { create: true });
  for (let i = 0; i < 10; i++) {
    file.writeSync(1_000 * i, filled(1_000, i + 1));
    file.syncSync();
  }
  disk.syncDirectorySync('');
  return file;
}

describe('a disk', () => {
  it('loses one bit, never of what was synced last, also on the platter', () => {
    for (let i = 0; i <= 20; i++) {
      const { machine, stores, disk } = diskWith();
      const before = fileOfTen(disk).readSync(0, 10_000);
      expect(damageDisk('bitFlip', i / 20, machine, stores)?.words).toMatch(/^bit \d of byte \d+ of file 1/);
      machine.crash({ kind: 'power', unsynced: 'none', entries: 'none' });
      const after = disk.openSync('log', { create: false }).readSync(0, 10_000);
      const changed = [...after.keys()].filter((at) => after[at] !== before[at]);
      expect(changed).toHaveLength(1);
      expect(changed[0]).toBeLessThan(7_000);
    }
  });

  it('has a unit in the wrong place, and not in its own', () => {
    const { machine, stores, disk } = diskWith();
    fileOfTen(disk);
    const words = damageDisk('misdirected', 0.1, machine, stores)?.words ?? '';
    expect(words).toMatch(/^unit 1 of file 1 had been written to unit \d+$/);
    const to = 512 * Number(words.split(' ').at(-1));
    expect(to).toBeGreaterThan(512);
    expect(to + 512).toBeLessThanOrEqual(7_168);
    const after = disk.openSync('log', { create: false });
    expect(after.readSync(512, 512)).toEqual(filled(512, 0));
    expect(after.readSync(to, 512)).toEqual(new Uint8Array([...filled(488, 1), ...filled(24, 2)]));
  });

  it('has nothing to damage while everything on it is new', () => {
    const { machine, stores, disk } = diskWith();
    disk.openSync('log', { create: true }).writeSync(0, filled(1_000, 1));
    for (const damage of ['bitFlip', 'misdirected', 'storeOpen', 'storeValue'] as const) {
      expect(damageDisk(damage, 0.5, machine, stores)).toBeUndefined();
    }
  });

  it('is empty, or what it was when a copy was made', () => {
    const { machine, stores, disk } = diskWith();
    const file = fileOfTen(disk);
    const copy = machine.copy();
    file.writeSync(0, filled(500, 99));
    machine.restore(copy);
    expect(disk.openSync('log', { create: false }).readSync(0, 500)).toEqual(filled(500, 1));
    damageDisk('wipe', 0, machine, stores);
    expect(disk.listSync('')).toEqual([]);
    machine.restore(copy);
    expect(disk.openSync('log', { create: false }).sizeSync()).toBe(10_000);
  });

  it('may keep a part of a unit, or a length without its bytes', () => {
    const sizes = new Set<number>();
    let zeroTails = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const scheduler = new Scheduler();
      const machine = new VirtualDisk(scheduler, seed, 'n1', {
        ...times,
        unitBytes: 4_096,
        tearsUnits: true,
      });
      const disk = machine.attach(processOn(scheduler));
      const file = disk.openSync('a', { create: true });
      disk.syncDirectorySync('');
      file.writeSync(0, filled(10_000, 7));
      machine.crash({ kind: 'power', unsynced: seed % 2 === 0 ? 'prefix' : 'subset', entries: 'none' });
      const kept = disk.openSync('a', { create: false }).readSync(0, 10_000);
      sizes.add(kept.length);
      if (kept.length === 10_000 && kept.at(-1) === 0) zeroTails++;
    }
    expect([...sizes].some((size) => size % 512 !== 0 && size !== 10_000)).toBe(true);
    expect(sizes).toContain(8_192);
    expect(zeroTails).toBeGreaterThan(0);
  });

  it('fails one read, and one write after its first half', () => {
    const { scheduler, machine, disk } = diskWith();
    const file = fileOfTen(disk);
    machine.failNextRead = true;
    expect(() => file.readSync(0, 10)).toThrow(/EIO/);
    expect(file.readSync(0, 10)).toEqual(filled(10, 1));
    machine.failNextRead = true;
    const seen: unknown[] = [];
    file.read(0, 10, (error) => seen.push(errnoOf(error)));
    runFor(scheduler, 100_000);
    machine.failNextWrite = 'part';
    file.write(0, [filled(50, 2), filled(50, 3)], (error) => seen.push(errnoOf(error)));
    runFor(scheduler, 100_000);
    expect(seen).toEqual(['EIO', 'EIO']);
    expect(file.readSync(0, 100)).toEqual(new Uint8Array([...filled(50, 2), ...filled(50, 1)]));
  });

  it('is late now and then', () => {
    const { scheduler, machine, disk } = diskWith();
    const file = fileOfTen(disk);
    machine.spikes = { chance: 0.5, spikeUs: 100_000 };
    const tookUs: number[] = [];
    for (let i = 0; i < 40; i++) {
      const askedUs = scheduler.nowUs;
      file.read(0, 1, () => tookUs.push(scheduler.nowUs - askedUs));
      runFor(scheduler, 200_000);
    }
    const late = tookUs.filter((us) => us > 100_000).length;
    expect(late).toBeGreaterThan(5);
    expect(late).toBeLessThan(35);
  });
});

/** Three nodes, a client that writes all the time, and the disk of n2 damaged in the middle of it. */
function runDamaged(damages: readonly DamageKind[], more: Partial<Plan> = {}): SimulationResult {
  const faults = damages.map((damage, i): Fault => {
    const position = 0.3 + 0.1 * i;
    return { kind: 'damage', atMs: 3_000 + 1_500 * i, node: 1, downMs: 300, damage, position };
  });
  const plan = planWith(5, faults);
  const operations = Array.from({ length: 120 }, (_, i): PlannedOperation => {
    const kind = i % 4 === 3 ? 'get' : 'put';
    return { atMs: 800 + 50 * i, client: 0, kind, key: `key/${i % 5}`, condition: 'any', valueBytes: 100 };
  });
  const clients = [{ name: 'c1', concurrency: 4, timeoutMs: 5_000 }];
  return runSimulation({ ...plan, clients, operations, ...more });
}

describe('a member', () => {
  it('whose log or store is damaged refills itself from the others and votes again', () => {
    for (const damage of ['bitFlip', 'misdirected', 'storeOpen'] as const) {
      const { violations, coverage } = runDamaged([damage]);
      expect(violations, damage).toEqual([]);
      expect(coverage).toMatchObject({
        'corruption detected': 1,
        'member rebuilt': 1,
        'member votes again': 1,
      });
    }
  });

  it('is damaged again and again, and comes back each time', () => {
    const { violations, coverage } = runDamaged(['storeOpen', 'bitFlip', 'storeOpen']);
    expect(violations).toEqual([]);
    expect(coverage['member votes again']).toBeGreaterThan(1);
  });

  it('with a rotten value never shows it', () => {
    const { violations, coverage } = runDamaged(['storeValue', 'storeValue']);
    expect(violations).toEqual([]);
    expect(coverage['damage: storeValue']).toBe(2);
  });

  it('whose disk was wiped stops for good, and the others go on', () => {
    const core = { nodes: [0, 2], others: [{ node: 1, state: 'sick' }] } as const;
    const { violations, coverage } = runDamaged(['wipe'], { core });
    expect(violations).toEqual([]);
    expect(coverage['stopped without its identity']).toBe(1);
    // That this is demanded shows when it is asked to come to rest with the others all the same.
    expect(runDamaged(['wipe']).violations).toMatchObject([{ id: 'availability' }]);
  });

  it('that was rolled back in a calm moment gives no wrong answer', () => {
    const core = { nodes: [1, 2], others: [{ node: 0, state: 'sick' }] } as const;
    const fault: Fault = { kind: 'rollback', atMs: 2_500, node: 0, backAtMs: 5_000, downMs: 100 };
    const { violations, coverage } = runDamaged([], { core, faults: [fault] });
    expect(violations).toEqual([]);
    expect(coverage['rolled back']).toBe(1);
  });
});
