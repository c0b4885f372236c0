// Members on virtual disks and a virtual network, in one process, for the tests of the core. Nothing happens
// by itself: a test says what is delivered, what becomes durable and how time passes. Every step is checked
// against the invariants of one member and of all.

import type { RaftConfig } from '../../src/raft/config.js';
import { defaultRaftConfig } from '../../src/raft/config.js';
import { checkInvariants, snapshotOf } from '../../src/raft/invariants.js';
import type { EntryReader, Input, Output, ReadEntriesRequest } from '../../src/raft/io.js';
import type { Message } from '../../src/raft/messages.js';
import { Raft } from '../../src/raft/raft.js';
import { installedState } from '../../src/raft/snapshot.js';
import type { Configuration, LogEntry, LogIndex, NodeId, Term } from '../../src/raft/types.js';
import { SafetyChecker } from './safety-checker.js';
import { VirtualDisk } from './virtual-disk.js';

type Untimed<T> = T extends unknown ? Omit<T, 'now'> : never;
export type VirtualInput = Untimed<Input>;

/** A view of a member's state machine, to be sent to another one. */
export interface VirtualSnapshot {
  readonly index: LogIndex;
  readonly term: Term;
  /** The sender's currentTerm when it took the view. */
  readonly senderTerm: Term;
  readonly applied: readonly LogEntry[];
}

/** What `sendSnapshots` asked for and was not answered by `snapshotEnded` yet. */
export interface VirtualSending {
  readonly from: Raft;
  readonly to: NodeId;
  view: VirtualSnapshot | undefined;
}

export interface VirtualMember {
  readonly nodeId: NodeId;
  readonly disk: VirtualDisk;
  /** `undefined` while crashed or recovering. */
  raft: Raft | undefined;
  /** What its state machine holds; survives a crash. */
  applied: LogEntry[];
  /** Handed out, not applied. */
  toApply: LogEntry[];
  toRead: ReadEntriesRequest[];
  /** ReadIndex answers: requestId → readIndex, or 'failed'. */
  readonly reads: Map<number, LogIndex | 'failed'>;
  lastOutput: Output | undefined;
  /** Its log may have lost what it acknowledged: on disk, so that a restart does not forget it. */
  isCatchingUp: boolean;
  /** The log was lost: who has answered its hello, with the currentTerm or because it recovers too. */
  recovering: Map<NodeId, Term | 'recovering'> | undefined;
  /** The ReadIndex that it must have applied to vote again. */
  catchUpRead: number | undefined;
}

export interface ClusterOptions {
  readonly voters: readonly NodeId[];
  readonly learners?: readonly NodeId[];
  readonly config?: Partial<RaftConfig>;
  readonly seed?: number;
  /** Units wait for `persist` instead of being durable at once. */
  readonly slowDisks?: boolean;
  /** How many payloads recovery keeps in memory. Default all. */
  readonly recentMax?: number;
}

/** What the members start with: the terms of their logs, truncated through `baseIndex`, which is applied. */
export type PresetLogs = Readonly<
  Record<NodeId, { terms: Term[]; currentTerm: Term; commitIndex?: LogIndex; baseIndex?: LogIndex }>
>;

/** What the tests wait for; nothing in them depends on the product's defaults. */
const testTiming = {
  heartbeatIntervalMs: 50,
  electionTimeoutMsMin: 300,
  electionTimeoutMsMax: 600,
  diskHungMs: 300,
};

export class VirtualCluster {
  now = 1_000;
  readonly members = new Map<NodeId, VirtualMember>();
  readonly checker = new SafetyChecker();
  /** Sent and not delivered, oldest first. */
  network: Message[] = [];
  /** Called for each message that leaves; false drops it. */
  passes: (message: Message) => boolean = () => true;
  onStep: (member: VirtualMember, input: VirtualInput, output: Output) => void = () => {};
  slowDisks: boolean;
  /** A disk may have forgotten what it promised. Otherwise no step may say that two histories meet. */
  mayContradict = false;
  /** Sendings wait for the test instead of being done when all comes to rest. */
  slowSendings = false;
  sendings: VirtualSending[] = [];
  private readonly configuration: Configuration;
  private readonly config: RaftConfig;
  private readonly options: ClusterOptions;
  private starts = 0;

  constructor(options: ClusterOptions, preset: PresetLogs = {}) {
    this.options = options;
    this.slowDisks = options.slowDisks ?? false;
    this.config = { ...defaultRaftConfig, ...testTiming, ...options.config };
    this.configuration = { voters: options.voters, learners: options.learners ?? [] };
    for (const nodeId of [...options.voters, ...(options.learners ?? [])]) {
      const disk = new VirtualDisk();
      const logs = preset[nodeId];
      if (logs !== undefined) disk.preset(logs.terms, logs);
      const applied = disk.entries.slice(0, logs?.baseIndex ?? 0);
      this.checker.notePreset(applied);
      disk.truncatePrefix(applied.length);
      const member = {
        nodeId,
        disk,
        raft: undefined,
        applied,
        toApply: [],
        toRead: [],
        reads: new Map(),
      };
      const standing = { isCatchingUp: false, recovering: undefined, catchUpRead: undefined };
      this.members.set(nodeId, { ...member, ...standing, lastOutput: undefined });
      this.restart(nodeId);
    }
  }

  member(nodeId: NodeId): VirtualMember {
    const member = this.members.get(nodeId);
    if (member === undefined) throw new Error(`no member ${nodeId}`);
    return member;
  }

  raft(nodeId: NodeId): Raft {
    const { raft } = this.member(nodeId);
    if (raft === undefined) throw new Error(`${nodeId} is down`);
    return raft;
  }

  get running(): Raft[] {
    return [...this.members.values()].flatMap(({ raft }) => (raft === undefined ? [] : [raft]));
  }

  /** The leader of the highest term. */
  get leader(): Raft | undefined {
    const leaders = this.running.filter((raft) => raft.role === 'leader');
    return leaders.sort((a, b) => b.currentTerm - a.currentTerm)[0];
  }

  step(nodeId: NodeId, input: VirtualInput): Output {
    const member = this.member(nodeId);
    const raft = this.raft(nodeId);
    const before = snapshotOf(raft);
    if (input.kind === 'readIndex') this.checker.noteReadAsked(nodeId, input.requestId);
    const output = raft.step({ ...input, now: this.now } as Input);
    checkInvariants(before, snapshotOf(raft));
    if (output.contradiction !== undefined && !this.mayContradict) {
      throw new Error(`a contradiction that is none: ${JSON.stringify(output.contradiction)}`);
    }
    this.onStep(member, input, output);
    this.carryOut(member, output, before.commitIndex);
    return output;
  }

  /** The oldest unit under way becomes durable. False when there is none. */
  persist(nodeId: NodeId): boolean {
    const member = this.member(nodeId);
    const unit = member.disk.complete();
    if (unit === undefined) return false;
    for (const message of unit.messages) this.send(member, message);
    if (member.raft !== undefined) this.step(nodeId, { kind: 'persisted', ...unit.persist });
    return true;
  }

  /** The state machine applies up to `count` entries. */
  apply(nodeId: NodeId, count = Infinity): boolean {
    const member = this.member(nodeId);
    const entries = member.toApply.splice(0, count);
    const last = entries.at(-1);
    if (last === undefined) return false;
    for (const entry of entries) this.checker.noteApplied(nodeId, entry);
    member.applied.push(...entries);
    this.step(nodeId, { kind: 'applied', index: last.index });
    return true;
  }

  /** The disk answers the oldest `readEntries`. */
  answerRead(nodeId: NodeId): boolean {
    const member = this.member(nodeId);
    const request = member.toRead.shift();
    if (request === undefined) return false;
    const reader: EntryReader = request.reader;
    this.step(nodeId, { kind: 'entriesRead', reader, entries: member.disk.read(request) });
    return true;
  }

  /** Delivers the message at `position`; `keep` leaves a copy of it in the network. */
  deliver(position = 0, options: { keep?: boolean } = {}): Message | undefined {
    const message = this.network[position];
    if (message === undefined) return undefined;
    if (options.keep !== true) this.network.splice(position, 1);
    if (this.members.get(message.to)?.raft !== undefined) this.step(message.to, { kind: 'message', message });
    return message;
  }

  /** Delivers, persists, reads and applies until nothing is left to do at this moment. */
  stabilize(): void {
    for (let rounds = 0; rounds < 100_000; rounds++) {
      if (this.deliver() !== undefined) continue;
      const isBusy = [...this.members.values()].some(({ nodeId, raft }) => {
        if (raft === undefined) return false;
        return (!this.slowDisks && this.persist(nodeId)) || this.answerRead(nodeId) || this.apply(nodeId);
      });
      if (isBusy || (!this.slowSendings && this.finishSending(0) !== undefined)) continue;
      return;
    }
    throw new Error('the cluster does not come to rest');
  }

  /** Time passes for all; whose deadline passes is told. Stable at every moment. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds;
    this.stabilize();
    for (;;) {
      const next = Math.min(...this.running.map((raft) => raft.deadlineMs));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      for (const raft of this.running) {
        if (raft.deadlineMs <= this.now) this.step(raft.nodeId, { kind: 'timeout' });
      }
      this.stabilize();
    }
    this.now = end;
  }

  /** Time passes until this member's deadline, and only this one is told. */
  timeout(nodeId: NodeId): Output {
    this.now = Math.max(this.now, this.raft(nodeId).deadlineMs);
    return this.step(nodeId, { kind: 'timeout' });
  }

  /** Makes `nodeId` the leader, if the others let it. */
  elect(nodeId: NodeId): Raft {
    this.timeout(nodeId);
    this.stabilize();
    return this.raft(nodeId);
  }

  propose(nodeId: NodeId, ...payloads: string[]): Output {
    const proposals = payloads.map((text) => ({ kind: 'command' as const, payload: Buffer.from(text) }));
    return this.step(nodeId, { kind: 'propose', proposals });
  }

  crash(nodeId: NodeId): void {
    const member = this.member(nodeId);
    this.halt(member);
    // Answers to a process that is gone: the links between two processes end with either.
    this.network = this.network.filter(
      (message) => message.to !== nodeId || message.kind !== 'readIndexResult',
    );
  }

  restart(nodeId: NodeId): void {
    const member = this.member(nodeId);
    this.starts++;
    const raft = new Raft({
      nodeId,
      config: this.config,
      configuration: this.configuration,
      recovered: member.disk.recovered(this.options.recentMax ?? Infinity),
      appliedIndex: member.applied.length,
      isCatchingUp: member.isCatchingUp,
      seed: (this.options.seed ?? 1) * 1_000 + this.starts,
      now: this.now,
    });
    member.raft = raft;
    this.checker.noteAppended(raft, member.disk.entries);
    this.checker.noteCommitIndex(raft, raft.baseIndex);
    this.checker.noteBase(raft);
  }

  /**
   * The member's store holds everything through `index`: its log forgets that, on disk through `diskIndex`.
   */
  truncate(nodeId: NodeId, index: LogIndex, diskIndex = index): Output {
    const output = this.step(nodeId, { kind: 'truncatePrefix', index });
    this.member(nodeId).disk.truncatePrefix(diskIndex);
    return output;
  }

  /** What a member would send now. */
  view(nodeId: NodeId): VirtualSnapshot {
    const applied = [...this.member(nodeId).applied];
    const { currentTerm } = this.raft(nodeId);
    return { index: applied.length, term: applied.at(-1)?.term ?? 0, senderTerm: currentTerm, applied };
  }

  /**
   * A whole snapshot has arrived. `kept`: the log holds its last entry, or more is committed; `installed`:
   * log and state were replaced, in the same process, with its links; `undefined`: nobody is there.
   */
  receiveSnapshot(nodeId: NodeId, snapshot: VirtualSnapshot): 'kept' | 'installed' | undefined {
    const member = this.member(nodeId);
    const { raft } = member;
    if (raft === undefined) return undefined;
    const isKnown = raft.termAt(snapshot.index) === snapshot.term;
    if (isKnown || snapshot.index <= raft.commitIndex) return 'kept';
    const { currentTerm, votedFor, commitIndex } = raft;
    member.disk.replace(installedState({ currentTerm, votedFor, commitIndex }, snapshot));
    member.applied = [...snapshot.applied];
    this.halt(member);
    this.restart(nodeId);
    return 'installed';
  }

  /** The sending at `position` ends; `isLost`: the snapshot does not arrive. */
  finishSending(position: number, options: { isLost?: boolean } = {}): string | undefined {
    const [sending] = this.sendings.splice(position, 1);
    if (sending === undefined) return undefined;
    const { from, to } = sending;
    const snapshot = sending.view ?? this.view(from.nodeId);
    const result = options.isLost === true ? undefined : this.receiveSnapshot(to, snapshot);
    if (this.member(from.nodeId).raft === from) {
      this.step(from.nodeId, { kind: 'snapshotEnded', peer: to, installed: result !== undefined });
    }
    return result ?? 'lost';
  }

  /** The disk is damaged: the log is lost, and the store with it or not. The process ends, and its links. */
  damage(nodeId: NodeId, options: { keepsStore: boolean }): void {
    const member = this.member(nodeId);
    this.crash(nodeId);
    this.network = this.network.filter(({ from, to }) => from !== nodeId && to !== nodeId);
    if (!options.keepsStore) member.applied = [];
    member.isCatchingUp = false;
    member.recovering = new Map();
  }

  /** The recovering member opens its link to `peer`, which answers and learns what has happened. */
  hello(nodeId: NodeId, peer: NodeId): void {
    const { recovering } = this.member(nodeId);
    const other = this.member(peer);
    if (recovering === undefined || (other.raft === undefined && other.recovering === undefined)) return;
    this.network = this.network.filter(({ from, to }) => from !== peer || to !== nodeId);
    recovering.set(peer, other.raft?.currentTerm ?? 'recovering');
    if (other.raft !== undefined) this.step(peer, { kind: 'peerReset', peer: nodeId });
  }

  /** Takes part again once all others have answered, most of them with a term. */
  recover(nodeId: NodeId): boolean {
    const member = this.member(nodeId);
    const { recovering } = member;
    if (recovering === undefined || recovering.size < this.members.size - 1) return false;
    const terms = [...recovering].flatMap(([, term]) => (term === 'recovering' ? [] : [term]));
    const voters = [...recovering].filter(([peer, term]) => term !== 'recovering' && this.isVoter(peer));
    if (voters.length <= this.configuration.voters.length / 2) return false;
    const last = member.applied.at(-1);
    const base = { index: last?.index ?? 0, term: last?.term ?? 0 };
    const floor = Math.max(...terms);
    const { log } = installedState(member.disk.hardState, { ...base, senderTerm: floor });
    const hardState = { currentTerm: floor, votedFor: nodeId, commitIndex: base.index };
    member.disk.replace({ hardState, log });
    member.recovering = undefined;
    member.isCatchingUp = true;
    this.restart(nodeId);
    return true;
  }

  /** A member that catches up asks how far it must come, and votes again once it has come there. */
  catchUp(nodeId: NodeId, requestId: number): boolean {
    const member = this.member(nodeId);
    if (member.raft === undefined || !member.isCatchingUp) return false;
    const answer = member.catchUpRead === undefined ? 'failed' : member.reads.get(member.catchUpRead);
    if (answer === 'failed') {
      member.catchUpRead = requestId;
      this.step(nodeId, { kind: 'readIndex', requestId });
      return false;
    }
    if (answer === undefined || answer > member.applied.length) return false;
    member.isCatchingUp = false;
    this.step(nodeId, { kind: 'caughtUp' });
    return true;
  }

  isVoter(nodeId: NodeId): boolean {
    return this.configuration.voters.includes(nodeId);
  }

  /** The core ends; what it was about to do is not done. */
  private halt(member: VirtualMember): void {
    this.sendings = this.sendings.filter(({ from }) => from !== member.raft);
    member.raft = undefined;
    member.catchUpRead = undefined;
    member.disk.crash();
    member.toApply = [];
    member.toRead = [];
    member.reads.clear();
  }

  private carryOut(member: VirtualMember, output: Output, commitIndexBefore: LogIndex): void {
    const raft = this.raft(member.nodeId);
    const { checker } = this;
    member.lastOutput = output;
    checker.noteAppended(raft, output.entries);
    checker.noteRole(raft);
    checker.noteCommitIndex(raft, commitIndexBefore);
    for (const message of output.messages) this.send(member, message);
    for (const message of member.disk.put(output)) this.send(member, message);
    member.toApply.push(...output.committed);
    member.toRead.push(...output.readEntries);
    for (const to of output.sendSnapshots) this.sendings.push({ from: raft, to, view: undefined });
    checker.noteMatches(raft, (nodeId) => {
      const { disk, recovering } = this.member(nodeId);
      return recovering === undefined ? disk : undefined;
    });
    for (const { requestId, readIndex } of output.reads) {
      checker.noteReadAnswered(member.nodeId, requestId, readIndex);
      member.reads.set(requestId, readIndex);
    }
    for (const requestId of output.readsFailed) {
      checker.noteReadFailed(member.nodeId, requestId);
      member.reads.set(requestId, 'failed');
    }
  }

  private send(member: VirtualMember, message: Message): void {
    this.checker.noteSent(message, member.disk);
    if (this.passes(message)) this.network.push(message);
  }
}
