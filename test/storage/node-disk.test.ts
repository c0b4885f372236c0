// The real disk: files in a temporary folder, and a log on them. And the identity of a data folder.

import { crc32 } from 'node:zlib';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  write,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiskFile } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { openDataFolder } from '../../src/storage/folder/data-folder.js';
import { writeJsonFile } from '../../src/storage/folder/json-file.js';
import { NodeDisk } from '../../src/storage/disk/node-disk.js';
import type { WriteCalls } from '../../src/storage/disk/node-file.js';
import { createWal, openWal, type Wal } from '../../src/storage/wal/wal.js';
import { World } from './wal-world.js';

type Written = (error: Error | null, bytes: number) => void;

/** How many bytes one write of the system takes, and how many writes there were. */
const system = { bytesMax: 4, writes: 0 };

function shortWrite(descriptor: number, bytes: Uint8Array, offset: number, done: Written): void {
  system.writes++;
  write(descriptor, bytes, 0, Math.min(bytes.length, system.bytesMax), offset, done);
}

const shortCalls = {
  write: (descriptor: number, bytes: Uint8Array, _from: number, _length: number, at: number, done: Written) =>
    shortWrite(descriptor, bytes, at, done),
  writev: (descriptor: number, parts: Uint8Array[], at: number, done: Written) =>
    shortWrite(descriptor, Buffer.concat(parts), at, done),
  writevSync: (descriptor: number, parts: Uint8Array[], at: number) => {
    system.writes++;
    const bytes = Buffer.concat(parts);
    return writeSync(descriptor, bytes, 0, Math.min(bytes.length, system.bytesMax), at);
  },
} as unknown as WriteCalls;

let root: string;
let disk: NodeDisk;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvorum-disk-'));
  disk = new NodeDisk(root);
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function promised<T>(start: (done: (error: Error | undefined, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === undefined ? resolve(value as T) : reject(error)));
  });
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function errorOf(operation: () => unknown): KvorumError {
  try {
    operation();
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
  return expect.unreachable('it did not throw');
}

describe('NodeDisk', () => {
  it('writes parts one after the other and reads them back, short only at the end', async () => {
    disk.makeDirectorySync('a/b');
    const file = disk.openSync('a/b/file', { create: true });
    const parts = Array.from({ length: 3_000 }, (_, i) => Buffer.alloc(i % 7, i));
    await promised((done) => file.write(5, parts, done));
    await promised((done) => file.sync(done));
    const whole = Buffer.concat(parts);
    expect(file.sizeSync()).toBe(5 + whole.length);
    expect(Buffer.from(file.readSync(5, 1e6)).equals(whole)).toBe(true);
    const read = await promised<Uint8Array>((done) => file.read(5 + 100, 1e6, done));
    expect(Buffer.from(read).equals(whole.subarray(100))).toBe(true);
    expect((await promised<Uint8Array>((done) => file.read(1e9, 10, done))).length).toBe(0);
    file.closeSync();
    expect(disk.listSync('a/b')).toEqual(['file']);
    expect(disk.listSync('nowhere')).toEqual([]);
  });

  // Small writes are made on the calling thread, large ones in the pool: both go on, and both give up.
  it.each([26, 200_000])('goes on after short writes of %i bytes', async (length) => {
    const file = new NodeDisk(root, shortCalls).openSync('file', { create: true });
    const whole = Buffer.from(Array.from({ length }, (_, i) => i % 251));
    const cuts = [0, 3, 3, 8, length - 1, length];
    const parts = cuts.slice(1).map((end, i) => whole.subarray(cuts[i], end));
    system.bytesMax = Math.ceil(length / 7);
    system.writes = 0;
    await promised((done) => file.write(2, parts, done));
    expect(system.writes).toBe(7);
    await promised((done) => file.write(2 + length, [whole], done));
    expect(system.writes).toBe(14);
    const expected = Buffer.concat([Buffer.alloc(2), whole, whole]);
    expect(readFileSync(join(root, 'file')).equals(expected)).toBe(true);
    await promised((done) => file.write(0, [new Uint8Array(0)], done));
    file.writeSync(0, new Uint8Array(0));
    system.bytesMax = 0;
    const stuck = promised((done) => file.write(0, [whole], done));
    await expect(stuck).rejects.toThrow('cannot write to file at offset 0: nothing was written');
    file.closeSync();
  });

  it('never calls back before the call returns', async () => {
    const file = disk.openSync('file', { create: true });
    for (const length of [10, 200_000]) {
      let returned = false;
      const written = promised((done) => {
        file.write(0, [Buffer.alloc(length)], (error) => {
          expect(returned).toBe(true);
          done(error);
        });
      });
      returned = true;
      await written;
    }
    file.closeSync();
  });

  it('ends when nothing is under way, with nothing open, and takes nothing more', async () => {
    const file = disk.openSync('file', { create: true });
    const ends: string[] = [];
    const large = Buffer.alloc(1_000_000, 1);
    file.write(0, [large], (error) => {
      ends.push(`written ${String(error)}`);
      file.sync((syncError) => ends.push(String(syncError)));
    });
    disk.createZeroed('zeros', 10_000_000, (error) => ends.push(String(error)));
    await disk.closeAll();
    expect(ends.sort()).toEqual([
      'KvorumError: cannot sync file: the disk is closed',
      expect.stringMatching(/cannot (write to|sync) zeros.*: the disk is closed/),
      'written undefined',
    ]);
    expect(readFileSync(join(root, 'file')).equals(large)).toBe(true);
    const open = readdirSync('/proc/self/fd').map((name) => linkOf(`/proc/self/fd/${name}`));
    expect(open.filter((path) => path.startsWith(root))).toEqual([]);
    expect(errorOf(() => disk.openSync('file', { create: false })).message).toContain('the disk is closed');
    expect(errorOf(() => file.writeSync(0, large)).message).toContain('the disk is closed');
    expect(errorOf(() => file.readSync(0, 1)).message).toContain('the disk is closed');
    await disk.closeAll();
  });

  it('makes zeroed files, renames, removes and syncs folders', async () => {
    disk.makeDirectorySync('wal');
    const file = await promised<DiskFile>((done) => disk.createZeroed('wal/a', 5_000_000, done));
    expect(statSync(join(root, 'wal/a')).size).toBe(5_000_000);
    expect(Buffer.from(file.readSync(4_999_000, 2_000)).equals(Buffer.alloc(1_000))).toBe(true);
    file.closeSync();
    disk.renameSync('wal/a', 'wal/b');
    await promised((done) => disk.syncDirectory('wal', done));
    disk.syncDirectorySync('.');
    expect([disk.existsSync('wal/a'), disk.existsSync('wal/b')]).toEqual([false, true]);
    disk.removeSync('wal/b');
    expect(disk.listSync('wal')).toEqual([]);
    expect(await promised<number>((done) => disk.freeBytes(done))).toBeGreaterThan(0);
  });

  it('names path, offset and errno of what failed', async () => {
    expect(errorOf(() => disk.openSync('none', { create: false }))).toMatchObject({
      code: 'DISK',
      message: 'cannot open none: ENOENT',
      details: { path: 'none', errno: 'ENOENT' },
    });
    writeFileSync(join(root, 'file'), 'x');
    expect(errorOf(() => disk.openSync('file', { create: true })).details['errno']).toBe('EEXIST');
    const taken = promised<DiskFile>((done) => disk.createZeroed('file', 10, done));
    await expect(taken).rejects.toMatchObject({ code: 'DISK', details: { path: 'file', errno: 'EEXIST' } });
    const file = disk.openSync('file', { create: false });
    file.closeSync();
    const write = promised((done) => file.write(7, [Buffer.from('x')], done));
    await expect(write).rejects.toMatchObject({
      message: 'cannot write to file at offset 7: the file is closed',
    });
    await expect(promised((done) => disk.syncDirectory('none', done))).rejects.toMatchObject({
      code: 'DISK',
    });
  });

  it('carries a log', async () => {
    const options = {
      ...new World(1).options(),
      disk,
      timers: {
        set: (delayMs: number, callback: () => void) => setTimeout(callback, delayMs),
        clear: (handle: unknown) => clearTimeout(handle as NodeJS.Timeout),
        defer: (callback: () => void) => void setImmediate(callback),
      },
      segmentBytes: 65_536,
      onFailure: (error: Error) => expect.unreachable(error.message),
    };
    createWal(options, { entries: [] });
    const { wal } = openWal(options);
    const entry = (index: number, bytes: number) =>
      ({ index, term: 1, kind: 'command', payload: Buffer.alloc(bytes, index) }) as const;
    let index = 0;
    for (let i = 0; i < 60; i++) {
      const entries = [entry(++index, 20), entry(++index, 9_000), entry(++index, 300)];
      await promised((done) => wal.append({ entries }, () => done(undefined)));
    }
    await close(wal);
    const { wal: reopened, recovered, repairedTail } = openWal(options);
    expect(repairedTail).toBeUndefined();
    expect(recovered.log.recentEntries.map(({ payload }) => payload.length).slice(0, 3)).toEqual([
      20, 9_000, 300,
    ]);
    expect(recovered.log.lastIndex).toBe(180);
    await close(reopened);
  });
});

function close(wal: Wal): Promise<unknown> {
  return promised((done) => wal.close(done));
}

describe('openDataFolder', () => {
  const entropy = { bytes: (length: number) => new Uint8Array(length).fill(0xab) };

  it('gives an empty folder an identity and finds it again', () => {
    const made = openDataFolder({ disk, entropy, nodeId: 'n1' });
    expect(made).toEqual({ nodeId: 'n1', instanceId: 'ab'.repeat(16) });
    const other = { bytes: (length: number) => new Uint8Array(length) };
    expect(openDataFolder({ disk, entropy: other, nodeId: 'n1' })).toEqual(made);
    expect(disk.listSync('.')).toEqual(['identity.json']);
  });

  it('refuses the folder of another node', () => {
    openDataFolder({ disk, entropy, nodeId: 'n1' });
    const error = errorOf(() => openDataFolder({ disk, entropy, nodeId: 'n2' }));
    expect(error.code).toBe('IDENTITY');
    expect(error.message).toContain('belongs to node n1, not n2');
  });

  it.each([
    ['', /identity.json/],
    ['[]', /identity.json/],
    [`{"formatVersion":2,"checksum":"${crc32('{"formatVersion":2}').toString(16)}"}`, /newer kvorum/],
    // A flipped bit makes no newer kvorum.
    ['{"formatVersion":3,"nodeId":"n1"}', /checksum/],
    ['{"formatVersion":1,"nodeId":"n1","instanceId":"00000000000000000000000000000000"}', /checksum/],
  ])('refuses the file %s', (text, message) => {
    writeFileSync(join(root, 'identity.json'), text);
    const error = errorOf(() => openDataFolder({ disk, entropy, nodeId: 'n1' }));
    expect(error.code).toBe('CORRUPT');
    expect(error.message).toMatch(message);
  });

  it.each([
    [{ nodeId: '', instanceId: '0'.repeat(32) }, /"nodeId"/],
    [{ nodeId: 'n1', instanceId: 'xyz' }, /"instanceId"/],
  ])('refuses a file that says %j', (fields, message) => {
    writeJsonFile(disk, 'identity.json', 1, fields);
    const error = errorOf(() => openDataFolder({ disk, entropy, nodeId: 'n1' }));
    expect([error.code, error.message]).toEqual(['CORRUPT', expect.stringMatching(message)]);
  });

  it('keeps its identity through a power cut right after it was made, or has none', () => {
    for (let seed = 0; seed < 50; seed++) {
      const world = new World(seed);
      const images: World[] = [];
      world.disk.onChange = () => images.push(world.afterPowerCut(world.random));
      const made = openDataFolder({ disk: world.disk, entropy, nodeId: 'n1' });
      for (const image of images)
        expect(() => openDataFolder({ disk: image.disk, entropy, nodeId: 'n1' })).not.toThrow();
      const zeros = { bytes: (length: number) => new Uint8Array(length) };
      const left = world.afterPowerCut(world.random);
      expect(openDataFolder({ disk: left.disk, entropy: zeros, nodeId: 'n1' })).toEqual(made);
    }
  });
});
