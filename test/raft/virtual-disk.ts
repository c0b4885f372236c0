// One member's disk in memory: the durable image, and the units that were given to it and are still under
// way. A crash keeps the image and loses the rest. Messages that wait for a unit are kept with it, as the
// loop does.

import type { Message } from '../../src/raft/messages.js';
import type { Output, Persist, ReadEntriesRequest } from '../../src/raft/io.js';
import type {
  HardState,
  LogEntry,
  LogIndex,
  NodeId,
  RecoveredState,
  Term,
  TermRun,
} from '../../src/raft/types.js';

interface Unit {
  readonly persist: Persist;
  readonly hardState: HardState | undefined;
  readonly truncateSuffix: LogIndex | undefined;
  readonly entries: readonly LogEntry[];
  readonly messages: Message[];
}

export interface DurableUnit {
  readonly persist: Persist;
  readonly messages: readonly Message[];
}

export class VirtualDisk {
  hardState: HardState = { currentTerm: 0, votedFor: undefined, commitIndex: 0 };
  /** The entry before the first one kept. */
  baseIndex: LogIndex = 0;
  baseTerm: Term = 0;
  /** Entry i is at i-1-baseIndex. */
  entries: LogEntry[] = [];
  private units: Unit[] = [];

  get lastIndex(): LogIndex {
    return this.baseIndex + this.entries.length;
  }

  get unitsUnderWay(): number {
    return this.units.length;
  }

  /** Takes what an output wants durable. Returns the messages that need not wait. */
  put(output: Output): readonly Message[] {
    const { persist, messagesAfterPersist } = output;
    if (persist !== undefined) {
      const { hardState, truncateSuffix, entries } = output;
      this.units.push({ persist, hardState, truncateSuffix, entries, messages: [...messagesAfterPersist] });
      return [];
    }
    const last = this.units.at(-1);
    if (last === undefined) return messagesAfterPersist;
    last.messages.push(...messagesAfterPersist);
    return [];
  }

  /** The oldest unit becomes durable. */
  complete(): DurableUnit | undefined {
    const unit = this.units.shift();
    if (unit === undefined) return undefined;
    if (unit.hardState !== undefined) this.hardState = unit.hardState;
    if (unit.truncateSuffix !== undefined) this.entries.length = unit.truncateSuffix - 1 - this.baseIndex;
    for (const entry of unit.entries) {
      if (entry.index !== this.lastIndex + 1) throw new Error(`entry ${entry.index} leaves a gap on disk`);
      this.entries.push(entry);
    }
    return unit;
  }

  crash(): void {
    this.units = [];
  }

  read(request: ReadEntriesRequest): LogEntry[] {
    const found: LogEntry[] = [];
    let bytes = 0;
    if (request.firstIndex <= this.baseIndex) return [];
    const start = request.firstIndex - 1 - this.baseIndex;
    for (const entry of this.entries.slice(start, request.lastIndex - this.baseIndex)) {
      bytes += entry.payload.length;
      found.push(entry);
      if (bytes >= request.bytesMax) break;
    }
    return found;
  }

  /** The term of an entry; `undefined` where the image has none. */
  termAt(index: LogIndex): Term | undefined {
    return index === this.baseIndex ? this.baseTerm : this.entries[index - 1 - this.baseIndex]?.term;
  }

  /** Entries through `index`, all durable, are removed; nothing happens at or below the base. */
  truncatePrefix(index: LogIndex): void {
    if (index <= this.baseIndex) return;
    const term = this.termAt(index);
    if (term === undefined) throw new Error(`entry ${index} is not on disk`);
    this.entries.splice(0, index - this.baseIndex);
    this.baseIndex = index;
    this.baseTerm = term;
  }

  /** A new log takes the place of the old one, with everything under way. It holds no entries. */
  replace({ hardState, log }: RecoveredState): void {
    this.units = [];
    this.hardState = hardState;
    this.baseIndex = log.baseIndex;
    this.baseTerm = log.baseTerm;
    this.entries = [];
  }

  /** What recovery finds; `recentMax`: how many payloads it keeps in memory. */
  recovered(recentMax: number): RecoveredState {
    const termRuns: TermRun[] = [];
    for (const { index, term } of this.entries) {
      if (termRuns.at(-1)?.term !== term) termRuns.push({ firstIndex: index, term });
    }
    const recentEntries = recentMax === 0 ? [] : this.entries.slice(-recentMax);
    const { baseIndex, baseTerm, lastIndex } = this;
    return { hardState: this.hardState, log: { baseIndex, baseTerm, lastIndex, termRuns, recentEntries } };
  }

  /** A log that was there before the test begins: one entry of each term given. */
  preset(
    terms: readonly Term[],
    hardState: { currentTerm: Term; votedFor?: NodeId; commitIndex?: LogIndex },
  ): void {
    this.entries = terms.map((term, position) => ({
      index: position + 1,
      term,
      kind: 'command',
      payload: Buffer.from(`${position + 1}/${term}`),
    }));
    const { currentTerm, votedFor, commitIndex } = hardState;
    this.hardState = { currentTerm, votedFor, commitIndex: commitIndex ?? 0 };
  }
}
