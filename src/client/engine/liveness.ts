// Whether the node at the other end of a connection is alive: one that is connected but dead answers no ping.
// Silence counts from when something was waited for. A client that was held up itself must not blame the
// node: what the node sent meanwhile has not been read yet.

import type { Clock } from '../../base/env.js';
import type { EngineContext } from './context.js';
import { Alarm } from './timer-queue.js';

export interface LivenessOwner {
  /** An answer of the node is waited for. */
  readonly isWaiting: boolean;
  /** The node may have something to say at any time, and would be missed. */
  readonly isListening: boolean;
  ping(nowMs: number): void;
  /** It has not answered the ping. */
  silent(silentMs: number): void;
}

export class Liveness {
  /** Silent although it was pinged while an answer was waited for. */
  isSuspect = false;
  private readonly context: EngineContext;
  private readonly owner: LivenessOwner;
  private receivedAtMs = 0;
  /** Since when something is waited for. */
  private waitingSinceMs = 0;
  private pingedAtMs: number | undefined = undefined;
  private readonly checkAlarm: Alarm;

  constructor(context: EngineContext, owner: LivenessOwner) {
    this.context = context;
    this.owner = owner;
    this.checkAlarm = new Alarm(context.alarms, (nowMs, dueMs) => this.check(nowMs, dueMs));
  }

  begin(nowMs: number): void {
    this.checkAlarm.set(nowMs + this.context.limits.idlePingMs);
  }

  reset(): void {
    this.checkAlarm.clear();
    this.isSuspect = false;
    this.pingedAtMs = undefined;
  }

  heard(nowMs: number): void {
    this.receivedAtMs = nowMs;
    this.isSuspect = false;
  }

  /** The time from ping to pong, of a pong that is heard now. */
  roundTripMs(nowMs: number): number | undefined {
    return this.pingedAtMs === undefined ? undefined : nowMs - this.pingedAtMs;
  }

  /** Nothing was waited for, now something is. */
  waits(nowMs: number): void {
    this.waitingSinceMs = nowMs;
    if (this.pingedAtMs === undefined) this.checkAlarm.set(nowMs + this.context.limits.pingAfterMs);
  }

  private check(nowMs: number, dueMs: number): void {
    const { pingAfterMs, pongTimeoutMs, idlePingMs } = this.context.limits;
    if (nowMs - dueMs > pongTimeoutMs / 2) {
      // This process was held up.
      this.checkAlarm.set(nowMs + pongTimeoutMs / 4);
      return;
    }
    if (this.pingedAtMs !== undefined && this.receivedAtMs < this.pingedAtMs) {
      this.owner.silent(nowMs - this.receivedAtMs);
      return;
    }
    this.pingedAtMs = undefined;
    const { isWaiting, isListening } = this.owner;
    const silentSinceMs = isWaiting ? Math.max(this.receivedAtMs, this.waitingSinceMs) : this.receivedAtMs;
    const pingAtMs = silentSinceMs + (isWaiting || isListening ? pingAfterMs : idlePingMs);
    if (nowMs < pingAtMs) {
      this.checkAlarm.set(pingAtMs);
      return;
    }
    this.pingedAtMs = nowMs;
    this.isSuspect = isWaiting;
    this.owner.ping(nowMs);
    this.checkAlarm.set(nowMs + pongTimeoutMs);
  }
}

/** Less is a clock that is corrected. Well below what a session has left when it is replaced. */
const unseenMsMin = 5_000;

/**
 * Notices that this machine was suspended: the monotonic clock stands still meanwhile, so that a session that
 * has expired and a connection that is gone look fresh. The wall clock goes on. One that was set forward
 * looks the same, and costs new connections and a new session, which disturbs nothing.
 */
export class Suspension {
  private readonly clock: Clock;
  private readonly onSuspended: (unseenMs: number) => void;
  private seenAtMs: number;
  private seenAtWallMs: number;

  constructor(clock: Clock, onSuspended: (unseenMs: number) => void) {
    this.clock = clock;
    this.onSuspended = onSuspended;
    this.seenAtMs = clock.nowMs();
    this.seenAtWallMs = clock.wallMs();
  }

  /** Compares the clocks; calls back before it returns when one has run ahead. */
  look(nowMs: number): void {
    const wallMs = this.clock.wallMs();
    const unseenMs = wallMs - this.seenAtWallMs - (nowMs - this.seenAtMs);
    this.seenAtMs = nowMs;
    this.seenAtWallMs = wallMs;
    if (unseenMs >= unseenMsMin) this.onSuspended(unseenMs);
  }
}
