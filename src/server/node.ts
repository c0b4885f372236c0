// One node from its start to its end: opens what the disk holds, becomes part of a cluster at the first
// start, takes part, and closes. All input reaches it through `handler` and timers; an error that escapes
// stops the node, because a node that does not understand its own state must not answer for it.

import { toHex } from '../base/bytes.js';
import type { LinkId, NetworkHandler, NodeEnv, NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import { StateMachine } from '../kv/state-machine.js';
import type { OpenStore, Stores } from '../kv/store.js';
import type { Message } from '../raft/messages.js';
import type { Raft } from '../raft/raft.js';
import { decodeFormation, encodeFormation, type Formation } from '../wire/entry-codec.js';
import {
  protocolVersion,
  type Member as ClusterMember,
  type NodeStatus,
  type PeerHello,
  type PeerRefusal,
  type ServerHello,
} from '../wire/protocol.js';
import { formOnDisk, openDisk, warnOfDifferences, type FormedDisk } from './boot.js';
import { Clients } from './clients.js';
import { Forming, type FormingStep } from './forming.js';
import { guardDisk, guardStores, guardTimers } from './guard.js';
import { refusePeer, type OwnIdentity } from './identity.js';
import { Member } from './member.js';
import type { NodeConfig } from './node-config.js';
import { Peers } from './peers.js';
import { statusOf } from './status.js';

export interface NodeOptions {
  readonly env: NodeEnv;
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

type Phase = 'opening' | 'forming' | 'running' | 'stopping' | 'stopped';

const missingMembersLogMs = 5_000;
const idBytes = 16;

export class ServerNode {
  readonly handler: NetworkHandler;
  private readonly options: NodeOptions;
  private readonly env: NodeEnv;
  private readonly stores: Stores;
  private opened: { readonly store: OpenStore; readonly stateMachine: StateMachine } | undefined;
  private readonly peers: Peers;
  private readonly clients: Clients;
  private phase: Phase = 'opening';
  private own: OwnIdentity | undefined;
  private forming: Forming | undefined;
  private formed: FormedDisk | undefined;
  private member: Member | undefined;
  private flushScheduled = false;
  private readonly afterStop: (() => void)[] = [];

  constructor(options: NodeOptions) {
    this.options = options;
    const guard = (run: () => void): void => this.guard(run);
    const { timers: rawTimers, disk: rawDisk } = options.env;
    this.env = { ...options.env, timers: guardTimers(rawTimers, guard), disk: guardDisk(rawDisk, guard) };
    this.stores = guardStores(options.stores, guard);
    const { network, logger, timers } = this.env;
    this.clients = new Clients({
      network,
      logger,
      timers,
      connectionRequestsMax: options.config.limits.connectionRequestsMax,
      hello: () => this.serverHello(),
      request: (client, frame) => this.member?.request(client, frame),
      wake: () => this.wake(),
    });
    this.peers = new Peers({
      network,
      logger,
      timers,
      hello: () => this.peerHello(),
      judge: (hello, isDialed) => this.judge(hello, isDialed),
      up: (peer) => this.member?.peerUp(peer),
      down: (peer) => this.member?.peerDown(peer),
      message: (message) => this.receive(message),
      transfer: () => undefined,
      wake: () => this.wake(),
    });
    this.handler = this.createHandler();
  }

  /** `undefined` while the store is being opened. */
  get stateMachine(): StateMachine | undefined {
    return this.opened?.stateMachine;
  }

  /** The store that is in use. */
  get storeName(): string {
    return 'db';
  }

  /** The consensus core, for checkers and metrics; `undefined` until the node is part of a cluster. */
  get raft(): Raft | undefined {
    return this.member?.raft;
  }

  /** Whether requests are served: part of a cluster that has a leader, and not on the way out. */
  get isReady(): boolean {
    return this.phase === 'running' && this.raft?.leaderId !== undefined;
  }

  /** Figures for metrics. */
  get gauges(): {
    clients: number;
    pendingWrites: number;
    pendingReads: number;
    disk: FormedDisk | undefined;
  } {
    const { writes, reads } = this.member?.pendingRequests ?? { writes: 0, reads: 0 };
    return { clients: this.clients.count, pendingWrites: writes, pendingReads: reads, disk: this.formed };
  }

  /** Opens the disk and joins the network. Errors arrive at `onStopped`. */
  start(): void {
    this.stores.open(this.storeName, (error, store) => {
      if (store === undefined) throw error ?? new KvorumError('INTERNAL', 'no store was opened');
      const stateMachine = new StateMachine(store);
      this.opened = { store, stateMachine };
      stateMachine.load((loadError) => {
        if (this.phase !== 'opening') return;
        if (loadError !== undefined) throw loadError;
        this.open(this.need());
      });
    });
  }

  private need(): { readonly store: OpenStore; readonly stateMachine: StateMachine } {
    if (this.opened === undefined) throw new KvorumError('UNAVAILABLE', 'the store is still being opened');
    return this.opened;
  }

  /** Hands leadership over, writes what was applied, closes, then calls `done`, as for every later call. */
  stop(done: () => void): void {
    if (this.phase === 'stopped') {
      done();
      return;
    }
    this.afterStop.push(done);
    if (this.phase === 'stopping') return;
    const { member } = this;
    this.phase = 'stopping';
    if (member === undefined) {
      this.end(undefined);
      return;
    }
    member.handOver(() => {
      this.flush();
      this.clients.closeAll('the node is stopping');
      member.close((error) => {
        this.need().store.close((closeError) => this.end(error ?? closeError));
      });
    });
  }

  status(): NodeStatus {
    return statusOf(this.options, { raft: this.raft, ...this.opened, disk: this.formed });
  }

  private open({ stateMachine }: { readonly stateMachine: StateMachine }): void {
    const { nodeId, members, config } = this.options;
    const { instanceId, formed } = openDisk({
      env: this.env,
      nodeId,
      config,
      stateMachine,
      onFailure: (error) => this.fail(error),
    });
    const memberIds = members.map((member) => member.nodeId).sort();
    this.own = { nodeId, instanceId, incarnation: toHex(this.env.entropy.bytes(idBytes)), memberIds };
    if (formed !== undefined) {
      this.join(formed);
      warnOfDifferences(this.env.logger, members, formed.formation);
      this.dialPeers();
      return;
    }
    this.phase = 'forming';
    const addressOf = new Map(members.map((member) => [member.nodeId, member.address]));
    const drawClusterId = (): string => toHex(this.env.entropy.bytes(idBytes));
    this.forming = new Forming({ own: this.own, addressOf, drawClusterId, decodeFormation });
    this.dialPeers();
    this.takeFormingStep(this.forming.begin());
    if (this.phase === 'forming') this.logMissingMembers();
  }

  private takeFormingStep(step: FormingStep): void {
    switch (step.kind) {
      case 'wait':
        return;
      case 'stop':
        throw new KvorumError('IDENTITY', step.reason);
      case 'join': {
        const { nodeId, config } = this.options;
        const { formation } = step;
        const onFailure = (error: Error): void => this.fail(error);
        this.forming = undefined;
        this.join(
          formOnDisk(
            { env: this.env, nodeId, config, stateMachine: this.need().stateMachine, onFailure },
            formation,
          ),
        );
        // All links were greeted as an unformed node: greet anew, which also tells the others of the cluster.
        this.peers.reconnectAll('the cluster is formed');
      }
    }
  }

  private join(formed: FormedDisk): void {
    this.formed = formed;
    this.phase = 'running';
    this.env.logger.info({ clusterId: formed.formation.clusterId }, 'member of a formed cluster');
    this.member = new Member({
      env: this.env,
      nodeId: this.options.nodeId,
      config: this.options.config,
      formation: formed.formation,
      ...this.need(),
      wal: formed.wal,
      recovered: formed.recovered,
      clients: this.clients,
      sendToPeer: (message) => this.peers.send(message),
      status: () => this.status(),
      fail: (error) => this.fail(error),
      wake: () => this.wake(),
    });
  }

  private dialPeers(): void {
    // The cluster file says where members are now; who they are, it only says before the cluster is formed.
    for (const { nodeId, address } of this.options.members) {
      if (nodeId !== this.options.nodeId) this.env.network.dial(nodeId, address);
    }
  }

  private logMissingMembers(): void {
    this.env.timers.set(missingMembersLogMs, () => {
      if (this.phase !== 'forming' || this.forming === undefined) return;
      this.env.logger.info(
        { missing: this.forming.missing },
        'the cluster is not formed yet; members have not been heard',
      );
      this.logMissingMembers();
    });
  }

  // ---- identity

  private peerHello(): PeerHello {
    const { own, formed } = this;
    if (own === undefined) throw new KvorumError('UNAVAILABLE', 'the node is still opening its data');
    const { nodeId, instanceId, incarnation, memberIds } = own;
    const clusterId = formed?.formation.clusterId;
    const formation = formed === undefined ? undefined : encodeFormation(formed.formation);
    return {
      kind: 'hello',
      protocolVersion,
      nodeId,
      instanceId,
      incarnation,
      clusterId,
      memberIds,
      formation,
      currentTerm: this.raft?.currentTerm,
      catchingUp: false,
    };
  }

  private judge(hello: PeerHello, isDialed: boolean): PeerRefusal | undefined {
    const { own } = this;
    if (own === undefined) throw new KvorumError('UNAVAILABLE', 'the node is still opening its data');
    const refusal = refusePeer(own, this.formed?.formation, hello);
    if (refusal !== undefined || this.forming === undefined) return refusal;
    const step = this.forming.heard(hello);
    // Only who answers at a member's address can tell this node that its data is not the cluster's; whoever
    // else says so is turned away.
    if (step.kind === 'stop' && !isDialed) return { kind: 'refusal', code: 'IDENTITY', message: step.reason };
    // Guarded here: what goes wrong in forming is this node's own end, not a fault of the link that told it.
    this.guard(() => this.takeFormingStep(step));
    return undefined;
  }

  /**
   * The core refuses with PROTOCOL, unchanged, what no member sends: the link's fault. All else is this
   * node's.
   */
  private receive(message: Message): void {
    try {
      this.member?.receive(message);
    } catch (error) {
      if (KvorumError.is(error, 'PROTOCOL')) throw error;
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private serverHello(): ServerHello | undefined {
    const { formed, member } = this;
    if (formed === undefined || member === undefined || this.phase !== 'running') return undefined;
    const { leaderId, currentTerm: term } = member.raft;
    const members = formed.formation.members.map(({ nodeId }) => ({
      nodeId,
      address: this.addressOf(nodeId, formed.formation),
    }));
    const { clusterId } = formed.formation;
    const { clusterTimeMs } = member;
    return {
      kind: 'hello',
      protocolVersion,
      clusterId,
      nodeId: this.options.nodeId,
      members,
      leaderId,
      term,
      clusterTimeMs,
    };
  }

  private addressOf(nodeId: NodeId, formation: Formation): string {
    const { members } = this.options;
    const now = members.find((member) => member.nodeId === nodeId)?.address;
    return now ?? formation.members.find((member) => member.nodeId === nodeId)?.address ?? '';
  }

  // ---- input and turns

  private createHandler(): NetworkHandler {
    const guarded =
      <A extends unknown[]>(run: (...values: A) => void) =>
      (...values: A): void =>
        this.guard(() => run(...values));
    return {
      onPeerDialed: guarded((link: LinkId, peer: NodeId) => this.peers.dialed(link, peer)),
      onPeerUnreachable: guarded((peer: NodeId) => this.member?.peerDown(peer)),
      onPeerAccepted: guarded((link: LinkId) => {
        if (this.own === undefined) this.env.network.close(link, 'the node is still opening its data');
        else this.peers.accepted(link);
      }),
      onClientAccepted: guarded((link: LinkId) => this.clients.accept(link)),
      onMessage: guarded((link: LinkId, message: Uint8Array) => {
        if (this.clients.has(link)) this.clients.receive(link, message);
        else this.peers.receive(link, message);
      }),
      onClosed: guarded((link: LinkId) => {
        this.clients.closed(link);
        this.peers.closed(link);
      }),
    };
  }

  /**
   * What gathers during a turn leaves at its end: one entry, one ReadIndex round, one message per
   * connection.
   */
  private wake(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    this.env.timers.defer(() => {
      this.flushScheduled = false;
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
    this.env.logger.error({ code, stack: error.stack ?? '' }, `the node stops: ${error.message}`);
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
