// One member of the consensus group. `step` takes one input and returns what is to be done about it; io.ts is
// the contract of both. Synchronous, without clock, IO or any randomness but the seed's: the same inputs give
// the same outputs, always. The rules are in the files of their concerns; here they meet.

import { assert, assertNever } from '../base/assert.js';
import { Prng } from '../base/prng.js';
import { ApplyQueue } from './apply-queue.js';
import { handOutCommitted, noteApplied, receiveEntriesToApply } from './apply.js';
import type { RaftConfig } from './config.js';
import { askAgain, countOwnVote, electionTimeout, noteGrantDurable, noteLinkDown } from './election.js';
import { leaderTimeout, openReadRound } from './heartbeat.js';
import type { EntryReader, Input, Output, Persist } from './io.js';
import { Log } from './log.js';
import { OutputCollector } from './output.js';
import type { ProgressMode } from './progress.js';
import { peersOf } from './quorum.js';
import { readIndex } from './reads.js';
import { Refusals, type VoterAnswer } from './refusals.js';
import { receive } from './receive.js';
import { advanceCommitIndex, propose, receiveEntriesToSend, sendAppends } from './replication.js';
import { canCampaign, leaderIdOf, newElectionDeadlineMs } from './roles.js';
import { resetPeer, snapshotEnded, truncatePrefix } from './snapshot.js';
import type { RaftState, Role } from './state.js';
import { startTransfer } from './transfer.js';
import type { Configuration, LogEntry, LogIndex, NodeId, RecoveredState, Term } from './types.js';
import { UnitQueue } from './unit-queue.js';

export interface RaftOptions {
  readonly nodeId: NodeId;
  readonly config: RaftConfig;
  /** At least one voter. A node that is not in it follows and answers, and never campaigns. */
  readonly configuration: Configuration;
  readonly recovered: RecoveredState;
  /** What the state machine holds already; in the recovered baseIndex .. lastIndex. */
  readonly appliedIndex: LogIndex;
  /**
   * The log may have lost entries that this member acknowledged (its disk was damaged): it neither votes nor
   * stands for election until `caughtUp`. Default false.
   */
  readonly isCatchingUp?: boolean;
  /** Of this process alone: members with equal seeds split their votes. */
  readonly seed: number;
  /** Monotonic ms; no input is earlier. */
  readonly now: number;
}

/** What a leader knows of one follower, for status and metrics. */
export interface PeerProgress {
  readonly peer: NodeId;
  readonly mode: ProgressMode;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  /** How often it has lost what it acknowledged (`peerReset`); only with that does matchIndex go back. */
  readonly resetCount: number;
  readonly inFlightMessages: number;
  readonly inFlightBytes: number;
  /** Time of the last message from it in this term, ms in the core's time. */
  readonly heardMs: number;
  /** From a heartbeat to its answer, ms, smoothed; `undefined` before the first. */
  readonly roundTripMs?: number | undefined;
}

export class Raft {
  private readonly state: RaftState;

  /**
   * Starts as a follower. Feed `timeout` once after it to get what is committed and not yet applied; else it
   * comes with the first output. Throws `AssertionError` when what was recovered contradicts itself.
   */
  constructor(options: RaftOptions) {
    const { nodeId, config, configuration, recovered, appliedIndex, now } = options;
    const log = new Log(recovered.log);
    assert(configuration.voters.length > 0, 'a configuration needs a voter');
    assert(appliedIndex <= log.lastIndex, `applied ${appliedIndex} is beyond the log's end ${log.lastIndex}`);
    assert(
      appliedIndex >= log.baseIndex,
      `applied ${appliedIndex} is before the log's start ${log.baseIndex}`,
    );
    assert(
      log.lastTerm <= recovered.hardState.currentTerm,
      'the log has entries of a term that was never recorded',
    );
    const role: Role = {
      name: 'follower',
      leaderId: undefined,
      leaderHeardMs: -Infinity,
      isLeaderLinkDown: false,
      verifiedIndex: 0,
      electionDeadlineMs: now,
      grantSequence: undefined,
      waitingReads: [],
    };
    // Whatever was applied was committed, and so was what the log begins after; the recorded commit index is
    // a lower bound, and may be of entries that were never written when it was recorded with them.
    const committed = Math.max(recovered.hardState.commitIndex, appliedIndex, log.baseIndex);
    const commitIndex = Math.min(log.lastIndex, committed);
    this.state = {
      nodeId,
      config,
      configuration,
      prng: new Prng(options.seed),
      log,
      units: new UnitQueue(recovered.hardState.currentTerm),
      apply: new ApplyQueue(appliedIndex),
      output: new OutputCollector(),
      peerReads: new Set(),
      refusals: new Refusals(),
      now,
      currentTerm: recovered.hardState.currentTerm,
      votedFor: recovered.hardState.votedFor,
      isCatchingUp: options.isCatchingUp ?? false,
      hardStateChanged: false,
      commitIndex,
      commitIndexPutOut: Math.min(commitIndex, recovered.hardState.commitIndex),
      role,
    };
    // A member that is alone waits for nobody.
    const isAlone = canCampaign(this.state) && peersOf(configuration, nodeId).length === 0;
    if (!isAlone) role.electionDeadlineMs = newElectionDeadlineMs(this.state);
    log.evict(config.entryCacheBytesMax);
  }

  /**
   * Processes one input, wholly. Throws `PROTOCOL` for a message that breaks the protocol: nothing has
   * changed then, and the link it came from should be closed. Throws `AssertionError` when kvorum is broken:
   * stop the node.
   */
  step(input: Input): Output {
    const { state } = this;
    assert(input.now >= state.now, `the time went back from ${state.now} to ${input.now}`);
    state.now = input.now;
    switch (input.kind) {
      case 'message':
        receive(state, input.message);
        break;
      case 'timeout':
        this.timeout(input.isLate ?? false);
        break;
      case 'propose':
        state.output.proposal = propose(state, input.proposals);
        break;
      case 'persisted':
        this.persisted({ term: input.term, index: input.index, sequence: input.sequence });
        break;
      case 'applied':
        noteApplied(state, input.index);
        break;
      case 'entriesRead':
        this.entriesRead(input.reader, input.entries);
        break;
      case 'readIndex':
        readIndex(state, input.requestId);
        break;
      case 'transferLeadership':
        startTransfer(state, input.to);
        break;
      case 'peerDown':
        this.peerDown(input.peer);
        break;
      case 'peerUp':
        this.peerUp(input.peer);
        break;
      case 'truncatePrefix':
        truncatePrefix(state, input.index);
        break;
      case 'snapshotEnded':
        snapshotEnded(state, input.peer, input.installed);
        break;
      case 'peerReset':
        resetPeer(state, input.peer);
        break;
      case 'caughtUp':
        state.isCatchingUp = false;
        break;
      default:
        assertNever(input);
    }
    return this.settle();
  }

  get nodeId(): NodeId {
    return this.state.nodeId;
  }

  get role(): Role['name'] {
    return this.state.role.name;
  }

  /** Of currentTerm, as far as this node knows; itself when it leads. */
  get leaderId(): NodeId | undefined {
    return leaderIdOf(this.state);
  }

  get currentTerm(): Term {
    return this.state.currentTerm;
  }

  get votedFor(): NodeId | undefined {
    return this.state.votedFor;
  }

  get commitIndex(): LogIndex {
    return this.state.commitIndex;
  }

  /** appliedIndex <= handedOutIndex <= commitIndex. */
  get appliedIndex(): LogIndex {
    return this.state.apply.appliedIndex;
  }

  /** The last entry that was in `committed`. */
  get handedOutIndex(): LogIndex {
    return this.state.apply.handedOutIndex;
  }

  /** Entries through here are not in the log any more; the state machine's store holds what they did. */
  get baseIndex(): LogIndex {
    return this.state.log.baseIndex;
  }

  /** Of the entry at baseIndex; 0 when the log begins at 1. */
  get baseTerm(): Term {
    return this.state.log.baseTerm;
  }

  get lastIndex(): LogIndex {
    return this.state.log.lastIndex;
  }

  get lastTerm(): Term {
    return this.state.log.lastTerm;
  }

  /** The last entry known to be on this node's disk. */
  get durableIndex(): LogIndex {
    return this.state.log.durableIndex;
  }

  /** Since when one unit has been with the disk, ms of the core's time; `undefined` when none is. */
  get diskBusySinceMs(): number | undefined {
    const { underWaySinceMs } = this.state.units;
    return underWaySinceMs === Infinity ? undefined : underWaySinceMs;
  }

  /** The longest that the disk took for a unit in the last 5 to 10 s, ms; 0 when it had nothing to do. */
  get slowestSyncMs(): number {
    return this.state.units.slowestSync.recentMs(this.state.now);
  }

  /** What the voter answered when it was asked for its vote last, since there was a leader; for people. */
  answerOf(peer: NodeId): VoterAnswer | undefined {
    return this.state.refusals.of(peer);
  }

  /** Payload bytes of entries in memory. */
  get cacheBytes(): number {
    return this.state.log.cacheBytes;
  }

  /** When the next timeout is due, as in the last output. Finite. */
  get deadlineMs(): number {
    const { role, apply } = this.state;
    if (role.name !== 'leader') return Math.min(role.electionDeadlineMs, apply.readAgainMs);
    const transferMs = role.transfer?.deadlineMs ?? Infinity;
    return Math.min(role.nextHeartbeatMs, role.commitNoticeMs, transferMs, apply.readAgainMs);
  }

  /** Whether this member neither votes nor stands for election, because its log may have lost entries. */
  get isCatchingUp(): boolean {
    return this.state.isCatchingUp;
  }

  /** Whether this leader hands its leadership over and takes no proposals meanwhile. */
  get isTransferring(): boolean {
    return this.state.role.name === 'leader' && this.state.role.transfer !== undefined;
  }

  /** The term of the entry at `index`; `undefined` when there is none. */
  termAt(index: LogIndex): Term | undefined {
    return this.state.log.termAt(index);
  }

  /** The entry at `index` if it is in memory. */
  entry(index: LogIndex): LogEntry | undefined {
    return this.state.log.entry(index);
  }

  /** A copy of what a leader knows of its followers; empty in other roles. */
  progress(): PeerProgress[] {
    const { role } = this.state;
    if (role.name !== 'leader') return [];
    return [...role.progress.values()].map((progress) => ({
      peer: progress.peer,
      mode: progress.mode,
      matchIndex: progress.matchIndex,
      nextIndex: progress.nextIndex,
      resetCount: progress.resetCount,
      inFlightMessages: progress.inFlight.count,
      inFlightBytes: progress.inFlight.bytes,
      heardMs: progress.heardMs,
      roundTripMs: progress.roundTrip.smoothedMs,
    }));
  }

  private timeout(isLate: boolean): void {
    const { state } = this;
    if (state.now >= state.apply.readAgainMs) state.apply.readAgainMs = Infinity;
    if (state.role.name === 'leader') leaderTimeout(state, state.role, isLate);
    else if (!isLate) electionTimeout(state, state.role);
  }

  private persisted(persist: Persist): void {
    const { state } = this;
    const coveredIndex = state.units.complete(persist, state.now);
    state.log.markDurable(coveredIndex);
    if (state.role.name === 'candidate') countOwnVote(state, state.role, persist.sequence);
    else if (state.role.name === 'follower') noteGrantDurable(state, state.role, persist.sequence);
    if (state.role.name === 'leader') advanceCommitIndex(state, state.role);
  }

  private entriesRead(reader: EntryReader, entries: readonly LogEntry[]): void {
    const { state } = this;
    if (reader.for === 'apply') {
      receiveEntriesToApply(state, entries);
      return;
    }
    state.peerReads.delete(reader.peer);
    if (state.role.name === 'leader') receiveEntriesToSend(state, state.role, reader.peer, entries);
  }

  /** What was in flight on an earlier link is lost. */
  private peerUp(peer: NodeId): void {
    const { role } = this.state;
    if (role.name === 'leader') role.progress.get(peer)?.becomeProbe();
    else if (role.name !== 'follower') askAgain(this.state, role, peer);
  }

  private peerDown(peer: NodeId): void {
    const { state } = this;
    state.refusals.forget(peer);
    if (state.role.name === 'leader') state.role.progress.get(peer)?.pause();
    else noteLinkDown(state, peer);
  }

  /** What follows from whatever the input changed, once for all of it; then the output. */
  private settle(): Output {
    const { state } = this;
    if (state.role.name === 'leader') {
      sendAppends(state, state.role);
      openReadRound(state, state.role);
    }
    handOutCommitted(state);
    state.log.evict(state.config.entryCacheBytesMax);
    return this.putOut();
  }

  private putOut(): Output {
    const { state } = this;
    const { output } = state;
    if (!state.hardStateChanged && !output.changesLog)
      return output.take(undefined, undefined, this.deadlineMs);
    const isHardStateNew = state.hardStateChanged || state.commitIndex > state.commitIndexPutOut;
    const hardState = {
      currentTerm: state.currentTerm,
      votedFor: state.votedFor,
      commitIndex: state.commitIndex,
    };
    state.hardStateChanged = false;
    state.commitIndexPutOut = state.commitIndex;
    const persist = state.units.put(state.currentTerm, state.log.lastIndex, state.now);
    return output.take(persist, isHardStateNew ? hardState : undefined, this.deadlineMs);
  }
}
