// A `Disk` in memory that fails and crashes on demand. It keeps what programs see apart from what is durable,
// so that after any operation the images that a power cut could leave can be made: of unsynced writes any
// subset of 512-byte units survives, of unsynced names any subset. Callbacks run when the test drains the
// queue.

import type { Disk, DiskFile, Done } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import type { Prng } from '../../src/base/prng.js';

const unitBytes = 512;

export type Operation =
  'open' | 'createZeroed' | 'read' | 'write' | 'sync' | 'rename' | 'remove' | 'syncDirectory';

interface PendingWrite {
  readonly offset: number;
  readonly bytes: Buffer;
}

interface PendingName {
  readonly directory: string;
  readonly set?: readonly [path: string, contents: Contents];
  readonly remove?: string;
}

/** The bytes of one file, whatever its name. */
export class Contents {
  current: Buffer;
  private durable: Buffer;
  private pending: PendingWrite[] = [];

  constructor(bytes: Buffer) {
    this.current = Buffer.from(bytes);
    this.durable = Buffer.from(bytes);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.current = placed(this.current, offset, bytes);
    this.pending.push({ offset, bytes: Buffer.from(bytes) });
  }

  sync(): void {
    this.durable = Buffer.from(this.current);
    this.pending = [];
  }

  /** The kernel marks the pages clean after a failed sync: they stay readable and are never written. */
  failSync(): void {
    this.pending = [];
  }

  /** What a power cut now could leave. A unit holds the state after any prefix of the writes to it. */
  afterPowerCut(random: Prng): Contents {
    let bytes: Buffer = Buffer.from(this.durable);
    const survival = random.pick([0, 0.5, 0.9, 1]);
    const cutOff = new Set<number>();
    for (const { offset, bytes: written } of this.pending) {
      for (let at = 0; at < written.length;) {
        const unit = Math.floor((offset + at) / unitBytes);
        const end = Math.min(written.length, (unit + 1) * unitBytes - offset);
        if (!cutOff.has(unit) && random.chance(survival))
          bytes = placed(bytes, offset + at, written.subarray(at, end));
        else cutOff.add(unit);
        at = end;
      }
    }
    return new Contents(bytes);
  }
}

export class FaultDisk implements Disk {
  readonly files = new Map<string, Contents>();
  /** Called after every operation that changes something: a moment at which the power could fail. */
  onChange: () => void = () => undefined;
  /** Says, for an operation about to happen, which errno it fails with. */
  failure: (operation: Operation, path: string) => string | undefined = () => undefined;
  /** Bytes that files may take in all. */
  capacityBytes = Number.POSITIVE_INFINITY;
  readonly log: string[] = [];
  private durableNames = new Map<string, Contents>();
  private pendingNames: PendingName[] = [];
  private readonly later: (callback: () => void) => void;

  constructor(later: (callback: () => void) => void, files: Iterable<readonly [string, Contents]> = []) {
    this.later = later;
    for (const [path, contents] of files) {
      this.files.set(path, contents);
      this.durableNames.set(path, contents);
    }
  }

  /** A disk as a power cut now could leave it. */
  afterPowerCut(random: Prng, later: (callback: () => void) => void): FaultDisk {
    const names = new Map(this.durableNames);
    const keepsAll = random.chance(0.3);
    for (const { set, remove } of this.pendingNames) {
      if (!keepsAll && random.chance(0.5)) continue;
      if (remove !== undefined) names.delete(remove);
      if (set !== undefined) names.set(set[0], set[1]);
    }
    const files = [...names].map(([path, contents]) => [path, contents.afterPowerCut(random)] as const);
    return new FaultDisk(later, files);
  }

  /** A disk with the same files as programs see them now, as after a killed process or on a copy. */
  copy(later: (callback: () => void) => void): FaultDisk {
    return new FaultDisk(
      later,
      [...this.files].map(([path, contents]) => [path, new Contents(contents.current)] as const),
    );
  }

  bytesOf(path: string): Buffer {
    const contents = this.files.get(path);
    if (contents === undefined) throw new Error(`no file ${path}`);
    return contents.current;
  }

  openSync(path: string, options: { create: boolean }): DiskFile {
    this.check('open', path);
    const known = this.files.get(path);
    if (!options.create) {
      if (known === undefined) throw diskError('ENOENT', 'open', path);
      return new FaultFile(this, path, known);
    }
    if (known !== undefined) throw diskError('EEXIST', 'create', path);
    const contents = new Contents(Buffer.alloc(0));
    this.rename({ directory: folderOf(path), set: [path, contents] });
    return new FaultFile(this, path, contents);
  }

  createZeroed(
    path: string,
    bytes: number,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void {
    this.async(done as Done, () => {
      this.check('createZeroed', path);
      const file = this.openSync(path, { create: true });
      this.take(bytes, path);
      file.writeSync(0, Buffer.alloc(bytes));
      file.syncSync();
      done(undefined, file);
    });
  }

  existsSync(path: string): boolean {
    return this.files.has(path);
  }

  listSync(directory: string): string[] {
    const names = [...this.files.keys()].filter((path) => folderOf(path) === directory);
    return names.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort();
  }

  makeDirectorySync(): void {
    this.onChange();
  }

  renameSync(from: string, to: string): void {
    this.check('rename', to);
    const contents = this.files.get(from);
    if (contents === undefined) throw diskError('ENOENT', 'rename', from);
    this.rename({ directory: folderOf(to), set: [to, contents], remove: from });
  }

  removeSync(path: string): void {
    this.check('remove', path);
    if (!this.files.has(path)) throw diskError('ENOENT', 'remove', path);
    this.rename({ directory: folderOf(path), remove: path });
  }

  syncDirectorySync(directory: string): void {
    this.check('syncDirectory', directory);
    const covered = this.pendingNames.filter((change) => change.directory === directory);
    this.pendingNames = this.pendingNames.filter((change) => change.directory !== directory);
    for (const { set, remove } of covered) {
      if (remove !== undefined) this.durableNames.delete(remove);
      if (set !== undefined) this.durableNames.set(set[0], set[1]);
    }
    this.onChange();
  }

  syncDirectory(directory: string, done: Done): void {
    this.async(done, () => {
      this.syncDirectorySync(directory);
      done(undefined);
    });
  }

  freeBytes(done: (error: Error | undefined, bytes: number) => void): void {
    this.later(() => done(undefined, this.capacityBytes));
  }

  /** Runs `operation` later; a DISK error that it throws goes to `done`. */
  async(done: Done, operation: () => void): void {
    this.later(() => {
      try {
        operation();
      } catch (error) {
        if (!KvorumError.is(error, 'DISK')) throw error;
        done(error);
      }
    });
  }

  check(operation: Operation, path: string): void {
    this.log.push(`${operation} ${path}`);
    const errno = this.failure(operation, path);
    if (errno !== undefined) throw diskError(errno, operation, path);
  }

  /** All files, bytes. */
  get usedBytes(): number {
    return [...this.files.values()].reduce((sum, contents) => sum + contents.current.length, 0);
  }

  /** A file is about to grow. */
  take(bytes: number, path: string): void {
    if (bytes > 0 && this.usedBytes + bytes > this.capacityBytes) throw diskError('ENOSPC', 'write to', path);
  }

  private rename(change: PendingName): void {
    if (change.remove !== undefined) this.files.delete(change.remove);
    if (change.set !== undefined) this.files.set(change.set[0], change.set[1]);
    this.pendingNames.push(change);
    this.onChange();
  }
}

class FaultFile implements DiskFile {
  readonly path: string;
  private readonly disk: FaultDisk;
  private readonly contents: Contents;
  private closed = false;

  constructor(disk: FaultDisk, path: string, contents: Contents) {
    this.disk = disk;
    this.path = path;
    this.contents = contents;
  }

  sizeSync(): number {
    return this.contents.current.length;
  }

  readSync(offset: number, length: number): Uint8Array {
    this.use('read');
    return new Uint8Array(this.contents.current.subarray(offset, offset + length));
  }

  read(offset: number, length: number, done: (error: Error | undefined, bytes: Uint8Array) => void): void {
    const fail: Done = (error) => done(error, new Uint8Array(0));
    this.disk.async(fail, () => {
      const bytes = this.readSync(offset, length);
      done(undefined, bytes);
    });
  }

  write(offset: number, parts: readonly Uint8Array[], done: Done): void {
    this.disk.async(done, () => {
      this.writeSync(offset, Buffer.concat(parts));
      done(undefined);
    });
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.use('write');
    this.disk.take(offset + bytes.length - this.sizeSync(), this.path);
    this.contents.write(offset, bytes);
    this.disk.onChange();
  }

  sync(done: Done): void {
    this.disk.async(done, () => {
      this.syncSync();
      done(undefined);
    });
  }

  syncSync(): void {
    try {
      this.use('sync');
    } catch (error) {
      this.contents.failSync();
      throw error;
    }
    this.contents.sync();
    this.disk.onChange();
  }

  closeSync(): void {
    this.closed = true;
  }

  private use(operation: Operation): void {
    if (this.closed) throw new Error(`${operation} of ${this.path} after close`);
    this.disk.check(operation, this.path);
  }
}

function diskError(errno: string, action: string, path: string): KvorumError {
  return new KvorumError('DISK', `cannot ${action} ${path}: ${errno}`, { details: { path, errno } });
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '.' : path.slice(0, slash);
}

function placed(buffer: Buffer, offset: number, bytes: Uint8Array): Buffer {
  const target = offset + bytes.length <= buffer.length ? buffer : Buffer.alloc(offset + bytes.length);
  if (target !== buffer) buffer.copy(target);
  target.set(bytes, offset);
  return target;
}
