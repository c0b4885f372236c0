// The plan of a chaos run: which fault begins when and lasts how long, drawn from a seed alone, so that the
// same seed gives the same plan. Who is hit is named by role where the role is the point ("the leader"), and
// otherwise drawn from the fault's own dice when it begins, because who leads is not known before.

import { Prng } from '../base/prng.js';

/** `role`: whoever leads, one who does not, or anyone. More than one: what the cluster must survive too. */
export type Scope = 'leader' | 'follower' | 'any' | 'majority' | 'all';

interface FaultKind {
  /** In words, for people who have not seen it before. */
  readonly words: string;
  readonly group: 'process' | 'network' | 'clients' | 'disk';
  /** How often, against the others. */
  readonly weight: number;
  /** Shortest and longest duration. */
  readonly ms: readonly [number, number];
  readonly scopes: readonly Scope[];
  /** `all`: whatever the scope, it is about every node. */
  readonly victims: 'scope' | 'all';
  /** `process`: no other fault may stop, pause or start the processes of its nodes meanwhile. */
  readonly holds: 'process' | 'nothing';
  /** It takes away what was durable: of a minority at most. */
  readonly damages: boolean;
  /** It cannot be done to processes that belong to someone else: more than the clients' links. */
  readonly needsOwnNodes: boolean;
}

/**
 * Every fault, by the name that `--faults` takes. One that is added does not compile before the injector
 * knows how to carry it out.
 */
export const faultKinds = {
  kill: {
    words: 'SIGKILL, started again later',
    group: 'process',
    weight: 5,
    ms: [200, 4_000],
    scopes: ['leader', 'leader', 'follower', 'any', 'majority', 'all'],
    victims: 'scope',
    holds: 'process',
    damages: false,
    needsOwnNodes: true,
  },
  restart: {
    words: 'SIGTERM, started again',
    group: 'process',
    weight: 3,
    ms: [100, 2_000],
    scopes: ['leader', 'leader', 'follower', 'any'],
    victims: 'scope',
    holds: 'process',
    damages: false,
    needsOwnNodes: true,
  },
  pause: {
    words: 'SIGSTOP, SIGCONT later',
    group: 'process',
    weight: 4,
    ms: [200, 6_000],
    scopes: ['leader', 'leader', 'follower', 'any', 'majority', 'all'],
    victims: 'scope',
    holds: 'process',
    damages: false,
    needsOwnNodes: true,
  },
  'one-way': {
    words: 'one node is heard and hears nothing, or the reverse',
    group: 'network',
    weight: 3,
    ms: [1_000, 6_000],
    scopes: ['leader', 'leader', 'any'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: true,
  },
  isolate: {
    words: 'one node is cut off from all others, not from clients',
    group: 'network',
    weight: 3,
    ms: [1_000, 8_000],
    scopes: ['leader', 'leader', 'leader', 'any'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: true,
  },
  split: {
    words: 'two groups that do not reach each other, clients on either side',
    group: 'network',
    weight: 3,
    ms: [1_000, 8_000],
    scopes: ['any'],
    victims: 'all',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: true,
  },
  ring: {
    words: 'each node reaches only its two neighbours, or with three nodes only one way round',
    group: 'network',
    weight: 2,
    ms: [1_000, 6_000],
    scopes: ['any'],
    victims: 'all',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: true,
  },
  flapping: {
    words: 'one node is cut off and back, at the pace of elections',
    group: 'network',
    weight: 2,
    ms: [2_000, 6_000],
    scopes: ['leader', 'any'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: true,
  },
  slow: {
    words: 'links with delay, or with little bandwidth',
    group: 'network',
    weight: 2,
    ms: [2_000, 6_000],
    scopes: ['any', 'all'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: false,
  },
  lossy: {
    words: 'links that lose and send again, so that all behind waits',
    group: 'network',
    weight: 2,
    ms: [2_000, 6_000],
    scopes: ['any', 'all'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: false,
  },
  drop: {
    words: 'what one node sends is lost, and its connections with it',
    group: 'network',
    weight: 2,
    ms: [500, 4_000],
    scopes: ['leader', 'any'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: false,
  },
  reset: {
    words: 'all connections of one node are reset',
    group: 'network',
    weight: 2,
    ms: [100, 100],
    scopes: ['leader', 'any', 'all'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: false,
  },
  clients: {
    words: 'clients cannot reach one node, or nothing comes back from it, or they are refused',
    group: 'clients',
    weight: 3,
    ms: [1_000, 6_000],
    scopes: ['leader', 'leader', 'any', 'all'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: false,
  },
  'torn-tail': {
    words: 'SIGKILL, and what the log had not synced is lost, partly lost, or garbage',
    group: 'disk',
    weight: 4,
    ms: [200, 3_000],
    scopes: ['leader', 'leader', 'follower', 'any', 'majority', 'all'],
    victims: 'scope',
    holds: 'process',
    damages: false,
    needsOwnNodes: true,
  },
  damage: {
    words: 'SIGKILL, and synced bytes of the log are flipped or cut off, on a minority at most',
    group: 'disk',
    weight: 2,
    ms: [200, 2_000],
    scopes: ['leader', 'follower', 'any'],
    victims: 'scope',
    holds: 'process',
    damages: true,
    needsOwnNodes: true,
  },
  rot: {
    words: 'SIGKILL, and a bit of a table of the store is flipped, on a minority at most',
    group: 'disk',
    weight: 1,
    ms: [200, 2_000],
    scopes: ['leader', 'follower', 'any'],
    victims: 'scope',
    holds: 'process',
    damages: true,
    needsOwnNodes: true,
  },
  'disk-full': {
    words: 'the log and new files of a node get no more space',
    group: 'disk',
    weight: 1,
    ms: [2_000, 6_000],
    scopes: ['leader', 'any', 'all'],
    victims: 'scope',
    holds: 'nothing',
    damages: false,
    needsOwnNodes: true,
  },
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof faultKinds;

export const faultNames = Object.keys(faultKinds) as FaultName[];

/**
 * Without `rot`: LevelDB checks what it reads, and ends the whole process over a table that contradicts
 * itself, at every start until somebody removes the store. Wrong answers there are none, but no recovery
 * either.
 */
export const defaultFaults: readonly FaultName[] = faultNames.filter((name) => name !== 'rot');

/** What can be done to a cluster whose processes belong to someone else: only the clients' links. */
export const clientSideFaults: readonly FaultName[] = faultNames.filter(
  (name) => !faultKinds[name].needsOwnNodes,
);

export interface PlannedFault {
  /** From 1, in the order of `atMs`. */
  readonly id: number;
  readonly kind: FaultName;
  /** From the start of the load. */
  readonly atMs: number;
  readonly durationMs: number;
  readonly scope: Scope;
  /** Seed of what is decided only when the fault begins. */
  readonly dice: number;
}

export interface ChaosPlan {
  readonly version: 1;
  readonly seed: number;
  readonly nodes: number;
  readonly durationMs: number;
  readonly faults: readonly PlannedFault[];
}

export interface PlanOptions {
  /** 0 .. 2^32-1. */
  readonly seed: number;
  readonly nodes: number;
  /** Of the load, without start and healing. */
  readonly durationMs: number;
  /** Not empty. */
  readonly faults: readonly FaultName[];
}

/** Before the first fault, and between the last one's end and the end of the load. */
const calmMs = 1_500;
const gapMs = [500, 4_000] as const;
/** After so many faults the cluster gets a rest in which all can catch up. */
const faultsPerSpell = 8;
const restMs = 5_000;

export function makePlan({ seed, nodes, durationMs, faults: names }: PlanOptions): ChaosPlan {
  const prng = new Prng(seed);
  const faults: PlannedFault[] = [];
  const deck = names.flatMap((name) => Array.from({ length: faultKinds[name].weight }, () => name));
  const endMs = durationMs - calmMs;
  let atMs: number = calmMs;
  while (deck.length > 0) {
    const kind = prng.pick(deck);
    const { ms, scopes } = faultKinds[kind];
    const fault = {
      id: faults.length + 1,
      kind,
      atMs,
      durationMs: prng.integer(ms[0], ms[1]),
      scope: prng.pick<Scope>(scopes),
      dice: prng.uint32(),
    };
    if (atMs >= endMs) break;
    faults.push({ ...fault, durationMs: Math.min(fault.durationMs, endMs - atMs) });
    atMs += prng.integer(gapMs[0], gapMs[1]);
    if (faults.length % faultsPerSpell === 0) atMs += restMs;
  }
  return { version: 1, seed, nodes, durationMs, faults };
}
