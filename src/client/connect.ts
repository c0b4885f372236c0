// Makes a client over real sockets, clocks and entropy, and waits until the cluster has answered. The only
// place of the client that knows of the real world besides its network; what runs in the simulator never
// imports it. Must leave nothing running when it fails.

import { randomBytes } from 'node:crypto';
import { KvorumError } from '../base/errors.js';
import { checkOptions, endpointsOf, timeoutOf } from './arguments.js';
import { KvorumClient } from './client.js';
import { ClientEngine } from './engine/engine.js';
import type { ClientEnv, ClientNetwork } from './engine/env.js';
import { defaultCallTimeoutMs, resolveLimits } from './engine/limits.js';
import type { ConnectOptions } from './options.js';
import type { EngineGet } from './engine/requests.js';
import { WebSocketClient } from './links/web-socket-client.js';

/** What only a leader that a majority follows can answer. Whether there is such a key does not matter. */
const leaderProbe: EngineGet = {
  kind: 'get',
  key: '\0',
  consistency: { kind: 'linearizable' },
  revision: 0,
  minRevision: 0,
  readFrom: 'leaderOnly',
};

/**
 * A client of the cluster that `endpoints` belong to. Resolves once a leader with a majority has answered, or
 * at once with `lazy`. Rejects with INVALID_ARGUMENT, with ABORTED, or with UNAVAILABLE after `timeoutMs`,
 * saying what became of each address.
 */
export async function connect(options: ConnectOptions): Promise<KvorumClient> {
  checkOptions(options, 'connect');
  const endpoints = endpointsOf(options.endpoints);
  const timeoutMs = timeoutOf(options.timeoutMs, defaultCallTimeoutMs);
  const limits = resolveLimits(options.limits);
  const network = new WebSocketClient({
    dialTimeoutMs: limits.dialTimeoutMs,
    // The engine stops before; this is what a single large message may add.
    bufferedBytesMax: 2 * limits.connectionBufferBytesMax,
  });
  const engine = new ClientEngine(realEnv(network), {
    endpoints,
    endpointsOnly: options.endpointsOnly === true,
    limits,
  });
  network.attach(engine.handler);
  const client = new KvorumClient(engine, timeoutMs, (done) => network.whenDrained(done));
  engine.start();
  if (options.lazy === true) return client;
  try {
    await reachLeader(engine, timeoutMs, options.signal ?? undefined);
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

function reachLeader(
  engine: ClientEngine,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => pending.cancel(signal?.reason);
    const pending = engine.submit(leaderProbe, timeoutMs, (result) => {
      signal?.removeEventListener('abort', abort);
      if (!(result instanceof KvorumError)) resolve();
      else if (result.code === 'ABORTED') reject(result);
      else reject(unreachable(engine, timeoutMs, result));
    });
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort);
  });
}

function unreachable(engine: ClientEngine, timeoutMs: number, cause: KvorumError): KvorumError {
  const message =
    `no leader answered within ${timeoutMs} ms (${engine.describe()}); ` +
    `check the endpoints and that a majority of the nodes runs`;
  return new KvorumError('UNAVAILABLE', message, { cause });
}

function realEnv(network: ClientNetwork): ClientEnv {
  return {
    clock: { nowMs: () => performance.now(), wallMs: () => Date.now() },
    timers: {
      set: (delayMs, callback) => setTimeout(callback, delayMs),
      clear: (handle) => clearTimeout(handle as NodeJS.Timeout),
      defer: (callback) => {
        setImmediate(callback);
      },
    },
    entropy: { bytes: (length) => randomBytes(length) },
    network,
  };
}
