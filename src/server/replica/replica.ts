// A member's copy of the replicated state: the core with its loop, log, state machine, writes and reads,
// wired together. A replica has one store and one log as long as it lives; when those are replaced, another
// replica takes its place (server/life/life.ts). What is here is wiring; every rule lives in the part it
// belongs to.

import type { Entropy, NodeId, TimerHandle } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { ClientCommand } from '../../kv/commands.js';
import type { Contradiction } from '../../raft/io.js';
import type { Message } from '../../raft/messages.js';
import { Raft } from '../../raft/raft.js';
import type { HardState, LogEntry, RecoveredState } from '../../raft/types.js';
import type { StateHashFrame } from '../../wire/peers/frames.js';
import type { SnapshotCursor, SnapshotResult } from '../../wire/snapshots/frames.js';
import { Applier } from './applier.js';
import { CatchUp, catchUpRequestIds } from './catch-up.js';
import type { Caller } from '../front/caller.js';
import type { RequestFrame } from '../front/clients.js';
import { ClusterClock } from './cluster-clock.js';
import type { ReplicaContext, ReplicaSurroundings } from './context.js';
import { FreeSpace } from '../space/free-space.js';
import { checkPayloads, newestTimes } from './entry-checks.js';
import { FormatRaise, levelOfState } from './format-raise.js';
import { HashComparison, type HashDifference } from './hash-comparison.js';
import { historyError, stateError } from './divergence.js';
import { HandOver } from './hand-over.js';
import { LogRetention } from '../space/log-retention.js';
import { Readiness } from './readiness.js';
import { RaftLoop, type Leadership, type LoopSink } from './loop.js';
import { refuseByLevel } from '../front/level-check.js';
import { Proposals } from '../front/proposals.js';
import { Reads } from '../front/reads.js';
import { Requests } from '../front/requests.js';
import { Statuses } from '../front/statuses.js';
import { Deadlines } from './deadlines.js';
import { SnapshotSender } from '../snapshots/sender.js';
import { StoreWriter } from './store-writer.js';
import { Vigil } from './vigil.js';

export interface ReplicaOptions extends ReplicaSurroundings {
  readonly recovered: RecoveredState;
  /** The disk was damaged: does not vote until `caughtUp`. */
  readonly isCatchingUp: boolean;
  /** The log again holds everything that it may have acknowledged: makes that durable before it returns. */
  caughtUp(): void;
}

export class Replica implements LoopSink {
  readonly raft: Raft;
  readonly reads: Reads;
  readonly proposals: Proposals;
  readonly sender: SnapshotSender;
  readonly readiness: Readiness;
  readonly vigil: Vigil;
  private readonly context: ReplicaContext;
  private readonly loop: RaftLoop;
  private readonly applier: Applier;
  private readonly writer: StoreWriter;
  private readonly statuses: Statuses;
  private readonly requests: Requests;
  private readonly clusterClock: ClusterClock;
  private tickTimer: TimerHandle | undefined;
  private readonly deadlines: Deadlines;
  private readonly formatRaise: FormatRaise;
  private readonly retention: LogRetention;
  private readonly hashes: HashComparison;
  private readonly catchUp: CatchUp | undefined;
  private readonly freeSpace: FreeSpace;
  private handingOver: HandOver | undefined;
  private halted = false;

  constructor(options: ReplicaOptions) {
    const { env, config, stateMachine } = options;
    const { clock, timers } = env;
    this.raft = createRaft(options, randomUint32(env.entropy));
    this.loop = new RaftLoop({
      raft: this.raft,
      wal: options.wal,
      clock,
      timers,
      sink: this,
      peers: options.peers,
      lateTimerMs: config.raft.heartbeatIntervalMs / 2,
    });
    this.context = {
      ...options,
      raft: this.raft,
      loop: this.loop,
      get formatLevel() {
        return levelOfState(options.formation, stateMachine);
      },
    };
    const { context } = this;
    this.clusterClock = new ClusterClock(clock, config.raft.electionTimeoutMsMin / 2);
    this.clusterClock.observe(stateMachine.clusterTimeMs, stateMachine.wallTimeMs);
    this.observeStamps(options.recovered.log.recentEntries);
    this.proposals = new Proposals(config.limits);
    this.freeSpace = new FreeSpace(env, options.wal, config.wal);
    this.writer = new StoreWriter(context, {
      mayFreeze: () => !this.applier.isMidEntry,
      onProgress: () => this.applier.resume(),
    });
    this.applier = this.createApplier();
    this.reads = this.createReads();
    this.statuses = new Statuses(context);
    this.vigil = new Vigil(context, () => this.notifyLeader());
    this.readiness = new Readiness(context, randomUint32(env.entropy) * 65_536);
    this.requests = this.createRequests();
    this.formatRaise = new FormatRaise(context, this.clusterClock);
    this.deadlines = new Deadlines(context, this.clusterClock);
    this.sender = this.createSender();
    this.retention = new LogRetention(context, this.sender);
    this.hashes = this.createHashComparison();
    this.catchUp = options.isCatchingUp ? this.createCatchUp(() => options.caughtUp()) : undefined;
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

  /** What this replica has promised; of use once it is closed. */
  get promises(): HardState {
    const { currentTerm, votedFor, commitIndex } = this.raft;
    return { currentTerm, votedFor, commitIndex };
  }

  get pendingRequests(): { readonly writes: number; readonly writeBytes: number; readonly reads: number } {
    const { pendingCommands: writes, pendingBytes: writeBytes } = this.proposals;
    return { writes, writeBytes, reads: this.reads.pendingReads };
  }

  /**
   * Throws, with nothing changed: `PROTOCOL` for a message that no member following the rules sends,
   * `FORMAT` for entries that this software cannot read.
   */
  receive(message: Message): void {
    // What an earlier term brings is not appended, and says nothing of this cluster any more.
    const mayAppend = message.kind === 'appendEntries' && message.term >= this.raft.currentTerm;
    if (mayAppend) checkPayloads(message, this.context.software);
    this.loop.step({ kind: 'message', message });
  }

  peerUp(peer: NodeId): void {
    this.hashes.peerUp(peer);
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

  receiveStateHash(peer: NodeId, frame: StateHashFrame): void {
    if (!this.halted) this.hashes.receive(peer, frame);
  }

  /** Members that do not hold the same, as far as this one has heard. */
  get hashDifference(): HashDifference | undefined {
    return this.hashes.difference;
  }

  /** An answer to a snapshot that this node sends. Throws `PROTOCOL` for one that no receiver gives. */
  receiveSnapshot(peer: NodeId, frame: SnapshotCursor | SnapshotResult): void {
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
    this.statuses.flush();
    this.requests.flush();
  }

  /**
   * Hands leadership over if this node has it (§3.10), then calls `done`; also when nobody takes it in
   * time.
   */
  handOver(done: () => void): void {
    if (this.raft.role !== 'leader' || this.context.formation.members.length === 1) {
      done();
      return;
    }
    const { electionTimeoutMsMax, diskHungMs } = this.context.config.raft;
    const disksTakeMs = 4 * Math.min(this.raft.slowestSyncMs, diskHungMs);
    const patienceMs = 2 * electionTimeoutMsMax + disksTakeMs;
    this.handingOver = new HandOver(this.context.env.timers, patienceMs, done);
    this.loop.step({ kind: 'transferLeadership' });
  }

  /** Stops taking part, writes what was applied to the store, closes the log, then calls `done`. */
  close(done: (error: Error | undefined) => void): void {
    this.haltProtocol();
    this.applier.settle(() => this.writer.drain(() => this.context.wal.close(done)));
  }

  /** Stops at once: the disk is left as it is. */
  halt(): void {
    this.haltProtocol();
    this.applier.halt();
    this.writer.halt();
  }

  // ---- LoopSink: called while a step is carried out

  appended(entries: readonly LogEntry[]): void {
    this.observeStamps(entries);
  }

  commit(entries: readonly LogEntry[]): void {
    this.applier.enqueue(entries);
  }

  confirmReads(reads: Parameters<Reads['confirm']>[0]): void {
    this.catchUp?.confirm(reads);
    this.readiness.confirm(reads);
    this.reads.confirm(reads.filter(({ requestId }) => requestId < catchUpRequestIds));
  }

  failReads(requestIds: readonly number[]): void {
    this.catchUp?.fail(requestIds);
    this.readiness.fail(requestIds);
    this.reads.fail(requestIds.filter((requestId) => requestId < catchUpRequestIds));
  }

  sendSnapshots(peers: readonly NodeId[]): void {
    for (const peer of peers) this.sender.start(peer);
  }

  logDamaged(error: Error): void {
    this.context.fail(error);
  }

  contradicted(contradiction: Contradiction): void {
    this.context.env.report({ kind: 'historiesDiffer', contradiction });
    if (contradiction.memberId === this.context.nodeId) this.context.fail(historyError(contradiction));
  }

  leadershipChanged(now: Leadership, before: Leadership): void {
    const { leaderId, term, isLeader } = now;
    if (isLeader) this.clusterClock.startLeading();
    if (before.isLeader && (!now.isLeader || now.term !== before.term)) {
      if (!now.isLeader) this.clusterClock.stopLeading();
      this.deadlines.leadershipEnded();
      this.formatRaise.leadershipEnded();
      if (!now.isLeader) this.sender.cancelAll();
      this.proposals.dropAll((write, sent) => this.requests.answerLostLeadership(write, sent));
      this.handingOver?.leadershipEnded();
    }
    if (term !== before.term && this.raft.role === 'candidate') {
      this.context.env.report({ kind: 'electionBegun', term });
    }
    if (now.leaderId !== before.leaderId) {
      this.context.env.report({ kind: 'leaderChanged', leaderId, term, isLeader });
    }
    this.notifyLeader();
  }

  logIdle(): void {
    if (this.proposals.hasGathered) this.context.wake();
  }

  // ---- wiring

  private createApplier(): Applier {
    return new Applier(this.context, {
      proposals: this.proposals,
      mustWait: () => this.writer.isBehind,
      applied: (index, term, results) => {
        this.proposals.applied(index, term, results, (write, result) =>
          this.requests.answerWrite(write, result),
        );
        this.formatRaise.applied(index, term);
      },
      reached: (index) => {
        this.reads.reached(index);
        this.readiness.reached(index);
        this.writer.noteApplied();
        this.loop.step({ kind: 'applied', index });
        this.hashes.applied(index);
      },
    });
  }

  private createHashComparison(): HashComparison {
    const { context, raft } = this;
    const { nodeId, env, formation, stateMachine, peers } = context;
    return new HashComparison({
      nodeId,
      voters: formation.members.map((member) => member.nodeId),
      nowMs: () => env.clock.nowMs(),
      isLeader: () => raft.role === 'leader',
      appliedIndex: () => stateMachine.appliedIndex,
      formatLevel: () => stateMachine.formatLevel,
      stateHashAt: (index) => stateMachine.stateHashAt(index),
      send: (peer, frame) => peers.sendStateHash(peer, frame),
      differ: (difference) => env.report({ kind: 'stateHashesDiffer', difference }),
      agree: (index) => env.report({ kind: 'stateHashesAgree', index }),
      diverged: (difference) => {
        const error = stateError(nodeId, difference);
        this.handOver(() => {
          // It answers nothing any more, but what it said of its hash must arrive: the others know why by it.
          this.haltProtocol();
          env.timers.set(context.config.raft.heartbeatIntervalMs, () => context.fail(error));
        });
      },
    });
  }

  private createCatchUp(caughtUp: () => void): CatchUp {
    return new CatchUp(this.context, randomUint32(this.context.env.entropy) * 65_536, caughtUp);
  }

  private createSender(): SnapshotSender {
    const { env, store, stateMachine, config, raft, loop, peers } = this.context;
    const { clock, timers, report } = env;
    return new SnapshotSender({
      clock,
      timers,
      report,
      firstSendingId: randomUint32(env.entropy),
      // What the receiver needs after it must still be in the log when it begins.
      viewEntriesMax: Math.max(1, Math.floor(config.snapshot.logEntriesMax / 2)),
      chunkBytesMax: config.snapshot.chunkBytes,
      openView: () => store.openView(),
      durableAppliedIndex: () => stateMachine.durableAppliedIndex,
      matchIndexOf: (peer) => raft.progress().find((progress) => progress.peer === peer)?.matchIndex ?? 0,
      send: (peer, frame) => peers.sendSnapshot(peer, frame),
      damaged: (error) => this.context.fail(error),
      ended: (peer, installed) => loop.step({ kind: 'snapshotEnded', peer, installed }),
    });
  }

  private createReads(): Reads {
    const { env, config, stateMachine } = this.context;
    return new Reads({
      stateMachine,
      clock: env.clock,
      timers: env.timers,
      pendingReadsMax: config.limits.pendingReadsMax,
      sliceMs: config.sliceMs,
      firstRequestId: randomUint32(env.entropy) * 65_536,
      requestReadIndex: (requestId) => this.loop.step({ kind: 'readIndex', requestId }),
      wake: () => this.context.wake(),
    });
  }

  private createRequests(): Requests {
    return new Requests({
      proposals: this.proposals,
      reads: this.reads,
      refuseWrite: (command) => this.refuseWrite(command),
      clock: this.context.env.clock,
      statuses: this.statuses,
      raiseFormat: (caller, frame) => this.formatRaise.request(caller, frame),
      damaged: (error) => this.context.fail(error),
      wake: () => this.context.wake(),
    });
  }

  private propose(): void {
    const { formatLevel } = this.context;
    const batches = this.proposals.takeBatches(formatLevel, () => this.clusterClock.stamp());
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
    const { stateMachine, software, formatLevel } = this.context;
    // What was committed before its term, a leader has applied once it has applied an entry of that term.
    const isNewest = stateMachine.appliedTerm === this.raft.currentTerm;
    return refuseByLevel(command, formatLevel, isNewest, software) ?? this.freeSpace.refuse(command);
  }

  private notLeader(): KvorumError {
    const { leaderId } = this.raft;
    const who =
      leaderId === undefined || this.raft.isTransferring
        ? `no leader is known yet (${this.vigil.noLeaderWords()})`
        : `node ${leaderId} leads`;
    return new KvorumError('NOT_LEADER', `node ${this.context.nodeId} does not lead; ${who}`);
  }

  private notifyLeader(): void {
    const { leaderId, currentTerm: term } = this.raft;
    const why = leaderId === undefined ? this.vigil.noLeaderWords() : '';
    const { clusterTimeMs } = this;
    this.context.clients.notifyLeader({ kind: 'leader', leaderId, term, clusterTimeMs, why });
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
    const { env, config } = this.context;
    this.tickTimer = env.timers.set(config.raft.heartbeatIntervalMs, () => {
      if (this.halted) return;
      this.armTick();
      this.tick();
    });
  }

  private tick(): void {
    this.clusterClock.advance();
    this.freeSpace.check();
    if (this.raft.role === 'leader' && this.freeSpace.claimHandOver()) this.handOverForRoom();
    this.deadlines.check();
    this.retention.check();
    this.catchUp?.check();
    this.hashes.tick();
    this.vigil.check();
  }

  /** Its disk is nearly full: another member, which may have room, is to lead. */
  private handOverForRoom(): void {
    if (this.context.formation.members.length === 1) return;
    this.context.env.report({ kind: 'handsOverForRoom' });
    this.loop.step({ kind: 'transferLeadership' });
  }

  private haltProtocol(): void {
    if (this.halted) return;
    this.halted = true;
    this.loop.halt();
    this.reads.halt();
    this.readiness.halt();
    this.deadlines.halt();
    this.sender.close();
    if (this.tickTimer !== undefined) this.context.env.timers.clear(this.tickTimer);
  }
}

function createRaft(
  { env, nodeId, config, formation, recovered, stateMachine, isCatchingUp }: ReplicaOptions,
  seed: number,
): Raft {
  return new Raft({
    nodeId,
    config: config.raft,
    configuration: { voters: formation.members.map((member) => member.nodeId), learners: [] },
    recovered,
    appliedIndex: stateMachine.appliedIndex,
    isCatchingUp,
    seed,
    now: env.clock.nowMs(),
  });
}

function randomUint32(entropy: Entropy): number {
  const bytes = entropy.bytes(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}
