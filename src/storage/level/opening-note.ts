// A note beside a store while LevelDB opens it. LevelDB ends the whole process (SIGABRT) on some damage that
// nothing finds before: the note is what is left of such a start. Anything else that ends a process at that
// moment leaves it too, so only several in a row mean damage. Best effort: no opening fails for its note.

import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { KvorumError } from '../../base/errors.js';
import { writePrivateFile } from '../folder/modes.js';

/** Openings in a row that ended with their process, before the store counts as damaged. */
const endedMax = 3;

/**
 * The store in `directory` is about to be opened. Throws `CORRUPT` when the last openings all ended with
 * their process; the one after that is tried again, for whoever has no other copy of the data.
 */
export function beginOpening(directory: string): void {
  const ended = readCount(directory);
  if (ended >= endedMax) {
    endOpening(directory);
    const store = basename(directory);
    const place = `the store ${store} in ${dirname(directory)}`;
    const fact = `the last ${ended} processes that opened ${place} ended while they did`;
    const advice = 'it counts as damaged; if they were killed, start again';
    throw new KvorumError('CORRUPT', `${fact}: ${advice}`, { details: { path: directory, store } });
  }
  try {
    writePrivateFile(notePath(directory), String(ended + 1));
  } catch {
    // A full disk: what the store itself needs will tell.
  }
}

/** The store was opened or refused, and the process is still there; or the store is removed. */
export function endOpening(directory: string): void {
  try {
    rmSync(notePath(directory), { force: true });
  } catch {
    // It counts as one more opening that ended with its process.
  }
}

function readCount(directory: string): number {
  try {
    const count = Number(readFileSync(notePath(directory), 'latin1'));
    return Number.isSafeInteger(count) ? count : 0;
  } catch {
    return 0;
  }
}

function notePath(directory: string): string {
  return `${directory}.opening`;
}
