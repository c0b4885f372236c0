// The contract on both stores, and what is special about each.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { openLevelStore } from '../../src/storage/level-store.js';
import { MemoryStore } from './memory-store.js';
import { describeOrderedStore, write } from './ordered-store.contract.js';

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
    reopen: () => {
      store = new MemoryStore(defer, store.snapshot());
      return Promise.resolve(store);
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
      await store.close();
      store = await openLevelStore(directory);
      return store;
    },
    close: () => store.close(),
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
    await store.close();
    const isDiskError = (error: unknown): boolean => KvorumError.is(error, 'DISK');
    await expect(write(store, [{ type: 'put', key: 'b', value: Buffer.from('1') }])).rejects.toSatisfy(
      isDiskError,
    );
    await expect(write(store, [])).rejects.toSatisfy(isDiskError);
  });

  it('says how much it takes on disk', async () => {
    const store = await openLevelStore(join(folder, 'size'));
    const before = await store.bytesOnDisk();
    await write(store, [{ type: 'put', key: 'a', value: Buffer.alloc(100_000, 1) }]);
    expect((await store.bytesOnDisk()) - before).toBeGreaterThan(100_000);
    await store.close();
  });

  it('reports a damaged store as CORRUPT', async () => {
    const directory = join(folder, 'damaged');
    const store = await openLevelStore(directory);
    await store.close();
    writeFileSync(join(directory, 'CURRENT'), 'nonsense');
    await expect(openLevelStore(directory)).rejects.toSatisfy((error) => KvorumError.is(error, 'CORRUPT'));
  });
});

describe('the lock on a data folder', () => {
  it('refuses a second opening in this process', async () => {
    const directory = join(folder, 'twice');
    const store = await openLevelStore(directory);
    await expect(openLevelStore(directory)).rejects.toThrow(/in use by this process/);
    await store.close();
    await (await openLevelStore(directory)).close();
  });

  it('names the process that holds it, and is gone when that process is killed', async () => {
    const directory = join(folder, 'held');
    const script = `
      const { Level } = require('level');
      const folder = process.argv[1];
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
      await expect(openLevelStore(directory)).rejects.toSatisfy((error: unknown) => {
        return KvorumError.is(error, 'IDENTITY') && error.message.includes(`process ${holder.pid}`);
      });
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }
    await (await openLevelStore(directory)).close();
  });
});
