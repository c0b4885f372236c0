// The disk of one virtual machine. It outlives the processes that use it; each process gets its own handle.
// Work takes virtual time, a write reaches the page cache when it completes, a sync covers what was complete
// when it was asked for. A process that dies leaves the page cache as it is; a power cut leaves the durable
// image and, of the rest, what fate keeps. Faults are set from outside by the plan.

import type { Disk, DiskFile, Done } from '../../../base/env.js';
import { concatBytes } from '../../../base/bytes.js';
import { Dice } from '../dice.js';
import type { Scheduler } from '../scheduler.js';
import { diskUnitBytes, type UnsyncedFate, type VirtualFile } from './file.js';
import { diskError, type EntryFate, VirtualFolders } from './folders.js';
import type { VirtualProcess } from '../machine/process.js';

export interface DiskTimes {
  /** Microseconds: the least, and the mean of the exponential part on top. */
  readonly writeUsMin: number;
  readonly writeUsMean: number;
  readonly syncUsMin: number;
  readonly syncUsMean: number;
  /** The smallest piece that is written whole. Default 512. */
  readonly unitBytes?: number;
  /** Whether a crash may leave a part of a piece all the same. Default false. */
  readonly tearsUnits?: boolean;
}

/** How a machine goes down. `kill`: the process only; the page cache stays. */
export type DiskCrash =
  | { readonly kind: 'kill' }
  | { readonly kind: 'power'; readonly unsynced: UnsyncedFate; readonly entries: EntryFate };

interface WriteUnderWay {
  readonly file: VirtualFile;
  readonly offset: number;
  /** Taken only when the write is over: a writer that changes them meanwhile spoils its own file. */
  readonly parts: readonly Uint8Array[];
}

/** However slow or stuck: what is asked for before the healing is done soon after. */
export const largestDelayUs = 3_000_000;

export class VirtualDisk {
  private readonly scheduler: Scheduler;
  private readonly times: DiskTimes;
  private readonly dice: Dice;
  folders: VirtualFolders;
  private readonly writesUnderWay = new Set<WriteUnderWay>();
  /** Fault: work is slower by this factor, 1 or more. */
  slowness = 1;
  /** Fault: nothing completes before this moment. Microseconds of virtual time. */
  stuckUntilUs = 0;
  /** Fault: the next sync fails with EIO, and its data never reaches the disk. */
  failNextSync = false;
  /** Fault: the next write fails with EIO, and none or the first part of it is written. */
  failNextWrite: 'none' | 'part' | undefined;
  /** Fault: the next read fails with EIO. */
  failNextRead = false;
  /** Fault: with this chance an operation takes so much longer. */
  spikes: { readonly chance: number; readonly spikeUs: number } | undefined;
  /** Size of the file system in bytes. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /**
   * Called before each operation with an effect; the world uses it to crash a process between two of them.
   */
  onEffect: () => void = () => undefined;

  constructor(scheduler: Scheduler, seed: number, name: string, times: DiskTimes) {
    this.scheduler = scheduler;
    this.times = times;
    this.dice = new Dice(seed, `disk ${name}`);
    this.folders = this.newFolders();
  }

  /** The disk as `process` sees it. */
  attach(process: VirtualProcess): Disk {
    return new ProcessDisk(this, process);
  }

  /** The process that used the disk is gone, in the given way. */
  crash(crash: DiskCrash): void {
    for (const { file, offset, parts } of this.writesUnderWay) {
      if (crash.kind === 'kill') file.writePart(offset, concatBytes(parts), this.dice);
      else file.write(offset, concatBytes(parts));
    }
    this.writesUnderWay.clear();
    if (crash.kind === 'kill') return;
    this.folders.losePower(crash.entries, this.dice);
    for (const file of this.folders.files()) file.losePower(crash.unsynced, this.dice);
  }

  usedBytes(): number {
    let bytes = 0;
    for (const file of this.folders.files()) bytes += file.size;
    return bytes;
  }

  freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.usedBytes());
  }

  /** Damage: nothing is left. Only while no process runs. */
  wipe(): void {
    this.folders = this.newFolders();
  }

  /** A copy of everything as programs see it now, all of it durable. */
  copy(): VirtualFolders {
    return this.folders.copy();
  }

  /** Damage: the disk is what it was when the copy was made. Only while no process runs. */
  restore(copy: VirtualFolders): void {
    this.folders = copy.copy();
  }

  /**
   * Throws `DISK` when the write would make the file grow beyond what is free, or when the fault for the
   * next write is set, which it clears. What fits, or was written before the fault, is there.
   */
  checkWrite(file: VirtualFile, path: string, offset: number, parts: readonly Uint8Array[]): void {
    const fault = this.failNextWrite;
    if (fault === undefined && this.capacityBytes === Infinity) return;
    this.failNextWrite = undefined;
    const bytes = concatBytes(parts);
    if (fault === 'part') file.write(offset, bytes.subarray(0, bytes.length >> 1));
    if (fault !== undefined) throw diskError('EIO', 'write', path);
    const end = offset + bytes.length;
    const free = this.freeBytes();
    if (end - file.size <= free) return;
    const fitting = Math.max(0, file.size + free - offset);
    if (fitting > 0) file.write(offset, bytes.subarray(0, fitting));
    throw diskError('ENOSPC', 'write', path);
  }

  /** Throws `DISK` when the fault for the next read is set, and clears it. */
  checkRead(path: string): void {
    if (!this.failNextRead) return;
    this.failNextRead = false;
    throw diskError('EIO', 'read', path);
  }

  /** Makes the writes before the mark durable, or throws `DISK` when the fault for the next sync is set. */
  sync(file: VirtualFile, path: string, mark: number): void {
    if (this.failNextSync) {
      this.failNextSync = false;
      file.forgetPending();
      throw diskError('EIO', 'sync', path);
    }
    file.syncUpTo(mark);
  }

  /** Remembers a write until `finish` is called, so that a crash meanwhile can tear it. */
  beginWrite(file: VirtualFile, offset: number, parts: readonly Uint8Array[]): () => void {
    const write: WriteUnderWay = { file, offset, parts };
    this.writesUnderWay.add(write);
    return () => {
      this.writesUnderWay.delete(write);
      file.write(offset, concatBytes(parts));
    };
  }

  /** Runs `action` for `process` when an operation of the given sort is over. */
  later(sort: 'read' | 'write' | 'sync', process: VirtualProcess, action: () => void): void {
    const { writeUsMin, writeUsMean, syncUsMin, syncUsMean } = this.times;
    const [min, mean] = sort === 'sync' ? [syncUsMin, syncUsMean] : [writeUsMin, writeUsMean];
    const exponential = -Math.log(1 - this.dice.fraction()) * mean;
    const { spikes } = this;
    const spikeUs = spikes !== undefined && this.dice.chance(spikes.chance) ? spikes.spikeUs : 0;
    const delayUs = Math.min(largestDelayUs, (min + exponential) * this.slowness + spikeUs);
    const stuckUs = this.stuckUntilUs - this.scheduler.nowUs;
    this.scheduler.schedule(Math.max(delayUs, stuckUs), 'disk', process, action);
  }

  private newFolders(): VirtualFolders {
    const { unitBytes, tearsUnits } = this.times;
    return new VirtualFolders({ unitBytes: unitBytes ?? diskUnitBytes, tearsUnits: tearsUnits ?? false });
  }
}

/** The calls of one process. Once it has no effect any more, changes fail and nothing completes. */
class ProcessDisk implements Disk {
  private readonly disk: VirtualDisk;
  private readonly process: VirtualProcess;

  constructor(disk: VirtualDisk, process: VirtualProcess) {
    this.disk = disk;
    this.process = process;
  }

  openSync(path: string, options: { create: boolean }): DiskFile {
    if (options.create) {
      this.effect('create', path);
      return new ProcessFile(this.disk, this.process, path, this.disk.folders.create(path));
    }
    const file = this.disk.folders.file(path);
    if (file === undefined) throw diskError('ENOENT', 'open', path);
    return new ProcessFile(this.disk, this.process, path, file);
  }

  createZeroed(
    path: string,
    bytes: number,
    done: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void {
    const file = attempt(() => {
      const opened = this.openSync(path, { create: true });
      return { opened, inode: this.disk.folders.file(path) as VirtualFile };
    });
    this.disk.later('sync', this.process, () => {
      const filled = attempt(() => {
        const { opened, inode } = file();
        this.effect('write', path);
        const zeros = new Uint8Array(bytes);
        this.disk.checkWrite(inode, path, 0, [zeros]);
        inode.write(0, zeros);
        this.disk.sync(inode, path, inode.mark());
        return opened;
      });
      deliver(filled, done);
    });
  }

  existsSync(path: string): boolean {
    return this.disk.folders.exists(path);
  }

  listSync(directory: string): string[] {
    return this.disk.folders.list(directory);
  }

  makeDirectorySync(directory: string): void {
    this.effect('mkdir', directory);
    this.disk.folders.makeDirectory(directory);
  }

  renameSync(from: string, to: string): void {
    this.effect('rename', from);
    this.disk.folders.rename(from, to);
  }

  removeSync(path: string): void {
    this.effect('unlink', path);
    this.disk.folders.remove(path);
  }

  syncDirectorySync(directory: string): void {
    this.effect('sync', directory);
    this.disk.folders.syncUpTo(directory, this.disk.folders.mark(directory));
  }

  syncDirectory(directory: string, done: Done): void {
    const mark = attempt(() => this.disk.folders.mark(directory));
    this.disk.later('sync', this.process, () => {
      const synced = attempt(() => {
        this.effect('sync', directory);
        this.disk.folders.syncUpTo(directory, mark());
      });
      deliver(synced, done);
    });
  }

  freeBytes(done: (error: Error | undefined, bytes: number) => void): void {
    this.disk.later('read', this.process, () => done(undefined, this.disk.freeBytes()));
  }

  private effect(action: string, path: string): void {
    this.disk.onEffect();
    if (!this.process.effective) throw diskError('EIO', action, path);
  }
}

class ProcessFile implements DiskFile {
  readonly path: string;
  private readonly disk: VirtualDisk;
  private readonly process: VirtualProcess;
  private readonly file: VirtualFile;
  private closed = false;

  constructor(disk: VirtualDisk, process: VirtualProcess, path: string, file: VirtualFile) {
    this.disk = disk;
    this.process = process;
    this.path = path;
    this.file = file;
  }

  sizeSync(): number {
    this.checkOpen('stat');
    return this.file.size;
  }

  readSync(offset: number, length: number): Uint8Array {
    this.checkOpen('read');
    this.disk.checkRead(this.path);
    return this.file.read(offset, length);
  }

  read(offset: number, length: number, done: (error: Error | undefined, bytes: Uint8Array) => void): void {
    this.checkOpen('read');
    this.disk.later('read', this.process, () => {
      const read = attempt(() => {
        this.disk.checkRead(this.path);
        return this.file.read(offset, length);
      });
      deliver(read, (error, bytes) => done(error, bytes ?? new Uint8Array(0)));
    });
  }

  write(offset: number, parts: readonly Uint8Array[], done: Done): void {
    this.checkOpen('write');
    this.disk.onEffect();
    if (!this.process.effective) return;
    const checked = attempt(() => {
      this.disk.checkWrite(this.file, this.path, offset, parts);
      return this.disk.beginWrite(this.file, offset, parts);
    });
    this.disk.later('write', this.process, () => {
      deliver(
        attempt(() => checked()()),
        done,
      );
    });
  }

  writeSync(offset: number, bytes: Uint8Array): void {
    this.checkOpen('write');
    this.effect('write');
    this.disk.checkWrite(this.file, this.path, offset, [bytes]);
    this.file.write(offset, bytes);
  }

  sync(done: Done): void {
    this.checkOpen('sync');
    this.disk.onEffect();
    if (!this.process.effective) return;
    const mark = this.file.mark();
    this.disk.later('sync', this.process, () => {
      deliver(
        attempt(() => this.disk.sync(this.file, this.path, mark)),
        done,
      );
    });
  }

  syncSync(): void {
    this.checkOpen('sync');
    this.effect('sync');
    this.disk.sync(this.file, this.path, this.file.mark());
  }

  closeSync(): void {
    this.checkOpen('close');
    this.closed = true;
  }

  private checkOpen(action: string): void {
    if (this.closed) throw diskError('EBADF', action, this.path);
  }

  private effect(action: string): void {
    this.disk.onEffect();
    if (!this.process.effective) throw diskError('EIO', action, this.path);
  }
}

/** Runs `action` now and returns a function that gives its result, or throws what it threw. */
function attempt<T>(action: () => T): () => T {
  try {
    const value = action();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}

function deliver<T>(result: () => T, done: (error: Error | undefined, value: T | undefined) => void): void {
  let value: T | undefined;
  let failure: Error | undefined;
  try {
    value = result();
  } catch (error) {
    failure = error as Error;
  }
  done(failure, value);
}
