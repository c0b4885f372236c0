// Runs with a deliberate shape, in a share of the seeds: situations that need several things to come
// together, which faults drawn one by one hardly ever bring about. A shape changes knobs, requests and faults
// of a drawn plan, and what comes out is as much data as before: it is thinned out and run again like any
// other plan. Must never do more than ../README.md promises to survive.

import type { Prng } from '../../base/prng.js';
import { theLeader, type Fault, type Way } from './faults.js';
import { crown } from './dramas.js';
import type { Knobs, Plan, PlannedOperation } from './plan.js';
import { farAway, slowDisks, starved, widowed } from './slow-shapes.js';
import { bothWays, isolate, waysBetween } from './topologies.js';
import { briskTiming, quickTiming } from './timings.js';
import { newerLevel } from '../world/machine/software.js';
import { planOperations } from './workload.js';
import type { UnsyncedFate } from '../world/disk/file.js';
import type { EntryFate } from '../world/disk/folders.js';

/** What a shape makes of a plan. */
type Shape = (random: Prng, plan: Plan) => Partial<Plan> & { readonly faults: readonly Fault[] };

const unsyncedFates: readonly UnsyncedFate[] = ['none', 'prefix', 'subset', 'all'];
const entryFates: readonly EntryFate[] = ['none', 'none', 'prefix', 'subset', 'all'];

/** The log is cut soon, so that who is away for a second needs a snapshot, of more than one chunk. */
const shortLog: Partial<Knobs> = { snapshotLogEntriesMax: 10, snapshotChunkBytes: 4_096 };

/** With the share of the seeds that have them, in per cent. */
const shapes: Readonly<Record<string, readonly [percent: number, shape: Shape]>> = {
  installs: [8, installs],
  overtaken: [4, overtaken],
  longTail: [4, longTail],
  forgotten: [6, forgotten],
  silence: [2, silence],
  lateCopies: [3, lateCopies],
  cuts: [2, cuts],
  hungReads: [1, hungReads],
  versions: [4, versions],
  slowDisks: [1, slowDisks],
  farAway: [1, farAway],
  starved: [1, starved],
  widowed: [1, widowed],
};

/**
 * What a shape makes of the plan, in which everyone must come to rest; its name stands in place of families.
 * `undefined` where the plan gets none.
 */
export function shapePlan(random: Prng, drawn: Plan): Plan | undefined {
  let lot = random.integer(0, 99);
  if (drawn.machines.length < 3) return undefined;
  for (const [name, [percent, shape]] of Object.entries(shapes)) {
    lot -= percent;
    if (lot >= 0) continue;
    const safetyMs = 20_000;
    // Shapes count on when elections are held; a timing near the heartbeat only makes them more.
    const knobs = { ...briskTiming, ...drawn.knobs };
    const plan = {
      ...drawn,
      safetyMs,
      knobs,
      operations: planOperations(random, drawn.clients, safetyMs, []),
    };
    const shaped = { ...plan, ...shape(random, plan), families: [name] };
    const faults = [...shaped.faults].sort((a, b) => a.atMs - b.atMs);
    const operations = [...shaped.operations].sort((a, b) => a.atMs - b.atMs);
    return { ...shaped, operations, faults };
  }
  return undefined;
}

/** Member after member needs a snapshot, and crashes while it is put in place, or some time later. */
function installs(random: Prng, plan: Plan): ReturnType<Shape> {
  const { safetyMs, machines } = plan;
  const faults: Fault[] = [];
  for (let atMs = 2_500; atMs < safetyMs - 5_000; atMs += 3_500) {
    const node = random.integer(0, machines.length - 1);
    const away = { kind: 'cut', atMs, untilMs: atMs + random.integer(1_000, 2_000) } as const;
    faults.push({ ...away, ways: isolate(nameOf(plan, node), namesOf(plan)) });
    if (random.chance(0.7)) {
      faults.push(crash(random, { atMs, node, during: 'install', afterEffects: random.integer(1, 20) }));
    }
    if (random.chance(0.5))
      faults.push(crash(random, { atMs: away.untilMs + random.integer(100, 2_000), node }));
    const anywhere = random.integer(0, machines.length - 1);
    const crashMs = atMs + random.integer(0, 3_000);
    if (random.chance(0.6)) {
      faults.push(crash(random, { atMs: crashMs, node: anywhere, afterEffects: random.integer(1, 60) }));
    }
  }
  const isLarge = random.chance(0.5);
  const operations = plan.operations.map((operation) =>
    isLarge && operation.kind === 'put'
      ? { ...operation, valueBytes: random.integer(16, 20_000) }
      : operation,
  );
  return { faults, operations, knobs: { ...plan.knobs, ...shortLog, segmentBytes: 65_536 } };
}

/**
 * One of three keeps less of its log than the others. As a leader it sends a snapshot to who was away for a
 * moment, and ends as soon as that has arrived; the next leader still has the entries, and sends those while
 * the snapshot waits for its store to be opened.
 */
function overtaken(random: Prng, plan: Plan): ReturnType<Shape> {
  const names = namesOf(plan).slice(0, 3);
  const short = random.integer(0, 2);
  const faults: Fault[] = [];
  for (let atMs = 2_500; atMs < plan.safetyMs - 3_000; atMs += 3_800) {
    const node = (short + random.integer(1, 2)) % 3;
    const untilMs = atMs + random.integer(300, 900);
    const delivered = { atMs, node: short, machine: 'kill', downMs: 1_200, during: 'delivery' } as const;
    faults.push(
      ...crown(3, short, atMs - 1_000, 600),
      crash(random, { ...delivered, afterEffects: random.integer(0, 1) }),
      { kind: 'cut', atMs, untilMs, ways: isolate(names[node] ?? '', names), refuses: true },
      { kind: 'slowDisk', atMs, untilMs: atMs + 3_600, node, factor: 30 },
    );
  }
  const inSteps = {
    appendEntriesMax: random.pick([5, 5, 512]),
    inFlightMessagesMax: random.pick([1, 1, 256]),
  };
  const times = { heartbeatIntervalMs: 20, electionTimeoutMsMin: 60, electionTimeoutMsMax: 120 };
  return {
    faults,
    // The next leader is there, and heard, before the store is open.
    ...quickWorld(plan, { latencyUsMin: random.pick([100, 200]), latencyUsMean: 500 }),
    store: { readUsMean: 20_000, batchUsMin: 100, batchUsMean: 2_000 },
    operations: busy(random, plan),
    machines: plan.machines
      .slice(0, 3)
      .map((machine, i) => (i === short ? { ...machine, snapshotLogEntriesMax: 10 } : machine)),
    knobs: { ...plan.knobs, ...longLog, ...inSteps, ...times },
  };
}

/** Nothing is cut, and what is sent goes in one chunk. */
const longLog = {
  snapshotLogEntriesMax: 100_000,
  snapshotLogBytesMax: 268_435_456,
  snapshotChunkBytes: 204_800,
};

/** Nothing is lost on the way, and disks are fast. */
function quickWorld(
  { disk }: Plan,
  latency: Pick<Plan['conditions'], 'latencyUsMin' | 'latencyUsMean'>,
): Pick<Plan, 'peerMode' | 'conditions' | 'disk'> {
  return {
    peerMode: 'tcp',
    conditions: { ...latency, loss: 0, duplication: 0, reordering: 0 },
    disk: { ...disk, syncUsMean: 150 },
  };
}

/**
 * A leader without its followers takes on many writes at once, more than the others commit without it: its
 * log ends after what their snapshot holds.
 */
function longTail(random: Prng, plan: Plan): ReturnType<Shape> {
  const { safetyMs, clients } = plan;
  const ways = isolate(theLeader.name, namesOf(plan));
  const rounds = [
    { atMs: 8_000, untilMs: 10_500 },
    { atMs: safetyMs - 3_000, untilMs: safetyMs },
  ];
  const calm = plan.operations.filter(({ atMs }) =>
    rounds.every((round) => atMs < round.atMs || atMs > round.untilMs),
  );
  const bursts = rounds.flatMap(({ atMs }) =>
    clients.flatMap((_, client) =>
      Array.from({ length: 16 + (client === 0 ? 8 : 0) }, (_, i): PlannedOperation => {
        const key = `key/${random.integer(0, 3)}`;
        // The last ones are for the next leader.
        const timeMs = atMs + (i < 16 ? random.integer(1, 200) : 1_200 + 120 * (i - 16));
        return { atMs: timeMs, client, kind: 'put', key, condition: 'any', valueBytes: 16 };
      }),
    ),
  );
  return {
    faults: rounds.map((round) => ({ kind: 'cut', ...round, ways })),
    clients: clients.map((client) => ({ ...client, concurrency: 16 })),
    operations: [...calm, ...bursts],
    knobs: { ...plan.knobs, ...shortLog, groupIntervalMs: 1 },
  };
}

/**
 * A member loses log or store, and first hears from one that knows less than it had promised; or what it sent
 * before comes after it has come back.
 */
function forgotten(random: Prng, plan: Plan): ReturnType<Shape> {
  const names = namesOf(plan);
  const node = random.integer(0, names.length - 1);
  const victim = nameOf(plan, node);
  const others = names.filter((name) => name !== victim);
  const stale = random.pick(others);
  const rest = others.filter((name) => name !== stale);
  const damage = random.pick(['storeOpen', 'storeOpen', 'bitFlip', 'misdirected'] as const);
  const faults: Fault[] = [7_000, 14_000].flatMap((atMs): Fault[] => {
    const position = random.fraction();
    const lost: Fault = { kind: 'damage', atMs, node, downMs: random.integer(50, 200), damage, position };
    const ways = others.map((name): Way => [victim, name]);
    // Another one hears the leader and acknowledges nothing: what the victim had promised is what counts.
    const hung: Fault = { kind: 'stuckDisk', atMs: atMs - 300, node: names.indexOf(stale), forMs: 1_500 };
    if (random.chance(0.4)) return [lost, lastWordsLate(plan, atMs, ways), hung];
    if (random.chance(0.4)) {
      return [lost, { kind: 'clog', atMs: atMs - 300, untilMs: atMs + random.integer(200, 900), ways }];
    }
    const untilMs = atMs + 2_000;
    return [
      lost,
      { kind: 'cut', atMs: atMs - 4_000, untilMs, ways: waysBetween([stale], rest) },
      { kind: 'cut', atMs: atMs - 4_000, untilMs: atMs, ways: bothWays(stale, victim) },
      { kind: 'pause', atMs: atMs - 3_000, node: theLeader.position, forMs: 1_500, resume: 'timersFirst' },
      { kind: 'cut', atMs, untilMs, ways: waysBetween([victim], rest), refuses: true },
    ];
  });
  const knobs = random.chance(0.6) ? { ...plan.knobs, ...shortLog } : plan.knobs;
  return { faults, knobs };
}

/** What is sent last before a crash takes longer than a new process needs to be heard. */
function lastWordsLate({ conditions }: Plan, crashMs: number, ways: readonly Way[]): Fault {
  const { latencyUsMin, latencyUsMean } = conditions;
  const latencyFactor = Math.ceil(600_000 / (latencyUsMin + latencyUsMean));
  const times = { atMs: crashMs - 150, untilMs: crashMs };
  return { kind: 'conditions', ...times, ways, loss: 0, duplication: 0, reordering: 0, latencyFactor };
}

/**
 * All clients are silent until their sessions are over, and most sessions end in the same moment. A member
 * that was receiving a snapshot before comes back after that.
 */
function silence(random: Prng, plan: Plan): ReturnType<Shape> {
  const safetyMs = 100_000;
  const fromMs = 15_000;
  const goesOnMs = fromMs + 66_000;
  const spoken = planOperations(random, plan.clients, safetyMs, []);
  const operations = spoken.filter(({ atMs }) => atMs < fromMs || atMs > goesOnMs);
  const node = random.integer(0, plan.machines.length - 1);
  const away: Fault = {
    kind: 'cut',
    atMs: fromMs - 4_000,
    untilMs: fromMs - 1_000,
    ways: isolate(nameOf(plan, node), namesOf(plan)),
  };
  const half = crash(random, {
    atMs: away.atMs,
    node,
    during: 'install',
    afterEffects: random.integer(0, 8),
    downMs: 70_000,
  });
  const other = random.integer(0, plan.machines.length - 1);
  const restart = crash(random, { atMs: fromMs + random.integer(-3_000, 30_000), node: other });
  const pauses = plan.clients.map((_, client): Fault => ({
    kind: 'pauseClient',
    atMs: fromMs,
    client,
    forMs: goesOnMs - fromMs,
  }));
  const knobs = { ...plan.knobs, ...shortLog };
  return { safetyMs, operations, faults: [away, half, restart, ...pauses], knobs };
}

const latencies = [
  { latencyUsMin: 200, latencyUsMean: 500 },
  { latencyUsMin: 1_000, latencyUsMean: 3_000 },
] as const;

/**
 * What clients send to a leader waits on the way while it is deposed, another one answers what was sent
 * again, and leadership goes on from one to the next: the first copies may reach a leader long after they
 * were answered and acknowledged.
 */
function lateCopies(random: Prng, plan: Plan): ReturnType<Shape> {
  const machines = plan.machines.slice(0, 3);
  const names = machines.map(({ name }) => name);
  const { clients } = plan;
  const rounds = [4_000, 9_000, 14_000];
  const faults = rounds.flatMap((atMs): Fault[] => [
    {
      kind: 'clog',
      atMs,
      untilMs: atMs + 2_800,
      ways: clients.map(({ name }): Way => [name, theLeader.name]),
    },
    { kind: 'cut', atMs: atMs + 100, untilMs: atMs + 1_100, ways: isolate(theLeader.name, names) },
    ...Array.from({ length: random.integer(1, 2) }, (_, i): Fault => {
      return { kind: 'restart', atMs: atMs + 1_500 + 600 * i, node: theLeader.position, downMs: 50 };
    }),
  ]);
  const operations = rounds.flatMap((roundMs) =>
    clients.flatMap((_, client) =>
      // One that is late, and some that acknowledge it.
      [20, 1_000, 1_200, 2_300, 2_500, 4_000].map((afterMs): PlannedOperation => {
        const key = `key/${random.integer(0, 3)}`;
        const atMs = roundMs + afterMs + random.integer(0, 60);
        return { atMs, client, kind: 'put', key, condition: 'any', valueBytes: 16 };
      }),
    ),
  );
  return {
    faults,
    ...quickWorld(plan, random.pick(latencies)),
    machines,
    clients: clients.map((client) => ({ ...client, timeoutMs: 5_000 })),
    operations,
    knobs: { ...plan.knobs, ...quickTiming },
  };
}

/** Segments are small and soon removed, and power fails between what is done to files and to folders then. */
function cuts(random: Prng, plan: Plan): ReturnType<Shape> {
  const { machines, safetyMs, knobs } = plan;
  const faults: Fault[] = [];
  for (let atMs = 2_500; atMs < safetyMs - 1_000; atMs += random.integer(500, 1_500)) {
    const node = random.integer(0, machines.length - 1);
    const fates = { unsynced: 'none', entries: 'all', machine: 'power' } as const;
    const afterEffects = random.integer(1, 60);
    faults.push(crash(random, { atMs, node, ...fates, afterEffects }));
  }
  const operations = busy(random, plan).map((operation) =>
    operation.kind === 'put' ? { ...operation, valueBytes: random.integer(4_000, 40_000) } : operation,
  );
  const short = { segmentBytes: 65_536, snapshotLogEntriesMax: 10 };
  return { faults, operations, knobs: { ...knobs, ...short } };
}

/** The leader's disk hangs under a write, while so many reads come that it hardly ever has nothing to do. */
function hungReads(random: Prng, plan: Plan): ReturnType<Shape> {
  const rounds = [4_000, 9_000, 14_000];
  const hangs = rounds.map((atMs): Fault => {
    return { kind: 'stuckDisk', atMs, node: theLeader.position, forMs: random.integer(800, 2_000) };
  });
  const around = rounds.flatMap((roundMs) =>
    plan.clients.flatMap((_, client) =>
      Array.from({ length: 80 }, (__, i): PlannedOperation => {
        const atMs = roundMs - 100 + 20 * i + random.integer(0, 19);
        const kind = random.chance(0.05) ? 'put' : 'get';
        const key = `key/${random.integer(0, 3)}`;
        return { atMs, client, kind, key, condition: 'any', valueBytes: 16 };
      }),
    ),
  );
  return {
    faults: hangs,
    ...quickWorld(plan, random.pick(latencies)),
    clients: plan.clients.map((client) => ({ ...client, concurrency: 64 })),
    operations: [...plan.operations, ...around],
  };
}

/**
 * Versions meet. Members begin with an older or a newer one, are renewed one after the other, now and then
 * set back, and somebody asks again and again to raise the cluster, which must wait for the last of them. Who
 * is away meanwhile may come back with the older one, and may need a snapshot then.
 */
function versions(random: Prng, plan: Plan): ReturnType<Shape> {
  const { safetyMs } = plan;
  const older = newerLevel - 1;
  const late = random.integer(0, plan.machines.length - 1);
  const machines = plan.machines.map((machine, node) => ({
    ...machine,
    formatLevelMax: node !== late && random.chance(0.4) ? newerLevel : older,
  }));
  const isRaised = random.chance(0.7);
  const lastMs = random.integer(5_000, 8_000);
  const raiseMs = lastMs + 2_500;
  const replace = (atMs: number, node: number, formatLevelMax: number): Fault => {
    return { kind: 'replaceSoftware', atMs, node, formatLevelMax, downMs: random.integer(50, 500) };
  };
  const raise = (atMs: number): Fault => ({ kind: 'raiseFormat', atMs, level: newerLevel });
  const faults: Fault[] = [raise(raiseMs)];
  for (const [node, { formatLevelMax }] of machines.entries()) {
    if (node === late && isRaised) faults.push(replace(lastMs, node, newerLevel));
    if (node === late || formatLevelMax === newerLevel) continue;
    faults.push(replace(random.integer(2_500, lastMs - 500), node, newerLevel));
  }
  for (let atMs = 3_000; atMs < safetyMs - 1_000; atMs += random.integer(300, 1_500)) {
    if (atMs < lastMs || atMs > raiseMs) faults.push(raise(atMs));
  }
  if (isRaised) faults.push(...setBackUnderRaise(random, machines.length, raiseMs));
  // One that was never renewed is away while somebody asks.
  else faults.push(crash(random, { atMs: raiseMs - 300, node: late, machine: 'kill', downMs: 1_500 }));
  // Away for a while; some come back as the older one.
  for (let atMs = raiseMs + 4_500; atMs < safetyMs - 3_000; atMs += random.integer(1_500, 4_000)) {
    const node = random.integer(0, machines.length - 1);
    if (random.chance(0.5)) faults.push(crash(random, { atMs, node, downMs: random.integer(500, 2_500) }));
    if (random.chance(0.5)) faults.push(replace(atMs + random.integer(0, 400), node, older));
    const isRenewed = (node !== late || isRaised) && random.chance(0.6);
    if (isRenewed) faults.push(replace(atMs + random.integer(1_000, 3_500), node, newerLevel));
  }
  const knobs = random.chance(0.6) ? { ...plan.knobs, ...shortLog } : plan.knobs;
  return { machines, faults, knobs };
}

/**
 * A member loses power unnoticed just before the cluster is raised, and comes back with the older software
 * before that is committed, since the disks of the others stand still: the leader cannot refuse it yet, and
 * sends it what it must not take.
 */
function setBackUnderRaise(random: Prng, nodes: number, raiseMs: number): Fault[] {
  const leader = random.integer(0, nodes - 1);
  const victim = (leader + random.integer(1, nodes - 1)) % nodes;
  const others = Array.from({ length: nodes }, (_, node) => node).filter(
    (node) => node !== leader && node !== victim,
  );
  const older = newerLevel - 1;
  return [
    ...crown(nodes, leader, raiseMs - 1_500, 600),
    ...others.map((node): Fault => ({ kind: 'stuckDisk', atMs: raiseMs - 100, node, forMs: 1_500 })),
    crash(random, { atMs: raiseMs - 50, node: victim, machine: 'power', downMs: 5_000 }),
    { kind: 'replaceSoftware', atMs: raiseMs + 20, node: victim, formatLevelMax: older, downMs: 60 },
    { kind: 'replaceSoftware', atMs: raiseMs + 2_500, node: victim, formatLevelMax: newerLevel, downMs: 100 },
  ];
}

type Crash = Extract<Fault, { readonly kind: 'crash' }>;

function crash(random: Prng, facts: Pick<Crash, 'atMs' | 'node'> & Partial<Crash>): Crash {
  return {
    kind: 'crash',
    downMs: random.integer(50, 700),
    machine: random.chance(0.8) ? 'power' : 'kill',
    unsynced: random.pick(unsyncedFates),
    entries: random.pick(entryFates),
    afterEffects: 0,
    ...facts,
  };
}

/** As many requests as a plan may have, most of them writes. */
function busy(random: Prng, { clients, safetyMs }: Plan): PlannedOperation[] {
  const rounds = Array.from({ length: 3 }, () => planOperations(random, clients, safetyMs, []));
  return rounds.sort((a, b) => b.length - a.length)[0] ?? [];
}

function namesOf({ machines }: Plan): string[] {
  return machines.map(({ name }) => name);
}

function nameOf({ machines }: Plan, node: number): string {
  return machines[node]?.name ?? '';
}
