// One process per data folder. The lock is LevelDB's own (fcntl on the store's LOCK file): the kernel drops
// it with the process, however that ends, so nothing stale stays behind, and it holds across containers that
// share the folder, which a socket or a file with a process id would not. Beside it stands the holder's
// process id, only for the message to whoever comes second; it is never used to decide anything.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KvorumError } from '../base/errors.js';

/** In the store's folder; not a name that LevelDB uses. */
const holderName = 'HOLDER';

/** Notes that this process holds the lock on the store in `directory`. A failure to write it harms nobody. */
export function noteHolder(directory: string): void {
  try {
    writeFileSync(join(directory, holderName), `${process.pid}\n`);
  } catch {
    // The disk may be full, and a node must start on a full disk. The message of a second process is then
    // less exact.
  }
}

/** The `IDENTITY` error for a folder that another process has open. */
export function folderInUse(directory: string, cause: unknown): KvorumError {
  const pid = holderOf(directory);
  const holder =
    pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`;
  const message = `the data folder of ${directory} is in use by ${holder}: stop it, or use another folder`;
  return new KvorumError('IDENTITY', message, { details: { path: directory, pid }, cause });
}

function holderOf(directory: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(directory, holderName), 'utf8').trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
