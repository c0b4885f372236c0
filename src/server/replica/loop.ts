// The loop around the core, and the one place where order matters: step → disk → messages → apply →
// answers, as the contract in raft/io.ts says. It never decides anything about consensus, and never sends a
// promise to a peer before what it promises is durable.

import { defined } from '../../base/assert.js';
import type { Clock, NodeId, TimerHandle, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { ConfirmedRead, Contradiction, Input, Output, ReadEntriesRequest } from '../../raft/io.js';
import type { Message } from '../../raft/messages.js';
import type { Raft } from '../../raft/raft.js';
import type { LogEntry, LogIndex, Term } from '../../raft/types.js';
import type { Wal } from '../../storage/wal/wal.js';

type Untimed<T> = T extends unknown ? Omit<T, 'now'> : never;

/** An input of the core; the loop adds the time. */
export type LoopInput = Untimed<Input>;

/** Who leads, as the core sees it. */
export interface Leadership {
  readonly leaderId: NodeId | undefined;
  readonly term: Term;
  readonly isLeader: boolean;
}

/** Where the core's output goes. None of these may call `step` before it returns. */
export interface LoopSink {
  appended(entries: readonly LogEntry[]): void;
  commit(entries: readonly LogEntry[]): void;
  confirmReads(reads: readonly ConfirmedRead[]): void;
  failReads(requestIds: readonly number[]): void;
  /** These peers need entries that the log does not hold any more. */
  sendSnapshots(peers: readonly NodeId[]): void;
  /** The log gave back other bytes than were written to it: the node must stop. */
  logDamaged(error: Error): void;
  /** A member's committed entry is not in the log of its leader: where it is this one, the node must stop. */
  contradicted(contradiction: Contradiction): void;
  leadershipChanged(now: Leadership, before: Leadership): void;
  /** The log has nothing under way any more. */
  logIdle(): void;
}

export interface LoopOptions {
  readonly raft: Raft;
  readonly wal: Wal;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly sink: LoopSink;
  /** Where messages to other members go; dropped when there is no link. */
  readonly peers: { send(message: Message): void };
  /** A timer later than this is believed only after received input was drained. */
  readonly lateTimerMs: number;
}

export class RaftLoop {
  readonly raft: Raft;
  private readonly wal: Wal;
  private readonly clock: Clock;
  private readonly timers: Timers;
  private readonly sink: LoopSink;
  private readonly peers: LoopOptions['peers'];
  private readonly lateTimerMs: number;
  /** One list per unit given to the log and not yet durable, oldest first: the messages that wait for it. */
  private readonly unitsInFlight: Message[][] = [];
  private leadership: Leadership;
  private timer: TimerHandle | undefined;
  private timerDueMs = Infinity;
  private halted = false;

  constructor(options: LoopOptions) {
    this.raft = options.raft;
    this.wal = options.wal;
    this.clock = options.clock;
    this.timers = options.timers;
    this.sink = options.sink;
    this.peers = options.peers;
    this.lateTimerMs = options.lateTimerMs;
    this.leadership = this.currentLeadership();
    this.arm(this.raft.deadlineMs);
  }

  /** The log is writing or syncing: what is proposed now waits for that to end anyway. */
  get isLogBusy(): boolean {
    return this.unitsInFlight.length > 0;
  }

  /**
   * Feeds one input to the core and carries out its output. Returns it for what the caller asked
   * (`proposal`).
   */
  step(input: LoopInput): Output | undefined {
    if (this.halted) return undefined;
    const output = this.raft.step({ ...input, now: this.clock.nowMs() } as Input);
    this.carryOut(output);
    return output;
  }

  /** Forgets the entries through `index`, which the store holds durably. */
  truncatePrefix(index: LogIndex): void {
    if (this.step({ kind: 'truncatePrefix', index }) === undefined) return;
    this.wal.noteCommitIndex(this.raft.commitIndex);
    this.wal.truncatePrefix(index);
  }

  /** Nothing is fed, sent or armed any more. What the disk has under way ends unheard. */
  halt(): void {
    this.halted = true;
    if (this.timer !== undefined) this.timers.clear(this.timer);
    this.timer = undefined;
  }

  private carryOut(output: Output): void {
    if (output.contradiction !== undefined) this.sink.contradicted(output.contradiction);
    if (this.halted) return;
    for (const message of output.messages) this.peers.send(message);
    this.persist(output);
    this.noteLeadership();
    if (output.entries.length > 0) this.sink.appended(output.entries);
    if (output.committed.length > 0) this.sink.commit(output.committed);
    for (const request of output.readEntries) this.readEntries(request);
    if (output.reads.length > 0) this.sink.confirmReads(output.reads);
    if (output.readsFailed.length > 0) this.sink.failReads(output.readsFailed);
    if (output.sendSnapshots.length > 0) this.sink.sendSnapshots(output.sendSnapshots);
    this.arm(output.deadlineMs);
  }

  private persist(output: Output): void {
    const { persist, messagesAfterPersist } = output;
    if (persist === undefined) {
      // "never before an earlier unit is durable": such a message may speak of what an earlier unit holds.
      const last = this.unitsInFlight.at(-1);
      if (last === undefined) for (const message of messagesAfterPersist) this.peers.send(message);
      else last.push(...messagesAfterPersist);
      return;
    }
    this.unitsInFlight.push([...messagesAfterPersist]);
    this.wal.noteCommitIndex(this.raft.commitIndex);
    this.wal.append(
      {
        ...(output.hardState === undefined ? {} : { hardState: output.hardState }),
        ...(output.truncateSuffix === undefined ? {} : { truncateSuffix: output.truncateSuffix }),
        entries: output.entries,
      },
      () => {
        const messages = defined(this.unitsInFlight.shift(), 'unit of the log under way');
        if (this.halted) return;
        // What was promised in a term that is over is of no use to anyone, and the log may have changed
        // since.
        for (const message of messages) {
          if (message.term >= this.raft.currentTerm) this.peers.send(message);
        }
        this.step({ kind: 'persisted', ...persist });
        if (this.unitsInFlight.length === 0) this.sink.logIdle();
      },
    );
  }

  private readEntries(request: ReadEntriesRequest): void {
    this.wal.readEntries(request, (error, entries) => {
      if (this.halted) return;
      // A read that fails is not a write that fails: the core asks again. Other bytes than were written are.
      if (KvorumError.is(error, 'CORRUPT')) {
        this.sink.logDamaged(error);
        return;
      }
      this.step({ kind: 'entriesRead', reader: request.reader, entries: error === undefined ? entries : [] });
    });
  }

  private noteLeadership(): void {
    const before = this.leadership;
    const { leaderId, currentTerm, role } = this.raft;
    const isLeader = role === 'leader';
    if (leaderId === before.leaderId && currentTerm === before.term && isLeader === before.isLeader) return;
    this.leadership = this.currentLeadership();
    this.sink.leadershipChanged(this.leadership, before);
  }

  private currentLeadership(): Leadership {
    const { leaderId, currentTerm, role } = this.raft;
    return { leaderId, term: currentTerm, isLeader: role === 'leader' };
  }

  /** Keeps one timer that is never later than the deadline; an earlier one finds out when it fires. */
  private arm(deadlineMs: number): void {
    if (this.halted || deadlineMs >= this.timerDueMs) return;
    if (this.timer !== undefined) this.timers.clear(this.timer);
    this.timerDueMs = deadlineMs;
    const delayMs = Math.max(0, deadlineMs - this.clock.nowMs());
    this.timer = this.timers.set(delayMs, () => this.onTimer(deadlineMs));
  }

  private onTimer(dueMs: number): void {
    this.timer = undefined;
    this.timerDueMs = Infinity;
    // After a stall the platform fires timers before it reads sockets: a heartbeat may be waiting there. An
    // election is started only when the input that had arrived by now did not move the deadline.
    if (this.clock.nowMs() - dueMs > this.lateTimerMs) {
      const wasLeader = this.raft.role === 'leader';
      // What is due of a leader leaves at once: its followers have waited long enough.
      if (wasLeader) this.step({ kind: 'timeout', isLate: true });
      this.timers.defer(() => this.timers.defer(() => this.believeTimer(wasLeader)));
      return;
    }
    this.believeTimer(false);
  }

  /** `isOwed`: what a late timer left undone is done, whenever the next one is due. */
  private believeTimer(isOwed: boolean): void {
    if (this.halted) return;
    if (isOwed || this.clock.nowMs() >= this.raft.deadlineMs) this.step({ kind: 'timeout' });
    else this.arm(this.raft.deadlineMs);
  }
}
