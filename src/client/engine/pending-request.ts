// One request of a caller on its way through the engine: where it is, what is known about its copies on the
// wire, and when its time is over. It is completed exactly once. `copiesOpen` decides between the outcomes
// `none` and `unknown`, so it must never be lower than the number of copies that may still take effect.

import type { ByteString } from '../../base/bytes.js';
import type { KvorumError } from '../../base/errors.js';
import type { ClientOperation, Revision } from '../../kv/commands.js';
import type {
  Consistency,
  CountAnswer,
  GetAnswer,
  RangeAnswer,
  StatusAnswer,
  WriteAnswer,
} from '../../wire/protocol.js';
import type { Connection } from '../links/connection.js';
import type { Session } from './session.js';
import type { Alarm, Timed } from './timer-queue.js';

/**
 * `leader`: the leader's connection unless it is busy or missing; `nearest`: the connected node that answers
 * fastest; `leaderOnly`: nobody but the leader.
 */
export type ReadFrom = 'leader' | 'nearest' | 'leaderOnly';

interface ReadRequest {
  readonly consistency: Consistency;
  readonly revision: Revision;
  readonly minRevision: Revision;
  readonly readFrom: ReadFrom;
}

export interface EngineWrite {
  readonly kind: 'write';
  /** The engine keeps it until the write is decided; the bytes in it must not change. */
  readonly operation: ClientOperation;
}

export interface EngineGet extends ReadRequest {
  readonly kind: 'get';
  readonly key: ByteString;
}

/** One page of a range. */
export interface EngineRange extends ReadRequest {
  readonly kind: 'range';
  readonly start: ByteString;
  readonly end: ByteString | undefined;
  readonly limit: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
}

export interface EngineCount extends ReadRequest {
  readonly kind: 'count';
  readonly start: ByteString;
  readonly end: ByteString | undefined;
}

/** The view of one node; without `endpoint` of the leader, or of any node. */
export interface EngineStatus {
  readonly kind: 'status';
  /** host:port of an endpoint or of a member. */
  readonly endpoint?: string;
}

export type EngineRequest = EngineWrite | EngineGet | EngineRange | EngineCount | EngineStatus;

/** The node's answer as it came. A conflict is a result: `written` with the code CONFLICT. */
export type EngineResult = WriteAnswer | GetAnswer | RangeAnswer | CountAnswer | StatusAnswer;

/** Called exactly once, never before `submit` has returned. */
export type EngineDone = (result: EngineResult | KvorumError) => void;

/**
 * `queued`: waits for a session or a connection; `delayed`: backs off; `sent`: on a connection; `done`:
 * completed.
 */
export type RequestState = 'queued' | 'delayed' | 'sent' | 'done';

/** What went wrong with the last try. */
export interface Cause {
  readonly code: string;
  readonly message: string;
}

/** What a request tells its engine. */
export interface RequestOwner {
  onDeadline(request: PendingRequest): void;
  onCancel(request: PendingRequest, cause: unknown): void;
}

export class PendingRequest implements Timed {
  readonly request: EngineRequest;
  readonly isWrite: boolean;
  /** Counted against `requestBytesMax`; an estimate of the frame's size without its fixed part. */
  readonly bytes: number;
  readonly done: EngineDone;
  readonly submittedAtMs: number;
  readonly timeoutMs: number;
  /** The caller's deadline. */
  readonly atMs: number;
  heapIndex = -1;
  state: RequestState = 'queued';
  /** Where it is outstanding, while `sent`. */
  connection: Connection | undefined = undefined;
  /** Its number there; every try has its own. */
  requestId = 0;
  sentAtMs = 0;
  /** For writes. Set together with `sequence`; all tries carry the same stamp. */
  session: Session | undefined = undefined;
  sequence = 0;
  /** Copies of a write that were sent and of which it is not known that they had no effect and never will. */
  copiesOpen = 0;
  /** Refusals in a row; decides the back-off. */
  refusals = 0;
  cause: Cause | undefined = undefined;
  /** A node that just refused this read; another one is asked first. */
  avoid: Connection | undefined = undefined;
  retryAlarm: Alarm | undefined = undefined;
  private readonly owner: RequestOwner;

  constructor(
    owner: RequestOwner,
    request: EngineRequest,
    nowMs: number,
    timeoutMs: number,
    done: EngineDone,
  ) {
    this.owner = owner;
    this.request = request;
    this.isWrite = request.kind === 'write';
    this.bytes = requestBytes(request);
    this.done = done;
    this.submittedAtMs = nowMs;
    this.timeoutMs = timeoutMs;
    this.atMs = nowMs + timeoutMs;
  }

  /** Nobody but the leader can answer it. */
  get needsLeader(): boolean {
    const { request } = this;
    switch (request.kind) {
      case 'write':
        return true;
      case 'status':
        return false;
      default:
        return request.readFrom === 'leaderOnly' || request.consistency.kind === 'leaderLease';
    }
  }

  /** A read for which the node must have come as far as the cluster. */
  get readsNewest(): boolean {
    const { request } = this;
    return (
      request.kind !== 'write' && request.kind !== 'status' && request.consistency.kind === 'linearizable'
    );
  }

  /** Gives up waiting. Without effect once completed. `cause` becomes the cause of the error. */
  cancel(cause?: unknown): void {
    this.owner.onCancel(this, cause);
  }

  onTime(): void {
    this.owner.onDeadline(this);
  }
}

function requestBytes(request: EngineRequest): number {
  switch (request.kind) {
    case 'write':
      return operationBytes(request.operation);
    case 'get':
      return request.key.length;
    case 'range':
    case 'count':
      return request.start.length + (request.end?.length ?? 0);
    case 'status':
      return 0;
  }
}

function operationBytes(operation: ClientOperation): number {
  switch (operation.kind) {
    case 'put':
      return operation.key.length + operation.value.length;
    case 'delete':
      return operation.key.length;
    case 'deleteRange':
      return operation.start.length + (operation.end?.length ?? 0);
    case 'closeSession':
      return 0;
  }
}

/** The kind of frame that answers a request. */
export function answerKind(request: EngineRequest): EngineResult['kind'] {
  switch (request.kind) {
    case 'write':
      return 'written';
    case 'get':
      return 'got';
    case 'range':
      return 'page';
    case 'count':
      return 'counted';
    case 'status':
      return 'status';
  }
}
