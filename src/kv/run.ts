// An entry while it is applied: what it continues from, what its commands have done so far, and what the next
// one waits for. Nothing of it can be seen from outside before its end.

import { assert } from '../base/assert.js';
import { Hash64 } from '../base/hash.js';
import type { Command, CommandResult, EntryTimes } from './commands.js';
import type { RangeLoad } from './operations/keys/range-load.js';
import type { StoreRange, StoreRecord } from './store.js';

export interface EntryToApply {
  /** Position in the log: one more than the last one applied. */
  readonly index: number;
  readonly term: number;
  /** `undefined` for entries without a stamp (no-op, configuration), which have no commands either. */
  readonly times: EntryTimes | undefined;
  readonly commands: readonly Command[];
  /** Only of entry 1, the formation: the format level that the cluster begins with. */
  readonly formatLevel?: number;
}

/** The state that an entry continues from. */
export interface EntryBase {
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  readonly formatLevel: number;
  readonly stateHigh: number;
  readonly stateLow: number;
}

/** An entry being applied. */
export interface Run {
  readonly index: number;
  readonly term: number;
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  /** Of the state, as the commands so far leave it. */
  formatLevel: number;
  /** Of the commands executed so far: its length is the position of the next one. */
  readonly results: CommandResult[];
  /** Chain of the effects so far. */
  readonly effects: Hash64;
  /** What the command at the position has loaded, if it needs a range. */
  load: RangeLoad | undefined;
  /** What the command at the position waits for. */
  needed: StoreRange | undefined;
}

/** Begins an entry: its times, and the state hash chained to its index. */
export function beginRun(entry: EntryToApply, base: EntryBase): Run {
  const { index, term, times } = entry;
  assert(times !== undefined || entry.commands.length === 0, `entry ${index} has commands but no times`);
  const effects = new Hash64(base.stateHigh, base.stateLow).number(index);
  let { clusterTimeMs, wallTimeMs, formatLevel } = base;
  if (times !== undefined) {
    assert(
      Number.isSafeInteger(times.clusterTimeMs) && Number.isSafeInteger(times.wallTimeMs),
      `entry ${index} has times that are not integers below 2^53`,
    );
    // Neither time ever goes back, whatever a leader stamped.
    clusterTimeMs = Math.max(clusterTimeMs, times.clusterTimeMs);
    wallTimeMs = Math.max(wallTimeMs, times.wallTimeMs);
    effects.number(clusterTimeMs).number(wallTimeMs);
  }
  if (entry.formatLevel !== undefined) {
    assert(index === 1, `entry ${index} names the first format level, which only the formation does`);
    formatLevel = entry.formatLevel;
    effects.number(formatLevel);
  }
  return {
    index,
    term,
    clusterTimeMs,
    wallTimeMs,
    formatLevel,
    results: [],
    effects,
    load: undefined,
    needed: undefined,
  };
}

/** The records that the run waits for. Throws CORRUPT. */
export function provideTo(run: Run, range: StoreRange, records: readonly StoreRecord[]): void {
  const { load, needed } = run;
  assert(load !== undefined && needed !== undefined, `entry ${run.index} waits for no range`);
  assert(
    needed.start === range.start && needed.end === range.end && needed.limit === range.limit,
    `entry ${run.index} waits for another range than the one provided`,
  );
  run.needed = undefined;
  load.provide(needed, records);
}
