// The client of a kvorum cluster: promises around the engine. Arguments are checked here before anything is
// sent; leader changes, retries and deadlines are the engine's matter. Every error is a KvorumError, and a
// missing key is `undefined`, never an error. Source: design, "The client library".

import { KvorumError } from '../base/errors.js';
import type { ClientOperation } from '../kv/commands.js';
import type { WriteAnswer } from '../wire/clients/answers.js';
import * as check from './arguments.js';
import { submitAbortable, tryToListen } from './abort-signals.js';
import { callError, conflictError } from './call-errors.js';
import { deleteInParts } from './delete-in-parts.js';
import type { ClientEngine } from './engine/engine.js';
import { Entry } from './entry.js';
import type {
  BytesLike,
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
import type { EngineAnswers, EngineDone, EngineRequest, RequestKind } from './engine/requests.js';
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
  async put(key: BytesLike, value: BytesLike, options: PutOptions = check.noOptions): Promise<PutResult> {
    const given = check.optionsOf(options, 'put');
    const condition = check.conditionOf(given);
    const operation = { kind: 'put', key: check.keyOf(key), value: check.valueOf(value) } as const;
    const answer = await this.#write(
      condition === undefined ? operation : { ...operation, condition },
      given,
    );
    return { revision: answer.revision };
  }

  /**
   * Reads a key of 1 .. 4,096 bytes; `undefined` when it does not exist, which is no error.
   *
   * Fails with INVALID_ARGUMENT or TOO_LARGE, both before anything is sent; with FUTURE_REVISION when
   * `revision` is above the newest; and with UNAVAILABLE, OVERLOADED, TIMEOUT, ABORTED or CLOSED.
   */
  async get(key: BytesLike, options: ReadOptions = check.noOptions): Promise<Entry | undefined> {
    const given = check.optionsOf(options, 'get');
    const { record } = await this.#ask<'get'>(
      { kind: 'get', key: check.keyOf(key), ...readOf(given) },
      given,
    );
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
    target: BytesLike | RangeSelection,
    options: DeleteOptions = check.noOptions,
  ): Promise<DeleteResult> {
    const given = check.optionsOf(options, 'delete');
    const { ifRevision } = given;
    if (check.isKey(target)) {
      const operation = { kind: 'delete', key: check.keyOf(target) } as const;
      if (ifRevision !== undefined) check.revisionOf(ifRevision, 'ifRevision', 1);
      const condition = check.conditionOf({ ifRevision });
      const answer = await this.#write(
        condition === undefined ? operation : { ...operation, condition },
        given,
      );
      return { deleted: answer.count, revision: answer.revision };
    }
    const range = check.deletionOf(target);
    if (ifRevision !== undefined) {
      throw new KvorumError('INVALID_ARGUMENT', 'ifRevision is for a single key, not for a range');
    }
    const timeoutMs = check.timeoutOf(given.timeoutMs, this.#timeoutMs);
    return deleteInParts(range, timeoutMs, {
      nowMs: () => this.#engine.nowMs(),
      write: (operation, timeLeftMs) => this.#write(operation, { ...given, timeoutMs: timeLeftMs }),
      readPage: (page, timeLeftMs) => this.#ask<'range'>(page, { ...given, timeoutMs: timeLeftMs }),
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
    const given = check.optionsOf(options, 'range');
    const limit = check.limitOf(given.limit);
    const reverse = check.flagOf(given.reverse, 'reverse');
    const keysOnly = check.flagOf(given.keysOnly, 'keysOnly');
    check.timeoutOf(given.timeoutMs, this.#timeoutMs);
    const signal = check.signalOf(given.signal);
    const query = { kind: 'range', ...check.rangeOf(given), ...readOf(given), limit } as const;
    return new EntryRange({ ...query, reverse, keysOnly }, (page) => this.#ask<'range'>(page, given), signal);
  }

  /**
   * How many keys a range has.
   *
   * Fails with INVALID_ARGUMENT or TOO_LARGE, both before anything is sent; with FUTURE_REVISION when
   * `revision` is above the newest; and with UNAVAILABLE, OVERLOADED, TIMEOUT, ABORTED or CLOSED.
   */
  async count(options: CountOptions = check.noOptions): Promise<number> {
    const given = check.optionsOf(options, 'count');
    const request = { kind: 'count', ...check.rangeOf(given), ...readOf(given) } as const;
    return (await this.#ask<'count'>(request, given)).count;
  }

  /**
   * Every member as it sees itself, asked all at once; those that cannot be reached are listed too. Fails
   * with INVALID_ARGUMENT, ABORTED or CLOSED only.
   */
  async status(options: CallOptions = check.noOptions): Promise<ClusterStatus> {
    const given = check.optionsOf(options, 'status');
    const timeoutMs = check.timeoutOf(given.timeoutMs, this.#timeoutMs);
    // A node that cannot be asked is no error, but this would be one of every node.
    tryToListen(check.signalOf(given.signal));
    return readStatus(this.#engine, timeoutMs, (request, timeLeftMs) =>
      this.#ask<'status'>(request, { ...given, timeoutMs: timeLeftMs }),
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
    const given = check.optionsOf(options, 'raiseFormat');
    check.formatLevelOf(level);
    const { leader, nodes } = await this.status(given);
    const endpoint = nodes.find((node) => node.id === leader)?.address;
    if (endpoint === undefined) throw new KvorumError('UNAVAILABLE', 'no leader is known: try again');
    return (await this.#ask<'raiseFormat'>({ kind: 'raiseFormat', level, endpoint }, given)).formatLevel;
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
    const request = { kind: 'write', operation } as const;
    const answer = await this.#call<'write'>(request, options);
    if (answer instanceof KvorumError) throw callError(answer, request);
    if (answer.code === 'OK') return answer;
    throw conflictError(operation, answer);
  }

  async #ask<Kind extends RequestKind>(
    request: EngineRequest & { readonly kind: Kind },
    options: CallOptions,
  ): Promise<EngineAnswers[Kind]> {
    const answer = await this.#call<Kind>(request, options);
    if (answer instanceof KvorumError) throw callError(answer, request);
    return answer;
  }

  /** Resolves with the error of the call too: whoever awaits it makes the one that the caller sees. */
  #call<Kind extends RequestKind>(
    request: EngineRequest & { readonly kind: Kind },
    options: CallOptions,
  ): Promise<EngineAnswers[Kind] | KvorumError> {
    const timeoutMs = check.timeoutOf(options.timeoutMs, this.#timeoutMs);
    const signal = check.signalOf(options.signal);
    return new Promise((resolve) => {
      if (signal === undefined) this.#engine.submit(request, timeoutMs, resolve as EngineDone);
      else submitAbortable(this.#engine, request, timeoutMs, signal, resolve as EngineDone);
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
