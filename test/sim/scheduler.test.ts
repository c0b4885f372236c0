// The order of events, the processes they belong to, and the hash that tells two runs apart.

import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { Scheduler } from '../../src/sim/world/scheduler.js';
import { roll, roll32, streamOf } from '../../src/sim/world/dice.js';
import { VirtualProcess } from '../../src/sim/world/machine/process.js';
import { processOn, runFor } from './world.js';

describe('scheduler', () => {
  it('runs events by time, and those of one moment in the order of scheduling', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }), (delays) => {
        const scheduler = new Scheduler();
        const seen: number[] = [];
        for (const [i, delayUs] of delays.entries()) {
          scheduler.schedule(delayUs, 'fault', undefined, () => seen.push(i));
        }
        runFor(scheduler, 100);
        const expected = [...delays.keys()].sort((a, b) => (delays[a] ?? 0) - (delays[b] ?? 0) || a - b);
        expect(seen).toEqual(expected);
      }),
    );
  });

  it('does not run what was cancelled, nor what belongs to the dead', () => {
    const scheduler = new Scheduler();
    const process = processOn(scheduler);
    const seen: string[] = [];
    const timer = process.timers.set(1, () => seen.push('cleared'));
    process.timers.clear(timer);
    process.timers.set(2, () => seen.push('ran'));
    process.timers.set(4, () => seen.push('dead'));
    runFor(scheduler, 3_000);
    process.kill();
    runFor(scheduler, 3_000);
    expect(seen).toEqual(['ran']);
  });

  it('has equal hashes for equal runs, and others when a time, a process or a payload differs', () => {
    const hashOf = (delayUs: number, ordinal: number, payload: Uint8Array): string => {
      const scheduler = new Scheduler();
      const process = processOn(scheduler, 'n', ordinal);
      scheduler.schedule(delayUs, 'message', process, () => undefined, payload);
      runFor(scheduler, 100);
      return scheduler.hash();
    };
    const bytes = new Uint8Array(3_000);
    const other = new Uint8Array(3_000);
    other[2_999] = 1;
    expect(hashOf(5, 1, bytes)).toBe(hashOf(5, 1, bytes));
    expect(hashOf(5, 1, bytes)).not.toBe(hashOf(6, 1, bytes));
    expect(hashOf(5, 1, bytes)).not.toBe(hashOf(5, 2, bytes));
    expect(hashOf(5, 1, bytes)).not.toBe(hashOf(5, 1, other));
  });
});

describe('pauses', () => {
  const resumed = (order: 'timersFirst' | 'messagesFirst'): string[] => {
    const scheduler = new Scheduler();
    const process = processOn(scheduler);
    const seen: string[] = [];
    scheduler.schedule(10, 'message', process, () => seen.push('message 1'));
    process.timers.set(1, () => seen.push('timer'));
    scheduler.schedule(2_000, 'message', process, () => seen.push('message 2'));
    process.timers.defer(() => seen.push('deferred'));
    process.pause();
    runFor(scheduler, 3_000);
    expect(seen).toEqual([]);
    scheduler.schedule(100, 'fault', undefined, () => process.resume(order));
    // Due at the very moment of waking: it may not overtake what waited on the same link.
    scheduler.schedule(100, 'message', process, () => seen.push('message 3'));
    runFor(scheduler, 200);
    return seen;
  };

  it('deliver, on waking, expired timers before waiting messages, or after them', () => {
    expect(resumed('timersFirst')).toEqual(['timer', 'message 1', 'message 2', 'deferred', 'message 3']);
    expect(resumed('messagesFirst')).toEqual(['message 1', 'message 2', 'deferred', 'timer', 'message 3']);
  });

  it('do not hold back time', () => {
    const scheduler = new Scheduler();
    const process = processOn(scheduler);
    process.pause();
    runFor(scheduler, 5_000_000);
    process.resume('timersFirst');
    expect(process.clock.nowMs()).toBe(5_000);
  });
});

describe('a monotonic clock that stands still', () => {
  it('takes its timers with it, and goes on from where it stood', () => {
    const scheduler = new Scheduler();
    const process = processOn(scheduler);
    const seen: string[] = [];
    const at = (name: string) => (): void => void seen.push(`${name} at ${scheduler.nowUs / 1000}`);
    process.timers.set(50, at('before'));
    process.timers.set(200, at('pending'));
    runFor(scheduler, 100_000);
    process.freezeClock(1_000_000);
    process.timers.set(150, at('set meanwhile'));
    runFor(scheduler, 500_000);
    expect(process.clock.nowMs()).toBe(100);
    process.freezeClock(9_000_000);
    runFor(scheduler, 600_000);
    expect(process.clock.nowMs()).toBe(200);
    process.timers.set(300, at('set after'));
    runFor(scheduler, 1_000_000);
    expect(process.clock.nowMs()).toBe(1_200);
    expect(seen).toEqual(['before at 50', 'pending at 1200', 'set meanwhile at 1250', 'set after at 1500']);
  });
});

describe('processor time', () => {
  it('delays the events of a busy process, in their order, and no other process', () => {
    const scheduler = new Scheduler();
    const options = { name: 'slow', ordinal: 1, seed: 1, clockRate: 1, clockStartMs: 0, wallOffsetMs: 0 };
    const slow = new VirtualProcess(scheduler, { ...options, eventCostUs: 100, clockReadCostUs: 0 });
    const quick = processOn(scheduler, 'quick', 2);
    const seen: string[] = [];
    for (const i of [1, 2, 3]) {
      scheduler.schedule(i, 'message', slow, () => seen.push(`slow ${i} at ${scheduler.nowUs}`));
    }
    scheduler.schedule(3, 'message', quick, () => seen.push(`quick at ${scheduler.nowUs}`));
    runFor(scheduler, 1_000);
    expect(seen).toEqual(['slow 1 at 1', 'quick at 3', 'slow 2 at 101', 'slow 3 at 201']);
  });
});

describe('dice', () => {
  it('give the same lot for the same three numbers, and spread evenly over each of them', () => {
    expect(roll32(1, 2, 3)).toBe(roll32(1, 2, 3));
    const samples = 20_000;
    for (const lot of [
      (i: number) => roll(i, 7, 7),
      (i: number) => roll(7, i, 7),
      (i: number) => roll(7, 7, i),
      (i: number) => roll(7, streamOf(`link ${i}`), 0),
    ]) {
      const buckets = new Array<number>(10).fill(0);
      for (let i = 0; i < samples; i++) {
        const bucket = Math.floor(lot(i) * 10);
        buckets[bucket] = (buckets[bucket] ?? 0) + 1;
      }
      for (const count of buckets) expect(Math.abs(count - samples / 10)).toBeLessThan(samples / 50);
    }
  });
});
