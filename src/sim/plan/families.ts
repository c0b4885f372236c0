// What goes wrong in a run. Each seed picks two to five families of faults out of all ("swarm": leaving some
// out finds more than always using all), some seeds one, none or every one, each with its own intensity. All
// faults end by the end of the safety phase, but those that the core's others keep; any number of nodes may
// be down at once, since what must hold without a majority is that nothing is lost.

import type { Prng } from '../../base/prng.js';
import { damageSwitchedOn, drawVictims } from './fault-atlas.js';
import { theLeader, type DamageKind, type Fault } from './faults.js';
import { births, blackout, crash, type FaultScope, killsThenPower, succession, target } from './dramas.js';
import {
  isolate,
  leaderAlone,
  leaderWithoutClients,
  oneWay,
  patchwork,
  topologyWays,
  topologies,
  someWays,
  split,
  splitBySize,
  waysBetween,
} from './topologies.js';
import type { LinkMode } from '../world/network/connection.js';

/** Draws what begins at `atMs` and is over by `endMs`; nothing when it has no meaning in this cluster. */
type Family = (random: Prng, scope: FaultScope, atMs: number, endMs: number) => readonly Fault[];

const networkFamilies: Readonly<Record<string, Family>> = {
  partition: (random, scope, atMs, untilMs) => {
    const hosts = [...scope.nodes, ...(random.chance(0.5) ? scope.clients : [])];
    const ways = random.chance(0.5) ? split(random, hosts) : splitBySize(random, hosts);
    return [{ kind: 'cut', atMs, untilMs, ways }];
  },
  isolation: (random, { nodes }, atMs, untilMs) => {
    const lonely = random.chance(0.3) ? theLeader.name : random.pick(nodes);
    return [{ kind: 'cut', atMs, untilMs, ways: isolate(lonely, nodes) }];
  },
  deposition: (random, scope, atMs, untilMs) => [
    { kind: 'cut', atMs, untilMs, refuses: random.chance(0.5), ways: leaderAlone(random, scope) },
  ],
  succession,
  oneWay: (random, { nodes }, atMs, untilMs) => [{ kind: 'cut', atMs, untilMs, ways: oneWay(random, nodes) }],
  patchwork: (random, { nodes }, atMs, untilMs) => [
    { kind: 'cut', atMs, untilMs, ways: patchwork(random, nodes) },
  ],
  shape: (random, { nodes }, atMs, untilMs) => {
    const ways = topologyWays(random, random.pick(topologies), nodes);
    return [{ kind: 'cut', atMs, untilMs, refuses: random.chance(0.3), ways }];
  },
  clientCut: (random, scope, atMs, untilMs) => {
    const ways = random.chance(0.5)
      ? leaderWithoutClients(random, scope)
      : waysBetween([random.pick(scope.nodes)], scope.clients);
    return [{ kind: 'cut', atMs, untilMs, ways }];
  },
  flapping: (random, scope, atMs, untilMs) => {
    const shape = random.pick([isolate(random.pick(scope.nodes), scope.nodes), oneWay(random, scope.nodes)]);
    // Near the election timeout: a leader is lost as soon as it is found.
    const periodMs = random.pick([200, 500, 900, 2_000]);
    const shutMs = Math.ceil(periodMs * random.pick([0.3, 0.5, 0.8]));
    return [{ kind: 'flap', atMs, untilMs, ways: shape, periodMs, shutMs }];
  },
  clog: (random, scope, atMs, untilMs) => [
    { kind: 'clog', atMs, untilMs: Math.min(untilMs, atMs + 5_000), ways: someWays(random, scope) },
  ],
  halfOpen: (random, scope, atMs, untilMs) => [
    { kind: 'halfOpen', atMs, untilMs, ways: someWays(random, scope) },
  ],
  resets: (random, scope, atMs) => [{ kind: 'reset', atMs, ways: someWays(random, scope) }],
  throttle: (random, scope, atMs, untilMs) => {
    const bytesPerSecond = random.pick([3_000, 20_000, 200_000]);
    const bufferBytesMax = bytesPerSecond * random.pick([0.5, 2]);
    return [
      { kind: 'throttle', atMs, untilMs, ways: someWays(random, scope), bytesPerSecond, bufferBytesMax },
    ];
  },
  storm: (random, { peerMode }, atMs, untilMs) => [storm(random, peerMode, atMs, untilMs)],
  lossyWays: (random, scope, atMs, untilMs) => [
    { ...storm(random, scope.peerMode, atMs, untilMs), ways: someWays(random, scope) },
  ],
  delay: (random, scope, atMs, untilMs) => [
    {
      kind: 'conditions',
      atMs,
      untilMs,
      loss: 0,
      duplication: 0,
      reordering: 0,
      latencyFactor: random.pick([20, 100]),
      ...(random.chance(0.5) ? { ways: someWays(random, scope) } : {}),
    },
  ],
};

const processFamilies: Readonly<Record<string, Family>> = {
  kill: (random, scope, atMs, endMs) => [crash(random, scope, atMs, endMs, 'kill', 0)],
  power: (random, scope, atMs, endMs) => [crash(random, scope, atMs, endMs, 'power', 0)],
  midway: (random, scope, atMs, endMs) => {
    const machine = random.chance(0.7) ? 'power' : 'kill';
    return [crash(random, scope, atMs, endMs, machine, random.integer(1, 40))];
  },
  crashLoop: (random, scope, atMs, endMs) => {
    const machine = random.chance(0.5) ? 'power' : 'kill';
    const first = crash(random, scope, atMs, endMs, machine, random.integer(0, 20));
    const nextStarts = Array.from({ length: random.integer(1, 4) }, () => random.integer(1, 25));
    return [{ ...first, downMs: Math.min(first.downMs, 300), nextStarts }];
  },
  takeover: (random, scope, atMs, endMs) => {
    const fault = crash(random, scope, atMs, endMs, random.chance(0.7) ? 'power' : 'kill', 0);
    const during = random.chance(0.7) ? 'install' : 'recovery';
    return [{ ...fault, during, afterEffects: random.integer(1, 30), downMs: random.integer(50, 1_000) }];
  },
  restart: (random, { nodes }, atMs, endMs) => [
    { kind: 'restart', atMs, node: target(random, nodes), downMs: Math.max(50, endMs - atMs) },
  ],
  pause: (random, { nodes }, atMs, endMs) => [
    {
      kind: 'pause',
      atMs,
      node: target(random, nodes),
      forMs: Math.min(endMs - atMs, random.pick([100, 400, 1_000, 5_000])),
      resume: random.chance(0.5) ? 'timersFirst' : 'messagesFirst',
    },
  ],
  clientPause: (random, { clients, safetyMs }, atMs, endMs) => {
    // In long runs beyond the life of a session, which ends meanwhile.
    const forMs = safetyMs > 150_000 && random.chance(0.5) ? 75_000 : endMs - atMs;
    const client = random.integer(0, clients.length - 1);
    return [{ kind: 'pauseClient', atMs, client, forMs: Math.min(forMs, safetyMs - atMs) }];
  },
  slowProcessor: (random, { nodes }, atMs, untilMs) => [
    {
      kind: 'slowProcessor',
      atMs,
      untilMs,
      node: target(random, nodes),
      eventCostUs: random.pick([500, 2_000, 10_000]),
    },
  ],
  wallJump: (random, { nodes }, atMs) => [
    { kind: 'wallJump', atMs, node: target(random, nodes), byMs: random.integer(-3_600_000, 3_600_000) },
  ],
  freezeClock: (random, { nodes }, atMs, endMs) => [
    {
      kind: 'freezeClock',
      atMs,
      node: target(random, nodes),
      forMs: Math.min(endMs - atMs, random.pick([200, 1_000, 5_000])),
    },
  ],
};

const diskFamilies: Readonly<Record<string, Family>> = {
  slowDisk: (random, { nodes }, atMs, untilMs) => [
    { kind: 'slowDisk', atMs, untilMs, node: target(random, nodes), factor: random.pick([10, 100, 500]) },
  ],
  diskSpikes: (random, { nodes }, atMs, untilMs) => [
    {
      kind: 'diskSpikes',
      atMs,
      untilMs,
      node: target(random, nodes),
      chance: random.pick([0.02, 0.2]),
      spikeMs: random.pick([50, 300, 1_500]),
    },
  ],
  stuckDisk: (random, { nodes }, atMs, endMs) => [
    {
      kind: 'stuckDisk',
      atMs,
      node: target(random, nodes),
      forMs: Math.min(endMs - atMs, random.pick([300, 2_000, 8_000])),
    },
  ],
  failDisk: (random, { nodes }, atMs) => [
    {
      kind: 'failDisk',
      atMs,
      node: target(random, nodes),
      operation: random.pick(['write', 'shortWrite', 'sync', 'read', 'batch']),
    },
  ],
  fullDisk: (random, { nodes }, atMs, untilMs) => [
    {
      kind: 'fullDisk',
      atMs,
      untilMs,
      node: target(random, nodes),
      freeBytes: random.pick([0, 777, 100_000, 400_000]),
    },
  ],
};

/** Families whose faults are damage: drawn once for a run, since the atlas bounds whom they hit. */
const damageFamilies: Readonly<Record<string, readonly DamageKind[]>> = {
  rot: ['bitFlip', 'misdirected'],
  storeRot: ['storeOpen', 'storeValue'],
  wipe: ['wipe'],
};

const lastingFamilies = { ...networkFamilies, ...processFamilies, ...diskFamilies };

/** All families by name; those of damage that is switched off are not among them. */
export const familyNames: readonly string[] = [
  ...Object.keys(lastingFamilies),
  ...Object.keys(damageFamilies).filter((name) => kindsOf(name).length > 0),
  'birth',
  'rollback',
];

/** Draws the families of a run and their faults, by ascending time. */
export function planFaults(random: Prng, scope: FaultScope): { families: string[]; faults: Fault[] } {
  const chosen = [...(scope.families ?? drawFamilies(random))];
  const faults: Fault[] = [];
  // In some runs faults begin at once and meet the forming of the cluster.
  const beginMs = random.chance(0.3) ? 0 : 1_200;
  for (const name of chosen) {
    const family = lastingFamilies[name];
    if (family === undefined) continue;
    const meanGapMs = random.pick([1_500, 5_000, 15_000]) * (chosen.length > 6 ? 4 : 1);
    let atMs = beginMs;
    for (;;) {
      atMs += 50 + Math.floor(-Math.log(1 - random.fraction()) * meanGapMs);
      if (atMs >= scope.safetyMs - 500) break;
      const lengthMs = 50 + Math.floor(-Math.log(1 - random.fraction()) * random.pick([400, 2_000, 6_000]));
      const endMs = Math.min(scope.safetyMs, atMs + lengthMs);
      const drawn = family(random, scope, atMs, endMs).filter(hasEffect);
      faults.push(...drawn);
      // Each needs a leader to begin with.
      if (name === 'succession') atMs = Math.max(atMs, ...drawn.map((fault) => fault.atMs + 2_000));
    }
    if (name === 'power' && random.chance(0.5)) faults.push(...blackout(random, scope));
    if (name === 'kill' && random.chance(0.7)) faults.push(...killsThenPower(random, scope));
  }
  if (chosen.includes('birth')) faults.push(...births(random, scope));
  faults.push(...damages(random, scope, chosen));
  return { families: chosen, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

function drawFamilies(random: Prng): string[] {
  const lot = random.fraction();
  const remaining = [...familyNames];
  // None: what a healthy cluster must not do either; all: what only many together bring about.
  const count = lot < 0.04 ? 0 : lot < 0.15 ? 1 : lot < 0.22 ? remaining.length : random.integer(2, 5);
  const drawn: string[] = [];
  while (drawn.length < count) drawn.push(...remaining.splice(random.integer(0, remaining.length - 1), 1));
  return drawn;
}

/** Nobody has anything to lose before. */
const damageFromMs = 2_500;

/** What hits a minority only. One family of damage in a run: their outcomes do not go together. */
function damages(random: Prng, scope: FaultScope, chosen: readonly string[]): Fault[] {
  const { safetyMs, nodes } = scope;
  const victims = drawVictims(random, nodes.length);
  const names = chosen.filter((name) => name === 'rollback' || Object.hasOwn(damageFamilies, name));
  const name = names[0];
  const [first] = victims;
  if (name === undefined || first === undefined || safetyMs <= damageFromMs) return [];
  const moment = (): number => random.integer(damageFromMs, Math.max(damageFromMs, safetyMs - 3_000));
  if (name === 'rollback') {
    const atMs = moment();
    const backAtMs = Math.min(safetyMs, atMs + random.integer(500, 8_000));
    return [{ kind: 'rollback', atMs, node: first, backAtMs, downMs: random.integer(50, 500) }];
  }
  return victims.flatMap((node) =>
    Array.from({ length: name === 'wipe' ? 1 : random.integer(1, 3) }, (): Fault[] => {
      const damage = random.pick(kindsOf(name));
      const atMs = moment();
      const downMs = random.integer(100, 2_000);
      // The newest is what the store has not yet written.
      const position = random.chance(0.6) ? 1 - random.fraction() / 30 : random.fraction();
      const fault: Fault = { kind: 'damage', atMs, node, downMs, damage, position };
      const again = { ...crash(random, scope, atMs, atMs + 400, 'power', random.integer(1, 25)), node };
      return random.chance(0.3) ? [{ ...again, during: 'recovery' }, fault] : [fault];
    }).flat(),
  );
}

function kindsOf(family: string): DamageKind[] {
  return (damageFamilies[family] ?? []).filter((kind) => damageSwitchedOn.includes(kind));
}

/** A cut of no way at all, as shapes of small clusters may be, is none. */
function hasEffect(fault: Fault): boolean {
  return !('ways' in fault) || fault.ways === undefined || fault.ways.length > 0;
}

function storm(
  random: Prng,
  peerMode: LinkMode,
  atMs: number,
  untilMs: number,
): Extract<Fault, { readonly kind: 'conditions' }> {
  return {
    kind: 'conditions',
    atMs,
    untilMs,
    loss: peerMode === 'datagram' ? random.pick([0.02, 0.1, 0.3]) : random.pick([0.0005, 0.005, 0.02]),
    duplication: random.pick([0, 0.1, 0.5]),
    reordering: random.pick([0, 0.1, 0.5]),
    latencyFactor: random.pick([1, 5]),
  };
}
