// The real clock, timers and entropy of a node: thin, and the only place in `server` that touches them.

import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Clock, Entropy, Timers } from '../base/env.js';
import { timeoutMsMax } from '../wire/limits.js';

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};

export const systemTimers: Timers = {
  // Longer delays would fire at once; a node sets none that comes near.
  set: (delayMs, callback) => setTimeout(callback, Math.min(Math.ceil(delayMs), timeoutMsMax)),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout),
  // The check phase comes after the poll phase: what the sockets hold has been read by then.
  defer: (callback) => void setImmediate(callback),
};

export const systemEntropy: Entropy = {
  bytes: (length) => randomBytes(length),
};
