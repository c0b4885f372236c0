// One connection between two processes: two ordered directions, each with its own delays, its own faults and
// its own counter, so that every fate is a hash of (seed, link, counter). In mode `tcp` a lost message breaks
// the connection and the messages after it are lost too; in mode `datagram` messages are lost, doubled and
// overtaken one by one while the link stands, which no WebSocket does and the consensus core must survive all
// the same. What moves snapshots relies on the order of its link: it keeps it in both modes.

import { linkBacklogBytes, type LinkId } from '../../../base/env.js';
import { beginsWithSnapshot } from '../../../wire/snapshots/codec.js';
import { roll, streamOf } from '../dice.js';
import type { ScheduledEvent, Scheduler } from '../scheduler.js';
import type { VirtualProcess } from '../machine/process.js';
import type { Conditions, WayState } from './ways.js';

export type { Conditions } from './ways.js';
export type LinkMode = 'tcp' | 'datagram';

/** What a connection needs to know of the network around it. */
export interface Surroundings {
  readonly scheduler: Scheduler;
  readonly seed: number;
  readonly conditions: Conditions;
  wayOf(fromHost: string, toHost: string): WayState;
  /** The connection has no open end any more. */
  forget(connection: Connection): void;
}

/** One end: the link as one process sees it. */
export interface Endpoint {
  readonly hostName: string;
  readonly process: VirtualProcess;
  readonly link: LinkId;
  /** The process has neither closed it nor been told that it is closed. */
  open: boolean;
  readonly onMessage: (message: Uint8Array) => void;
  readonly onClosed: () => void;
  /** Of a listener, for a client's link. */
  readonly onDrained?: () => void;
}

interface Direction {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly way: WayState;
  readonly stream: number;
  /** All that is given to it vanishes, and nobody is told. */
  silent: boolean;
  /** Messages given to `send`. */
  sent: number;
  /** No message is delivered before this. Microseconds. */
  lastDeliveryUs: number;
  undeliveredBytes: number;
  /** More was undelivered than a link has without a backlog; its end was not told yet. */
  hasBacklog: boolean;
  /** Waiting for the way to open again; `undefined` is the end of the stream. */
  readonly held: (Uint8Array | undefined)[];
}

/**
 * The first messages of each side of a link are its greeting; what the world does to single messages starts
 * after them.
 */
const introductionMessages = 2;

export class Connection {
  private readonly around: Surroundings;
  private readonly mode: LinkMode;
  private readonly directions: readonly [Direction, Direction];
  /** Nothing that is sent from now on arrives; both ends are being told, or will be. */
  private broken = false;
  private resetEvent: ScheduledEvent | undefined;
  private rolls = 0;
  /** When the acceptor is told of the link; nothing else about it is told before. Microseconds. */
  private acceptedUs = 0;

  /** `name` is unique among all connections ever made, and the same in every run of the plan. */
  constructor(around: Surroundings, mode: LinkMode, name: string, dialer: Endpoint, acceptor: Endpoint) {
    this.around = around;
    this.mode = mode;
    const direction = (from: Endpoint, to: Endpoint): Direction => ({
      from,
      to,
      way: around.wayOf(from.hostName, to.hostName),
      stream: streamOf(`${name} ${from.hostName}>${to.hostName}`),
      silent: false,
      sent: 0,
      lastDeliveryUs: around.scheduler.nowUs,
      undeliveredBytes: 0,
      hasBacklog: false,
      held: [],
    });
    this.directions = [direction(dialer, acceptor), direction(acceptor, dialer)];
  }

  get ends(): readonly [Endpoint, Endpoint] {
    return [this.directions[0].from, this.directions[0].to];
  }

  /** The acceptor is told of the link at that time: no message arrives before. */
  acceptAt(timeUs: number): void {
    this.acceptedUs = timeUs;
    for (const direction of this.directions) direction.lastDeliveryUs = timeUs;
  }

  /** False when the link is gone or its buffer is full; true does not mean that it arrives. */
  send(from: Endpoint, message: Uint8Array): boolean {
    const direction = this.directionFrom(from);
    const { way } = direction;
    if (!from.open || direction.undeliveredBytes + message.length > way.bufferBytesMax) return false;
    const counter = direction.sent++;
    if (this.broken) return true;
    if (direction.silent) {
      direction.undeliveredBytes += message.length;
      return true;
    }
    const { loss, duplication } = way.conditions ?? this.around.conditions;
    const exposed = this.isExposed(message, counter);
    if (exposed && roll(this.around.seed, direction.stream, 4 * counter) < loss) {
      if (this.mode === 'tcp') this.reset();
      return true;
    }
    this.transmit(direction, message, counter);
    const doubled = roll(this.around.seed, direction.stream, 4 * counter + 1) < duplication;
    if (exposed && this.mode === 'datagram' && doubled) this.transmit(direction, message, counter);
    return true;
  }

  bufferedBytes(from: Endpoint): number {
    return from.open ? this.directionFrom(from).undeliveredBytes : 0;
  }

  /** The process at this end closes: what it sent still arrives, then the other end is told. */
  close(end: Endpoint): void {
    if (!end.open) return;
    end.open = false;
    const direction = this.directionFrom(end);
    if (direction.silent) return;
    if (this.isHeld(direction)) direction.held.push(undefined);
    else this.tellClosed(direction.to, this.arrivalUs(direction, 0) - this.around.scheduler.nowUs);
  }

  /** The process at this end died; the other end learns it after `delayUs`. */
  abandon(end: Endpoint, delayUs: number): void {
    end.open = false;
    this.broken = true;
    const other = this.directionFrom(end).to;
    if (other.open) this.tellClosed(other, delayUs);
    else this.around.forget(this);
  }

  /**
   * Breaks the connection: each end is told at its own time, and what was on its way may or may not arrive.
   */
  reset(): void {
    if (this.broken) return;
    this.broken = true;
    for (const direction of this.directions) {
      direction.held.length = 0;
      direction.undeliveredBytes = 0;
      this.tellClosed(direction.to, this.fraction() ** 3 * 500_000);
    }
  }

  /**
   * From now on what is sent over the way vanishes without an error, its end included; the connection is as
   * good as dead, and is reset some day.
   */
  silence(way: WayState): void {
    for (const direction of this.directions) if (direction.way === way) direction.silent = true;
  }

  /**
   * The way between the ends was blocked, in one direction or both: unless it heals soon, the link breaks.
   */
  blocked(refuses: boolean): void {
    if (this.broken) return;
    if (this.resetEvent !== undefined) {
      if (!refuses) return;
      this.resetEvent.cancelled = true;
    }
    // Sooner or later someone misses an answer.
    const delayUs = refuses ? 1_000 : 5_000 + this.fraction() ** 3 * 3_000_000;
    this.resetEvent = this.around.scheduler.schedule(delayUs, 'fault', undefined, () => {
      this.resetEvent = undefined;
      this.reset();
    });
  }

  /** A way was opened again: what waited for it goes on, in one burst. */
  unblocked(): void {
    const [forth, back] = this.directions;
    if (forth.way.cuts === 0 && back.way.cuts === 0 && this.resetEvent !== undefined) {
      this.resetEvent.cancelled = true;
      this.resetEvent = undefined;
    }
    for (const direction of this.directions) this.flush(direction);
  }

  private flush(direction: Direction): void {
    if (direction.way.cuts > 0 || direction.way.clogs > 0) return;
    for (const message of direction.held.splice(0)) {
      const arrivalUs = this.arrivalUs(direction, direction.sent, message?.length);
      if (message === undefined) this.tellClosed(direction.to, arrivalUs - this.around.scheduler.nowUs);
      else this.deliver(direction, message, arrivalUs);
    }
  }

  private transmit(direction: Direction, message: Uint8Array, counter: number): void {
    const isHeld = this.isHeld(direction);
    const isLost = isHeld && direction.way.cuts > 0 && this.isExposed(message, counter);
    if (this.mode === 'datagram' && isLost) return;
    direction.undeliveredBytes += message.length;
    if (direction.undeliveredBytes > linkBacklogBytes && direction.from.onDrained !== undefined) {
      direction.hasBacklog = true;
    }
    if (isHeld) {
      direction.held.push(message);
      return;
    }
    const isAlone = this.mode === 'datagram' && this.isExposed(message, counter);
    this.deliver(direction, message, this.arrivalUs(direction, counter, message.length, isAlone));
  }

  /** Whether the faults of messages may hit this one: not the greetings, nor, one by one, a snapshot's. */
  private isExposed(message: Uint8Array, counter: number): boolean {
    if (counter < introductionMessages) return false;
    return this.mode === 'tcp' || !beginsWithSnapshot(message);
  }

  private deliver(direction: Direction, message: Uint8Array, arrivalUs: number): void {
    const { to } = direction;
    const { scheduler } = this.around;
    const arrive = (): void => {
      this.delivered(direction, message.length);
      // A copy of its own: processes share no memory, and the sender may reuse its buffer once it has left.
      if (to.open) to.onMessage(new Uint8Array(message));
    };
    scheduler.schedule(arrivalUs - scheduler.nowUs, 'message', to.process, arrive, message);
  }

  private delivered(direction: Direction, bytes: number): void {
    direction.undeliveredBytes = Math.max(0, direction.undeliveredBytes - bytes);
    if (direction.undeliveredBytes > 0 || !direction.hasBacklog) return;
    direction.hasBacklog = false;
    const { from } = direction;
    this.around.scheduler.schedule(0, 'link', from.process, () => {
      if (from.open) from.onDrained?.();
    });
  }

  /** When a message that leaves now arrives. In order, unless single messages may overtake each other. */
  private arrivalUs(direction: Direction, counter: number, bytes = 0, isAlone = false): number {
    const { way } = direction;
    const { seed, scheduler } = this.around;
    const { latencyUsMin, latencyUsMean, reordering } = way.conditions ?? this.around.conditions;
    const exponential = -Math.log(1 - roll(seed, direction.stream, 4 * counter + 2)) * latencyUsMean;
    const travelUs = latencyUsMin + Math.min(exponential, 1_000_000);
    let leavesUs = scheduler.nowUs;
    if (way.bytesPerSecond !== Infinity) {
      leavesUs = Math.max(leavesUs, way.busyUntilUs) + (bytes * 1_000_000) / way.bytesPerSecond;
      way.busyUntilUs = leavesUs;
    }
    if (isAlone) {
      const lot = this.fraction();
      const factor = lot < reordering ? 1 + (9 * lot) / reordering : 1;
      return Math.max(this.earliestUs(direction), leavesUs + factor * travelUs);
    }
    direction.lastDeliveryUs = Math.max(direction.lastDeliveryUs, leavesUs + travelUs);
    return direction.lastDeliveryUs;
  }

  private earliestUs(direction: Direction): number {
    return Math.max(direction.lastDeliveryUs, this.around.scheduler.nowUs);
  }

  private tellClosed(end: Endpoint, delayUs: number): void {
    const { scheduler } = this.around;
    const timeUs = Math.max(scheduler.nowUs + Math.max(0, delayUs), this.acceptedUs);
    scheduler.scheduleAt(timeUs, 'link', end.process, () => {
      const wasOpen = end.open;
      end.open = false;
      if (this.ends.every(({ open }) => !open)) this.around.forget(this);
      if (wasOpen) end.onClosed();
    });
  }

  /** Whether a message given now has to wait, behind a block or behind others that wait. */
  private isHeld({ held, way }: Direction): boolean {
    return held.length > 0 || way.cuts > 0 || way.clogs > 0;
  }

  private directionFrom(end: Endpoint): Direction {
    return this.directions[0].from === end ? this.directions[0] : this.directions[1];
  }

  private fraction(): number {
    return roll(this.around.seed, this.directions[0].stream ^ 0x5bd1e995, this.rolls++);
  }
}
