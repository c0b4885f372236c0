// Shapes of broken networks as lists of directed ways that are cut. Any list is possible; these are the ones
// that have a name because some system once did not survive them. Pure.

import { assertNever } from '../../base/assert.js';
import type { Prng } from '../../base/prng.js';
import { theFollowers, theLeader, type Way } from './faults.js';

/** Whom a shape is drawn over, by name. */
export interface Hosts {
  readonly nodes: readonly string[];
  readonly clients: readonly string[];
}

/** Two sides, drawn at random, that cannot reach each other. */
export function split(random: Prng, hosts: readonly string[]): Way[] {
  const left = hosts.filter(() => random.chance(0.5));
  const right = hosts.filter((name) => !left.includes(name));
  return left.flatMap((a) => right.flatMap((b) => bothWays(a, b)));
}

/** As `split`, with a size of the smaller side that is as likely as any other. */
export function splitBySize(random: Prng, hosts: readonly string[]): Way[] {
  const shuffled = shuffle(random, hosts);
  const size = random.integer(1, Math.max(1, Math.floor(hosts.length / 2)));
  return shuffled.slice(0, size).flatMap((a) => shuffled.slice(size).flatMap((b) => bothWays(a, b)));
}

/** One node without the others; its clients still reach it. */
export function isolate(lonely: string, nodes: readonly string[]): Way[] {
  return nodes.filter((name) => name !== lonely).flatMap((name) => bothWays(lonely, name));
}

/** One node that hears nothing from some others, or is not heard by them. */
export function oneWay(random: Prng, nodes: readonly string[]): Way[] {
  const node = random.pick(nodes);
  const others = nodes.filter((name) => name !== node && random.chance(0.8));
  const outward = random.chance(0.5);
  return others.map((name) => (outward ? [node, name] : [name, node]));
}

/** Each way by itself, cut or not. */
export function patchwork(random: Prng, nodes: readonly string[]): Way[] {
  return nodes.flatMap((a) => nodes.filter((b) => a !== b && random.chance(0.25)).map((b): Way => [a, b]));
}

/**
 * The leader alone on one side, or, of five and more, with one of its followers; each client on its side, on
 * the other one, or where it reaches both.
 */
export function leaderAlone(random: Prng, hosts: Hosts): Way[] {
  const { nodes, clients } = hosts;
  if (nodes.length > 4 && random.chance(0.7)) return leaderWithOne(random, hosts);
  const sides = clients.map((name) => ({ name, side: random.pick(['leader', 'followers', 'both']) }));
  const outward = random.chance(0.2);
  return [
    ...nodes.flatMap((name): Way[] => (outward ? [[theLeader.name, name]] : bothWays(theLeader.name, name))),
    ...sides.flatMap(({ name, side }) => (side === 'followers' ? bothWays(theLeader.name, name) : [])),
    ...sides.flatMap(({ name, side }) => (side === 'leader' ? bothWays(theFollowers, name) : [])),
  ];
}

/** The leader and a node, which may be the leader itself, without the others. */
function leaderWithOne(random: Prng, { nodes, clients }: Hosts): Way[] {
  const companion = random.pick(nodes);
  const others = nodes.filter((name) => name !== companion);
  const cutOff = clients.filter(() => random.chance(0.3));
  return [
    ...waysBetween([theLeader.name], others),
    ...bothWays(companion, theFollowers),
    ...waysBetween(cutOff, [theLeader.name, companion]),
  ];
}

/** The leader without its clients, and with all of its followers. */
export function leaderWithoutClients(random: Prng, { clients }: Hosts): Way[] {
  const cutOff = clients.filter(() => random.chance(0.7));
  return cutOff.flatMap((name): Way[] => {
    if (random.chance(0.7)) return bothWays(theLeader.name, name);
    return random.chance(0.5) ? [[theLeader.name, name]] : [[name, theLeader.name]];
  });
}

export type Topology = 'star' | 'ring' | 'chain' | 'bridge';

export const topologies: readonly Topology[] = ['star', 'ring', 'chain', 'bridge'];

/**
 * `star`: all reach the one in the middle only; `ring`, `chain`: each reaches its neighbours only; `bridge`:
 * two groups that share one node. Who is where is drawn.
 */
export function topologyWays(random: Prng, topology: Topology, nodes: readonly string[]): Way[] {
  const order = shuffle(random, nodes);
  const count = order.length;
  const middle = Math.floor(count / 2);
  const isOpen = (a: number, b: number): boolean => {
    const distance = Math.abs(a - b);
    switch (topology) {
      case 'star':
        return a === 0 || b === 0;
      case 'chain':
        return distance === 1;
      case 'ring':
        return distance === 1 || distance === count - 1;
      case 'bridge':
        return a === middle || b === middle || a < middle === b < middle;
      default:
        return assertNever(topology);
    }
  };
  return order.flatMap((from, a) =>
    order.flatMap((to, b): Way[] => (a === b || isOpen(a, b) ? [] : [[from, to]])),
  );
}

/** Every way between two lists of hosts, in both directions. */
export function waysBetween(left: readonly string[], right: readonly string[]): Way[] {
  return left.flatMap((a) => right.filter((b) => b !== a).flatMap((b) => bothWays(a, b)));
}

/** Some ways between nodes, at least one of those that there are; also to clients when there is one node. */
export function someWays(random: Prng, { nodes, clients }: Hosts): Way[] {
  const all = [
    ...nodes.flatMap((a) => nodes.filter((b) => a !== b).map((b): Way => [a, b])),
    ...(random.chance(0.3) || nodes.length === 1 ? waysBetween(nodes, clients) : []),
  ];
  const share = random.pick([0.1, 0.3, 1]);
  const chosen = all.filter(() => random.chance(share));
  return chosen.length > 0 ? chosen : all.slice(0, 1);
}

export function bothWays(a: string, b: string): Way[] {
  return [
    [a, b],
    [b, a],
  ];
}

function shuffle<T>(random: Prng, list: readonly T[]): T[] {
  const rest = [...list];
  const order: T[] = [];
  while (rest.length > 0) order.push(...rest.splice(random.integer(0, rest.length - 1), 1));
  return order;
}
