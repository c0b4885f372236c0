// One session on the client's side: hands out sequences and knows up to where the client has no more use for
// outcomes (dissertation §6.3). It must never acknowledge a sequence whose caller still waits: the state
// machine then refuses that write as STALE for ever.

import type { SessionId, SessionStamp } from '../../kv/commands.js';
import { sessionWindow } from './limits.js';

/**
 * `opening`: sequence 1 was handed out and goes alone; `open`: writes are pipelined; `dead`: the cluster does
 * not know it (any more), or nobody has opened it.
 */
export type SessionState = 'opening' | 'open' | 'dead';

export class Session {
  readonly id: SessionId;
  readonly createdClusterTimeMs: number;
  state: SessionState = 'opening';
  /** No new writes are given to it. */
  retired = false;
  /**
   * Sent at this local time, a write of the session was answered. The cluster heard of the session then or
   * later.
   */
  confirmedAtMs: number;
  /** Given to the next write. */
  private nextSequence = 1;
  /** All sequences up to this one are settled. */
  private acknowledgedThrough = 0;
  /** Settled sequences above `acknowledgedThrough`; within the window. */
  private readonly settled = new Set<number>();

  constructor(id: SessionId, createdClusterTimeMs: number, nowMs: number) {
    this.id = id;
    this.createdClusterTimeMs = createdClusterTimeMs;
    this.confirmedAtMs = nowMs;
  }

  /** So much time passed that the monotonic clock did not see. */
  age(unseenMs: number): void {
    this.confirmedAtMs -= unseenMs;
  }

  /** Sequences handed out and not settled. */
  get waiting(): number {
    return this.nextSequence - 1 - this.acknowledgedThrough - this.settled.size;
  }

  get hasRoom(): boolean {
    return this.nextSequence - this.acknowledgedThrough <= sessionWindow;
  }

  /** The window is full, yet most of it is settled: one old write holds it up. */
  get isStuck(): boolean {
    return !this.hasRoom && this.waiting < sessionWindow / 2;
  }

  take(): number {
    return this.nextSequence++;
  }

  settle(sequence: number): void {
    if (sequence !== this.acknowledgedThrough + 1) {
      this.settled.add(sequence);
      return;
    }
    this.acknowledgedThrough = sequence;
    while (this.settled.size > 0 && this.settled.delete(this.acknowledgedThrough + 1)) {
      this.acknowledgedThrough++;
    }
  }

  stamp(sequence: number): SessionStamp {
    return {
      sessionId: this.id,
      createdClusterTimeMs: this.createdClusterTimeMs,
      sequence,
      acknowledgedThrough: this.acknowledgedThrough,
    };
  }
}
