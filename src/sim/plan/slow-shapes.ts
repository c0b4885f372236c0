// Shapes of worlds that are slow and not broken, at the production timing: disks whose syncs take seconds,
// members half a second apart, machines that get the processor in bursts, and two members that are left when
// the leader is killed while their disks stall. Each says what it asks of the cluster meanwhile
// (`Plan.steady`): one leader, and writes that go on. Must never ask for more than the product promises.

import type { Prng } from '../../base/prng.js';
import { theLeader, type Fault } from './faults.js';
import type { Knobs, Plan, PlannedOperation, Steadiness } from './plan.js';
import { ordinaryReplication } from './timings.js';

/** What such a shape makes of a plan. */
type SlowShape = Pick<Plan, 'safetyMs' | 'faults' | 'knobs' | 'operations' | 'clients' | 'steady'> &
  Partial<Plan>;

const safetyMs = 60_000;
/** A cluster with syncs of seconds has formed and elected by then. */
const formedMs = 30_000;
const killMs = 38_000;

/** Every sync takes long, on every machine; in half of the runs the leader is killed as well. */
export function slowDisks(random: Prng, plan: Plan): SlowShape {
  const syncMs = random.pick([200, 1_000, 2_400]);
  const disk = { ...plan.disk, syncUsMin: syncMs * 1_000, syncUsMean: syncMs * 20 };
  return { ...slowWorld(random, plan, 8 * syncMs + 4_000), disk };
}

/** A round trip of half a second, between members and to clients. */
export function farAway(random: Prng, plan: Plan): SlowShape {
  const conditions = { ...calm, latencyUsMin: 250_000, latencyUsMean: 2_000 };
  return { ...slowWorld(random, plan, 8_000), conditions };
}

/** All machines get the processor for moments only, and find expired timers before what has arrived. */
export function starved(random: Prng, plan: Plan): SlowShape {
  const fromMs = 8_000;
  const restMsMax = random.pick([200, 400, 700]);
  const faults = plan.machines.flatMap((_, node) => {
    const pauses: Fault[] = [];
    let atMs = fromMs + random.integer(0, 500);
    while (atMs < safetyMs - 1_000) {
      const forMs = random.integer(restMsMax / 4, restMsMax);
      const resume = random.chance(0.8) ? 'timersFirst' : 'messagesFirst';
      pauses.push({ kind: 'pause', atMs, node, forMs, resume });
      atMs += forMs + random.integer(10, 100);
    }
    return pauses;
  });
  return { ...steadyWorld(random, plan, faults, { fromMs, electionsMax: 0, silenceMsMax: 6_000 }) };
}

/**
 * The leader is killed under many writers, and the disks of the two that are left stall for seconds about
 * then, or links break and are opened again: whatever it was, soon after it is over one of them leads.
 */
export function widowed(random: Prng, plan: Plan): SlowShape {
  const atMs = 12_000;
  const machines = plan.machines.slice(0, 3);
  const names = machines.map(({ name }) => name);
  const ways = names.flatMap((from) => names.filter((to) => to !== from).map((to) => [from, to] as const));
  const stallMs = random.pick([0, 1_500, 4_000, 8_000]);
  const stalls = machines.map((_, node): Fault => {
    const lengthMs = Math.max(1, Math.ceil(stallMs * (0.5 + random.fraction() / 2)));
    return { kind: 'stuckDisk', atMs: atMs + random.integer(-500, 300), node, forMs: lengthMs };
  });
  const breaks = Array.from({ length: random.integer(0, 6) }, (): Fault => {
    const beginMs = atMs + random.integer(-200, 3_000);
    return random.chance(0.5)
      ? { kind: 'reset', atMs: beginMs, ways }
      : {
          kind: 'halfOpen',
          atMs: beginMs,
          untilMs: beginMs + random.integer(100, 1_500),
          ways: [random.pick(ways)],
        };
  });
  const kill = killOf(atMs, safetyMs - atMs - 2_000);
  const silenceMsMax = stallMs + 10_000;
  const steady = { fromMs: atMs - 3_000, electionsMax: 6, silenceMsMax };
  return { ...steadyWorld(random, plan, [kill, ...stalls, ...breaks], steady), machines };
}

const calm = { loss: 0, duplication: 0, reordering: 0 };

/** `silenceMsMax`: without the kill. */
function slowWorld(random: Prng, plan: Plan, silenceMsMax: number): SlowShape {
  const isKilled = random.chance(0.5);
  const faults = isKilled ? [killOf(killMs, 15_000)] : [];
  return steadyWorld(random, plan, faults, {
    fromMs: formedMs,
    electionsMax: isKilled ? 1 : 0,
    silenceMsMax: isKilled ? 2 * silenceMsMax : silenceMsMax,
  });
}

function steadyWorld(random: Prng, plan: Plan, faults: readonly Fault[], steady: Steadiness): SlowShape {
  const clients = plan.clients.map((client) => ({ ...client, concurrency: 8, timeoutMs: 20_000 }));
  const operations = clients.flatMap((_, client) =>
    Array.from({ length: safetyMs / 500 }, (__, i): PlannedOperation => {
      const atMs = 500 * i + random.integer(0, 499);
      const kind = random.chance(0.7) ? 'put' : 'get';
      return { atMs, client, kind, key: `key/${random.integer(0, 5)}`, condition: 'any', valueBytes: 16 };
    }),
  );
  return {
    safetyMs,
    faults,
    clients,
    operations,
    steady,
    peerMode: 'tcp',
    conditions: { ...calm, latencyUsMin: 200, latencyUsMean: 500 },
    disk: { ...plan.disk, syncUsMin: 50, syncUsMean: 1_000 },
    knobs: atProductionTiming(plan.knobs),
    machines: plan.machines.map((machine) => ({ ...machine, eventCostUs: 0, clockReadCostUs: 0 })),
  };
}

function killOf(atMs: number, downMs: number): Fault {
  const fates = { unsynced: 'all', entries: 'all', machine: 'kill' } as const;
  return { kind: 'crash', atMs, node: theLeader.position, downMs, afterEffects: 0, ...fates };
}

function atProductionTiming(knobs: Knobs): Knobs {
  const { heartbeatIntervalMs, electionTimeoutMsMin, electionTimeoutMsMax, diskHungMs, ...rest } = knobs;
  void [heartbeatIntervalMs, electionTimeoutMsMin, electionTimeoutMsMax, diskHungMs];
  // What a round trip or a sync brings along must not be one entry: that would be the knobs' slowness.
  return { ...rest, ...ordinaryReplication };
}
