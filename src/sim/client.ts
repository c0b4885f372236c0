// A client of the virtual world: a process of its own with the production engine in it.

import { ClientEngine } from '../client/engine.js';
import { roll32, streamOf } from './dice.js';
import type { Scheduler } from './scheduler.js';
import type { VirtualNetwork } from './virtual-network.js';
import { VirtualProcess } from './virtual-process.js';

/** Starts a client that knows all the addresses. */
export function createClient(
  scheduler: Scheduler,
  network: VirtualNetwork,
  seed: number,
  name: string,
  ordinal: number,
  endpoints: readonly string[],
): { process: VirtualProcess; engine: ClientEngine } {
  const process = new VirtualProcess(scheduler, {
    ...{ name, ordinal },
    seed: roll32(seed, streamOf(`client ${name}`), 0),
    clockRate: 1,
    clockStartMs: 0,
    wallOffsetMs: 0,
    eventCostUs: 0,
    clockReadCostUs: 0,
  });
  const links = network.attachClient(process, () => engine.handler);
  const { clock, timers, entropy } = process;
  const engine = new ClientEngine({ clock, timers, entropy, network: links }, { endpoints });
  engine.start();
  return { process, engine };
}
