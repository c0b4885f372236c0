// A tiny cluster for the engine's tests: one store with sessions (dissertation §6.3), some nodes of which one
// may lead, and all that can go wrong between a client and it. Counts how often each write took effect. Has
// no log and no replication: a commit is a delay that a change of leader may cut short.

import type { ByteString } from '../../src/base/bytes.js';
import type { ErrorCode, Outcome } from '../../src/base/errors.js';
import { kvLimits, type ClientCommand, type KeyRecord } from '../../src/kv/commands.js';
import { decodeClientCommand } from '../../src/wire/commands/command-codec.js';
import type { ClientFrame, WriteRequest } from '../../src/wire/clients/requests.js';
import type { NodeStatus } from '../../src/wire/clients/status.js';
import type { ServerFrame } from '../../src/wire/clients/answers.js';
import { ownVersions, type Versions } from '../../src/wire/versions.js';
import type { FakeLink } from './fake-world.js';
import { type FakeNode, type FakeWorld } from './fake-world.js';

type Result =
  | { readonly code: 'OK' | 'CONFLICT'; readonly revision: number; readonly count: number }
  | { readonly code: Extract<ErrorCode, 'STALE' | 'SESSION_EXPIRED' | 'SESSION_LIMIT'> };

interface FakeSession {
  acknowledgedThrough: number;
  deadlineMs: number;
  closed: boolean;
  readonly outcomes: Map<number, Result>;
}

interface Proposal {
  readonly node: ClusterNode;
  readonly link: FakeLink;
  readonly requestId: number;
  readonly command: ClientCommand;
}

/** What a node does instead of serving a request; for one request. */
export type Refusal = { readonly code: ErrorCode; readonly outcome: Outcome } | 'drop';

export class FakeCluster {
  readonly world: FakeWorld;
  readonly nodes: ClusterNode[];
  readonly clusterId: string;
  /** Times each value was put. */
  readonly effects = new Map<string, number>();
  readonly store = new Map<ByteString, KeyRecord>();
  readonly sessions = new Map<string, FakeSession>();
  revision = 0;
  term = 1;
  leader: ClusterNode | undefined;
  commitMs: () => number = () => 1;
  /** Sequences seen, in order, for asserts. */
  readonly applied: ClientCommand[] = [];
  /** Asked before a request is served. */
  refuse: (node: ClusterNode, frame: ClientFrame) => Refusal | undefined = () => undefined;
  private timeMs = 0;
  private timeAtMs: number;
  private log: Proposal[] = [];

  constructor(world: FakeWorld, size = 3, clusterId = 'c1') {
    this.world = world;
    this.clusterId = clusterId;
    this.timeAtMs = world.nowMs;
    this.nodes = [];
    for (let i = 1; i <= size; i++) {
      const node = new ClusterNode(this, `n${i}`, `10.0.0.${i}:7401`);
      this.nodes.push(node);
      world.nodes.set(node.address, node);
    }
    this.leader = this.nodes[0];
  }

  get endpoints(): string[] {
    return this.nodes.map((node) => node.address);
  }

  /** Runs with the clock while there is a leader. */
  get clusterTimeMs(): number {
    if (this.leader !== undefined) this.timeMs += this.world.nowMs - this.timeAtMs;
    this.timeAtMs = this.world.nowMs;
    return Math.floor(this.timeMs);
  }

  /** As after an idle time in which no entry was proposed and nobody was told. */
  advanceTime(durationMs: number): void {
    this.timeMs += durationMs;
  }

  /** Each uncommitted write survives with this probability. */
  electLeader(next: ClusterNode | undefined, survives: () => boolean = () => false): void {
    const time = this.clusterTimeMs;
    this.timeMs = time;
    const former = this.leader;
    this.leader = next;
    this.term++;
    const kept: Proposal[] = [];
    for (const proposal of this.log) {
      if (survives()) kept.push(proposal);
      former?.answer(proposal.link, errorFrame(proposal.requestId, 'NOT_LEADER', 'unknown'));
    }
    this.log = [];
    // They are committed by whoever leads; nobody is told.
    for (const { command } of kept) this.apply(command);
    for (const node of this.nodes) node.tellLeader();
  }

  propose(proposal: Proposal): void {
    this.log.push(proposal);
    this.world.at(this.world.nowMs + this.commitMs(), () => {
      const index = this.log.indexOf(proposal);
      if (index < 0) return;
      this.log.splice(index, 1);
      const result = this.apply(proposal.command);
      proposal.node.answer(proposal.link, writtenFrame(proposal.requestId, result, this, proposal.command));
    });
  }

  apply(command: ClientCommand): Result {
    this.applied.push(command);
    const nowMs = this.clusterTimeMs;
    for (const [id, session] of this.sessions) if (session.deadlineMs <= nowMs) this.sessions.delete(id);
    const { sessionId, createdClusterTimeMs, sequence, acknowledgedThrough } = command.session;
    let session = this.sessions.get(sessionId);
    const deadlineMs = Math.max(nowMs, createdClusterTimeMs) + kvLimits.sessionLifeMs;
    if (session === undefined) {
      if (sequence !== 1 || nowMs - createdClusterTimeMs >= kvLimits.sessionLifeMs) {
        return { code: 'SESSION_EXPIRED' };
      }
      session = { acknowledgedThrough: 0, deadlineMs, closed: false, outcomes: new Map() };
      this.sessions.set(sessionId, session);
    }
    if (session.closed) return { code: 'SESSION_EXPIRED' };
    if (sequence <= session.acknowledgedThrough) return { code: 'STALE' };
    const stored = session.outcomes.get(sequence);
    if (stored !== undefined) return stored;
    if (acknowledgedThrough >= sequence) throw new Error('a write acknowledges itself');
    session.acknowledgedThrough = Math.max(session.acknowledgedThrough, acknowledgedThrough);
    if (sequence > session.acknowledgedThrough + kvLimits.sessionWindow) return { code: 'SESSION_LIMIT' };
    session.deadlineMs = deadlineMs;
    if (command.operation.kind === 'closeSession') {
      session.closed = true;
      return { code: 'OK', revision: this.revision, count: 0 };
    }
    const result = this.execute(command);
    session.outcomes.set(sequence, result);
    for (const key of session.outcomes.keys()) {
      if (key <= session.acknowledgedThrough) session.outcomes.delete(key);
    }
    return result;
  }

  private execute({ operation }: ClientCommand): Result {
    if (operation.kind === 'deleteRange') {
      let count = 0;
      for (const key of [...this.store.keys()]) {
        if (key < operation.start || (operation.end !== undefined && key >= operation.end)) continue;
        this.store.delete(key);
        count++;
      }
      return { code: 'OK', revision: ++this.revision, count };
    }
    if (operation.kind === 'closeSession') return { code: 'OK', revision: this.revision, count: 0 };
    const before = this.store.get(operation.key);
    if (operation.condition !== undefined && operation.condition.revision !== (before?.modRevision ?? 0)) {
      return { code: 'CONFLICT', revision: this.revision, count: 0 };
    }
    if (operation.kind === 'delete') {
      const existed = this.store.delete(operation.key);
      return { code: 'OK', revision: ++this.revision, count: existed ? 1 : 0 };
    }
    const name = Buffer.from(operation.value).toString('latin1');
    this.effects.set(name, (this.effects.get(name) ?? 0) + 1);
    const revision = ++this.revision;
    this.store.set(operation.key, {
      key: operation.key,
      value: new Uint8Array(operation.value),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      leaseId: 0,
    });
    return { code: 'OK', revision, count: 0 };
  }
}

export type StreamRequestFrame = Extract<
  ClientFrame,
  { kind: 'openStream' | 'streamCredit' | 'closeStream' }
>;

export class ClusterNode implements FakeNode {
  readonly nodeId: string;
  readonly address: string;
  isUp = true;
  /** Receives and does not react: what arrives is handled when it thaws. */
  isFrozen = false;
  pageRecordsMax = 1_000;
  /** What its hello says of the protocol. */
  versions: Partial<Versions> = {};
  /** Serves streams. */
  streams: (link: FakeLink, frame: StreamRequestFrame) => void = (_link, { kind }) => {
    throw new Error(`this node has no streams, and got ${kind}`);
  };
  /** Frames of all links, for asserts. */
  readonly received: ClientFrame[] = [];
  private readonly cluster: FakeCluster;
  private readonly links = new Set<FakeLink>();
  private held: (() => void)[] = [];

  constructor(cluster: FakeCluster, nodeId: string, address: string) {
    this.cluster = cluster;
    this.nodeId = nodeId;
    this.address = address;
  }

  accept(): 'accept' | 'refuse' | 'silent' {
    if (!this.isUp) return 'refuse';
    return this.isFrozen ? 'silent' : 'accept';
  }

  onOpen(link: FakeLink): void {
    this.links.add(link);
  }

  onClosed(link: FakeLink): void {
    this.links.delete(link);
  }

  onFrame(link: FakeLink, frame: ClientFrame): void {
    if (!this.isUp) return;
    if (this.isFrozen) this.held.push(() => this.onFrame(link, frame));
    else this.serve(link, frame);
  }

  crash(): void {
    this.isUp = false;
    this.held = [];
    this.breakLinks();
  }

  restart(): void {
    this.isUp = true;
    this.isFrozen = false;
  }

  thaw(): void {
    this.isFrozen = false;
    for (const run of this.held.splice(0)) run();
  }

  breakLinks(): void {
    for (const link of this.links) link.break();
    this.links.clear();
  }

  answer(link: FakeLink, frame: ServerFrame): void {
    if (!this.isUp) return;
    if (this.isFrozen) this.held.push(() => this.answer(link, frame));
    else if (link.isOpen) link.reply(frame);
  }

  tellLeader(): void {
    const { leader, term, clusterTimeMs } = this.cluster;
    const notice = { kind: 'leader', leaderId: leader?.nodeId, term, clusterTimeMs, why: '' } as const;
    for (const link of this.links) this.answer(link, notice);
  }

  private serve(link: FakeLink, frame: ClientFrame): void {
    const { cluster } = this;
    this.received.push(frame);
    if (frame.kind === 'hello') {
      this.answer(link, this.hello());
      return;
    }
    if (frame.kind === 'cancel') return;
    if (frame.kind === 'ping') {
      this.answer(link, { kind: 'pong', requestId: frame.requestId });
      return;
    }
    const refusal = cluster.refuse(this, frame);
    if (refusal === 'drop') return;
    if (refusal !== undefined) {
      this.answer(link, errorFrame(frame.requestId, refusal.code, refusal.outcome));
      return;
    }
    if (frame.kind === 'status') {
      this.answer(link, { kind: 'status', requestId: frame.requestId, status: this.status() });
    } else if (frame.kind === 'write') {
      this.write(link, frame);
    } else if (frame.kind === 'openStream' || frame.kind === 'streamCredit' || frame.kind === 'closeStream') {
      this.streams(link, frame);
    } else if (frame.kind === 'raiseFormat') {
      this.answer(link, { kind: 'formatRaised', requestId: frame.requestId, formatLevel: frame.level });
    } else if (cluster.leader === undefined && frame.consistency.kind === 'linearizable') {
      this.answer(link, errorFrame(frame.requestId, 'NOT_LEADER', 'none'));
    } else {
      this.read(link, frame);
    }
  }

  private write(link: FakeLink, frame: WriteRequest): void {
    if (this.cluster.leader !== this) {
      this.answer(link, errorFrame(frame.requestId, 'NOT_LEADER', 'none'));
      return;
    }
    const command = decodeClientCommand(new Uint8Array(frame.command));
    this.cluster.propose({ node: this, link, requestId: frame.requestId, command });
  }

  private read(link: FakeLink, frame: Extract<ClientFrame, { kind: 'get' | 'range' | 'count' }>): void {
    const { requestId } = frame;
    const { revision, store } = this.cluster;
    if (frame.kind === 'get') {
      this.answer(link, { kind: 'got', requestId, revision, record: store.get(frame.key) });
      return;
    }
    const asOf = frame.revision === 0 ? revision : frame.revision;
    const found = [...store.values()]
      .filter(({ key }) => key >= frame.start && (frame.end === undefined || key < frame.end))
      .filter(({ modRevision }) => modRevision <= asOf)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    if (frame.kind === 'count') {
      this.answer(link, { kind: 'counted', requestId, revision: asOf, count: found.length });
      return;
    }
    if (frame.reverse) found.reverse();
    const records = found.slice(0, Math.min(frame.limit, this.pageRecordsMax));
    const shown = frame.keysOnly
      ? records.map((record) => ({ ...record, value: new Uint8Array(0) }))
      : records;
    const more = records.length < found.length;
    this.answer(link, { kind: 'page', requestId, revision: asOf, records: shown, more });
  }

  private hello(): ServerFrame {
    const { clusterId, leader, term, clusterTimeMs, nodes } = this.cluster;
    return {
      kind: 'hello',
      ...ownVersions,
      formatLevel: 1,
      ...this.versions,
      clusterId,
      nodeId: this.nodeId,
      members: nodes.map(({ nodeId, address }) => ({ nodeId, address })),
      leaderId: leader?.nodeId,
      term,
      clusterTimeMs,
    };
  }

  private status(): NodeStatus {
    const { clusterId, leader, term, revision } = this.cluster;
    return {
      clusterId,
      nodeId: this.nodeId,
      role: leader === this ? 'leader' : 'follower',
      state: 'running',
      leaderId: leader?.nodeId,
      term,
      commitIndex: 7,
      appliedIndex: 7,
      revision,
      stateHash: '0123456789abcdef',
      stateHashIndex: 7,
      stateHashes: [],
      version: '0.1.0',
      pid: 42,
      dbBytes: 1,
      logBytes: 2,
      formatLevel: 1,
      formatLevelMax: 1,
      protocolMax: 3,
      difference: undefined,
      trouble: '',
    };
  }
}

export function errorFrame(requestId: number, code: string, outcome: Outcome): ServerFrame {
  return { kind: 'error', requestId, code, message: `scripted ${code}`, outcome };
}

function writtenFrame(
  requestId: number,
  result: Result,
  cluster: FakeCluster,
  { operation }: ClientCommand,
): ServerFrame {
  if (result.code !== 'OK' && result.code !== 'CONFLICT') return errorFrame(requestId, result.code, 'none');
  const current =
    result.code === 'CONFLICT' && 'key' in operation ? cluster.store.get(operation.key) : undefined;
  const { code, revision, count } = result;
  return { kind: 'written', requestId, code, revision, count, current };
}
