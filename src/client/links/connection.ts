// The link to one address: dialing with back-off, handshake, frames gathered into messages, answers matched
// to requests, and the detection of a node that is connected but dead. It decides nothing about requests:
// what is answered, unsent or lost goes to `ConnectionEvents`. Requests leave it exactly once, by one of
// these three.

import { KvorumError } from '../../base/errors.js';
import { encodeClientFrames } from '../../wire/clients/request-codec.js';
import { protocolVersion, wireLimits, type LeaderNotice, type ServerHello } from '../../wire/protocol.js';
import type { ClientFrame, ErrorAnswer, ServerFrame } from '../../wire/protocol.js';
import { decodeServerFrames } from '../../wire/clients/answer-codec.js';
import { ClusterTime } from '../engine/cluster-time.js';
import type { EngineContext, LinkOwner } from '../engine/context.js';
import type { LinkId } from '../engine/env.js';
import { ReadStanding } from '../engine/read-standing.js';
import { answerKind, type EngineResult, type PendingRequest } from '../engine/pending-request.js';
import { Alarm } from '../engine/timer-queue.js';

/**
 * `down`: waits to dial again; `parked`: leads to a node that has a connection already, waits until that one
 * is lost; `dialing`: no hello yet; `ready`: requests may be sent; `stopped`: for good.
 */
export type ConnectionState = 'down' | 'parked' | 'dialing' | 'ready' | 'stopped';

export interface ConnectionEvents {
  /** Returns why the node must not be talked to, or `duplicate`, or `undefined` to accept it. */
  onHello(connection: Connection, hello: ServerHello): KvorumError | 'duplicate' | undefined;
  onReady(connection: Connection): void;
  onLeaderNotice(connection: Connection, notice: LeaderNotice): void;
  onAnswer(connection: Connection, request: PendingRequest, answer: EngineResult | ErrorAnswer): void;
  /** These were not sent: nothing of them has left. */
  onUnsent(requests: readonly PendingRequest[]): void;
  /** The connection is gone, or a dial failed. These were sent and not answered. */
  onLost(connection: Connection, requests: readonly PendingRequest[]): void;
  /** Its cluster time was refreshed, or could not be. */
  onClusterTime(): void;
}

/** A frame of the next messages, with the request it stands for. */
interface Gathered {
  readonly frame: ClientFrame;
  readonly request: PendingRequest | undefined;
  readonly bytes: number;
}

/** Values in a frame at most, itself included; see `wireLimits.elementsMax`. */
const frameValuesMax = 16;
const framesPerMessageMax = Math.floor(wireLimits.elementsMax / frameValuesMax) - 1;
/** What a frame takes besides keys and values. */
const frameOverheadBytes = 128;
/** How long a connection that took nothing is left alone. */
const blockedMs = 5;
/** A connection that lived this long is dialed again without back-off. */
const stableMs = 1_000;

export class Connection implements LinkOwner {
  readonly address: string;
  state: ConnectionState = 'down';
  /** Who answered at this address last. */
  nodeId: string | undefined = undefined;
  /** Who leads as this node says, while ready. */
  leaderId: string | undefined = undefined;
  leaderTerm = 0;
  /** It refused to act as leader; until then it is not taken for one. */
  deniedUntilMs = -Infinity;
  /** Milliseconds from question to answer, smoothed. */
  latencyMs = Infinity;
  /** Silent although it was pinged. */
  isSuspect = false;
  readsOutstanding = 0;
  readonly reads: ReadStanding;
  readonly clusterTime: ClusterTime;
  /** Why it was lost or could not be reached, and when. */
  lastError: KvorumError | undefined = undefined;
  failedAtMs = -Infinity;
  private readonly context: EngineContext;
  private readonly events: ConnectionEvents;
  private link: LinkId | undefined;
  /** Sent and not answered, by request number. */
  private readonly outstanding = new Map<number, PendingRequest>();
  private gathered: Gathered[] = [];
  private gatheredBytes = 0;
  private blockedUntilMs = -Infinity;
  private openedAtMs = 0;
  private readyAtMs = 0;
  private failures = 0;
  private receivedAtMs = 0;
  /** Since when something is outstanding. */
  private waitingSinceMs = 0;
  private pingedAtMs: number | undefined;
  private readonly dialAlarm: Alarm;
  private readonly checkAlarm: Alarm;

  constructor(context: EngineContext, address: string, events: ConnectionEvents) {
    this.context = context;
    this.address = address;
    this.events = events;
    this.reads = new ReadStanding(context);
    this.clusterTime = new ClusterTime(context, address, () => events.onClusterTime());
    this.dialAlarm = new Alarm(context.alarms, () => this.onDialAlarm());
    this.checkAlarm = new Alarm(context.alarms, (nowMs, dueMs) => this.onCheckAlarm(nowMs, dueMs));
  }

  get outstandingCount(): number {
    return this.outstanding.size;
  }

  /** Dials now if it waits to dial. */
  dial(): void {
    if (this.state !== 'down' && this.state !== 'parked') return;
    this.state = 'dialing';
    this.openedAtMs = this.context.env.clock.nowMs();
    this.dialAlarm.set(this.openedAtMs + this.context.limits.dialTimeoutMs);
    this.link = this.context.open(this.address, this);
  }

  /** For good; its requests are not reported. */
  stop(reason: string): void {
    this.flush(this.context.env.clock.nowMs());
    this.reset();
    if (this.link !== undefined) this.context.close(this.link, reason);
    this.link = undefined;
    this.state = 'stopped';
  }

  // ---- requests

  /** Whether a further request may be added now. */
  hasRoom(nowMs: number): boolean {
    if (this.state !== 'ready' || this.isCongested(nowMs)) return false;
    return this.outstanding.size + this.gathered.length < this.context.limits.connectionRequestsMax;
  }

  /** Its buffers are full; nobody says when they are not any more. */
  isCongested(nowMs: number): boolean {
    if (this.state !== 'ready' || this.link === undefined) return false;
    const { limits, env } = this.context;
    const bufferedBytes = this.gatheredBytes + env.network.bufferedBytes(this.link);
    return nowMs < this.blockedUntilMs || bufferedBytes >= limits.connectionBufferBytesMax;
  }

  /** Takes a request for the next message. The caller flushes in the same turn. */
  add(request: PendingRequest, frame: ClientFrame & { readonly requestId: number }): void {
    request.state = 'sent';
    request.connection = this;
    request.requestId = frame.requestId;
    if (!request.isWrite) this.readsOutstanding++;
    this.gather(frame, request, request.bytes);
  }

  /** The request is not waited for any more; the node is told unless `quietly`. */
  forget(request: PendingRequest, quietly: boolean): void {
    if (!this.outstanding.delete(request.requestId)) return;
    if (!request.isWrite) this.readsOutstanding--;
    if (!quietly) this.gather({ kind: 'cancel', requestId: request.requestId }, undefined, 0);
  }

  /** Takes back what was sent and is chosen: it goes elsewhere. */
  takeBack(choose: (request: PendingRequest) => boolean): PendingRequest[] {
    const taken: PendingRequest[] = [];
    for (const request of this.outstanding.values()) if (choose(request)) taken.push(request);
    for (const request of taken) this.forget(request, true);
    return taken;
  }

  /** Sends what was gathered, in messages near the target size. */
  flush(nowMs: number): void {
    const { gathered } = this;
    if (gathered.length === 0) return;
    this.gathered = [];
    this.gatheredBytes = 0;
    let first = 0;
    let bytes = 0;
    for (let i = 0; i <= gathered.length; i++) {
      const next = gathered[i]?.bytes ?? Infinity;
      const full = bytes + next > wireLimits.messageBytesTarget || i - first >= framesPerMessageMax;
      if (full && i > first) {
        if (!this.sendMessage(gathered.slice(first, i), nowMs)) {
          this.blockedUntilMs = nowMs + blockedMs;
          this.returnUnsent(gathered.slice(first));
          return;
        }
        first = i;
        bytes = 0;
      }
      bytes += next;
    }
  }

  private sendMessage(batch: readonly Gathered[], nowMs: number): boolean {
    const message = encodeClientFrames(batch.map((entry) => entry.frame));
    if (this.link === undefined || !this.context.env.network.send(this.link, message)) return false;
    for (const { request } of batch) {
      if (request === undefined) continue;
      if (request.isWrite) request.copiesOpen++;
      request.sentAtMs = nowMs;
      if (this.outstanding.size === 0) this.beginWaiting(nowMs);
      this.outstanding.set(request.requestId, request);
    }
    return true;
  }

  private returnUnsent(entries: readonly Gathered[]): void {
    const unsent: PendingRequest[] = [];
    for (const { request } of entries) {
      // One that was completed while it was gathered has no use for being sent again.
      if (request === undefined || request.connection !== this) continue;
      if (!request.isWrite) this.readsOutstanding--;
      unsent.push(request);
    }
    if (unsent.length > 0) this.events.onUnsent(unsent);
  }

  private gather(frame: ClientFrame, request: PendingRequest | undefined, bytes: number): void {
    this.gathered.push({ frame, request, bytes: bytes + frameOverheadBytes });
    this.gatheredBytes += bytes + frameOverheadBytes;
  }

  // ---- the link

  linkOpened(): void {
    const { clusterId } = this.context;
    this.gather({ kind: 'hello', protocolVersion, clusterId }, undefined, 0);
    this.flush(this.context.env.clock.nowMs());
  }

  linkMessage(message: Uint8Array): void {
    const { link } = this;
    this.receivedAtMs = this.context.env.clock.nowMs();
    this.isSuspect = false;
    try {
      for (const frame of decodeServerFrames(message)) {
        // A frame before this one may have been the last of the connection.
        if (this.link !== link) return;
        this.receive(frame);
      }
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.fail(error);
    }
  }

  linkClosed(reason: string): void {
    this.link = undefined;
    this.lost(new KvorumError('UNAVAILABLE', reason));
  }

  private receive(frame: ServerFrame): void {
    if (this.state === 'dialing') {
      if (frame.kind === 'hello') this.greet(frame);
      else if (frame.kind === 'error')
        this.fail(new KvorumError('UNAVAILABLE', `${frame.code}: ${frame.message}`));
      else throw new KvorumError('PROTOCOL', `the node sent ${frame.kind} before its hello`);
      return;
    }
    switch (frame.kind) {
      case 'hello':
        throw new KvorumError('PROTOCOL', 'the node sent a second hello');
      case 'leader':
        this.heardOfLeader(frame);
        this.events.onLeaderNotice(this, frame);
        return;
      case 'pong':
        if (this.pingedAtMs !== undefined) this.measured(this.receivedAtMs - this.pingedAtMs);
        return;
      default:
        this.answered(frame);
    }
  }

  private answered(frame: EngineResult | ErrorAnswer): void {
    const request = this.outstanding.get(frame.requestId);
    // Not waited for any more: given up, or taken to another node.
    if (request === undefined) return;
    if (frame.kind !== 'error' && frame.kind !== answerKind(request.request)) {
      throw new KvorumError('PROTOCOL', `the node answered a ${request.request.kind} with ${frame.kind}`);
    }
    this.outstanding.delete(frame.requestId);
    if (!request.isWrite) this.readsOutstanding--;
    this.events.onAnswer(this, request, frame);
  }

  private greet(hello: ServerHello): void {
    const refusal = this.events.onHello(this, hello);
    if (refusal instanceof KvorumError) {
      this.fail(refusal);
      return;
    }
    this.nodeId = hello.nodeId;
    this.measured(this.receivedAtMs - this.openedAtMs);
    if (refusal === 'duplicate') {
      this.reset();
      if (this.link !== undefined) this.context.close(this.link, 'another connection to this node is in use');
      this.link = undefined;
      this.state = 'parked';
      return;
    }
    this.state = 'ready';
    this.readyAtMs = this.receivedAtMs;
    this.lastError = undefined;
    this.dialAlarm.clear();
    this.checkAlarm.set(this.receivedAtMs + this.context.limits.idlePingMs);
    this.leaderId = hello.leaderId;
    this.leaderTerm = hello.term;
    this.deniedUntilMs = -Infinity;
    this.reads.reset();
    this.clusterTime.learn(hello.nodeId, hello.clusterTimeMs);
    this.events.onReady(this);
  }

  private heardOfLeader(notice: LeaderNotice): void {
    this.leaderId = notice.leaderId;
    this.leaderTerm = notice.term;
    if (notice.leaderId === undefined || notice.leaderId !== this.nodeId) return;
    this.deniedUntilMs = -Infinity;
    this.clusterTime.learn(notice.leaderId, notice.clusterTimeMs);
  }

  private measured(latencyMs: number): void {
    this.latencyMs = this.latencyMs === Infinity ? latencyMs : 0.8 * this.latencyMs + 0.2 * latencyMs;
  }

  /** Closes the link because of what was heard on it, or not heard. */
  private fail(error: KvorumError): void {
    if (this.link !== undefined)
      this.context.close(this.link, `${error.code}: ${error.message}`.slice(0, 120));
    this.link = undefined;
    this.lost(error);
  }

  private lost(error: KvorumError): void {
    const nowMs = this.context.env.clock.nowMs();
    const wasStable = this.state === 'ready' && nowMs - this.readyAtMs >= stableMs;
    const requests = [...this.outstanding.values()];
    this.reset();
    this.state = 'down';
    this.lastError = error;
    this.failedAtMs = nowMs;
    this.failures = wasStable ? 0 : this.failures + 1;
    const { reconnectMsMin, reconnectMsMax } = this.context.limits;
    this.dialAlarm.set(nowMs + this.context.backOffMs(this.failures, reconnectMsMin, reconnectMsMax));
    this.events.onLost(this, requests);
  }

  private reset(): void {
    this.dialAlarm.clear();
    this.checkAlarm.clear();
    this.clusterTime.reset();
    this.outstanding.clear();
    this.gathered = [];
    this.gatheredBytes = 0;
    this.readsOutstanding = 0;
    this.isSuspect = false;
    this.pingedAtMs = undefined;
    this.blockedUntilMs = -Infinity;
  }

  private onDialAlarm(): void {
    if (this.state === 'down') this.dial();
    else
      this.fail(new KvorumError('UNAVAILABLE', `no answer within ${this.context.limits.dialTimeoutMs} ms`));
  }

  // ---- is the node alive?

  private beginWaiting(nowMs: number): void {
    this.waitingSinceMs = nowMs;
    if (this.pingedAtMs === undefined) this.checkAlarm.set(nowMs + this.context.limits.pingAfterMs);
  }

  private onCheckAlarm(nowMs: number, dueMs: number): void {
    const { pingAfterMs, pongTimeoutMs, idlePingMs } = this.context.limits;
    if (nowMs - dueMs > pongTimeoutMs / 2) {
      // This process was held up, and what the node sent meanwhile has not been read yet.
      this.checkAlarm.set(nowMs + pongTimeoutMs / 4);
      return;
    }
    if (this.pingedAtMs !== undefined && this.receivedAtMs < this.pingedAtMs) {
      this.fail(new KvorumError('UNAVAILABLE', `silent for ${Math.round(nowMs - this.receivedAtMs)} ms`));
      return;
    }
    this.pingedAtMs = undefined;
    const isWaiting = this.outstanding.size > 0;
    const silentSinceMs = isWaiting ? Math.max(this.receivedAtMs, this.waitingSinceMs) : this.receivedAtMs;
    const pingAtMs = silentSinceMs + (isWaiting ? pingAfterMs : idlePingMs);
    if (nowMs < pingAtMs) {
      this.checkAlarm.set(pingAtMs);
      return;
    }
    this.pingedAtMs = nowMs;
    this.isSuspect = isWaiting;
    this.gather({ kind: 'ping', requestId: this.context.nextRequestId() }, undefined, 0);
    this.flush(nowMs);
    this.checkAlarm.set(nowMs + pongTimeoutMs);
  }
}
