// Which options of `kvorum sim` go together. One that would be ignored is refused: whoever gave it expects it
// to count.

import { manySeeds } from '../../sim/run/coverage-marks.js';
import { UsageError } from '../terminal/exit-codes.js';

export interface SimFlags {
  readonly seeds?: number;
  readonly seed: number;
  readonly minutes?: number;
  readonly nodes?: number;
  readonly faults?: string[];
  readonly replay?: string;
  readonly messages?: boolean;
  readonly traceJson?: string;
  /** Absent: only of seeds, not of a replay. */
  readonly shrink?: boolean;
  readonly out?: string;
  readonly floors?: boolean;
  readonly workers: number;
  readonly json?: boolean;
}

export const seedsDefault = 100;

/**
 * Throws `UsageError` that names both options. `isGiven`: whether the flag was given and is no default;
 * `shrinkFlags`: which of `shrink` and `no-shrink` were.
 */
export function refuseContradictions(
  flags: SimFlags,
  isGiven: (name: keyof SimFlags) => boolean,
  shrinkFlags: ReadonlySet<string>,
): void {
  if (flags.messages === true && flags.replay === undefined) {
    throw new UsageError('--messages goes with --replay');
  }
  if (flags.floors === true && (flags.faults ?? flags.nodes ?? flags.replay) !== undefined) {
    throw new UsageError('--floors is for seeds of every kind: not with --faults, --nodes or --replay');
  }
  if (flags.floors === true && flags.minutes === undefined && (flags.seeds ?? seedsDefault) < manySeeds) {
    throw new UsageError(
      `--floors needs --seeds ${manySeeds} or more: fewer may miss what is rare by chance`,
    );
  }
  const ofSeeds = (['seeds', 'seed', 'minutes'] as const).find(isGiven);
  if (flags.replay !== undefined && ofSeeds !== undefined) {
    throw new UsageError(`--replay runs one plan: not with --${ofSeeds}`);
  }
  if (shrinkFlags.size > 1) throw new UsageError('give --shrink or --no-shrink, not both');
}
