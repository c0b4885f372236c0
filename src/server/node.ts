// One node from its start to its end: opens what the disk holds, becomes part of a cluster at the first
// start, takes part, and closes. All input reaches it through `handler` and timers; an error that escapes
// stops the node, because a node that does not understand its own state must not answer for it.

import { toHex } from '../base/bytes.js';
import type { NetworkHandler, NodeEnv, NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import type { StateMachine } from '../kv/state-machine.js';
import type { Stores } from '../kv/store.js';
import type { Message } from '../raft/messages.js';
import type { Raft } from '../raft/raft.js';
import { clearLog, nextLogName, writeCurrent, type Current } from '../storage/current.js';
import { damageOf, writeDamage } from '../storage/damage.js';
import { decodeFormation, type Formation } from '../wire/entry-codec.js';
import type {
  Member as ClusterMember,
  NodeStatus,
  PeerHello,
  PeerRefusal,
  ServerHello,
  TransferFrame,
} from '../wire/protocol.js';
import { formOnDisk, openFolder, warnOfDifferences, type OpenedLog } from './boot.js';
import { Clients } from './clients.js';
import { Forming, type FormingStep } from './forming.js';
import { peerHelloOf, serverHelloOf } from './greeting.js';
import { guardDisk, guardNetwork, guardStores, guardTimers } from './guard.js';
import { refusePeer, type OwnIdentity } from './identity.js';
import { Incarnations } from './incarnations.js';
import { Installer } from './install.js';
import { Member } from './member.js';
import type { NodeConfig } from './node-config.js';
import {
  openPair,
  removeUnusedStores,
  type OpenedFolder,
  type OpenedStore,
  type PairOptions,
} from './pair.js';
import { Peers } from './peers.js';
import { rebuildPair, unrepairable, type NewPair } from './rebuild.js';
import { Recovery } from './recovery.js';
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

/**
 * `opening`: reads its disk. `forming`: not part of a cluster yet. `recovering`: its disk was damaged, it waits
 * to hear from the others. `running`: a member.
 */
type Phase = 'opening' | 'forming' | 'recovering' | 'running' | 'stopping' | 'stopped';

const missingMembersLogMs = 5_000;
const idBytes = 16;

export class ServerNode {
  readonly handler: NetworkHandler;
  private readonly options: NodeOptions;
  private readonly env: NodeEnv;
  private readonly disk: PairOptions;
  private readonly peers: Peers;
  private readonly clients: Clients;
  private readonly incarnations = new Incarnations();
  private phase: Phase = 'opening';
  private own: OwnIdentity | undefined;
  private current: Current = { store: 'db', log: 'wal', catchingUp: false };
  private formation: Formation | undefined;
  private forming: Forming | undefined;
  private recovery: Recovery | undefined;
  private opened: OpenedStore | undefined;
  private member: Member | undefined;
  /** Made with the first member; outlives it. */
  private installer: Installer | undefined;
  private logBytes: () => number = () => 0;
  private installs = 0;
  /** Store and log are being replaced: a stop waits for the end of it. */
  private isReplacing = false;
  private isFlushScheduled = false;
  private readonly afterStop: (() => void)[] = [];

  constructor(options: NodeOptions) {
    this.options = options;
    const guard = (run: () => void): void => this.guard(run);
    const { env, nodeId, config } = options;
    this.env = { ...env, timers: guardTimers(env.timers, guard), disk: guardDisk(env.disk, guard) };
    const onFailure = (error: Error): void => this.fail(error);
    this.disk = { env: this.env, nodeId, config, onFailure, stores: guardStores(options.stores, guard) };
    const { network, logger, timers } = this.env;
    this.clients = new Clients({
      network,
      logger,
      timers,
      connectionRequestsMax: config.limits.connectionRequestsMax,
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
      down: (peer) => this.peerDown(peer),
      message: (message) => this.receive(message),
      transfer: (peer, frame) => this.receiveTransfer(peer, frame),
      wake: () => this.wake(),
    });
    this.handler = guardNetwork(this.createHandler(), guard);
  }

  /** `undefined` while the store is being opened, or damaged. Another one after each install. */
  get stateMachine(): StateMachine | undefined {
    return this.opened?.stateMachine;
  }

  /** The store in use. */
  get storeName(): string {
    return this.current.store;
  }

  /** How often this process has replaced its member by a snapshot or a repair; 0 at the start. */
  get generation(): number {
    return this.installs;
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
  get gauges(): { clients: number; pendingWrites: number; pendingReads: number } {
    const { writes, reads } = this.member?.pendingRequests ?? { writes: 0, reads: 0 };
    return { clients: this.clients.count, pendingWrites: writes, pendingReads: reads };
  }

  /** Opens the disk and joins the network. Errors arrive at `onStopped`. */
  start(): void {
    this.env.timers.defer(() => this.open());
  }

  /** Hands leadership over, writes what was applied, closes, then calls `done`, as for every later call. */
  stop(done: () => void): void {
    if (this.phase === 'stopped') {
      done();
      return;
    }
    this.afterStop.push(done);
    if (this.afterStop.length === 1 && !this.isReplacing) this.beginStop();
  }

  status(): NodeStatus {
    return statusOf(this.options, {
      raft: this.raft,
      formation: this.formation,
      isRecovering: this.phase === 'recovering',
      logBytes: this.logBytes(),
      ...this.opened,
    });
  }

  private beginStop(): void {
    this.phase = 'stopping';
    const closeAll = (): void => {
      this.flush();
      this.clients.closeAll('the node is stopping');
      const close = (): void => this.closeMember((error) => this.end(error));
      if (this.installer === undefined) close();
      else this.installer.receiver.close(close);
    };
    if (this.member === undefined) closeAll();
    else this.member.handOver(closeAll);
  }

  /** Closes the member's log, then the store. */
  private closeMember(done: (error: Error | undefined) => void): void {
    const closeStore = (error: Error | undefined): void => {
      if (this.opened === undefined) done(error);
      else this.opened.store.close((closeError) => done(error ?? closeError));
    };
    if (this.member === undefined) closeStore(undefined);
    else this.member.close(closeStore);
  }

  // ---- from the disk to a member

  private open(): void {
    const { nodeId, members } = this.options;
    const folder = openFolder(this.disk);
    const memberIds = members.map((member) => member.nodeId).sort();
    const incarnation = toHex(this.env.entropy.bytes(idBytes));
    const own = { nodeId, instanceId: folder.instanceId, incarnation, memberIds };
    this.current = folder.current;
    removeUnusedStores(this.env, this.disk.stores, folder.current, () => {
      openPair(this.disk, folder, (error, found) => {
        if (found === undefined) throw error ?? new KvorumError('INTERNAL', 'nothing was opened');
        if (this.phase !== 'opening') return;
        this.own = own;
        this.opened = found.opened;
        this.begin(folder.record?.formation, found);
        // A member that forms the cluster by itself has dialed nobody, and needs to dial nobody.
        this.dialPeers();
      });
    });
  }

  private begin(formation: Formation | undefined, found: OpenedFolder): void {
    this.formation = formation;
    if (formation !== undefined) warnOfDifferences(this.env.logger, this.options.members, formation);
    if (found.kind === 'damaged') this.recover(formation, found);
    else if (formation !== undefined && found.log !== undefined)
      this.join(formation, found.opened, found.log);
    else this.form();
  }

  private form(): void {
    const { members } = this.options;
    const own = this.identity();
    this.phase = 'forming';
    const addressOf = new Map(members.map((member) => [member.nodeId, member.address]));
    const drawClusterId = (): string => toHex(this.env.entropy.bytes(idBytes));
    this.forming = new Forming({ own, addressOf, drawClusterId, decodeFormation });
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
        const { formation } = step;
        const opened = this.opened;
        if (opened === undefined) throw new KvorumError('INTERNAL', 'the store is not open');
        this.forming = undefined;
        const log = formOnDisk(this.disk, formation, this.current, opened.stateMachine);
        this.join(formation, opened, log);
        // All links were greeted as an unformed node: greet anew, which also tells the others of the cluster.
        this.peers.reconnectAll('the cluster is formed');
      }
    }
  }

  private recover(
    formation: Formation | undefined,
    { damage, opened }: Extract<OpenedFolder, { kind: 'damaged' }>,
  ): void {
    if (formation === undefined || formation.members.length === 1) {
      throw unrepairable(damage, formation !== undefined);
    }
    this.phase = 'recovering';
    const { current } = this;
    this.recovery = new Recovery({
      nodeId: this.options.nodeId,
      formation,
      damage,
      hasStore: opened !== undefined,
      logger: this.env.logger,
      timers: this.env.timers,
      rebuild: (floor) => {
        this.isReplacing = true;
        rebuildPair(this.disk, { formation, current, damage, opened, floor }, (error, pair) => {
          if (pair === undefined) throw error ?? new KvorumError('INTERNAL', 'nothing was rebuilt');
          this.recovery = undefined;
          this.replacePair(formation, pair);
          // All links were greeted by a node without a term.
          this.peers.reconnectAll('the damaged disk is replaced');
        });
      },
    });
  }

  private join(formation: Formation, opened: OpenedStore, { wal, recovered }: OpenedLog): void {
    this.formation = formation;
    this.opened = opened;
    this.logBytes = () => wal.logBytes;
    this.phase = 'running';
    this.env.logger.info({ clusterId: formation.clusterId }, 'member of a formed cluster');
    this.member = new Member({
      env: this.env,
      nodeId: this.options.nodeId,
      config: this.options.config,
      formation,
      ...opened,
      wal,
      recovered,
      clients: this.clients,
      isCatchingUp: this.current.catchingUp,
      sendToPeer: (message) => this.peers.send(message),
      sendTransfer: (peer, frame) => this.peers.sendTransfer(peer, frame),
      caughtUp: () => this.noteCaughtUp(),
      status: () => this.status(),
      fail: (error) => this.fail(error),
      wake: () => this.wake(),
    });
    for (const { nodeId } of formation.members) if (this.peers.isUp(nodeId)) this.member.peerUp(nodeId);
    this.installer ??= this.createInstaller();
  }

  private noteCaughtUp(): void {
    const current = { ...this.current, catchingUp: false };
    writeCurrent(this.env.disk, current);
    this.current = current;
    const { logger } = this.env;
    logger.info({}, 'this member holds everything again that it may have acknowledged: it votes from now on');
  }

  // ---- another store and log

  private createInstaller(): Installer {
    return new Installer(this.disk, {
      formation: () => (this.phase === 'running' ? this.formation : undefined),
      current: () => this.current,
      raft: () => this.raft,
      send: (peer, frame) => this.peers.sendTransfer(peer, frame),
      begun: () => (this.isReplacing = true),
      endMember: (done) => {
        this.clients.closeAll('the node installs a snapshot');
        this.closeMember((error) => {
          // Nothing was acknowledged of what a full disk kept the log from writing.
          const isLost = error !== undefined && !KvorumError.is(error, 'NO_SPACE');
          done(error, isLost ? undefined : this.member?.promises);
        });
      },
      ended: (pair) => {
        if (pair === undefined || this.formation === undefined) this.replaced();
        else this.replacePair(this.formation, pair);
      },
    });
  }

  /** The member goes on with another store and log; what it had before is removed. */
  private replacePair(formation: Formation, pair: NewPair): void {
    this.current = pair.current;
    this.installs++;
    this.join(formation, pair.opened, pair.log);
    removeUnusedStores(this.env, this.disk.stores, pair.current, () => {
      clearLog(this.env.disk, nextLogName(pair.current));
      this.replaced();
    });
  }

  private replaced(): void {
    this.isReplacing = false;
    if (this.afterStop.length > 0 && this.phase !== 'stopping') this.beginStop();
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

  private identity(): OwnIdentity {
    if (this.own === undefined) throw new KvorumError('UNAVAILABLE', 'the node is still opening its data');
    return this.own;
  }

  private peerHello(): PeerHello {
    const { raft, phase } = this;
    const catchingUp = phase === 'recovering' || raft?.isCatchingUp === true;
    return peerHelloOf(this.identity(), this.formation, raft?.currentTerm, catchingUp);
  }

  private judge(hello: PeerHello, isDialed: boolean): PeerRefusal | undefined {
    const refusal = refusePeer(this.identity(), this.formation, hello);
    if (refusal !== undefined) return refusal;
    return this.forming === undefined
      ? this.hearMember(hello, isDialed)
      : this.hearUnformed(this.forming, hello, isDialed);
  }

  private hearUnformed(forming: Forming, hello: PeerHello, isDialed: boolean): PeerRefusal | undefined {
    const step = forming.heard(hello);
    // Only who answers at a member's address can tell this node that its data is not the cluster's; whoever
    // else says so is turned away.
    if (step.kind === 'stop' && !isDialed) return { kind: 'refusal', code: 'IDENTITY', message: step.reason };
    // Guarded here: what goes wrong in forming is this node's own end, not a fault of the link that told it.
    this.guard(() => this.takeFormingStep(step));
    return undefined;
  }

  private hearMember(hello: PeerHello, isDialed: boolean): PeerRefusal | undefined {
    const { nodeId, incarnation } = hello;
    const step = this.incarnations.heard(hello, isDialed);
    if (step === 'earlier') {
      const message = `this link is of a process of node ${nodeId} before its disk was damaged`;
      return { kind: 'refusal', code: 'IDENTITY', message };
    }
    this.guard(() => {
      if (step === 'reset') {
        const fact = `node ${nodeId} has lost what it acknowledged: its disk was damaged`;
        this.env.logger.warn({ peer: nodeId }, `${fact}; it is supplied anew`);
        this.peers.closeEarlier(nodeId, incarnation);
        this.member?.peerReset(nodeId);
      }
      this.recovery?.heard(hello);
    });
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

  private receiveTransfer(peer: NodeId, frame: TransferFrame): void {
    if (frame.kind === 'snapshotCursor' || frame.kind === 'snapshotResult') {
      this.member?.receiveTransfer(peer, frame);
    } else if (this.phase === 'running') {
      this.installer?.receiver.receive(peer, frame);
    }
  }

  private peerDown(peer: NodeId): void {
    this.installer?.receiver.linkDown(peer);
    this.member?.peerDown(peer);
  }

  private serverHello(): ServerHello | undefined {
    const { formation, member, options } = this;
    if (formation === undefined || member === undefined || this.phase !== 'running') return undefined;
    return serverHelloOf(options.nodeId, options.members, formation, member);
  }

  // ---- input and turns

  private createHandler(): NetworkHandler {
    return {
      onPeerDialed: (link, peer) => this.peers.dialed(link, peer),
      onPeerUnreachable: (peer) => this.member?.peerDown(peer),
      onPeerAccepted: (link) => {
        if (this.own === undefined) this.env.network.close(link, 'the node is still opening its data');
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
    this.env.logger.error({ code, stack: error.stack ?? '' }, `the node stops: ${error.message}`);
    this.noteDamage(error);
    this.member?.halt();
    this.clients.closeAll('the node stopped after an error');
    this.end(error);
  }

  /** What looks whole at the next start may not be: it must know. */
  private noteDamage(error: Error): void {
    const { formation, current } = this;
    const damage = damageOf(error, current);
    if (damage === undefined || formation === undefined || formation.members.length === 1) return;
    const { logger } = this.env;
    try {
      writeDamage(this.env.disk, damage);
      logger.error(
        { ...damage },
        'the next start replaces what is damaged with the data of the other members',
      );
    } catch (problem) {
      logger.error({ ...damage }, `that cannot be noted for the next start: ${(problem as Error).message}`);
    }
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
