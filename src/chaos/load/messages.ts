// What a chaos run and its load processes say to each other, over the channel that ties a child process to
// its parent. Plain data: it is serialized as JSON on the way.

import type { HistoryOperation } from '../../sim/history/file.js';

export interface LoadSettings {
  /** Of this process; its clients are called `<id>.1`, `<id>.2`, … */
  readonly id: string;
  /** Where it reaches each node: the proxies in front of them. */
  readonly endpoints: readonly string[];
  /** Logical clients, each of which does one thing at a time. 1 or more. */
  readonly clients: number;
  readonly seed: number;
  /** `RunClock.baseText`. */
  readonly clockBase: string;
  /** All keys begin with this. */
  readonly keyPrefix: string;
  /** Keys in use at one time. 1 or more. */
  readonly keys: number;
  /** Then other keys take their place, so that the history of each stays short enough to be checked whole. */
  readonly keyLifeMs: number;
  /** Average pause of a logical client between two operations. */
  readonly pauseMs: number;
}

export type LoadCommand =
  | { readonly kind: 'start'; readonly settings: LoadSettings }
  /** Processes that are under SIGSTOP and cannot see that the parent is gone: then wake them. */
  | { readonly kind: 'paused'; readonly pids: readonly number[] }
  /** Begin nothing new, report what is under way when it ends, and end. `atOnce`: give it up. */
  | { readonly kind: 'stop'; readonly atOnce: boolean };

export type LoadReport =
  /** The process listens. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'operations'; readonly operations: readonly HistoryOperation[] }
  /** An error that is not kvorum's: a bug, which the run must not hide. */
  | { readonly kind: 'failed'; readonly message: string };
