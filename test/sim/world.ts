// Small helpers for the tests of the virtual world: a process, and events run until none is left.

import type { Scheduler } from '../../src/sim/world/scheduler.js';
import { VirtualProcess } from '../../src/sim/world/machine/process.js';

export function processOn(scheduler: Scheduler, name = 'n1', ordinal = 1): VirtualProcess {
  return new VirtualProcess(scheduler, {
    name,
    ordinal,
    seed: ordinal,
    clockRate: 1,
    clockStartMs: 0,
    wallOffsetMs: 0,
    eventCostUs: 0,
    clockReadCostUs: 0,
  });
}

/** Runs all events that are due within `forUs`. */
export function runFor(scheduler: Scheduler, forUs: number): void {
  const untilUs = scheduler.nowUs + forUs;
  while (scheduler.step(untilUs) !== undefined);
}
