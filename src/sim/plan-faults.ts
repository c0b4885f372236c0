// What goes wrong in a run. Each seed picks two to five families of faults out of all ("swarm": leaving
// some out finds more than always using all), each with its own intensity. All faults end by the end of the
// safety phase; any number of nodes may be down at once, since what must hold without a majority is that
// nothing is lost. Source: research §4.9.

import type { Prng } from '../base/prng.js';
import { theFollowers, theLeader, type Fault, type Way } from './plan.js';
import type { LinkMode } from './virtual-connection.js';
import type { UnsyncedFate } from './virtual-file.js';
import type { EntryFate } from './virtual-folders.js';

export interface FaultScope {
  readonly safetyMs: number;
  readonly peerMode: LinkMode;
  /** Names of hosts. */
  readonly nodes: readonly string[];
  readonly clients: readonly string[];
  /** Only these families; drawn when absent. */
  readonly families?: readonly string[];
}

/** Draws one fault that begins at `atMs` and is over by `endMs`. */
type Family = (random: Prng, scope: FaultScope, atMs: number, endMs: number) => Fault;

const families: Readonly<Record<string, Family>> = {
  partition: (random, scope, atMs, untilMs) => ({
    kind: 'cut',
    atMs,
    untilMs,
    ways: split(random, [...scope.nodes, ...(random.chance(0.5) ? scope.clients : [])]),
  }),
  isolation: (random, { nodes }, atMs, untilMs) => {
    const lonely = random.pick(nodes);
    const others = nodes.filter((name) => name !== lonely);
    return { kind: 'cut', atMs, untilMs, ways: others.flatMap((name) => bothWays(lonely, name)) };
  },
  deposition: (random, { nodes, clients }, atMs, untilMs) => {
    // The leader alone on one side; each client on its side, on the other one, or where it reaches both.
    const sides = clients.map((name) => ({ name, side: random.pick(['leader', 'followers', 'both']) }));
    const outward = random.chance(0.2);
    return {
      kind: 'cut',
      atMs,
      untilMs,
      refuses: random.chance(0.5),
      ways: [
        ...nodes.flatMap((name): Way[] =>
          outward ? [[theLeader.name, name]] : bothWays(theLeader.name, name),
        ),
        ...sides.flatMap(({ name, side }) => (side === 'followers' ? bothWays(theLeader.name, name) : [])),
        ...sides.flatMap(({ name, side }) => (side === 'leader' ? bothWays(theFollowers, name) : [])),
      ],
    };
  },
  oneWay: (random, { nodes }, atMs, untilMs) => {
    const node = random.pick(nodes);
    const others = nodes.filter((name) => name !== node && random.chance(0.8));
    const outward = random.chance(0.5);
    return {
      kind: 'cut',
      atMs,
      untilMs,
      ways: others.map((name) => (outward ? [node, name] : [name, node])),
    };
  },
  patchwork: (random, { nodes }, atMs, untilMs) => ({
    kind: 'cut',
    atMs,
    untilMs,
    ways: nodes.flatMap((a) => nodes.filter((b) => a !== b && random.chance(0.25)).map((b): Way => [a, b])),
  }),
  clientCut: (random, { nodes, clients }, atMs, untilMs) => {
    const node = random.pick(nodes);
    return { kind: 'cut', atMs, untilMs, ways: clients.flatMap((name) => bothWays(name, node)) };
  },
  storm: (random, { peerMode }, atMs, untilMs) => ({
    kind: 'conditions',
    atMs,
    untilMs,
    loss: peerMode === 'datagram' ? random.pick([0.02, 0.1, 0.3]) : random.pick([0.0005, 0.005, 0.02]),
    duplication: random.pick([0, 0.1, 0.5]),
    reordering: random.pick([0, 0.1, 0.5]),
    latencyFactor: random.pick([1, 5]),
  }),
  delay: (random, _scope, atMs, untilMs) => ({
    kind: 'conditions',
    atMs,
    untilMs,
    loss: 0,
    duplication: 0,
    reordering: 0,
    latencyFactor: random.pick([20, 100]),
  }),
  kill: (random, scope, atMs, endMs) => crash(random, scope, atMs, endMs, 'kill', 0),
  power: (random, scope, atMs, endMs) => crash(random, scope, atMs, endMs, 'power', 0),
  midway: (random, scope, atMs, endMs) =>
    crash(random, scope, atMs, endMs, random.chance(0.7) ? 'power' : 'kill', random.integer(1, 40)),
  restart: (random, { nodes }, atMs, endMs) => ({
    kind: 'restart',
    atMs,
    node: target(random, nodes),
    downMs: Math.max(50, endMs - atMs),
  }),
  pause: (random, { nodes }, atMs, endMs) => ({
    kind: 'pause',
    atMs,
    node: target(random, nodes),
    forMs: Math.min(endMs - atMs, random.pick([100, 400, 1_000, 5_000])),
    resume: random.chance(0.5) ? 'timersFirst' : 'messagesFirst',
  }),
  slowDisk: (random, { nodes }, atMs, untilMs) => ({
    kind: 'slowDisk',
    atMs,
    untilMs,
    node: target(random, nodes),
    factor: random.pick([10, 100, 500]),
  }),
  stuckDisk: (random, { nodes }, atMs, endMs) => ({
    kind: 'stuckDisk',
    atMs,
    node: target(random, nodes),
    forMs: Math.min(endMs - atMs, random.pick([300, 2_000, 8_000])),
  }),
  failDisk: (random, { nodes }, atMs) => ({
    kind: 'failDisk',
    atMs,
    node: target(random, nodes),
    operation: random.pick(['write', 'sync', 'batch']),
  }),
  fullDisk: (random, { nodes }, atMs, untilMs) => ({
    kind: 'fullDisk',
    atMs,
    untilMs,
    node: target(random, nodes),
    freeBytes: random.pick([0, 100_000, 400_000]),
  }),
  wallJump: (random, { nodes }, atMs) => ({
    kind: 'wallJump',
    atMs,
    node: target(random, nodes),
    byMs: random.integer(-3_600_000, 3_600_000),
  }),
};

/** All families by name. */
export const familyNames: readonly string[] = Object.keys(families);

const unsyncedFates: readonly UnsyncedFate[] = ['none', 'prefix', 'subset', 'subset', 'all'];
const entryFates: readonly EntryFate[] = ['none', 'prefix', 'subset', 'all'];

/** Draws the families of a run and their faults, by ascending time. */
export function planFaults(random: Prng, scope: FaultScope): { families: string[]; faults: Fault[] } {
  const remaining = [...familyNames];
  const drawn: string[] = [];
  const count = random.integer(2, 5);
  while (drawn.length < count) drawn.push(...remaining.splice(random.integer(0, remaining.length - 1), 1));
  const chosen = [...(scope.families ?? drawn)];
  const faults: Fault[] = [];
  // In some runs faults begin at once and meet the forming of the cluster.
  const beginMs = random.chance(0.3) ? 0 : 3_000;
  for (const name of chosen) {
    const meanGapMs = random.pick([1_500, 5_000, 15_000]);
    let atMs = beginMs;
    for (;;) {
      atMs += 50 + Math.floor(-Math.log(1 - random.fraction()) * meanGapMs);
      if (atMs >= scope.safetyMs - 500) break;
      const lengthMs = 50 + Math.floor(-Math.log(1 - random.fraction()) * random.pick([400, 2_000, 6_000]));
      const endMs = Math.min(scope.safetyMs, atMs + lengthMs);
      const fault = families[name]?.(random, scope, atMs, endMs);
      if (fault !== undefined) faults.push(fault);
    }
    if (name === 'power' && random.chance(0.5)) faults.push(...blackout(random, scope));
    if (name === 'kill' && random.chance(0.5)) faults.push(...killsThenPower(random, scope));
  }
  return { families: chosen, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

/** Every machine loses power at the same moment. */
function blackout(random: Prng, scope: FaultScope): Fault[] {
  const atMs = random.integer(5_000, Math.max(5_000, scope.safetyMs - 5_000));
  return scope.nodes.map((_, node) => ({
    kind: 'crash',
    atMs,
    node,
    downMs: random.integer(200, 3_000),
    machine: 'power',
    unsynced: random.pick(unsyncedFates),
    entries: random.pick(entryFates),
    afterEffects: 0,
  }));
}

/** A node is killed, starts on what the page cache kept, and loses power before it has written much. */
function killsThenPower(random: Prng, { safetyMs, nodes }: FaultScope): Fault[] {
  return Array.from({ length: 10 }, () => {
    const atMs = random.integer(3_000, Math.max(3_000, safetyMs - 3_000));
    const fault = { kind: 'crash', node: random.integer(0, nodes.length - 1), afterEffects: 0 } as const;
    const secondMs = atMs + 20 + random.integer(1, 150);
    return [
      { ...fault, atMs, downMs: 20, machine: 'kill', unsynced: 'none', entries: 'none' } as const,
      { ...fault, atMs: secondMs, downMs: 500, machine: 'power', unsynced: 'none', entries: 'none' } as const,
    ];
  }).flat();
}

function crash(
  random: Prng,
  { nodes }: FaultScope,
  atMs: number,
  endMs: number,
  machine: 'kill' | 'power',
  afterEffects: number,
): Fault {
  return {
    kind: 'crash',
    atMs,
    node: target(random, nodes),
    downMs: Math.max(50, endMs - atMs),
    machine,
    unsynced: random.pick(unsyncedFates),
    entries: random.pick(entryFates),
    afterEffects,
  };
}

/** The position of any node, or of the leader. */
function target(random: Prng, nodes: readonly string[]): number {
  return random.chance(0.3) ? theLeader.position : random.integer(0, nodes.length - 1);
}

/** Two sides, drawn at random, that cannot reach each other. */
function split(random: Prng, hosts: readonly string[]): Way[] {
  const left = hosts.filter(() => random.chance(0.5));
  const right = hosts.filter((name) => !left.includes(name));
  return left.flatMap((a) => right.flatMap((b) => bothWays(a, b)));
}

function bothWays(a: string, b: string): Way[] {
  return [
    [a, b],
    [b, a],
  ];
}
