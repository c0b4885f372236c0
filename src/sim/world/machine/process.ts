// One run of one program in the virtual world: a node between a start and a crash, or a client. Events belong
// to a process; when it is dead they are dropped, while it is paused (SIGSTOP) they wait. Time goes on during
// a pause: the process finds, on waking, both expired timers and waiting messages, in either order.

import type { Clock, Entropy, Logger, Millis, TimerHandle, Timers } from '../../../base/env.js';
import { Prng } from '../../../base/prng.js';
import type { ScheduledEvent, Scheduler } from '../scheduler.js';

/**
 * What a resumed process sees first. libuv runs expired timers before it reads sockets, unless stopped
 * between.
 */
export type ResumeOrder = 'timersFirst' | 'messagesFirst';

export interface ProcessOptions {
  readonly name: string;
  /** Identifies the program in the hash: nodes from 1, clients from 100. 1 .. 255. */
  readonly ordinal: number;
  readonly seed: number;
  /** Monotonic clock: how fast it runs against virtual time (1 = exact) and where it started. */
  readonly clockRate: number;
  readonly clockStartMs: Millis;
  /** Wall clock minus virtual time. */
  readonly wallOffsetMs: Millis;
  /** Processor time, in virtual microseconds: of each event, and of each look at the clock within one. */
  readonly eventCostUs: number;
  readonly clockReadCostUs: number;
}

export class VirtualProcess {
  readonly name: string;
  readonly ordinal: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly entropy: Entropy;
  /** `dead` is final: the next start is another process. */
  state: 'running' | 'paused' | 'dead' = 'running';
  /**
   * Crashed in the middle of an event: from here on it has no effect outside, and dies when the event ends.
   */
  doomed = false;
  wallOffsetMs: Millis;
  /** The processor is at work until then; later events of this process wait. Virtual microseconds. */
  busyUntilUs = 0;
  /** Processor time of each event, virtual microseconds; faults change it. */
  eventCostUs: number;
  /** The monotonic clock stands still from `since` to `until`, and lags behind by `lagUs` before that. */
  private frozen: { readonly sinceUs: number; readonly untilUs: number } | undefined;
  private lagUs = 0;
  /** Events that came due during the pause, in order. */
  private held: ScheduledEvent[] = [];
  private readonly scheduler: Scheduler;

  constructor(scheduler: Scheduler, options: ProcessOptions) {
    this.scheduler = scheduler;
    this.name = options.name;
    this.ordinal = options.ordinal;
    this.wallOffsetMs = options.wallOffsetMs;
    this.eventCostUs = options.eventCostUs;
    const random = new Prng(options.seed);
    const startUs = scheduler.nowUs;
    this.entropy = { bytes: (length) => random.bytes(length) };
    this.clock = {
      nowMs: () => {
        this.busyUntilUs = this.localUs + options.clockReadCostUs;
        return options.clockStartMs + ((this.monotonicUs - startUs) * options.clockRate) / 1000;
      },
      wallMs: () => Math.floor(this.localUs / 1000 + this.wallOffsetMs),
    };
    this.timers = {
      set: (delayMs, callback): TimerHandle => {
        // Rounded up: a timer that fires early by a fraction would have to be set again at once.
        const fromUs = Math.max(this.localUs, this.frozen?.untilUs ?? 0);
        const dueUs = fromUs + Math.ceil((delayMs * 1000) / options.clockRate);
        return scheduler.scheduleAt(dueUs, 'timer', this, callback);
      },
      clear: (handle): void => {
        if (handle !== undefined) (handle as ScheduledEvent).cancelled = true;
      },
      defer: (callback): void => {
        scheduler.schedule(random.integer(0, 20), 'defer', this, callback);
      },
    };
  }

  /** Whether what the process does now still reaches the outside. */
  get effective(): boolean {
    return this.state !== 'dead' && !this.doomed;
  }

  /** Virtual time as far as this process has got within its event. */
  private get localUs(): number {
    return Math.max(this.busyUntilUs, this.scheduler.nowUs);
  }

  /** The same, as the monotonic clock counts it: without the times in which it stood. */
  private get monotonicUs(): number {
    const { localUs, frozen } = this;
    if (frozen === undefined) return localUs - this.lagUs;
    const stoodUs = Math.max(0, Math.min(localUs, frozen.untilUs) - frozen.sinceUs);
    if (localUs < frozen.untilUs) return localUs - stoodUs - this.lagUs;
    this.lagUs += frozen.untilUs - frozen.sinceUs;
    this.frozen = undefined;
    return localUs - this.lagUs;
  }

  /**
   * The monotonic clock stands still for so long, and its timers with it, and goes on from where it stood;
   * without effect while it stands. The process itself goes on.
   */
  freezeClock(forUs: number): void {
    const nowUs = this.monotonicUs + this.lagUs;
    if (this.frozen !== undefined || this.state === 'dead') return;
    this.frozen = { sinceUs: nowUs, untilUs: nowUs + forUs };
    this.scheduler.postponeTimers(this, forUs);
  }

  /** An event of this process has run. */
  spend(): void {
    if (this.eventCostUs > 0) this.busyUntilUs = this.localUs + this.eventCostUs;
  }

  hold(event: ScheduledEvent): void {
    this.held.push(event);
  }

  pause(): void {
    if (this.state === 'running') this.state = 'paused';
  }

  /** Goes on: everything that came due is delivered now, one event after the other, in the given order. */
  resume(order: ResumeOrder): void {
    if (this.state !== 'paused') return;
    this.state = 'running';
    const held = this.held;
    this.held = [];
    const timers = held.filter((event) => event.kind === 'timer');
    const deferred = held.filter((event) => event.kind === 'defer');
    const input = held.filter((event) => event.kind !== 'timer' && event.kind !== 'defer');
    const groups = order === 'timersFirst' ? [timers, input, deferred] : [input, deferred, timers];
    this.scheduler.release(groups.flat());
  }

  kill(): void {
    this.state = 'dead';
    this.held = [];
  }
}

/** Receives what the programs log, for the trace of a failing run. */
export type LogSink = (processName: string, level: string, message: string, fields: unknown) => void;

/** A logger that hands everything but `debug` to the sink. */
export function virtualLogger(processName: string, sink: LogSink): Logger {
  return {
    debug: () => undefined,
    info: (fields, message) => sink(processName, 'info', message, fields),
    warn: (fields, message) => sink(processName, 'warn', message, fields),
    error: (fields, message) => sink(processName, 'error', message, fields),
  };
}
