// What is known of the disk from when units were given to it and became durable.

import { describe, expect, test } from 'vitest';
import { UnitQueue } from '../../src/raft/unit-queue.js';

describe('the disk', () => {
  test('has one unit at a time: what waits behind another one is not with it yet', () => {
    const units = new UnitQueue(1);
    expect(units.underWaySinceMs).toBe(Infinity);
    const first = units.put(1, 1, 1_000);
    const second = units.put(1, 2, 1_100);
    expect(units.underWaySinceMs).toBe(1_000);
    units.complete(first, 4_000);
    expect(units.underWaySinceMs).toBe(4_000);
    units.complete(second, 4_500);
    expect(units.underWaySinceMs).toBe(Infinity);
    expect(units.slowestSync.recentMs(4_500)).toBe(3_000);
  });

  test('is as slow as the slowest of its last seconds, and no longer', () => {
    const units = new UnitQueue(1);
    units.complete(units.put(1, 1, 10_000), 12_000);
    expect(units.slowestSync.recentMs(16_000)).toBe(2_000);
    for (const nowMs of [17_000, 18_000, 19_000]) units.complete(units.put(1, 1, nowMs), nowMs + 10);
    expect(units.slowestSync.recentMs(21_000)).toBe(2_000);
    expect(units.slowestSync.recentMs(23_000)).toBe(10);
    expect(units.slowestSync.recentMs(60_000)).toBe(0);
  });
});
