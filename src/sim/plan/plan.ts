// A run as data: what the world is like, what clients do and what goes wrong, with every time in it.
// `planOf(seed)` draws one; running it draws nothing more but stateless rolls with the same seed. A failing
// plan can be thinned out by hand or by a shrinker and still means the same. Times are milliseconds of
// virtual time from the start of the world.

import { Prng } from '../../base/prng.js';
import type { CorePlan, Fault } from './faults.js';
import { crownBeforeHealing, planCore } from './core.js';
import { planFaults } from './families.js';
import { shapePlan } from './shapes.js';
import { planClients, planOperations } from './workload.js';
import type { Conditions, LinkMode } from '../world/network/connection.js';
import type { DiskTimes } from '../world/disk/disk.js';
import type { StoreTimes } from '../world/disk/store.js';

export { theFollowers, theLeader, type Fault, type Way } from './faults.js';

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
  /** The ordinary time when absent. */
  readonly heartbeatIntervalMs?: number;
  readonly electionTimeoutMsMin?: number;
  readonly electionTimeoutMsMax?: number;
  /** The ordinary limits of the log and of a snapshot's chunks when absent. */
  readonly snapshotLogEntriesMax?: number;
  readonly snapshotLogBytesMax?: number;
  readonly snapshotChunkBytes?: number;
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
  /** Instead of that of the knobs: members need not have the same limit. */
  readonly snapshotLogEntriesMax?: number;
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
  /** Whom it asks to read; the leader when absent. */
  readonly readFrom?: 'leader' | 'nearest';
}

export interface Plan {
  readonly formatVersion: 1;
  readonly seed: number;
  /** Faults may last until here … */
  readonly safetyMs: number;
  /** … and from then on everything that the core needs works, and it must come to rest within this time. */
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
  /** By ascending time. */
  readonly faults: readonly Fault[];
  /** Who must come to rest in the healed phase, and what stays wrong elsewhere; all and nothing if absent. */
  readonly core?: CorePlan;
}

export interface PlanOptions {
  /** Drawn when absent: mostly 20 s, some of 60 s and 300 s. */
  readonly safetyMs?: number;
  readonly healMs?: number;
  /** How many machines, 1 to 7; drawn when absent. */
  readonly nodes?: number;
  /** Families of faults, each of `familyNames`; drawn when absent. May be empty: nothing goes wrong. */
  readonly families?: readonly string[];
}

/** A run is over at rest. Three members of seven that are rebuilt by chunks of 4 KiB take longest. */
const defaultHealMs = 120_000;
/** In a shorter run nobody leads before the others sleep. */
const crownedSafetyMsMin = 5_000;
const wallStartMs = 1_700_000_000_000;

/** Draws the plan of a seed. The same seed and options give the same plan. */
export function planOf(seed: number, options: PlanOptions = {}): Plan {
  const safetyMs = options.safetyMs ?? drawSafetyMs(new Prng(seed ^ 0x66666666));
  const healMs = options.healMs ?? defaultHealMs;
  const machines = planMachines(new Prng(seed ^ 0x11111111), options.nodes);
  const clients = planClients(new Prng(seed ^ 0x22222222));
  const world = new Prng(seed ^ 0x33333333);
  const peerMode: LinkMode = world.chance(0.6) ? 'tcp' : 'datagram';
  const conditions = planConditions(world, peerMode);
  const disk = planDisk(world);
  const { families, faults } = planFaults(new Prng(seed ^ 0x44444444), {
    safetyMs,
    peerMode,
    nodes: machines.map(({ name }) => name),
    clients: clients.map(({ name }) => name),
    ...(options.families === undefined ? {} : { families: options.families }),
  });
  const isQuick = conditions.latencyUsMean <= 500 && disk.syncUsMean <= 1_000;
  const isBusy = machines.some(({ eventCostUs }) => eventCostUs > 0);
  const plan: Plan = {
    formatVersion: 1,
    seed,
    safetyMs,
    healMs,
    peerMode,
    conditions,
    disk,
    store: { readUsMean: 20, batchUsMin: 100, batchUsMean: world.pick([500, 5_000, 50_000]) },
    knobs: { ...planKnobs(world), ...planTimeouts(world, isQuick && !isBusy) },
    machines,
    clients,
    operations: planOperations(new Prng(seed ^ 0x55555555), clients, safetyMs, faults),
    families,
    faults,
  };
  const isFree =
    options.families === undefined && options.safetyMs === undefined && options.nodes === undefined;
  const shaped = isFree ? shapePlan(new Prng(seed ^ 0x88888888), plan) : undefined;
  if (shaped !== undefined) return shaped;
  const ending = new Prng(seed ^ 0x77777777);
  const core = planCore(ending, machines.length, faults);
  if (core === undefined) return plan;
  const mayCrown = options.families === undefined && safetyMs >= crownedSafetyMsMin;
  const last = mayCrown ? crownBeforeHealing(ending, safetyMs, machines.length, core) : [];
  return { ...plan, faults: [...faults, ...last].sort((a, b) => a.atMs - b.atMs), core };
}

function drawSafetyMs(random: Prng): number {
  const lot = random.fraction();
  return lot < 0.7 ? 20_000 : lot < 0.95 ? 60_000 : 300_000;
}

function planConditions(random: Prng, peerMode: LinkMode): Conditions {
  return {
    latencyUsMin: random.pick([50, 200, 1_000]),
    latencyUsMean: random.pick([50, 500, 5_000]),
    loss: peerMode === 'datagram' ? random.pick([0, 0.001, 0.02]) : 0,
    duplication: peerMode === 'datagram' ? random.pick([0, 0.01]) : 0,
    reordering: peerMode === 'datagram' ? random.pick([0, 0.05]) : 0,
  };
}

function planDisk(random: Prng): DiskTimes {
  return {
    writeUsMin: 5,
    writeUsMean: random.pick([20, 100]),
    syncUsMin: 50,
    syncUsMean: random.pick([150, 1_000, 5_000]),
    unitBytes: random.pick([512, 4_096]),
    tearsUnits: random.chance(0.3),
  };
}

/**
 * Three and five are what is run; one has nobody to lean on, seven has the most ways to disagree, and half of
 * an even number is no majority.
 */
const clusterSizes: readonly number[] = [
  ...[1, 2, 4, 4, 7, 7],
  ...Array<number>(10).fill(3),
  ...Array<number>(7).fill(5),
];

function planMachines(random: Prng, nodes: number | undefined): MachinePlan[] {
  const drawn = random.pick(clusterSizes);
  const slowProcessors = random.chance(0.3);
  return Array.from({ length: nodes ?? drawn }, (_, i) => ({
    name: `n${i + 1}`,
    clockRate: 1 + (random.fraction() - 0.5) / 50,
    clockStartMs: random.integer(0, 1_000_000),
    wallOffsetMs: wallStartMs + random.integer(-5_000, 5_000),
    eventCostUs: slowProcessors ? random.integer(0, 200) : 0,
    clockReadCostUs: slowProcessors ? random.integer(0, 100) : 0,
    startAtMs: random.integer(0, 300),
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
    groupIntervalMs: turned(100, [1, 1_000, 1_000]),
    sliceMs: 2,
    // Small enough that members are left behind and need snapshots, of more than one chunk.
    snapshotLogEntriesMax: turned(100_000, [10, 10, 100]),
    snapshotLogBytesMax: turned(268_435_456, [200_000]),
    snapshotChunkBytes: turned(204_800, [4_096]),
  };
}

/**
 * Election timeouts near the heartbeat, where validateRaftConfig still allows them: not below what messages
 * and syncs take in this world, since nobody promises a stable leader there.
 */
function planTimeouts(random: Prng, isQuick: boolean): Partial<Knobs> {
  const lot = random.fraction();
  if (lot < 0.7) return {};
  const times = (heartbeat: number, min: number, max: number): Partial<Knobs> => ({
    heartbeatIntervalMs: heartbeat,
    electionTimeoutMsMin: min,
    electionTimeoutMsMax: max,
  });
  if (lot < 0.8) return times(100, 300, 400);
  return isQuick && lot < 0.9 ? times(20, 60, 120) : times(50, 150, 300);
}
