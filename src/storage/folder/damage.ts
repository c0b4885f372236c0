// `damaged.json`: what this node found to be damaged while it ran, so that its next start treats it as
// damaged although it may look whole then (a block that was read badly once, a record that contradicts
// itself). It names the folder it is about: once that is not in use any more the note is void.

import type { Disk } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Current } from './current.js';
import { readJsonFile, writeJsonFile } from './json-file.js';

export interface Damage {
  readonly what: 'store' | 'log';
  /** Its folder: `Current.store` or `Current.log`. */
  readonly name: string;
  /** What was found, with file and place. */
  readonly message: string;
}

const path = 'damaged.json';
const formatVersion = 1;

/** What was noted about the store or log in use; `undefined` when there is nothing. Throws `CORRUPT`. */
export function readDamage(disk: Disk, current: Current): Damage | undefined {
  const fields = readJsonFile(disk, path, formatVersion);
  if (fields === undefined) return undefined;
  const { what, name, message } = fields;
  if ((what !== 'store' && what !== 'log') || typeof name !== 'string' || typeof message !== 'string') {
    const advice = 'restore the data folder, or replace the member';
    throw new KvorumError('CORRUPT', `${path} is damaged: ${advice}`, { details: { path } });
  }
  return name === current[what] ? { what, name, message } : undefined;
}

/** Makes the note durable. Throws `DISK`. */
export function writeDamage(disk: Disk, damage: Damage): void {
  writeJsonFile(disk, path, formatVersion, { ...damage });
}

/** Removes a note that is void, so that it is never taken for one about a later folder of the same name. */
export function clearDamage(disk: Disk): void {
  if (!disk.existsSync(path)) return;
  disk.removeSync(path);
  disk.syncDirectorySync('.');
}

/**
 * Which part of the disk the error says to be damaged; `undefined` for every other error, also for what is
 * not damaged but of a newer format. Not every CORRUPT is the disk's: an entry that no member can read is
 * the same on all.
 */
export function damageOf(error: unknown, current: Current): Damage | undefined {
  if (KvorumError.is(error, 'DIVERGED') && error.details['diverged'] === 'state') {
    return { what: 'store', name: current.store, message: error.message };
  }
  if (!KvorumError.is(error, 'CORRUPT') || error.details['newerFormat'] === true) return undefined;
  const { message, details } = error;
  const { file, record, store } = details;
  if (typeof file === 'string' && (file === current.log || file.startsWith(`${current.log}/`))) {
    return { what: 'log', name: current.log, message };
  }
  const isStore = record !== undefined || store === current.store;
  return isStore ? { what: 'store', name: current.store, message } : undefined;
}
