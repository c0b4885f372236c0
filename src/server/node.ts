// One node from its start to its end: opens what the disk holds, becomes part of a cluster at the first
// start, takes part, and closes. All input reaches it through `handler` and timers; an error that escapes
// stops the node, because a node that does not understand its own state must not answer for it.

import type { NetworkHandler, NodeId } from '../base/env.js';
import { assertNever } from '../base/assert.js';
import type { Durations } from '../base/durations.js';
import { KvorumError } from '../base/errors.js';
import type { Software } from '../kv/format-level.js';
import type { StateMachine } from '../kv/state-machine.js';
import type { Stores } from '../kv/store.js';
import type { Message } from '../raft/messages.js';
import type { Raft } from '../raft/raft.js';
import { isNoSpace } from '../storage/disk/no-space.js';
import type { Member, ServerHello } from '../wire/clients/answers.js';
import type { NodeStatus } from '../wire/clients/status.js';
import type { SnapshotFrame } from '../wire/snapshots/frames.js';
import { EventCounts } from './operate/event-counts.js';
import type { ServerEnv } from './events.js';
import { Clients } from './front/clients.js';
import { Streams, type StreamTopics } from './front/streams.js';
import { containDisk, containNetwork, containStores, containTimers } from './containment.js';
import type { ClusterView } from './life/cluster-view.js';
import { Life } from './life/life.js';
import { storeOf } from './life/standing.js';
import type { NodeConfig } from './config/node-config.js';
import { Peers } from './peers/peers.js';
import type { Verdict } from './replica/readiness.js';
import type { Replica } from './replica/replica.js';
import { figuresOf, type SnapshotFigures } from './snapshots/figures.js';

export interface NodeOptions {
  readonly env: ServerEnv;
  /** Where its events are counted, for metrics; what happens around it may be counted there too. */
  readonly events?: EventCounts;
  readonly nodeId: NodeId;
  readonly view: ClusterView;
  readonly config: NodeConfig;
  readonly stores: Stores;
  /** What streams can be of. */
  readonly topics: StreamTopics;
  /** What this node can work with. */
  readonly software: Software;
  readonly version: string;
  readonly pid: number;
  /** The node has ended: `undefined` after `stop`, otherwise what ended it. Called once. */
  readonly onStopped: (error: Error | undefined) => void;
}

export interface NodeGauges {
  /** By kind. */
  readonly connections: Readonly<Record<'client' | 'peerDialed' | 'peerAccepted', number>>;
  readonly pendingWrites: number;
  readonly pendingReads: number;
  /** Bytes by what they wait in. */
  readonly queuedBytes: Readonly<Record<'proposals' | 'answers' | 'peers', number>>;
}

type Phase = 'started' | 'stopping' | 'stopped';

export class ServerNode {
  readonly handler: NetworkHandler;
  /** What happened in it, for metrics. */
  readonly events: EventCounts;
  private readonly options: NodeOptions;
  private readonly env: ServerEnv;
  private readonly peers: Peers;
  private readonly streams: Streams;
  private readonly clients: Clients;
  private readonly life: Life;
  private phase: Phase = 'started';
  private isFlushScheduled = false;
  private readonly afterStop: (() => void)[] = [];

  constructor(options: NodeOptions) {
    this.options = options;
    const contain = (run: () => void): void => this.contain(run);
    const { env, nodeId, view, config } = options;
    this.events = options.events ?? new EventCounts();
    this.env = {
      ...env,
      timers: containTimers(env.timers, contain),
      disk: containDisk(env.disk, contain),
      report: (event) => {
        this.events.count(event);
        env.report(event);
      },
    };
    const { network, report, timers } = this.env;
    const wake = (): void => this.wake();
    this.streams = new Streams({
      topics: options.topics,
      clock: env.clock,
      report,
      streamsMax: config.limits.streamsMax,
      sliceMs: config.sliceMs,
      wake,
    });
    this.clients = new Clients({
      network,
      report,
      timers,
      limits: {
        requestsMax: config.limits.connectionRequestsMax,
        streamsMax: config.limits.connectionStreamsMax,
      },
      streams: this.streams,
      hello: () => this.serverHello(),
      request: (caller, frame) => this.replica?.request(caller, frame),
      drained: () => this.replica?.reads.drained(),
      wake,
    });
    this.peers = this.createPeers(wake);
    this.life = new Life({
      env: this.env,
      stores: containStores(options.stores, contain),
      nodeId,
      view,
      config,
      software: options.software,
      version: options.version,
      pid: options.pid,
      clients: this.clients,
      peers: this.peers,
      fail: (error) => this.fail(error),
      wake,
      contain,
    });
    this.handler = containNetwork(this.createHandler(), contain);
  }

  /** `undefined` while the store is being opened, or is damaged. Another one in each generation. */
  get stateMachine(): StateMachine | undefined {
    return storeOf(this.life.standing)?.stateMachine;
  }

  /** The store in use. */
  get storeName(): string {
    return this.life.standing.current.store;
  }

  /** How often this process has replaced its store and log, by a snapshot or a repair; 0 at the start. */
  get generation(): number {
    return this.life.generation;
  }

  /** The consensus core, for checkers and metrics; `undefined` until the node is part of a cluster. */
  get raft(): Raft | undefined {
    return this.replica?.raft;
  }

  /** Whether requests are served: part of a cluster that has a leader, and not on the way out. */
  get isReady(): boolean {
    return this.phase === 'started' && this.replica?.isHalted === false && this.raft?.leaderId !== undefined;
  }

  /**
   * Whether this node can answer a linearizable read now: tells `undefined`, or why not, within an election
   * timeout.
   */
  readiness(verdict: Verdict): void {
    const { replica } = this;
    if (this.phase !== 'started') verdict('the node is stopping');
    else if (replica === undefined) verdict(`the node is not a running member yet: ${this.status().state}`);
    else replica.readiness.ask(verdict);
  }

  /** Figures for metrics: what waits, and where connections are. */
  get gauges(): NodeGauges {
    const none = { writes: 0, writeBytes: 0, reads: 0 };
    const { writes, writeBytes, reads } = this.replica?.pendingRequests ?? none;
    const { dialed, accepted, waitingBytes: peerBytes } = this.peers.figures;
    return {
      connections: { client: this.clients.count, peerDialed: dialed, peerAccepted: accepted },
      pendingWrites: writes,
      pendingReads: reads,
      queuedBytes: { proposals: writeBytes, answers: this.clients.waitingBytes, peers: peerBytes },
    };
  }

  /** How long the syncs of the log took since it was opened; `undefined` while there is none. */
  get syncTimes(): Durations | undefined {
    return this.life.running?.wal.stats.syncTimes;
  }

  get snapshotFigures(): SnapshotFigures {
    return figuresOf(this.life.running);
  }

  private get replica(): Replica | undefined {
    return this.life.running?.replica;
  }

  /** Opens the disk and joins the network. Errors arrive at `onStopped`. */
  start(): void {
    this.env.timers.defer(() => {
      if (this.phase === 'started') this.life.open(() => this.dialPeers());
    });
  }

  /** Hands leadership over, writes what was applied, closes, then calls `done`, as for every later call. */
  stop(done: () => void): void {
    if (this.phase === 'stopped') {
      done();
      return;
    }
    this.afterStop.push(done);
    if (this.phase === 'stopping') return;
    this.phase = 'stopping';
    this.life.settle(() => {
      const { replica } = this;
      if (replica === undefined) this.closeAll();
      else replica.handOver(() => this.closeAll());
    });
  }

  /**
   * Members are elsewhere from now on: they are dialed there, and clients that say hello are told so. Throws
   * `CONFIG`, without effect, when these are not the members that this node was started with.
   */
  moveMembers(members: readonly Member[]): void {
    for (const { nodeId, from, to } of this.options.view.move(members)) {
      this.env.report({ kind: 'memberMoved', nodeId, from, to });
      const isDialed = this.phase === 'started' && this.life.standing.kind !== 'opening';
      if (isDialed && nodeId !== this.options.nodeId) this.env.network.dial(nodeId, to);
    }
  }

  status(): NodeStatus {
    return this.life.status();
  }

  private closeAll(): void {
    this.flush();
    this.clients.closeAll('the node is stopping');
    const close = (): void => this.life.close((error) => this.end(error));
    const { running } = this.life;
    if (running === undefined) close();
    else running.installer.receiver.close(close);
  }

  private dialPeers(): void {
    // Where members are now; who they are, the cluster file only says before the cluster is formed.
    for (const { nodeId, address } of this.options.view.others) this.env.network.dial(nodeId, address);
  }

  /**
   * The core refuses with PROTOCOL, unchanged, what no member sends: the link's fault. All else is this
   * node's.
   */
  private receive(message: Message): void {
    // The answer would be that the entries before it are missing, and bring the same snapshot once more.
    const { running } = this.life;
    if (running?.isInstalling === true && message.kind === 'appendEntries') return;
    try {
      running?.replica.receive(message);
    } catch (error) {
      if (KvorumError.is(error, 'PROTOCOL')) throw error;
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private receiveSnapshot(peer: NodeId, frame: SnapshotFrame): void {
    const { running } = this.life;
    switch (frame.kind) {
      case 'snapshotCursor':
      case 'snapshotResult':
        running?.replica.receiveSnapshot(peer, frame);
        return;
      case 'snapshotOffer':
      case 'snapshotChunk':
        if (this.phase === 'started') running?.installer.receiver.receive(peer, frame);
        return;
      default:
        return assertNever(frame);
    }
  }

  private peerDown(peer: NodeId): void {
    const { running } = this.life;
    running?.installer.receiver.linkDown(peer);
    running?.replica.peerDown(peer);
  }

  /** Or why there is none yet. */
  private serverHello(): ServerHello | string {
    const hello = this.phase === 'started' ? this.life.serverHello() : undefined;
    if (hello !== undefined) return hello;
    const isForming = this.life.standing.kind === 'forming';
    return isForming
      ? 'this node is not part of a formed cluster yet: it waits for the other members'
      : 'this node is starting: it reads its data, and serves when it has';
  }

  private createPeers(wake: () => void): Peers {
    const { network, report, timers, entropy } = this.env;
    return new Peers({
      network,
      report,
      timers,
      entropy,
      own: () => this.life.own(),
      judgeHello: (hello) => this.life.judgeHello(hello),
      judge: (peer) => this.life.judge(peer),
      heard: (peer, hasLost) => this.life.heard(peer, hasLost),
      empty: (hello) => this.life.peerEmpty(hello),
      emptyGone: (peer) => this.life.peerEmptyGone(peer),
      turnedAway: (refusal) => this.life.turnedAway(refusal),
      formation: (peer, frame) => this.life.told(peer, frame),
      formationFrame: (echoes) => this.life.formationFrame(echoes),
      currentTerm: () => this.raft?.currentTerm ?? 0,
      up: (peer) => this.replica?.peerUp(peer),
      down: (peer) => this.peerDown(peer),
      message: (message) => this.receive(message),
      snapshot: (peer, frame) => this.receiveSnapshot(peer, frame),
      stateHash: (peer, frame) => this.replica?.receiveStateHash(peer, frame),
      wake,
    });
  }

  // ---- input and turns

  private createHandler(): NetworkHandler {
    return {
      onPeerDialed: (link, peer) => this.peers.dialed(link, peer),
      onPeerUnreachable: (peer) => this.replica?.peerDown(peer),
      onPeerAccepted: (link) => {
        if (this.life.standing.kind === 'opening')
          this.env.network.close(link, 'the node is still opening its data');
        else this.peers.accepted(link);
      },
      onClientAccepted: (link) => this.clients.accept(link),
      onClientDrained: (link) => this.clients.drained(link),
      onMessage: (link, message) => {
        if (this.clients.has(link)) this.clients.receive(link, message);
        else this.peers.receive(link, message);
      },
      onClosed: (link) => {
        this.clients.closed(link);
        this.peers.closed(link);
      },
    };
  }

  /**
   * What gathers during a turn leaves at its end: one entry, one ReadIndex round, one message per
   * connection.
   */
  private wake(): void {
    if (this.isFlushScheduled) return;
    this.isFlushScheduled = true;
    this.env.timers.defer(() => {
      this.isFlushScheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    this.replica?.flush();
    this.peers.flush();
    this.clients.flush();
    // Answers leave before frames of streams, which take only the room that is left.
    this.streams.flush();
  }

  private contain(run: () => void): void {
    if (this.phase === 'stopped') return;
    try {
      run();
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private fail(error: Error): void {
    if (this.phase === 'stopped') return;
    const code = KvorumError.is(error) ? error.code : 'INTERNAL';
    const { message, stack = '' } = error;
    this.env.report({ kind: 'nodeFailed', code, message, stack, isOutOfSpace: isNoSpace(error) });
    this.life.noteDamage(error);
    this.replica?.halt();
    this.clients.closeAll('the node stopped after an error');
    this.end(error);
  }

  private end(error: Error | undefined): void {
    if (this.phase === 'stopped') return;
    this.phase = 'stopped';
    for (const { nodeId } of this.options.view.others) this.env.network.stopDialing(nodeId);
    this.peers.reconnectAll('the node has stopped');
    this.options.onStopped(error);
    for (const done of this.afterStop) done();
  }
}
