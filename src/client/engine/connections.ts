// All connections of one client: to the endpoints it was given and to the members it hears of. Knows which
// cluster the client belongs to, who leads, and where a request can go. A notice of a higher term supersedes
// all of lower ones; a node that does not act as leader is not taken for one because others still say so.

import { KvorumError } from '../../base/errors.js';
import type { Member, ServerHello } from '../../wire/clients/answers.js';
import { agreedProtocol, ownVersions } from '../../wire/versions.js';
import { Connection, type ConnectionEvents } from './connection.js';
import type { EngineContext } from './context.js';
import { addressesMax, streamsMax } from './limits.js';
import type { PendingRequest } from './pending-request.js';
import type { ReadFrom } from './requests.js';
import { Alarm } from './timer-queue.js';

export interface Addresses {
  /** host:port of one node or more. */
  readonly endpoints: readonly string[];
  /** The addresses that nodes give for each other are not used. Default false. */
  readonly endpointsOnly?: boolean;
}

export class Connections {
  private readonly context: EngineContext;
  private readonly events: ConnectionEvents;
  private readonly onLeaderChange: (leader: Connection | undefined) => void;
  private readonly endpoints: readonly string[];
  private readonly endpointsOnly: boolean;
  /** At most `addressesMax`, one per address. */
  private readonly byAddress = new Map<string, Connection>();
  /** As the node said that answered last; stays empty with `endpointsOnly`. */
  private members: readonly Member[] = [];
  /** The ready connection to the leader. */
  private leaderConnection: Connection | undefined;
  /** The highest term heard of. */
  private termMax = 0;
  /** Since when nobody is known to lead in `termMax`; `undefined` while somebody is. */
  private leaderlessSinceMs: number | undefined;
  /** Looks again when a denial ends, or when it is time to try a leader of a lower term. */
  private readonly reviewAlarm: Alarm;

  /** `onLeaderChange` is called whenever `leader` has become another connection, or none. */
  constructor(
    context: EngineContext,
    { endpoints, endpointsOnly = false }: Addresses,
    events: ConnectionEvents,
    onLeaderChange: (leader: Connection | undefined) => void,
  ) {
    this.context = context;
    this.endpoints = endpoints;
    this.endpointsOnly = endpointsOnly;
    this.events = events;
    this.onLeaderChange = onLeaderChange;
    this.reviewAlarm = new Alarm(context.alarms, () => this.review());
    for (const endpoint of endpoints) this.add(endpoint);
  }

  get leader(): Connection | undefined {
    return this.leaderConnection;
  }

  get all(): Iterable<Connection> {
    return this.byAddress.values();
  }

  start(): void {
    for (const connection of this.byAddress.values()) connection.dial();
  }

  stop(reason: string): void {
    this.reviewAlarm.clear();
    for (const connection of this.byAddress.values()) connection.stop(reason);
    this.leaderConnection = undefined;
  }

  /**
   * Whom to ask for the state of the cluster: the members, or before any is known the endpoints, without an
   * id.
   */
  nodes(): { readonly nodeId: string | undefined; readonly address: string }[] {
    if (this.members.length > 0) return [...this.members];
    return this.endpoints.map((address) => ({ nodeId: undefined, address }));
  }

  /** The connection that leads to the node at `address`, ready or not. */
  forAddress(address: string): Connection | undefined {
    const direct = this.byAddress.get(address);
    if (direct?.state === 'ready') return direct;
    const nodeId = this.members.find((member) => member.address === address)?.nodeId ?? direct?.nodeId;
    return (nodeId === undefined ? undefined : this.readyTo(nodeId)) ?? direct;
  }

  /** The connection for a read now; `undefined`: none has room. */
  forRead(request: PendingRequest, nowMs: number): Connection | undefined {
    const { leader } = this;
    if (request.needsLeader) return leader?.hasRoom(nowMs) === true ? leader : undefined;
    const nearest = request.readFrom === 'nearest';
    if (
      !nearest &&
      leader !== undefined &&
      leader !== request.avoid &&
      leader.reads.mayAnswer(request, nowMs) &&
      leader.readsOutstanding < this.context.limits.leaderReadsMax &&
      leader.hasRoom(nowMs)
    ) {
      return leader;
    }
    let best: Connection | undefined;
    for (const connection of this.byAddress.values()) {
      if (!connection.hasRoom(nowMs)) continue;
      if (best === undefined || isBetter(connection, best, request, nearest, nowMs)) best = connection;
    }
    return best;
  }

  /** The connection for a new stream, or why there is none. */
  forStream(readFrom: ReadFrom): Connection | KvorumError {
    const { leader } = this;
    if (readFrom !== 'nearest' && leader?.hasRoomForStream === true) return leader;
    let best: Connection | undefined;
    let isConnected = false;
    for (const connection of this.byAddress.values()) {
      if (connection.state !== 'ready' || (readFrom === 'leaderOnly' && connection !== leader)) continue;
      isConnected = true;
      if (connection.hasRoomForStream && (best === undefined || isNearer(connection, best))) {
        best = connection;
      }
    }
    if (best !== undefined) return best;
    if (isConnected) {
      const message = `a connection has at most ${streamsMax} streams; close some of them`;
      return new KvorumError('OVERLOADED', message, { details: { streamsMax } });
    }
    const what = readFrom === 'leaderOnly' ? 'no leader' : 'no node';
    return new KvorumError('UNAVAILABLE', `${what} is connected (${this.describe()})`);
  }

  /** What every address is doing, for messages to people. */
  describe(): string {
    return Object.entries(this.reasons())
      .map(([address, reason]) => `${address}: ${reason}`)
      .join('; ');
  }

  /** The same by address, for `details`. */
  reasons(): Record<string, string> {
    const reasons: Record<string, string> = {};
    for (const connection of this.byAddress.values()) {
      const { address, state, lastError } = connection;
      if (state === 'parked') continue;
      reasons[address] =
        state === 'ready' ? this.standing(connection) : (lastError?.message ?? 'no answer yet');
    }
    return reasons;
  }

  /** What a node that is connected says of the leader, and why that does not help. */
  private standing({ nodeId, leaderId, noLeaderWords }: Connection): string {
    if (leaderId === undefined) {
      const fact = `connected to ${nodeId}, which knows no leader`;
      return noLeaderWords === '' ? fact : `${fact}: ${noLeaderWords}`;
    }
    if (leaderId === nodeId) return `connected to ${nodeId}, which leads`;
    const follows = `connected to ${nodeId}, which follows ${leaderId}`;
    if (!this.endpointsOnly || this.readyTo(leaderId) !== undefined) return follows;
    return `${follows}; ${leaderId} is not among the endpoints that answered, and only they may be used`;
  }

  // ---- what connections report

  /**
   * Whether a node that greets is the right one. Learns the cluster from the first, and the members from
   * each.
   */
  greeted(connection: Connection, hello: ServerHello): KvorumError | 'duplicate' | undefined {
    const { context } = this;
    try {
      agreedProtocol(ownVersions, hello, 'this client', 'the node');
    } catch (error) {
      if (KvorumError.is(error)) return error;
      throw error;
    }
    if (hello.clusterId === '')
      return new KvorumError('UNAVAILABLE', 'the node has not formed a cluster yet');
    context.clusterId ??= hello.clusterId;
    if (hello.clusterId !== context.clusterId) {
      const message =
        `the node belongs to cluster ${hello.clusterId}, this client to ${context.clusterId}; ` +
        `give endpoints of one cluster only`;
      return new KvorumError('IDENTITY', message);
    }
    if (!this.endpointsOnly) this.members = hello.members;
    const other = this.readyTo(hello.nodeId);
    return other !== undefined && other !== connection ? 'duplicate' : undefined;
  }

  ready(): void {
    this.dialMembers();
    this.review();
  }

  lost(connection: Connection): void {
    // Other addresses of the same node were not needed so far.
    for (const other of this.byAddress.values()) {
      if (other.state === 'parked' && other.nodeId === connection.nodeId) other.dial();
    }
    this.dropFormer(connection);
    this.dialMembers();
    this.review();
  }

  /**
   * The machine was suspended: nobody knows whether the node still has its side of a connection, and what is
   * sent into one that it has not may neither be trusted nor repeated. They are made anew.
   */
  suspended(unseenMs: number): void {
    for (const connection of this.byAddress.values()) connection.suspended(unseenMs);
  }

  /** A node told who leads. A leader that is not connected is dialed without waiting. */
  noticed(leaderId: string | undefined): void {
    this.review();
    if (leaderId === undefined || this.leaderConnection !== undefined) return;
    for (const connection of this.byAddress.values()) {
      if (connection.state === 'down' && this.leadsTo(connection, leaderId)) connection.dial();
    }
  }

  /** The node answered that it does not lead, whatever it and others said before. */
  denied(connection: Connection): void {
    const { env, limits } = this.context;
    connection.deniedUntilMs = env.clock.nowMs() + limits.leaderDenialMs;
    this.review();
  }

  /** Finds out again who leads. */
  review(): void {
    const nowMs = this.context.env.clock.nowMs();
    let leaderId: string | undefined;
    let fallbackId: string | undefined;
    let fallbackTerm = -1;
    let reviewAtMs = Infinity;
    for (const connection of this.byAddress.values()) {
      if (connection.state !== 'ready') continue;
      this.termMax = Math.max(this.termMax, connection.leaderTerm);
      if (connection.deniedUntilMs > nowMs) reviewAtMs = Math.min(reviewAtMs, connection.deniedUntilMs);
    }
    for (const connection of this.byAddress.values()) {
      const { state, leaderId: named, leaderTerm } = connection;
      if (state !== 'ready' || named === undefined || this.denies(named, leaderTerm, nowMs)) continue;
      if (leaderTerm === this.termMax) leaderId = named;
      if (leaderTerm > fallbackTerm) {
        fallbackTerm = leaderTerm;
        fallbackId = named;
      }
    }
    if (leaderId !== undefined) {
      this.leaderlessSinceMs = undefined;
    } else {
      this.leaderlessSinceMs ??= nowMs;
      const fallbackAtMs = this.leaderlessSinceMs + this.context.limits.leaderlessMs;
      if (nowMs >= fallbackAtMs) leaderId = fallbackId;
      else if (fallbackId !== undefined) reviewAtMs = Math.min(reviewAtMs, fallbackAtMs);
    }
    this.reviewAlarm.clear();
    if (reviewAtMs !== Infinity) this.reviewAlarm.set(reviewAtMs);
    const before = this.leaderConnection;
    this.leaderConnection = leaderId === undefined ? undefined : this.readyTo(leaderId);
    if (this.leaderConnection !== before) this.onLeaderChange(this.leaderConnection);
  }

  /** Whether the node said to lead in `term` says otherwise itself. */
  private denies(nodeId: string, term: number, nowMs: number): boolean {
    const itself = this.readyTo(nodeId);
    if (itself === undefined) return false;
    if (itself.deniedUntilMs > nowMs) return true;
    return itself.leaderTerm >= term && itself.leaderId !== nodeId;
  }

  private readyTo(nodeId: string): Connection | undefined {
    for (const connection of this.byAddress.values()) {
      if (connection.state === 'ready' && connection.nodeId === nodeId) return connection;
    }
    return undefined;
  }

  private leadsTo(connection: Connection, nodeId: string): boolean {
    const member = this.members.find(({ address }) => address === connection.address);
    return (member?.nodeId ?? connection.nodeId) === nodeId;
  }

  /** An address that was a member's and is not any more is given up once its connection is gone. */
  private dropFormer(connection: Connection): void {
    const { address } = connection;
    if (this.endpoints.includes(address)) return;
    if (this.members.some((member) => member.address === address)) return;
    connection.stop('not a member any more');
    this.byAddress.delete(address);
  }

  private dialMembers(): void {
    for (const { nodeId, address } of this.members) {
      if (this.byAddress.has(address) || this.byAddress.size >= addressesMax) continue;
      if (this.readyTo(nodeId) === undefined) this.add(address).dial();
    }
  }

  private add(address: string): Connection {
    const connection = new Connection(this.context, address, this.events);
    this.byAddress.set(address, connection);
    return connection;
  }
}

/**
 * Not the one to avoid, not a silent one, not one that is behind, then the nearest or the one
 * with the fewest reads.
 */
function isBetter(
  a: Connection,
  b: Connection,
  request: PendingRequest,
  nearest: boolean,
  nowMs: number,
): boolean {
  if ((a === request.avoid) !== (b === request.avoid)) return b === request.avoid;
  if (a.isSuspect !== b.isSuspect) return b.isSuspect;
  const [aMay, bMay] = [a.reads.mayAnswer(request, nowMs), b.reads.mayAnswer(request, nowMs)];
  if (aMay !== bMay) return aMay;
  return nearest ? a.latencyMs < b.latencyMs : a.readsOutstanding < b.readsOutstanding;
}

/** Not a silent one, then the nearest. */
function isNearer(a: Connection, b: Connection): boolean {
  return a.isSuspect === b.isSuspect ? a.latencyMs < b.latencyMs : b.isSuspect;
}
