// Sends what waits: once per tick, many requests in one message, writes in the order of their sequences.
// Chooses the connection for each request and stamps writes. It never completes a request, except a status
// that cannot be asked.

import { KvorumError } from '../../base/errors.js';
import type { Connection } from './connection.js';
import type { Connections } from './connections.js';
import type { EngineContext } from './context.js';
import type { RequestQueues } from './request-queues.js';
import type { PendingRequest } from './pending-request.js';
import type { Sessions } from './sessions.js';
import { Suspension } from './liveness.js';
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
  private readonly suspension: Suspension;
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
    this.suspension = new Suspension(context.env.clock, (unseenMs) => {
      sessions.suspended(unseenMs);
      connections.suspended(unseenMs);
    });
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
    this.suspension.look(nowMs);
    const { leader } = this.connections;
    if (leader !== undefined) this.pumpWrites(leader, nowMs);
    this.pumpReads(this.queues.leaderReads, nowMs);
    this.pumpReads(this.queues.reads, nowMs);
    this.pumpStatus(nowMs);
    let congested = false;
    let unsent = !this.queues.isEmpty;
    for (const connection of this.connections.all) {
      connection.flush(nowMs);
      congested ||= connection.isCongested(nowMs);
      unsent ||= connection.hasUnsent;
    }
    if (congested && unsent) this.congestedAlarm.set(nowMs + congestedMs);
  }

  private pumpWrites(leader: Connection, nowMs: number): void {
    const { resends, writes } = this.queues;
    for (const request of resends) {
      if (!leader.hasRoom(nowMs)) return;
      resends.delete(request);
      // Nothing of it is on its way, and its session may be over: a new stamp is safe and saves a refusal.
      if (!request.mayHaveEffect && this.sessions.unstampIfStale(request, nowMs)) writes.add(request);
      else leader.add(request, nowMs);
    }
    for (const request of writes) {
      if (!leader.hasRoom(nowMs)) return;
      if (!this.sessions.stampNext(request, leader.clusterTime, nowMs)) return;
      writes.delete(request);
      leader.add(request, nowMs);
    }
  }

  private pumpReads(waiting: Set<PendingRequest>, nowMs: number): void {
    for (const request of waiting) {
      const connection = this.connections.forRead(request, nowMs);
      if (connection === undefined) return;
      waiting.delete(request);
      connection.add(request, nowMs);
    }
  }

  private pumpStatus(nowMs: number): void {
    for (const request of this.queues.statuses) {
      const endpoint = request.rule.endpoint(request.request);
      const connection =
        endpoint === undefined
          ? this.connections.forRead(request, nowMs)
          : this.connections.forAddress(endpoint);
      if (connection?.hasRoom(nowMs) === true) {
        this.queues.statuses.delete(request);
        connection.add(request, nowMs);
      } else if (endpoint !== undefined && connection !== undefined) {
        this.failUnreachable(request, connection);
      }
    }
  }

  /** A node that cannot be reached has no status; nobody waits longer than it takes to know. */
  private failUnreachable(request: PendingRequest, connection: Connection): void {
    if (connection.failedAtMs < request.submittedAtMs || connection.lastError === undefined) return;
    const message = `${connection.address} is not reachable: ${connection.lastError.message}`;
    const { outcome } = request;
    this.fail(request, new KvorumError('UNAVAILABLE', message, { outcome, cause: connection.lastError }));
  }
}
