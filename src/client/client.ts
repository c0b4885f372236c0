// The client of a kvorum cluster: promises around the engine. Arguments are checked here before anything is
// sent; leader changes, retries and deadlines are the engine's matter. Every error is a KvorumError, and a
// missing key is `undefined`, never an error. Source: design, "The client library".

import { KvorumError } from '../base/errors.js';
import type { ClientOperation } from '../kv/commands.js';
import type { WriteAnswer } from '../wire/clients/answers.js';
import * as check from './arguments.js';
import { deleteInParts } from './delete-in-parts.js';
import type { ClientEngine } from './engine/engine.js';
import { Entry } from './entry.js';
import { ConflictError } from './errors.js';
import type {
  CallOptions,
  ClusterStatus,
  CountOptions,
  DeleteOptions,
  DeleteResult,
  PutOptions,
  PutResult,
  RangeOptions,
  RangeSelection,
  ReadOptions,
} from './options.js';
import { EntryRange } from './range.js';
import {
  operationRule,
  type EngineAnswers,
  type EngineRequest,
  type RequestKind,
} from './engine/requests.js';
import { readStatus } from './status.js';

export class KvorumClient implements AsyncDisposable {
  readonly #engine: ClientEngine;
  readonly #release: (done: () => void) => void;
  readonly #timeoutMs: number;
  #closed: Promise<void> | undefined;

  /**
   * @internal Use `connect`. Takes over an engine that was started; `release` frees what lies below it and is
   * called once the engine is closed.
   */
  constructor(engine: ClientEngine, timeoutMs: number, release: (done: () => void) => void) {
    this.#engine = engine;
    this.#timeoutMs = timeoutMs;
    this.#release = release;
  }

  /**
   * Writes a key. Strings are stored as UTF-8. Keys have 1 .. 4,096 bytes, values up to 1 MiB.
   *
   * Fails with CONFLICT, as a ConflictError, when `ifRevision` or `ifAbsent` did not hold; with
   * INVALID_ARGUMENT or TOO_LARGE, both before anything is sent; and with NO_SPACE, UNAVAILABLE, OVERLOADED,
   * TIMEOUT, SESSION_LIMIT, SESSION_EXPIRED, ABORTED or CLOSED. The error's outcome says whether the write
   * may have taken effect.
   */
  async put(
    key: string | Uint8Array,
    value: string | Uint8Array,
    options: PutOptions = check.noOptions,
  ): Promise<PutResult> {
    check.checkOptions(options, 'put');
    const condition = check.conditionOf(options);
    const operation = { kind: 'put', key: check.keyOf(key), value: check.valueOf(value) } as const;
    const answer = await this.#write(
      condition === undefined ? operation : { ...operation, condition },
      options,
    );
    return { revision: answer.revision };
  }

  /**
   * Reads a key of 1 .. 4,096 bytes; `undefined` when it does not exist, which is no error.
   *
   * Fails with INVALID_ARGUMENT or TOO_LARGE, both before anything is sent; with FUTURE_REVISION when
   * `revision` is above the newest; and with UNAVAILABLE, OVERLOADED, TIMEOUT, ABORTED or CLOSED.
   */
  async get(key: string | Uint8Array, options: ReadOptions = check.noOptions): Promise<Entry | undefined> {
    check.checkOptions(options, 'get');
    const bytes = check.keyOf(key);
    const { record } = await this.#call<'get'>({ kind: 'get', key: bytes, ...readOf(options) }, options);
    return record === undefined ? undefined : new Entry(record);
  }

  /**
   * Deletes a key, or all keys of a range. A range of more than 10,000 keys or 8 MiB is deleted in several
   * parts, each at once but not all together; when that fails in between, the error's outcome is `unknown`
   * and its details say how many keys are `deleted`. What does not exist is not an error: `deleted` is 0.
   *
   * Fails with CONFLICT, as a ConflictError, when `ifRevision` did not hold; with INVALID_ARGUMENT or
   * TOO_LARGE, both before anything is sent; and with NO_SPACE, UNAVAILABLE, OVERLOADED, TIMEOUT,
   * SESSION_LIMIT, SESSION_EXPIRED, ABORTED or CLOSED. The error's outcome says whether keys may be deleted.
   */
  async delete(
    target: string | Uint8Array | RangeSelection,
    options: DeleteOptions = check.noOptions,
  ): Promise<DeleteResult> {
    check.checkOptions(options, 'delete');
    const { ifRevision } = options;
    if (typeof target === 'string' || target instanceof Uint8Array) {
      const operation = { kind: 'delete', key: check.keyOf(target) } as const;
      if (ifRevision !== undefined) check.revisionOf(ifRevision, 'ifRevision', 1);
      const condition = check.conditionOf({ ifRevision });
      const answer = await this.#write(
        condition === undefined ? operation : { ...operation, condition },
        options,
      );
      return { deleted: answer.count, revision: answer.revision };
    }
    const range = check.deletionOf(target);
    if (ifRevision !== undefined) {
      throw new KvorumError('INVALID_ARGUMENT', 'ifRevision is for a single key, not for a range');
    }
    const timeoutMs = check.timeoutOf(options.timeoutMs, this.#timeoutMs);
    return deleteInParts(range, timeoutMs, {
      nowMs: () => this.#engine.nowMs(),
      write: (operation, timeLeftMs) => this.#write(operation, { ...options, timeoutMs: timeLeftMs }),
      readPage: (page, timeLeftMs) => this.#call<'range'>(page, { ...options, timeoutMs: timeLeftMs }),
    });
  }

  /**
   * The entries of a range in byte order of the keys, at one revision. Read while it is iterated over;
   * `timeoutMs` is for each page.
   *
   * Throws INVALID_ARGUMENT or TOO_LARGE at once. Reading fails with FUTURE_REVISION when `revision` is above
   * the newest, and with UNAVAILABLE, OVERLOADED, TIMEOUT, PROTOCOL, ABORTED or CLOSED.
   */
  range(options: RangeOptions = check.noOptions): EntryRange {
    check.checkOptions(options, 'range');
    const { reverse = false, keysOnly = false } = options;
    const limit = check.limitOf(options.limit);
    check.timeoutOf(options.timeoutMs, this.#timeoutMs);
    const query = { kind: 'range', ...check.rangeOf(options), ...readOf(options), limit } as const;
    return new EntryRange(
      { ...query, reverse: reverse === true, keysOnly: keysOnly === true },
      (page) => this.#call<'range'>(page, options),
      options.signal,
    );
  }

  /**
   * How many keys a range has.
   *
   * Fails with INVALID_ARGUMENT or TOO_LARGE, both before anything is sent; with FUTURE_REVISION when
   * `revision` is above the newest; and with UNAVAILABLE, OVERLOADED, TIMEOUT, ABORTED or CLOSED.
   */
  async count(options: CountOptions = check.noOptions): Promise<number> {
    check.checkOptions(options, 'count');
    const request = { kind: 'count', ...check.rangeOf(options), ...readOf(options) } as const;
    return (await this.#call<'count'>(request, options)).count;
  }

  /**
   * Every member as it sees itself, asked all at once; those that cannot be reached are listed too. Fails
   * with INVALID_ARGUMENT, ABORTED or CLOSED only.
   */
  async status(options: CallOptions = check.noOptions): Promise<ClusterStatus> {
    check.checkOptions(options, 'status');
    const timeoutMs = check.timeoutOf(options.timeoutMs, this.#timeoutMs);
    return readStatus(this.#engine, timeoutMs, (request, timeLeftMs) =>
      this.#call<'status'>(request, { ...options, timeoutMs: timeLeftMs }),
    );
  }

  /**
   * What `kvorum upgrade` does: brings the cluster to a format level, and gives the level that it is at then.
   * There is no way down. All members must be running and connected to the leader, and know the level.
   *
   * Fails with INVALID_ARGUMENT; with UNSUPPORTED when the level is below the cluster's, or a member does
   * not know it; with UNAVAILABLE, TIMEOUT, ABORTED or CLOSED.
   */
  async raiseFormat(level: number, options: CallOptions = check.noOptions): Promise<number> {
    check.checkOptions(options, 'raiseFormat');
    check.formatLevelOf(level);
    const { leader, nodes } = await this.status(options);
    const endpoint = nodes.find((node) => node.id === leader)?.address;
    if (endpoint === undefined) throw new KvorumError('UNAVAILABLE', 'no leader is known: try again');
    return (await this.#call<'raiseFormat'>({ kind: 'raiseFormat', level, endpoint }, options)).formatLevel;
  }

  /**
   * Fails what waits with CLOSED, ends the session at the cluster as far as it can be reached, and closes all
   * connections. Nothing of the client keeps the process alive afterwards. May be called again.
   */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#engine.close(() => this.#release(resolve));
    });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #write(operation: ClientOperation, options: CallOptions): Promise<WriteAnswer> {
    const answer = await this.#call<'write'>({ kind: 'write', operation }, options);
    if (answer.code === 'OK') return answer;
    throw conflictOf(operation, answer);
  }

  #call<Kind extends RequestKind>(
    request: EngineRequest & { readonly kind: Kind },
    options: CallOptions,
  ): Promise<EngineAnswers[Kind]> {
    const { signal } = options;
    const timeoutMs = check.timeoutOf(options.timeoutMs, this.#timeoutMs);
    return new Promise((resolve, reject) => {
      if (signal === undefined) {
        this.#engine.submit(request, timeoutMs, (result) => {
          if (result instanceof KvorumError) reject(result);
          else resolve(result as EngineAnswers[Kind]);
        });
        return;
      }
      if (signal.aborted) {
        reject(
          new KvorumError('ABORTED', 'the call was aborted before it was sent', { cause: signal.reason }),
        );
        return;
      }
      const abort = (): void => pending.cancel(signal.reason);
      const pending = this.#engine.submit(request, timeoutMs, (result) => {
        signal.removeEventListener('abort', abort);
        if (result instanceof KvorumError) reject(result);
        else resolve(result as EngineAnswers[Kind]);
      });
      signal.addEventListener('abort', abort);
    });
  }
}

function readOf(options: ReadOptions): {
  consistency: ReturnType<typeof check.consistencyOf>;
  revision: number;
  minRevision: number;
  readFrom: 'leader' | 'nearest';
} {
  const { revision, minRevision } = options;
  return {
    consistency: check.consistencyOf(options.consistency),
    revision: revision === undefined ? 0 : check.revisionOf(revision, 'revision', 1),
    minRevision: minRevision === undefined ? 0 : check.revisionOf(minRevision, 'minRevision', 1),
    readFrom: check.readFromOf(options.readFrom),
  };
}

function conflictOf(operation: ClientOperation, answer: WriteAnswer): ConflictError {
  const current = answer.current === undefined ? undefined : new Entry(answer.current);
  const wanted = operationRule(operation).condition(operation)?.revision;
  const found =
    current === undefined ? 'the key does not exist' : `the key is at revision ${current.modRevision}`;
  const expected = wanted === 0 ? 'it should not exist' : `revision ${wanted} was expected`;
  return new ConflictError(`${found}, ${expected}; nothing was changed`, current, {
    details: { revision: answer.revision },
  });
}
