// Small JSON files of the data folder that are replaced whole: written under another name, synced, renamed,
// and the folder synced, so that a crash leaves the old or the new one and never a half. Each carries a
// checksum of what it says. Must never give out what was changed by anything but `writeJsonFile`.

import { crc32 } from 'node:zlib';
import type { Disk } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';

const bytesMax = 65_536;

/**
 * The object in the file without its `formatVersion` and checksum, or `undefined` when there is no such file.
 * Throws `CORRUPT` for a file that is damaged or of a newer format.
 */
export function readJsonFile(
  disk: Disk,
  path: string,
  formatVersion: number,
): Record<string, unknown> | undefined {
  if (!disk.existsSync(path)) return undefined;
  const file = disk.openSync(path, { create: false });
  let text: string;
  try {
    text = Buffer.from(file.readSync(0, Math.min(file.sizeSync(), bytesMax))).toString('utf8');
  } finally {
    file.closeSync();
  }
  const { checksum, ...said } = parseObject(path, text);
  const { formatVersion: found, ...fields } = said;
  if (checksum !== checksumOf(said)) throw damaged(path, 'its checksum is of something else');
  if (typeof found !== 'number' || found < 1) throw damaged(path, 'it has no formatVersion');
  if (found > formatVersion) {
    const message = `${path} has format ${found}, this version knows ${formatVersion}: use a newer kvorum`;
    throw new KvorumError('CORRUPT', message, { details: { path, found, known: formatVersion } });
  }
  if (found < formatVersion) {
    const fact = `${path} has format ${found}, this version begins with ${formatVersion}`;
    const message = `${fact}: nothing is damaged, use the kvorum that wrote it`;
    throw new KvorumError('FORMAT', message, { details: { path, found, known: formatVersion } });
  }
  return fields;
}

/** Makes the object durable in the file, replacing what was there. Throws `DISK`. */
export function writeJsonFile(
  disk: Disk,
  path: string,
  formatVersion: number,
  fields: Record<string, unknown>,
): void {
  prepareJsonFile(disk, path, formatVersion, fields);
  commitJsonFile(disk, path);
}

/**
 * Makes the object durable beside the file, which stays as it is: what follows takes no more room on the
 * disk. Throws `DISK`.
 */
export function prepareJsonFile(
  disk: Disk,
  path: string,
  formatVersion: number,
  fields: Record<string, unknown>,
): void {
  const unfinished = unfinishedPath(path);
  if (disk.existsSync(unfinished)) disk.removeSync(unfinished);
  const file = disk.openSync(unfinished, { create: true });
  const said = { formatVersion, ...fields };
  const text = JSON.stringify({ ...said, checksum: checksumOf(said) }, undefined, 2);
  try {
    file.writeSync(0, Buffer.from(`${text}\n`, 'utf8'));
    file.syncSync();
  } finally {
    file.closeSync();
  }
}

/** Puts what was prepared in the place of the file, durably. Throws `DISK`. */
export function commitJsonFile(disk: Disk, path: string): void {
  disk.renameSync(unfinishedPath(path), path);
  disk.syncDirectorySync('.');
}

/** Of the fields and their order, not of how the file is laid out. 8 hexadecimal digits. */
function checksumOf(said: Record<string, unknown>): string {
  return crc32(JSON.stringify(said)).toString(16).padStart(8, '0');
}

function unfinishedPath(path: string): string {
  return `${path}.tmp`;
}

function parseObject(path: string, text: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw damaged(path, (cause as Error).message);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw damaged(path, 'it holds no object');
  return json as Record<string, unknown>;
}

function damaged(path: string, why: string): KvorumError {
  const message = `${path} is damaged (${why}): restore the data folder, or replace the member`;
  return new KvorumError('CORRUPT', message, { details: { path } });
}
