// What must hold between members, checked after every step by someone who sees all of them: Figure 3.2
// (Election Safety, Log Matching, Leader Completeness, State Machine Safety), that promises are on disk when
// they leave, and that no read is answered from before a write that was known to be committed when it was
// asked.

import { expect } from 'vitest';
import type { Message } from '../../src/raft/messages.js';
import type { Raft } from '../../src/raft/raft.js';
import type { LogEntry, LogIndex, NodeId, Term } from '../../src/raft/types.js';
import type { VirtualDisk } from './virtual-disk.js';

export class SafetyChecker {
  /** A disk forgot what it promised: nothing can be demanded. */
  isBlind = false;
  private readonly leaders = new Map<Term, NodeId>();
  /**
   * `index/term` → the term before it and the payload: equal entries have equal predecessors, by induction.
   */
  private readonly entries = new Map<string, { previousTerm: Term; payload: string }>();
  private readonly committedTerms: Term[] = [0];
  /** The term of whoever first knew it: that of the leader that committed it. */
  private readonly committedIn: Term[] = [0];
  private readonly committedPayloads: (string | undefined)[] = [''];
  private readonly votes = new Map<string, NodeId>();
  private readonly readFloors = new Map<string, LogIndex>();

  /** The largest index that any member ever knew to be committed. */
  get committedIndex(): LogIndex {
    return this.committedTerms.length - 1;
  }

  /** Entries that were committed before the test begins, from the first one on. */
  notePreset(entries: readonly LogEntry[]): void {
    for (const { index, term, payload } of entries) {
      this.committedTerms[index] = term;
      this.committedIn[index] = term;
      this.committedPayloads[index] = Buffer.from(payload).toString('latin1');
    }
  }

  noteRole(raft: Raft): void {
    if (raft.role !== 'leader') return;
    const known = this.leaders.get(raft.currentTerm);
    if (known === raft.nodeId) return;
    if (known !== undefined)
      this.fail(`Election Safety: ${known} and ${raft.nodeId} lead term ${raft.currentTerm}`);
    this.leaders.set(raft.currentTerm, raft.nodeId);
    this.noteBase(raft);
    for (let index = raft.baseIndex + 1; index <= this.committedIndex; index++) {
      if (raft.termAt(index) === this.committedTerms[index]) continue;
      // Who wins late, with votes from before, may lack what leaders of later terms have committed.
      if ((this.committedIn[index] as Term) > raft.currentTerm) continue;
      this.fail(
        `Leader Completeness: ${raft.nodeId} leads term ${raft.currentTerm} without committed entry ${index}`,
      );
    }
  }

  /** The entry before the log's first one was committed, with this term. */
  noteBase(raft: Raft): void {
    const { nodeId, baseIndex, baseTerm } = raft;
    if (this.committedTerms[baseIndex] === baseTerm) return;
    this.fail(`the log of ${nodeId} begins after ${baseIndex}/${baseTerm}, which was never committed`);
  }

  /** What a leader believes of the others is on their disks, but on those that are in a later term. */
  noteMatches(raft: Raft, diskOf: (nodeId: NodeId) => VirtualDisk | undefined): void {
    for (const { peer, matchIndex } of raft.progress()) {
      const disk = diskOf(peer);
      if (disk === undefined || disk.hardState.currentTerm > raft.currentTerm) continue;
      const what = `${raft.nodeId} believes that ${peer} has entry ${matchIndex}`;
      if (disk.lastIndex < matchIndex) this.fail(`${what}; its disk ends at ${disk.lastIndex}`);
      if (matchIndex < disk.baseIndex || matchIndex < raft.baseIndex) continue;
      if (disk.termAt(matchIndex) !== raft.termAt(matchIndex)) this.fail(`${what}; it has another one there`);
    }
  }

  noteAppended(raft: Raft, entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      const key = `${entry.index}/${entry.term}`;
      const previousTerm = raft.termAt(entry.index - 1) ?? 0;
      const payload = Buffer.from(entry.payload).toString('latin1');
      const known = this.entries.get(key);
      if (known === undefined) this.entries.set(key, { previousTerm, payload });
      else if (known.previousTerm !== previousTerm || known.payload !== payload) {
        this.fail(`Log Matching: ${raft.nodeId} has another entry ${key}`);
      }
    }
  }

  noteCommitIndex(raft: Raft, before: LogIndex): void {
    for (let index = before + 1; index <= raft.commitIndex; index++) {
      const term = raft.termAt(index) ?? 0;
      if (term === 0) this.fail(`${raft.nodeId} committed ${index} without having it`);
      const known = this.committedTerms[index];
      if (known === undefined) {
        this.committedTerms[index] = term;
        this.committedIn[index] = raft.currentTerm;
      }
      if (known !== undefined && known !== term)
        this.fail(`State Machine Safety: ${raft.nodeId} committed ${index}/${term}, not ${known}`);
    }
  }

  noteApplied(nodeId: NodeId, entry: LogEntry): void {
    const payload = Buffer.from(entry.payload).toString('latin1');
    const known = (this.committedPayloads[entry.index] ??= payload);
    if (known !== payload || this.committedTerms[entry.index] !== entry.term) {
      this.fail(`State Machine Safety: ${nodeId} applied another entry at ${entry.index}`);
    }
  }

  /** A message leaves: what it promises is in the durable image. */
  noteSent(message: Message, disk: VirtualDisk): void {
    const { hardState, lastIndex } = disk;
    if (message.kind === 'requestVote') this.noteVote(message.from, message.term, message.from, disk);
    if (message.kind === 'requestVoteResult' && message.voteGranted) {
      this.noteVote(message.from, message.term, message.to, disk);
    }
    if (message.kind === 'appendEntriesResult' && message.success && lastIndex < message.matchIndex) {
      this.fail(
        `durable ack: ${message.from} acknowledged ${message.matchIndex}, its disk ends at ${lastIndex}`,
      );
    }
    const speaksOfTerm = message.kind !== 'preVote' && message.kind !== 'preVoteResult';
    if (speaksOfTerm && hardState.currentTerm < message.term) {
      this.fail(
        `durable term: ${message.from} speaks in ${message.term}, its disk knows ${hardState.currentTerm}`,
      );
    }
  }

  noteReadAsked(nodeId: NodeId, requestId: number): void {
    this.readFloors.set(`${nodeId} ${requestId}`, this.committedIndex);
  }

  noteReadAnswered(nodeId: NodeId, requestId: number, readIndex: LogIndex): void {
    const floor = this.readFloors.get(`${nodeId} ${requestId}`);
    if (floor === undefined)
      this.fail(`${nodeId} answered read ${requestId}, which was not asked or was answered`);
    else if (readIndex < floor)
      this.fail(`stale read: ${nodeId} reads at ${readIndex}; ${floor} was committed before it asked`);
    this.readFloors.delete(`${nodeId} ${requestId}`);
  }

  noteReadFailed(nodeId: NodeId, requestId: number): void {
    if (!this.readFloors.delete(`${nodeId} ${requestId}`))
      this.fail(`${nodeId} failed read ${requestId}, not open`);
  }

  private noteVote(voter: NodeId, term: Term, candidate: NodeId, disk: VirtualDisk): void {
    const { currentTerm, votedFor } = disk.hardState;
    const isDurable = currentTerm > term || (currentTerm === term && votedFor === candidate);
    if (!isDurable)
      this.fail(`durable vote: ${voter} voted for ${candidate} in ${term}, its disk does not say so`);
    const known = this.votes.get(`${voter} ${term}`);
    if (known !== undefined && known !== candidate)
      this.fail(`${voter} voted for ${known} and ${candidate} in ${term}`);
    this.votes.set(`${voter} ${term}`, candidate);
  }

  private fail(rule: string): void {
    if (!this.isBlind) expect.fail(rule);
  }
}
