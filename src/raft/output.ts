// Collects what one step puts out, and hands it over. The arrays belong to the caller afterwards; what stayed
// empty is one shared, frozen array, so that a step that does little allocates little. What promises
// something (a vote, an acknowledgement of entries) always waits for the disk; what promises nothing leaves
// at once, but never while the term that it speaks of is not yet on disk.

import type {
  ConfirmedRead,
  Contradiction,
  Output,
  Persist,
  ProposalResult,
  ReadEntriesRequest,
} from './io.js';
import type { Message } from './messages.js';
import type { HardState, LogEntry, LogIndex, NodeId, Term } from './types.js';
import type { UnitQueue } from './unit-queue.js';

const nothing: readonly never[] = Object.freeze([]);

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export class OutputCollector {
  truncateSuffix: LogIndex | undefined;
  proposal: ProposalResult | undefined;
  contradiction: Contradiction | undefined;
  private entries: readonly LogEntry[] = nothing;
  private messages: Message[] | undefined;
  private messagesAfterPersist: Message[] | undefined;
  private committed: readonly LogEntry[] = nothing;
  private readEntries: ReadEntriesRequest[] | undefined;
  private sendSnapshots: NodeId[] | undefined;
  private reads: ConfirmedRead[] | undefined;
  private readsFailed: number[] | undefined;

  /** Whether the log changed in this step, so that the step needs a unit of the disk. */
  get changesLog(): boolean {
    return this.entries.length > 0 || this.truncateSuffix !== undefined;
  }

  /** For messages that promise nothing that is not durable. */
  send(message: Message): void {
    (this.messages ??= []).push(message);
  }

  /** For messages that promise what this step, or an earlier one, puts out for the disk. */
  sendAfterPersist(message: Message): void {
    (this.messagesAfterPersist ??= []).push(message);
  }

  /** The entries appended in this step. */
  append(entries: readonly LogEntry[]): void {
    this.entries = this.entries.length === 0 ? entries : [...this.entries, ...entries];
  }

  /** Entries for the state machine, after those of earlier calls. */
  commit(entries: readonly LogEntry[]): void {
    this.committed = this.committed.length === 0 ? entries : [...this.committed, ...entries];
  }

  requestEntries(request: ReadEntriesRequest): void {
    (this.readEntries ??= []).push(request);
  }

  requestSnapshot(peer: NodeId): void {
    (this.sendSnapshots ??= []).push(peer);
  }

  confirmRead(read: ConfirmedRead): void {
    (this.reads ??= []).push(read);
  }

  failRead(requestId: number): void {
    (this.readsFailed ??= []).push(requestId);
  }

  /**
   * Everything collected since the last call, with what must become durable and when the next timeout is due.
   */
  take(persist: Persist | undefined, hardState: HardState | undefined, deadlineMs: number): Output {
    const output: Mutable<Output> = {
      entries: this.entries,
      messages: this.messages ?? nothing,
      messagesAfterPersist: this.messagesAfterPersist ?? nothing,
      committed: this.committed,
      readEntries: this.readEntries ?? nothing,
      sendSnapshots: this.sendSnapshots ?? nothing,
      reads: this.reads ?? nothing,
      readsFailed: this.readsFailed ?? nothing,
      deadlineMs,
    };
    if (persist !== undefined) output.persist = persist;
    if (hardState !== undefined) output.hardState = hardState;
    if (this.truncateSuffix !== undefined) output.truncateSuffix = this.truncateSuffix;
    if (this.proposal !== undefined) output.proposal = this.proposal;
    if (this.contradiction !== undefined) output.contradiction = this.contradiction;
    this.reset();
    return output;
  }

  private reset(): void {
    this.truncateSuffix = undefined;
    this.proposal = undefined;
    this.contradiction = undefined;
    this.entries = nothing;
    this.messages = undefined;
    this.messagesAfterPersist = undefined;
    this.committed = nothing;
    this.readEntries = undefined;
    this.sendSnapshots = undefined;
    this.reads = undefined;
    this.readsFailed = undefined;
  }
}

/** What of a member's state decides when its results may leave. */
interface ResultSender {
  readonly units: UnitQueue;
  readonly currentTerm: Term;
  readonly output: OutputCollector;
}

/** Sends a result that promises no more than this member's currentTerm. */
export function sendResult(sender: ResultSender, message: Message): void {
  if (sender.units.durableTerm === sender.currentTerm) sender.output.send(message);
  else sender.output.sendAfterPersist(message);
}
