// Who may read a data folder, by the modes of what is in it.

import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import type { StorageEvent } from '../../src/storage/events.js';
import { makePrivateFolder, writePrivateFile } from '../../src/storage/folder/modes.js';

const umaskBefore = process.umask();
let root: string;
let events: StorageEvent[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'kvorum-modes-'));
  events = [];
});

afterEach(() => {
  process.umask(umaskBefore);
  rmSync(root, { recursive: true, force: true });
});

const report = (event: StorageEvent): void => void events.push(event);
const modeOf = (path: string): string => (lstatSync(path).mode & 0o7777).toString(8);

describe('a new data folder', () => {
  it.each([0, 0o022, 0o077, 0o277, 0o777])('is for its account alone under umask %i', (umask) => {
    const folder = join(root, 'n1');
    process.umask(umask);
    makePrivateFolder(folder, report);
    process.umask(0);
    writePrivateFile(join(folder, 'note'), 'x');
    expect([modeOf(folder), modeOf(join(folder, 'note'))]).toEqual(['700', '600']);
    expect(events).toEqual([]);
  });

  it('has folders above it that are for the account alone', () => {
    process.umask(0);
    makePrivateFolder(join(root, 'a', 'b'), report);
    expect(modeOf(join(root, 'a'))).toBe('700');
  });

  it('is refused where a file is', () => {
    writeFileSync(join(root, 'file'), '');
    const make = (): void => makePrivateFolder(join(root, 'file'), report);
    expect(make).toThrow(KvorumError);
    expect(make).toThrow(/cannot make the data folder/);
  });
});

describe('a data folder that is open to others', () => {
  function openFolder(): string {
    const folder = join(root, 'n1');
    process.umask(0);
    mkdirSync(join(folder, 'db-12.removed', 'lost'), { recursive: true, mode: 0o755 });
    mkdirSync(join(folder, 'wal-2'), { mode: 0o750 });
    for (const name of ['identity.json', 'current.json.tmp', 'db-2.opening', 'wal-2/1.log', 'mine.txt']) {
      writeFileSync(join(folder, name), '', { mode: 0o644 });
    }
    writeFileSync(join(folder, 'db-12.removed', 'lost', '1.ldb'), '', { mode: 0o666 });
    chmodSync(folder, 0o2775);
    return folder;
  }

  it('is narrowed with all that a node keeps in it, and that is told', () => {
    const folder = openFolder();
    makePrivateFolder(folder, report);
    expect(events).toEqual([{ kind: 'folderNarrowed', directory: folder, mode: '2775' }]);
    expect(modeOf(folder)).toBe('2700');
    const modes = ['db-12.removed', 'db-12.removed/lost', 'db-12.removed/lost/1.ldb', 'wal-2', 'wal-2/1.log'];
    expect(modes.map((name) => modeOf(join(folder, name)))).toEqual(['700', '700', '600', '700', '600']);
    const files = ['identity.json', 'current.json.tmp', 'db-2.opening'];
    expect(files.map((name) => modeOf(join(folder, name)))).toEqual(['600', '600', '600']);
    makePrivateFolder(folder, report);
    expect(events).toHaveLength(1);
  });

  it('keeps what a node does not keep in it, and what links point at', () => {
    const folder = openFolder();
    const elsewhere = join(root, 'elsewhere');
    writeFileSync(elsewhere, '', { mode: 0o644 });
    symlinkSync(elsewhere, join(folder, 'db'));
    symlinkSync(join(root, 'nowhere'), join(folder, 'wal'));
    makePrivateFolder(folder, report);
    expect([modeOf(join(folder, 'mine.txt')), modeOf(elsewhere)]).toEqual(['644', '644']);
  });

  it.skipIf(process.getuid?.() !== 0)('that another account owns is told of, and used', () => {
    const folder = openFolder();
    const before = process.geteuid?.() ?? 0;
    chmodSync(root, 0o755);
    process.seteuid?.(65_534);
    try {
      makePrivateFolder(folder, report);
    } finally {
      process.seteuid?.(before);
    }
    expect(events.map(({ kind }) => kind)).toEqual(['folderOpenToOthers']);
    expect(modeOf(folder)).toBe('2775');
  });
});
