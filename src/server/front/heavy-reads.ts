// Reads that may take more than a plain get: ranges, counts, large values, ways far back in history. Few
// run at once, so what they hold in memory is bounded; each works in pieces, and pieces take turns within
// slices of the loop; the others wait, callers in turns. None begins while its caller's connection has no
// room for what it would bring: then it has read nothing yet. Must answer each read once, and let go of a
// read at its deadline, or when its caller is gone, between two pieces.

import type { Clock, Done, Millis, TimerHandle, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Pace } from '../../kv/state-machine.js';
import type { Caller } from './caller.js';

export interface HeavyRead {
  readonly caller: Caller;
  readonly requestId: number;
  readonly deadlineMs: Millis;
  /** Begins it. `pace` is asked between its pieces; `ended` is called once its answer is given. */
  begin(pace: Pace, ended: () => void): void;
  /** It was not begun, and will not be. */
  refuse(error: KvorumError): void;
}

export interface HeavyReadsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly sliceMs: Millis;
}

/** Running at once, and of one caller. Each may hold a page and what it reads for it, 2 MiB. */
const runningMax = 16;
const callerRunningMax = 4;

/** Waiting to begin, and of one caller. */
export const heavyWaitingMax = 65_536;
export const callerHeavyWaitingMax = 32_768;

/** How often those that wait are looked at: for their deadlines. */
const waitCheckMs = 50;

interface Piece {
  readonly read: HeavyRead;
  readonly goOn: Done;
}

/** What one caller has here. */
interface Line {
  readonly caller: Caller;
  waiting: HeavyRead[];
  running: number;
}

export class HeavyReads {
  private readonly options: HeavyReadsOptions;
  /** In the order of their turns. */
  private readonly lines = new Map<Caller, Line>();
  private runningCount = 0;
  private waitingCount = 0;
  private pieces: Piece[] = [];
  private isPieceDue = false;
  private isBeginDue = false;
  private checkTimer: TimerHandle | undefined;
  private halted = false;

  constructor(options: HeavyReadsOptions) {
    this.options = options;
  }

  get running(): number {
    return this.runningCount;
  }

  get waiting(): number {
    return this.waitingCount;
  }

  /** Begins it when its turn comes. Refuses it with `OVERLOADED` when too many wait. */
  add(read: HeavyRead): void {
    let line = this.lines.get(read.caller);
    if (this.waitingCount >= heavyWaitingMax) return refuseFull(read, heavyWaitingMax, 'on this node');
    if (line !== undefined && line.waiting.length >= callerHeavyWaitingMax) {
      return refuseFull(read, callerHeavyWaitingMax, 'of this connection');
    }
    if (line === undefined) {
      line = { caller: read.caller, waiting: [], running: 0 };
      this.lines.set(read.caller, line);
    }
    line.waiting.push(read);
    this.waitingCount++;
    this.scheduleBegin();
    this.watchWaiting();
  }

  /** End of a turn, or a connection has drained: there may be room again. */
  roomMayHaveCome(): void {
    if (this.waitingCount > 0) this.scheduleBegin();
  }

  halt(): void {
    this.halted = true;
    if (this.checkTimer !== undefined) this.options.timers.clear(this.checkTimer);
  }

  /** In a turn of its own: what was answered before has been sent, and counts as sent. */
  private scheduleBegin(): void {
    if (this.isBeginDue || this.halted) return;
    this.isBeginDue = true;
    this.options.timers.defer(() => {
      this.isBeginDue = false;
      if (!this.halted) this.beginSome();
    });
  }

  /** One of each caller, in turns, as long as there are places. */
  private beginSome(): void {
    let begun: number;
    do {
      begun = 0;
      for (const line of [...this.lines.values()]) {
        if (this.runningCount >= runningMax) return;
        this.dropUnwanted(line);
        const read = line.waiting[0];
        if (read === undefined || line.running >= callerRunningMax || line.caller.roomBytes <= 0) continue;
        line.waiting.shift();
        this.waitingCount--;
        // Whoever had a turn is the last of the next round.
        this.lines.delete(line.caller);
        this.lines.set(line.caller, line);
        this.begin(line, read);
        begun++;
      }
    } while (begun > 0);
  }

  private begin(line: Line, read: HeavyRead): void {
    line.running++;
    this.runningCount++;
    const pace: Pace = (goOn) => {
      this.pieces.push({ read, goOn });
      this.schedulePiece();
    };
    read.begin(pace, () => {
      line.running--;
      this.runningCount--;
      this.forgetEmpty(line);
      this.roomMayHaveCome();
    });
  }

  private schedulePiece(): void {
    if (this.isPieceDue || this.halted || this.pieces.length === 0) return;
    this.isPieceDue = true;
    this.options.timers.defer(() => {
      this.isPieceDue = false;
      if (!this.halted) this.slice();
    });
  }

  /** Pieces in the order in which they came: each read has one at most, so they take turns. */
  private slice(): void {
    const { clock, sliceMs } = this.options;
    const startedMs = clock.nowMs();
    const pieces = this.pieces;
    this.pieces = [];
    let done = 0;
    for (let nowMs = startedMs; done < pieces.length && nowMs - startedMs < sliceMs; nowMs = clock.nowMs()) {
      const { read, goOn } = pieces[done++] as Piece;
      goOn(whyUnwanted(read, nowMs));
    }
    this.pieces = [...pieces.slice(done), ...this.pieces];
    this.schedulePiece();
  }

  /** Refuses those at the head of the line that nobody waits for any more. */
  private dropUnwanted(line: Line): void {
    const nowMs = this.options.clock.nowMs();
    const kept = line.waiting.findIndex((read) => whyUnwanted(read, nowMs) === undefined);
    this.refuseSome(line, kept < 0 ? line.waiting : line.waiting.slice(0, kept), nowMs);
    line.waiting = kept < 0 ? [] : line.waiting.slice(kept);
    this.forgetEmpty(line);
  }

  private refuseSome(line: Line, reads: readonly HeavyRead[], nowMs: Millis): void {
    for (const read of reads) {
      this.waitingCount--;
      read.refuse(whyUnwanted(read, nowMs) ?? noRoom(line.caller));
    }
  }

  private forgetEmpty(line: Line): void {
    if (line.running === 0 && line.waiting.length === 0) this.lines.delete(line.caller);
  }

  private watchWaiting(): void {
    if (this.checkTimer !== undefined || this.halted || this.waitingCount === 0) return;
    this.checkTimer = this.options.timers.set(waitCheckMs, () => {
      this.checkTimer = undefined;
      if (this.halted) return;
      for (const line of [...this.lines.values()]) this.refuseLate(line);
      this.scheduleBegin();
      this.watchWaiting();
    });
  }

  private refuseLate(line: Line): void {
    const nowMs = this.options.clock.nowMs();
    const late = line.waiting.filter((read) => whyUnwanted(read, nowMs) !== undefined);
    if (late.length === 0) return;
    line.waiting = line.waiting.filter((read) => whyUnwanted(read, nowMs) === undefined);
    this.refuseSome(line, late, nowMs);
    this.forgetEmpty(line);
  }
}

function whyUnwanted({ caller, requestId, deadlineMs }: HeavyRead, nowMs: Millis): KvorumError | undefined {
  if (caller.isGone || caller.isCancelled(requestId)) return new KvorumError('ABORTED', 'the client gave up');
  return nowMs >= deadlineMs ? noRoom(caller) : undefined;
}

function noRoom({ roomBytes }: Caller): KvorumError {
  if (roomBytes > 0)
    return new KvorumError('TIMEOUT', 'the read was not done in time; ask for less at a time');
  const fact = 'the client reads its answers too slowly: there was no room for this one in time';
  return new KvorumError('OVERLOADED', `${fact}; ask for less at a time`);
}

function refuseFull(read: HeavyRead, max: number, where: string): void {
  const fact = `${max} reads of ranges, counts or large values wait ${where}`;
  read.refuse(new KvorumError('OVERLOADED', `${fact}; send less at a time`));
}
