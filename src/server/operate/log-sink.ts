// Where the lines of a log wait to be written. Must never hold up the loop, nor take memory without end: one
// write is under way at a time, elsewhere than on the loop, and what does not fit is left out, counted, and
// told of once there is room. A reader that never reads, a full disk below a log file, a terminal that was
// stopped: the node goes on.

import type { Clock, Millis, TimerHandle, Timers } from '../../base/env.js';

/** Where bytes go: a descriptor, or what a test puts in its place. */
export interface LogOutput {
  /** May write less than it was given; EAGAIN when nothing can be written now. */
  write(bytes: Uint8Array, done: (error: NodeJS.ErrnoException | null, written: number) => void): void;
  /** As `write`, at once: at the end of the process. */
  writeSync(bytes: Uint8Array): number;
  close(): void;
}

export interface LogSinkOptions {
  readonly output: LogOutput;
  readonly clock: Clock;
  readonly timers: Timers;
  /** So many lines were lost since the last call, and there is room again. */
  onRoom(lines: number): void;
}

export const logBufferBytesMax = 1_048_576;
/** Errors are taken beyond that: why a node ended must not be lost in what it said before. */
const errorBytesMax = 65_536;
/** A pipe takes so much as a whole or not at all, so lines of several writers never mix. */
const pieceBytesMax = 4_096;
const retryMs: Millis = 50;
/** How long a write that is under way gets when the process ends at once. */
const lastPieceMs: Millis = 50;
const lastRetryMs: Millis = 5;
/** Pino's number for `error`. */
const errorLevel = 50;

const saysLevels: unique symbol = Symbol.for('pino.metadata');

export class LogSink {
  /** Pino says the level of each line in `lastLevel` before it writes it. */
  readonly [saysLevels] = true;
  lastLevel = 0;
  /** Since the start. */
  lostLines = 0;
  private readonly options: LogSinkOptions;
  private readonly lines: string[] = [];
  /** Of `lines` and `piece` together. */
  private bytes = 0;
  /** A write is under way: its descriptor must stay open. */
  private isWriting = false;
  private isClosed = false;
  private piece: { bytes: Uint8Array; readonly lines: number } | undefined;
  private retry: TimerHandle;
  private untoldLines = 0;
  private readonly whenEmpty = new Set<() => void>();

  constructor(options: LogSinkOptions) {
    this.options = options;
  }

  get bufferedBytes(): number {
    return this.bytes;
  }

  /** One line with its end, or several. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    const room = this.lastLevel >= errorLevel ? errorBytesMax : 0;
    if (this.isClosed || this.bytes + bytes > logBufferBytesMax + room) {
      this.lose(1);
      return;
    }
    this.bytes += bytes;
    this.lines.push(line);
    if (this.piece === undefined && this.retry === undefined) this.writeNext();
  }

  /** Resolves once everything has been written, or after `timeoutMs`. */
  flush(timeoutMs: Millis): Promise<void> {
    if (this.bytes === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        this.options.timers.clear(timer);
        this.whenEmpty.delete(end);
        resolve();
      };
      const timer = this.options.timers.set(timeoutMs, end);
      this.whenEmpty.add(end);
    });
  }

  /**
   * As `flush`, without the loop: the process is about to end. What is under way by then counts as written:
   * nobody can tell any more.
   */
  flushSync(timeoutMs: Millis): void {
    if (this.bytes === 0) return;
    const { clock, output } = this.options;
    const endMs = clock.nowMs() + timeoutMs;
    if (this.isWriting) {
      sleep(lastPieceMs);
      this.piece = undefined;
    }
    const rest = Buffer.concat([this.piece?.bytes ?? noBytes, Buffer.from(this.lines.join(''))]);
    this.forgetAll();
    for (let at = 0; at < rest.length && clock.nowMs() < endMs;) {
      try {
        at += output.writeSync(rest.subarray(at, at + pieceBytesMax));
      } catch (error) {
        if (!isForNow(error as NodeJS.ErrnoException)) return;
        sleep(lastRetryMs);
      }
    }
  }

  /** Nothing is written after it. */
  close(): void {
    if (this.retry !== undefined) this.options.timers.clear(this.retry);
    this.forgetAll();
    this.isClosed = true;
    if (!this.isWriting) this.options.output.close();
  }

  private writeNext(): void {
    let text = '';
    let lines = 0;
    let bytes = 0;
    for (let line = this.lines[0]; line !== undefined; line = this.lines[0]) {
      bytes += Buffer.byteLength(line);
      if (lines > 0 && bytes > pieceBytesMax) break;
      text += line;
      lines++;
      this.lines.shift();
    }
    if (lines === 0) {
      for (const done of this.whenEmpty) done();
      return;
    }
    this.writePiece({ bytes: Buffer.from(text), lines });
  }

  private writePiece(piece: { bytes: Uint8Array; readonly lines: number }): void {
    this.piece = piece;
    this.isWriting = true;
    this.options.output.write(piece.bytes, (error, written) => {
      this.isWriting = false;
      if (this.isClosed) this.options.output.close();
      if (this.piece !== piece) return;
      if (error !== null && !isForNow(error)) {
        // A full disk, or nobody at the other end: what comes later may pass.
        this.lose(piece.lines);
        this.bytes -= piece.bytes.length;
        this.piece = undefined;
        this.later(() => this.writeNext());
        return;
      }
      const bytes = error === null ? written : 0;
      this.bytes -= bytes;
      piece.bytes = piece.bytes.subarray(bytes);
      if (piece.bytes.length === 0) {
        this.piece = undefined;
        this.tellLost();
        if (this.piece === undefined) this.writeNext();
      } else if (bytes === 0) this.later(() => this.writePiece(piece));
      else this.writePiece(piece);
    });
  }

  private later(run: () => void): void {
    this.retry = this.options.timers.set(retryMs, () => {
      this.retry = undefined;
      run();
    });
  }

  private lose(lines: number): void {
    this.lostLines += lines;
    this.untoldLines += lines;
  }

  private tellLost(): void {
    if (this.untoldLines === 0 || this.bytes > logBufferBytesMax / 2) return;
    const lines = this.untoldLines;
    this.untoldLines = 0;
    this.options.onRoom(lines);
  }

  private forgetAll(): void {
    this.lines.length = 0;
    this.piece = undefined;
    this.bytes = 0;
    for (const done of this.whenEmpty) done();
  }
}

const noBytes = new Uint8Array(0);

/** Nothing is wrong with the output: it takes nothing at this moment. */
function isForNow({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EAGAIN' || code === 'EBUSY' || code === 'EINTR';
}

/** Holds up everything: only while the process ends. */
function sleep(ms: Millis): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
