// The log as the core sees it: the term of every entry (as runs, a few numbers per leader change) and the
// payloads of recent entries, in a bounded cache. Older payloads are read back from disk by the loop. The log
// also knows how far it is durable, and where it begins: the state machine's store stands for all entries
// through the base, of which only the last one's index and term are kept. It never talks to the disk, never
// looks at commit or apply progress, and is only changed by its owner.
// Source: Raft dissertation §3.5, §5.1.

import { assert } from '../base/assert.js';
import type { LogEntry, LogIndex, RecoveredLog, Term, TermRun } from './types.js';

/** Evicted slots before the cache array is cut down; keeps the cost of eviction constant on average. */
const slackMax = 1_024;

export class Log {
  /** The entry just before the first one kept. Never goes back; base.index <= durable. */
  private base: { readonly index: LogIndex; readonly term: Term };
  /** Ascending in index and in term; covers baseIndex+1 .. lastIndex without gaps. */
  private runs: TermRun[];
  /** From `head` on: the entries lastIndex-(count-1) .. lastIndex. Slots before `head` are undefined. */
  private cache: (LogEntry | undefined)[];
  private head = 0;
  private cachedBytes = 0;
  private last: LogIndex;
  private durable: LogIndex;

  /** Takes what recovery found, all of it durable. Throws `AssertionError` when it contradicts itself. */
  constructor(recovered: RecoveredLog) {
    this.base = { index: recovered.baseIndex, term: recovered.baseTerm };
    this.runs = [...recovered.termRuns];
    this.cache = [...recovered.recentEntries];
    this.last = recovered.lastIndex;
    this.durable = recovered.lastIndex;
    for (const entry of recovered.recentEntries) this.cachedBytes += entry.payload.length;
    this.checkRecovered(recovered);
  }

  /** Entries through here are not in the log any more. */
  get baseIndex(): LogIndex {
    return this.base.index;
  }

  /**
   * "prevLogIndex and prevLogTerm" of the first entry need the term of the one before it (§5.1), and it is
   * the log's last term when nothing follows.
   */
  get baseTerm(): Term {
    return this.base.term;
  }

  get lastIndex(): LogIndex {
    return this.last;
  }

  get lastTerm(): Term {
    return this.runs.at(-1)?.term ?? this.baseTerm;
  }

  /** durableIndex <= lastIndex: entries through here are on disk as they are here. */
  get durableIndex(): LogIndex {
    return this.durable;
  }

  /** The first entry whose payload is in memory; lastIndex + 1 when none is. */
  get cacheFirstIndex(): LogIndex {
    return this.last + 1 - (this.cache.length - this.head);
  }

  /** Payload bytes in memory. */
  get cacheBytes(): number {
    return this.cachedBytes;
  }

  /** The term of the entry at `index`; `undefined` outside baseIndex .. lastIndex. */
  termAt(index: LogIndex): Term | undefined {
    if (index > this.last || index < this.baseIndex) return undefined;
    if (index === this.baseIndex) return this.baseTerm;
    return this.runs[this.runOf(index)]?.term;
  }

  /** The entry at `index` if its payload is in memory. */
  entry(index: LogIndex): LogEntry | undefined {
    const cacheFirst = this.cacheFirstIndex;
    if (index < cacheFirst || index > this.last) return undefined;
    return this.cache[this.head + index - cacheFirst];
  }

  /**
   * Entries from `firstIndex`, which must be in memory, up to `lastIndex` and the limits; at least one.
   * The payloads are shared, the array is the caller's.
   */
  slice(
    firstIndex: LogIndex,
    lastIndex: LogIndex,
    limits: { entriesMax: number; bytesMax: number },
  ): LogEntry[] {
    assert(
      firstIndex >= this.cacheFirstIndex && firstIndex <= this.last,
      `entry ${firstIndex} is not in memory`,
    );
    const start = this.head + firstIndex - this.cacheFirstIndex;
    const end = start + Math.min(limits.entriesMax, Math.min(lastIndex, this.last) - firstIndex + 1);
    let bytes = 0;
    let stop = start;
    while (stop < end) {
      bytes += (this.cache[stop] as LogEntry).payload.length;
      if (bytes > limits.bytesMax && stop > start) break;
      stop++;
    }
    return this.cache.slice(start, stop) as LogEntry[];
  }

  /** Adds entries at the end. They must continue the log, with terms that do not go down. */
  append(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      assert(
        entry.index === this.last + 1,
        `entry ${entry.index} does not continue a log that ends at ${this.last}`,
      );
      const lastTerm = this.lastTerm;
      assert(entry.term >= lastTerm, `entry ${entry.index} has term ${entry.term}, after ${lastTerm}`);
      // The base's term is of no run: the first entry after it begins one, also in the same term.
      const isNewRun = this.runs.length === 0 || entry.term > lastTerm;
      if (isNewRun) this.runs.push({ firstIndex: entry.index, term: entry.term });
      this.cache.push(entry);
      this.cachedBytes += entry.payload.length;
      this.last = entry.index;
    }
  }

  /** Removes `firstIndex` and everything after it. */
  truncateSuffix(firstIndex: LogIndex): void {
    assert(
      firstIndex > this.baseIndex && firstIndex <= this.last,
      `cannot truncate the log from ${firstIndex}`,
    );
    const kept = Math.max(0, firstIndex - this.cacheFirstIndex);
    for (let slot = this.head + kept; slot < this.cache.length; slot++) {
      this.cachedBytes -= this.cache[slot]?.payload.length ?? 0;
    }
    this.cache.length = this.head + kept;
    while ((this.runs.at(-1)?.firstIndex ?? 0) >= firstIndex) this.runs.pop();
    this.last = firstIndex - 1;
    this.durable = Math.min(this.durable, this.last);
  }

  /**
   * Forgets everything through `index`, which must be durable. Nothing happens at or below the base. Who
   * calls answers for it that the state machine's store holds what those entries did.
   */
  truncatePrefix(index: LogIndex): void {
    if (index <= this.base.index) return;
    assert(
      index <= this.durable,
      `cannot truncate through ${index} a log that is durable to ${this.durable}`,
    );
    const term = this.termAt(index) as Term;
    const kept = index === this.last ? [] : this.runs.slice(this.runOf(index + 1));
    const first = kept[0];
    if (first !== undefined) kept[0] = { firstIndex: index + 1, term: first.term };
    this.runs = kept;
    while (this.head < this.cache.length && (this.cache[this.head] as LogEntry).index <= index) {
      this.dropFirstPayload();
    }
    this.compactCache();
    this.base = { index, term };
  }

  /**
   * Everything through `index` is durable, and the log has not been truncated below it since it was written.
   */
  markDurable(index: LogIndex): void {
    assert(index <= this.last, `index ${index} cannot be durable in a log that ends at ${this.last}`);
    this.durable = Math.max(this.durable, index);
  }

  /**
   * The largest index at or below `index` whose term is at or below `term`. If another log has `term` at
   * `index`, the two cannot agree on anything after what this returns (§5.3: back up by terms, not by
   * entries). Terms below the base are not known: an answer below it says no more than that it is below.
   */
  lastIndexAtOrBelow(index: LogIndex, term: Term): LogIndex {
    let candidate = Math.min(index, this.last);
    if (candidate > this.baseIndex) {
      for (let run = this.runOf(candidate); run >= 0; run--) {
        const { firstIndex, term: runTerm } = this.runs[run] as TermRun;
        if (runTerm <= term) return candidate;
        candidate = firstIndex - 1;
      }
    }
    return candidate === this.baseIndex && this.baseTerm > term ? candidate - 1 : candidate;
  }

  /** Drops payloads from the front, durable ones only, until at most `bytesMax` are in memory. */
  evict(bytesMax: number): void {
    if (this.cachedBytes <= bytesMax) return;
    while (this.cachedBytes > bytesMax) {
      const first = this.cache[this.head];
      if (first === undefined || first.index > this.durable) break;
      this.dropFirstPayload();
    }
    this.compactCache();
  }

  private dropFirstPayload(): void {
    this.cachedBytes -= (this.cache[this.head] as LogEntry).payload.length;
    this.cache[this.head] = undefined;
    this.head++;
  }

  private compactCache(): void {
    if (this.head <= slackMax || this.head * 2 <= this.cache.length) return;
    this.cache = this.cache.slice(this.head);
    this.head = 0;
  }

  /** The position in `runs` of the run that holds `index`, which is in baseIndex+1 .. lastIndex. */
  private runOf(index: LogIndex): number {
    let low = 0;
    let high = this.runs.length - 1;
    // Nearly all questions are about the newest term.
    if ((this.runs[high] as TermRun).firstIndex <= index) return high;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.runs[middle] as TermRun).firstIndex <= index) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  private checkRecovered(recovered: RecoveredLog): void {
    assert(
      this.baseIndex >= 0 && (this.baseIndex === 0) === (this.baseTerm === 0),
      `a log that begins after entry ${this.baseIndex} of term ${this.baseTerm}`,
    );
    let previous: TermRun = { firstIndex: this.baseIndex, term: this.baseTerm };
    for (const [position, run] of this.runs.entries()) {
      const follows =
        position === 0
          ? run.firstIndex === this.baseIndex + 1 && run.term >= previous.term
          : run.firstIndex > previous.firstIndex && run.term > previous.term;
      assert(follows, `recovered term run at ${run.firstIndex} does not continue the one before`);
      previous = run;
    }
    assert(previous.firstIndex <= this.last, 'a recovered term run begins after the end of the log');
    assert(
      (this.runs.length === 0) === (this.last === this.baseIndex),
      'recovered term runs do not cover the log',
    );
    let index = this.last - recovered.recentEntries.length;
    assert(index >= this.baseIndex, 'more recovered entries than the log has');
    for (const entry of recovered.recentEntries) {
      index++;
      assert(
        entry.index === index && entry.term === this.termAt(index),
        `recovered entry ${entry.index} is not the entry ${index} of the recovered log`,
      );
    }
  }
}
