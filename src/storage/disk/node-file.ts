// One open file of a data folder, and how what is open and under way is counted, so that a node can end with
// nothing left behind. Must never report less or more than the system said: short writes are continued, and
// each failure is a `DISK` error that names path, offset and errno.

import * as fs from 'node:fs';
import { asBuffer } from '../../base/bytes.js';
import type { DiskFile, Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';

/** The system's calls that may do less than they were asked for. */
export type WriteCalls = Pick<typeof fs, 'write' | 'writev' | 'writevSync'>;

/** What a disk has open and under way. */
export class FolderUses {
  readonly files = new Set<NodeFile>();
  private underWay = 0;
  private isEnding = false;
  private whenIdle: (() => void) | undefined;

  /** An operation begins, and ends when what is returned has been called. */
  begin<Results extends unknown[]>(done: (...results: Results) => void): (...results: Results) => void {
    this.underWay++;
    return (...results) => {
      try {
        done(...results);
      } finally {
        this.underWay--;
        if (this.underWay === 0) this.whenIdle?.();
      }
    };
  }

  /** Throws when the disk is at its end, or `file` was closed: its number may be another file's by now. */
  assertOpen(file?: NodeFile): void {
    if (this.isEnding) throw new Error('the disk is closed');
    if (file !== undefined && !this.files.has(file)) throw new Error('the file is closed');
  }

  async end(): Promise<void> {
    this.isEnding = true;
    if (this.underWay > 0) await new Promise<void>((resolve) => (this.whenIdle = resolve));
    // What was to be durable was synced: whether a file closes changes nothing.
    for (const file of [...this.files]) file.discard();
  }
}

export class NodeFile implements DiskFile {
  readonly path: string;
  private readonly descriptor: number;
  private readonly calls: WriteCalls;
  private readonly uses: FolderUses;

  constructor(path: string, descriptor: number, calls: WriteCalls, uses: FolderUses) {
    this.path = path;
    this.descriptor = descriptor;
    this.calls = calls;
    this.uses = uses;
    uses.files.add(this);
  }

  sizeSync(): number {
    return attempt('ask the size of', this.path, undefined, () => fs.fstatSync(this.descriptor).size);
  }

  readSync(offset: number, length: number): Uint8Array {
    return attempt('read', this.path, offset, () => {
      this.uses.assertOpen(this);
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

  read(
    offset: number,
    length: number,
    whenDone: (error: Error | undefined, bytes: Uint8Array) => void,
  ): void {
    const done = this.uses.begin(whenDone);
    const refusal = this.refusal('read', offset);
    if (refusal !== undefined) {
      process.nextTick(done, refusal, noBytes);
      return;
    }
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

  write(offset: number, parts: readonly Uint8Array[], whenDone: Done): void {
    const done = this.uses.begin(whenDone);
    const refusal = this.refusal('write to', offset);
    if (refusal !== undefined) {
      process.nextTick(done, refusal);
      return;
    }
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes <= inlineWriteBytesMax) this.writeInline(offset, parts, done);
    else this.writeInPool(offset, parts, done);
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    attempt('write to', this.path, offset, () => {
      this.uses.assertOpen(this);
      this.writeWhole(offset, [bytes]);
    });
  }

  sync(whenDone: Done): void {
    const done = this.uses.begin(whenDone);
    const refusal = this.refusal('sync');
    if (refusal !== undefined) {
      process.nextTick(done, refusal);
      return;
    }
    fs.fdatasync(this.descriptor, (error) => {
      done(error === null ? undefined : diskError('sync', this.path, undefined, error));
    });
  }

  syncSync(): void {
    attempt('sync', this.path, undefined, () => {
      this.uses.assertOpen(this);
      fs.fdatasyncSync(this.descriptor);
    });
  }

  closeSync(): void {
    if (!this.uses.files.delete(this)) return;
    attempt('close', this.path, undefined, () => fs.closeSync(this.descriptor));
  }

  /** Closes a file that nobody relies on: whether that succeeds changes nothing. */
  discard(): void {
    try {
      this.closeSync();
    } catch {
      // It is to be forgotten.
    }
  }

  /** What an operation that begins now must fail with. */
  private refusal(action: string, offset?: number): Error | undefined {
    try {
      attempt(action, this.path, offset, () => this.uses.assertOpen(this));
      return undefined;
    } catch (error) {
      return error as Error;
    }
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

export function attempt<T>(action: string, path: string, offset: number | undefined, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw diskError(action, path, offset, error as Error);
  }
}

export function diskError(
  action: string,
  path: string,
  offset: number | undefined,
  cause: Error,
): KvorumError {
  const errno = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
  const place = offset === undefined ? path : `${path} at offset ${offset}`;
  return new KvorumError('DISK', `cannot ${action} ${place}: ${errno}`, {
    details: { path, offset, errno },
    cause,
  });
}
