// Clients of a test cluster: the public client over the production engine, on a machine of their own in the
// virtual world. The engine here only tells the cluster's time that something is awaited, and the trace what
// was asked and answered; it changes no request and no answer.

import { assertNever } from '../../base/assert.js';
import { fromByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import { KvorumClient } from '../../client/client.js';
import { ClientEngine, type EngineOptions } from '../../client/engine/engine.js';
import type { ClientEnv } from '../../client/engine/env.js';
import type { PendingRequest } from '../../client/engine/pending-request.js';
import type { EngineDone, EngineRequest } from '../../client/engine/requests.js';
import { disposedError, type OpenCalls, type VirtualTime } from './time.js';

/** What the cluster gives to the engines of its clients. */
export interface ClientSurroundings {
  readonly time: VirtualTime;
  readonly calls: OpenCalls;
  /** For the trace. */
  readonly tell: (clientName: string, what: string) => void;
  readonly isDisposed: () => boolean;
}

const decoder = new TextDecoder();

export class AwaitedEngine extends ClientEngine {
  private readonly name: string;
  private readonly around: ClientSurroundings;

  constructor(name: string, around: ClientSurroundings, env: ClientEnv, options: EngineOptions) {
    super(env, options);
    this.name = name;
    this.around = around;
  }

  override submit(request: EngineRequest, timeoutMs: number, done: EngineDone): PendingRequest {
    const { time, tell, isDisposed } = this.around;
    const asked = describeRequest(request);
    time.begin();
    tell(this.name, asked);
    return super.submit(request, timeoutMs, (result) => {
      time.end();
      const isGone = KvorumError.is(result, 'CLOSED') && isDisposed();
      tell(this.name, `  ${asked}: ${KvorumError.is(result) ? result.code : describeAnswer(result)}`);
      done(isGone ? closedWith(result) : result);
    });
  }

  override close(done: () => void): void {
    const { time, tell } = this.around;
    time.begin();
    tell(this.name, 'closes');
    super.close(() => {
      time.end();
      done();
    });
  }
}

/** The public client over `engine`. What it promises to callers is known to the cluster's open calls. */
export function clientOver(engine: ClientEngine, timeoutMs: number, calls: OpenCalls): KvorumClient {
  const client = new KvorumClient(engine, timeoutMs, (done) => done());
  for (const name of Object.getOwnPropertyNames(KvorumClient.prototype)) {
    const method: unknown = Reflect.get(client, name);
    if (name === 'constructor' || typeof method !== 'function') continue;
    const value = knownCall(method, client, calls);
    Object.defineProperty(client, name, { value, configurable: true, writable: true });
  }
  return client;
}

type Method = (...parameters: unknown[]) => unknown;

/** The method, with what it promises known to the open calls, itself or through the range that it returns. */
function knownCall(method: unknown, owner: object, calls: OpenCalls): Method {
  return (...parameters) => {
    const result = calls.make(() => Reflect.apply(method as Method, owner, parameters));
    const isRange = typeof result === 'object' && result !== null && Symbol.asyncIterator in result;
    return isRange ? knownRange(result, calls) : result;
  };
}

/**
 * A range, or an iterator over it, with what its methods promise known to the open calls. The methods run on
 * the range itself, so that the promises they make among themselves are none of the test's.
 */
function knownRange(range: object, calls: OpenCalls): object {
  return new Proxy(range, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      const isMethod = typeof value === 'function' && name !== 'constructor';
      return isMethod ? knownCall(value, target, calls) : value;
    },
  });
}

function closedWith(cause: KvorumError): KvorumError {
  const { code, message } = disposedError();
  return new KvorumError(code, message, { outcome: cause.outcome, cause });
}

function describeRequest(request: EngineRequest): string {
  switch (request.kind) {
    case 'write': {
      const { operation } = request;
      if (operation.kind === 'put' || operation.kind === 'delete') {
        return `${operation.kind} ${shownKey(operation.key)}`;
      }
      return operation.kind;
    }
    case 'get':
      return `get ${shownKey(request.key)}`;
    case 'range':
    case 'count':
      return `${request.kind} from ${shownKey(request.start)}`;
    case 'status':
      return 'status';
    case 'raiseFormat':
      return `raise the format level to ${request.level}`;
    default:
      return assertNever(request);
  }
}

function describeAnswer(answer: Exclude<Parameters<EngineDone>[0], KvorumError>): string {
  switch (answer.kind) {
    case 'written':
      return `${answer.code} at revision ${answer.revision}`;
    case 'got': {
      const found = answer.record === undefined ? 'nothing' : `revision ${answer.record.modRevision}`;
      return `${found} at revision ${answer.revision}`;
    }
    case 'page':
    case 'counted':
    case 'status':
    case 'formatRaised':
      return answer.kind;
    default:
      return assertNever(answer);
  }
}

function shownKey(key: string): string {
  return JSON.stringify(decoder.decode(fromByteString(key.slice(0, 60))));
}
