// `current.json`: which store and which log of the data folder are in use. Both are replaced together, by a
// snapshot that is installed or by the repair of a damaged disk: the new pair is made durable beside the old
// one, and then this one file is replaced. That is the moment of change; a crash before it leaves the old
// pair, a crash after it the new one. What the file does not name is removed at the next start, and never
// before the file is known to be durable. A member's folder always has the file: without it nobody could tell
// which of two pairs holds what was acknowledged.

import type { Disk } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { commitJsonFile, prepareJsonFile, readJsonFile, writeJsonFile } from './json-file.js';

export interface Current {
  /** `db`, or `db-2`, `db-3` … */
  readonly store: string;
  /** `wal` or `wal-2`. */
  readonly log: string;
  /** This member's log may have held entries that it acknowledged and lost: it does not vote. */
  readonly catchingUp: boolean;
}

const path = 'current.json';
const formatVersion = 1;
const storePattern = /^db(?:-([1-9]\d{0,14}))?$/;
const logNames = ['wal', 'wal-2'] as const;

/** What a node uses that was never part of a cluster. */
export const firstCurrent: Current = { store: 'db', log: 'wal', catchingUp: false };

/**
 * What is in use; `undefined` when there is no such file. Throws `CORRUPT` for one that is damaged or of a
 * newer format.
 */
export function readCurrent(disk: Disk): Current | undefined {
  const fields = readJsonFile(disk, path, formatVersion);
  if (fields === undefined) return undefined;
  const { store, log, catchingUp } = fields;
  if (typeof store !== 'string' || !storePattern.test(store)) throw malformed('store', 'the name of a store');
  if (typeof log !== 'string' || !logNames.includes(log as 'wal')) throw malformed('log', 'wal or wal-2');
  if (typeof catchingUp !== 'boolean') throw malformed('catchingUp', 'true or false');
  // A process killed just after the rename may have left the file's name only in memory.
  disk.syncDirectorySync('.');
  return { store, log, catchingUp };
}

/** Makes the change, durably. What it names must be durable already. Throws `DISK`. */
export function writeCurrent(disk: Disk, current: Current): void {
  writeJsonFile(disk, path, formatVersion, { ...current });
}

/** As `writeCurrent` without the change itself, which `commitCurrent` makes and takes no more room for. */
export function prepareCurrent(disk: Disk, current: Current): void {
  prepareJsonFile(disk, path, formatVersion, { ...current });
}

/** Makes the change that was prepared, durably. Throws `DISK`. */
export function commitCurrent(disk: Disk): void {
  commitJsonFile(disk, path);
}

/**
 * The store that the next state is put together in: `db-2` beside `db`, `db-8` beside `db-7`. A name is not
 * used again once it was in use.
 */
export function stagingStoreName(current: Pick<Current, 'store'>): string {
  const number = Number(storePattern.exec(current.store)?.[1] ?? 1);
  return `db-${number + 1}`;
}

/** The log that takes the place of the one in use: the other one of the two. */
export function nextLogName(current: Pick<Current, 'log'>): string {
  return current.log === 'wal' ? 'wal-2' : 'wal';
}

/** Removes all files of a log that is not in use, durably. Throws `DISK`. */
export function clearLog(disk: Disk, directory: string): void {
  const names = disk.listSync(directory);
  if (names.length === 0) return;
  // The newest first: should this be cut short, a rest that is looked at is never mistaken for a whole log.
  for (const name of names.reverse()) disk.removeSync(`${directory}/${name}`);
  disk.syncDirectorySync(directory);
}

function malformed(field: string, expected: string): KvorumError {
  const advice = 'restore the data folder, or replace the member';
  const message = `${path} is damaged: its "${field}" is not ${expected}; ${advice}`;
  return new KvorumError('CORRUPT', message, { details: { path, field } });
}
