// The stores of one virtual machine, by name: what `Stores` promises, and no more. Outlives the processes
// that use it. What a crash meets half way (a store being made or removed) is there or gone, by chance.
// Source: src/kv/store.ts.

import { assert } from '../../../base/assert.js';
import type { ByteString } from '../../../base/bytes.js';
import type { Done } from '../../../base/env.js';
import { KvorumError } from '../../../base/errors.js';
import type { OpenStore, StoreRecord, Stores } from '../../../kv/store.js';
import { Dice } from '../dice.js';
import type { Scheduler } from '../scheduler.js';
import type { VirtualProcess } from '../machine/process.js';
import { VirtualStore, type StoreTimes } from './store.js';

export class VirtualStores {
  private readonly scheduler: Scheduler;
  private readonly seed: number;
  private readonly name: string;
  private readonly times: StoreTimes;
  private readonly dice: Dice;
  private readonly stores = new Map<string, VirtualStore>();
  private readonly open = new Set<string>();
  /** Stores that will not open any more. */
  private readonly damaged = new Set<string>();
  /** Being removed by the process that runs. */
  private readonly leaving = new Set<string>();
  private slownessNow = 1;
  /** The fault `failNextBatch` came while no store was open. */
  private failsNextOpened = false;
  /** Called before each effect; the world uses it to crash a process just before one. */
  onEffect: () => void = () => undefined;

  constructor(scheduler: Scheduler, seed: number, name: string, times: StoreTimes) {
    this.scheduler = scheduler;
    this.seed = seed;
    this.name = name;
    this.times = times;
    this.dice = new Dice(seed, `stores ${name}`);
  }

  /** Fault: the next batch of an open store fails; it may have been written or not. */
  set failNextBatch(fails: boolean) {
    this.failsNextOpened = fails && this.open.size === 0;
    for (const [name, store] of this.stores) store.failNextBatch = fails && this.open.has(name);
  }

  /** Fault: work is slower by this factor, 1 or more. */
  get slowness(): number {
    return this.slownessNow;
  }

  set slowness(factor: number) {
    this.slownessNow = factor;
    for (const store of this.stores.values()) store.slowness = factor;
  }

  /** Fault: no store completes anything before this moment. Microseconds of virtual time. */
  set stuckUntilUs(timeUs: number) {
    for (const store of this.stores.values()) store.stuckUntilUs = timeUs;
  }

  /** The stores as `process` sees them. */
  attach(process: VirtualProcess): Stores {
    return {
      open: (name, done) => this.openStore(process, name, done),
      list: (done) => this.later(process, () => done(undefined, this.names())),
      remove: (name, done) => this.remove(process, name, done),
    };
  }

  /** Ascending. */
  names(): string[] {
    return [...this.stores.keys()].sort();
  }

  /** All records of one store, ascending; none when there is no such store. */
  records(name: string): StoreRecord[] {
    return this.stores.get(name)?.records() ?? [];
  }

  /** Fault: the store does not open any more. Only while no process runs. */
  damage(name: string): void {
    if (this.stores.has(name)) this.damaged.add(name);
  }

  /** Fault: a bit of a value in the store is another. Only while no process runs. False: no such byte. */
  flipBit(name: string, key: ByteString, offset: number, bit: number): boolean {
    return this.stores.get(name)?.flipBit(key, offset, bit) ?? false;
  }

  /** The records of every store, as they are now. */
  copy(): ReadonlyMap<string, readonly StoreRecord[]> {
    return new Map(this.names().map((name) => [name, this.records(name)]));
  }

  /** Fault: the stores are what they were when the copy was made. Only while no process runs. */
  restore(copy: ReadonlyMap<string, readonly StoreRecord[]>): void {
    this.wipe();
    for (const [name, records] of copy) this.make(name).replace(records);
  }

  /** Fault: no store is left. Only while no process runs. */
  wipe(): void {
    for (const name of this.names()) this.forget(name);
  }

  /** The process that used the stores is gone. */
  crash(): void {
    this.open.clear();
    for (const name of this.leaving) if (this.dice.chance(0.5)) this.forget(name);
    this.leaving.clear();
    for (const store of this.stores.values()) store.crash();
  }

  private openStore(
    process: VirtualProcess,
    name: string,
    done: (error: Error | undefined, store: OpenStore | undefined) => void,
  ): void {
    this.onEffect();
    if (!process.effective) return;
    assert(!this.open.has(name), `the store ${name} is open already`);
    assert(!this.leaving.has(name), `the store ${name} is being removed`);
    this.open.add(name);
    this.later(process, () => {
      if (this.damaged.has(name)) {
        this.open.delete(name);
        const message = `the store ${name} is damaged: by a fault of the plan`;
        done(new KvorumError('CORRUPT', message, { details: { store: name } }), undefined);
        return;
      }
      const virtual = this.stores.get(name) ?? this.make(name);
      if (this.failsNextOpened) virtual.failNextBatch = true;
      this.failsNextOpened = false;
      const store = virtual.attach(process);
      const close = (closed: Done): void => {
        store.close((error) => {
          this.open.delete(name);
          closed(error);
        });
      };
      done(undefined, { ...store, close });
    });
  }

  private make(name: string): VirtualStore {
    // The first store keeps the stream of random numbers that it had when it was the only one.
    const stream = name === 'db' ? this.name : `${this.name} ${name}`;
    const store = new VirtualStore(this.scheduler, this.seed, stream, this.times);
    store.slowness = this.slownessNow;
    store.onEffect = () => this.onEffect();
    this.stores.set(name, store);
    return store;
  }

  private remove(process: VirtualProcess, name: string, done: Done): void {
    this.onEffect();
    if (!process.effective) return;
    assert(!this.open.has(name), `the store ${name} is removed while it is open`);
    this.leaving.add(name);
    this.later(process, () => {
      this.leaving.delete(name);
      this.forget(name);
      done(undefined);
    });
  }

  private forget(name: string): void {
    this.stores.delete(name);
    this.damaged.delete(name);
  }

  private later(process: VirtualProcess, action: () => void): void {
    const delayUs = -Math.log(1 - this.dice.fraction()) * this.times.readUsMean * this.slownessNow;
    this.scheduler.schedule(Math.min(3_000_000, delayUs), 'store', process, action);
  }
}
