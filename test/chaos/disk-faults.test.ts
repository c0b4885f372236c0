// Notes of a node's disk, and the faults made from them: a torn tail never touches a synced byte, damage only
// synced ones, and a full disk is full for new files alone. On real files in a temporary folder.

import fc from 'fast-check';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Disk, DiskFile } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { Prng } from '../../src/base/prng.js';
import { heldSyncsMarker, syncNoteName, withSyncNotes } from '../../src/chaos/faults/sync-notes.js';
import { damageLog, holdSyncs, rotStore, setDiskFull, tearTail } from '../../src/chaos/faults/disk-faults.js';
import { NodeDisk } from '../../src/storage/disk/node-disk.js';
import { aWhile } from '../waiting.js';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

interface World {
  readonly dataDirectory: string;
  readonly chaosFolder: string;
  readonly disk: Disk;
}

function makeWorld(): World {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-notes-'));
  folders.push(folder);
  const dataDirectory = join(folder, 'n1');
  const chaosFolder = join(folder, 'n1-notes');
  mkdirSync(join(dataDirectory, 'wal'), { recursive: true });
  return { dataDirectory, chaosFolder, disk: withSyncNotes(new NodeDisk(dataDirectory), chaosFolder) };
}

/** What is noted of a file: the ends of what is synced and of what was written. */
function noteOf({ chaosFolder }: World, path: string): [synced: number, written: number] {
  const note = readFileSync(join(chaosFolder, syncNoteName(path)));
  return [Number(note.readBigUInt64LE(0)), Number(note.readBigUInt64LE(8))];
}

function write(file: DiskFile, offset: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    file.write(offset, [bytes], (error) => (error === undefined ? resolve() : reject(error)));
  });
}

function sync(file: DiskFile): Promise<void> {
  return new Promise((resolve, reject) => {
    file.sync((error) => (error === undefined ? resolve() : reject(error)));
  });
}

function createZeroed(disk: Disk, path: string, bytes: number): Promise<DiskFile> {
  return new Promise((resolve, reject) => {
    disk.createZeroed(path, bytes, (error, file) => {
      if (file === undefined) reject(error ?? new Error('no file'));
      else resolve(file);
    });
  });
}

const ones = (bytes: number): Buffer => Buffer.alloc(bytes, 0xff);

describe('notes', () => {
  test('follow writes, syncs, renames and repairs, over a restart', async () => {
    const world = makeWorld();
    const { disk } = world;
    const file = await createZeroed(disk, 'wal/unfinished.tmp', 65_536);
    await write(file, 0, ones(100));
    expect(noteOf(world, 'wal/unfinished.tmp')).toEqual([0, 100]);
    await sync(file);
    disk.renameSync('wal/unfinished.tmp', 'wal/0000000001.wal');
    await write(file, 4_096, ones(1_000));
    expect(noteOf(world, 'wal/0000000001.wal')).toEqual([100, 5_096]);
    await sync(file);
    await write(file, 5_096, ones(500));
    file.closeSync();
    // The same file in another process.
    const again = withSyncNotes(new NodeDisk(world.dataDirectory), world.chaosFolder);
    const reopened = again.openSync('wal/0000000001.wal', { create: false });
    expect(noteOf(world, 'wal/0000000001.wal')).toEqual([5_096, 5_596]);
    // A torn tail is zeroed to the end of the file.
    reopened.writeSync(5_200, Buffer.alloc(65_536 - 5_200));
    expect(noteOf(world, 'wal/0000000001.wal')).toEqual([5_096, 5_200]);
    reopened.syncSync();
    expect(noteOf(world, 'wal/0000000001.wal')).toEqual([5_200, 5_200]);
    reopened.closeSync();
    again.removeSync('wal/0000000001.wal');
    expect(existsSync(join(world.chaosFolder, syncNoteName('wal/0000000001.wal')))).toBe(false);
  });

  test('a sync covers what was written before it began, no more', async () => {
    const world = makeWorld();
    const file = world.disk.openSync('wal/a.wal', { create: true });
    await write(file, 0, ones(10));
    const synced = sync(file);
    await write(file, 10, ones(10));
    await synced;
    expect(noteOf(world, 'wal/a.wal')).toEqual([10, 20]);
    file.closeSync();
  });

  test('held syncs wait until they are let go', async () => {
    const world = makeWorld();
    const file = world.disk.openSync('wal/a.wal', { create: true });
    await write(file, 0, ones(10));
    holdSyncs(world, true);
    let done = false;
    const synced = sync(file).then(() => (done = true));
    await aWhile();
    expect(done).toBe(false);
    expect(noteOf(world, 'wal/a.wal')).toEqual([0, 10]);
    holdSyncs(world, false);
    await synced;
    expect(noteOf(world, 'wal/a.wal')).toEqual([10, 10]);
    expect(existsSync(join(world.chaosFolder, heldSyncsMarker))).toBe(false);
    file.closeSync();
  });
});

test('a full disk takes no new file, goes on in those that are there, and has room again after', async () => {
  const world = makeWorld();
  const { disk } = world;
  const file = disk.openSync('wal/a.wal', { create: true });
  setDiskFull(world, true);
  const isFull = (error: unknown): boolean =>
    KvorumError.is(error, 'DISK') && error.details['errno'] === 'ENOSPC';
  expect(() => disk.openSync('wal/b.wal', { create: true })).toThrow(
    expect.toSatisfy(isFull) as unknown as KvorumError,
  );
  await expect(createZeroed(disk, 'wal/c.wal', 10)).rejects.toSatisfy(isFull);
  const free = (): Promise<number> =>
    new Promise((resolve) => disk.freeBytes((_error, bytes) => resolve(bytes)));
  expect(await free()).toBe(0);
  await write(file, 0, ones(10));
  await sync(file);
  setDiskFull(world, false);
  expect(await free()).toBeGreaterThan(0);
  (await createZeroed(disk, 'wal/c.wal', 10)).closeSync();
  file.closeSync();
});

describe('faults of the log', () => {
  const segment = 'wal/0000000001.wal';
  const segmentBytes = 131_072;

  /** A segment of known content with notes about it. */
  function prepare(
    syncedBytes: number,
    writtenBytes: number,
  ): { world: World; path: string; before: Buffer } {
    const world = makeWorld();
    const path = join(world.dataDirectory, segment);
    const before = Buffer.alloc(segmentBytes);
    before.set(new Prng(syncedBytes).bytes(writtenBytes));
    writeFileSync(path, before);
    const note = Buffer.alloc(16);
    note.writeBigUInt64LE(BigInt(syncedBytes), 0);
    note.writeBigUInt64LE(BigInt(writtenBytes), 8);
    writeFileSync(join(world.chaosFolder, syncNoteName(segment)), note);
    return { world, path, before };
  }

  const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });

  test('a torn tail leaves every synced byte and the length of the file alone', () => {
    let torn = 0;
    fc.assert(
      fc.property(seeds, fc.nat(60_000), fc.nat(60_000), (seed, synced, unsynced) => {
        const { world, path, before } = prepare(4_097 + synced, 4_097 + synced + unsynced);
        const words = tearTail(world, new Prng(seed));
        const after = readFileSync(path);
        expect(after.length).toBe(before.length);
        expect(after.subarray(0, 4_097 + synced).equals(before.subarray(0, 4_097 + synced))).toBe(true);
        if (words !== undefined && !after.equals(before)) torn += 1;
      }),
      { numRuns: 60 },
    );
    expect(torn).toBeGreaterThan(30);
  });

  test('damage changes synced bytes that others follow, or cuts the file before their end', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 20_000, max: 100_000 }), (seed, synced) => {
        const { world, path, before } = prepare(synced, synced + 100);
        expect(damageLog(world, new Prng(seed))).toBeDefined();
        const after = readFileSync(path);
        if (after.length < before.length) {
          expect(after.length).toBeLessThan(synced);
          expect(after.equals(before.subarray(0, after.length))).toBe(true);
          return;
        }
        const changed = [...before.keys()].filter((at) => before[at] !== after[at]);
        expect(changed).toHaveLength(1);
        expect(changed[0]).toBeLessThan(4_096 + (synced - 4_096) / 2 + 1);
        expect(changed[0]).toBeGreaterThanOrEqual(4_096);
      }),
      { numRuns: 60 },
    );
  });

  test('only the log in use is touched, and a log with too little in it not at all', () => {
    const { world, path, before } = prepare(50_000, 50_100);
    const current = { formatVersion: 1, store: 'db', log: 'wal-2', catchingUp: false };
    writeFileSync(join(world.dataDirectory, 'current.json'), JSON.stringify(current));
    expect(tearTail(world, new Prng(1))).toBeUndefined();
    expect(damageLog(world, new Prng(1))).toBeUndefined();
    expect(readFileSync(path).equals(before)).toBe(true);
    const small = prepare(5_000, 5_000);
    expect(damageLog(small.world, new Prng(1))).toBeUndefined();
    truncateSync(small.path, 0);
    expect(tearTail(small.world, new Prng(1))).toBeUndefined();
  });

  test('rot flips one bit of one table', () => {
    const world = makeWorld();
    expect(rotStore(world, new Prng(1))).toBeUndefined();
    mkdirSync(join(world.dataDirectory, 'db'));
    const path = join(world.dataDirectory, 'db', '000005.ldb');
    writeFileSync(path, ones(1_000));
    expect(rotStore(world, new Prng(1))).toContain('db/000005.ldb');
    const changed = readFileSync(path).filter((byte) => byte !== 0xff);
    expect(changed).toHaveLength(1);
  });
});
