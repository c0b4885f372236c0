// Faults whose times belong together: a thing that goes wrong while another one does, which faults drawn one
// by one meet too seldom. Each is the story of a bug that some system had. Pure.

import type { Prng } from '../../base/prng.js';
import { theLeader, type Fault } from './faults.js';
import { leaderAlone } from './topologies.js';
import type { LinkMode } from '../world/network/connection.js';
import type { UnsyncedFate } from '../world/disk/file.js';
import type { EntryFate } from '../world/disk/folders.js';

export interface FaultScope {
  readonly safetyMs: number;
  readonly peerMode: LinkMode;
  /** Names of hosts. */
  readonly nodes: readonly string[];
  readonly clients: readonly string[];
  /** Only these families; drawn when absent. */
  readonly families?: readonly string[];
}

const unsyncedFates: readonly UnsyncedFate[] = ['none', 'prefix', 'subset', 'subset', 'all'];
const entryFates: readonly EntryFate[] = ['none', 'prefix', 'subset', 'all'];

/**
 * One leader after the other is cut off from the others as soon as it has begun, while the one before comes
 * back with what it wrote alone; now and then its disk still has all of that under way.
 */
export function succession(random: Prng, scope: FaultScope, atMs: number): Fault[] {
  const faults: Fault[] = [];
  let beginMs = atMs;
  for (let left = random.integer(2, 4); left > 0; left--) {
    const nextMs = beginMs + random.pick([500, 800, 1_200]);
    const untilMs = Math.min(scope.safetyMs, nextMs + random.pick([0, 0, 30, 400]));
    if (beginMs >= scope.safetyMs - 500) break;
    const refuses = random.chance(0.7);
    faults.push({ kind: 'cut', atMs: beginMs, untilMs, refuses, ways: leaderAlone(random, scope) });
    if (random.chance(0.4)) {
      const forMs = untilMs - beginMs + random.integer(0, 200);
      faults.push({ kind: 'stuckDisk', atMs: beginMs, node: theLeader.position, forMs });
    }
    beginMs = nextMs;
  }
  return faults;
}

/** While it becomes a member, and in its next starts, every machine loses power: what was durable by then? */
export function births(random: Prng, scope: FaultScope): Fault[] {
  return scope.nodes.map((_, node) => ({
    ...crash(
      random,
      scope,
      random.integer(0, Math.min(600, scope.safetyMs - 1)),
      0,
      'power',
      random.integer(1, 40),
    ),
    node,
    downMs: random.integer(50, 300),
    nextStarts: Array.from({ length: random.integer(1, 4) }, () => random.integer(1, 40)),
  }));
}

/** Every machine loses power at the same moment. */
export function blackout(random: Prng, scope: FaultScope): Fault[] {
  const atMs = random.integer(3_000, Math.max(3_000, scope.safetyMs - 3_000));
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

/**
 * A node is killed, often just before a sync, starts on what the page cache kept, and loses power before it
 * has written much.
 */
export function killsThenPower(random: Prng, { safetyMs, nodes }: FaultScope): Fault[] {
  return Array.from({ length: Math.ceil(safetyMs / 4_000) }, () => ({
    kind: 'crash',
    atMs: random.integer(2_000, Math.max(2_000, safetyMs - 3_000)),
    node: random.integer(0, nodes.length - 1),
    // So soon that the others find it again before it has synced for want of anything else to do.
    downMs: random.pick([1, 5, 20]),
    machine: 'kill',
    unsynced: 'none',
    entries: 'none',
    afterEffects: random.chance(0.3) ? 0 : random.integer(1, 10),
    nextStarts: [random.integer(3, 18)],
    thenPower: true,
  }));
}

/** All but one sleep, and what they hear first is how that one asks for their votes: it is likely to lead. */
export function crown(nodes: number, node: number, atMs: number, forMs: number): Fault[] {
  return Array.from({ length: nodes }, (_, other) => other)
    .filter((other) => other !== node)
    .map((other) => ({ kind: 'pause', atMs, node: other, forMs, resume: 'messagesFirst' }));
}

export function crash(
  random: Prng,
  { nodes }: FaultScope,
  atMs: number,
  endMs: number,
  machine: 'kill' | 'power',
  afterEffects: number,
): Extract<Fault, { readonly kind: 'crash' }> {
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
export function target(random: Prng, nodes: readonly string[]): number {
  return random.chance(0.3) ? theLeader.position : random.integer(0, nodes.length - 1);
}
