// One node from its start to its end: opens what the disk holds, becomes part of a cluster at the first
// start, takes part, and closes. All input reaches it through `handler` and timers; an error that escapes
// stops the node, because a node that does not understand its own state must not answer for it.

import type { NetworkHandler, NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import type { StateMachine } from '../kv/state-machine.js';
import type { Stores } from '../kv/store.js';
import type { Message } from '../raft/messages.js';
import type { Raft } from '../raft/raft.js';
import { isNoSpace } from '../storage/disk/no-space.js';
import type { Member as ClusterMember, NodeStatus, ServerHello, TransferFrame } from '../wire/protocol.js';
import type { ServerEnv } from './events.js';
import { Clients } from './front/clients.js';
import { serverHelloOf } from './life/greeting.js';
import { guardDisk, guardNetwork, guardStores, guardTimers } from './containment.js';
import type { Member } from './replica/replica.js';
import { Membership } from './life/life.js';
import type { NodeConfig } from './config/node-config.js';
import { Peers } from './peers/peers.js';
import type { SnapshotFigures } from './snapshots/figures.js';
import { statusOf } from './operate/status.js';

export interface NodeOptions {
  readonly env: ServerEnv;
  readonly nodeId: NodeId;
  /** Of the cluster file. */
  readonly members: readonly ClusterMember[];
  readonly config: NodeConfig;
  readonly stores: Stores;
  readonly version: string;
  readonly pid: number;
  /** The node has ended: `undefined` after `stop`, otherwise what ended it. Called once. */
  readonly onStopped: (error: Error | undefined) => void;
}

type Phase = 'started' | 'stopping' | 'stopped';

export class ServerNode {
  readonly handler: NetworkHandler;
  private readonly options: NodeOptions;
  private readonly env: ServerEnv;
  private readonly peers: Peers;
  private readonly clients: Clients;
  private readonly membership: Membership;
  private phase: Phase = 'started';
  private isFlushScheduled = false;
  private readonly afterStop: (() => void)[] = [];

  constructor(options: NodeOptions) {
    this.options = options;
    const guard = (run: () => void): void => this.guard(run);
    const { env, nodeId, members, config } = options;
    this.env = { ...env, timers: guardTimers(env.timers, guard), disk: guardDisk(env.disk, guard) };
    const { network, report, timers } = this.env;
    const wake = (): void => this.wake();
    this.clients = new Clients({
      network,
      report,
      timers,
      limits: { requestsMax: config.limits.connectionRequestsMax },
      hello: () => this.serverHello(),
      request: (caller, frame) => this.member?.request(caller, frame),
      wake,
    });
    this.peers = new Peers({
      network,
      report,
      timers,
      hello: () => this.membership.hello(),
      judge: (hello, isDialed) => this.membership.judge(hello, isDialed),
      up: (peer) => this.member?.peerUp(peer),
      down: (peer) => this.peerDown(peer),
      message: (message) => this.receive(message),
      transfer: (peer, frame) => this.receiveTransfer(peer, frame),
      wake,
    });
    this.membership = new Membership({
      env: this.env,
      stores: guardStores(options.stores, guard),
      nodeId,
      members,
      config,
      clients: this.clients,
      peers: this.peers,
      status: () => this.status(),
      fail: (error) => this.fail(error),
      wake,
      guard,
    });
    this.handler = guardNetwork(this.createHandler(), guard);
  }

  /** `undefined` while the store is being opened, or is damaged. Another one in each generation. */
  get stateMachine(): StateMachine | undefined {
    return this.membership.opened?.stateMachine;
  }

  /** The store in use. */
  get storeName(): string {
    return this.membership.current.store;
  }

  /** How often this process has replaced its store and log, by a snapshot or a repair; 0 at the start. */
  get generation(): number {
    return this.membership.generation;
  }

  /** The consensus core, for checkers and metrics; `undefined` until the node is part of a cluster. */
  get raft(): Raft | undefined {
    return this.member?.raft;
  }

  /** Whether requests are served: part of a cluster that has a leader, and not on the way out. */
  get isReady(): boolean {
    return this.phase === 'started' && this.member?.isHalted === false && this.raft?.leaderId !== undefined;
  }

  /** Figures for metrics. */
  get gauges(): { clients: number; pendingWrites: number; pendingReads: number } {
    const { writes, reads } = this.member?.pendingRequests ?? { writes: 0, reads: 0 };
    return { clients: this.clients.count, pendingWrites: writes, pendingReads: reads };
  }

  get snapshotFigures(): SnapshotFigures {
    return this.membership.snapshotFigures;
  }

  private get member(): Member | undefined {
    return this.membership.member;
  }

  /** Opens the disk and joins the network. Errors arrive at `onStopped`. */
  start(): void {
    this.env.timers.defer(() => {
      if (this.phase === 'started') this.membership.open(() => this.dialPeers());
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
    this.membership.settle(() => {
      if (this.member === undefined) this.closeAll();
      else this.member.handOver(() => this.closeAll());
    });
  }

  status(): NodeStatus {
    const { formation, standing, logBytes, opened } = this.membership;
    const isRecovering = standing === 'recovering';
    return statusOf(this.options, {
      raft: this.raft,
      formation,
      isRecovering,
      logBytes: logBytes(),
      ...opened,
    });
  }

  private closeAll(): void {
    this.flush();
    this.clients.closeAll('the node is stopping');
    const close = (): void => this.membership.close((error) => this.end(error));
    const { installer } = this.membership;
    if (installer === undefined) close();
    else installer.receiver.close(close);
  }

  private dialPeers(): void {
    // The cluster file says where members are now; who they are, it only says before the cluster is formed.
    for (const { nodeId, address } of this.options.members) {
      if (nodeId !== this.options.nodeId) this.env.network.dial(nodeId, address);
    }
  }

  /**
   * The core refuses with PROTOCOL, unchanged, what no member sends: the link's fault. All else is this
   * node's.
   */
  private receive(message: Message): void {
    // The answer would be that the entries before it are missing, and bring the same snapshot once more.
    if (this.membership.isInstalling && message.kind === 'appendEntries') return;
    try {
      this.member?.receive(message);
    } catch (error) {
      if (KvorumError.is(error, 'PROTOCOL')) throw error;
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private receiveTransfer(peer: NodeId, frame: TransferFrame): void {
    if (frame.kind === 'snapshotCursor' || frame.kind === 'snapshotResult') {
      this.member?.receiveTransfer(peer, frame);
    } else if (this.phase === 'started') {
      this.membership.installer?.receiver.receive(peer, frame);
    }
  }

  private peerDown(peer: NodeId): void {
    this.membership.installer?.receiver.linkDown(peer);
    this.member?.peerDown(peer);
  }

  private serverHello(): ServerHello | undefined {
    const { formation, member } = this.membership;
    if (formation === undefined || member?.isHalted !== false || this.phase !== 'started') return undefined;
    return serverHelloOf(this.options.nodeId, this.options.members, formation, member);
  }

  // ---- input and turns

  private createHandler(): NetworkHandler {
    return {
      onPeerDialed: (link, peer) => this.peers.dialed(link, peer),
      onPeerUnreachable: (peer) => this.member?.peerDown(peer),
      onPeerAccepted: (link) => {
        if (!this.membership.hasIdentity) this.env.network.close(link, 'the node is still opening its data');
        else this.peers.accepted(link);
      },
      onClientAccepted: (link) => this.clients.accept(link),
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
    this.member?.flush();
    this.peers.flush();
    this.clients.flush();
  }

  private guard(run: () => void): void {
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
    this.membership.noteDamage(error);
    this.member?.halt();
    this.clients.closeAll('the node stopped after an error');
    this.end(error);
  }

  private end(error: Error | undefined): void {
    if (this.phase === 'stopped') return;
    this.phase = 'stopped';
    for (const { nodeId } of this.options.members) this.env.network.stopDialing(nodeId);
    this.peers.reconnectAll('the node has stopped');
    this.options.onStopped(error);
    for (const done of this.afterStop) done();
  }
}
