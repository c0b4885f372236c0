// Many points in time on one timer of the outside: a binary heap in which every item knows its place, so that
// the deadline of a request that was answered is taken out at once and keeps nothing alive. Items due at the
// same moment fire in an order that depends on the calls alone, never on the outside.

import type { Clock, TimerHandle, Timers } from '../../base/env.js';
import { timeoutMsMax } from '../../wire/limits.js';

/** An item of a `TimerQueue`. `atMs` must not change while it is queued. */
export interface Timed {
  /** When it is due, in the clock's monotonic milliseconds. */
  readonly atMs: number;
  /** Owned by the queue: place in the heap, -1 while not queued. */
  heapIndex: number;
  /** Called once when it is due, after it was taken out. */
  onTime(nowMs: number): void;
}

export class TimerQueue<Item extends Timed = Timed> {
  private readonly clock: Clock;
  private readonly timers: Timers;
  /** A binary heap by `atMs`: no item is due before its parent. */
  private readonly heap: Item[] = [];
  private timer: TimerHandle = undefined;
  /** When `timer` fires; Infinity without one. Never later than the first item is due. */
  private armedForMs = Infinity;
  /** The timer has fired; the due items wait for the end of the turn. */
  private isFiring = false;

  constructor(clock: Clock, timers: Timers) {
    this.clock = clock;
    this.timers = timers;
  }

  get size(): number {
    return this.heap.length;
  }

  /** Queues an item that is not queued. */
  add(item: Item): void {
    item.heapIndex = this.heap.length;
    this.heap.push(item);
    this.siftUp(item.heapIndex);
    if (item.atMs < this.armedForMs) this.arm();
  }

  /** Takes an item out; one that is not queued is fine. */
  remove(item: Item): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.heap.pop();
    if (last === undefined || last === item) return;
    this.heap[index] = last;
    last.heapIndex = index;
    this.siftUp(index);
    this.siftDown(last.heapIndex);
  }

  /** All items, in no order. */
  items(): readonly Item[] {
    return [...this.heap];
  }

  /** Forgets all items and the timer. */
  clear(): void {
    for (const item of this.heap) item.heapIndex = -1;
    this.heap.length = 0;
    this.disarm();
  }

  /**
   * Due items wait for the end of this turn: an answer that has arrived while this process was held up is
   * read before its deadline is believed to have passed.
   */
  private onTimer(): void {
    this.timer = undefined;
    this.isFiring = true;
    this.timers.defer(() => this.fire());
  }

  private fire(): void {
    if (!this.isFiring) return;
    this.isFiring = false;
    this.armedForMs = Infinity;
    const now = this.clock.nowMs();
    for (let first = this.heap[0]; first !== undefined && first.atMs <= now; first = this.heap[0]) {
      this.remove(first);
      first.onTime(now);
    }
    this.arm();
  }

  private arm(): void {
    const first = this.heap[0];
    if (first === undefined || this.isFiring || first.atMs >= this.armedForMs) return;
    this.disarm();
    const delayMs = Math.ceil(first.atMs - this.clock.nowMs());
    this.armedForMs = first.atMs;
    this.timer = this.timers.set(Math.min(Math.max(delayMs, 0), timeoutMsMax), () => this.onTimer());
  }

  private disarm(): void {
    if (this.armedForMs !== Infinity) this.timers.clear(this.timer);
    this.timer = undefined;
    this.isFiring = false;
    this.armedForMs = Infinity;
  }

  private siftUp(from: number): void {
    const heap = this.heap;
    const item = heap[from] as Item;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex] as Item;
      if (parent.atMs <= item.atMs) break;
      heap[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    heap[index] = item;
    item.heapIndex = index;
  }

  private siftDown(from: number): void {
    const heap = this.heap;
    const item = heap[from] as Item;
    let index = from;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= heap.length) break;
      const right = heap[childIndex + 1];
      if (right !== undefined && right.atMs < (heap[childIndex] as Item).atMs) childIndex++;
      const child = heap[childIndex] as Item;
      if (child.atMs >= item.atMs) break;
      heap[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    heap[index] = item;
    item.heapIndex = index;
  }
}

/** One point in time that can be moved: dialing again, checking a connection, sending again. */
export class Alarm implements Timed {
  atMs = 0;
  heapIndex = -1;
  private readonly queue: TimerQueue;
  private readonly callback: (nowMs: number, dueMs: number) => void;

  constructor(queue: TimerQueue, callback: (nowMs: number, dueMs: number) => void) {
    this.queue = queue;
    this.callback = callback;
  }

  get isSet(): boolean {
    return this.heapIndex >= 0;
  }

  set(atMs: number): void {
    this.queue.remove(this);
    this.atMs = atMs;
    this.queue.add(this);
  }

  clear(): void {
    this.queue.remove(this);
  }

  onTime(nowMs: number): void {
    this.callback(nowMs, this.atMs);
  }
}
