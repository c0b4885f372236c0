// What this node is in its cluster, from what its disk holds to a member that takes part: opens the disk,
// forms the cluster at the first start, waits while a damaged disk is repaired, and puts a new member in the
// place of the old one when a snapshot is installed. One file says which store and log are in use
// (storage/folder/current.ts). Must never answer for a state that it does not understand: what is thrown here
// stops the node.

import { toHex } from '../../base/bytes.js';
import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Stores } from '../../kv/store.js';
import type { Raft } from '../../raft/raft.js';
import { clearLog, nextLogName, writeCurrent, type Current } from '../../storage/folder/current.js';
import { damageOf, writeDamage } from '../../storage/folder/damage.js';
import { isNoSpace } from '../../storage/disk/no-space.js';
import { decodeFormation, type Formation } from '../../wire/commands/entry-codec.js';
import type { Member as ClusterMember, NodeStatus, PeerHello, PeerRefusal } from '../../wire/protocol.js';
import { formOnDisk, openFolder, reportDifferences, type OpenedLog } from './boot.js';
import type { ServerEnv } from '../events.js';
import type { Clients } from '../front/clients.js';
import { Forming, type FormingStep } from './forming.js';
import { peerHelloOf } from './greeting.js';
import { refusePeer, type OwnIdentity } from './identity.js';
import { Incarnations } from '../peers/incarnations.js';
import { Installer } from './install.js';
import { Member } from '../replica/replica.js';
import type { NodeConfig } from '../config/node-config.js';
import {
  openPair,
  removeUnusedStores,
  type OpenedFolder,
  type OpenedStore,
  type PairOptions,
} from './pair.js';
import type { Peers } from '../peers/peers.js';
import { rebuildPair, unrepairable, type NewPair } from './rebuild.js';
import { RecoveryWait } from './recovery-wait.js';
import { figuresOf, reportCatchingUp, nothingSent, type SnapshotFigures } from '../snapshots/figures.js';

export interface MembershipOptions {
  /** Disk, timers and stores are guarded: what is thrown in a callback of theirs stops the node. */
  readonly env: ServerEnv;
  readonly stores: Stores;
  readonly nodeId: NodeId;
  /** Of the cluster file. */
  readonly members: readonly ClusterMember[];
  readonly config: NodeConfig;
  readonly clients: Clients;
  readonly peers: Peers;
  status(): NodeStatus;
  fail(error: Error): void;
  wake(): void;
  /** Runs a piece of work; what it throws stops the node. */
  guard(run: () => void): void;
}

/**
 * `opening`: the disk is being read. `forming`: not part of a cluster yet. `recovering`: the disk was
 * damaged, the others have not all been heard. `member`: takes part.
 */
export type Standing = 'opening' | 'forming' | 'recovering' | 'member';

const missingMembersReportMs = 5_000;
const idBytes = 16;
/** Until a repair that found the disk full is tried again. */
const noSpacePauseMs = 2_000;

export class Membership {
  standing: Standing = 'opening';
  /** How often store and log were replaced, by a snapshot or a repair; 0 at the start. */
  generation = 0;
  current: Current = { store: 'db', log: 'wal', catchingUp: false };
  formation: Formation | undefined;
  opened: OpenedStore | undefined;
  member: Member | undefined;
  /** Made with the first member; outlives it. */
  installer: Installer | undefined;
  logBytes: () => number = () => 0;
  /** A snapshot that has arrived is about to take the place of the log: what the log says now is void. */
  isInstalling = false;
  private readonly options: MembershipOptions;
  private readonly env: ServerEnv;
  private readonly disk: PairOptions;
  private readonly incarnations = new Incarnations();
  private own: OwnIdentity | undefined;
  private forming: Forming | undefined;
  private recovery: RecoveryWait | undefined;
  /**
   * How often store and log are being replaced, or what they replaced is being removed: an install may begin
   * while the rest of a repair is still there.
   */
  private replacements = 0;
  /** By members of this process that were replaced. */
  private sentBefore = nothingSent;
  private isEnding = false;
  private whenReplaced: (() => void) | undefined;

  constructor(options: MembershipOptions) {
    this.options = options;
    const { env, nodeId, config, stores } = options;
    this.env = env;
    const onFailure = (error: Error): void => options.fail(error);
    this.disk = { env, nodeId, config, onFailure, stores };
  }

  get snapshotFigures(): SnapshotFigures {
    return figuresOf(this.sentBefore, this.member?.sender, this.installer);
  }

  get raft(): Raft | undefined {
    return this.member?.raft;
  }

  /** Whether this node knows who it is: before, it talks to nobody. */
  get hasIdentity(): boolean {
    return this.own !== undefined;
  }

  /** Reads the disk and goes on from what it holds; `opened` when links may be made. */
  open(opened: () => void): void {
    const { nodeId, members } = this.options;
    const folder = openFolder(this.disk);
    const memberIds = members.map((member) => member.nodeId).sort();
    const incarnation = toHex(this.env.entropy.bytes(idBytes));
    const own = { nodeId, instanceId: folder.instanceId, incarnation, memberIds };
    this.current = folder.current;
    removeUnusedStores(this.env, this.disk.stores, folder.current, () => {
      openPair(this.disk, folder, (error, found) => {
        if (found === undefined) throw error ?? new KvorumError('INTERNAL', 'nothing was opened');
        this.opened = found.opened;
        if (this.isEnding) return;
        this.own = own;
        this.begin(own, folder.record?.formation, found);
        opened();
      });
    });
  }

  /** Calls `done` when nothing is being replaced; from then on nothing will be. */
  settle(done: () => void): void {
    this.isEnding = true;
    if (this.replacements > 0) this.whenReplaced = done;
    else done();
  }

  /** Ends the member: its log and the store are closed when `done`. */
  close(done: (error: Error | undefined) => void): void {
    const closeStore = (error: Error | undefined): void => {
      if (this.opened === undefined) done(error);
      else this.opened.store.close((closeError) => done(error ?? closeError));
    };
    if (this.member === undefined) closeStore(undefined);
    else this.member.close(closeStore);
  }

  /** What looks whole at the next start may not be: it must know. */
  noteDamage(error: Error): void {
    const { formation, current } = this;
    const damage = damageOf(error, current);
    if (damage === undefined || formation === undefined || formation.members.length === 1) return;
    const { disk, report } = this.env;
    try {
      writeDamage(disk, damage);
      report({ kind: 'damageNoted', damage });
    } catch (problem) {
      report({ kind: 'damageNotNoted', damage, error: (problem as Error).message });
    }
  }

  // ---- what peers say

  hello(): PeerHello {
    const { raft, standing } = this;
    const catchingUp = standing === 'recovering' || raft?.isCatchingUp === true;
    return peerHelloOf(this.identity(), this.formation, raft?.currentTerm, catchingUp);
  }

  /** Judges a peer's hello, and learns from it (peers.ts). */
  judge(hello: PeerHello, isDialed: boolean): PeerRefusal | 'unconfirmed' | undefined {
    const refusal = refusePeer(this.identity(), this.formation, hello);
    if (refusal !== undefined) return refusal;
    return this.forming === undefined
      ? this.hearMember(hello, isDialed)
      : this.hearUnformed(this.forming, hello, isDialed);
  }

  private identity(): OwnIdentity {
    if (this.own === undefined) throw new KvorumError('UNAVAILABLE', 'the node is still opening its data');
    return this.own;
  }

  private hearUnformed(forming: Forming, hello: PeerHello, isDialed: boolean): PeerRefusal | undefined {
    const step = forming.heard(hello);
    // Only who answers at a member's address can tell this node that its data is not the cluster's; whoever
    // else says so is turned away.
    if (step.kind === 'stop' && !isDialed) return { kind: 'refusal', code: 'IDENTITY', message: step.reason };
    // Guarded here: what goes wrong in forming is this node's own end, not a fault of the link that told it.
    this.options.guard(() => this.takeFormingStep(step));
    return undefined;
  }

  private hearMember(hello: PeerHello, isDialed: boolean): 'unconfirmed' | undefined {
    const { nodeId, incarnation } = hello;
    const step = this.incarnations.heard(hello, isDialed);
    if (step === 'unconfirmed') return step;
    this.options.guard(() => {
      if (step === 'reset') {
        this.env.report({ kind: 'peerReset', peer: nodeId });
        this.options.peers.closeEarlier(nodeId, incarnation);
        this.member?.peerReset(nodeId);
      }
      // Terms are a member's own word: whoever opens a link may claim any.
      if (isDialed) this.recovery?.heard(hello);
    });
    return undefined;
  }

  // ---- from the disk to a member

  private begin(own: OwnIdentity, formation: Formation | undefined, found: OpenedFolder): void {
    this.formation = formation;
    if (formation !== undefined) reportDifferences(this.env.report, this.options.members, formation);
    if (found.kind === 'damaged') this.recover(formation, found);
    else if (formation === undefined || found.log === undefined) this.form(own);
    else this.join(formation, found.opened, found.log);
  }

  private form(own: OwnIdentity): void {
    this.standing = 'forming';
    const addressOf = new Map(this.options.members.map((member) => [member.nodeId, member.address]));
    const drawClusterId = (): string => toHex(this.env.entropy.bytes(idBytes));
    this.forming = new Forming({ own, addressOf, drawClusterId, decodeFormation });
    this.takeFormingStep(this.forming.begin());
    this.reportMissingMembers();
  }

  private takeFormingStep(step: FormingStep): void {
    if (step.kind === 'wait' || this.isEnding) return;
    if (step.kind === 'stop') throw new KvorumError('IDENTITY', step.reason);
    const { opened } = this;
    if (opened === undefined) throw new KvorumError('INTERNAL', 'the store is not open');
    const { formation } = step;
    this.forming = undefined;
    this.join(formation, opened, formOnDisk(this.disk, formation, this.current, opened.stateMachine));
    // All links were greeted as an unformed node: greet anew, which also tells the others of the cluster.
    this.options.peers.reconnectAll('the cluster is formed');
  }

  private reportMissingMembers(): void {
    this.env.timers.set(missingMembersReportMs, () => {
      if (this.forming === undefined) return;
      const { missing } = this.forming;
      this.env.report({ kind: 'formingWaits', missing });
      this.reportMissingMembers();
    });
  }

  private recover(
    formation: Formation | undefined,
    { damage, opened }: Extract<OpenedFolder, { kind: 'damaged' }>,
  ): void {
    if (formation === undefined || formation.members.length === 1) {
      throw unrepairable(damage, formation !== undefined);
    }
    this.standing = 'recovering';
    const { nodeId } = this.options;
    const { report, timers } = this.env;
    const { current } = this;
    const hasStore = opened !== undefined;
    const rebuild = (floor: number): void => {
      if (this.isEnding) return;
      this.replacements++;
      rebuildPair(this.disk, { formation, current, damage, opened, floor }, (error, pair) => {
        if (pair === undefined) {
          if (!isNoSpace(error)) throw error ?? new KvorumError('INTERNAL', 'nothing was rebuilt');
          report({ kind: 'repairHasNoRoom', error: error?.message ?? '', againMs: noSpacePauseMs });
          timers.set(noSpacePauseMs, () => rebuild(floor));
          this.replaced(() => undefined);
          return;
        }
        this.recovery = undefined;
        this.replacePair(formation, pair, () => undefined);
        // All links were greeted by a node without a term.
        this.options.peers.reconnectAll('the damaged disk is replaced');
      });
    };
    this.recovery = new RecoveryWait({ nodeId, formation, damage, hasStore, report, timers, rebuild });
  }

  private join(formation: Formation, opened: OpenedStore, { wal, recovered }: OpenedLog): void {
    const { nodeId, config, clients, peers } = this.options;
    this.formation = formation;
    this.opened = opened;
    this.logBytes = () => wal.logBytes;
    this.standing = 'member';
    this.env.report({ kind: 'memberStarted', clusterId: formation.clusterId });
    this.sentBefore = this.snapshotFigures;
    this.member = new Member({
      env: this.env,
      nodeId,
      config,
      formation,
      ...opened,
      wal,
      recovered,
      clients,
      isCatchingUp: this.current.catchingUp,
      sendToPeer: (message) => peers.send(message),
      sendTransfer: (peer, frame) => peers.sendTransfer(peer, frame),
      caughtUp: () => this.noteCaughtUp(),
      status: () => this.options.status(),
      fail: (error) => this.options.fail(error),
      wake: () => this.options.wake(),
    });
    for (const member of formation.members) if (peers.isUp(member.nodeId)) this.member.peerUp(member.nodeId);
    this.installer ??= this.createInstaller();
    reportCatchingUp(this.env, this.member);
  }

  private noteCaughtUp(): void {
    const current = { ...this.current, catchingUp: false };
    writeCurrent(this.env.disk, current);
    this.current = current;
    this.env.report({ kind: 'votesAgain' });
  }

  // ---- another store and log

  private createInstaller(): Installer {
    const { peers, clients } = this.options;
    return new Installer(this.disk, {
      formation: () => (this.isEnding ? undefined : this.formation),
      current: () => this.current,
      raft: () => this.raft,
      send: (peer, frame) => peers.sendTransfer(peer, frame),
      begun: () => {
        this.replacements++;
        this.isInstalling = true;
      },
      promised: () => this.runningMember().promises,
      endMember: (done) => {
        clients.closeAll('the node installs a snapshot');
        this.close((error) => {
          // Nothing was acknowledged of what a full disk kept the log from writing.
          const isLost = error !== undefined && !KvorumError.is(error, 'NO_SPACE');
          done(error, isLost ? undefined : this.member?.promises);
        });
      },
      ended: (pair, released) => {
        const { formation } = this;
        this.isInstalling = false;
        if (pair !== undefined && formation !== undefined) this.replacePair(formation, pair, released);
        else this.replaced(released);
      },
    });
  }

  private runningMember(): Member {
    if (this.member === undefined) throw new KvorumError('INTERNAL', 'there is no member');
    return this.member;
  }

  /** The member goes on with another store and log; what it had before is removed, then `done`. */
  private replacePair(formation: Formation, pair: NewPair, done: () => void): void {
    this.current = pair.current;
    this.generation++;
    this.join(formation, pair.opened, pair.log);
    // At once: the next pair to come puts its log there.
    clearLog(this.env.disk, nextLogName(pair.current));
    removeUnusedStores(this.env, this.disk.stores, pair.current, () => this.replaced(done));
  }

  private replaced(done: () => void): void {
    this.replacements--;
    done();
    if (this.replacements === 0) this.whenReplaced?.();
  }
}
