// A client of the virtual world: a process of its own with the production engine in it. What it asks and what
// becomes of its answers is its owner's (workloads/, testing/client.ts). Its clock is exact and its
// processor takes no time: what clients suffer comes from the ways to the nodes, or from a pause.

import { ClientEngine } from '../../client/engine/engine.js';
import type { ClientEnv, ClientNetworkHandler } from '../../client/engine/env.js';
import { roll32, streamOf } from './dice.js';
import type { Scheduler } from './scheduler.js';
import { VirtualClientNetwork } from './network/client-network.js';
import type { VirtualNetwork } from './network/network.js';
import { VirtualProcess } from './machine/process.js';

/** The process of a client and what its engine may know of the world; `handler` is asked for late. */
export function clientProcess(
  scheduler: Scheduler,
  network: VirtualNetwork,
  seed: number,
  name: string,
  ordinal: number,
  handler: () => ClientNetworkHandler,
): { process: VirtualProcess; env: ClientEnv } {
  const process = new VirtualProcess(scheduler, {
    name,
    ordinal,
    seed: roll32(seed, streamOf(`client ${name}`), 0),
    clockRate: 1,
    clockStartMs: 0,
    wallOffsetMs: 0,
    eventCostUs: 0,
    clockReadCostUs: 0,
  });
  const { clock, timers, entropy } = process;
  const links = new VirtualClientNetwork(network, process, handler);
  return { process, env: { clock, timers, entropy, network: links } };
}

/** Starts a client that knows all the addresses. */
export function createClient(
  scheduler: Scheduler,
  network: VirtualNetwork,
  seed: number,
  name: string,
  ordinal: number,
  endpoints: readonly string[],
): { process: VirtualProcess; engine: ClientEngine } {
  const { process, env } = clientProcess(scheduler, network, seed, name, ordinal, () => engine.handler);
  const engine = new ClientEngine(env, { endpoints });
  engine.start();
  return { process, engine };
}
