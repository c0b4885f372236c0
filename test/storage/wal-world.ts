// What the tests of the log share: a world with virtual time around it, and a dumb twin that says what the
// log must hold after each unit.

import { expect } from 'vitest';
import type { Clock, Timers } from '../../src/base/env.js';
import type { StorageEvent } from '../../src/storage/events.js';
import { Prng } from '../../src/base/prng.js';
import type { HardState, LogEntry, RecoveredState } from '../../src/raft/types.js';
import {
  openWal,
  type OpenedWal,
  type Wal,
  type WalOptions,
  type WalUnit,
} from '../../src/storage/wal/wal.js';
import { FaultDisk } from './fault-disk.js';

/** Time, callbacks and a disk that outlive a log that is opened and closed in them. */
export class World {
  readonly random: Prng;
  disk: FaultDisk;
  nowMs = 1_000;
  readonly events: StorageEvent[] = [];
  readonly failures: Error[] = [];
  private tasks: (() => void)[] = [];
  private timers: { atMs: number; callback: () => void }[] = [];

  constructor(seed: number) {
    this.random = new Prng(seed);
    this.disk = new FaultDisk((callback) => this.tasks.push(callback));
  }

  /** Another world with this disk as a power cut now could leave it. */
  afterPowerCut(random: Prng): World {
    const world = new World(random.uint32());
    world.disk = this.disk.afterPowerCut(random, (callback) => world.tasks.push(callback));
    return world;
  }

  /** Another world with this disk as programs see it now. */
  copy(): World {
    const world = new World(this.random.uint32());
    world.disk = this.disk.copy((callback) => world.tasks.push(callback));
    return world;
  }

  /** Runs the oldest callback; false when there is none. */
  step(): boolean {
    const task = this.tasks.shift();
    task?.();
    return task !== undefined;
  }

  /** Runs callbacks until none is left. */
  run(): void {
    while (this.step());
  }

  /** Lets time pass, firing timers in order and running what follows from them. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    this.run();
    for (;;) {
      this.timers.sort((a, b) => a.atMs - b.atMs);
      const timer = this.timers[0];
      if (timer === undefined || timer.atMs > endMs) break;
      this.timers.shift();
      this.nowMs = Math.max(this.nowMs, timer.atMs);
      timer.callback();
      this.run();
    }
    this.nowMs = endMs;
  }

  options(overrides: Partial<WalOptions> = {}): WalOptions {
    const clock: Clock = { nowMs: () => this.nowMs, wallMs: () => 0 };
    const timers: Timers = {
      set: (delayMs, callback) => {
        const timer = { atMs: this.nowMs + delayMs, callback };
        this.timers.push(timer);
        return timer;
      },
      clear: (handle) => {
        this.timers = this.timers.filter((timer) => timer !== handle);
      },
      defer: (callback) => this.tasks.push(callback),
    };
    return {
      disk: this.disk,
      directory: 'wal',
      clock,
      timers,
      entropy: { bytes: (length) => this.random.bytes(length) },
      report: (event) => this.events.push(event),
      clusterId: 'cluster',
      nodeId: 'n1',
      segmentBytes: 8_192,
      quotaBytes: 1e9,
      recentEntriesBytesMax: 1e9,
      appliedIndexFloor: 0,
      onFailure: (error) => this.failures.push(error),
      ...overrides,
    };
  }

  open(overrides: Partial<WalOptions> = {}): OpenedWal {
    return openWal(this.options(overrides));
  }
}

/** What a log holds, kept the dumb way. */
export class Twin {
  hardState: HardState = { currentTerm: 0, votedFor: undefined, commitIndex: 0 };
  baseIndex = 0;
  entries: LogEntry[] = [];

  get lastIndex(): number {
    return this.baseIndex + this.entries.length;
  }

  get lastTerm(): number {
    return this.entries.at(-1)?.term ?? 0;
  }

  apply(unit: WalUnit): void {
    if (unit.hardState !== undefined) this.hardState = unit.hardState;
    if (unit.truncateSuffix !== undefined) this.entries.splice(unit.truncateSuffix - this.baseIndex - 1);
    this.entries.push(...unit.entries);
  }

  truncatePrefix(index: number): void {
    this.entries.splice(0, index - this.baseIndex);
    this.baseIndex = index;
  }

  copy(): Twin {
    const twin = new Twin();
    twin.hardState = this.hardState;
    twin.baseIndex = this.baseIndex;
    twin.entries = [...this.entries];
    return twin;
  }

  /** Term, vote and log, not the commit index: two states are the same when this is. */
  describe(): string {
    const { currentTerm, votedFor } = this.hardState;
    return describeState(currentTerm, votedFor, this.baseIndex, this.entries);
  }
}

export function describeState(
  term: number,
  votedFor: string | undefined,
  baseIndex: number,
  entries: readonly LogEntry[],
): string {
  const lines = entries.map((entry) => {
    const payload = Buffer.from(entry.payload);
    const start = payload.subarray(0, 16).toString('hex');
    return `${entry.index}/${entry.term}/${entry.kind}/${payload.length}/${start}`;
  });
  return `term ${term} vote ${votedFor} base ${baseIndex}: ${lines.join(' ')}`;
}

/**
 * Everything that an opened log holds, read back through `readEntries`; checks what it says of itself against
 * that.
 */
export function readState(world: World, { wal, recovered }: OpenedWal): string {
  const { hardState, log } = recovered;
  const entries = readAll(world, wal, log.baseIndex + 1, log.lastIndex);
  expect(entries.length).toBe(log.lastIndex - log.baseIndex);
  expectConsistent(recovered, entries);
  return describeState(hardState.currentTerm, hardState.votedFor, log.baseIndex, entries);
}

export function readAll(world: World, wal: Wal, firstIndex: number, lastIndex: number): LogEntry[] {
  const entries: LogEntry[] = [];
  while (firstIndex + entries.length <= lastIndex) {
    let got: readonly LogEntry[] | undefined;
    wal.readEntries(
      { firstIndex: firstIndex + entries.length, lastIndex, bytesMax: 3_000 },
      (error, read) => {
        expect(error).toBeUndefined();
        got = read;
      },
    );
    while (got === undefined) expect(world.step()).toBe(true);
    if (got.length === 0) break;
    entries.push(...got);
  }
  return entries;
}

/** Term runs, recent entries and commit index agree with the entries. */
function expectConsistent(recovered: RecoveredState, entries: readonly LogEntry[]): void {
  const { log, hardState } = recovered;
  const terms = entries.map(
    ({ index }) => log.termRuns.filter((run) => run.firstIndex <= index).at(-1)?.term,
  );
  expect(terms).toEqual(entries.map((entry) => entry.term));
  expect(log.termRuns[0]?.firstIndex).toBe(entries.length === 0 ? undefined : log.baseIndex + 1);
  const recent = log.recentEntries.map((entry) => describeState(0, undefined, 0, [entry]));
  const suffix = entries
    .slice(entries.length - recent.length)
    .map((entry) => describeState(0, undefined, 0, [entry]));
  expect(recent).toEqual(suffix);
  expect(hardState.commitIndex).toBeLessThanOrEqual(log.lastIndex);
}

/** A random unit that may follow the twin's state, which it is applied to. */
export function randomUnit(random: Prng, twin: Twin, commitIndex: number): WalUnit {
  const truncates = twin.lastIndex > Math.max(commitIndex, twin.baseIndex) && random.chance(0.25);
  const truncateSuffix = truncates
    ? random.integer(Math.max(commitIndex, twin.baseIndex) + 1, twin.lastIndex)
    : undefined;
  const votes = truncates || random.chance(0.3);
  const currentTerm = twin.hardState.currentTerm + (votes ? random.integer(truncates ? 1 : 0, 2) : 0);
  const votedFor = random.pick([undefined, 'n1', 'n2', 'node-with-a-longer-name']);
  const first = truncateSuffix ?? twin.lastIndex + 1;
  const count = random.pick([0, 1, 1, 2, 3, 8]);
  const term = Math.max(currentTerm, twin.lastTerm, 1);
  const hardState = { currentTerm: term, votedFor, commitIndex };
  const entries = Array.from({ length: count }, (_, i) => randomEntry(random, first + i, term));
  const isBare = !votes && term === twin.hardState.currentTerm;
  const unit = {
    ...(isBare ? {} : { hardState }),
    ...(truncateSuffix === undefined ? {} : { truncateSuffix }),
    entries,
  };
  twin.apply(unit);
  return unit;
}

export function randomEntry(random: Prng, index: number, term: number): LogEntry {
  const size = random.pick([0, 1, 7, 8, 40, 200, 600, 4_096, 5_000]);
  const payload = random.bytes(Math.min(size, 16));
  const kind = random.pick(['command', 'noop', 'configuration'] as const);
  return { index, term, kind, payload: Buffer.concat([payload, Buffer.alloc(size - payload.length, size)]) };
}
