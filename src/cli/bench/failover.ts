// `kvorum bench --failover`: how long writes stand still when the leader is killed, and when it is told to
// stop.

import { KvorumError, type KvorumClient } from '../../client/index.js';
import { benchKey } from './load.js';
import type { LocalCluster } from '../local-cluster.js';

export interface FailoverOptions {
  /** Writers in closed loops, 1 or more. */
  readonly writers: number;
  readonly rounds: number;
  readonly keys: number;
  readonly valueBytes: number;
}

export interface FailoverResult {
  readonly round: number;
  /** `kill`: SIGKILL to the leader. `handOver`: SIGTERM to the leader. */
  readonly event: 'kill' | 'handOver';
  readonly leader: string;
  /** Longest time between two acknowledgements, of any writer, that ended after the event. */
  readonly longestGapMs: number;
  /** Longest time from sending to acknowledgement of a single write that was answered after the event. */
  readonly longestWriteMs: number;
  readonly failedWrites: number;
}

/** Before the event, and after it once writes go on again. */
const observeMs = 2_000;
const recoverTimeoutMs = 60_000;

/**
 * Kills and stops the leader in turn, `rounds` times each, under write load. The node is started again each
 * time.
 */
export async function runFailover(
  cluster: LocalCluster,
  connections: readonly KvorumClient[],
  options: FailoverOptions,
  report: (line: string) => void,
): Promise<FailoverResult[]> {
  const results: FailoverResult[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const event of ['kill', 'handOver'] as const) {
      const observer = connections[0];
      if (observer === undefined) return results;
      const leader = await waitUntilWhole(cluster, observer);
      const signal = event === 'kill' ? 'SIGKILL' : 'SIGTERM';
      report(`round ${round} of ${options.rounds}: ${signal} to the leader ${leader}`);
      const writers = new Writers(connections, options);
      await sleep(observeMs);
      writers.mark();
      cluster.signal(leader, signal);
      await sleep(observeMs);
      const figures = await writers.stop();
      results.push({ round, event, leader, ...figures });
      await cluster.ended(leader);
      cluster.start(leader);
    }
  }
  return results;
}

/** Writers that note when they were answered. Everything before `mark` is warm-up. */
class Writers {
  private running = true;
  private marked = false;
  private lastAnswerAt = performance.now();
  private longestGapMs = 0;
  private longestWriteMs = 0;
  private failedWrites = 0;
  private next = 0;
  private readonly loops: Promise<void>[] = [];

  constructor(connections: readonly KvorumClient[], options: FailoverOptions) {
    const value = 'x'.repeat(options.valueBytes);
    for (let index = 0; index < options.writers; index++) {
      const client = connections[index % connections.length];
      if (client !== undefined) this.loops.push(this.write(client, options.keys, value));
    }
  }

  mark(): void {
    this.marked = true;
  }

  /** The figures since `mark`, once every write under way has been answered. */
  async stop(): Promise<{ longestGapMs: number; longestWriteMs: number; failedWrites: number }> {
    this.running = false;
    await Promise.all(this.loops);
    const { longestGapMs, longestWriteMs, failedWrites } = this;
    return { longestGapMs, longestWriteMs, failedWrites };
  }

  private async write(client: KvorumClient, keys: number, value: string): Promise<void> {
    while (this.running) {
      const sentAt = performance.now();
      try {
        await client.put(benchKey(this.next++, keys), value, { timeoutMs: 30_000 });
      } catch (error) {
        if (!KvorumError.is(error)) throw error;
        this.failedWrites += 1;
        await sleep(10);
        continue;
      }
      const now = performance.now();
      if (this.marked) {
        this.longestGapMs = Math.max(this.longestGapMs, now - this.lastAnswerAt);
        this.longestWriteMs = Math.max(this.longestWriteMs, now - sentAt);
      }
      this.lastAnswerAt = now;
    }
  }
}

/**
 * Waits until every node runs, is reachable and has applied what the leader had committed; returns the
 * leader.
 */
export async function waitUntilWhole(
  cluster: LocalCluster,
  client: KvorumClient,
  timeoutMs = recoverTimeoutMs,
): Promise<string> {
  const giveUpAt = performance.now() + timeoutMs;
  let words = 'no status yet';
  while (performance.now() < giveUpAt) {
    try {
      const { nodes } = await client.status({ timeoutMs: 5_000 });
      const leader = nodes.find((node) => node.reachable && node.role === 'leader');
      const behind = nodes.filter(
        (node) =>
          !node.reachable || (node.appliedIndex ?? 0) < (leader?.commitIndex ?? Number.MAX_SAFE_INTEGER),
      );
      if (leader !== undefined && behind.length === 0 && nodes.length === cluster.nodes.length)
        return leader.id;
      words =
        leader === undefined ? 'no leader' : `not caught up: ${behind.map((node) => node.id).join(', ')}`;
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      words = error.message;
    }
    await sleep(100);
  }
  throw new KvorumError('UNAVAILABLE', `the cluster is not whole after ${timeoutMs} ms: ${words}`);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
