// Format levels: the replicated state has a number, and every command belongs to the level that introduced
// it. A cluster takes a command only once `raiseFormat` has brought its state to that level, which every
// member's software must know by then. A level that was released never changes what it means, and the level
// of a command never changes: replicas of different versions judge by both.

import { KvorumError } from '../base/errors.js';
import type { ClientOperation, Command } from './commands.js';

/** What can be refused for the level of the state: the operations of clients, the commands of leaders. */
export type LevelledKind = ClientOperation['kind'] | Exclude<Command['kind'], 'client'>;

/** The levels that this software reads and writes. */
export const formatLevels = { min: 1, max: 1 } as const;

/** The level that introduced each command. Levels of a kind are the same in all software that knows it. */
export const commandLevels: Readonly<Record<LevelledKind, number>> = {
  put: 1,
  delete: 1,
  deleteRange: 1,
  closeSession: 1,
  expireTables: 1,
  raiseFormat: 1,
};

/** What a process can work with: its own constants, or others where a test lets versions meet. */
export interface Software {
  /** A state of a higher level is not touched. */
  readonly formatLevelMax: number;
  readonly commandLevels: Readonly<Record<LevelledKind, number>>;
}

export const thisSoftware: Software = { formatLevelMax: formatLevels.max, commandLevels };

/**
 * Throws `FORMAT` for a level above the software's: no damage, and nothing is repaired. `what`: the part of
 * the message before the level.
 */
export function checkKnownLevel(
  level: number,
  { formatLevelMax }: Pick<Software, 'formatLevelMax'>,
  what: string,
): void {
  if (level <= formatLevelMax) return;
  throw new KvorumError(
    'FORMAT',
    `${what} format level ${level}; this version of kvorum knows ${formatLevelMax}: upgrade this node`,
    { details: { formatLevel: level, formatLevelMax } },
  );
}
