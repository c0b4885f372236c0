// What runs from a timer runs under the node's guard, as what arrives from the network does: an error that
// escapes stops the node instead of the process that may hold several of them.

import type { Timers } from '../base/env.js';

/** The same timers, each callback run by `guard`. */
export function guardTimers(timers: Timers, guard: (run: () => void) => void): Timers {
  return {
    set: (delayMs, callback) => timers.set(delayMs, () => guard(callback)),
    clear: (handle) => timers.clear(handle),
    defer: (callback) => timers.defer(() => guard(callback)),
  };
}
