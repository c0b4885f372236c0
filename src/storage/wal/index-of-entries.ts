// What is known in memory of the log on disk: its ends, its terms, and a sparse index from entries to places
// in segments. Holds no payload. Used both while recovering, which must report nonsense in the file, and
// while running, which must never produce any; so each change has a function that says in words what would be
// wrong with it.
//
// A mark says where one entry's frame begins. Between two marks the live entries lie in one segment in
// ascending order, and every entry written right after a truncation or a segment start has a mark. Walking
// from a mark up to the index of the next one therefore never meets a dead entry: those have that index or a
// higher one.

import type { LogIndex, Term, TermRun } from '../../raft/types.js';

export interface Mark {
  readonly index: LogIndex;
  /** Number of the segment. */
  readonly segment: number;
  /** Of the entry's frame in the segment's file. */
  readonly offset: number;
  /**
   * Payload, and 64 bytes of overhead for each entry, from this mark up to the next; dead entries count too.
   */
  entryBytes: number;
}

/** A new mark is set when an entry begins this many bytes after the last one. */
const markDistanceBytes = 64 * 1024;
const entryOverheadBytes = 64;

export class WalIndex {
  /** Last entry removed by `truncatePrefix`, and its term. Entries above it are readable. */
  baseIndex: LogIndex;
  baseTerm: Term;
  /** Last entry of the log; `baseIndex` or more once recovery is over. */
  lastIndex: LogIndex;
  /** Term of `lastIndex`; 0 when it is not known (below the oldest segment that still exists). */
  lastTerm: Term;
  /** Terms and places are known from here on. */
  private firstKnown: LogIndex;
  /** Ascending; covers firstKnown .. lastIndex. */
  private runs: TermRun[] = [];
  /** Ascending by index. Empty when no entry is known. */
  private marks: Mark[] = [];
  /** The next entry gets a mark, wherever it is. */
  private markNext = true;

  /** An index of a log of which nothing after `lastIndex` is known yet. */
  constructor(lastIndex: LogIndex, lastTerm: Term, baseIndex: LogIndex, baseTerm: Term) {
    this.baseIndex = baseIndex;
    this.baseTerm = baseTerm;
    this.lastIndex = lastIndex;
    this.lastTerm = lastTerm;
    this.firstKnown = lastIndex + 1;
  }

  get termRuns(): readonly TermRun[] {
    return this.runs;
  }

  /** The term of an entry; `undefined` outside of what is known. */
  termAt(index: LogIndex): Term | undefined {
    if (index === this.baseIndex) return this.baseTerm;
    if (index > this.lastIndex) return undefined;
    return this.runs[lastAtOrBelow(this.runs, index, (run) => run.firstIndex)]?.term;
  }

  problemOfEntry(index: LogIndex, term: Term): string | undefined {
    if (index !== this.lastIndex + 1) return `entry ${index} follows entry ${this.lastIndex}`;
    if (term < this.lastTerm) return `entry ${index} of term ${term} follows one of term ${this.lastTerm}`;
    return undefined;
  }

  appendEntry(index: LogIndex, term: Term, payloadBytes: number, segment: number, offset: number): void {
    const lastRun = this.runs.at(-1);
    if (lastRun?.term !== term) this.runs.push({ firstIndex: index, term });
    let mark = this.marks.at(-1);
    if (this.markNext || mark === undefined || offset - mark.offset >= markDistanceBytes) {
      mark = { index, segment, offset, entryBytes: 0 };
      this.marks.push(mark);
      this.markNext = false;
    }
    mark.entryBytes += payloadBytes + entryOverheadBytes;
    this.lastIndex = index;
    this.lastTerm = term;
  }

  problemOfTruncateSuffix(index: LogIndex, commitIndex: LogIndex): string | undefined {
    if (index <= commitIndex)
      return `entry ${index} is removed, but entries up to ${commitIndex} are committed`;
    if (index <= this.baseIndex)
      return `entry ${index} is removed, but the log begins after ${this.baseIndex}`;
    if (index > this.lastIndex + 1) return `entry ${index} is removed, but the last one is ${this.lastIndex}`;
    return undefined;
  }

  /** Forgets the entries from `index` on. */
  truncateSuffix(index: LogIndex): void {
    while ((this.runs.at(-1)?.firstIndex ?? 0) >= index) this.runs.pop();
    while ((this.marks.at(-1)?.index ?? 0) >= index) this.marks.pop();
    this.markNext = true;
    this.lastIndex = index - 1;
    // Before the oldest segment that still exists: the terms there are not known, but the entries from here
    // on will be.
    this.firstKnown = Math.min(this.firstKnown, index);
    this.lastTerm = this.runs.at(-1)?.term ?? (this.lastIndex === this.baseIndex ? this.baseTerm : 0);
  }

  problemOfBase(index: LogIndex, term: Term): string | undefined {
    if (index < this.baseIndex) return `the log's base goes back from ${this.baseIndex} to ${index}`;
    if (index > this.lastIndex) return `the log's base ${index} is above its last entry ${this.lastIndex}`;
    const known = this.termAt(index);
    if (known !== undefined && known !== term)
      return `the base ${index} has term ${term}, the entry ${known}`;
    return undefined;
  }

  /** The log begins after `index`, which has `term`. What is known below is kept until `forgetBelowBase`. */
  recordBase(index: LogIndex, term: Term): void {
    this.baseIndex = index;
    this.baseTerm = term;
  }

  /**
   * Drops what is known below the base. Says what is wrong when the base and the known entries do not meet.
   */
  forgetBelowBase(): string | undefined {
    const base = this.baseIndex;
    if (this.firstKnown > base + 1)
      return `the log begins after ${base}, but its files begin at ${this.firstKnown}`;
    if (this.lastIndex < base) return `the log begins after ${base}, but its last entry is ${this.lastIndex}`;
    const run = lastAtOrBelow(this.runs, base + 1, (candidate) => candidate.firstIndex);
    const first = this.runs[run];
    if (run > 0) this.runs.splice(0, run);
    if (first !== undefined && first.firstIndex <= base)
      this.runs[0] = { firstIndex: base + 1, term: first.term };
    if (this.lastIndex === base) this.runs = [];
    const mark = lastAtOrBelow(this.marks, base + 1, (candidate) => candidate.index);
    if (mark > 0) this.marks.splice(0, mark);
    this.firstKnown = base + 1;
    return undefined;
  }

  /** The next entry lies in another segment. */
  startSegment(): void {
    this.markNext = true;
  }

  /** The last mark at or below an index. */
  markFor(index: LogIndex): Mark | undefined {
    return this.marks[lastAtOrBelow(this.marks, index, (mark) => mark.index)];
  }

  /**
   * The lowest index such that the entries from it to the last take at most about `bytesMax`; lastIndex + 1
   * if none.
   */
  recentFrom(bytesMax: number): LogIndex {
    let from = this.lastIndex + 1;
    let bytes = 0;
    for (let i = this.marks.length - 1; i >= 0; i--) {
      const mark = this.marks[i];
      bytes += mark?.entryBytes ?? 0;
      if (mark === undefined || bytes > bytesMax) break;
      from = Math.max(mark.index, this.baseIndex + 1);
    }
    return from;
  }
}

/**
 * Position of the last element whose key is at or below `key`, -1 if there is none. The list ascends by key.
 */
function lastAtOrBelow<T>(list: readonly T[], key: number, keyOf: (element: T) => number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyOf(list[middle] as T) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
