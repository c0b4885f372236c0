// What LevelDB passes over when it opens a damaged store: each kind of damage is found before it does, for
// any flipped bit in its log no state comes out that never was, and what a crash can leave is not called
// damage.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { renameSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KvorumError } from '../../src/base/errors.js';
import { findStoreDamage } from '../../src/storage/level/check.js';
import { openLevelStore } from '../../src/storage/level/store.js';

const root = mkdtempSync(join(tmpdir(), 'kvorum-level-'));
const whole = join(root, 'whole');
const groups = 60;
const groupKeys = 20;

/** Groups of 2 to 3 KiB as a node writes them: each one a synced batch that says which one it is. */
async function writeGroups(directory: string, from: number, to: number): Promise<void> {
  const store = await openLevelStore(directory);
  for (let group = from; group < to; group++) {
    const put = (key: string, bytes: number) => ({
      type: 'put' as const,
      key,
      value: Buffer.alloc(bytes, group),
    });
    const puts = Array.from({ length: groupKeys }, (_, index) => [
      put(`L/${group}/${index}`, 48),
      put(`V/${group}/${index}`, 100 + (group % 7) * 10),
    ]).flat();
    const last = { type: 'put' as const, key: 'M/applied', value: Buffer.from(String(group)) };
    await new Promise<void>((resolve, reject) => {
      store.writeBatch([...puts, last], (error) => (error === undefined ? resolve() : reject(error)));
    });
  }
  await new Promise((resolve) => store.close(resolve));
}

/** The last group that the store names, and whether it holds that one and all before it, and no more. */
async function stateOf(directory: string): Promise<{ group: number; isWhole: boolean }> {
  const level = new Level(directory);
  const keys = (await level.keys().all()).length;
  const group = Number((await level.get('M/applied')) ?? -1);
  await level.close();
  return { group, isWhole: keys === (group < 0 ? 0 : (group + 1) * groupKeys * 2 + 1) };
}

function copyOf(source: string, name: string): string {
  const directory = join(root, name);
  mkdirSync(directory);
  for (const file of readdirSync(source)) copyFileSync(join(source, file), join(directory, file));
  return directory;
}

function fileIn(directory: string, pattern: RegExp): string {
  const name = readdirSync(directory)
    .filter((file) => pattern.test(file))
    .sort()
    .at(-1);
  if (name === undefined) throw new Error(`no file like ${pattern} in ${directory}`);
  return join(directory, name);
}

function flip(path: string, offset: number, mask = 0x10): void {
  const bytes = readFileSync(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ mask;
  writeFileSync(path, bytes);
}

async function openingError(directory: string): Promise<KvorumError> {
  return openLevelStore(directory).then(
    () => Promise.reject(new Error('the damaged store was opened')),
    (error: unknown) => error as KvorumError,
  );
}

beforeAll(async () => {
  // The first half is in a table: LevelDB puts its log there whenever it opens. The rest is in its log.
  await writeGroups(whole, 0, groups / 2);
  await writeGroups(whole, groups / 2, groups);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('nothing is found', () => {
  test('in a store that is whole, or is not there yet', async () => {
    expect(await findStoreDamage(whole)).toBeUndefined();
    expect(await findStoreDamage(join(root, 'nothing'))).toBeUndefined();
    expect(await stateOf(copyOf(whole, 'as-it-is'))).toEqual({ group: groups - 1, isWhole: true });
  });

  test('in a store whose making was cut short before it held anything', async () => {
    const directory = copyOf(whole, 'begun');
    for (const file of readdirSync(directory)) if (!/^(LOCK|LOG)$/.test(file)) rmSync(join(directory, file));
    writeFileSync(join(directory, 'MANIFEST-000001'), '');
    expect(await findStoreDamage(directory)).toBeUndefined();
  });

  test('in a store whose last batch was not written in whole: it is as if it had not begun', async () => {
    const directory = copyOf(whole, 'torn');
    const log = fileIn(directory, /\.log$/);
    truncateSync(log, readFileSync(log).length - 1_000);
    expect(await findStoreDamage(directory)).toBeUndefined();
    expect(await stateOf(directory)).toEqual({ group: groups - 2, isWhole: true });
  });
});

describe('found, and refused as CORRUPT, is', () => {
  test('a flipped bit in the log, unless the store is then as it was before its last batch', async () => {
    const log = fileIn(whole, /\.log$/);
    const bytes = readFileSync(log).length;
    let found = 0;
    for (let round = 0; round < 40; round++) {
      const directory = copyOf(whole, `flipped-${round}`);
      flip(fileIn(directory, /\.log$/), Math.floor((bytes * round) / 40), 1 << (round % 8));
      if ((await findStoreDamage(directory)) === undefined) {
        expect((await stateOf(directory)).isWhole, `round ${round}`).toBe(true);
      } else {
        const error = await openingError(directory);
        expect(error.code).toBe('CORRUPT');
        expect(error.message).toContain('.log');
        found++;
      }
    }
    expect(found).toBeGreaterThan(10);
  });

  test('a flipped bit in a table, unless in a version: those are verified when they are read', async () => {
    const records = async (directory: string): Promise<string> => {
      const level = new Level<string, Buffer>(directory, { valueEncoding: 'buffer' });
      const found = await level.iterator({ lt: 'V/' }).all();
      await level.close();
      return JSON.stringify(found.map(([key, value]) => [key, value.toString('hex')]));
    };
    const expected = await records(copyOf(whole, 'records'));
    const bytes = readFileSync(fileIn(whole, /\.ldb$/)).length;
    let found = 0;
    for (let round = 0; round < 60; round++) {
      const directory = copyOf(whole, `table-${round}`);
      const offset = Math.floor((bytes * round) / 60);
      flip(fileIn(directory, /\.ldb$/), offset, 1 << (round % 8));
      if ((await findStoreDamage(directory)) === undefined) {
        expect(await records(directory), `offset ${offset}`).toBe(expected);
      } else {
        expect((await openingError(directory)).code).toBe('CORRUPT');
        found++;
      }
    }
    expect(found).toBeGreaterThan(10);
  });

  test('a log without its beginning', async () => {
    const directory = copyOf(whole, 'beheaded');
    const log = fileIn(directory, /\.log$/);
    writeFileSync(log, readFileSync(log).subarray(32_768));
    expect((await openingError(directory)).code).toBe('CORRUPT');
  });

  test.each([
    ['CURRENT that is gone', /^CURRENT$/, (path: string) => rmSync(path), /CURRENT is missing/],
    ['CURRENT with a flipped bit', /^CURRENT$/, (path: string) => flip(path, 3), /CURRENT does not name/],
    ['MANIFEST that is gone', /^MANIFEST/, (path: string) => rmSync(path), /CURRENT does not name/],
    ['table that is gone', /\.ldb$/, (path: string) => rmSync(path), /\.ldb is missing/],
    ['table that was cut short', /\.ldb$/, (path: string) => truncateSync(path, 5_000), /5000 bytes/],
    [
      'table under another name',
      /\.ldb$/,
      (path: string) => renameSync(path, path.replace(/\d{6}/, '999999')),
      /is missing/,
    ],
  ] as const)('a %s', async (name, pattern, damage, words) => {
    const directory = copyOf(whole, name.replaceAll(' ', '-'));
    damage(fileIn(directory, pattern));
    const error = await openingError(directory);
    expect(error.code).toBe('CORRUPT');
    expect(error.message).toMatch(words);
    expect(error.details['store']).toBe(name.replaceAll(' ', '-'));
  });
});
