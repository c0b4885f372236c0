import { describe, expect, test } from 'vitest';
import { ClusterClock } from '../../src/server/replica/cluster-clock.js';

class ManualClock {
  now = 1_000;
  wall = 5_000;
  nowMs(): number {
    return this.now;
  }
  wallMs(): number {
    return this.wall;
  }
}

describe('cluster time', () => {
  test('stands still on a follower', () => {
    const clock = new ManualClock();
    const cluster = new ClusterClock(clock, 150);
    cluster.observe(40, 0);
    clock.now += 10_000;
    cluster.advance();
    expect(cluster.timeMs).toBe(40);
  });

  test('a leader continues from the largest stamp in its log', () => {
    const clock = new ManualClock();
    const cluster = new ClusterClock(clock, 150);
    cluster.observe(700, 0);
    cluster.observe(300, 0);
    cluster.startLeading();
    clock.now += 100;
    expect(cluster.stamp().clusterTimeMs).toBe(800);
  });

  test('one step is capped, so that a paused leader expires nothing on waking', () => {
    const clock = new ManualClock();
    const cluster = new ClusterClock(clock, 150);
    cluster.startLeading();
    clock.now += 60_000;
    expect(cluster.stamp().clusterTimeMs).toBe(150);
  });

  test('never runs faster than the monotonic clock, however often it is asked', () => {
    const clock = new ManualClock();
    const cluster = new ClusterClock(clock, 150);
    cluster.startLeading();
    for (let step = 0; step < 1_000; step++) {
      clock.now += 0.5;
      cluster.advance();
      cluster.stamp();
    }
    expect(cluster.timeMs).toBe(500);
  });

  test('wall time never goes back, also when the clock does', () => {
    const clock = new ManualClock();
    const cluster = new ClusterClock(clock, 150);
    cluster.observe(0, 9_000);
    expect(cluster.stamp().wallTimeMs).toBe(9_000);
    clock.wall = 9_500.7;
    expect(cluster.stamp().wallTimeMs).toBe(9_500);
    clock.wall = 1;
    expect(cluster.stamp().wallTimeMs).toBe(9_500);
  });
});
