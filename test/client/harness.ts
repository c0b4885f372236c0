// An engine in a fake world with a fake cluster, and calls whose ends are counted. A call that ended twice,
// or not at all, has no result: asking for it fails the test. Requests are those of the engine, not of the
// public client.

import { KvorumError } from '../../src/base/errors.js';
import { ClientEngine } from '../../src/client/engine/engine.js';
import type { ClientLimits } from '../../src/client/engine/limits.js';
import type { PendingRequest } from '../../src/client/engine/pending-request.js';
import type { EngineRequest, EngineResult } from '../../src/client/engine/requests.js';
import { FakeCluster } from './fake-cluster.js';
import { FakeWorld } from './fake-world.js';

export class Call {
  readonly results: (EngineResult | KvorumError)[] = [];
  pending: PendingRequest | undefined;

  get isDone(): boolean {
    return this.results.length > 0;
  }

  /** The one result. */
  get result(): EngineResult | KvorumError {
    if (this.results.length !== 1) throw new Error(`completed ${this.results.length} times`);
    return this.results[0] as EngineResult | KvorumError;
  }

  get error(): KvorumError {
    const { result } = this;
    if (result instanceof KvorumError) return result;
    throw new Error(`succeeded with ${JSON.stringify(result)}`);
  }

  /** `OK`, or the code of the conflict or of the error with its outcome. */
  get verdict(): string {
    const { result } = this;
    if (result instanceof KvorumError) return `${result.code} ${result.outcome}`;
    return result.kind === 'written' ? result.code : result.kind;
  }
}

export class Harness {
  readonly world: FakeWorld;
  readonly cluster: FakeCluster;
  readonly engine: ClientEngine;

  constructor(
    options: { seed?: number; size?: number; endpoints?: string[]; limits?: Partial<ClientLimits> } = {},
  ) {
    this.world = new FakeWorld(options.seed ?? 1);
    this.cluster = new FakeCluster(this.world, options.size ?? 3);
    this.engine = new ClientEngine(this.world.env, {
      endpoints: options.endpoints ?? this.cluster.endpoints,
      limits: options.limits ?? {},
    });
    this.world.handler = this.engine.handler;
    this.engine.start();
  }

  submit(request: EngineRequest, timeoutMs = 10_000): Call {
    const call = new Call();
    call.pending = this.engine.submit(request, timeoutMs, (result) => call.results.push(result));
    return call;
  }

  put(key: string, value: string, timeoutMs?: number): Call {
    return this.submit(putRequest(key, value), timeoutMs);
  }

  get(key: string, timeoutMs?: number): Call {
    return this.submit(getRequest(key), timeoutMs);
  }
}

export function putRequest(key: string, value: string, ifRevision?: number): EngineRequest {
  const condition =
    ifRevision === undefined ? {} : { condition: { kind: 'modRevision', revision: ifRevision } };
  return {
    kind: 'write',
    operation: { kind: 'put', key, value: Buffer.from(value), ...condition },
  } as EngineRequest;
}

export function getRequest(key: string): EngineRequest {
  const consistency = { kind: 'linearizable' } as const;
  return { kind: 'get', key, consistency, revision: 0, minRevision: 0, readFrom: 'leader' };
}
