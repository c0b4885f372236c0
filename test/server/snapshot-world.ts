// Members that send and receive snapshots over links in memory, in virtual time: no promise, no clock of this
// machine. Frames travel as bytes. Stores keep what was durable when their process crashed. A member's own
// state grows only by what a test applies.

import { KvorumError } from '../../src/base/errors.js';
import type { Clock, Done, Report, Timers } from '../../src/base/env.js';
import type { ClientOperation } from '../../src/kv/commands.js';
import { thisSoftware } from '../../src/kv/format-level.js';
import type { StateMachine } from '../../src/kv/state-machine.js';
import type { OpenStore, Stores } from '../../src/kv/store.js';
import type { NodeEvent } from '../../src/server/events.js';
import { EventLog } from '../../src/server/operate/event-log.js';
import { SnapshotReceiver, type StagedSnapshot } from '../../src/server/snapshots/receiver.js';
import { SnapshotSender } from '../../src/server/snapshots/sender.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peers/codec.js';
import type { PeerFrame } from '../../src/wire/peers/frames.js';
import type { SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { command, del, deleteRange, machineOf, put } from '../kv/helpers.js';
import { MemoryStore, type StoreSnapshot } from '../storage/memory-store.js';

export class VirtualTime {
  nowMs = 0;
  private readonly tasks: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];
  private order = 0;

  readonly clock: Clock = { nowMs: () => this.nowMs, wallMs: () => this.nowMs };
  readonly timers: Timers = {
    set: (delayMs, callback) => this.after(delayMs, callback),
    clear: (handle) => {
      const at = this.tasks.findIndex((task) => task === handle);
      if (at >= 0) this.tasks.splice(at, 1);
    },
    defer: (callback) => void this.after(0, callback),
  };

  after(delayMs: number, run: () => void): unknown {
    const task = { atMs: this.nowMs + delayMs, order: this.order++, run };
    this.tasks.push(task);
    return task;
  }

  /** Runs what is due until `isDone` or the time has passed. Whether it was done. */
  run(forMs: number, isDone: () => boolean = () => false): boolean {
    const untilMs = this.nowMs + forMs;
    while (!isDone()) {
      let next = -1;
      for (const [at, task] of this.tasks.entries()) {
        const best = this.tasks[next];
        const isEarlier =
          best === undefined || task.atMs < best.atMs || (task.atMs === best.atMs && task.order < best.order);
        if (isEarlier) next = at;
      }
      const [task] = next < 0 || (this.tasks[next]?.atMs ?? 0) > untilMs ? [] : this.tasks.splice(next, 1);
      if (task === undefined) {
        this.nowMs = untilMs;
        return isDone();
      }
      this.nowMs = Math.max(this.nowMs, task.atMs);
      task.run();
    }
    return true;
  }
}

/** The stores of one machine. What is not durable when its process crashes is gone. */
export class MemoryStores implements Stores {
  readonly stores = new Map<string, MemoryStore>();
  readonly removed: string[] = [];
  /** Batches that became durable, of all stores. */
  batches = 0;
  /** Called before a batch becomes durable. */
  onBatch: () => void = () => undefined;
  /** Fails the next batch, or the next opening, with this error. */
  batchError: Error | undefined;
  openError: Error | undefined;
  private readonly time: VirtualTime;
  private readonly opened = new Set<string>();
  private life = 0;

  constructor(time: VirtualTime) {
    this.time = time;
  }

  open(name: string, done: (error: Error | undefined, store: OpenStore | undefined) => void): void {
    if (this.opened.has(name)) throw new Error(`the store ${name} is open already`);
    const error = this.openError;
    this.openError = undefined;
    if (error !== undefined) return this.later(() => done(error, undefined));
    const store = this.stores.get(name) ?? new MemoryStore(this.deferOf(this.life));
    this.stores.set(name, store);
    this.opened.add(name);
    this.later(() => done(undefined, this.attached(name, store)));
  }

  list(done: (error: Error | undefined, names: readonly string[]) => void): void {
    this.later(() => done(undefined, [...this.stores.keys()].sort()));
  }

  remove(name: string, done: Done): void {
    if (this.opened.has(name)) throw new Error(`the store ${name} is open`);
    if (this.stores.delete(name)) this.removed.push(name);
    this.later(() => done(undefined));
  }

  /** The process is gone. */
  crash(): void {
    this.life++;
    this.opened.clear();
    for (const [name, store] of this.stores) {
      this.stores.set(name, new MemoryStore(this.deferOf(this.life), store.snapshot()));
    }
  }

  /** What is durable in a store, as text. */
  dump(name: string): string[] {
    return dump(this.stores.get(name)?.snapshot() ?? []);
  }

  private attached(name: string, store: MemoryStore): OpenStore {
    return {
      getSync: (key) => store.getSync(key),
      fetchRange: (range, done) => store.fetchRange(range, done),
      fetchMany: (keys, done) => store.fetchMany(keys, done),
      openView: () => store.openView(),
      bytesOnDisk: () => store.bytesOnDisk(),
      writeBatch: (operations, done) => {
        const error = this.batchError;
        this.batchError = undefined;
        if (error !== undefined) return this.later(() => done(error));
        const life = this.life;
        this.time.after(0.2, () => {
          if (life === this.life) this.onBatch();
        });
        store.writeBatch(operations, (failure) => {
          this.batches++;
          done(failure);
        });
      },
      close: (done) => {
        this.opened.delete(name);
        this.later(() => done(undefined));
      },
    };
  }

  private later(run: () => void): void {
    this.deferOf(this.life)(run);
  }

  /** Work takes half a millisecond, and ends unheard when the process is gone. */
  private deferOf(life: number): (run: () => void) => void {
    return (run) => void this.time.after(0.5, () => (life === this.life ? run() : undefined));
  }
}

export function dump(snapshot: StoreSnapshot): string[] {
  return snapshot.map(({ key, value }) => `${JSON.stringify(key)} ${Buffer.from(value).toString('hex')}`);
}

/** What reaches the log of a member: level and text. */
export type Lines = string[];

function reportInto(lines: Lines, { clock, timers }: VirtualTime): Report<NodeEvent> {
  const write =
    (level: string) =>
    (_fields: unknown, message: string): void =>
      void lines.push(`${level} ${message}`);
  const logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const log = new EventLog({ logger, clock, timers });
  return (event) => log.write(event);
}

/** One member: a source of snapshots, and a place where they are received. */
export class Machine {
  readonly nodeId: string;
  readonly stores: MemoryStores;
  readonly lines: Lines = [];
  readonly ended: { readonly peer: string; readonly installed: boolean }[] = [];
  /** What the sender found of the own store. */
  readonly damage: Error[] = [];
  readonly staged: (StagedSnapshot & { readonly released: () => void })[] = [];
  /** Own state, as a group of it is durable. */
  store: MemoryStore;
  stateMachine: StateMachine;
  sender: SnapshotSender;
  receiver: SnapshotReceiver;
  isNeeded = true;
  hasRoom = true;
  matchIndex = 0;
  stagingNumber = 2;
  /** Opened so far by the sender. */
  views = 0;
  private readonly world: World;
  private sequence = 0;
  private life = 0;
  /** The store answers at once, so that a test can write at any moment. */
  private isWritingNow = false;

  constructor(world: World, nodeId: string) {
    this.world = world;
    this.nodeId = nodeId;
    this.stores = new MemoryStores(world.time);
    this.store = new MemoryStore((run) => (this.isWritingNow ? run() : void world.time.after(0.5, run)));
    this.stateMachine = this.loaded();
    this.sender = this.createSender();
    this.receiver = this.createReceiver();
  }

  get stagingName(): string {
    return `db-${this.stagingNumber}`;
  }

  /** Applies and makes durable one entry of writes; keys are few, so that they die and come again. */
  write(count: number, valueBytes = 20): void {
    const commands = Array.from({ length: count }, () => {
      const sequence = ++this.sequence;
      const key = `k${(sequence * 7) % 50}`;
      const operation = this.operation(sequence, key, valueBytes);
      const session = `s${sequence % 4}`;
      return command(operation, Math.ceil(sequence / 4), { session });
    });
    const index = this.stateMachine.appliedIndex + 1;
    const nowMs = Math.floor(this.world.time.nowMs);
    const times = { clusterTimeMs: nowMs, wallTimeMs: nowMs };
    const entry = { index, term: 3, times, commands };
    this.isWritingNow = true;
    for (let step = this.stateMachine.applyEntry(entry); step.kind === 'needs';) {
      const { range } = step;
      this.store.fetchRange(range, (_error, records) => this.stateMachine.provide(range, records));
      step = this.stateMachine.applyEntry(entry);
    }
    this.makeDurable();
    this.isWritingNow = false;
    this.world.states.set(index, this.store.snapshot());
  }

  private operation(sequence: number, key: string, valueBytes: number): ClientOperation {
    if (sequence % 37 === 0) return deleteRange('k2', 'k3');
    return sequence % 5 === 0 ? del(key) : put(key, `${sequence} `.padEnd(valueBytes, 'x'));
  }

  /** Takes over all that another member applied. */
  copyStateOf(other: Machine): void {
    this.store.restore(other.store.snapshot());
    this.stateMachine = this.loaded();
    this.sequence = other.sequence;
  }

  /** A new process on what is durable. */
  restart(): void {
    this.world.cut(this.nodeId);
    this.life++;
    this.stores.crash();
    this.sender = this.createSender();
    this.receiver = this.createReceiver();
  }

  receive(from: string, frame: SnapshotFrame): void {
    switch (frame.kind) {
      case 'snapshotOffer':
      case 'snapshotChunk':
        return this.receiver.receive(from, frame);
      default:
        return this.sender.receive(from, frame);
    }
  }

  linkDown(peer: string): void {
    this.sender.linkDown(peer);
    this.receiver.linkDown(peer);
  }

  private makeDurable(): void {
    const operations = this.stateMachine.freeze();
    if (operations === undefined) return;
    this.store.writeBatch(operations, () => this.stateMachine.writeResolved());
  }

  private loaded(): StateMachine {
    const machine = machineOf(this.store);
    let outcome: Error | 'none' | undefined;
    machine.load((error) => (outcome = error ?? 'none'));
    this.world.time.run(10, () => outcome !== undefined);
    if (outcome !== 'none') throw outcome ?? new Error('load did not finish');
    return machine;
  }

  /** Timers and links of this process: nothing of it happens once it is gone. */
  private process(): { timers: Timers; send: (peer: string, frame: SnapshotFrame) => boolean } {
    const { life } = this;
    const { timers } = this.world.time;
    const alive = (run: () => void) => (): void => (life === this.life ? run() : undefined);
    return {
      timers: {
        set: (delayMs, callback) => timers.set(delayMs, alive(callback)),
        clear: (handle) => timers.clear(handle),
        defer: (callback) => timers.defer(alive(callback)),
      },
      send: (peer, frame) => life === this.life && this.world.send(this.nodeId, peer, frame),
    };
  }

  private createSender(): SnapshotSender {
    const { clock } = this.world.time;
    const { timers, send } = this.process();
    return new SnapshotSender({
      clock,
      timers,
      report: reportInto(this.lines, this.world.time),
      firstSendingId: this.world.drawSendingId(),
      viewEntriesMax: 10,
      chunkBytesMax: this.world.chunkBytesMax,
      openView: () => {
        this.views++;
        return this.store.openView();
      },
      durableAppliedIndex: () => this.stateMachine.durableAppliedIndex,
      matchIndexOf: () => this.matchIndex,
      send,
      damaged: (error) => this.damage.push(error),
      ended: (peer, installed) => this.ended.push({ peer, installed }),
    });
  }

  private createReceiver(): SnapshotReceiver {
    const { clock } = this.world.time;
    const { timers, send } = this.process();
    return new SnapshotReceiver({
      stores: this.stores,
      software: thisSoftware,
      clock,
      timers,
      report: reportInto(this.lines, this.world.time),
      hasRoom: () => this.hasRoom,
      stagingName: () => this.stagingName,
      isNeeded: () => this.isNeeded,
      send,
      staged: (snapshot, released) => this.staged.push({ ...snapshot, released }),
    });
  }
}

/** Machines with a link each way between any two; what is on its way when a link is cut never arrives. */
export class World {
  readonly time = new VirtualTime();
  readonly machines = new Map<string, Machine>();
  /** The records of every replica's store at each index: they are the same. */
  readonly states = new Map<number, StoreSnapshot>();
  /** Links closed because of what came over them. */
  readonly violations: string[] = [];
  /** Changes a frame on its way, or drops it. */
  tamper: (frame: SnapshotFrame, from: string) => SnapshotFrame | undefined = (frame) => frame;
  /** A link takes no more frames: `send` says so. */
  full = new Set<string>();
  latencyMs = 1;
  /** Of the chunks that machines made from now on send. */
  chunkBytesMax = 4_000;
  /** Bytes of frames that were sent and have not arrived, and the most there ever were. */
  bytesOnTheWay = 0;
  bytesOnTheWayMost = 0;
  frames = 0;
  private readonly epochs = new Map<string, number>();
  private sendingIds = 1_000;

  machine(nodeId: string): Machine {
    const machine = new Machine(this, nodeId);
    this.machines.set(nodeId, machine);
    return machine;
  }

  drawSendingId(): number {
    this.sendingIds += 1_000;
    return this.sendingIds;
  }

  send(from: string, to: string, frame: SnapshotFrame): boolean {
    if (this.full.has(`${from} ${to}`)) return false;
    const epoch = this.epoch(from, to);
    const changed = this.tamper(frame, from);
    this.frames++;
    if (changed === undefined) return true;
    const bytes = encodePeerFrames([changed]);
    this.bytesOnTheWay += bytes.length;
    this.bytesOnTheWayMost = Math.max(this.bytesOnTheWayMost, this.bytesOnTheWay);
    this.time.after(this.latencyMs, () => {
      this.bytesOnTheWay -= bytes.length;
      if (epoch === this.epoch(from, to)) this.deliver(from, to, bytes);
    });
    return true;
  }

  /**
   * Cuts all links of a node, or of two nodes with each other. Both sides hear of it; new links are up at
   * once.
   */
  cut(nodeId: string, other?: string): void {
    for (const peer of other === undefined ? [...this.machines.keys()] : [other]) {
      if (peer === nodeId) continue;
      const name = pairName(nodeId, peer);
      this.epochs.set(name, (this.epochs.get(name) ?? 0) + 1);
      this.machines.get(nodeId)?.linkDown(peer);
      this.machines.get(peer)?.linkDown(nodeId);
    }
  }

  private deliver(from: string, to: string, bytes: Uint8Array): void {
    try {
      for (const frame of decodePeerFrames(bytes)) {
        if (!isOfSnapshot(frame)) continue;
        this.machines.get(to)?.receive(from, frame);
      }
    } catch (error) {
      if (!KvorumError.is(error, 'PROTOCOL')) throw error;
      this.violations.push(error.message);
      this.cut(from, to);
    }
  }

  private epoch(a: string, b: string): number {
    return this.epochs.get(pairName(a, b)) ?? 0;
  }
}

function pairName(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

function isOfSnapshot(frame: PeerFrame): frame is SnapshotFrame {
  return frame.kind.startsWith('snapshot');
}
