// What this node is in its cluster, from what its disk holds to a replica that takes part: opens the disk,
// forms the cluster at the first start, waits while a damaged disk is repaired, and puts a new replica in the
// place of the old one when a snapshot is installed. Every change of its standing (standing.ts) is here. One
// file says which store and log are in use (storage/folder/current.ts). Must never answer for a state that it
// does not understand: what is thrown here stops the node.

import { assert, assertNever, defined } from '../../base/assert.js';
import { toHex } from '../../base/bytes.js';
import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Software } from '../../kv/format-level.js';
import type { Stores } from '../../kv/store.js';
import { clearLog, firstCurrent, nextLogName, writeCurrent } from '../../storage/folder/current.js';
import { damageOf, writeDamage } from '../../storage/folder/damage.js';
import { isNoSpace } from '../../storage/disk/no-space.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { ServerHello } from '../../wire/clients/answers.js';
import type { NodeStatus } from '../../wire/clients/status.js';
import type { PeerFormation, PeerHello, PeerRefusal } from '../../wire/peers/frames.js';
import { formOnDisk, openFolder, reportDifferences, type Folder, type OpenedLog } from './boot.js';
import type { ClusterView } from './cluster-view.js';
import type { Contain } from '../containment.js';
import type { ServerEnv } from '../events.js';
import type { Clients } from '../front/clients.js';
import { FirstStart, type FormingStep, type Membership } from './forming.js';
import { formationFrame, memberSide, serverHelloOf, unformedSide } from './greeting.js';
import { outdatedBy, refuseLevel, refusePeer, turnedAwayFor, type OwnIdentity } from './identity.js';
import { Installer, noSpacePauseMs } from './install.js';
import type { NodeConfig } from '../config/node-config.js';
import {
  openPair,
  removeUnusedStores,
  type OpenedFolder,
  type OpenedStore,
  type PairOptions,
} from './pair.js';
import type { OwnSide } from '../peers/own-side.js';
import type { Peers, ProvedPeer } from '../peers/peers.js';
import { ClusterSecret } from '../peers/secret.js';
import { statusOf } from '../operate/status.js';
import { rebuildPair, unrepairable, type NewPair } from './rebuild.js';
import { RecoveryWait } from './recovery-wait.js';
import { Replacements } from './replacements.js';
import { Replica } from '../replica/replica.js';
import { reportCatchingUp, sentThrough } from '../snapshots/figures.js';
import {
  formatLevelOf,
  formationOf,
  storeOf,
  type Forming,
  type Recovering,
  type Running,
  type Standing,
} from './standing.js';

export interface LifeOptions {
  /** Disk, timers and stores are contained: what is thrown in a callback of theirs stops the node. */
  readonly env: ServerEnv;
  readonly stores: Stores;
  readonly nodeId: NodeId;
  readonly view: ClusterView;
  readonly config: NodeConfig;
  /** What this node can work with. */
  readonly software: Software;
  readonly version: string;
  readonly pid: number;
  readonly clients: Clients;
  readonly peers: Peers;
  fail(error: Error): void;
  wake(): void;
  /** Runs a piece of work; what it throws stops the node. */
  readonly contain: Contain;
}

const missingMembersReportMs = 5_000;
const idBytes = 16;

export class Life {
  private readonly options: LifeOptions;
  private readonly env: ServerEnv;
  private readonly disk: PairOptions;
  private readonly replacements = new Replacements();
  private now: Standing = { kind: 'opening', current: firstCurrent };
  private generationCount = 0;
  /** Of the cluster that this node is part of. */
  private secret: ClusterSecret | undefined;

  constructor(options: LifeOptions) {
    this.options = options;
    const { env, nodeId, config, software, stores } = options;
    this.env = env;
    const onFailure = (error: Error): void => options.fail(error);
    this.disk = { env, nodeId, config, software, onFailure, stores };
  }

  get standing(): Standing {
    return this.now;
  }

  /** The standing of a node that takes part; `undefined` in every other one. */
  get running(): Running | undefined {
    return this.now.kind === 'running' ? this.now : undefined;
  }

  /** How often store and log were replaced, by a snapshot or a repair; 0 at the start. */
  get generation(): number {
    return this.generationCount;
  }

  /** This node's own view of itself. The one place that makes it, whoever asks. */
  status(): NodeStatus {
    return statusOf(this.options, this.now);
  }

  /** Reads the disk and goes on from what it holds; `opened` when links may be made. */
  open(opened: () => void): void {
    const { nodeId, view } = this.options;
    const folder = openFolder(this.disk);
    this.now = { kind: 'opening', current: folder.current };
    const incarnation = toHex(this.env.entropy.bytes(idBytes));
    const { formatLevelMax } = this.options.software;
    const { memberIds } = view;
    const own = { nodeId, instanceId: folder.instanceId, incarnation, formatLevelMax, memberIds };
    removeUnusedStores(this.env, this.disk.stores, folder.current, () => {
      openPair(this.disk, folder, (error, found) => {
        if (found === undefined) throw error ?? new KvorumError('INTERNAL', 'nothing was opened');
        if (this.replacements.isEnding) return;
        this.begin(own, folder, found);
        opened();
      });
    });
  }

  /** Calls `done` when nothing is being replaced; from then on nothing will be. */
  settle(done: () => void): void {
    this.replacements.settle(done);
  }

  /** Ends the replica: its log and the store are closed when `done`. */
  close(done: (error: Error | undefined) => void): void {
    const opened = storeOf(this.now);
    const closeStore = (error: Error | undefined): void => {
      if (opened === undefined) done(error);
      else opened.store.close((closeError) => done(error ?? closeError));
    };
    if (this.now.kind === 'running') this.now.replica.close(closeStore);
    else closeStore(undefined);
  }

  /** What looks whole at the next start may not be: it must know. */
  noteDamage(error: Error): void {
    const formation = formationOf(this.now);
    const damage = damageOf(error, this.now.current);
    if (damage === undefined || formation === undefined || formation.members.length === 1) return;
    const { disk, report } = this.env;
    try {
      writeDamage(disk, damage);
      report({ kind: 'damageNoted', damage });
    } catch (problem) {
      report({ kind: 'damageNotNoted', damage, error: (problem as Error).message });
    }
  }

  // ---- what is said to peers and clients, and what peers say

  /** What this node is on its links to the others. */
  own(): OwnSide {
    const standing = this.now;
    switch (standing.kind) {
      case 'opening':
        throw stillOpening();
      case 'forming':
        return unformedSide(standing.own);
      case 'recovering':
        return this.memberSide(standing, undefined, true);
      case 'running': {
        const { currentTerm, isCatchingUp } = standing.replica.raft;
        return this.memberSide(standing, currentTerm, isCatchingUp);
      }
      default:
        return assertNever(standing);
    }
  }

  /** `undefined` unless requests can be answered. */
  serverHello(): ServerHello | undefined {
    const { running } = this;
    if (running === undefined || running.replica.isHalted) return undefined;
    return serverHelloOf(this.options.view, running);
  }

  /** Judges what anybody may say (server/peers/peers.ts). */
  judgeHello(hello: PeerHello): PeerRefusal | undefined {
    const standing = this.now;
    if (standing.kind === 'opening') throw stillOpening();
    return refusePeer(standing.own, formationOf(standing), hello);
  }

  /** Judges a member that proved itself. */
  judge(peer: ProvedPeer): PeerRefusal | undefined {
    const standing = this.memberNow();
    const { own } = standing;
    const refusal = refuseLevel(own, formatLevelOf(standing), peer);
    if (refusal !== undefined) return refusal;
    const error = outdatedBy(own, peer);
    if (error === undefined) return undefined;
    this.options.fail(error);
    // Not FORMAT: that ends the one who hears it, and the other side is as new as its store.
    return { kind: 'refusal', code: 'PROTOCOL', message: error.message };
  }

  /** A member has proved itself; what it says is of now. */
  heard(peer: ProvedPeer, hasLost: boolean): void {
    const standing = this.memberNow();
    this.options.contain(() => {
      if (hasLost) {
        this.env.report({ kind: 'peerReset', peer: peer.nodeId });
        if (standing.kind === 'running') standing.replica.peerReset(peer.nodeId);
      }
      if (standing.kind === 'recovering') standing.wait.heard(peer);
    });
  }

  /** A peer answers at its address that it is part of no cluster, as this node. */
  peerEmpty(hello: PeerHello): void {
    this.whileForming(({ firstStart }) => firstStart.heard(hello));
  }

  peerEmptyGone(peer: NodeId): void {
    if (this.now.kind === 'forming') this.now.firstStart.gone(peer);
  }

  /** Who answers at a member's address turns this node away, which is part of no cluster. */
  turnedAway(refusal: PeerRefusal): void {
    this.whileForming(() => {
      const error = turnedAwayFor(refusal);
      return error === undefined ? { kind: 'wait' } : { kind: 'stop', error };
    });
  }

  /** A member tells this node, which is part of no cluster, what it is. */
  told(peer: NodeId, frame: PeerFormation): void {
    this.whileForming(({ firstStart }) => firstStart.told(peer, frame));
  }

  formationFrame(echoes: readonly Uint8Array[]): PeerFormation {
    const standing = this.memberNow();
    return formationFrame(this.membership(standing), formatLevelOf(standing), echoes);
  }

  private whileForming(next: (forming: Forming) => FormingStep): void {
    const forming = this.now;
    if (forming.kind !== 'forming') return;
    const step = next(forming);
    // Contained here: what goes wrong in forming is this node's own end, not a fault of the link that told of
    // it.
    this.options.contain(() => this.takeFormingStep(forming, step));
  }

  private memberNow(): Recovering | Running {
    const { now } = this;
    assert(now.kind === 'recovering' || now.kind === 'running', `no member: the node is ${now.kind}`);
    return now;
  }

  private memberSide(
    standing: Recovering | Running,
    currentTerm: number | undefined,
    catchingUp: boolean,
  ): OwnSide {
    const claim = { formatLevel: formatLevelOf(standing), currentTerm, catchingUp };
    return memberSide(standing.own, this.membership(standing), claim);
  }

  private membership({ formation }: Recovering | Running): Membership {
    return { formation, secret: defined(this.secret, 'the secret of the own cluster') };
  }

  // ---- from the disk to a replica

  private begin(own: OwnIdentity, { record, current }: Folder, found: OpenedFolder): void {
    const formation = record?.formation;
    this.secret = record?.secret;
    if (formation !== undefined) reportDifferences(this.env.report, this.options.view.members, formation);
    if (found.kind === 'damaged') this.recover(own, formation, found);
    else if (formation === undefined || found.log === undefined) this.form(own, found.opened);
    else this.run(own, formation, { current, opened: found.opened, log: found.log });
  }

  private form(own: OwnIdentity, opened: OpenedStore): void {
    const { current } = this.now;
    const drawClusterId = (): string => toHex(this.env.entropy.bytes(idBytes));
    const drawSecret = (): ClusterSecret => ClusterSecret.draw(this.env.entropy);
    const firstStart = new FirstStart({ own, view: this.options.view, drawClusterId, drawSecret });
    const forming: Forming = { kind: 'forming', own, current, opened, firstStart };
    this.now = forming;
    this.takeFormingStep(forming, firstStart.begin());
    this.reportMissingMembers(forming);
  }

  private takeFormingStep({ own, current, opened }: Forming, step: FormingStep): void {
    if (this.replacements.isEnding) return;
    switch (step.kind) {
      case 'wait':
        return;
      case 'stop':
        throw step.error;
      case 'join': {
        const { formation, secret } = step.membership;
        const log = formOnDisk(this.disk, step.membership, current, opened.stateMachine);
        this.secret = secret;
        this.run(own, formation, { current, opened, log });
        // All links were greeted as an unformed node: greet anew, which also tells the others of the cluster.
        this.options.peers.reconnectAll('the cluster is formed');
        return;
      }
      default:
        return assertNever(step);
    }
  }

  private reportMissingMembers(forming: Forming): void {
    this.env.timers.set(missingMembersReportMs, () => {
      if (this.now !== forming) return;
      const { missing } = forming.firstStart;
      this.env.report({ kind: 'formingWaits', missing });
      this.reportMissingMembers(forming);
    });
  }

  private recover(
    own: OwnIdentity,
    formation: Formation | undefined,
    { damage, opened }: Extract<OpenedFolder, { kind: 'damaged' }>,
  ): void {
    if (formation === undefined || formation.members.length === 1) {
      throw unrepairable(damage, formation !== undefined);
    }
    const { nodeId } = this.options;
    const { report, timers } = this.env;
    const { current } = this.now;
    const rebuild = (floor: number): void => {
      if (this.replacements.isEnding) return;
      this.replacements.begin();
      rebuildPair(this.disk, { formation, current, damage, opened, floor }, (error, pair) => {
        if (pair === undefined) {
          if (!isNoSpace(error)) throw error ?? new KvorumError('INTERNAL', 'nothing was rebuilt');
          report({ kind: 'repairHasNoRoom', error: error?.message ?? '', againMs: noSpacePauseMs });
          timers.set(noSpacePauseMs, () => rebuild(floor));
          this.replacements.end(() => undefined);
          return;
        }
        this.replacePair(own, formation, pair, () => undefined);
        // All links were greeted by a node without a term.
        this.options.peers.reconnectAll('the damaged disk is replaced');
      });
    };
    const hasStore = opened !== undefined;
    const wait = new RecoveryWait({ nodeId, formation, damage, hasStore, report, timers, rebuild });
    this.now = { kind: 'recovering', own, formation, current, opened, wait };
  }

  private run(own: OwnIdentity, formation: Formation, pair: NewPair): void {
    const before = this.running;
    const { current, opened, log } = pair;
    const { peers } = this.options;
    this.env.report({ kind: 'replicaStarted', clusterId: formation.clusterId });
    const replica = this.createReplica(formation, current.catchingUp, opened, log);
    const running: Running = {
      kind: 'running',
      own,
      formation,
      current,
      opened,
      wal: log.wal,
      replica,
      installer: before?.installer ?? this.createInstaller(),
      isInstalling: false,
      sentBefore: sentThrough(before),
    };
    this.now = running;
    for (const { nodeId } of formation.members) if (peers.isUp(nodeId)) replica.peerUp(nodeId);
    reportCatchingUp(this.env, replica);
  }

  private createReplica(
    formation: Formation,
    isCatchingUp: boolean,
    opened: OpenedStore,
    { wal, recovered }: OpenedLog,
  ): Replica {
    const { nodeId, config, software, clients, peers } = this.options;
    return new Replica({
      env: this.env,
      nodeId,
      config,
      software,
      formation,
      ...opened,
      wal,
      recovered,
      clients,
      peers,
      isCatchingUp,
      caughtUp: () => this.noteCaughtUp(),
      status: () => this.status(),
      fail: (error) => this.options.fail(error),
      wake: () => this.options.wake(),
    });
  }

  private noteCaughtUp(): void {
    const running = this.runningNow();
    const current = { ...running.current, catchingUp: false };
    writeCurrent(this.env.disk, current);
    running.current = current;
    this.env.report({ kind: 'votesAgain' });
  }

  // ---- another store and log

  private createInstaller(): Installer {
    const { peers, clients } = this.options;
    return new Installer(this.disk, {
      isEnding: () => this.replacements.isEnding,
      running: () => this.runningNow(),
      send: (peer, frame) => peers.sendSnapshot(peer, frame),
      begun: () => {
        this.replacements.begin();
        this.runningNow().isInstalling = true;
      },
      endReplica: (done) => {
        clients.closeAll('the node installs a snapshot');
        this.close((error) => {
          // Nothing was acknowledged of what a full disk kept the log from writing.
          const isLost = error !== undefined && !KvorumError.is(error, 'NO_SPACE');
          done(error, isLost ? undefined : this.runningNow().replica.promises);
        });
      },
      ended: (pair, released) => {
        const running = this.runningNow();
        running.isInstalling = false;
        if (pair === undefined) this.replacements.end(released);
        else this.replacePair(running.own, running.formation, pair, released);
      },
    });
  }

  private runningNow(): Running {
    assert(this.now.kind === 'running', `no replica runs: the node is ${this.now.kind}`);
    return this.now;
  }

  /** The node goes on with another store and log; what it had before is removed, then `done`. */
  private replacePair(own: OwnIdentity, formation: Formation, pair: NewPair, done: () => void): void {
    this.generationCount++;
    this.run(own, formation, pair);
    // At once: the next pair to come puts its log there.
    clearLog(this.env.disk, nextLogName(pair.current));
    removeUnusedStores(this.env, this.disk.stores, pair.current, () => this.replacements.end(done));
  }
}

function stillOpening(): KvorumError {
  return new KvorumError('UNAVAILABLE', 'the node is still opening its data');
}
