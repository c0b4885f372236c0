// The connection to one address: dialing with back-off, handshake, and answers matched to requests. It
// decides nothing about requests: what is answered, unsent or lost goes to `ConnectionEvents`. Requests leave
// it exactly once, by one of these three or because the engine takes them back.

import { assertNever } from '../../base/assert.js';
import { KvorumError } from '../../base/errors.js';
import { decodeServerFrames } from '../../wire/clients/answer-codec.js';
import type { ErrorAnswer, LeaderNotice, ServerFrame, ServerHello } from '../../wire/clients/answers.js';
import { ownVersions } from '../../wire/versions.js';
import { ClusterTime } from './cluster-time.js';
import type { EngineContext, LinkOwner } from './context.js';
import type { LinkId } from './env.js';
import { Liveness } from './liveness.js';
import { Outbox } from './outbox.js';
import type { PendingRequest, RequestCarrier, SentRequest } from './pending-request.js';
import { ReadStanding } from './read-standing.js';
import type { EngineResult } from './requests.js';
import { StreamTable, type StreamHandle, type StreamReader, type StreamRequest } from './streams.js';
import { Alarm } from './timer-queue.js';

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
  onAnswer(connection: Connection, request: SentRequest, answer: EngineResult | ErrorAnswer): void;
  /** These were not sent: nothing of them has left. */
  onUnsent(requests: readonly SentRequest[]): void;
  /** The connection is gone, or a dial failed. These were sent and not answered. */
  onLost(connection: Connection, requests: readonly SentRequest[]): void;
  /** Frames of streams wait to be flushed. */
  onGathered(): void;
  /** Its cluster time was refreshed, or could not be. */
  onClusterTime(): void;
}

/** How long a connection that took nothing is left alone. */
const blockedMs = 5;
/** A connection that lived this long is dialed again without back-off. */
const stableMs = 1_000;

export class Connection implements LinkOwner, RequestCarrier {
  readonly address: string;
  state: ConnectionState = 'down';
  /** Who answered at this address last. */
  nodeId: string | undefined = undefined;
  /** Who leads as this node says, while ready. */
  leaderId: string | undefined = undefined;
  leaderTerm = 0;
  /** Why nobody leads, as this node says; empty when somebody does. */
  noLeaderWords = '';
  /** It refused to act as leader; until then it is not taken for one. */
  deniedUntilMs = -Infinity;
  /** Milliseconds from question to answer, smoothed. */
  latencyMs = Infinity;
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
  private readonly outstanding = new Map<number, SentRequest>();
  private readonly streams: StreamTable;
  private readonly outbox: Outbox;
  private readonly liveness: Liveness;
  private blockedUntilMs = -Infinity;
  private openedAtMs = 0;
  private readyAtMs = 0;
  private failures = 0;
  private readonly dialAlarm: Alarm;

  constructor(context: EngineContext, address: string, events: ConnectionEvents) {
    this.context = context;
    this.address = address;
    this.events = events;
    this.reads = new ReadStanding(context);
    this.clusterTime = new ClusterTime(context, address, () => events.onClusterTime());
    this.outbox = new Outbox({
      send: (message) => this.link !== undefined && context.env.network.send(this.link, message),
      left: (request, nowMs) => this.left(request, nowMs),
    });
    this.streams = new StreamTable({
      nextRequestId: () => context.nextRequestId(),
      send: (frame) => {
        // What is said while the streams of a lost link are ending has nobody to go to.
        if (this.state !== 'ready') return;
        this.outbox.add(frame, undefined, frame.kind === 'openStream' ? frame.argument.length : 0);
        events.onGathered();
      },
    });
    const { outstanding, streams } = this;
    this.liveness = new Liveness(context, {
      get isWaiting() {
        return outstanding.size > 0;
      },
      get isListening() {
        return streams.size > 0;
      },
      ping: (nowMs) => this.ping(nowMs),
      silent: (silentMs) =>
        this.fail(new KvorumError('UNAVAILABLE', `silent for ${Math.round(silentMs)} ms`)),
    });
    this.dialAlarm = new Alarm(context.alarms, () => this.onDialAlarm());
  }

  /** Silent although it was pinged. */
  get isSuspect(): boolean {
    return this.liveness.isSuspect;
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
    this.closeLink(reason);
    this.state = 'stopped';
  }

  /** The machine was suspended while the connection was up: it is closed, and dialed again at once. */
  suspended(unseenMs: number): void {
    if (this.state !== 'ready') return;
    const fact = `this machine was suspended for about ${Math.round(unseenMs / 1_000)} s`;
    this.fail(new KvorumError('UNAVAILABLE', fact));
    this.dial();
  }

  // ---- requests

  /** Whether a further request may be added now. */
  hasRoom(nowMs: number): boolean {
    if (this.state !== 'ready' || this.isCongested(nowMs)) return false;
    return this.outstanding.size + this.outbox.count < this.context.limits.connectionRequestsMax;
  }

  /** Its buffers are full; nobody says when they are not any more. */
  isCongested(nowMs: number): boolean {
    if (this.state !== 'ready' || this.link === undefined) return false;
    const { limits, env } = this.context;
    const bufferedBytes = this.outbox.bytes + env.network.bufferedBytes(this.link);
    return nowMs < this.blockedUntilMs || bufferedBytes >= limits.connectionBufferBytesMax;
  }

  /** Something waits here to be sent. */
  get hasUnsent(): boolean {
    return this.outbox.count > 0;
  }

  /** Takes a request for the next message. The caller flushes in the same turn. */
  add(request: PendingRequest, nowMs: number): void {
    const requestId = this.context.nextRequestId();
    request.send(this, requestId);
    if (!request.isWrite) this.readsOutstanding++;
    this.outbox.add(request.frame(requestId, nowMs), request, request.bytes);
  }

  forget(request: SentRequest, quietly: boolean): void {
    const isOutstanding = this.outstanding.delete(request.requestId);
    if (!request.isWrite) this.readsOutstanding--;
    if (!isOutstanding || quietly) return;
    this.outbox.add({ kind: 'cancel', requestId: request.requestId }, undefined, 0);
  }

  /** Takes back what was sent and is chosen: it goes elsewhere. */
  takeBack(choose: (request: SentRequest) => boolean): SentRequest[] {
    const taken: SentRequest[] = [];
    for (const request of this.outstanding.values()) if (choose(request)) taken.push(request);
    for (const request of taken) this.forget(request, true);
    return taken;
  }

  /** Sends what was gathered, in messages near the target size. */
  flush(nowMs: number): void {
    if (this.outbox.flush(nowMs)) return;
    this.blockedUntilMs = nowMs + blockedMs;
    this.returnUnsent();
  }

  private left(request: SentRequest, nowMs: number): void {
    request.left(nowMs);
    if (this.outstanding.size === 0) this.liveness.waits(nowMs);
    this.outstanding.set(request.requestId, request);
  }

  private returnUnsent(): void {
    const unsent = this.outbox.takeRequests();
    for (const request of unsent) if (!request.isWrite) this.readsOutstanding--;
    if (unsent.length > 0) this.events.onUnsent(unsent);
  }

  // ---- streams

  /** Whether a further stream may be opened now, as far as this side is concerned. */
  get hasRoomForStream(): boolean {
    return this.streams.hasRoom && this.outbox.count < this.context.limits.connectionRequestsMax;
  }

  /** Opens a stream on a connection that is ready and has room for it. */
  openStream(request: StreamRequest, reader: StreamReader): StreamHandle {
    const isFirst = this.outstanding.size === 0 && this.streams.size === 0;
    if (isFirst) this.liveness.waits(this.context.env.clock.nowMs());
    return this.streams.add(request, reader);
  }

  /** Nobody reads them any more. */
  endStreams(error: KvorumError): void {
    this.streams.endAll(error);
  }

  // ---- the link

  linkOpened(): void {
    const { clusterId } = this.context;
    this.outbox.add({ kind: 'hello', ...ownVersions, clusterId }, undefined, 0);
    this.flush(this.context.env.clock.nowMs());
  }

  linkMessage(message: Uint8Array): void {
    const { link } = this;
    const nowMs = this.context.env.clock.nowMs();
    this.liveness.heard(nowMs);
    try {
      for (const frame of decodeServerFrames(message)) {
        // A frame before this one may have been the last of the connection.
        if (this.link !== link) return;
        if (this.state === 'dialing') this.receiveFirst(frame, nowMs);
        else this.receive(frame, nowMs);
      }
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      const isStranger = error.code === 'PROTOCOL' && this.state === 'dialing';
      const message = `not a kvorum node, or one of another version: ${error.message}`;
      this.fail(isStranger ? new KvorumError('PROTOCOL', message, { cause: error }) : error);
    }
  }

  linkClosed(reason: string): void {
    this.link = undefined;
    this.lost(new KvorumError('UNAVAILABLE', reason));
  }

  private receiveFirst(frame: ServerFrame, nowMs: number): void {
    switch (frame.kind) {
      case 'hello':
        this.greet(frame, nowMs);
        return;
      case 'error':
        this.fail(new KvorumError('UNAVAILABLE', `${frame.code}: ${frame.message}`));
        return;
      case 'leader':
      case 'pong':
      case 'written':
      case 'got':
      case 'page':
      case 'counted':
      case 'status':
      case 'formatRaised':
      case 'streamData':
      case 'streamEnd':
        throw new KvorumError('PROTOCOL', `the node sent ${frame.kind} before its hello`);
      default:
        assertNever(frame);
    }
  }

  private receive(frame: ServerFrame, nowMs: number): void {
    switch (frame.kind) {
      case 'hello':
        throw new KvorumError('PROTOCOL', 'the node sent a second hello');
      case 'leader':
        this.heardOfLeader(frame);
        this.events.onLeaderNotice(this, frame);
        return;
      case 'pong': {
        const roundTripMs = this.liveness.roundTripMs(nowMs);
        if (roundTripMs !== undefined) this.measured(roundTripMs);
        return;
      }
      case 'error':
      case 'written':
      case 'got':
      case 'page':
      case 'counted':
      case 'status':
      case 'formatRaised':
        this.answered(frame);
        return;
      case 'streamData':
      case 'streamEnd':
        this.streams.receive(frame);
        return;
      default:
        assertNever(frame);
    }
  }

  private answered(frame: EngineResult | ErrorAnswer): void {
    const request = this.outstanding.get(frame.requestId);
    // Not waited for any more: given up, or taken to another node.
    if (request === undefined) return;
    if (frame.kind !== 'error' && frame.kind !== request.rule.answer) {
      throw new KvorumError('PROTOCOL', `the node answered a ${request.request.kind} with ${frame.kind}`);
    }
    this.outstanding.delete(frame.requestId);
    if (!request.isWrite) this.readsOutstanding--;
    this.events.onAnswer(this, request, frame);
  }

  private greet(hello: ServerHello, nowMs: number): void {
    const refusal = this.events.onHello(this, hello);
    if (refusal instanceof KvorumError) {
      this.fail(refusal);
      return;
    }
    this.nodeId = hello.nodeId;
    this.measured(nowMs - this.openedAtMs);
    if (refusal === 'duplicate') {
      this.reset();
      this.closeLink('another connection to this node is in use');
      this.state = 'parked';
      return;
    }
    this.state = 'ready';
    this.readyAtMs = nowMs;
    this.lastError = undefined;
    this.dialAlarm.clear();
    this.liveness.begin(nowMs);
    this.leaderId = hello.leaderId;
    this.leaderTerm = hello.term;
    this.noLeaderWords = '';
    this.deniedUntilMs = -Infinity;
    this.reads.reset();
    this.clusterTime.learn(hello.nodeId, hello.clusterTimeMs);
    this.events.onReady(this);
  }

  private heardOfLeader(notice: LeaderNotice): void {
    this.leaderId = notice.leaderId;
    this.leaderTerm = notice.term;
    this.noLeaderWords = notice.why;
    if (notice.leaderId === undefined || notice.leaderId !== this.nodeId) return;
    this.deniedUntilMs = -Infinity;
    this.clusterTime.learn(notice.leaderId, notice.clusterTimeMs);
  }

  private measured(latencyMs: number): void {
    this.latencyMs = this.latencyMs === Infinity ? latencyMs : 0.8 * this.latencyMs + 0.2 * latencyMs;
  }

  private ping(nowMs: number): void {
    this.outbox.add({ kind: 'ping', requestId: this.context.nextRequestId() }, undefined, 0);
    this.flush(nowMs);
  }

  /** Closes the link because of what was heard on it, or not heard. */
  private fail(error: KvorumError): void {
    this.closeLink(`${error.code}: ${error.message}`.slice(0, 120));
    this.lost(error);
  }

  private closeLink(reason: string): void {
    if (this.link !== undefined) this.context.close(this.link, reason);
    this.link = undefined;
  }

  private lost(error: KvorumError): void {
    const nowMs = this.context.env.clock.nowMs();
    const wasStable = this.state === 'ready' && nowMs - this.readyAtMs >= stableMs;
    const requests = [...this.outstanding.values()];
    this.returnUnsent();
    this.reset();
    this.state = 'down';
    this.lastError = error;
    this.failedAtMs = nowMs;
    this.failures = wasStable ? 0 : this.failures + 1;
    const { reconnectMsMin, reconnectMsMax } = this.context.limits;
    this.dialAlarm.set(nowMs + this.context.backOffMs(this.failures, reconnectMsMin, reconnectMsMax));
    this.events.onLost(this, requests);
    const message = `the stream's connection to ${this.address} is lost: ${error.message}`;
    this.streams.endAll(new KvorumError('UNAVAILABLE', message, { cause: error }));
  }

  private reset(): void {
    this.dialAlarm.clear();
    this.liveness.reset();
    this.clusterTime.reset();
    this.outstanding.clear();
    this.outbox.clear();
    this.readsOutstanding = 0;
    this.blockedUntilMs = -Infinity;
  }

  private onDialAlarm(): void {
    if (this.state === 'down') this.dial();
    else
      this.fail(new KvorumError('UNAVAILABLE', `no answer within ${this.context.limits.dialTimeoutMs} ms`));
  }
}
