// What a test gives to its cluster, as types, and the checks of it. Each check returns the value in the form
// that the cluster takes, or throws INVALID_ARGUMENT with what was given, what is allowed, and what to do.

import { KvorumError } from '../../base/errors.js';
import type { ClientLimits } from '../../client/engine/limits.js';
import { membersMax } from '../../server/config/members.js';
import { timeoutMsMax } from '../../wire/limits.js';
import { isNodeId, nodeIdRule } from '../../wire/node-id.js';
import type { Machine } from '../world/machine/machine.js';

export interface TestClusterOptions {
  /** How many nodes, 1 to 7. Default 3. */
  readonly nodes?: number | undefined;
  /** An integer 0 .. 2^32-1; decides delays, election timeouts and ids. Default 1. */
  readonly seed?: number | undefined;
}

export interface TestClientOptions {
  /** How `partition` and `cut` call it. 1 to 64 letters, digits, `.`, `_` or `-`; default c1, c2, … */
  readonly name?: string | undefined;
  /** Default of all its calls, virtual milliseconds. 1 .. 2^31-1; default 10,000. */
  readonly timeoutMs?: number | undefined;
  readonly limits?: Partial<ClientLimits> | undefined;
}

export interface WaitOptions {
  /** Virtual milliseconds. 1 .. 2^31-1; default 10,000. */
  readonly timeoutMs?: number | undefined;
}

export const clientsMax = 100;
const seedMax = 0xffff_ffff;

function invalid(message: string): KvorumError {
  return new KvorumError('INVALID_ARGUMENT', message);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80));
  return value !== null && typeof value === 'object' ? 'an object' : String(value);
}

function integerOf(value: unknown, name: string, min: number, max: number, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw invalid(`${name} must be an integer ${min} .. ${max}, not ${shown(value)}`);
}

/** Refuses what is not an object, and names that are none of `known`. */
function fieldsOf(options: unknown, call: string, known: readonly string[]): void {
  if (options === null || typeof options !== 'object') {
    throw invalid(`${call} takes an object of options, not ${shown(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw invalid(`${unknown} is not an option of ${call}; its options are ${known.join(', ')}`);
}

export function optionsOf(options: TestClusterOptions): { readonly nodes: number; readonly seed: number } {
  fieldsOf(options, 'testCluster', ['nodes', 'seed']);
  return {
    nodes: integerOf(options.nodes, 'nodes', 1, membersMax, 3),
    seed: integerOf(options.seed, 'seed', 0, seedMax, 1),
  };
}

/** The name of a further client. `taken`: the names of all hosts; `count`: clients so far. */
export function clientNameOf(options: TestClientOptions, taken: readonly string[], count: number): string {
  fieldsOf(options, 'client', ['name', 'timeoutMs', 'limits']);
  if (count >= clientsMax) {
    throw invalid(`a test cluster has at most ${clientsMax} clients; use one for several calls`);
  }
  const { name } = options;
  if (name === undefined) {
    let number = count + 1;
    while (taken.includes(`c${number}`)) number++;
    return `c${number}`;
  }
  if (typeof name !== 'string' || !isNodeId(name)) {
    throw invalid(`name must be ${nodeIdRule}, not ${shown(name)}`);
  }
  if (!taken.includes(name)) return name;
  throw invalid(`there is a host called ${name} already; the names in use are ${taken.join(', ')}`);
}

export function nodeOf(node: unknown, machines: readonly Machine[]): Machine {
  const machine = machines.find(({ name }) => name === node);
  if (machine !== undefined) return machine;
  const names = machines.map(({ name }) => name).join(', ');
  if (node !== undefined) throw invalid(`there is no node ${shown(node)}; the nodes are ${names}`);
  throw invalid(
    `undefined is not a node; the nodes are ${names}. When there was no leader to name, wait for one: ` +
      `await c.waitFor(() => c.leader)`,
  );
}

function checkHost(host: unknown, hosts: readonly string[]): void {
  if (typeof host === 'string' && hosts.includes(host)) return;
  throw invalid(`there is no host ${shown(host)}; the nodes and clients are ${hosts.join(', ')}`);
}

/** Two groups or more, of hosts that are in one of them only. */
export function checkGroups(groups: readonly (readonly string[])[], hosts: readonly string[]): void {
  if (groups.length < 2 || groups.some((group) => !Array.isArray(group))) {
    throw invalid(`partition takes two groups of names or more, for example (['n1'], ['n2', 'n3'])`);
  }
  const seen = new Set<string>();
  for (const host of groups.flat()) {
    checkHost(host, hosts);
    if (seen.has(host)) throw invalid(`${host} is named twice; a host is in one group only`);
    seen.add(host);
  }
}

export function checkWay(from: unknown, to: unknown, hosts: readonly string[]): void {
  checkHost(from, hosts);
  checkHost(to, hosts);
  if (from === to) throw invalid(`the way from ${shown(from)} to itself cannot be cut`);
}

/** Virtual milliseconds. */
export function durationOf(ms: unknown): number {
  if (typeof ms === 'number' && ms >= 0 && ms <= timeoutMsMax) return ms;
  throw invalid(`advance takes 0 .. ${timeoutMsMax} ms, not ${shown(ms)}`);
}

export function checkCondition(condition: unknown): void {
  if (typeof condition === 'function') return;
  throw invalid(`waitFor takes a function that returns the condition, not ${shown(condition)}`);
}

/** Something was asked of a node that it cannot do in its state. */
export function wrongState(node: string, state: string, action: string, advice: string): KvorumError {
  return invalid(`cannot ${action} ${node}: it is ${state}; ${advice}`);
}
