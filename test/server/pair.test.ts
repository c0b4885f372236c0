// Store and log replaced together, by an install or a repair: after a power cut at any step there is the old
// pair or the new one, and both open.

import { describe, expect, it } from 'vitest';
import type { Done, NodeEnv } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { Prng } from '../../src/base/prng.js';
import { appliedKey, encodeApplied } from '../../src/kv/schema.js';
import type { OpenStore, Stores } from '../../src/kv/store.js';
import { openFolder, type BootOptions } from '../../src/server/boot.js';
import { writeFormationRecord } from '../../src/server/formation-record.js';
import { installSnapshot } from '../../src/server/install.js';
import { defaultNodeConfig } from '../../src/server/node-config.js';
import { openPair, openStore, removeUnusedStores, type OpenedFolder } from '../../src/server/pair.js';
import { rebuildPair, type NewPair } from '../../src/server/rebuild.js';
import { readCurrent, type Current } from '../../src/storage/current.js';
import { writeDamage, type Damage } from '../../src/storage/damage.js';
import { openDataFolder } from '../../src/storage/data-folder.js';
import { createWal } from '../../src/storage/wal.js';
import type { Formation } from '../../src/wire/entry-codec.js';
import { MemoryStore, type StoreSnapshot } from '../storage/memory-store.js';
import { World } from '../storage/wal-world.js';

/** Stores in memory whose batches, names and removals are durable when done. */
class MemoryStores implements Stores {
  readonly contents = new Map<string, StoreSnapshot>();
  readonly damaged = new Set<string>();
  /** Fails the next opening, or the next removal. */
  openError: Error | undefined;
  removeError: Error | undefined;
  private readonly defer: (callback: () => void) => void;

  constructor(defer: (callback: () => void) => void) {
    this.defer = defer;
  }

  open(name: string, done: (error: Error | undefined, store: OpenStore | undefined) => void): void {
    const refused = this.openError;
    this.openError = undefined;
    if (refused !== undefined) return this.defer(() => done(refused, undefined));
    const error = new KvorumError('CORRUPT', `the store ${name} is damaged`, { details: { store: name } });
    const snapshot = this.contents.get(name) ?? [];
    this.contents.set(name, snapshot);
    const store = this.damaged.has(name) ? undefined : new MemoryStore(this.defer, snapshot);
    this.defer(() => done(store === undefined ? error : undefined, store));
  }

  list(done: (error: Error | undefined, names: readonly string[]) => void): void {
    this.defer(() => done(undefined, [...this.contents.keys()].sort()));
  }

  remove(name: string, done: Done): void {
    const refused = this.removeError;
    this.removeError = undefined;
    if (refused !== undefined) return this.defer(() => done(refused));
    this.contents.delete(name);
    this.damaged.delete(name);
    this.defer(() => done(undefined));
  }

  copy(defer: (callback: () => void) => void): MemoryStores {
    const copy = new MemoryStores(defer);
    for (const [name, snapshot] of this.contents) copy.contents.set(name, snapshot);
    for (const name of this.damaged) copy.damaged.add(name);
    return copy;
  }
}

const appliedAt = (appliedIndex: number, term: number): StoreSnapshot => {
  const hashes = { stateHigh: 1, stateLow: 2, contentHigh: 0, contentLow: 0 };
  const record = { appliedIndex, term, ...hashes, revision: 0, clusterTimeMs: 0, wallTimeMs: 0 };
  return [{ key: appliedKey, value: encodeApplied(record) }];
};

/** Member n1 of three, its store applied through 5 of term 2, its log through 8 of term 3. */
class Bench {
  readonly world: World;
  readonly stores: MemoryStores;
  readonly formation: Formation;

  constructor(world: World, stores?: MemoryStores) {
    this.world = world;
    const { timers } = world.options();
    this.stores = stores ?? new MemoryStores((callback) => timers.defer(callback));
    const { disk, entropy } = world.options();
    const { instanceId } = openDataFolder({ disk, entropy, nodeId: 'n1' });
    const ids = ['n1', 'n2', 'n3'];
    const members = ids.map((nodeId) => ({ nodeId, instanceId, address: `${nodeId}:1` }));
    this.formation = { clusterId: 'c'.repeat(32), members };
  }

  static fresh(seed: number): Bench {
    const bench = new Bench(new World(seed));
    const { clusterId } = bench.formation;
    writeFormationRecord(bench.world.disk, { state: 'formed', formation: bench.formation });
    const entries = Array.from({ length: 8 }, (_, i) => {
      const term = i < 5 ? 2 : 3;
      return { index: i + 1, term, kind: 'noop', payload: new Uint8Array(0) } as const;
    });
    const options = { ...bench.world.options(), clusterId, segmentBytes: 65_536 };
    createWal(options, { hardState: { currentTerm: 4, votedFor: 'n3', commitIndex: 5 }, entries });
    bench.stores.contents.set('db', appliedAt(5, 2));
    return bench;
  }

  get options(): BootOptions & { stores: Stores } {
    const { clock, timers, entropy, logger, disk } = this.world.options();
    const env = { clock, timers, entropy, logger, disk } as unknown as NodeEnv;
    const wal = { segmentBytes: 65_536, quotaBytes: 1e9 };
    const onFailure = (error: Error): void => expect.unreachable(error.message);
    return { env, nodeId: 'n1', config: { ...defaultNodeConfig, wal }, onFailure, stores: this.stores };
  }

  /** What a power cut now leaves. */
  afterPowerCut(seed: number): Bench {
    const world = this.world.afterPowerCut(new Prng(seed));
    const { timers } = world.options();
    return new Bench(
      world,
      this.stores.copy((callback) => timers.defer(callback)),
    );
  }

  /** The next start: what is in use, opened, after what is not in use was removed. */
  restart(): { current: Current; found: OpenedFolder } {
    const folder = openFolder(this.options);
    let found: OpenedFolder | undefined;
    removeUnusedStores(this.options.env, this.stores, folder.current, () => {
      openPair(this.options, folder, (error, opened) => {
        expect(error).toBeUndefined();
        found = opened;
      });
    });
    this.world.run();
    if (found === undefined) throw new Error('nothing was opened');
    return { current: folder.current, found };
  }

  /** In words: what is in use, from where the log goes on, and what was promised. */
  describe(): string {
    const { current, found } = this.restart();
    const inUse = `${current.store} ${current.log}${current.catchingUp ? ' catching up' : ''}`;
    if (found.kind === 'damaged') return `${inUse}: damaged ${found.damage.what}`;
    const { opened, log } = found;
    if (log === undefined) return `${inUse}: no log`;
    const { hardState, log: recovered } = log.recovered;
    const { currentTerm, votedFor } = hardState;
    const range = `${recovered.baseIndex}/${recovered.baseTerm}..${recovered.lastIndex}`;
    const promises = `term ${currentTerm} vote ${votedFor}`;
    return `${inUse}: applied ${opened.stateMachine.appliedIndex}, log ${range}, ${promises}`;
  }
}

/** Runs `change` with a power cut after each step of it; returns what the starts after that found. */
function found(prepare: (bench: Bench) => void, change: (bench: Bench) => void): Set<string> {
  const all = new Set<string>();
  for (let seed = 1; seed <= 10; seed++) {
    const bench = Bench.fresh(seed);
    prepare(bench);
    const cut = (): void => {
      const left = bench.afterPowerCut(seed * 7_919 + all.size);
      const words = left.describe();
      // And once more: what the start itself did, and what it left, is the same for the next one.
      expect(left.afterPowerCut(seed).describe()).toBe(words);
      all.add(words);
    };
    bench.world.disk.onChange = cut;
    change(bench);
    bench.world.disk.onChange = () => undefined;
    const last = bench.afterPowerCut(seed).describe();
    all.delete(last);
    all.add(`at last ${last}`);
  }
  return all;
}

const old = 'db wal: applied 5, log 0/0..8, term 4 vote n3';

describe('a snapshot that is installed', () => {
  const staged = { storeName: 'db-2', index: 90, term: 6 };
  const arrived = (bench: Bench): void => void bench.stores.contents.set('db-2', appliedAt(90, 6));

  function install(bench: Bench, currentTerm: number, isNeeded: () => boolean): NewPair | undefined {
    let ended: NewPair | 'kept' | undefined;
    const promised = { currentTerm, votedFor: 'n3', commitIndex: 5 };
    const host = {
      formation: bench.formation,
      current: readCurrent(bench.world.disk),
      isNeeded,
      end: (done: (error: Error | undefined, hardState: typeof promised) => void) =>
        done(undefined, promised),
    };
    installSnapshot(bench.options, host, staged, (error, pair) => {
      expect(error).toBeUndefined();
      ended = pair ?? 'kept';
    });
    bench.world.run();
    expect(ended).toBeDefined();
    return ended === 'kept' ? undefined : ended;
  }

  it('is there in whole or not at all, with the promises of the member', () => {
    const states = found(arrived, (bench) => void install(bench, 8, () => true));
    const after = 'db-2 wal-2: applied 90, log 90/6..90, term 8 vote n3';
    expect([...states].sort()).toEqual([`at last ${after}`, old].sort());
  });

  it('brings the member into the term of its last entry', () => {
    const states = found(arrived, (bench) => void install(bench, 4, () => true));
    expect([...states]).toContain('at last db-2 wal-2: applied 90, log 90/6..90, term 6 vote undefined');
  });

  it('leaves a member that catches up catching up', () => {
    const bench = Bench.fresh(1);
    arrived(bench);
    const damage = { what: 'log', name: 'wal', message: 'bad' } as const;
    writeDamage(bench.world.disk, damage);
    rebuild(bench, damage, true);
    install(bench, 8, () => true);
    // The repair took the other log, so the install takes the first name again: the note is not about it.
    expect(bench.describe()).toBe('db-2 wal catching up: applied 90, log 90/6..90, term 8 vote n3');
  });

  it('is removed when the log got there by itself, before or after the store was opened', () => {
    for (const answers of [[false], [true, false]]) {
      const bench = Bench.fresh(1);
      arrived(bench);
      expect(install(bench, 8, () => answers.shift() ?? false)).toBeUndefined();
      expect([...bench.stores.contents.keys()]).toEqual(['db']);
      expect(bench.describe()).toBe(old);
    }
  });

  it('is removed when it does not open, and the member goes on', () => {
    const bench = Bench.fresh(1);
    arrived(bench);
    bench.stores.damaged.add('db-2');
    expect(install(bench, 8, () => true)).toBeUndefined();
    expect(bench.describe()).toBe(old);
  });

  it('ends no member when the disk refuses to open or to remove it', () => {
    const bench = Bench.fresh(1);
    arrived(bench);
    bench.stores.openError = new KvorumError('DISK', 'the store db-2 cannot be opened: ENOSPC');
    bench.stores.removeError = new KvorumError('DISK', 'the store db-2 cannot be removed: EIO');
    expect(install(bench, 8, () => true)).toBeUndefined();
    expect([...bench.stores.contents.keys()]).toEqual(['db', 'db-2']);
    expect(bench.describe()).toBe(old);
  });
});

function rebuild(bench: Bench, damage: Damage, hasStore: boolean): void {
  const { current } = openFolder(bench.options);
  const { formation } = bench;
  let ended = false;
  const begin = (opened: Parameters<typeof rebuildPair>[1]['opened']): void => {
    rebuildPair(bench.options, { formation, current, damage, opened, floor: 7 }, (error) => {
      expect(error).toBeUndefined();
      ended = true;
    });
  };
  if (hasStore) openStore(bench.stores, current.store, (_error, opened) => begin(opened));
  else begin(undefined);
  bench.world.run();
  expect(ended).toBe(true);
}

describe('a damaged disk that is repaired', () => {
  it('keeps its store when the log is damaged, and promises nothing it may have forgotten', () => {
    const damage = { what: 'log', name: 'wal', message: 'bad' } as const;
    const prepare = (bench: Bench): void => writeDamage(bench.world.disk, damage);
    const states = found(prepare, (bench) => rebuild(bench, damage, true));
    const after = 'db wal-2 catching up: applied 5, log 5/2..5, term 7 vote n1';
    expect([...states].sort()).toEqual([`at last ${after}`, 'db wal: damaged log'].sort());
  });

  it('begins with an empty store and the formation when the store is damaged', () => {
    const damage = { what: 'store', name: 'db', message: 'bad' } as const;
    const prepare = (bench: Bench): void => {
      bench.stores.damaged.add('db');
      // A part of a snapshot is there: it is not the beginning of anything.
      bench.stores.contents.set('db-2', appliedAt(90, 6));
    };
    const states = found(prepare, (bench) => rebuild(bench, damage, false));
    const after = 'db-2 wal-2 catching up: applied 0, log 0/0..1, term 7 vote n1';
    expect([...states].sort()).toEqual([`at last ${after}`, 'db wal: damaged store'].sort());
  });

  it('is found at the start: a bad log, a log that is gone, a store that does not open, a note', () => {
    const flipped = Bench.fresh(1);
    const bytes = flipped.world.disk.bytesOf('wal/0000000001.wal');
    bytes.writeUInt8(bytes.readUInt8(4_200) ^ 1, 4_200);
    expect(flipped.describe()).toMatch(/damaged log/);
    const gone = Bench.fresh(1);
    gone.world.disk.removeSync('wal/0000000001.wal');
    expect(gone.describe()).toMatch(/damaged log/);
    const behind = Bench.fresh(1);
    behind.stores.contents.set('db', appliedAt(9, 3));
    expect(behind.describe()).toMatch(/damaged log/);
    const store = Bench.fresh(1);
    store.stores.damaged.add('db');
    expect(store.describe()).toMatch(/damaged store/);
    const noted = Bench.fresh(1);
    writeDamage(noted.world.disk, { what: 'store', name: 'db', message: 'a bad record' });
    expect(noted.describe()).toMatch(/damaged store/);
    const past = Bench.fresh(1);
    writeDamage(past.world.disk, { what: 'store', name: 'db-7', message: 'a bad record' });
    expect(past.describe()).toBe(old);
    expect(past.world.disk.existsSync('damaged.json')).toBe(false);
  });
});

describe('what is not in use', () => {
  it('is removed at the start, but for the store that a snapshot arrives in', () => {
    const bench = Bench.fresh(1);
    for (const name of ['db-2', 'db-3', 'db-7']) bench.stores.contents.set(name, []);
    bench.world.disk.openSync('wal-2/unfinished.tmp', { create: true });
    expect(bench.describe()).toBe(old);
    expect([...bench.stores.contents.keys()].sort()).toEqual(['db', 'db-2']);
    expect(bench.world.disk.listSync('wal-2')).toEqual([]);
  });
});
