// Versions of kvorum that meet in one run. The released software knows few format levels, so a run with
// versions has one more: in it `delete` is a command that came with `newerLevel`. An older version is the
// production code that knows nothing above its own level; all else about the versions is the same.

import { commandLevels, formatLevels, thisSoftware, type Software } from '../../../kv/format-level.js';

/** One above what there is. */
export const newerLevel = formatLevels.max + 1;

/** The software of a machine; `formatLevelMax`: in a run with versions, what it knows. */
export function softwareOf(formatLevelMax: number | undefined): Software {
  if (formatLevelMax === undefined) return thisSoftware;
  return { formatLevelMax, commandLevels: { ...commandLevels, delete: newerLevel } };
}
