// What the faults of the network mean for each link: a planned fault and its victims become a rule.
// Everything that is left open by the plan comes from the fault's own dice.

import { assertNever } from '../../base/assert.js';
import type { Prng } from '../../base/prng.js';
import type { LinkRule } from '../links.js';
import type { FaultName } from '../plan.js';

export type NetworkFault = Extract<
  FaultName,
  'one-way' | 'isolate' | 'split' | 'ring' | 'flapping' | 'slow' | 'lossy' | 'drop' | 'clients'
>;

export interface NetworkSituation {
  /** All nodes. */
  readonly nodes: readonly string[];
  /** All who dial from outside. */
  readonly clients: readonly string[];
  /** The nodes that the fault is about; not empty. */
  readonly victims: readonly string[];
  readonly dice: Prng;
}

/** A rule, and what it does in words. */
export interface NetworkFaultEffect {
  readonly rule: LinkRule;
  readonly words: string;
}

const cut = { mode: 'hold' } as const;

export function networkFault(kind: NetworkFault, situation: NetworkSituation): NetworkFaultEffect {
  const { nodes, victims, dice } = situation;
  const isNode = (id: string): boolean => nodes.includes(id);
  const isVictim = (id: string): boolean => victims.includes(id);
  const names = victims.join(', ');
  switch (kind) {
    case 'one-way': {
      const deaf = dice.chance(0.5);
      return {
        rule: {
          flow: (from, to) => (isNode(from) && isNode(to) && isVictim(deaf ? to : from) ? cut : undefined),
        },
        words: deaf
          ? `${names} hears nothing of the others, which hear it`
          : `the others hear nothing of ${names}`,
      };
    }
    case 'isolate':
    case 'flapping':
      return {
        rule: {
          flow: (from, to) =>
            isNode(from) && isNode(to) && isVictim(from) !== isVictim(to) ? cut : undefined,
        },
        words: `${names} cut off from the other nodes${kind === 'flapping' ? ', on and off' : ''}`,
      };
    case 'split':
      return split(situation);
    case 'ring':
      return ring(situation);
    case 'slow':
    case 'lossy':
    case 'drop':
      return impaired(kind, situation);
    case 'clients':
      return clientsCut(situation);
    default:
      return assertNever(kind);
  }
}

function split({ nodes, clients, dice }: NetworkSituation): NetworkFaultEffect {
  const order = shuffled(nodes, dice);
  const size = dice.integer(1, nodes.length - 1);
  const inFirst = new Set(order.slice(0, size));
  for (const client of clients) if (dice.chance(0.5)) inFirst.add(client);
  const side = (first: boolean): string =>
    [...nodes, ...clients].filter((id) => inFirst.has(id) === first).join(', ');
  return {
    rule: { flow: (from, to) => (inFirst.has(from) === inFirst.has(to) ? undefined : cut) },
    words: `${side(true)} | ${side(false)}`,
  };
}

function ring({ nodes, dice }: NetworkSituation): NetworkFaultEffect {
  const order = shuffled(nodes, dice);
  const distance = (from: string, to: string): number =>
    (order.indexOf(to) - order.indexOf(from) + order.length) % order.length;
  const isNode = (id: string): boolean => order.includes(id);
  // With three nodes everyone is everyone's neighbour: then one way round only.
  const reaches = (steps: number): boolean => steps === 1 || (order.length > 3 && steps === order.length - 1);
  return {
    rule: {
      flow: (from, to) => (isNode(from) && isNode(to) && !reaches(distance(from, to)) ? cut : undefined),
    },
    words: `${[...order, order[0]].join(order.length > 3 ? ' – ' : ' → ')}, no other way`,
  };
}

function impaired(
  kind: 'slow' | 'lossy' | 'drop',
  { nodes, victims, dice }: NetworkSituation,
): NetworkFaultEffect {
  const withClients = nodes.length < 2 || dice.chance(0.4);
  const touches = (from: string, to: string): boolean =>
    (withClients || (nodes.includes(from) && nodes.includes(to))) &&
    (victims.includes(from) || victims.includes(to));
  const where = `links of ${victims.join(', ')}${withClients ? ', clients too' : ''}`;
  if (kind === 'drop') {
    return {
      rule: {
        flow: (from, to) => (touches(from, to) && victims.includes(from) ? { mode: 'drop' } : undefined),
      },
      words: `what ${victims.join(', ')} sends is lost${withClients ? ', to clients too' : ''}`,
    };
  }
  if (kind === 'lossy') {
    const lossProbability = dice.integer(2, 20) / 100;
    return {
      rule: { flow: (from, to) => (touches(from, to) ? { lossProbability } : undefined) },
      words: `${where}: ${Math.round(lossProbability * 100)} % of pieces wait for a retransmission`,
    };
  }
  if (dice.chance(0.5)) {
    const delayMs = dice.integer(5, 150);
    return {
      rule: { flow: (from, to) => (touches(from, to) ? { delayMs } : undefined) },
      words: `${where}: ${delayMs} to ${2 * delayMs} ms delay`,
    };
  }
  const bytesPerSecond = dice.integer(10_000, 200_000);
  return {
    rule: { flow: (from, to) => (touches(from, to) ? { bytesPerSecond } : undefined) },
    words: `${where}: ${Math.round(bytesPerSecond / 1_000)} kB per second`,
  };
}

function clientsCut({ clients, victims, dice }: NetworkSituation): NetworkFaultEffect {
  const names = victims.join(', ');
  const between = (client: string, node: string): boolean =>
    clients.includes(client) && victims.includes(node);
  switch (dice.integer(0, 2)) {
    case 0:
      return {
        rule: { flow: (from, to) => (between(from, to) || between(to, from) ? cut : undefined) },
        words: `clients cut off from ${names}`,
      };
    case 1:
      return {
        rule: { flow: (from, to) => (between(to, from) ? cut : undefined) },
        words: `clients hear no answer of ${names}, which hears them`,
      };
    default:
      return {
        rule: { refuses: (from, to) => between(from, to) },
        words: `${names} takes no new connection of clients`,
      };
  }
}

function shuffled(ids: readonly string[], dice: Prng): string[] {
  const rest = [...ids];
  const order: string[] = [];
  while (rest.length > 0) order.push(...rest.splice(dice.integer(0, rest.length - 1), 1));
  return order;
}
