// Who asked. Requests, proposals, reads and streams know a caller and nothing of how it is connected: for
// WebSockets `clients.ts` makes callers, and every other front makes its own. A caller is made once for a
// connection, never for a request: which request is meant travels beside it as a number.

import { KvorumError } from '../../base/errors.js';
import type { ErrorAnswer, ServerFrame } from '../../wire/clients/answers.js';

/** The one answer to a request: neither what belongs to a connection, nor frames of a stream. */
export type AnswerFrame = Exclude<
  ServerFrame,
  { readonly kind: 'hello' | 'leader' | 'pong' | 'streamData' | 'streamEnd' }
>;

/** In whose name a caller asks. */
export interface Principal {
  readonly name: string;
}

/** Everybody, as long as there is nothing by which callers could be told apart. */
export const anonymous: Principal = { name: 'anonymous' };

/** What one caller may take of a node. */
export interface CallerLimits {
  /** Requests that wait for their answer. */
  readonly requestsMax: number;
  /** Streams that are open. */
  readonly streamsMax: number;
}

export interface Caller {
  readonly principal: Principal;
  readonly limits: CallerLimits;
  /** Nobody is there any more: what is answered is dropped. */
  readonly isGone: boolean;
  /**
   * Bytes that its connection may be given now; 0 or less: none until it has drained. What was answered in
   * this turn is not counted yet.
   */
  readonly roomBytes: number;
  /** The caller does not wait for this request any more. */
  isCancelled(requestId: number): boolean;
  /**
   * Takes the one answer to a request. Never throws, whatever the answer is: one that cannot be given becomes
   * an error to this caller, or ends its connection, and nobody else notices.
   */
  answer(frame: AnswerFrame): void;
}

/**
 * The requests of one caller that wait: how many, and which of them were cancelled. What is answered more
 * often than once, or never, does not belong here.
 */
export class OpenRequests {
  private readonly requestsMax: number;
  private waiting = 0;
  /** Only ids that may still be answered. */
  private readonly cancelled = new Set<number>();

  constructor(requestsMax: number) {
    this.requestsMax = requestsMax;
  }

  get count(): number {
    return this.waiting;
  }

  /** False when there are too many: the request is refused, and was not begun. */
  begin(): boolean {
    if (this.waiting >= this.requestsMax) return false;
    this.waiting++;
    return true;
  }

  cancel(requestId: number): void {
    if (this.cancelled.size < this.waiting) this.cancelled.add(requestId);
  }

  isCancelled(requestId: number): boolean {
    return this.cancelled.size > 0 && this.cancelled.has(requestId);
  }

  /** The request is answered. False when nobody waits for that. */
  end(requestId: number): boolean {
    const isWanted = this.cancelled.size === 0 || !this.cancelled.delete(requestId);
    this.waiting--;
    // What is left names requests that do not exist.
    if (this.waiting === 0) this.cancelled.clear();
    return isWanted;
  }
}

/** Why one request failed, for its caller. */
export function errorAnswer(
  requestId: number,
  code: string,
  message: string,
  outcome: ErrorAnswer['outcome'] = 'none',
): ErrorAnswer {
  return { kind: 'error', requestId, code, message, outcome };
}

/**
 * Whether a request met damage of this node's disk. That is no answer to anybody: the node must not go on
 * answering.
 */
export function isDamage(error: unknown): boolean {
  return KvorumError.is(error, 'CORRUPT') || KvorumError.is(error, 'DISK');
}
