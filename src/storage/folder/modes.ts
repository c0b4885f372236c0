// Who may read a data folder: nobody but the account that the node runs under, whatever the umask. What
// counts is the mode of the folder itself: nobody else gets to what lies in one that is 0700, LevelDB's own
// files included, which are made by its rules. The files are narrowed all the same, for the day when they are
// copied out of it.

import { chmodSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KvorumError } from '../../base/errors.js';
import type { Report } from '../../base/env.js';
import type { StorageEvent } from '../events.js';

export const folderMode = 0o700;
export const fileMode = 0o600;
const others = 0o077;

/** What a node keeps in its data folder (`storage/README.md`); what else lies there is not touched. */
const ownName = /^(lock|\w+\.json(\.tmp)?|db(-\d+)?(\.opening|\.removed)?|wal(-\d+)?)$/;

/** Windows has no such modes: there a folder has the rights of the one it lies in. */
const hasModes = process.platform !== 'win32';

/**
 * Makes the data folder, and what is missing above it, for this account alone. Throws `DISK`. One that is
 * there and open to others is narrowed, which is reported; so is one that may not be narrowed, such as the
 * root of a mounted volume.
 */
export function makePrivateFolder(directory: string, report: Report<StorageEvent>): void {
  try {
    const isNew = mkdirSync(directory, { recursive: true, mode: folderMode }) !== undefined;
    // An umask may have taken the owner's own rights.
    if (isNew) chmodSync(directory, folderMode);
  } catch (cause) {
    const message = `cannot make the data folder ${directory}: ${(cause as Error).message}`;
    throw new KvorumError('DISK', message, { cause });
  }
  if (hasModes) narrow(directory, report);
}

/** Replaces or makes a small file that only this account reads. */
export function writePrivateFile(path: string, text: string): void {
  writeFileSync(path, text, { mode: fileMode });
}

function narrow(directory: string, report: Report<StorageEvent>): void {
  const { mode } = statSync(directory);
  // The folder first: after that nobody else can put a link where the next steps go.
  if ((mode & others) !== 0) {
    try {
      narrowOne(directory, mode);
      report({ kind: 'folderNarrowed', directory, mode: octal(mode) });
    } catch (error) {
      // No reason to stop: the data is no more open than it was.
      report({ kind: 'folderOpenToOthers', directory, mode: octal(mode), error: (error as Error).message });
    }
  }
  for (const name of readdirSync(directory)) if (ownName.test(name)) narrowTree(join(directory, name));
}

/**
 * What a symbolic link points at is not touched. What cannot be changed stays as it is: the folder above
 * decides.
 */
function narrowTree(path: string): void {
  try {
    const stats = lstatSync(path);
    if (stats.isSymbolicLink()) return;
    if ((stats.mode & others) !== 0) narrowOne(path, stats.mode);
    if (stats.isDirectory()) for (const name of readdirSync(path)) narrowTree(join(path, name));
  } catch {
    // Of another account, or gone meanwhile.
  }
}

function narrowOne(path: string, mode: number): void {
  chmodSync(path, mode & 0o7777 & ~others);
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
