// Sends what waits: once per tick, many requests in one message, writes in the order of their sequences.
// Chooses the connection for each request and stamps writes. It never completes a request, except a status
// that cannot be asked.

import { KvorumError } from '../../base/errors.js';
import { encodeCommand } from '../../wire/commands/command-codec.js';
import type { ClientFrame } from '../../wire/protocol.js';
import type { Connection } from '../links/connection.js';
import type { Connections } from '../links/connections.js';
import type { EngineContext } from './context.js';
import type { RequestQueues } from './request-queues.js';
import type { PendingRequest } from './pending-request.js';
import type { Sessions } from './session.js';
import { Alarm } from './timer-queue.js';

/** How soon a full buffer is looked at again. */
const congestedMs = 5;

export class Dispatcher {
  private readonly context: EngineContext;
  private readonly connections: Connections;
  private readonly sessions: Sessions;
  private readonly queues: RequestQueues;
  private readonly fail: (request: PendingRequest, error: KvorumError) => void;
  private readonly congestedAlarm: Alarm;
  private isScheduled = false;
  private isStopped = false;

  /** `fail` completes a request that cannot be sent. */
  constructor(
    context: EngineContext,
    connections: Connections,
    sessions: Sessions,
    queues: RequestQueues,
    fail: (request: PendingRequest, error: KvorumError) => void,
  ) {
    this.context = context;
    this.connections = connections;
    this.sessions = sessions;
    this.queues = queues;
    this.fail = fail;
    this.congestedAlarm = new Alarm(context.alarms, () => this.schedule());
  }

  /** Sends at the end of this tick. */
  schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.context.env.timers.defer(() => this.pump());
  }

  stop(): void {
    this.isStopped = true;
  }

  private pump(): void {
    this.isScheduled = false;
    if (this.isStopped) return;
    const nowMs = this.context.env.clock.nowMs();
    const { leader } = this.connections;
    if (leader !== undefined) this.pumpWrites(leader, nowMs);
    this.pumpReads(this.queues.leaderReads, nowMs);
    this.pumpReads(this.queues.reads, nowMs);
    this.pumpStatus(nowMs);
    let congested = false;
    for (const connection of this.connections.all) {
      connection.flush(nowMs);
      congested ||= connection.isCongested(nowMs);
    }
    if (congested && !this.queues.isEmpty) this.congestedAlarm.set(nowMs + congestedMs);
  }

  private pumpWrites(leader: Connection, nowMs: number): void {
    const { resends, writes } = this.queues;
    for (const request of resends) {
      if (!leader.hasRoom(nowMs)) return;
      resends.delete(request);
      // Nothing of it is on its way, and its session may be over: a new stamp is safe and saves a refusal.
      if (request.copiesOpen === 0 && this.sessions.unstampIfStale(request, nowMs)) writes.add(request);
      else this.sendWrite(leader, request, nowMs);
    }
    for (const request of writes) {
      if (!leader.hasRoom(nowMs)) return;
      if (!this.sessions.stampNext(request, leader.clusterTime, nowMs)) return;
      writes.delete(request);
      this.sendWrite(leader, request, nowMs);
    }
  }

  private sendWrite(leader: Connection, request: PendingRequest, nowMs: number): void {
    const { session, request: asked } = request;
    if (session === undefined || asked.kind !== 'write') return;
    const stamp = session.stamp(request.sequence);
    const command = encodeCommand({ kind: 'client', session: stamp, operation: asked.operation });
    const requestId = this.context.nextRequestId();
    leader.add(request, { kind: 'write', requestId, timeoutMs: timeLeft(request, nowMs), command });
  }

  private pumpReads(waiting: Set<PendingRequest>, nowMs: number): void {
    for (const request of waiting) {
      const connection = this.connections.forRead(request, nowMs);
      if (connection === undefined) return;
      waiting.delete(request);
      connection.add(request, readFrame(request, this.context.nextRequestId(), nowMs));
    }
  }

  private pumpStatus(nowMs: number): void {
    for (const request of this.queues.statuses) {
      const { request: asked } = request;
      const endpoint = asked.kind === 'status' ? asked.endpoint : undefined;
      const connection =
        endpoint === undefined
          ? this.connections.forRead(request, nowMs)
          : this.connections.forAddress(endpoint);
      if (connection?.hasRoom(nowMs) === true) {
        this.queues.statuses.delete(request);
        connection.add(request, readFrame(request, this.context.nextRequestId(), nowMs));
      } else if (endpoint !== undefined && connection !== undefined) {
        this.failUnreachable(request, connection);
      }
    }
  }

  /** A node that cannot be reached has no status; nobody waits longer than it takes to know. */
  private failUnreachable(request: PendingRequest, connection: Connection): void {
    if (connection.failedAtMs < request.submittedAtMs || connection.lastError === undefined) return;
    const message = `${connection.address} is not reachable: ${connection.lastError.message}`;
    this.fail(request, new KvorumError('UNAVAILABLE', message, { cause: connection.lastError }));
  }
}

/** What is left of the caller's time, for the node. */
function timeLeft(request: PendingRequest, nowMs: number): number {
  return Math.max(1, Math.ceil(request.atMs - nowMs));
}

function readFrame(
  pending: PendingRequest,
  requestId: number,
  nowMs: number,
): ClientFrame & { readonly requestId: number } {
  const { request } = pending;
  const timeoutMs = timeLeft(pending, nowMs);
  switch (request.kind) {
    case 'get': {
      const { consistency, revision, minRevision, key } = request;
      return { kind: 'get', requestId, timeoutMs, consistency, revision, minRevision, key };
    }
    case 'range': {
      const { consistency, revision, minRevision, start, end, limit, reverse, keysOnly } = request;
      const read = { requestId, timeoutMs, consistency, revision, minRevision };
      return { kind: 'range', ...read, start, end, limit, reverse, keysOnly };
    }
    case 'count': {
      const { consistency, revision, minRevision, start, end } = request;
      return { kind: 'count', requestId, timeoutMs, consistency, revision, minRevision, start, end };
    }
    case 'status':
      return { kind: 'status', requestId, timeoutMs };
    case 'write':
      throw new KvorumError('INTERNAL', 'a write was queued among the reads');
  }
}
