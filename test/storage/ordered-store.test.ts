// The contract on both stores, and what is special about each.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import type { OpenStore } from '../../src/kv/store.js';
import { lockDataFolder } from '../../src/storage/folder/folder-lock.js';
import { LevelStore, openLevelStore } from '../../src/storage/level/store.js';
import { LevelStores } from '../../src/storage/level/stores.js';
import { MemoryStore } from './memory-store.js';
import { close, describeOrderedStore, write } from './ordered-store.contract.js';

let folder: string;
let stores = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvorum-store-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeOrderedStore('MemoryStore', () => {
  const defer = (callback: () => void): void => void setImmediate(callback);
  let store = new MemoryStore(defer);
  return Promise.resolve({
    store,
    reopen: async () => {
      await close(store);
      store = new MemoryStore(defer, store.snapshot());
      return store;
    },
    close: () => Promise.resolve(),
  });
});

describeOrderedStore('LevelStore', async () => {
  const directory = join(folder, `store-${stores++}`);
  let store = await openLevelStore(directory);
  return {
    store,
    reopen: async () => {
      await close(store);
      store = await openLevelStore(directory);
      return store;
    },
    close: () => close(store),
  };
});

describe('MemoryStore in a simulator', () => {
  it('has nothing of a batch before its time, and all of it after', () => {
    const due: (() => void)[] = [];
    const store = new MemoryStore((callback) => due.push(callback));
    const before = store.snapshot();
    let done = false;
    store.writeBatch([{ type: 'put', key: 'a', value: Buffer.from('1') }], () => (done = true));
    expect(store.snapshot()).toEqual(before);
    due.shift()?.();
    expect(done).toBe(true);
    const after = store.snapshot();
    expect(after.map(({ key }) => key)).toEqual(['a']);
    store.restore(before);
    expect(store.getSync('a')).toBeUndefined();
    store.restore(after);
    expect(store.getSync('a')).toBeDefined();
  });
});

describe('LevelStore', () => {
  it('refuses everything after a batch failed', async () => {
    const store = await openLevelStore(join(folder, 'poison'));
    await write(store, [{ type: 'put', key: 'a', value: Buffer.from('1') }]);
    await close(store);
    const isDiskError = (error: unknown): boolean => KvorumError.is(error, 'DISK');
    await expect(write(store, [{ type: 'put', key: 'b', value: Buffer.from('1') }])).rejects.toSatisfy(
      isDiskError,
    );
    await expect(write(store, [])).rejects.toSatisfy(isDiskError);
  });

  it('says how much it takes on disk', async () => {
    const store = await openLevelStore(join(folder, 'size'));
    const before = store.bytesOnDisk();
    await write(store, [{ type: 'put', key: 'a', value: Buffer.alloc(100_000, 1) }]);
    await store.measure();
    expect(store.bytesOnDisk() - before).toBeGreaterThan(100_000);
    await close(store);
  });

  it("names the system's reason when it cannot be opened: a full disk is told from others", async () => {
    const path = join(folder, 'a file');
    writeFileSync(path, '');
    const reason = { code: 'DISK', details: { path, errno: expect.stringMatching(/ENOTDIR/) as unknown } };
    await expect(openLevelStore(path)).rejects.toMatchObject(reason);
  });

  it('reports a damaged store as CORRUPT', async () => {
    const directory = join(folder, 'damaged');
    const store = await openLevelStore(directory);
    await close(store);
    writeFileSync(join(directory, 'CURRENT'), 'nonsense');
    await expect(openLevelStore(directory)).rejects.toSatisfy((error) => KvorumError.is(error, 'CORRUPT'));
  });
});

describe('LevelStores', () => {
  const openIn = (stores: LevelStores, name: string): Promise<OpenStore> =>
    new Promise((resolve, reject) => {
      stores.open(name, (error, store) => (store === undefined ? reject(error as Error) : resolve(store)));
    });
  const namesIn = (stores: LevelStores): Promise<readonly string[]> =>
    new Promise((resolve, reject) => {
      stores.list((error, names) => (error === undefined ? resolve(names) : reject(error)));
    });
  const removeIn = (stores: LevelStores, name: string): Promise<void> =>
    new Promise((resolve, reject) => {
      stores.remove(name, (error) => (error === undefined ? resolve() : reject(error)));
    });
  const dataFolder = (): string => mkdtempSync(join(folder, 'data-'));

  it('keep stores apart by name, list them, and close what was left open', async () => {
    const directory = dataFolder();
    const stores = new LevelStores(directory);
    const first = await openIn(stores, 'db');
    const second = await openIn(stores, 'db-2');
    await write(first, [{ type: 'put', key: 'a', value: Buffer.from('1') }]);
    expect(second.getSync('a')).toBeUndefined();
    mkdirSync(join(directory, 'wal'));
    expect(await namesIn(stores)).toEqual(['db', 'db-2']);
    await close(second);
    await stores.closeAll();
    const again = await openIn(new LevelStores(directory), 'db');
    expect(again.getSync('a')).toBeDefined();
    await close(again);
  });

  it('remove a store in whole, and finish a removal that was cut short', async () => {
    const directory = dataFolder();
    const stores = new LevelStores(directory);
    for (const name of ['db', 'db-2', 'db-3']) await close(await openIn(stores, name));
    await removeIn(stores, 'db-2');
    await removeIn(stores, 'db-2');
    expect(existsSync(join(directory, 'db-2'))).toBe(false);
    // A crash after the rename, with half of the files gone.
    renameSync(join(directory, 'db-3'), join(directory, 'db-3.removed'));
    rmSync(join(directory, 'db-3.removed', 'CURRENT'));
    expect(await namesIn(stores)).toEqual(['db']);
    expect(readdirSync(directory)).toEqual(['db']);
  });

  it('open a store again as soon as it was told to close, and end only when it is closed', async () => {
    const original = Object.getOwnPropertyDescriptor(LevelStore.prototype, 'close')
      ?.value as LevelStore['close'];
    // LevelDB may be busy for a while.
    const slowly = vi.spyOn(LevelStore.prototype, 'close').mockImplementation(function (
      this: LevelStore,
      done,
    ) {
      setTimeout(() => original.call(this, done), 300);
    });
    const directory = dataFolder();
    const stores = new LevelStores(directory);
    const first = await openIn(stores, 'db');
    await write(first, [{ type: 'put', key: 'a', value: Buffer.from('1') }]);
    const closed = close(first);
    const second = await openIn(stores, 'db');
    expect(second.getSync('a')).toBeDefined();
    await closed;
    second.close(() => undefined);
    await stores.closeAll();
    const again = await openIn(new LevelStores(directory), 'db');
    slowly.mockRestore();
    await close(again);
  });

  it('say that a store is CORRUPT that ended three processes in a row, and try again', async () => {
    const directory = dataFolder();
    const stores = new LevelStores(directory);
    const note = join(directory, 'db.opening');
    const opening = openIn(stores, 'db');
    let isOpen = false;
    void opening.then(() => (isOpen = true));
    while (!existsSync(note) && !isOpen) await new Promise((resolve) => setImmediate(resolve));
    // All that a process leaves that ends now.
    const left = readFileSync(note, 'latin1');
    await close(await opening);
    expect(existsSync(note)).toBe(false);
    expect(left).toBe('1');
    writeFileSync(note, '2');
    await close(await openIn(stores, 'db'));
    writeFileSync(note, '3');
    const reason = { code: 'CORRUPT', details: { path: join(directory, 'db'), store: 'db' } };
    await expect(openIn(stores, 'db')).rejects.toMatchObject(reason);
    await close(await openIn(stores, 'db'));
    writeFileSync(note, '3');
    await removeIn(stores, 'db');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leave nothing open when the name of a new store cannot be made durable', async () => {
    const directory = dataFolder();
    const failed = new KvorumError('DISK', 'EIO');
    const stores = new LevelStores(directory, {
      sync: (_full, _path, done) => void setImmediate(done, failed),
    });
    await expect(openIn(stores, 'db')).rejects.toBe(failed);
    await close(await openIn(new LevelStores(directory), 'db'));
  });

  it('say that a damaged store is CORRUPT', async () => {
    const directory = dataFolder();
    const stores = new LevelStores(directory);
    await close(await openIn(stores, 'db'));
    writeFileSync(join(directory, 'db', 'CURRENT'), 'nonsense');
    await expect(openIn(stores, 'db')).rejects.toSatisfy((error) => KvorumError.is(error, 'CORRUPT'));
  });
});

describe('the lock on a data folder', () => {
  it('refuses a second one in this process', async () => {
    const directory = mkdtempSync(join(folder, 'lock-'));
    const lock = await lockDataFolder(directory);
    await expect(lockDataFolder(directory)).rejects.toThrow(
      `the data folder ${directory} is in use by this process`,
    );
    await lock.release();
    await (await lockDataFolder(directory)).release();
  });

  it('names the process that holds it, and is gone when that process is killed', async () => {
    const directory = mkdtempSync(join(folder, 'held-'));
    const script = `
      const { Level } = require('level');
      const folder = process.argv[1] + '/lock';
      new Level(folder).open().then(() => {
        require('fs').writeFileSync(folder + '/HOLDER', process.pid + '');
        console.log('open');
      });
      setInterval(() => undefined, 1000);`;
    const holder = spawn(process.execPath, ['-e', script, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(holder.stdout, 'data');
      await expect(lockDataFolder(directory)).rejects.toSatisfy((error: unknown) => {
        return KvorumError.is(error, 'IDENTITY') && error.message.includes(`process ${holder.pid}`);
      });
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }
    await (await lockDataFolder(directory)).release();
  });

  it('refuses a store that a process without the lock has open', async () => {
    const directory = mkdtempSync(join(folder, 'older-'));
    const store = await openLevelStore(join(directory, 'db'));
    await expect(openLevelStore(join(directory, 'db'))).rejects.toSatisfy((error) => {
      return KvorumError.is(error, 'IDENTITY');
    });
    await close(store);
  });
});
