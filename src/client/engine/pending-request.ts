// One request of a caller on its way through the engine: where it is, what is known about its copies on the
// wire, and when its time is over. Four states:
//   queued   waits for a session or a connection
//   delayed  backs off after a refusal
//   sent     belongs to a connection, which has it in its next message or has sent it
//   done     completed, exactly once and for good
// Readers see a union of the four; below it is one record with a tag, and every change is a method here that
// asserts where it may come from. The copies decide between the outcomes `none` and `unknown`: their number
// must never be lower than that of the copies that may still take effect, so it is counted here and nowhere
// else. It sends nothing and decides nothing about being sent again.

import { assert } from '../../base/assert.js';
import type { Outcome } from '../../base/errors.js';
import type { ErrorAnswer } from '../../wire/clients/answers.js';
import {
  requestRule,
  type EngineDone,
  type EngineRequest,
  type Lane,
  type ReadFrom,
  type RequestFrame,
  type RequestRule,
} from './requests.js';
import type { Session } from './session.js';
import { Alarm, type Timed, type TimerQueue } from './timer-queue.js';

/** What went wrong with the last try. */
export interface Cause {
  readonly code: string;
  readonly message: string;
}

/** A connection, as far as its requests know it. */
export interface RequestCarrier {
  readonly address: string;
  /** The request is not waited for any more; the node is told unless `quietly`. */
  forget(request: SentRequest, quietly: boolean): void;
}

/** What a request tells its engine. */
export interface RequestOwner {
  onDeadline(request: PendingRequest): void;
  onCancel(request: PendingRequest, cause: unknown): void;
  /** It has backed off for as long as it should; it is still `delayed`. */
  onRetry(request: PendingRequest): void;
}

/** What every request has, and all that can happen to one. */
export interface RequestFacts extends Timed {
  readonly request: EngineRequest;
  readonly lane: Lane;
  readonly isWrite: boolean;
  readonly readFrom: ReadFrom;
  /** Nobody but the leader can answer it. */
  readonly needsLeader: boolean;
  /** A read for which the node must have come as far as the cluster. */
  readonly readsNewest: boolean;
  /** Counted against `requestBytesMax`; an estimate of the frame's size without its fixed part. */
  readonly bytes: number;
  readonly rule: RequestRule<EngineRequest>;
  readonly done: EngineDone;
  readonly submittedAtMs: number;
  readonly timeoutMs: number;
  /** For writes. Set together with `sequence`; all tries carry the same stamp. */
  readonly session: Session | undefined;
  readonly sequence: number;
  /** Refusals in a row; decides the back-off. */
  readonly refusals: number;
  readonly cause: Cause | undefined;
  /** A node that just refused this read; another one is asked first. */
  readonly avoid: RequestCarrier | undefined;
  /**
   * Copies were sent of which it is not known that they had no effect and never will. Never of what changes
   * nothing.
   */
  readonly mayHaveEffect: boolean;
  /** `none` only when no copy can take effect. */
  readonly outcome: Outcome;
  /** The outcome if the request ends with this answer. */
  outcomeOf(code: string): Outcome;
  /** The frame of a try that begins now. */
  frame(requestId: number, nowMs: number): RequestFrame;

  /** Queued, without a stamp: gets one. */
  stamp(session: Session, sequence: number): void;
  /** Queued, and no copy may take effect: gives its stamp back. */
  unstamp(): void;
  /** queued -> sent: the connection takes it into its next message. */
  send(connection: RequestCarrier, requestId: number): void;
  /** Sent: the message with it has left, and from now on it may take effect. */
  left(nowMs: number): void;
  /** sent -> queued: the message with it could not leave. */
  unsent(): void;
  /** sent -> queued: its connection is lost. The copy may still take effect. */
  lost(cause: Cause): void;
  /** sent -> queued: another node is asked instead. The copy may still take effect. */
  takenBack(): void;
  /** Sent: the node has refused it. What comes of that is another call. */
  refused(connection: RequestCarrier, answer: ErrorAnswer): void;
  /** sent -> queued, after a refusal. */
  retry(): void;
  /** sent -> delayed, after a refusal: `onRetry` at that time. */
  delay(alarms: TimerQueue, untilMs: number): void;
  /** delayed -> queued. */
  wake(): void;
  /** Any but done -> done. */
  finish(): void;

  /** Gives up waiting. Without effect once completed. `cause` becomes the cause of the error. */
  cancel(cause?: unknown): void;
}

export interface QueuedRequest extends RequestFacts {
  readonly state: 'queued';
}

export interface DelayedRequest extends RequestFacts {
  readonly state: 'delayed';
}

export interface SentRequest extends RequestFacts {
  readonly state: 'sent';
  readonly connection: RequestCarrier;
  /** Its number there; every try has its own. */
  readonly requestId: number;
  /** False while it is only in the connection's next message. */
  readonly hasLeft: boolean;
  /** When it left; of the try before until then. */
  readonly sentAtMs: number;
}

export interface DoneRequest extends RequestFacts {
  readonly state: 'done';
}

export type PendingRequest = QueuedRequest | DelayedRequest | SentRequest | DoneRequest;

/** A request that is queued. */
export function createRequest(
  owner: RequestOwner,
  request: EngineRequest,
  nowMs: number,
  timeoutMs: number,
  done: EngineDone,
): PendingRequest {
  return new RequestRecord(owner, request, nowMs, timeoutMs, done) as PendingRequest;
}

/**
 * Whether the refused copy can take effect no more. For these two codes the state machine has
 * judged the copy and not executed it, whatever the node says of the write as a whole.
 */
function isDead(answer: ErrorAnswer): boolean {
  return answer.outcome === 'none' || answer.code === 'SESSION_EXPIRED' || answer.code === 'STALE';
}

class RequestRecord implements RequestFacts {
  state: PendingRequest['state'] = 'queued';
  readonly request: EngineRequest;
  readonly rule: RequestRule<EngineRequest>;
  readonly isWrite: boolean;
  readonly readFrom: ReadFrom;
  readonly readsNewest: boolean;
  readonly bytes: number;
  readonly done: EngineDone;
  readonly submittedAtMs: number;
  readonly timeoutMs: number;
  /** The caller's deadline. */
  readonly atMs: number;
  heapIndex = -1;
  connection: RequestCarrier | undefined = undefined;
  requestId = 0;
  hasLeft = false;
  sentAtMs = 0;
  session: Session | undefined = undefined;
  sequence = 0;
  refusals = 0;
  cause: Cause | undefined = undefined;
  avoid: RequestCarrier | undefined = undefined;
  /** The try that is under way was refused: it is over. */
  private isRefused = false;
  private copiesOpen = 0;
  private retryAlarm: Alarm | undefined = undefined;
  private readonly owner: RequestOwner;

  constructor(
    owner: RequestOwner,
    request: EngineRequest,
    nowMs: number,
    timeoutMs: number,
    done: EngineDone,
  ) {
    const rule = requestRule(request);
    this.owner = owner;
    this.request = request;
    this.rule = rule;
    this.isWrite = rule.lane === 'write';
    this.readFrom = rule.readFrom(request);
    this.readsNewest = rule.readsNewest(request);
    this.bytes = rule.bytes(request);
    this.done = done;
    this.submittedAtMs = nowMs;
    this.timeoutMs = timeoutMs;
    this.atMs = nowMs + timeoutMs;
  }

  get lane(): Lane {
    return this.rule.lane;
  }

  get needsLeader(): boolean {
    return this.readFrom === 'leaderOnly';
  }

  get mayHaveEffect(): boolean {
    return this.copiesOpen > 0;
  }

  get outcome(): Outcome {
    return this.copiesOpen > 0 ? 'unknown' : 'none';
  }

  /** STALE for a write whose caller waits cannot be explained: `unknown`. */
  outcomeOf(code: string): Outcome {
    return this.isWrite && code === 'STALE' ? 'unknown' : this.outcome;
  }

  frame(requestId: number, nowMs: number): RequestFrame {
    // What is left of the caller's time, for the node.
    const timeoutMs = Math.max(1, Math.ceil(this.atMs - nowMs));
    return this.rule.frame(this.request, requestId, timeoutMs, this.session?.stamp(this.sequence));
  }

  stamp(session: Session, sequence: number): void {
    this.expect('queued', 'stamped');
    assert(this.isWrite && this.session === undefined, 'a request got a stamp that it cannot have');
    this.session = session;
    this.sequence = sequence;
  }

  unstamp(): void {
    this.expect('queued', 'unstamped');
    assert(this.copiesOpen === 0, 'a write lost its stamp while a copy may take effect');
    this.session = undefined;
    this.sequence = 0;
  }

  send(connection: RequestCarrier, requestId: number): void {
    this.expect('queued', 'sent');
    assert(!this.isWrite || this.session !== undefined, 'a write was sent without a stamp');
    this.state = 'sent';
    this.connection = connection;
    this.requestId = requestId;
    this.hasLeft = false;
    this.isRefused = false;
  }

  left(nowMs: number): void {
    this.expect('sent', 'said to have left');
    assert(!this.hasLeft, 'one try of a request left twice');
    this.hasLeft = true;
    this.sentAtMs = nowMs;
    if (this.rule.takesEffect) this.copiesOpen++;
  }

  unsent(): void {
    this.expect('sent', 'returned');
    assert(!this.hasLeft, 'a request that had left was returned as unsent');
    this.toQueued();
  }

  lost(cause: Cause): void {
    this.expectOnTheWay('lost');
    this.cause = cause;
    this.toQueued();
  }

  takenBack(): void {
    this.expectOnTheWay('taken back');
    this.toQueued();
  }

  refused(connection: RequestCarrier, answer: ErrorAnswer): void {
    this.expectOnTheWay('refused');
    this.isRefused = true;
    if (this.rule.takesEffect && isDead(answer)) this.copiesOpen--;
    this.cause = { code: answer.code, message: `${connection.address}: ${answer.message}` };
    this.avoid = connection;
    this.refusals++;
  }

  retry(): void {
    assert(this.state === 'sent' && this.isRefused, 'a request was tried again without a refusal');
    this.toQueued();
  }

  delay(alarms: TimerQueue, untilMs: number): void {
    assert(this.state === 'sent' && this.isRefused, 'a request was delayed without a refusal');
    this.state = 'delayed';
    this.connection = undefined;
    this.retryAlarm ??= new Alarm(alarms, () => this.owner.onRetry(this as PendingRequest));
    this.retryAlarm.set(untilMs);
  }

  wake(): void {
    this.expect('delayed', 'woken');
    this.retryAlarm?.clear();
    this.toQueued();
  }

  finish(): void {
    assert(this.state !== 'done', 'a request was completed twice');
    this.retryAlarm?.clear();
    this.state = 'done';
    this.connection = undefined;
    this.session = undefined;
    this.sequence = 0;
  }

  cancel(cause?: unknown): void {
    this.owner.onCancel(this as PendingRequest, cause);
  }

  onTime(): void {
    this.owner.onDeadline(this as PendingRequest);
  }

  private toQueued(): void {
    this.state = 'queued';
    this.connection = undefined;
  }

  private expectOnTheWay(what: string): void {
    this.expect('sent', what);
    assert(this.hasLeft && !this.isRefused, 'a request that was not on its way cannot be lost or answered');
  }

  private expect(state: PendingRequest['state'], what: string): void {
    if (this.state !== state) assert(false, `a request was ${what} while ${this.state}`);
  }
}
