// One process per data folder. The lock is LevelDB's own (fcntl on a LOCK file), held on an empty store in
// `lock` that is open as long as the process: the store proper is replaced when a snapshot is installed. The
// kernel drops it with the process, however that ends, so nothing stale stays behind, and it holds across
// containers that share the folder, which a socket or a file with a process id would not. Beside it stands
// the holder's process id, only for the message to whoever comes second; it is never used to decide anything.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Level } from 'level';
import { KvorumError } from '../../base/errors.js';
import { Descriptors } from '../disk/descriptors.js';
import { isNoSpace } from '../disk/no-space.js';
import { writePrivateFile } from './modes.js';

const lockName = 'lock';
/** In the lock's folder; not a name that LevelDB uses. */
const holderName = 'HOLDER';

export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Makes this process the only one that uses the data folder, until `release` or its end. Rejects with
 * `IDENTITY` when it is in use, `DISK` otherwise.
 */
export async function lockDataFolder(
  dataDirectory: string,
  descriptors = new Descriptors(),
): Promise<FolderLock> {
  const directory = join(dataDirectory, lockName);
  let database: Level;
  try {
    database = await descriptors.promised('lock the data folder', () => openLock(directory));
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
      throw folderInUse(directory, error);
    }
    const reason = cause instanceof Error ? cause.message : String(cause);
    const details = { path: directory, errno: reason };
    const isFull = isNoSpace(new KvorumError('DISK', reason, { details }));
    const advice = isFull
      ? 'make some room on this disk'
      : `it holds no data: remove ${directory} while no node runs on it`;
    const message = `the data folder ${dataDirectory} cannot be locked: ${reason}; ${advice}`;
    throw new KvorumError('DISK', message, { details, cause });
  }
  noteHolder(directory);
  return { release: () => database.close() };
}

async function openLock(directory: string): Promise<Level> {
  const database = new Level(directory, { writeBufferSize: 65_536, cacheSize: 65_536, maxOpenFiles: 74 });
  await database.open();
  return database;
}

/** The `IDENTITY` error for a folder of the data folder that another process has open. */
export function folderInUse(directory: string, cause: unknown): KvorumError {
  const pid = holderOf(join(dirname(directory), lockName)) ?? holderOf(directory);
  const holder =
    pid === undefined ? 'another process' : pid === process.pid ? 'this process' : `process ${pid}`;
  const folder = dirname(directory);
  const message = `the data folder ${folder} is in use by ${holder}: stop it, or use another folder`;
  return new KvorumError('IDENTITY', message, { details: { path: directory, pid }, cause });
}

/** A failure to write it harms nobody. */
function noteHolder(directory: string): void {
  try {
    writePrivateFile(join(directory, holderName), `${process.pid}\n`);
  } catch {
    // The disk may be full. The message of a second process is then
    // less exact.
  }
}

function holderOf(directory: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(directory, holderName), 'utf8').trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
