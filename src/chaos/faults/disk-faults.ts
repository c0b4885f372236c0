// Faults of a killed node's disk, made in its real files. A torn tail touches only bytes after the last
// completed sync, which a crash may lose; damage touches synced bytes, which no crash does, and which the
// node must notice. Must never be done to a node that runs, and damage never in a way that no reader could
// tell from a log that ends there.

import { closeSync, existsSync, fstatSync, openSync, readdirSync, truncateSync } from 'node:fs';
import { readFileSync, readSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Prng } from '../../base/prng.js';
import { fullDiskMarker, heldSyncsMarker, syncNoteBytes, syncNoteName } from './sync-notes.js';

/** Where a node keeps its data, and the notes about it. */
export interface NodeFolders {
  readonly dataDirectory: string;
  readonly chaosFolder: string;
}

/** A segment of the log that holds something. */
interface NotedSegment {
  /** In the data folder. */
  readonly path: string;
  readonly fullPath: string;
  /** Everything below is durable. */
  readonly syncedBytes: number;
  /** What was given to the system ends here. */
  readonly writtenBytes: number;
  readonly changedAtMs: number;
}

/** Of the header of a segment: a segment without more holds nothing yet. */
const headerBytes = 4_096;
const sectorBytes = 512;
/** A write that had just begun when the machine stopped may have reached so far beyond what was noted. */
const beginningWriteBytes = 16_384;

/**
 * Loses, tears or garbles what the node had not synced when it was killed. What was done in words, or
 * `undefined` when the node has no log yet.
 */
export function tearTail(folders: NodeFolders, dice: Prng): string | undefined {
  const newest = notedSegments(folders)[0];
  if (newest === undefined) return undefined;
  const file = openSync(newest.fullPath, 'r+');
  try {
    const from = newest.syncedBytes;
    const most = newest.writtenBytes + dice.integer(0, beginningWriteBytes);
    const to = Math.min(most, fstatSync(file).size);
    if (to <= from) return undefined;
    const mode = dice.pick(['lost', 'partly lost', 'partly garbage', 'garbage'] as const);
    const bytes = Buffer.alloc(to - from);
    readSync(file, bytes, 0, bytes.length, from);
    for (let at = 0; at < bytes.length;) {
      // Sectors as the disk has them: what is synced in the first one stays.
      const end = Math.min(bytes.length, at + sectorBytes - ((from + at) % sectorBytes));
      const whole = mode === 'lost' || mode === 'garbage';
      if (whole || dice.chance(0.5)) {
        if (mode.includes('lost')) bytes.fill(0, at, end);
        else bytes.set(dice.bytes(end - at), at);
      }
      at = end;
    }
    writeSync(file, bytes, 0, bytes.length, from);
    const unsynced = newest.writtenBytes - from;
    return `${newest.path}: bytes ${from} to ${to} ${mode}, of which ${unsynced} were written and not synced`;
  } finally {
    closeSync(file);
  }
}

/**
 * Flips a bit in the synced part of a segment, or cuts its file off before the synced end. What was done in
 * words, or `undefined` when there is not enough log to damage so that it can be noticed.
 */
export function damageLog(folders: NodeFolders, dice: Prng): string | undefined {
  const segments = notedSegments(folders).filter(({ syncedBytes }) => syncedBytes > 4 * headerBytes);
  if (segments.length === 0) return undefined;
  const segment = dice.pick(segments);
  // Only the first half: that a valid batch follows is how a reader tells damage from the end of the log.
  const at = dice.integer(headerBytes, headerBytes + Math.floor((segment.syncedBytes - headerBytes) / 2));
  const synced = `synced up to ${segment.syncedBytes}`;
  if (dice.chance(0.3)) {
    truncateSync(segment.fullPath, at);
    return `${segment.path}: cut off at ${at}, ${synced}`;
  }
  return `${segment.path}: ${flipBit(segment.fullPath, at, dice)}, ${synced}`;
}

/**
 * Flips a bit of a table of the store. What was done in words, or `undefined` when there is no table. The
 * node notices it when it reads the place, which may be never.
 */
export function rotStore({ dataDirectory }: NodeFolders, dice: Prng): string | undefined {
  const store = inUse(dataDirectory).store;
  const names = existsSync(join(dataDirectory, store)) ? readdirSync(join(dataDirectory, store)) : [];
  const tables = names.filter((name) => /\.(ldb|sst)$/.test(name)).map((name) => `${store}/${name}`);
  if (tables.length === 0) return undefined;
  const path = dice.pick(tables.sort());
  const fullPath = join(dataDirectory, path);
  const size = statSync(fullPath).size;
  return size === 0 ? undefined : `${path}: ${flipBit(fullPath, dice.integer(0, size - 1), dice)}`;
}

function flipBit(path: string, at: number, dice: Prng): string {
  const file = openSync(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    readSync(file, byte, 0, 1, at);
    const bit = dice.integer(0, 7);
    byte[0] = (byte[0] ?? 0) ^ (1 << bit);
    writeSync(file, byte, 0, 1, at);
    return `bit ${bit} of byte ${at} flipped`;
  } finally {
    closeSync(file);
  }
}

/** From now on the node's log and new files get no space, or get it again. */
export function setDiskFull({ chaosFolder }: NodeFolders, full: boolean): void {
  setMarker(join(chaosFolder, fullDiskMarker), full);
}

/**
 * From now on no sync of the node's log ends, or they do again: a kill then finds writes without their sync.
 */
export function holdSyncs({ chaosFolder }: NodeFolders, hold: boolean): void {
  setMarker(join(chaosFolder, heldSyncsMarker), hold);
}

function setMarker(path: string, present: boolean): void {
  if (present) writeFileSync(path, '');
  else rmSync(path, { force: true });
}

/** Segments with content, the one written to last first. */
function notedSegments({ dataDirectory, chaosFolder }: NodeFolders): NotedSegment[] {
  const found: NotedSegment[] = [];
  const { log } = inUse(dataDirectory);
  if (!existsSync(join(dataDirectory, log))) return found;
  for (const name of readdirSync(join(dataDirectory, log))) {
    const path = `${log}/${name}`;
    const notePath = join(chaosFolder, syncNoteName(path));
    if (!name.endsWith('.wal') || !existsSync(notePath)) continue;
    const note = readFileSync(notePath);
    if (note.length !== syncNoteBytes) continue;
    const syncedBytes = Number(note.readBigUInt64LE(0));
    const writtenBytes = Number(note.readBigUInt64LE(8));
    if (syncedBytes <= headerBytes) continue;
    const fullPath = join(dataDirectory, path);
    found.push({ path, fullPath, syncedBytes, writtenBytes, changedAtMs: statSync(notePath).mtimeMs });
  }
  return found.sort((a, b) => b.changedAtMs - a.changedAtMs);
}

/** As storage/folder/current.ts has it: others may wait to be removed, and nobody reads those any more. */
function inUse(dataDirectory: string): { readonly log: string; readonly store: string } {
  const path = join(dataDirectory, 'current.json');
  if (!existsSync(path)) return { log: 'wal', store: 'db' };
  const { log, store } = JSON.parse(readFileSync(path, 'utf8')) as { log?: unknown; store?: unknown };
  return { log: typeof log === 'string' ? log : 'wal', store: typeof store === 'string' ? store : 'db' };
}
