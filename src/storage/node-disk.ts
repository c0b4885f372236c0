// The real `Disk`: files of one data folder through node:fs, callbacks for what takes time (faster than
// promises and FileHandles). Must never report less or more than the system said: short writes are continued,
// and each failure is a `DISK` error that names path, offset and errno.

import * as fs from 'node:fs';
import { join } from 'node:path';
import { asBuffer } from '../base/bytes.js';
import type { Disk, DiskFile, Done } from '../base/env.js';
import { KvorumError } from '../base/errors.js';

/** Zeros are written in pieces, each synced, so that one sync never has to wait for very much. */
const zeroPieceBytes = 2 * 1024 * 1024;

/** The system's calls that may do less than they were asked for. */
export type WriteCalls = Pick<typeof fs, 'write' | 'writev' | 'writevSync'>;

/** A `Disk` whose paths are relative to `root`, a folder that exists. */
export class NodeDisk implements Disk {
  private readonly root: string;
  private readonly calls: WriteCalls;

  /** `calls`: the system's own, unless a test wants short writes. */
  constructor(root: string, calls: WriteCalls = fs) {
    this.root = root;
    this.calls = calls;
  }

  openSync(path: string, options: { create: boolean }): DiskFile {
    const flags = options.create ? 'wx+' : 'r+';
    return attempt(
      'open',
      path,
      undefined,
      () => new NodeDiskFile(path, fs.openSync(this.full(path), flags, 0o600), this.calls),
    );
  }

  createZeroed(
    path: string,
    bytes: number,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void {
    fs.open(this.full(path), 'wx+', 0o600, (openError, descriptor) => {
      if (openError !== null) {
        done(diskError('create', path, undefined, openError), undefined);
        return;
      }
      const file = new NodeDiskFile(path, descriptor, this.calls);
      const zeros = Buffer.alloc(Math.min(zeroPieceBytes, bytes));
      const fill = (offset: number): void => {
        const piece = zeros.subarray(0, Math.min(zeros.length, bytes - offset));
        file.write(offset, [piece], (writeError) => {
          if (writeError !== undefined) fail(writeError);
          else file.sync((syncError) => afterPiece(offset + piece.length, syncError));
        });
      };
      const afterPiece = (offset: number, error: Error | undefined): void => {
        if (error !== undefined) fail(error);
        else if (offset < bytes) fill(offset);
        else done(undefined, file);
      };
      const fail = (error: Error): void => {
        fs.close(descriptor, () => done(error, undefined));
      };
      fill(0);
    });
  }

  existsSync(path: string): boolean {
    return fs.existsSync(this.full(path));
  }

  listSync(directory: string): string[] {
    return attempt('list', directory, undefined, () => {
      try {
        return fs.readdirSync(this.full(directory)).sort();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
        throw error;
      }
    });
  }

  makeDirectorySync(directory: string): void {
    attempt('make the folder', directory, undefined, () => {
      fs.mkdirSync(this.full(directory), { recursive: true, mode: 0o700 });
    });
  }

  renameSync(from: string, to: string): void {
    attempt('rename', from, undefined, () => fs.renameSync(this.full(from), this.full(to)));
  }

  removeSync(path: string): void {
    attempt('remove', path, undefined, () => fs.unlinkSync(this.full(path)));
  }

  syncDirectorySync(directory: string): void {
    if (!canSyncFolders) return;
    attempt('sync the folder', directory, undefined, () => {
      const descriptor = fs.openSync(this.full(directory), 'r');
      try {
        fs.fsyncSync(descriptor);
      } finally {
        fs.closeSync(descriptor);
      }
    });
  }

  syncDirectory(directory: string, done: Done): void {
    syncFolder(this.full(directory), directory, done);
  }

  freeBytes(done: (error: Error | undefined, bytes: number) => void): void {
    fs.statfs(this.root, (error, stats) => {
      if (error !== null) done(diskError('ask the free space of', this.root, undefined, error), 0);
      else done(undefined, stats.bavail * stats.bsize);
    });
  }

  private full(path: string): string {
    return join(this.root, path);
  }
}

/** Windows cannot sync a folder; its file systems order changes of names by themselves. */
const canSyncFolders = process.platform !== 'win32';

/** Syncs the folder `fullPath`, which errors call `path`. `done` gets `DISK`. */
export function syncFolder(fullPath: string, path: string, done: Done): void {
  if (!canSyncFolders) {
    setImmediate(() => done(undefined));
    return;
  }
  fs.open(fullPath, 'r', (openError, descriptor) => {
    if (openError !== null) {
      done(diskError('open the folder', path, undefined, openError));
      return;
    }
    fs.fsync(descriptor, (syncError) => {
      fs.close(descriptor, () => {
        done(syncError === null ? undefined : diskError('sync the folder', path, undefined, syncError));
      });
    });
  });
}

class NodeDiskFile implements DiskFile {
  readonly path: string;
  private readonly descriptor: number;
  private readonly calls: WriteCalls;
  private closed = false;

  constructor(path: string, descriptor: number, calls: WriteCalls) {
    this.path = path;
    this.descriptor = descriptor;
    this.calls = calls;
  }

  sizeSync(): number {
    return attempt('ask the size of', this.path, undefined, () => fs.fstatSync(this.descriptor).size);
  }

  readSync(offset: number, length: number): Uint8Array {
    return attempt('read', this.path, offset, () => {
      const buffer = Buffer.allocUnsafeSlow(length);
      let read = 0;
      while (read < length) {
        const bytes = fs.readSync(this.descriptor, buffer, read, length - read, offset + read);
        if (bytes === 0) break;
        read += bytes;
      }
      return buffer.subarray(0, read);
    });
  }

  read(offset: number, length: number, done: (error: Error | undefined, bytes: Uint8Array) => void): void {
    const buffer = Buffer.allocUnsafeSlow(length);
    const readFrom = (start: number): void => {
      fs.read(this.descriptor, buffer, start, length - start, offset + start, (error, bytes) => {
        if (error !== null) done(diskError('read', this.path, offset + start, error), noBytes);
        else if (bytes === 0 || start + bytes === length) done(undefined, buffer.subarray(0, start + bytes));
        else readFrom(start + bytes);
      });
    };
    readFrom(0);
  }

  write(offset: number, parts: readonly Uint8Array[], done: Done): void {
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes <= inlineWriteBytesMax) this.writeInline(offset, parts, done);
    else this.writeInPool(offset, parts, done);
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    attempt('write to', this.path, offset, () => this.writeWhole(offset, [bytes]));
  }

  sync(done: Done): void {
    fs.fdatasync(this.descriptor, (error) => {
      done(error === null ? undefined : diskError('sync', this.path, undefined, error));
    });
  }

  syncSync(): void {
    attempt('sync', this.path, undefined, () => fs.fdatasyncSync(this.descriptor));
  }

  closeSync(): void {
    if (this.closed) return;
    this.closed = true;
    attempt('close', this.path, undefined, () => fs.closeSync(this.descriptor));
  }

  /**
   * A copy into the page cache is done before a thread of the pool would have woken up; the sync still goes
   * there.
   */
  private writeInline(offset: number, parts: readonly Uint8Array[], done: Done): void {
    let failure: Error | undefined;
    try {
      this.writeWhole(offset, parts);
    } catch (error) {
      failure = diskError('write to', this.path, offset, error as Error);
    }
    process.nextTick(done, failure);
  }

  private writeWhole(offset: number, parts: readonly Uint8Array[]): void {
    let rest: readonly Uint8Array[] = afterBytes(parts, 0);
    for (let at = offset; rest.length > 0;) {
      const bytes = this.calls.writevSync(this.descriptor, rest as Uint8Array[], at);
      if (bytes === 0) throw new Error('nothing was written');
      at += bytes;
      rest = afterBytes(rest, bytes);
    }
  }

  private writeInPool(offset: number, parts: readonly Uint8Array[], done: Done): void {
    const only = parts.length === 1 ? parts[0] : undefined;
    const wrote = (error: Error | null, bytes: number, given: readonly Uint8Array[]): void => {
      if (error !== null) {
        done(diskError('write to', this.path, offset, error));
        return;
      }
      const rest = afterBytes(given, bytes);
      if (rest.length === 0) done(undefined);
      else if (bytes === 0) done(diskError('write to', this.path, offset, new Error('nothing was written')));
      else this.writeInPool(offset + bytes, rest, done);
    };
    if (only !== undefined) {
      this.calls.write(this.descriptor, only, 0, only.length, offset, (error, bytes) =>
        wrote(error, bytes, [only]),
      );
    } else {
      this.calls.writev(this.descriptor, parts as Uint8Array[], offset, (error, bytes) =>
        wrote(error, bytes, parts),
      );
    }
  }
}

/** Writes up to this size are made on the calling thread. */
const inlineWriteBytesMax = 65_536;
const noBytes = new Uint8Array(0);

/** What is left of the parts after their first `bytes` bytes. */
function afterBytes(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = bytes;
  for (const part of parts) {
    if (skip >= part.length) {
      skip -= part.length;
      continue;
    }
    rest.push(asBuffer(part).subarray(skip));
    skip = 0;
  }
  return rest;
}

function attempt<T>(action: string, path: string, offset: number | undefined, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw diskError(action, path, offset, error as Error);
  }
}

function diskError(action: string, path: string, offset: number | undefined, cause: Error): KvorumError {
  const errno = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
  const place = offset === undefined ? path : `${path} at offset ${offset}`;
  return new KvorumError('DISK', `cannot ${action} ${place}: ${errno}`, {
    details: { path, offset, errno },
    cause,
  });
}
