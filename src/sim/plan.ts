// A run as data: what the world is like, what clients do and what goes wrong, with every time in it.
// `planOf(seed)` draws one; running it draws nothing more but stateless rolls with the same seed. A failing
// plan can be thinned out by hand or by a shrinker and still means the same. Times are milliseconds of
// virtual time from the start of the world.

import type { UnsyncedFate } from './virtual-file.js';
import type { EntryFate } from './virtual-folders.js';
import type { DiskTimes } from './virtual-disk.js';
import type { StoreTimes } from './virtual-store.js';
import type { Conditions, LinkMode } from './virtual-connection.js';
import type { ResumeOrder } from './virtual-process.js';
import { Prng } from '../base/prng.js';
import { planFaults } from './plan-faults.js';

/** Numbers of the production configuration that are turned to make rare situations common. */
export interface Knobs {
  readonly segmentBytes: number;
  readonly quotaBytes: number;
  readonly appendEntriesMax: number;
  readonly appendBytesMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly applyBytesMax: number;
  readonly entryCacheBytesMax: number;
  readonly groupBytesMax: number;
  readonly groupIntervalMs: number;
  readonly sliceMs: number;
}

/** What is peculiar to one machine. */
export interface MachinePlan {
  readonly name: string;
  /** Speed of its monotonic clock; 1 is exact, the drift stays within a hundredth. */
  readonly clockRate: number;
  readonly clockStartMs: number;
  readonly wallOffsetMs: number;
  /** Processor time of an event and of a look at the clock, microseconds. */
  readonly eventCostUs: number;
  readonly clockReadCostUs: number;
  readonly startAtMs: number;
}

export interface PlannedOperation {
  /** Not before this; later when the client still waits for earlier answers. */
  readonly atMs: number;
  /** Position in `clients`. */
  readonly client: number;
  readonly kind: 'put' | 'delete' | 'get' | 'range';
  readonly key: string;
  /**
   * `absent`: the key must not exist; `known`: it must be as this client last saw it; `any`: no condition.
   */
  readonly condition: 'any' | 'absent' | 'known';
  /** Length of the value of a put, bytes; at least what makes it unique. */
  readonly valueBytes: number;
}

export interface ClientPlan {
  readonly name: string;
  /** Operations that may wait for an answer at once. */
  readonly concurrency: number;
  readonly timeoutMs: number;
}

/**
 * In place of a node's position or name: whoever leads when the fault begins; the first node when nobody
 * does.
 */
export const theLeader = { position: -1, name: 'leader' } as const;

/** In place of a node's name: all nodes but the leader. */
export const theFollowers = 'followers';

/** A directed way between two hosts, by name. */
export type Way = readonly [from: string, to: string];

export type Fault =
  | {
      readonly kind: 'cut';
      readonly atMs: number;
      readonly untilMs: number;
      readonly ways: readonly Way[];
      /** Whether links break at once, as when the way refuses; otherwise when someone misses an answer. */
      readonly refuses?: boolean;
    }
  | {
      readonly kind: 'conditions';
      readonly atMs: number;
      readonly untilMs: number;
      readonly loss: number;
      readonly duplication: number;
      readonly reordering: number;
      /** Messages take this many times as long. */
      readonly latencyFactor: number;
    }
  | {
      readonly kind: 'crash';
      readonly atMs: number;
      readonly node: number;
      readonly downMs: number;
      readonly machine: 'kill' | 'power';
      readonly unsynced: UnsyncedFate;
      readonly entries: EntryFate;
      /**
       * 0: between two events; otherwise just before this many-th write, sync, batch or message from then
       * on.
       */
      readonly afterEffects: number;
    }
  /** An orderly stop, with leadership handed over, and a new start. */
  | { readonly kind: 'restart'; readonly atMs: number; readonly node: number; readonly downMs: number }
  | {
      readonly kind: 'pause';
      readonly atMs: number;
      readonly node: number;
      readonly forMs: number;
      readonly resume: ResumeOrder;
    }
  | {
      readonly kind: 'slowDisk';
      readonly atMs: number;
      readonly untilMs: number;
      readonly node: number;
      /** Times as slow. */
      readonly factor: number;
    }
  | { readonly kind: 'stuckDisk'; readonly atMs: number; readonly node: number; readonly forMs: number }
  | {
      readonly kind: 'failDisk';
      readonly atMs: number;
      readonly node: number;
      readonly operation: 'write' | 'sync' | 'batch';
    }
  | {
      readonly kind: 'fullDisk';
      readonly atMs: number;
      readonly untilMs: number;
      readonly node: number;
      readonly freeBytes: number;
    }
  | { readonly kind: 'wallJump'; readonly atMs: number; readonly node: number; readonly byMs: number };

export interface Plan {
  readonly formatVersion: 1;
  readonly seed: number;
  /** Faults may last until here … */
  readonly safetyMs: number;
  /** … and from then on everything works, and must converge within this time. */
  readonly healMs: number;
  readonly peerMode: LinkMode;
  readonly conditions: Readonly<Conditions>;
  readonly disk: DiskTimes;
  readonly store: StoreTimes;
  readonly knobs: Knobs;
  readonly machines: readonly MachinePlan[];
  readonly clients: readonly ClientPlan[];
  /** By ascending time. */
  readonly operations: readonly PlannedOperation[];
  readonly families: readonly string[];
  readonly faults: readonly Fault[];
}

export interface PlanOptions {
  readonly safetyMs?: number;
  readonly healMs?: number;
  /** How many machines, 1 to 7; drawn when absent. */
  readonly nodes?: number;
  /** Families of faults, each of `familyNames`; drawn when absent. May be empty: nothing goes wrong. */
  readonly families?: readonly string[];
}

const defaultSafetyMs = 45_000;
const defaultHealMs = 15_000;
const wallStartMs = 1_700_000_000_000;

/** Draws the plan of a seed. The same seed and options give the same plan. */
export function planOf(seed: number, options: PlanOptions = {}): Plan {
  const safetyMs = options.safetyMs ?? defaultSafetyMs;
  const healMs = options.healMs ?? defaultHealMs;
  const machines = planMachines(new Prng(seed ^ 0x11111111), options.nodes);
  const clients = planClients(new Prng(seed ^ 0x22222222));
  const world = new Prng(seed ^ 0x33333333);
  const peerMode: LinkMode = world.chance(0.6) ? 'tcp' : 'datagram';
  const conditions: Conditions = {
    latencyUsMin: world.pick([50, 200, 1_000]),
    latencyUsMean: world.pick([50, 500, 5_000]),
    loss: peerMode === 'datagram' ? world.pick([0, 0.001, 0.02]) : 0,
    duplication: peerMode === 'datagram' ? world.pick([0, 0.01]) : 0,
    reordering: peerMode === 'datagram' ? world.pick([0, 0.05]) : 0,
  };
  const { families, faults } = planFaults(new Prng(seed ^ 0x44444444), {
    safetyMs,
    peerMode,
    nodes: machines.map(({ name }) => name),
    clients: clients.map(({ name }) => name),
    ...(options.families === undefined ? {} : { families: options.families }),
  });
  return {
    formatVersion: 1,
    seed,
    safetyMs,
    healMs,
    peerMode,
    conditions,
    disk: {
      writeUsMin: 5,
      writeUsMean: world.pick([20, 100]),
      syncUsMin: 50,
      syncUsMean: world.pick([150, 1_000, 5_000]),
    },
    store: { readUsMean: 20, batchUsMin: 100, batchUsMean: world.pick([500, 5_000, 50_000]) },
    knobs: planKnobs(world),
    machines,
    clients,
    operations: planOperations(new Prng(seed ^ 0x55555555), clients, safetyMs),
    families,
    faults,
  };
}

function planMachines(random: Prng, nodes: number | undefined): MachinePlan[] {
  const drawn = random.pick([3, 3, 5]);
  const count = nodes ?? drawn;
  const slowProcessors = random.chance(0.3);
  return Array.from({ length: count }, (_, i) => ({
    name: `n${i + 1}`,
    clockRate: 1 + (random.fraction() - 0.5) / 50,
    clockStartMs: random.integer(0, 1_000_000),
    wallOffsetMs: wallStartMs + random.integer(-5_000, 5_000),
    eventCostUs: slowProcessors ? random.integer(0, 200) : 0,
    clockReadCostUs: slowProcessors ? random.integer(0, 100) : 0,
    startAtMs: random.integer(0, 500),
  }));
}

function planClients(random: Prng): ClientPlan[] {
  return Array.from({ length: random.integer(2, 5) }, (_, i) => ({
    name: `c${i + 1}`,
    concurrency: random.pick([1, 2, 8]),
    timeoutMs: random.pick([1_000, 5_000, 20_000]),
  }));
}

/** Each knob is turned in some seeds only, so that the ordinary configuration is run too. */
function planKnobs(random: Prng): Knobs {
  const turned = <T>(ordinary: T, rare: readonly T[]): T =>
    random.chance(0.5) ? ordinary : random.pick(rare);
  return {
    segmentBytes: turned(262_144, [65_536]),
    quotaBytes: 16 * 1_048_576,
    appendEntriesMax: turned(512, [1, 3]),
    appendBytesMax: turned(229_376, [100, 2_000]),
    inFlightMessagesMax: turned(256, [1, 2]),
    inFlightBytesMax: turned(8_388_608, [1_000]),
    applyBytesMax: turned(4_194_304, [1, 1_000]),
    entryCacheBytesMax: turned(33_554_432, [1_000, 20_000]),
    groupBytesMax: turned(2_097_152, [1_000]),
    groupIntervalMs: turned(100, [1, 1_000]),
    sliceMs: 2,
  };
}

function planOperations(random: Prng, clients: readonly ClientPlan[], safetyMs: number): PlannedOperation[] {
  const perSecond = random.pick([2, 5, 10]);
  const keys = Array.from({ length: random.integer(2, 8) }, (_, i) => `key/${i}`);
  const readShare = random.pick([0.2, 0.5]);
  const valueBytesMax = random.pick([16, 16, 300, 20_000]);
  const operations: PlannedOperation[] = [];
  for (const client of clients.keys()) {
    // The first requests come before the cluster is formed: they have to wait, or to fail honestly.
    let atMs = random.integer(0, 3_000);
    while (atMs < safetyMs) {
      const isRead = random.chance(readShare);
      operations.push({
        atMs,
        client,
        kind: isRead ? (random.chance(0.25) ? 'range' : 'get') : random.chance(0.2) ? 'delete' : 'put',
        key: random.pick(keys),
        condition: random.chance(0.7) ? 'any' : random.chance(0.2) ? 'absent' : 'known',
        valueBytes: random.chance(0.8) ? 16 : random.integer(16, valueBytesMax),
      });
      atMs += 1 + Math.floor(-Math.log(1 - random.fraction()) * (1_000 / perSecond));
    }
  }
  return operations.sort((a, b) => a.atMs - b.atMs);
}
