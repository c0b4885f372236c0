// The client's engine: requests in, answers out. It finds the leader, keeps sessions, sends again what may be
// sent again, and holds every deadline. Synchronous and without promises, so that the simulator runs it as it
// is. Must never complete a request twice or not at all, never say `none` of a write that may take effect,
// and never send a write with a new stamp while a copy with the old one can take effect.
// Source: dissertation §6.2 (finding the leader) and §6.3 (linearizable semantics by sessions).

import { assertNever } from '../../base/assert.js';
import { KvorumError } from '../../base/errors.js';
import type { ErrorAnswer, LeaderNotice, ServerHello } from '../../wire/clients/answers.js';
import type { Connection, ConnectionEvents } from './connection.js';
import { Connections, type Addresses } from './connections.js';
import { EngineContext } from './context.js';
import type { ClientEnv, ClientNetworkHandler } from './env.js';
import { Dispatcher } from './dispatcher.js';
import { givenUp, timedOut } from './failures.js';
import { resolveLimits, type ClientLimits } from './limits.js';
import { RequestQueues } from './request-queues.js';
import {
  createRequest,
  type PendingRequest,
  type RequestOwner,
  type SentRequest,
} from './pending-request.js';
import type { EngineDone, EngineRequest, EngineResult } from './requests.js';
import { Sessions, type StampEnd } from './sessions.js';
import {
  refusedStream,
  streamRefusal,
  type StreamHandle,
  type StreamReader,
  type StreamRequest,
} from './streams.js';
import { TimerQueue } from './timer-queue.js';
import { errorOf, judge } from './verdict.js';

export interface EngineOptions extends Addresses {
  readonly limits?: Partial<ClientLimits>;
}

export class ClientEngine implements ConnectionEvents, RequestOwner {
  /** Where the network's calls go. */
  readonly handler: ClientNetworkHandler;
  private readonly context: EngineContext;
  private readonly connections: Connections;
  private readonly sessions: Sessions;
  private readonly queues = new RequestQueues();
  /** Holds every request that is not completed, by its deadline. */
  private readonly deadlines: TimerQueue<PendingRequest>;
  private pendingBytes = 0;
  private readonly dispatcher: Dispatcher;
  /** The last connection that was the leader's. */
  private lastLeader: Connection | undefined;
  private phase: 'idle' | 'running' | 'closing' | 'closed' = 'idle';
  private readonly closeCallbacks: (() => void)[] = [];

  /** Throws INVALID_ARGUMENT for a limit out of its bounds. Nothing is dialed before `start`. */
  constructor(env: ClientEnv, options: EngineOptions) {
    this.context = new EngineContext(env, resolveLimits(options.limits));
    const { limits, links } = this.context;
    this.deadlines = new TimerQueue(env.clock, env.timers);
    this.sessions = new Sessions(env.entropy, limits.sessionIdleMs);
    this.connections = new Connections(this.context, options, this, (leader) => this.onLeaderChange(leader));
    this.dispatcher = new Dispatcher(
      this.context,
      this.connections,
      this.sessions,
      this.queues,
      (request, error) => this.complete(request, 'dropped', error),
    );
    this.handler = {
      onOpen: (link) => links.get(link)?.linkOpened(),
      onMessage: (link, message) => links.get(link)?.linkMessage(message),
      onClosed: (link, reason) => {
        const owner = links.get(link);
        links.delete(link);
        owner?.linkClosed(reason);
      },
    };
  }

  get clusterId(): string | undefined {
    return this.context.clusterId;
  }

  /** Requests that are not completed. */
  get pendingCount(): number {
    return this.deadlines.size;
  }

  /** The members, or before any is known the endpoints. */
  nodes(): { readonly nodeId: string | undefined; readonly address: string }[] {
    return this.connections.nodes();
  }

  /** What every address is doing, for messages to people. */
  describe(): string {
    return this.connections.describe();
  }

  /** The same by address. */
  reasons(): Record<string, string> {
    return this.connections.reasons();
  }

  /** Milliseconds of the engine's own clock: what all deadlines are counted in. */
  nowMs(): number {
    return this.context.env.clock.nowMs();
  }

  start(): void {
    if (this.phase !== 'idle') return;
    this.phase = 'running';
    this.connections.start();
  }

  /**
   * Takes a request; `done` is called exactly once and not before this returns, within `timeoutMs` (1 ..
   * 2^31-1). The arguments have been checked: what is wrong with them is an answer of the node.
   */
  submit(request: EngineRequest, timeoutMs: number, done: EngineDone): PendingRequest {
    const pending = createRequest(this, request, this.context.env.clock.nowMs(), timeoutMs, done);
    const refusal = this.refusal(pending);
    if (refusal !== undefined) {
      pending.finish();
      this.context.env.timers.defer(() => done(refusal));
      return pending;
    }
    this.admit(pending);
    return pending;
  }

  /**
   * Opens a stream on a node that is connected now. `reader` is not called before this returns; a stream that
   * cannot be opened, or whose connection is lost, ends with an error: going on elsewhere is the reader's
   * matter.
   */
  openStream(request: StreamRequest, reader: StreamReader): StreamHandle {
    const connection =
      this.closedError() ??
      streamRefusal(request) ??
      this.connections.forStream(request.readFrom ?? 'nearest');
    if (connection instanceof KvorumError) {
      return refusedStream(connection, reader, (callback) => this.context.env.timers.defer(callback));
    }
    return connection.openStream(request, reader);
  }

  /**
   * Ends the session, fails what waits with CLOSED, closes all connections. `done` is called when all is
   * closed.
   */
  close(done: () => void): void {
    if (this.phase === 'closed') {
      this.context.env.timers.defer(done);
      return;
    }
    this.closeCallbacks.push(done);
    if (this.phase === 'closing') return;
    this.phase = 'closing';
    for (const request of this.deadlines.items()) {
      this.giveUp(request, givenUp(request, 'CLOSED', 'the client was closed', undefined));
    }
    const closed = new KvorumError('CLOSED', 'the client was closed');
    for (const connection of this.connections.all) connection.endStreams(closed);
    const session = this.connections.leader === undefined ? undefined : this.sessions.closable();
    if (session === undefined) {
      this.context.env.timers.defer(() => this.finishClose());
      return;
    }
    // Best effort: without it the session ends by itself, some time later.
    const operation = { kind: 'closeSession' } as const;
    const { limits, env } = this.context;
    const farewell = createRequest(
      this,
      { kind: 'write', operation },
      env.clock.nowMs(),
      limits.closeTimeoutMs,
      () => this.context.env.timers.defer(() => this.finishClose()),
    );
    farewell.stamp(session, session.take());
    this.admit(farewell);
  }

  private finishClose(): void {
    if (this.phase === 'closed') return;
    this.phase = 'closed';
    this.dispatcher.stop();
    this.connections.stop('the client was closed');
    this.context.alarms.clear();
    this.deadlines.clear();
    for (const callback of this.closeCallbacks.splice(0)) callback();
  }

  private closedError(): KvorumError | undefined {
    if (this.phase !== 'closing' && this.phase !== 'closed') return undefined;
    return new KvorumError('CLOSED', 'the client is closed; connect again');
  }

  private refusal(request: PendingRequest): KvorumError | undefined {
    const closed = this.closedError();
    if (closed !== undefined) return closed;
    const { requestsMax, requestBytesMax } = this.context.limits;
    if (this.deadlines.size >= requestsMax) {
      const message = `${requestsMax} requests of this client wait already, its limit; wait for some of them`;
      return new KvorumError('OVERLOADED', message, { details: { requestsMax } });
    }
    if (this.pendingBytes + request.bytes > requestBytesMax) {
      const message =
        `the waiting requests of this client hold ${this.pendingBytes} bytes, its limit is ` +
        `${requestBytesMax}; wait for some of them`;
      return new KvorumError('OVERLOADED', message, { details: { requestBytesMax } });
    }
    const endpoint = request.rule.endpoint(request.request);
    if (endpoint !== undefined) {
      const connection = this.connections.forAddress(endpoint);
      if (connection === undefined) {
        const message = `${endpoint} is neither an endpoint of this client nor a member of the cluster`;
        return new KvorumError('INVALID_ARGUMENT', message);
      }
      if (this.phase === 'running') connection.dial();
    }
    return undefined;
  }

  private admit(request: PendingRequest): void {
    this.pendingBytes += request.bytes;
    this.deadlines.add(request);
    this.enqueue(request);
  }

  private enqueue(request: PendingRequest): void {
    this.queues.add(request);
    this.dispatcher.schedule();
  }

  // ---- what connections report

  onHello(connection: Connection, hello: ServerHello): KvorumError | 'duplicate' | undefined {
    return this.connections.greeted(connection, hello);
  }

  onReady(): void {
    this.connections.ready();
    this.dispatcher.schedule();
  }

  onLeaderNotice(_connection: Connection, notice: LeaderNotice): void {
    this.connections.noticed(notice.leaderId);
  }

  onGathered(): void {
    this.dispatcher.schedule();
  }

  onClusterTime(): void {
    this.dispatcher.schedule();
  }

  onUnsent(requests: readonly SentRequest[]): void {
    for (const request of requests) {
      request.unsent();
      this.queues.add(request);
    }
    this.dispatcher.schedule();
  }

  /**
   * Copies of writes that were on the connection may still take effect: they stay counted, and are sent
   * again.
   */
  onLost(connection: Connection, requests: readonly SentRequest[]): void {
    const message = connection.lastError?.message ?? 'connection lost';
    for (const request of requests) {
      request.lost({ code: 'UNAVAILABLE', message: `${connection.address}: ${message}` });
      this.queues.add(request);
    }
    this.connections.lost(connection);
    this.dispatcher.schedule();
  }

  onAnswer(connection: Connection, request: SentRequest, answer: EngineResult | ErrorAnswer): void {
    if (answer.kind === 'error') {
      this.refused(connection, request, answer);
      return;
    }
    connection.reads.heard(request, false);
    this.complete(request, 'judged', answer);
  }

  /** A new leader: what the old one has may never be answered there, and what was refused need not wait. */
  private onLeaderChange(leader: Connection | undefined): void {
    if (leader === undefined) return;
    const former = this.lastLeader;
    this.lastLeader = leader;
    for (const connection of this.connections.all) {
      if (connection === leader) continue;
      const isFormer = connection === former;
      const taken = connection.takeBack((sent) => sent.needsLeader || (isFormer && sent.lane !== 'status'));
      for (const request of taken) {
        request.takenBack();
        this.queues.add(request);
      }
    }
    for (const request of this.queues.delayed) {
      if (request.cause?.code !== 'OVERLOADED') this.onRetry(request);
    }
    this.dispatcher.schedule();
  }

  // ---- refusals

  private refused(connection: Connection, request: SentRequest, answer: ErrorAnswer): void {
    const { code } = answer;
    request.refused(connection, answer);
    if (code === 'NOT_LEADER' && request.needsLeader) this.connections.denied(connection);
    if (code === 'UNAVAILABLE') connection.reads.heard(request, true);
    if (code === 'SESSION_EXPIRED' && request.isWrite) {
      // Refused as the first of its session: the session was drawn with a cluster time that is too old.
      if (request.session?.state === 'opening') connection.clusterTime.distrust();
      this.sessions.expired(request);
    }
    const verdict = judge(code, request.isWrite, request.mayHaveEffect);
    switch (verdict) {
      case 'newSession':
      case 'retry':
        // The first time at once when there is somebody else to ask; otherwise not in a tight circle.
        if (request.refusals === 1 && this.mayAskAnother(request, connection)) {
          request.retry();
          this.enqueue(request);
        } else {
          this.delay(request);
        }
        return;
      case 'backOff':
        this.delay(request);
        return;
      case 'fail': {
        const judged = code === 'TOO_LARGE' && answer.outcome === 'none';
        const error = errorOf(code, answer.message, request.outcomeOf(code));
        this.complete(request, judged ? 'judged' : 'dropped', error);
        return;
      }
      default:
        assertNever(verdict);
    }
  }

  private mayAskAnother(request: PendingRequest, refusedBy: Connection): boolean {
    if (request.cause?.code === 'SESSION_EXPIRED') return true;
    return request.needsLeader ? this.connections.leader !== refusedBy : true;
  }

  private delay(request: PendingRequest): void {
    const { limits, env, alarms } = this.context;
    const backOffMs = this.context.backOffMs(request.refusals, limits.retryMsMin, limits.retryMsMax);
    request.delay(alarms, env.clock.nowMs() + backOffMs);
    this.queues.delayed.add(request);
  }

  onRetry(request: PendingRequest): void {
    this.queues.delayed.delete(request);
    request.wake();
    this.enqueue(request);
  }

  // ---- completion

  onDeadline(request: PendingRequest): void {
    const { connections } = this;
    this.giveUp(request, timedOut(request, connections.leader !== undefined, connections));
  }

  onCancel(request: PendingRequest, cause: unknown): void {
    if (request.state === 'done') return;
    this.giveUp(request, givenUp(request, 'ABORTED', 'the call was aborted', cause));
  }

  private giveUp(request: PendingRequest, error: KvorumError): void {
    let end: StampEnd = 'dropped';
    if (request.state === 'sent') {
      // The first write of a session is not cancelled even when its caller is gone: what follows needs the
      // session.
      const opens = request.session?.state === 'opening';
      request.connection.forget(request, opens);
      if (request.isWrite && request.hasLeft) end = 'leftOnTheWay';
      this.dispatcher.schedule();
    }
    this.complete(request, end, error);
  }

  private complete(request: PendingRequest, end: StampEnd, result: EngineResult | KvorumError): void {
    if (request.state === 'done') return;
    this.queues.remove(request);
    if (request.isWrite) this.sessions.end(request, end);
    request.finish();
    this.deadlines.remove(request);
    this.pendingBytes -= request.bytes;
    if (!this.queues.isEmpty) this.dispatcher.schedule();
    request.done(result);
  }
}
