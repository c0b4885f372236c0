// The real `Disk`: files of one data folder through node:fs, callbacks for what takes time (faster than
// promises and FileHandles). Must never report less or more than the system said: each failure is a `DISK`
// error that names path, offset and errno.

import * as fs from 'node:fs';
import { join } from 'node:path';
import type { Disk, DiskFile, Done } from '../../base/env.js';
import { Descriptors } from './descriptors.js';
import { attempt, diskError, FolderUses, NodeFile, type WriteCalls } from './node-file.js';

/** Zeros are written in pieces, each synced, so that one sync never has to wait for very much. */
const zeroPieceBytes = 2 * 1024 * 1024;

/** A `Disk` whose paths are relative to `root`, a folder that exists. */
export class NodeDisk implements Disk {
  private readonly root: string;
  private readonly calls: WriteCalls;
  private readonly descriptors: Descriptors;
  private readonly uses = new FolderUses();

  /** `calls`: the system's own, unless a test wants short writes. `descriptors` are closed with the disk. */
  constructor(root: string, calls: WriteCalls = fs, descriptors: Descriptors = new Descriptors()) {
    this.root = root;
    this.calls = calls;
    this.descriptors = descriptors;
  }

  openSync(path: string, options: { create: boolean }): DiskFile {
    const flags = options.create ? 'wx+' : 'r+';
    return attempt('open', path, undefined, () => {
      this.uses.assertOpen();
      const open = (): number => fs.openSync(this.full(path), flags, 0o600);
      return new NodeFile(path, this.descriptors.sync(`open ${path}`, open), this.calls, this.uses);
    });
  }

  createZeroed(
    path: string,
    bytes: number,
    whenDone: (error: Error | undefined, file: DiskFile | undefined) => void,
  ): void {
    const done = this.uses.begin(whenDone);
    this.create(path, (openError, descriptor) => {
      if (openError !== undefined) {
        done(diskError('create', path, undefined, openError), undefined);
        return;
      }
      const file = new NodeFile(path, descriptor, this.calls, this.uses);
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
        file.discard();
        done(error, undefined);
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
        return this.descriptors.sync(`list ${directory}`, () => fs.readdirSync(this.full(directory)).sort());
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
      const open = (): number => fs.openSync(this.full(directory), 'r');
      const descriptor = this.descriptors.sync(`open the folder ${directory}`, open);
      try {
        fs.fsyncSync(descriptor);
      } finally {
        fs.closeSync(descriptor);
      }
    });
  }

  syncDirectory(directory: string, done: Done): void {
    syncFolder(this.full(directory), directory, this.uses.begin(done), this.descriptors);
  }

  freeBytes(whenDone: (error: Error | undefined, bytes: number) => void): void {
    const done = this.uses.begin(whenDone);
    fs.statfs(this.root, (error, stats) => {
      if (error !== null) done(diskError('ask the free space of', this.root, undefined, error), 0);
      else done(undefined, stats.bavail * stats.bsize);
    });
  }

  /**
   * Waits for what is under way and closes what a node that ended has left open. After it nobody else can be
   * disturbed by what this disk was told: a write that was still on its way would destroy what a successor
   * has written. What is begun from now on fails with `DISK`.
   */
  closeAll(): Promise<void> {
    this.descriptors.close();
    return this.uses.end();
  }

  private create(path: string, done: (error: Error | undefined, descriptor: number) => void): void {
    this.descriptors.wait<number>(
      `create ${path}`,
      (opened) => {
        fs.open(this.full(path), 'wx+', 0o600, (error, descriptor) => opened(error ?? undefined, descriptor));
      },
      done,
    );
  }

  private full(path: string): string {
    return join(this.root, path);
  }
}

/** Windows cannot sync a folder; its file systems order changes of names by themselves. */
const canSyncFolders = process.platform !== 'win32';

/** Syncs the folder `fullPath`, which errors call `path`. `done` gets `DISK`. */
export function syncFolder(fullPath: string, path: string, done: Done, descriptors: Descriptors): void {
  if (!canSyncFolders) {
    setImmediate(() => done(undefined));
    return;
  }
  descriptors.wait<number>(
    `open the folder ${path}`,
    (opened) => fs.open(fullPath, 'r', (error, descriptor) => opened(error ?? undefined, descriptor)),
    (openError, descriptor) => {
      if (openError !== undefined) {
        done(diskError('open the folder', path, undefined, openError));
        return;
      }
      fs.fsync(descriptor, (syncError) => {
        fs.close(descriptor, () => {
          done(syncError === null ? undefined : diskError('sync the folder', path, undefined, syncError));
        });
      });
    },
  );
}
