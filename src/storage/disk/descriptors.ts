// What is done when the system has no file descriptor left: whoever needed one waits and tries again. That
// says nothing about the disk, so it must never count as a fault of it. Some descriptors are held back that
// name nothing: what cannot wait, because it is synchronous, takes their place.

import * as fs from 'node:fs';
import type { Millis, Report } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { StorageEvent } from '../events.js';
import { errnoOf } from '../wal/segments.js';

/** Of the system, as a test may replace them. */
export interface DescriptorCalls {
  /** Opens something that is always there. Throws when there is no descriptor for it. */
  open(): number;
  close(descriptor: number): void;
  /** Stands still for this long. */
  pause(ms: Millis): void;
}

export interface DescriptorsOptions {
  /** How many are held back. Default 0. */
  readonly spares?: number;
  readonly report?: Report<StorageEvent>;
  /** Gives up descriptors that are needed less, such as those of connections. */
  readonly shed?: () => void;
  readonly calls?: DescriptorCalls;
}

/** How many a node holds back. */
export const spareDescriptors = 4;

const pauseMsMin = 5;
const pauseMsMax = 500;
/** Tries that fail although there are descriptors. */
const inVainMax = 10;
/** What is synchronous holds up the whole process: it waits this often, each time twice as long. */
const syncPausesMax = 8;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

const systemCalls: DescriptorCalls = {
  open: () => fs.openSync(process.platform === 'win32' ? 'NUL' : '/dev/null', 'r'),
  close: (descriptor) => fs.closeSync(descriptor),
  pause: (ms) => void Atomics.wait(sleeper, 0, 0, ms),
};

/** Whether it was a descriptor, of this process or of the whole system, that was missing. */
export function isOutOfDescriptors(error: unknown): boolean {
  if (/\b(EMFILE|ENFILE)\b|Too many open files/i.test(errnoOf(error) ?? '')) return true;
  // LevelDB gives the system's words instead of its name for them, beside a code of its own.
  if (!(error instanceof Error) || !('code' in error) || !/^LEVEL_/.test(String(error.code))) return false;
  return /Too many open files/i.test(error.message) || isOutOfDescriptors(error.cause);
}

export class Descriptors {
  private readonly options: DescriptorsOptions;
  private readonly calls: DescriptorCalls;
  private readonly spares: number[] = [];
  private readonly sparesMax: number;
  private isShort = false;
  private isClosed = false;

  constructor(options: DescriptorsOptions = {}) {
    this.options = options;
    this.calls = options.calls ?? systemCalls;
    this.sparesMax = options.spares ?? 0;
    this.refill();
  }

  /** As `run`, which opens something and is done at once. Throws what `run` throws, `DISK` after waiting. */
  sync<T>(action: string, run: () => T): T {
    for (let pauses = 0; ; pauses++) {
      try {
        const value = run();
        this.refill();
        return value;
      } catch (error) {
        if (!isOutOfDescriptors(error)) throw error;
        if (pauses === syncPausesMax) throw outOfDescriptors(action, error);
        this.lack(action, error);
        if (!this.giveSpare()) this.calls.pause(pauseMsMin * 2 ** pauses);
      }
    }
  }

  /**
   * Runs `begin` until it ends in something else than a want of descriptors, and gives that to `done`. There
   * is no end to the waiting, nothing being wrong with what waits; only what finds none again and again while
   * there are some must have kept the error of another time, as LevelDB does after a compaction failed.
   */
  wait<T>(
    action: string,
    begin: (done: (error: Error | undefined, value: T) => void) => void,
    done: (error: Error | undefined, value: T) => void,
  ): void {
    let pauseMs = pauseMsMin;
    let inVain = 0;
    const ended = (error: Error | undefined, value: T): void => {
      if (error === undefined || !isOutOfDescriptors(error) || this.isClosed || inVain === inVainMax) {
        if (error === undefined) this.refill();
        done(error, value);
        return;
      }
      this.lack(action, error);
      inVain = this.holdBack() ? inVain + 1 : 0;
      this.giveSpare();
      setTimeout(() => begin(ended), pauseMs);
      pauseMs = Math.min(2 * pauseMs, pauseMsMax);
    };
    begin(ended);
  }

  /** As `wait`, for what promises. */
  promised<T>(action: string, begin: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.wait<T | undefined>(
        action,
        (done) => {
          begin().then(
            (value) => done(undefined, value),
            (error: unknown) => done(error instanceof Error ? error : new Error(String(error)), undefined),
          );
        },
        (error, value) => (error === undefined ? resolve(value as T) : reject(error)),
      );
    });
  }

  /** Nothing waits any longer, and nothing is held back. */
  close(): void {
    this.isClosed = true;
    while (this.giveSpare());
  }

  private lack(action: string, error: unknown): void {
    if (!this.isShort) {
      this.isShort = true;
      this.options.report?.({ kind: 'descriptorsShort', action, errno: errnoOf(error) ?? 'EMFILE' });
    }
    this.options.shed?.();
  }

  /** True when there was one to give up: what comes next may have it. */
  private giveSpare(): boolean {
    const spare = this.spares.pop();
    if (spare === undefined) return false;
    this.calls.close(spare);
    return true;
  }

  /** The shortage is over when as many are held back as should be. */
  private refill(): void {
    if (this.spares.length === this.sparesMax && !this.isShort) return;
    if (!this.holdBack() || !this.isShort) return;
    this.isShort = false;
    this.options.report?.({ kind: 'descriptorsAgain' });
  }

  /** Whether as many are held back as should be. */
  private holdBack(): boolean {
    if (this.isClosed) return false;
    try {
      while (this.spares.length < this.sparesMax) this.spares.push(this.calls.open());
      return true;
    } catch {
      return false;
    }
  }
}

function outOfDescriptors(action: string, cause: unknown): KvorumError {
  const errno = errnoOf(cause) ?? 'EMFILE';
  const fact = `cannot ${action}: too many files are open (${errno}), and none was closed while this waited`;
  const advice = 'nothing is damaged; raise the limit (ulimit -n) and start again';
  return new KvorumError('DISK', `${fact}; ${advice}`, { details: { errno }, cause });
}
