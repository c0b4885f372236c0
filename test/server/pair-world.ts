// A member's data folder in memory, with stores whose batches, names and removals are durable when done.

import { expect } from 'vitest';
import type { Done } from '../../src/base/env.js';
import type { ServerEnv } from '../../src/server/events.js';
import { KvorumError } from '../../src/base/errors.js';
import { Prng } from '../../src/base/prng.js';
import { appliedKey, encodeApplied } from '../../src/kv/records/schema.js';
import { thisSoftware, type Software } from '../../src/kv/format-level.js';
import type { OpenStore, Stores } from '../../src/kv/store.js';
import { openFolder, type BootOptions } from '../../src/server/life/boot.js';
import { writeFormationRecord, type FormationRecord } from '../../src/server/life/formation-record.js';
import { ClusterSecret } from '../../src/server/peers/secret.js';
import { defaultNodeConfig } from '../../src/server/config/node-config.js';
import { openPair, removeUnusedStores, type OpenedFolder } from '../../src/server/life/pair.js';
import { firstCurrent, writeCurrent, type Current } from '../../src/storage/folder/current.js';
import { openDataFolder } from '../../src/storage/folder/data-folder.js';
import { createWal } from '../../src/storage/wal/wal.js';
import type { Formation } from '../../src/wire/commands/entry-codec.js';
import { MemoryStore, type StoreSnapshot } from '../storage/memory-store.js';
import { World } from '../storage/wal-world.js';

/** Stores in memory whose batches, names and removals are durable when done. */
export class MemoryStores implements Stores {
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
    const store = this.damaged.has(name) ? undefined : this.kept(name, new MemoryStore(this.defer, snapshot));
    this.defer(() => done(store === undefined ? error : undefined, store));
  }

  /** The store, whose contents are there to be opened again once it is closed. */
  private kept(name: string, store: MemoryStore): MemoryStore {
    const close = store.close.bind(store);
    store.close = (done) => {
      this.contents.set(name, store.snapshot());
      close(done);
    };
    return store;
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

export const appliedAt = (appliedIndex: number, term: number, formatLevel = 1): StoreSnapshot => {
  const hashes = { stateHigh: 1, stateLow: 2, contentHigh: 0, contentLow: 0 };
  const tables = { tablesHigh: 0, tablesLow: 0 };
  const times = { clusterTimeMs: 0, wallTimeMs: 0 };
  const record = { appliedIndex, term, ...hashes, ...tables, revision: 0, ...times, formatLevel };
  return [{ key: appliedKey, value: encodeApplied(record) }];
};

/** Member n1 of three, its store applied through 5 of term 2, its log through 8 of term 3. */
export class PairBench {
  readonly world: World;
  readonly stores: MemoryStores;
  readonly formation: Formation;
  software: Software = thisSoftware;

  constructor(world: World, stores?: MemoryStores) {
    this.world = world;
    const { timers } = world.options();
    this.stores = stores ?? new MemoryStores((callback) => timers.defer(callback));
    const { disk, entropy } = world.options();
    const { instanceId } = openDataFolder({ disk, entropy, nodeId: 'n1' });
    const ids = ['n1', 'n2', 'n3'];
    const members = ids.map((nodeId) => ({ nodeId, instanceId, address: `${nodeId}:1` }));
    this.formation = { clusterId: 'c'.repeat(32), members, formatLevel: 1 };
  }

  /** As earlier builds wrote it, without `namesPair`. */
  get record(): FormationRecord {
    return { state: 'formed', formation: this.formation, secret: new ClusterSecret(new Uint8Array(32)) };
  }

  /** `last`: the payload of the last entry, which has commands then. */
  static fresh(seed: number, last?: Uint8Array, currentTerm = 4): PairBench {
    const bench = new PairBench(new World(seed));
    const { clusterId } = bench.formation;
    writeCurrent(bench.world.disk, firstCurrent);
    writeFormationRecord(bench.world.disk, { ...bench.record, namesPair: true });
    const entries = Array.from({ length: 8 }, (_, i) => {
      const term = i < 5 ? 2 : 3;
      if (i === 7 && last !== undefined) return { index: 8, term, kind: 'command', payload: last } as const;
      return { index: i + 1, term, kind: 'noop', payload: new Uint8Array(0) } as const;
    });
    const options = { ...bench.world.options(), clusterId, segmentBytes: 65_536 };
    createWal(options, { hardState: { currentTerm, votedFor: 'n3', commitIndex: 5 }, entries });
    bench.stores.contents.set('db', appliedAt(5, 2));
    return bench;
  }

  get options(): BootOptions & { stores: Stores } {
    const { clock, timers, entropy, report, disk } = this.world.options();
    const env = { clock, timers, entropy, report, disk } as unknown as ServerEnv;
    const wal = { segmentBytes: 65_536, quotaBytes: 1e9 };
    const onFailure = (error: Error): void => expect.unreachable(error.message);
    const { software, stores } = this;
    return { env, nodeId: 'n1', config: { ...defaultNodeConfig, wal }, software, onFailure, stores };
  }

  /** What a power cut now leaves. */
  afterPowerCut(seed: number): PairBench {
    const world = this.world.afterPowerCut(new Prng(seed));
    const { timers } = world.options();
    return new PairBench(
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
