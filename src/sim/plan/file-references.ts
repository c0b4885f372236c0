// What the parts of a plan say of each other: positions and names that must exist, and times that must follow
// each other, and damage that can be survived. Knows no kind of fault by name, so that a new kind needs
// nothing here. Precondition: every field has its type.

import { checkAtlas } from './fault-atlas.js';
import { endOf, ruleOf } from './fault-rules.js';
import { theFollowers, theLeader, type CorePlan, type Way } from './faults.js';
import { refuse } from './file-checks.js';
import type { Plan } from './plan.js';

/** Throws INVALID_ARGUMENT at the first thing that cannot be. */
export function checkReferences(plan: Plan): void {
  const { machines, clients, operations, faults, core } = plan;
  if (machines.length === 0) refuse('machines', 'is empty, a cluster has at least one node');
  const hosts = [...machines, ...clients].map(({ name }) => name);
  for (const [i, name] of hosts.entries()) {
    const where = i < machines.length ? `machines[${i}]` : `clients[${i - machines.length}]`;
    if (hosts.indexOf(name) < i) refuse(`${where}.name`, `is ${JSON.stringify(name)} for the second time`);
  }
  checkOrder(operations, 'operations');
  for (const [i, { client }] of operations.entries()) {
    checkPosition(client, clients.length, 0, `operations[${i}].client`);
  }
  checkOrder(faults, 'faults');
  const known = new Set([...hosts, theLeader.name, theFollowers]);
  for (const [i, fault] of faults.entries()) {
    const fields: Readonly<Record<string, unknown>> = { ...fault };
    const where = `faults[${i}]`;
    const endMs = endOf(fault);
    if (endMs !== undefined && endMs < fault.atMs) {
      refuse(`${where}.${ruleOf(fault).end}`, `is ${endMs}, before its atMs ${fault.atMs}`);
    }
    if ('node' in fault) {
      checkPosition(fault.node, machines.length, theLeader.position, `${where}.node`);
    }
    if (typeof fields['client'] === 'number') {
      checkPosition(fields['client'], clients.length, 0, `${where}.client`);
    }
    if (Array.isArray(fields['ways'])) checkWays(fields['ways'] as Way[], known, `${where}.ways`);
  }
  if (core !== undefined) checkCore(core, machines.length);
  checkAtlas(machines.length, faults);
}

/** Each machine is of the core or has its state; the core is a majority. */
function checkCore({ nodes, others }: CorePlan, machines: number): void {
  const positions = [...nodes, ...others.map(({ node }) => node)].sort((a, b) => a - b);
  if (positions.length !== machines || positions.some((position, i) => position !== i)) {
    refuse('core', `must name each of the positions 0 to ${machines - 1} once, in nodes or in others`);
  }
  if (2 * nodes.length <= machines) {
    refuse('core.nodes', `are ${nodes.length} of ${machines} machines, it must be a majority`);
  }
}

function checkOrder(timed: readonly { readonly atMs: number }[], where: string): void {
  let previousMs = 0;
  for (const [i, { atMs }] of timed.entries()) {
    if (atMs < previousMs) refuse(`${where}[${i}].atMs`, `is ${atMs}, before the ${previousMs} above it`);
    previousMs = atMs;
  }
}

function checkPosition(position: number, length: number, min: number, where: string): void {
  if (position >= min && position < length) return;
  refuse(where, `is ${position}, the positions are ${min} to ${length - 1}`);
}

function checkWays(ways: readonly Way[], known: ReadonlySet<string>, where: string): void {
  for (const [i, way] of ways.entries()) {
    const unknown = way.find((host) => !known.has(host));
    if (unknown !== undefined) {
      refuse(`${where}[${i}]`, `names ${JSON.stringify(unknown)}; the hosts are ${[...known].join(', ')}`);
    }
  }
}
