// Writes on their way into the log: gathered while a turn runs, put into entries, and remembered until
// their entry is applied. A write whose entry is lost to another leader is answered `NOT_LEADER`; the
// client sends it again with the same session stamp, so it still happens once.

import type { LogIndex, Term } from '../../raft/types.js';
import type { ClientCommand, CommandResult, EntryTimes } from '../../kv/commands.js';
import { encodeEntryPayload } from '../../wire/commands/entry-codec.js';
import { entryLimits } from '../../wire/limits.js';
import type { Caller } from './caller.js';

/** One write, checked, as bytes for the log and decoded for this node's own apply. */
export interface PendingWrite {
  readonly caller: Caller;
  readonly requestId: number;
  readonly bytes: Uint8Array;
  readonly command: ClientCommand;
}

/** The writes of one entry. */
export interface Batch {
  readonly payload: Uint8Array;
  readonly times: EntryTimes;
  readonly writes: readonly PendingWrite[];
}

interface InFlight {
  readonly term: Term;
  readonly batch: Batch;
}

export interface ProposalLimits {
  readonly pendingCommandsMax: number;
  readonly pendingCommandBytesMax: number;
}

/** What one proposal may hold: its sync and its way to the peers must stay far below an election timeout. */
const proposalBytesMax = 2 * 1_048_576;

export class Proposals {
  private readonly limits: ProposalLimits;
  private gathered: PendingWrite[] = [];
  private readonly inFlight = new Map<LogIndex, InFlight>();
  /** Of all writes gathered or in flight: what the limits count. */
  private commands = 0;
  private bytes = 0;

  constructor(limits: ProposalLimits) {
    this.limits = limits;
  }

  get pendingCommands(): number {
    return this.commands;
  }

  get pendingBytes(): number {
    return this.bytes;
  }

  get hasGathered(): boolean {
    return this.gathered.length > 0;
  }

  /** False when the limits do not allow one more; then nothing was kept. */
  add(write: PendingWrite): boolean {
    if (this.commands >= this.limits.pendingCommandsMax) return false;
    if (this.commands > 0 && this.bytes + write.bytes.length > this.limits.pendingCommandBytesMax)
      return false;
    this.commands++;
    this.bytes += write.bytes.length;
    this.gathered.push(write);
    return true;
  }

  /**
   * Puts what has gathered into few entries, up to `proposalBytesMax` of them; the rest stays gathered.
   * `formatLevel`: of the state that they are for.
   */
  takeBatches(formatLevel: number, stamp: () => EntryTimes): Batch[] {
    const batches: Batch[] = [];
    let writes: PendingWrite[] = [];
    let bytes = 0;
    const close = (): void => {
      if (writes.length === 0) return;
      const times = stamp();
      const payload = encodeEntryPayload(
        times,
        formatLevel,
        writes.map((write) => write.bytes),
      );
      batches.push({ payload, times, writes });
      writes = [];
      bytes = 0;
    };
    let taken = 0;
    let takenBytes = 0;
    for (const write of this.gathered) {
      takenBytes += write.bytes.length;
      if (taken > 0 && takenBytes > proposalBytesMax) break;
      taken++;
      if (writes.length >= entryLimits.commandsMax || bytes + write.bytes.length > entryLimits.bytesMax)
        close();
      writes.push(write);
      bytes += write.bytes.length;
    }
    close();
    this.gathered = this.gathered.slice(taken);
    return batches;
  }

  /** The core took the batches, as consecutive entries from `firstIndex`. */
  appended(batches: readonly Batch[], term: Term, firstIndex: LogIndex): void {
    batches.forEach((batch, offset) => this.inFlight.set(firstIndex + offset, { term, batch }));
  }

  /** The batch of an entry if it is this node's own: saves decoding it again. */
  batchOf(index: LogIndex, term: Term): Batch | undefined {
    const found = this.inFlight.get(index);
    return found?.term === term ? found.batch : undefined;
  }

  /** The entry was applied: hands each write its result. A write of another entry at that index was lost. */
  applied(
    index: LogIndex,
    term: Term,
    results: readonly CommandResult[],
    answer: (write: PendingWrite, result: CommandResult | undefined) => void,
  ): void {
    const found = this.inFlight.get(index);
    if (found === undefined) return;
    this.inFlight.delete(index);
    found.batch.writes.forEach((write, position) => {
      this.release(write);
      answer(write, found.term === term ? results[position] : undefined);
    });
  }

  /** Gives up writes that were refused or whose fate is not this node's to know any more. */
  drop(batches: readonly Batch[], answer: (write: PendingWrite) => void): void {
    for (const batch of batches) {
      for (const write of batch.writes) {
        this.release(write);
        answer(write);
      }
    }
  }

  /**
   * Leadership is lost: nothing that waits here will be heard of. `sent`: the write is in the log already.
   */
  dropAll(answer: (write: PendingWrite, sent: boolean) => void): void {
    const gathered = this.gathered;
    this.gathered = [];
    const batches = [...this.inFlight.values()].map((entry) => entry.batch);
    this.inFlight.clear();
    for (const write of gathered) {
      this.release(write);
      answer(write, false);
    }
    this.drop(batches, (write) => answer(write, true));
  }

  private release(write: PendingWrite): void {
    this.commands--;
    this.bytes -= write.bytes.length;
  }
}
