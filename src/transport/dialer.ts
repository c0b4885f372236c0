// Keeps one outbound connection to a peer: dials, and dials again, until it is stopped. Every failed try is
// reported once; a refused connection at once, because a dead process answers so and the election waits for
// that hint. The wait between tries is random ("full jitter"), so that peers of a restarted node do not
// arrive in step.

import type { Socket } from 'node:net';
import { WebSocket, type ClientOptions } from 'ws';
import { assert } from '../base/assert.js';
import type { NodeId } from '../base/env.js';
import { wireLimits } from '../wire/limits.js';
import type { TransportLimits } from './limits.js';

export interface DialerEvents {
  onOpen(dialer: Dialer, webSocket: WebSocket, socket: Socket): void;
  onFailed(dialer: Dialer, reason: string): void;
}

export interface DialerOptions {
  readonly peerId: NodeId;
  /** host:port */
  readonly address: string;
  readonly limits: TransportLimits;
  readonly events: DialerEvents;
}

/**
 * Masking (RFC 6455 §5.3) protects proxies from what browsers can be made to send, and costs a copy of every
 * byte. An all-zero mask is a valid one that leaves the bytes as they are, and ws then skips the work on both
 * sides.
 */
function zeroMask(mask: Buffer): void {
  mask.fill(0);
}

export class Dialer {
  readonly peerId: NodeId;
  readonly address: string;
  private readonly limits: TransportLimits;
  private readonly events: DialerEvents;
  private stopped = false;
  /** The try under way; `undefined` while a link is open or a wait runs. */
  private attempt: WebSocket | undefined;
  /** The wait before the next try, or the time limit of the one under way. */
  private timer: NodeJS.Timeout | undefined;
  /** Tries since the last link that lasted; decides how long the next wait may be. */
  private failures = 0;
  /** When the open link was opened, in monotonic milliseconds. */
  private openedAtMs: number | undefined;

  constructor(options: DialerOptions) {
    this.peerId = options.peerId;
    this.address = options.address;
    this.limits = options.limits;
    this.events = options.events;
  }

  /** Begins to dial. Events come later, never from inside this call. */
  start(): void {
    assert(this.attempt === undefined && this.openedAtMs === undefined, 'a dialer starts only once');
    this.connect();
  }

  /** Ends the try or wait under way; an open link is the owner's. No event comes after this. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.attempt?.terminate();
    this.attempt = undefined;
  }

  /** The link that `onOpen` gave out is gone: dials again, at once unless the link had not lasted. */
  linkGone(): void {
    if (this.stopped || this.openedAtMs === undefined) return;
    if (performance.now() - this.openedAtMs >= this.limits.stableAfterMs) this.failures = 0;
    this.openedAtMs = undefined;
    if (this.failures++ === 0) this.connect();
    else this.wait();
  }

  private connect(): void {
    let attempt: WebSocket;
    try {
      attempt = new WebSocket(`ws://${this.address}/raft`, this.socketOptions());
    } catch (error) {
      // An address that is none. Reported like a failed try, but not from inside `start`.
      this.timer = setTimeout(() => this.fail((error as Error).message), 0);
      return;
    }
    this.attempt = attempt;
    this.timer = setTimeout(() => {
      attempt.terminate();
      this.settle(attempt, 'no answer in time');
    }, this.limits.dialTimeoutMs);
    let reason = 'closed before it was open';
    let socket: Socket | undefined;
    attempt.on('upgrade', (response) => (socket = response.socket));
    attempt.on('error', (error) => (reason = error.message));
    attempt.once('close', () => this.settle(attempt, reason));
    attempt.once('open', () => {
      if (this.attempt !== attempt || socket === undefined) return;
      clearTimeout(this.timer);
      this.attempt = undefined;
      this.openedAtMs = performance.now();
      this.events.onOpen(this, attempt, socket);
    });
  }

  /** `closeTimeout` is an option of ws that its type declarations do not have yet. */
  private socketOptions(): ClientOptions & { closeTimeout: number } {
    return {
      perMessageDeflate: false,
      maxPayload: wireLimits.messageBytesMax,
      closeTimeout: this.limits.closeTimeoutMs,
      followRedirects: false,
      generateMask: zeroMask,
    };
  }

  /** Ends a try that did not open. Later events of the same try change nothing. */
  private settle(attempt: WebSocket, reason: string): void {
    if (this.attempt !== attempt) return;
    clearTimeout(this.timer);
    this.attempt = undefined;
    this.fail(reason);
  }

  private fail(reason: string): void {
    if (this.stopped) return;
    this.failures++;
    this.wait();
    this.events.onFailed(this, reason);
  }

  private wait(): void {
    const { redialMsMin, redialMsMax } = this.limits;
    const upper = Math.min(redialMsMax, redialMsMin * 2 ** Math.min(this.failures, 30));
    const delayMs = redialMsMin + Math.random() * (upper - redialMsMin);
    this.timer = setTimeout(() => this.connect(), delayMs);
  }
}
