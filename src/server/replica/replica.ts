// A member of a formed cluster: the core with its loop, log, state machine, writes and reads, wired
// together. A member has one store and one log as long as it lives; when those are replaced, another member
// takes its place (membership.ts). What is here is wiring; every rule lives in the part it belongs to.

import type { NodeId, TimerHandle } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { ClientCommand } from '../../kv/commands.js';
import type { StateMachine } from '../../kv/state-machine.js';
import type { OrderedStore } from '../../kv/store.js';
import type { Message } from '../../raft/messages.js';
import type { Raft } from '../../raft/raft.js';
import type { HardState, LogEntry, RecoveredState } from '../../raft/types.js';
import type { Wal } from '../../storage/wal/wal.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { NodeStatus, SnapshotCursor, SnapshotResult, TransferFrame } from '../../wire/protocol.js';
import type { ServerEnv } from '../events.js';
import { Applier } from './applier.js';
import { catchUpRequestIds, type CatchUp } from './catch-up.js';
import type { Caller } from '../front/caller.js';
import type { Clients, RequestFrame } from '../front/clients.js';
import { ClusterClock } from './cluster-clock.js';
import { DiskSpace } from '../space/free-space.js';
import { checkPayloads, newestTimes } from './entry-checks.js';
import { HandOver } from './hand-over.js';
import type { LogRetention } from '../space/log-retention.js';
import { RaftLoop, type Leadership, type LoopSink } from './loop.js';
import { createCatchUp, createExpiry, createRaft, createRetention, createSender } from './replica-parts.js';
import type { NodeConfig } from '../config/node-config.js';
import { Proposals } from '../front/proposals.js';
import { Reads } from '../front/reads.js';
import { Requests } from '../front/requests.js';
import type { SessionExpiry } from './session-expiry.js';
import type { SnapshotSender } from '../snapshots/sender.js';
import { StoreWriter } from './store-writer.js';

export interface MemberOptions {
  readonly env: ServerEnv;
  readonly nodeId: NodeId;
  readonly config: NodeConfig;
  readonly formation: Formation;
  readonly stateMachine: StateMachine;
  readonly store: OrderedStore;
  readonly wal: Wal;
  readonly recovered: RecoveredState;
  readonly clients: Clients;
  /** The disk was damaged: does not vote until `caughtUp`. */
  readonly isCatchingUp: boolean;
  sendToPeer(message: Message): void;
  sendTransfer(peer: NodeId, frame: TransferFrame): boolean;
  /** The log again holds everything that it may have acknowledged: makes that durable before it returns. */
  caughtUp(): void;
  status(): NodeStatus;
  fail(error: Error): void;
  wake(): void;
}

export class Member implements LoopSink {
  readonly raft: Raft;
  readonly reads: Reads;
  readonly proposals: Proposals;
  readonly sender: SnapshotSender;
  private readonly options: MemberOptions;
  private readonly loop: RaftLoop;
  private readonly applier: Applier;
  private readonly writer: StoreWriter;
  private readonly requests: Requests;
  private readonly clusterClock: ClusterClock;
  private readonly tickTimerMs: number;
  private tickTimer: TimerHandle | undefined;
  private readonly expiry: SessionExpiry;
  private readonly retention: LogRetention;
  private readonly catchUp: CatchUp | undefined;
  private readonly diskSpace: DiskSpace;
  private handingOver: HandOver | undefined;
  private halted = false;

  constructor(options: MemberOptions) {
    this.options = options;
    const { env, config, stateMachine, store } = options;
    const { clock, timers } = env;
    this.raft = createRaft(options, this.randomUint32());
    this.clusterClock = new ClusterClock(clock, config.raft.electionTimeoutMsMin / 2);
    this.clusterClock.observe(stateMachine.clusterTimeMs, stateMachine.wallTimeMs);
    this.observeStamps(options.recovered.log.recentEntries);
    this.proposals = new Proposals(config.limits);
    this.diskSpace = new DiskSpace(env, options.wal, config.wal);
    const fail = (error: Error): void => options.fail(error);
    this.writer = new StoreWriter({
      stateMachine,
      store,
      timers,
      ...config.store,
      backlogBytesMax: 4 * config.store.groupBytesMax,
      mayFreeze: () => !this.applier.isMidEntry,
      onFailure: fail,
      onProgress: () => this.applier.resume(),
    });
    this.applier = this.createApplier(fail);
    this.reads = this.createReads();
    this.requests = this.createRequests();
    this.loop = new RaftLoop({
      raft: this.raft,
      wal: options.wal,
      clock,
      timers,
      sink: this,
      lateTimerMs: config.raft.heartbeatIntervalMs / 2,
    });
    this.tickTimerMs = config.raft.heartbeatIntervalMs;
    this.expiry = createExpiry(options, this.loop, this.clusterClock);
    this.sender = createSender(options, this.loop, this.randomUint32());
    this.retention = createRetention(options, this.loop, this.sender);
    this.catchUp = createCatchUp(options, this.loop, this.randomUint32());
    this.armTick();
    // What was committed before the restart waits to be applied: a first step brings it out.
    this.loop.step({ kind: 'timeout' });
  }

  get clusterTimeMs(): number {
    return this.clusterClock.timeMs;
  }

  /** It takes part in nothing any more. */
  get isHalted(): boolean {
    return this.halted;
  }

  /** What this member has promised; of use once it is closed. */
  get promises(): HardState {
    const { currentTerm, votedFor, commitIndex } = this.raft;
    return { currentTerm, votedFor, commitIndex };
  }

  get pendingRequests(): { readonly writes: number; readonly reads: number } {
    return { writes: this.proposals.pendingCommands, reads: this.reads.pendingReads };
  }

  /** Throws `PROTOCOL`, with nothing changed, for a message that no member following the rules sends. */
  receive(message: Message): void {
    if (message.kind === 'appendEntries') checkPayloads(message);
    this.loop.step({ kind: 'message', message });
  }

  peerUp(peer: NodeId): void {
    this.loop.step({ kind: 'peerUp', peer });
  }

  peerDown(peer: NodeId): void {
    this.sender.linkDown(peer);
    this.loop.step({ kind: 'peerDown', peer });
  }

  /** The peer lost what it acknowledged. Nothing that its earlier processes sent may be received any more. */
  peerReset(peer: NodeId): void {
    this.sender.peerReset(peer);
    this.loop.step({ kind: 'peerReset', peer });
  }

  /** An answer to a snapshot that this node sends. Throws `PROTOCOL` for one that no receiver gives. */
  receiveTransfer(peer: NodeId, frame: SnapshotCursor | SnapshotResult): void {
    if (!this.halted) this.sender.receive(peer, frame);
  }

  request(caller: Caller, frame: RequestFrame): void {
    this.requests.receive(caller, frame);
  }

  /** End of a turn: what gathered goes into the log and into one ReadIndex round. */
  flush(): void {
    if (this.halted) return;
    // Commit when idle, batch when busy: what arrives while the log syncs becomes the next entry, and costs
    // one sync, one message to each peer and one acknowledgement, however many writes it holds. One unit at a
    // time, and a bounded one, also keeps a busy disk from looking like one that hangs.
    if (this.proposals.hasGathered && !this.loop.isLogBusy) this.propose();
    this.reads.flush();
  }

  /**
   * Hands leadership over if this node has it (§3.10), then calls `done`; also when nobody takes it in
   * time.
   */
  handOver(done: () => void): void {
    if (this.raft.role !== 'leader' || this.options.formation.members.length === 1) {
      done();
      return;
    }
    const patienceMs = 2 * this.options.config.raft.electionTimeoutMsMax;
    this.handingOver = new HandOver(this.options.env.timers, patienceMs, done);
    this.loop.step({ kind: 'transferLeadership' });
  }

  /** Stops taking part, writes what was applied to the store, closes the log, then calls `done`. */
  close(done: (error: Error | undefined) => void): void {
    this.haltProtocol();
    this.applier.settle(() => this.writer.drain(() => this.options.wal.close(done)));
  }

  /** Stops at once: the disk is left as it is. */
  halt(): void {
    this.haltProtocol();
    this.applier.halt();
    this.writer.halt();
  }

  // ---- LoopSink: called while a step is carried out

  sendToPeer(message: Message): void {
    this.options.sendToPeer(message);
  }

  appended(entries: readonly LogEntry[]): void {
    this.observeStamps(entries);
  }

  commit(entries: readonly LogEntry[]): void {
    this.applier.enqueue(entries);
  }

  confirmReads(reads: Parameters<Reads['confirm']>[0]): void {
    this.catchUp?.confirm(reads);
    this.reads.confirm(reads.filter(({ requestId }) => requestId < catchUpRequestIds));
  }

  failReads(requestIds: readonly number[]): void {
    this.catchUp?.fail(requestIds);
    this.reads.fail(requestIds.filter((requestId) => requestId < catchUpRequestIds));
  }

  sendSnapshots(peers: readonly NodeId[]): void {
    for (const peer of peers) this.sender.start(peer);
  }

  logDamaged(error: Error): void {
    this.options.fail(error);
  }

  leadershipChanged(now: Leadership, before: Leadership): void {
    const { leaderId, term, isLeader } = now;
    if (isLeader) this.clusterClock.startLeading();
    if (before.isLeader && (!now.isLeader || now.term !== before.term)) {
      if (!now.isLeader) this.clusterClock.stopLeading();
      this.expiry.leadershipEnded();
      if (!now.isLeader) this.sender.cancelAll();
      this.proposals.dropAll((write, sent) => this.requests.answerLostLeadership(write, sent));
      this.handingOver?.leadershipEnded();
    }
    if (now.leaderId !== before.leaderId) {
      this.options.env.report({ kind: 'leaderChanged', leaderId, term, isLeader });
    }
    this.options.clients.notifyLeader({ kind: 'leader', leaderId, term, clusterTimeMs: this.clusterTimeMs });
  }

  logIdle(): void {
    if (this.proposals.hasGathered) this.options.wake();
  }

  // ---- wiring

  private randomUint32(): number {
    const bytes = this.options.env.entropy.bytes(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
  }

  private createApplier(onFailure: (error: Error) => void): Applier {
    const { env, config, stateMachine, store } = this.options;
    return new Applier({
      stateMachine,
      store,
      proposals: this.proposals,
      clock: env.clock,
      timers: env.timers,
      sliceMs: config.sliceMs,
      mustWait: () => this.writer.isBehind,
      applied: (index, term, results) => {
        this.proposals.applied(index, term, results, (write, result) =>
          this.requests.answerWrite(write, result),
        );
      },
      reached: (index) => {
        this.reads.reached(index);
        this.writer.noteApplied();
        this.loop.step({ kind: 'applied', index });
      },
      onFailure,
    });
  }

  private createReads(): Reads {
    const { env, config, stateMachine } = this.options;
    return new Reads({
      stateMachine,
      clock: env.clock,
      timers: env.timers,
      pendingReadsMax: config.limits.pendingReadsMax,
      sliceMs: config.sliceMs,
      firstRequestId: this.randomUint32() * 65_536,
      requestReadIndex: (requestId) => this.loop.step({ kind: 'readIndex', requestId }),
      wake: () => this.options.wake(),
    });
  }

  private createRequests(): Requests {
    const { stateMachine } = this.options;
    return new Requests({
      proposals: this.proposals,
      reads: this.reads,
      refuseWrite: (command) => this.refuseWrite(command),
      getAt: (key, revision) => stateMachine.getAt(key, revision),
      status: () => this.options.status(),
      damaged: (error) => this.options.fail(error),
      wake: () => this.options.wake(),
    });
  }

  private propose(): void {
    const batches = this.proposals.takeBatches(() => this.clusterClock.stamp());
    const proposals = batches.map(({ payload }) => ({ kind: 'command' as const, payload }));
    const result = this.loop.step({ kind: 'propose', proposals })?.proposal;
    if (result?.accepted === true) {
      this.proposals.appended(batches, result.term, result.firstIndex);
      return;
    }
    const error =
      result?.reason === 'tooMuch'
        ? new KvorumError(
            'OVERLOADED',
            'more bytes wait to be committed than raft.uncommittedBytesMax; send less at a time',
          )
        : this.notLeader();
    this.proposals.drop(batches, (write) => this.requests.answerRefused(write, error));
  }

  private refuseWrite(command: ClientCommand): KvorumError | undefined {
    if (this.raft.role !== 'leader' || this.raft.isTransferring) return this.notLeader();
    return this.diskSpace.refuse(command);
  }

  private notLeader(): KvorumError {
    const { leaderId } = this.raft;
    const who =
      leaderId === undefined || this.raft.isTransferring
        ? 'no leader is known yet'
        : `node ${leaderId} leads`;
    return new KvorumError('NOT_LEADER', `node ${this.options.nodeId} does not lead; ${who}`);
  }

  /**
   * "A new leader continues from the largest stamp in its own log": every stamp that enters the log is seen
   * here.
   */
  private observeStamps(entries: readonly LogEntry[]): void {
    const times = newestTimes(entries);
    if (times !== undefined) this.clusterClock.observe(times.clusterTimeMs, times.wallTimeMs);
  }

  private armTick(): void {
    this.tickTimer = this.options.env.timers.set(this.tickTimerMs, () => {
      if (this.halted) return;
      this.armTick();
      this.tick();
    });
  }

  private tick(): void {
    this.clusterClock.advance();
    this.diskSpace.check();
    if (this.raft.role === 'leader' && this.diskSpace.claimHandOver()) this.handOverForRoom();
    this.expiry.check();
    this.retention.check();
    this.catchUp?.check();
  }

  /** Its disk is nearly full: another member, which may have room, is to lead. */
  private handOverForRoom(): void {
    if (this.options.formation.members.length === 1) return;
    this.options.env.report({ kind: 'handsOverForRoom' });
    this.loop.step({ kind: 'transferLeadership' });
  }

  private haltProtocol(): void {
    if (this.halted) return;
    this.halted = true;
    this.loop.halt();
    this.reads.halt();
    this.expiry.halt();
    this.sender.close();
    if (this.tickTimer !== undefined) this.options.env.timers.clear(this.tickTimer);
  }
}
