// A change: one revision for all that a command writes, numbered in its order, and none for one that writes
// nothing.

import { describe, expect, it } from 'vitest';
import { Hash64 } from '../../src/base/hash.js';
import { Change } from '../../src/kv/change.js';
import { Layers } from '../../src/kv/layers.js';
import { hashHex } from '../../src/kv/state-hash.js';
import { FakeStore } from './fake-store.js';
import { bytes } from './helpers.js';

function begun(): { layers: Layers; change: Change; effects: Hash64 } {
  const layers = new Layers(new FakeStore());
  const change = new Change(layers);
  const effects = new Hash64();
  change.begin(effects);
  return { layers, change, effects };
}

describe('a change', () => {
  it('takes its revision with the first write and counts sub from 0', () => {
    const { layers, change, effects } = begun();
    expect(change.result('OK', 0)).toEqual({ code: 'OK', revision: 0, count: 0 });
    change.put('a', bytes('1'), undefined);
    change.put('b', bytes('2'), undefined);
    const a = layers.versionAtInMemory(1, 0);
    expect(a).toMatchObject({ key: 'a', sub: 0, createRevision: 1, version: 1, previousRevision: 0 });
    change.delete('a', layers.head('a') ?? expect.fail('a is missing'));
    expect([0, 1, 2].map((sub) => layers.versionAtInMemory(1, sub)?.key)).toEqual(['a', 'b', 'a']);
    expect(layers.versionAtInMemory(1, 2)).toMatchObject({
      deleted: true,
      previousRevision: 1,
      previousSub: 0,
      previousValueBytes: 1,
    });
    expect(layers.versionAtInMemory(1, 3)).toBeUndefined();
    expect([change.revision, change.count]).toEqual([1, 3]);

    change.begin(effects);
    expect(change.count).toBe(0);
    change.begin(effects);
    expect(change.revision).toBe(1);
    change.put('a', bytes('3'), layers.head('a'));
    expect([change.revision, change.count]).toEqual([2, 1]);
    const again = { sub: 0, modRevision: 2, createRevision: 2, version: 1, clearsTombstone: true };
    expect(layers.head('a')).toMatchObject({
      ...again,
      previousRevision: 1,
      previousSub: 2,
      previousValueBytes: 0,
    });
  });

  it('goes into the state hash with every write and keeps the content hash', () => {
    const hashes = new Set<string>();
    const { layers, change, effects } = begun();
    const empty = hashHex(change.content.high, change.content.low);
    hashes.add(effects.hex());
    change.put('a', bytes('1'), undefined);
    hashes.add(effects.hex());
    change.put('b', bytes('1'), undefined);
    hashes.add(effects.hex());
    for (const key of ['a', 'b']) change.delete(key, layers.head(key) ?? expect.fail(key));
    hashes.add(effects.hex());
    expect(hashes.size).toBe(4);
    expect(hashHex(change.content.high, change.content.low)).toBe(empty);
  });
});
