// Makes a client over real sockets, clocks and entropy, and waits until the cluster has answered. The only
// place of the client that knows of the real world besides its network; what runs in the simulator never
// imports it. Must leave nothing running when it fails.

import { randomBytes } from 'node:crypto';
import { KvorumError } from '../base/errors.js';
import { submitAbortable, tryToListen } from './abort-signals.js';
import * as check from './arguments.js';
import { connectError } from './call-errors.js';
import { KvorumClient } from './client.js';
import { ClientEngine } from './engine/engine.js';
import type { ClientEnv, ClientNetwork } from './engine/env.js';
import { defaultCallTimeoutMs, resolveLimits } from './engine/limits.js';
import type { ConnectOptions } from './options.js';
import type { EngineDone, EngineGet } from './engine/requests.js';
import { platform } from './links/platform.js';
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
  const given = check.optionsOf(options, 'connect');
  const endpoints = check.endpointsOf(given.endpoints);
  const timeoutMs = check.timeoutOf(given.timeoutMs, defaultCallTimeoutMs);
  const limits = resolveLimits(check.limitsOf(given.limits));
  const endpointsOnly = check.flagOf(given.endpointsOnly, 'endpointsOnly');
  const lazy = check.flagOf(given.lazy, 'lazy');
  const signal = check.signalOf(given.signal);
  tryToListen(signal);
  const network = new WebSocketClient({
    // The engine stops before; this is what a single large message may add.
    bufferedBytesMax: 2 * limits.connectionBufferBytesMax,
  });
  const engine = new ClientEngine(realEnv(network), { endpoints, endpointsOnly, limits });
  network.attach(engine.handler);
  const client = new KvorumClient(engine, timeoutMs, (done) => network.whenDrained(done));
  engine.start();
  if (lazy) return client;
  const failure = await reachLeader(engine, timeoutMs, signal);
  if (failure === undefined) return client;
  const seen = { words: engine.describe(), endpoints: engine.reasons() };
  await client.close();
  throw connectError(failure, timeoutMs, seen);
}

/** Resolves with why it could not be reached. */
function reachLeader(
  engine: ClientEngine,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<KvorumError | undefined> {
  return new Promise((resolve) => {
    const done: EngineDone = (result) => resolve(result instanceof KvorumError ? result : undefined);
    if (signal === undefined) engine.submit(leaderProbe, timeoutMs, done);
    else submitAbortable(engine, leaderProbe, timeoutMs, signal, done);
  });
}

function realEnv(network: ClientNetwork): ClientEnv {
  return {
    clock: { nowMs: platform.nowMs, wallMs: platform.wallMs },
    timers: {
      set: (delayMs, callback) => platform.setTimeout(callback, delayMs),
      clear: (handle) => platform.clearTimeout(handle as NodeJS.Timeout),
      defer: (callback) => void platform.setImmediate(callback),
    },
    entropy: { bytes: (length) => randomBytes(length) },
    network,
  };
}
