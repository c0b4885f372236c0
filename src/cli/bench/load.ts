// The closed loops of `kvorum bench`: each simulated client sends its next request when the last one was
// answered. The same workloads as test/bench/etcd/load.go, so that both can be measured side by side.

import { createHistogram } from 'node:perf_hooks';
import { assertNever } from '../../base/assert.js';
import { KvorumError, type KvorumClient } from '../../client/index.js';

/** `put`: to key i mod keys; `get`: linearizable; `stale`: serializable, from any node. */
export const benchOperations = ['put', 'get', 'stale'] as const;
export type BenchOperation = (typeof benchOperations)[number];

export interface Workload {
  readonly operation: BenchOperation;
  /** Requests under way at any time, 1 or more. */
  readonly clients: number;
  /** Size of the key space, 1 or more. */
  readonly keys: number;
  readonly valueBytes: number;
  /** When to stop: after this many requests, or after this long; at least one of the two is finite. */
  readonly operationsMax: number;
  readonly durationMs: number;
  /** Deadline of one request, and how long nothing may be answered at all. */
  readonly timeoutMs: number;
}

export interface LoadResult {
  readonly operation: BenchOperation;
  readonly clients: number;
  readonly operations: number;
  readonly failed: number;
  readonly seconds: number;
  readonly operationsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** The first failure, if any. */
  readonly firstFailure?: string;
}

export interface LoadCounter {
  operations: number;
}

/** The name of the i-th key of a key space. */
export function benchKey(index: number, keys: number): string {
  return `bench/${String(index % keys).padStart(8, '0')}`;
}

/**
 * Runs one workload over the connections, dealt out evenly. `counter` is updated while it runs. A failed
 * request is counted and its loop goes on, until none was answered for `timeoutMs`: then the last error is
 * thrown, because what runs into the void measures nothing. An error that is not kvorum's is thrown at once.
 */
export async function runLoad(
  connections: readonly KvorumClient[],
  workload: Workload,
  counter: LoadCounter = { operations: 0 },
): Promise<LoadResult> {
  const microseconds = createHistogram();
  const value = 'x'.repeat(workload.valueBytes);
  let next = 0;
  let failed = 0;
  let firstFailure: string | undefined;
  let givenUp = false;
  const startedAt = performance.now();
  const endAt = startedAt + workload.durationMs;
  let answeredAt = startedAt;

  const loop = async (client: KvorumClient): Promise<void> => {
    for (;;) {
      const sentAt = performance.now();
      if (givenUp || next >= workload.operationsMax || sentAt >= endAt) return;
      const key = benchKey(next++, workload.keys);
      try {
        await request(client, workload, key, value);
      } catch (error) {
        if (!KvorumError.is(error)) throw error;
        if (givenUp) return;
        if (performance.now() - answeredAt >= workload.timeoutMs) {
          givenUp = true;
          throw silence(workload, error);
        }
        failed += 1;
        firstFailure ??= `${error.code}: ${error.message}`;
        await new Promise((resolve) => setTimeout(resolve, 10));
        continue;
      }
      answeredAt = performance.now();
      microseconds.record(Math.max(1, Math.round((answeredAt - sentAt) * 1_000)));
      counter.operations += 1;
    }
  };

  const loops: Promise<void>[] = [];
  for (let index = 0; index < workload.clients; index++) {
    const client = connections[index % connections.length];
    if (client !== undefined) loops.push(loop(client));
  }
  await Promise.all(loops);
  const seconds = (performance.now() - startedAt) / 1_000;
  const milliseconds = (percentile: number): number =>
    microseconds.count === 0 ? -1 : microseconds.percentile(percentile) / 1_000;
  return {
    operation: workload.operation,
    clients: workload.clients,
    operations: microseconds.count,
    failed,
    seconds,
    operationsPerSecond: Math.round(microseconds.count / seconds),
    p50Ms: milliseconds(50),
    p99Ms: milliseconds(99),
    p999Ms: milliseconds(99.9),
    maxMs: microseconds.count === 0 ? -1 : microseconds.max / 1_000,
    ...(firstFailure === undefined ? {} : { firstFailure }),
  };
}

/** Why a load ended before its time. Keeps the code, and with it the exit code, of the last failure. */
function silence({ operation, clients, timeoutMs }: Workload, cause: KvorumError): KvorumError {
  const who = clients === 1 ? 'one client' : `${clients} clients`;
  const message =
    `no request was answered for ${timeoutMs / 1_000} s while ${who} sent ${operation}; ` +
    `the last error: ${cause.message}`;
  return new KvorumError(cause.code, message, { cause });
}

async function request(
  client: KvorumClient,
  { operation, timeoutMs }: Workload,
  key: string,
  value: string,
): Promise<void> {
  switch (operation) {
    case 'put':
      await client.put(key, value, { timeoutMs });
      return;
    case 'get':
      await client.get(key, { timeoutMs });
      return;
    case 'stale':
      await client.get(key, { timeoutMs, consistency: 'serializable' });
      return;
    default:
      assertNever(operation);
  }
}
