// The file that says which store and log are in use, the note about damage, and what a crash leaves of both.

import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { Prng } from '../../src/base/prng.js';
import {
  clearLog,
  nextLogName,
  readCurrent,
  stagingStoreName,
  writeCurrent,
  type Current,
} from '../../src/storage/folder/current.js';
import { clearDamage, damageOf, readDamage, writeDamage } from '../../src/storage/folder/damage.js';
import { writeJsonFile } from '../../src/storage/folder/json-file.js';
import { corruptLog } from '../../src/storage/wal/recovery.js';
import { FaultDisk } from './fault-disk.js';

const none = (): void => undefined;
const isCorrupt = (error: unknown): boolean => KvorumError.is(error, 'CORRUPT');
const first: Current = { store: 'db', log: 'wal', catchingUp: false };
const second: Current = { store: 'db-2', log: 'wal-2', catchingUp: true };

describe('what is in use', () => {
  it('is not known in a folder that says nothing', () => {
    expect(readCurrent(new FaultDisk(none))).toBeUndefined();
  });

  it('is what was written last', () => {
    const disk = new FaultDisk(none);
    writeCurrent(disk, second);
    writeCurrent(disk, { ...second, store: 'db-3' });
    expect(readCurrent(disk)).toEqual({ ...second, store: 'db-3' });
  });

  it('is the old or the new after a power cut at any step of the change', () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 30; seed++) {
      const disk = new FaultDisk(none);
      writeCurrent(disk, first);
      const random = new Prng(seed);
      disk.onChange = () => seen.add(readCurrent(disk.afterPowerCut(random, none))?.store ?? '');
      writeCurrent(disk, second);
      expect(readCurrent(disk.afterPowerCut(random, none))).toEqual(second);
    }
    expect([...seen].sort()).toEqual(['db', 'db-2']);
  });

  it('is durable once it was read, also when the process before was killed just after the rename', () => {
    const disk = new FaultDisk(none);
    const killed = new Error('killed');
    disk.onChange = () => {
      if (disk.existsSync('current.json')) throw killed;
    };
    expect(() => writeCurrent(disk, second)).toThrow(killed);
    disk.onChange = none;
    expect(readCurrent(disk)).toEqual(second);
    for (let seed = 1; seed <= 20; seed++) {
      expect(readCurrent(disk.afterPowerCut(new Prng(seed), none))).toEqual(second);
    }
  });

  it.each([
    ['a store of another name', { ...first, store: '../db' }, /"store"/],
    ['a store without its number', { ...first, store: 'db-0' }, /"store"/],
    ['a log of another name', { ...first, log: 'wal-3' }, /"log"/],
    ['no word about catching up', { store: 'db', log: 'wal' }, /"catchingUp"/],
  ])('is refused with %s', (_name, fields, words) => {
    const disk = new FaultDisk(none);
    writeJsonFile(disk, 'current.json', 1, fields);
    expect(() => readCurrent(disk)).toThrow(words);
    expect(() => readCurrent(disk)).toThrow(expect.toSatisfy(isCorrupt) as unknown as Error);
  });

  it('is refused with any bit of it flipped, unless what it says is the same', () => {
    for (const write of [
      (disk: FaultDisk) => writeCurrent(disk, second),
      (disk: FaultDisk) => writeDamage(disk, { what: 'store', name: 'db-2', message: 'a bad block' }),
    ]) {
      const disk = new FaultDisk(none);
      write(disk);
      const [path = ''] = disk.listSync('.');
      const length = disk.bytesOf(path).length;
      let refused = 0;
      for (let bit = 0; bit < 8 * length; bit++) {
        const flipped = disk.copy(none);
        const bytes = flipped.bytesOf(path);
        bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        try {
          expect([readCurrent(flipped), readDamage(flipped, second)]).toEqual([
            readCurrent(disk),
            readDamage(disk, second),
          ]);
        } catch (error) {
          expect(error).toSatisfy(isCorrupt);
          expect((error as Error).message).toMatch(
            new RegExp(`^${path} (is damaged.*: restore the data|has format)`, 's'),
          );
          refused++;
        }
      }
      // Only white space may change unnoticed.
      expect(refused).toBeGreaterThan(0.75 * 8 * length);
    }
  });

  it('is refused in a newer format', () => {
    const disk = new FaultDisk(none);
    writeJsonFile(disk, 'current.json', 2, { ...first });
    expect(() => readCurrent(disk)).toThrow(/newer kvorum/);
  });

  it('names the next store and the next log', () => {
    expect(stagingStoreName(first)).toBe('db-2');
    expect(stagingStoreName({ store: 'db-9' })).toBe('db-10');
    expect([nextLogName(first), nextLogName(second)]).toEqual(['wal-2', 'wal']);
  });
});

describe('a log that is not in use', () => {
  it('is removed durably, and nothing else', () => {
    const disk = new FaultDisk(none);
    for (const path of ['wal/1', 'wal-2/1', 'wal-2/2']) disk.openSync(path, { create: true });
    for (const folder of ['wal', 'wal-2']) disk.syncDirectorySync(folder);
    clearLog(disk, 'wal-2');
    clearLog(disk, 'wal-2');
    const left = disk.afterPowerCut(new Prng(1), none);
    expect([left.listSync('wal'), left.listSync('wal-2')]).toEqual([['1'], []]);
  });
});

describe('a note about damage', () => {
  const damage = { what: 'log', name: 'wal', message: 'the log is damaged in wal/1' } as const;

  it('is there for the next start, as long as what it is about is in use', () => {
    const disk = new FaultDisk(none);
    expect(readDamage(disk, first)).toBeUndefined();
    writeDamage(disk, damage);
    const left = disk.afterPowerCut(new Prng(1), none);
    expect(readDamage(left, first)).toEqual(damage);
    expect(readDamage(left, second)).toBeUndefined();
    clearDamage(left);
    clearDamage(left);
    expect(readDamage(left.afterPowerCut(new Prng(2), none), first)).toBeUndefined();
  });

  it('is made of errors about the disk in use, and of no others', () => {
    const log = corruptLog('wal/0000000003.wal', 5_000, 'bad frame');
    expect(damageOf(log, first)).toEqual({ what: 'log', name: 'wal', message: log.message });
    expect(damageOf(log, second)).toBeUndefined();
    expect(damageOf(corruptLog('wal', 0, 'no segment'), first)?.what).toBe('log');
    const store = new KvorumError('CORRUPT', 'bad block', { details: { store: 'db' } });
    expect(damageOf(store, first)).toEqual({ what: 'store', name: 'db', message: 'bad block' });
    expect(damageOf(store, second)).toBeUndefined();
    const record = new KvorumError('CORRUPT', 'bad record', { details: { record: 'L/a' } });
    expect(damageOf(record, second)).toEqual({ what: 'store', name: 'db-2', message: 'bad record' });
    // Not damaged, but not for this version: removing it would be the damage.
    expect(damageOf(corruptLog('wal/0000000001.wal', 0, 'format 9', true), first)).toBeUndefined();
    expect(damageOf(new KvorumError('CORRUPT', 'an entry that nobody can read'), first)).toBeUndefined();
    expect(damageOf(new KvorumError('DISK', 'EIO', { details: { file: 'wal/1' } }), first)).toBeUndefined();
  });
});
