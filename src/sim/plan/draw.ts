// Draws the plan of a seed. Everything that is random about a run is drawn here and in what it calls; running
// the plan draws nothing more but stateless rolls with the same seed.

import { Prng } from '../../base/prng.js';
import { crownBeforeHealing, planCore } from './core.js';
import { planFaults } from './families.js';
import { wallStartMs } from './epoch.js';
import type { Knobs, MachinePlan, Plan } from './plan.js';
import { shapePlan } from './shapes.js';
import { drawTiming } from './timings.js';
import { planClients, planOperations } from './workload.js';
import type { Conditions } from '../world/network/ways.js';
import type { LinkMode } from '../world/network/connection.js';
import type { DiskTimes } from '../world/disk/disk.js';

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
    knobs: { ...planKnobs(world), ...drawTiming(world, isQuick && !isBusy) },
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
