// The disk of a node under `kvorum chaos`: writes down beside the data folder how far each file is durable,
// so that a torn write can be made by hand once the node was killed, and lets the disk be full while a marker
// file says so. The notes themselves are not synced: they only have to survive the process, not the machine.
// Never part of a node that serves anyone; everything that is written still goes to the real disk first.

import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Disk, DiskFile, Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';

/** While this file is in the folder of the notes, nothing new can be stored. */
export const fullDiskMarker = 'full';
/** While this file is there, no sync of the log ends: for a kill between a write and its sync. */
export const heldSyncsMarker = 'hold';
/** How often is looked whether it is still there, in milliseconds. */
const holdPollMs = 5;
/** Two 64-bit integers: the end of what is synced, and the end of what was given to the system. */
export const syncNoteBytes = 16;

/** The name of the note about a file of the data folder. */
export function syncNoteName(path: string): string {
  return `${path.replaceAll('/', '~')}.note`;
}

/** The disk, with notes in `folder`, which is made when it is missing. */
export function withSyncNotes(disk: Disk, folder: string): Disk {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const notePath = (path: string): string => join(folder, syncNoteName(path));
  const note = (path: string, fresh: boolean): SyncNote =>
    new SyncNote(notePath(path), fresh, join(folder, heldSyncsMarker));
  const fullError = (action: string, path: string): KvorumError | undefined =>
    existsSync(join(folder, fullDiskMarker))
      ? new KvorumError('DISK', `cannot ${action} ${path}: ENOSPC`, { details: { path, errno: 'ENOSPC' } })
      : undefined;
  const refuseWhenFull = (action: string, path: string): void => {
    const error = fullError(action, path);
    if (error !== undefined) throw error;
  };
  return {
    openSync: (path, options) => {
      if (options.create) refuseWhenFull('create', path);
      return new NotedFile(disk.openSync(path, options), note(path, options.create));
    },
    createZeroed: (path, bytes, done) => {
      const error = fullError('create', path);
      if (error !== undefined) {
        setImmediate(() => done(error, undefined));
        return;
      }
      disk.createZeroed(path, bytes, (createError, file) => {
        // The zeros are no content: what counts as written begins with the first write after them.
        done(createError, file === undefined ? undefined : new NotedFile(file, note(path, true)));
      });
    },
    existsSync: (path) => disk.existsSync(path),
    listSync: (directory) => disk.listSync(directory),
    makeDirectorySync: (directory) => disk.makeDirectorySync(directory),
    renameSync: (from, to) => {
      disk.renameSync(from, to);
      if (existsSync(notePath(from))) renameSync(notePath(from), notePath(to));
    },
    removeSync: (path) => {
      disk.removeSync(path);
      rmSync(notePath(path), { force: true });
    },
    syncDirectorySync: (directory) => disk.syncDirectorySync(directory),
    syncDirectory: (directory, done) => disk.syncDirectory(directory, done),
    freeBytes: (done) => {
      disk.freeBytes((error, bytes) => done(error, fullError('use', folder) === undefined ? bytes : 0));
    },
  };
}

/** What is known of one file. Invariant: synced <= written. */
class SyncNote {
  private readonly descriptor: number;
  private readonly buffer = Buffer.alloc(syncNoteBytes);
  private synced = 0;
  private written = 0;
  private readonly holdMarker: string;

  /** `fresh`: the file begins empty, whatever an earlier one of its name left. */
  constructor(path: string, fresh: boolean, holdMarker: string) {
    this.holdMarker = holdMarker;
    const known = !fresh && existsSync(path);
    this.descriptor = openSync(path, known ? 'r+' : 'w+', 0o600);
    if (known && readSync(this.descriptor, this.buffer, 0, syncNoteBytes, 0) === syncNoteBytes) {
      this.synced = Number(this.buffer.readBigUInt64LE(0));
      this.written = Number(this.buffer.readBigUInt64LE(8));
    }
  }

  /** Bytes from `offset` to `end` are about to be written. */
  writing(offset: number, end: number, parts: readonly Uint8Array[]): void {
    const { written } = this;
    if (end <= written) return;
    // Zeros over the end of the content cut it off, as the repair of a torn tail does.
    if (parts.every(isZero)) this.written = Math.max(this.synced, Math.min(written, offset));
    else this.written = end;
    if (this.written !== written) this.store();
  }

  /** Whether syncs have to wait. */
  get isHeld(): boolean {
    return existsSync(this.holdMarker);
  }

  /** How far a sync that begins now reaches. */
  get syncing(): number {
    return this.written;
  }

  wasSynced(end: number): void {
    const synced = Math.min(end, this.written);
    if (synced <= this.synced) return;
    this.synced = synced;
    this.store();
  }

  close(): void {
    closeSync(this.descriptor);
  }

  /** One small write at the start of the file: a killed process leaves the old pair or the new one. */
  private store(): void {
    this.buffer.writeBigUInt64LE(BigInt(this.synced), 0);
    this.buffer.writeBigUInt64LE(BigInt(this.written), 8);
    writeSync(this.descriptor, this.buffer, 0, syncNoteBytes, 0);
  }
}

class NotedFile implements DiskFile {
  private readonly file: DiskFile;
  private readonly note: SyncNote;
  private closed = false;

  constructor(file: DiskFile, note: SyncNote) {
    this.file = file;
    this.note = note;
  }

  get path(): string {
    return this.file.path;
  }

  sizeSync(): number {
    return this.file.sizeSync();
  }

  readSync(offset: number, length: number): Uint8Array {
    return this.file.readSync(offset, length);
  }

  read(offset: number, length: number, done: (error: Error | undefined, bytes: Uint8Array) => void): void {
    this.file.read(offset, length, done);
  }

  write(offset: number, parts: readonly Uint8Array[], done: Done): void {
    let end = offset;
    for (const part of parts) end += part.length;
    this.note.writing(offset, end, parts);
    this.file.write(offset, parts, done);
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.note.writing(offset, offset + bytes.length, [bytes]);
    this.file.writeSync(offset, bytes);
  }

  sync(done: Done): void {
    if (this.note.isHeld && !this.closed) {
      setTimeout(() => this.sync(done), holdPollMs);
      return;
    }
    const end = this.note.syncing;
    this.file.sync((error) => {
      if (error === undefined && !this.closed) this.note.wasSynced(end);
      done(error);
    });
  }

  syncSync(): void {
    const end = this.note.syncing;
    this.file.syncSync();
    this.note.wasSynced(end);
  }

  closeSync(): void {
    if (this.closed) return;
    this.closed = true;
    this.note.close();
    this.file.closeSync();
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
