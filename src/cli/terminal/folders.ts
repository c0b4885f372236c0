// Folders and files that options name: whether they can be written is found out before work begins, since a
// run of hours must not end in front of a closed door. All errors name the option, the path and the errno.

import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  rmdirSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { UsageError } from './exit-codes.js';

/**
 * Makes the folder and what is missing above it, for this account alone. Level by level: where a file system
 * answers ENOENT to every new folder, such as /proc, Node's own recursive mkdir tries for ever. Throws
 * `UsageError`.
 */
export function makeFolder(option: string, path: string): void {
  for (const folder of levelsOf(option, path).missing) {
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      // Another process may have made it meanwhile.
      if (!isFolder(folder)) throw refusal(option, path, 'cannot be made', error);
    }
  }
}

/** Throws `UsageError` when the folder cannot be made or nothing can be put into it. Leaves no trace. */
export function checkFolder(option: string, path: string): void {
  const { lowest } = levelsOf(option, path);
  try {
    rmdirSync(mkdtempSync(join(lowest, '.kvorum-')));
  } catch (error) {
    throw refusal(option, path, 'cannot be written', error);
  }
}

/** Throws `UsageError` when the file cannot be written. What is in it stays; none is made. */
export function checkFile(option: string, path: string): void {
  try {
    const isNew = !existsSync(path);
    // To open a pipe and close it again is an end of its own.
    if (!isNew && statSync(path).isFIFO()) return;
    closeSync(openSync(path, 'a'));
    // A link to a file that was not there stays a link.
    if (isNew) unlinkSync(realpathSync(path));
  } catch (error) {
    throw refusal(option, path, 'cannot be written', error);
  }
}

/** The lowest folder on the way to `path` that exists, and those below it, the highest first. */
function levelsOf(option: string, path: string): { lowest: string; missing: string[] } {
  const missing: string[] = [];
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      if (statSync(at).isDirectory()) return { lowest: at, missing };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // On Windows the highest folder, a drive, need not be there.
      const isGone = (code === 'ENOENT' || code === 'ENOTDIR') && dirname(at) !== at;
      if (!isGone) throw refusal(option, path, 'cannot be used', error);
      missing.unshift(at);
      continue;
    }
    const what = at === resolve(path) ? `${path} is a file` : `${path} lies below ${at}, which is a file`;
    throw new UsageError(`${option} ${what}; give a new or empty folder`);
  }
}

function isFolder(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

function refusal(option: string, path: string, problem: string, error: unknown): UsageError {
  const cause = error instanceof Error ? error.message : String(error);
  return new UsageError(`${option} ${path} ${problem}: ${cause}`);
}
