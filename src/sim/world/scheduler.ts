// The heart of the virtual world: one heap of events ordered by (time, sequence), one clock that only moves
// when an event is taken, and the rolling hash that tells two runs apart. Nothing here or above it may look
// at real time or draw real randomness; ties are broken by the order of scheduling.

import { assert } from '../../base/assert.js';
import { Hash64 } from '../../base/hash.js';

/**
 * What an event is about. The number goes into the hash; `timer` and `defer` matter when a process resumes.
 */
export const eventKinds = {
  timer: 1,
  defer: 2,
  message: 3,
  link: 4,
  disk: 5,
  store: 6,
  fault: 7,
  workload: 8,
} as const;

export type EventKind = keyof typeof eventKinds;

/** Whose events are scheduled: one run of one program. */
export interface EventOwner {
  readonly name: string;
  /** Identifies the program in the hash. */
  readonly ordinal: number;
  readonly state: 'running' | 'paused' | 'dead';
  /** Later events wait until then. */
  readonly busyUntilUs: number;
  /** Keeps an event that came due while it is paused. */
  hold(event: ScheduledEvent): void;
  /** An event of it has run. */
  spend(): void;
}

export interface ScheduledEvent {
  /** Microseconds of virtual time. */
  timeUs: number;
  /** Order of scheduling; breaks ties. */
  sequence: number;
  readonly kind: EventKind;
  /** Whose event it is: dropped when that process is dead, held back while it is paused. */
  readonly process: EventOwner | undefined;
  /** What is delivered, for the hash. */
  readonly payload: Uint8Array | undefined;
  readonly run: () => void;
  cancelled: boolean;
}

/** Bytes hashed from either end of a payload; whole messages of ordinary size. */
const payloadHashBytes = 512;

export class Scheduler {
  /** Binary heap: every parent is due before its children. */
  private readonly heap: ScheduledEvent[] = [];
  private nextSequence = 1;
  /** Of the event that runs now. */
  private currentSequence = 0;
  private readonly rolling = new Hash64();
  /** Microseconds since the world began. Never goes back. */
  nowUs = 0;
  /** Events run so far; dropped and cancelled ones are not counted. */
  eventCount = 0;

  /** Calls `run` after `delayUs` (0 or more) of virtual time, in the name of `process` if one is given. */
  schedule(
    delayUs: number,
    kind: EventKind,
    process: EventOwner | undefined,
    run: () => void,
    payload?: Uint8Array,
  ): ScheduledEvent {
    assert(delayUs >= 0, `event scheduled ${delayUs} µs in the past`);
    const event: ScheduledEvent = {
      timeUs: this.nowUs + Math.floor(delayUs),
      sequence: this.nextSequence++,
      kind,
      process,
      payload,
      run,
      cancelled: false,
    };
    this.push(event);
    return event;
  }

  /** As `schedule`, at an absolute time that has not passed. */
  scheduleAt(
    timeUs: number,
    kind: EventKind,
    process: EventOwner | undefined,
    run: () => void,
  ): ScheduledEvent {
    return this.schedule(timeUs - this.nowUs, kind, process, run);
  }

  /**
   * Puts events that were held back into the heap again, due now, in the given order and before everything
   * else that is due now: what waited longer on a link must not be overtaken by what arrives at this very
   * moment.
   */
  release(events: readonly ScheduledEvent[]): void {
    for (const [position, event] of events.entries()) {
      event.timeUs = this.nowUs;
      event.sequence = this.currentSequence + (position + 1) / (events.length + 1);
      this.push(event);
    }
  }

  /** The timers of a process that are not due yet come so much later. */
  postponeTimers(process: EventOwner, byUs: number): void {
    const events = this.heap.splice(0);
    for (const event of events) {
      if (event.process === process && event.kind === 'timer') event.timeUs += byUs;
      this.push(event);
    }
  }

  /** Runs the next event that is due up to `untilUs` and returns it; `undefined` when there is none. */
  step(untilUs: number): ScheduledEvent | undefined {
    for (;;) {
      const event = this.heap[0];
      if (event === undefined || event.timeUs > untilUs) {
        this.nowUs = Math.max(this.nowUs, untilUs);
        return undefined;
      }
      this.pop();
      if (event.cancelled) continue;
      const process = event.process;
      if (process !== undefined && process.state !== 'running') {
        if (process.state === 'paused') process.hold(event);
        continue;
      }
      if (process !== undefined && process.busyUntilUs > event.timeUs) {
        // Its sequence stays, so that events that wait for the same processor keep their order.
        event.timeUs = process.busyUntilUs;
        this.push(event);
        continue;
      }
      this.nowUs = event.timeUs;
      this.currentSequence = Math.floor(event.sequence);
      this.eventCount++;
      this.addToHash(event);
      event.run();
      if (process !== undefined) process.spend();
      return event;
    }
  }

  /** Hash of all events so far: equal for equal seeds, 16 hexadecimal digits. */
  hash(): string {
    return this.rolling.hex();
  }

  /** Adds a fact to the hash that is not an event, for example a state hash. */
  note(text: string): void {
    this.rolling.text(text);
  }

  private addToHash(event: ScheduledEvent): void {
    this.rolling.number(event.timeUs);
    this.rolling.number(eventKinds[event.kind] * 256 + (event.process?.ordinal ?? 0));
    const payload = event.payload;
    if (payload === undefined) return;
    if (payload.length <= 2 * payloadHashBytes) {
      this.rolling.bytes(payload);
      return;
    }
    this.rolling.number(payload.length);
    this.rolling.bytes(payload.subarray(0, payloadHashBytes));
    this.rolling.bytes(payload.subarray(payload.length - payloadHashBytes));
  }

  private push(event: ScheduledEvent): void {
    const heap = this.heap;
    let child = heap.length;
    heap.push(event);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent] as ScheduledEvent;
      if (isBefore(above, event)) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = event;
  }

  private pop(): void {
    const heap = this.heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      const right = child + 1;
      if (right < heap.length && isBefore(heap[right] as ScheduledEvent, heap[child] as ScheduledEvent)) {
        child = right;
      }
      const below = heap[child] as ScheduledEvent;
      if (isBefore(last, below)) break;
      heap[parent] = below;
      parent = child;
    }
    heap[parent] = last;
  }
}

function isBefore(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.sequence < b.sequence);
}
