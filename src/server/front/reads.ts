// Reads. A linearizable read joins the next ReadIndex round of this node, whoever leads (§6.4), and is
// answered from the local state once that has been applied far enough. Nothing is answered from a state
// older than its level allows.

import { assertNever } from '../../base/assert.js';
import type { Clock, Millis, TimerHandle, Timers } from '../../base/env.js';
import type { ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import type { KeyRecord, Revision } from '../../kv/commands.js';
import type { Heavy, Pace, StateMachine } from '../../kv/state-machine.js';
import type { ConfirmedRead } from '../../raft/io.js';
import type { LogIndex } from '../../raft/types.js';
import { wireLimits } from '../../wire/limits.js';
import type { CountRequest, GetRequest, RangeRequest } from '../../wire/clients/requests.js';
import { errorAnswer, isDamage, type AnswerFrame, type Caller } from './caller.js';
import { HeavyReads } from './heavy-reads.js';

export type ReadFrame = GetRequest | RangeRequest | CountRequest;

type ReadAnswer = Extract<AnswerFrame, { kind: 'got' | 'page' | 'counted' | 'error' }>;

interface Read {
  readonly caller: Caller;
  readonly frame: ReadFrame;
  readonly deadlineMs: Millis;
  /** From then on it is not this node that it waits for. */
  readonly refuseAtMs: Millis;
}

/** Reads that share one ReadIndex. */
interface Round {
  reads: Read[];
  readonly startedMs: Millis;
}

/** A round that is confirmed and not reached. */
interface Behind {
  readonly readIndex: LogIndex;
  readonly round: Round;
}

/** A read of one key on behalf of any request. */
export interface LaterRead {
  readonly caller: Caller;
  readonly requestId: number;
  readonly deadlineMs: Millis;
  readonly key: ByteString;
  /** 0: now. */
  readonly revision: Revision;
  /** Called once: with the record at the revision that was read, or with why there is none. */
  give(error: Error | undefined, revision: Revision, record: KeyRecord | undefined): void;
}

/** A range that is one key. */
const onePage = {
  limit: 1,
  reverse: false,
  keysOnly: false,
  pageRecordsMax: 1,
  pageBytesMax: wireLimits.pageBytesMax,
} as const;

export interface ReadsOptions {
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly pendingReadsMax: number;
  readonly sliceMs: Millis;
  /** Random, so that an answer meant for an earlier process of this node is not taken for one of this. */
  readonly firstRequestId: number;
  /** Asks the core for a ReadIndex; `confirm` or `fail` follows. */
  requestReadIndex(requestId: number): void;
  /** There is a round to begin: call `flush` at the end of this turn. */
  wake(): void;
}

/**
 * A value up to this size is read for its answer at once, and so much of values in one turn; whatever is more
 * waits for its turn, and for room in its connection.
 */
const smallValueBytes = 16_384;
const turnValueBytesMax = 1_048_576;

/**
 * Reads that wait for a revision this node has not reached: they must not use up the places of all others.
 */
const revisionWaitersMax = 1_024;
/** Of one caller: a quarter. */
const callerRevisionWaitersMax = 256;

/**
 * Reads that wait for so long are refused: for their index, as while this node waits for a snapshot; or for a
 * leader to confirm them, as when its disk hangs and nothing leaves it. Another node need not be like that,
 * and gets what is left of the time of the request: about half of it.
 */
const waitMsMax = 3_000;

/** How often waiting reads are looked at. */
const waitCheckMs = 50;

export class Reads {
  private readonly options: ReadsOptions;
  private gathered: Read[] = [];
  private readonly rounds = new Map<number, Round>();
  private lastRequestId: number;
  /** Confirmed, but the state machine is not there yet. */
  private waitingForIndex: Behind[] = [];
  private waitingForRevision: Read[] = [];
  private readonly revisionWaitersOf = new Map<Caller, number>();
  private ready: Read[] = [];
  private readyPosition = 0;
  private readonly heavyReads: HeavyReads;
  /** Left of `turnValueBytesMax` in this turn. */
  private turnRoomBytes = turnValueBytesMax;
  private pending = 0;
  /**
   * When the newest round that this node's state has reached was begun: its state is at least as new as
   * that.
   */
  private freshAsOfMs = -Infinity;
  private scheduled = false;
  private revisionTimer: TimerHandle | undefined;
  private waitingTimer: TimerHandle | undefined;
  private halted = false;

  constructor(options: ReadsOptions) {
    this.options = options;
    this.lastRequestId = options.firstRequestId;
    this.heavyReads = new HeavyReads(options);
  }

  get pendingReads(): number {
    return this.pending;
  }

  submit(caller: Caller, frame: ReadFrame): void {
    if (this.pending >= this.options.pendingReadsMax) {
      const fact = `more than ${this.options.pendingReadsMax} reads wait on this node`;
      const message = `${fact}; try again or ask another node`;
      caller.answer(failed(frame, 'OVERLOADED', message));
      return;
    }
    this.pending++;
    const nowMs = this.options.clock.nowMs();
    const refuseAtMs = nowMs + Math.min(waitMsMax, frame.timeoutMs / 2);
    const read: Read = { caller, frame, deadlineMs: nowMs + frame.timeoutMs, refuseAtMs };
    if (this.mayAnswerNow(frame)) {
      this.ready.push(read);
      this.schedule();
      return;
    }
    if (this.gathered.length === 0) this.options.wake();
    this.gathered.push(read);
  }

  /** Begins one ReadIndex round for all reads gathered in this turn. */
  flush(): void {
    this.turnRoomBytes = turnValueBytesMax;
    this.heavyReads.roomMayHaveCome();
    if (this.gathered.length === 0 || this.halted) return;
    const round: Round = { reads: this.gathered, startedMs: this.options.clock.nowMs() };
    this.gathered = [];
    const requestId = ++this.lastRequestId;
    this.rounds.set(requestId, round);
    this.options.requestReadIndex(requestId);
    this.watchWaiting();
  }

  confirm(confirmed: readonly ConfirmedRead[]): void {
    for (const { requestId, readIndex } of confirmed) {
      const round = this.rounds.get(requestId);
      if (round === undefined) continue;
      this.rounds.delete(requestId);
      if (readIndex <= this.options.stateMachine.appliedIndex) this.release(round);
      else this.waitingForIndex.push({ readIndex, round });
    }
    this.watchWaiting();
    this.schedule();
  }

  fail(requestIds: readonly number[]): void {
    for (const requestId of requestIds) {
      const round = this.rounds.get(requestId);
      if (round === undefined) continue;
      this.rounds.delete(requestId);
      for (const read of round.reads) {
        this.finish(
          read,
          failed(read.frame, 'NOT_LEADER', 'no leader confirmed the read; ask the next leader'),
        );
      }
    }
  }

  /** The state machine has reached `index`. */
  reached(index: LogIndex): void {
    if (this.waitingForIndex.length > 0) {
      const waiting = this.waitingForIndex;
      this.waitingForIndex = [];
      for (const entry of waiting) {
        if (entry.readIndex <= index) this.release(entry.round);
        else this.waitingForIndex.push(entry);
      }
    }
    if (this.waitingForRevision.length > 0) {
      for (const read of this.waitingForRevision) this.ready.push(read);
      this.waitingForRevision = [];
      this.revisionWaitersOf.clear();
    }
    this.schedule();
  }

  /** A connection has room again. */
  drained(): void {
    this.heavyReads.roomMayHaveCome();
  }

  halt(): void {
    this.halted = true;
    this.heavyReads.halt();
    if (this.revisionTimer !== undefined) this.options.timers.clear(this.revisionTimer);
    if (this.waitingTimer !== undefined) this.options.timers.clear(this.waitingTimer);
  }

  /** Looks after what waits for a leader or for the state machine, until nothing does. */
  private watchWaiting(): void {
    if (this.waitingTimer !== undefined || this.halted) return;
    if (this.rounds.size === 0 && this.waitingForIndex.length === 0) return;
    this.waitingTimer = this.options.timers.set(waitCheckMs, () => {
      this.waitingTimer = undefined;
      if (this.halted) return;
      this.refuseUnconfirmed();
      this.refuseBehind();
      this.watchWaiting();
    });
  }

  private refuseUnconfirmed(): void {
    for (const [requestId, round] of this.rounds) {
      const isEmpty = this.refuseLate(round, () => 'no leader has confirmed the read to this node in time');
      if (isEmpty) this.rounds.delete(requestId);
    }
  }

  private refuseBehind(): void {
    const { stateMachine } = this.options;
    this.waitingForIndex = this.waitingForIndex.filter(({ readIndex, round }) => {
      const fact = (): string =>
        `this node has applied ${stateMachine.appliedIndex}, the read needs ${readIndex}`;
      return !this.refuseLate(round, fact);
    });
  }

  /** Refuses the reads of the round that have waited long enough. Whether none is left. */
  private refuseLate(round: Round, fact: () => string): boolean {
    const nowMs = this.options.clock.nowMs();
    const late = round.reads.filter(({ refuseAtMs }) => refuseAtMs <= nowMs);
    if (late.length === 0) return false;
    round.reads = round.reads.filter(({ refuseAtMs }) => refuseAtMs > nowMs);
    for (const read of late) {
      this.finish(read, failed(read.frame, 'UNAVAILABLE', `${fact()}; ask another node`));
    }
    return round.reads.length === 0;
  }

  /**
   * `serializable` always; `bounded` when a round that began recently enough has been reached. The leader
   * lease is an option of a later version: until then such a read is a linearizable one, which is what it
   * promises.
   */
  private mayAnswerNow(frame: ReadFrame): boolean {
    switch (frame.consistency.kind) {
      case 'serializable':
        return true;
      case 'bounded':
        return this.options.clock.nowMs() - this.freshAsOfMs <= frame.consistency.maxStalenessMs;
      case 'linearizable':
      case 'leaderLease':
        return false;
      default:
        return assertNever(frame.consistency);
    }
  }

  private release(round: Round): void {
    this.freshAsOfMs = Math.max(this.freshAsOfMs, round.startedMs);
    for (const read of round.reads) this.ready.push(read);
  }

  private schedule(): void {
    if (this.scheduled || this.halted || this.readyPosition >= this.ready.length) return;
    this.scheduled = true;
    this.options.timers.defer(() => {
      this.scheduled = false;
      if (!this.halted) this.slice();
    });
  }

  private slice(): void {
    const { clock, sliceMs } = this.options;
    const startedMs = clock.nowMs();
    for (let count = 1; this.readyPosition < this.ready.length; count++) {
      this.execute(this.ready[this.readyPosition++] as Read);
      // Reading the clock for each of many short reads would cost as much as the reads.
      if (count % 16 === 0 && clock.nowMs() - startedMs >= sliceMs) break;
    }
    if (this.readyPosition >= this.ready.length) {
      this.ready = [];
      this.readyPosition = 0;
    }
    this.schedule();
  }

  private execute(read: Read): void {
    const { frame, caller } = read;
    if (caller.isGone || caller.isCancelled(frame.requestId)) {
      this.finish(read, failed(frame, 'ABORTED', 'the client gave up'));
      return;
    }
    if (frame.minRevision > this.options.stateMachine.revision) {
      this.awaitRevision(read);
      return;
    }
    if (frame.kind === 'get') {
      this.executeGet(read, frame);
      return;
    }
    this.executeScan(read, frame);
  }

  /** What of a value may be read at once; more waits for its turn. */
  readNow(key: ByteString, revision: Revision): KeyRecord | undefined | Heavy {
    const bytesMax = Math.min(smallValueBytes, this.turnRoomBytes);
    const record = this.options.stateMachine.getWithin(key, revision, bytesMax);
    if (record === undefined || record === 'heavy') return record;
    if (this.turnRoomBytes === turnValueBytesMax) this.options.wake();
    this.turnRoomBytes -= record.value.length;
    return record;
  }

  /** One key at a revision, for which `readNow` had no room, to whoever it is for. */
  readLater(asked: LaterRead): void {
    this.heavyReads.add({
      caller: asked.caller,
      requestId: asked.requestId,
      deadlineMs: asked.deadlineMs,
      begin: (pace, ended) => {
        const query = { ...onePage, start: asked.key, end: `${asked.key}\x00`, revision: asked.revision };
        this.options.stateMachine.range(
          query,
          (error, page) => {
            if (!this.halted) asked.give(error, page.revision, page.records[0]);
            ended();
          },
          pace,
        );
      },
      refuse: (error) => asked.give(error, 0, undefined),
    });
  }

  private executeGet(read: Read, frame: GetRequest): void {
    const { caller, deadlineMs } = read;
    const { requestId, key } = frame;
    try {
      const record = this.readNow(key, frame.revision);
      const revision = frame.revision === 0 ? this.options.stateMachine.revision : frame.revision;
      if (record !== 'heavy') {
        this.finish(read, { kind: 'got', requestId, revision, record });
        return;
      }
      const give: LaterRead['give'] = (error, at, later) => {
        if (error !== undefined) this.finish(read, refused(frame, error));
        else this.finish(read, { kind: 'got', requestId, revision: at, record: later });
      };
      this.readLater({ caller, requestId, deadlineMs, key, revision: frame.revision, give });
    } catch (error) {
      this.finish(read, refused(frame, error));
    }
  }

  private executeScan(read: Read, frame: RangeRequest | CountRequest): void {
    this.heavyReads.add({
      caller: read.caller,
      requestId: frame.requestId,
      deadlineMs: read.deadlineMs,
      begin: (pace, ended) =>
        this.scan(frame, pace, (answer) => {
          if (!this.halted) this.finish(read, answer);
          ended();
        }),
      refuse: (error) => this.finish(read, refused(frame, error)),
    });
  }

  private scan(frame: RangeRequest | CountRequest, pace: Pace, done: (answer: ReadAnswer) => void): void {
    const { stateMachine } = this.options;
    const { requestId, start, end, revision } = frame;
    if (frame.kind === 'count') {
      stateMachine.count(
        { start, end, revision },
        (error, counted) => {
          if (error !== undefined) done(refused(frame, error));
          else done({ kind: 'counted', requestId, revision: counted.revision, count: counted.count });
        },
        pace,
      );
      return;
    }
    const { limit, reverse, keysOnly } = frame;
    const { pageRecordsMax, pageBytesMax } = wireLimits;
    stateMachine.range(
      { start, end, revision, limit, reverse, keysOnly, pageRecordsMax, pageBytesMax },
      (error, page) => {
        if (error !== undefined) done(refused(frame, error));
        else
          done({ kind: 'page', requestId, revision: page.revision, records: page.records, more: page.more });
      },
      pace,
    );
  }

  private awaitRevision(read: Read): void {
    if (this.options.clock.nowMs() >= read.deadlineMs) {
      const { revision } = this.options.stateMachine;
      const fact = `revision ${read.frame.minRevision} was not reached in time`;
      const message = `${fact}; this node is at ${revision}`;
      this.finish(read, failed(read.frame, 'TIMEOUT', message));
      return;
    }
    if (this.waitingForRevision.length >= revisionWaitersMax) {
      const message = `more than ${revisionWaitersMax} reads wait for a revision on this node; ask another`;
      this.finish(read, failed(read.frame, 'OVERLOADED', message));
      return;
    }
    const { caller } = read;
    const ofCaller = this.revisionWaitersOf.get(caller) ?? 0;
    if (ofCaller >= callerRevisionWaitersMax) {
      const fact = `more than ${callerRevisionWaitersMax} reads of this connection wait for a revision`;
      this.finish(read, failed(read.frame, 'OVERLOADED', `${fact}; send less at a time or ask another node`));
      return;
    }
    this.revisionWaitersOf.set(caller, ofCaller + 1);
    this.waitingForRevision.push(read);
    this.revisionTimer ??= this.options.timers.set(waitCheckMs, () => {
      this.revisionTimer = undefined;
      this.reached(this.options.stateMachine.appliedIndex);
    });
  }

  private finish(read: Read, answer: ReadAnswer): void {
    this.pending--;
    read.caller.answer(answer);
  }
}

function failed(frame: ReadFrame, code: string, message: string): ReadAnswer {
  return errorAnswer(frame.requestId, code, message);
}

/**
 * An error of the request goes to the client; anything else is a bug or a failing store and stops the node.
 */
function refused(frame: ReadFrame, error: unknown): ReadAnswer {
  if (!KvorumError.is(error) || isDamage(error)) throw error;
  return failed(frame, error.code, error.message);
}
