// The steps by which a plan becomes smaller or plainer, each a function from a plan to a sound plan: what
// refers to something that is left out is left out with it, and positions stay right. Knows no kind of fault
// by name. Nothing here runs a plan.

import { checkAtlas } from './fault-atlas.js';
import { endOf, ruleOf } from './fault-rules.js';
import type { CorePlan, Fault, Way } from './faults.js';
import type { Knobs, Plan } from './plan.js';
import { ordinaryReplication } from './timings.js';

/** The plan with everything healed from `safetyMs` on. */
export function endingAt(plan: Plan, safetyMs: number): Plan {
  const faults = plan.faults.filter(({ atMs }) => atMs < safetyMs).flatMap((fault) => cutAt(fault, safetyMs));
  const operations = plan.operations.filter(({ atMs }) => atMs < safetyMs);
  return { ...plan, safetyMs, faults, operations };
}

/** The fault as far as it goes on before a time; nothing where it makes no sense cut short. */
function cutAt(fault: Fault, timeMs: number): Fault[] {
  const { mayEndEarly } = ruleOf(fault);
  const endMs = endOf(fault);
  if (endMs === undefined) return [fault];
  if (!mayEndEarly) return endMs < timeMs ? [fault] : [];
  return endMs > timeMs ? [endingWith(fault, timeMs)] : [fault];
}

function endingWith(fault: Fault, endMs: number): Fault {
  return { ...fault, [ruleOf(fault).end]: endMs } as Fault;
}

/** The plan without a client, by position, and all it does. */
export function withoutClient(plan: Plan, client: number): Plan {
  const name = plan.clients[client]?.name ?? '';
  return {
    ...plan,
    clients: plan.clients.filter((_, position) => position !== client),
    operations: plan.operations
      .filter((operation) => operation.client !== client)
      .map((operation) => ({ ...operation, client: moved(operation.client, client) })),
    faults: withoutPosition(withoutHost(plan.faults, name), 'client', client),
  };
}

/**
 * The plan without a machine, by position, and all that befalls it. `undefined` when that is no sound plan:
 * the last machine, a core that is no majority any more, or more damage than so few can survive.
 */
export function withoutMachine(plan: Plan, node: number): Plan | undefined {
  if (plan.machines.length <= 1) return undefined;
  const name = plan.machines[node]?.name ?? '';
  const { core: planned, ...rest } = plan;
  const machines = plan.machines.filter((_, position) => position !== node);
  const faults = withoutPosition(withoutHost(plan.faults, name), 'node', node);
  const core = planned && coreWithout(planned, node);
  if (core !== undefined && 2 * core.nodes.length <= machines.length) return undefined;
  try {
    checkAtlas(machines.length, faults);
  } catch {
    return undefined;
  }
  return { ...rest, machines, faults, ...(core === undefined ? {} : { core }) };
}

function coreWithout({ nodes, others }: CorePlan, removed: number): CorePlan {
  return {
    nodes: nodes.filter((node) => node !== removed).map((node) => moved(node, removed)),
    others: others
      .filter(({ node }) => node !== removed)
      .map(({ node, state }) => ({ node: moved(node, removed), state })),
  };
}

/** The values of a plan that nobody turned. */
const ordinaryKnobs: Partial<Knobs> = {
  ...ordinaryReplication,
  entryCacheBytesMax: 33_554_432,
  groupBytesMax: 2_097_152,
  groupIntervalMs: 100,
};

const electionKnobs: readonly string[] = [
  'heartbeatIntervalMs',
  'electionTimeoutMsMin',
  'electionTimeoutMsMax',
];

/** Present only where they are turned. */
const rareKnobs = [
  'heartbeatIntervalMs',
  'electionTimeoutMsMin',
  'electionTimeoutMsMax',
  'diskHungMs',
  'snapshotLogEntriesMax',
  'snapshotLogBytesMax',
  'snapshotChunkBytes',
] as const satisfies readonly (keyof Knobs)[];

/**
 * Each gives the plainer plans that differ from the given one in one thing; none when there is nothing left
 * to do.
 */
export const plainer: readonly ((plan: Plan) => Plan[])[] = [
  plainCore,
  calmer,
  plainKnobs,
  plainMachines,
  plainClients,
  plainOperations,
  plainWays,
  plainTimes,
];

function calmer(plan: Plan): Plan[] {
  const { conditions, peerMode } = plan;
  const calm = { ...conditions, loss: 0, duplication: 0, reordering: 0 };
  const isCalm = conditions.loss + conditions.duplication + conditions.reordering === 0;
  return [
    ...(isCalm ? [] : [{ ...plan, conditions: calm }]),
    ...(peerMode === 'tcp' ? [] : [{ ...plan, peerMode: 'tcp' as const, conditions: calm }]),
  ];
}

/** Everything heals. */
function plainCore(plan: Plan): Plan[] {
  const { core, ...rest } = plan;
  return core === undefined ? [] : [rest];
}

function plainKnobs(plan: Plan): Plan[] {
  const names = Object.keys(ordinaryKnobs) as (keyof Knobs)[];
  const turned = names.filter((name) => plan.knobs[name] !== ordinaryKnobs[name]);
  const present = new Set(rareKnobs.filter((name) => plan.knobs[name] !== undefined));
  const without = (left: ReadonlySet<string>): Plan => {
    const kept = Object.entries(plan.knobs).filter(([name]) => !left.has(name));
    return { ...plan, knobs: Object.fromEntries(kept) as unknown as Knobs };
  };
  return [
    // The three times of an election belong together.
    ...(present.size > 1 ? [without(present)] : []),
    ...(present.has('electionTimeoutMsMin') ? [without(new Set(electionKnobs))] : []),
    ...[...present].filter((name) => !electionKnobs.includes(name)).map((name) => without(new Set([name]))),
    ...turned.map((name) => ({ ...plan, knobs: { ...plan.knobs, [name]: ordinaryKnobs[name] } })),
  ];
}

function plainMachines(plan: Plan): Plan[] {
  const plain = { clockRate: 1, eventCostUs: 0, clockReadCostUs: 0, startAtMs: 0 };
  return plan.machines.flatMap((machine, node) => {
    const isPlain = Object.entries(plain).every(([field, value]) =>
      Object.entries(machine).some(([name, own]) => name === field && own === value),
    );
    return isPlain ? [] : [{ ...plan, machines: plan.machines.with(node, { ...machine, ...plain }) }];
  });
}

function plainClients(plan: Plan): Plan[] {
  return plan.clients.flatMap((client, position) =>
    client.concurrency === 1
      ? []
      : [{ ...plan, clients: plan.clients.with(position, { ...client, concurrency: 1 }) }],
  );
}

/** Longest value that is still ordinary, bytes. */
const ordinaryValueBytes = 16;

function plainOperations(plan: Plan): Plan[] {
  return plan.operations.flatMap((operation, i) => {
    const plain = { ...operation, condition: 'any' as const, valueBytes: ordinaryValueBytes };
    const isPlain = operation.condition === 'any' && operation.valueBytes <= ordinaryValueBytes;
    return isPlain ? [] : [{ ...plan, operations: plan.operations.with(i, plain) }];
  });
}

function plainWays(plan: Plan): Plan[] {
  return eachFault(plan, fewerWays);
}

function plainTimes(plan: Plan): Plan[] {
  return eachFault(plan, shorter);
}

function eachFault(plan: Plan, plainerOf: (fault: Fault) => Fault[]): Plan[] {
  return plan.faults.flatMap((fault, i) =>
    plainerOf(fault).map((plainFault) => ({ ...plan, faults: plan.faults.with(i, plainFault) })),
  );
}

/** More ways than this are not tried one by one. */
const waysTriedMax = 12;

function fewerWays(fault: Fault): Fault[] {
  const ways = waysOf(fault);
  if (ways === undefined || ways.length < 2 || ways.length > waysTriedMax) return [];
  return ways.map((_, i) => ({ ...fault, ways: ways.toSpliced(i, 1) }) as Fault);
}

/** Times below this are short enough. */
const shortMs = 100;

function shorter(fault: Fault): Fault[] {
  const candidates: Fault[] = [];
  const fields: Readonly<Record<string, unknown>> = { ...fault };
  for (const field of ruleOf(fault).lengths) {
    const value = fields[field];
    if (typeof value === 'number' && value > shortMs) {
      candidates.push({ ...fault, [field]: Math.floor(value / 2) });
    }
  }
  const endMs = endOf(fault);
  if (endMs !== undefined && ruleOf(fault).mayEndEarly && endMs - fault.atMs > shortMs) {
    candidates.push(endingWith(fault, fault.atMs + Math.floor((endMs - fault.atMs) / 2)));
  }
  return candidates;
}

/** Without the ways from or to a host; faults that have none left are dropped. */
function withoutHost(faults: readonly Fault[], host: string): Fault[] {
  return faults.flatMap((fault) => {
    const ways = waysOf(fault);
    if (ways === undefined) return [fault];
    const kept = ways.filter((way) => !way.includes(host));
    if (kept.length === ways.length) return [fault];
    return kept.length === 0 ? [] : [{ ...fault, ways: kept } as Fault];
  });
}

/** Without the faults of a machine or client that is taken out; those of later ones have moved. */
function withoutPosition(faults: readonly Fault[], field: 'node' | 'client', removed: number): Fault[] {
  return faults.flatMap((fault): Fault[] => {
    const position = (fault as Readonly<Record<string, unknown>>)[field];
    if (typeof position !== 'number') return [fault];
    return position === removed ? [] : [{ ...fault, [field]: moved(position, removed) }];
  });
}

function waysOf(fault: Fault): readonly Way[] | undefined {
  return 'ways' in fault ? fault.ways : undefined;
}

/** A position after another one was taken out. */
function moved(position: number, removed: number): number {
  return position > removed ? position - 1 : position;
}
