// The units of output that were given to the disk and are not known to be durable, in order. The completion
// of a unit is an input; between the two the log may have been truncated and grown again, so that the unit's
// last index now means other entries. What a unit covers is therefore lowered by every truncation: the
// completion of an old append must never mark newer entries durable (the ABA race; etcd-io/raft
// async_storage_writes_append_aba_race).

import { assert } from '../base/assert.js';
import type { Persist } from './io.js';
import { SlowestSync } from './slowest-sync.js';
import type { LogIndex, Term } from './types.js';

interface Unit {
  readonly sequence: number;
  readonly term: Term;
  readonly index: LogIndex;
  /** coveredIndex <= index: entries of today's log through here are in this unit or in an earlier one. */
  coveredIndex: LogIndex;
  readonly putOutMs: number;
}

export class UnitQueue {
  /** Of the units that became durable. */
  readonly slowestSync = new SlowestSync();
  /** Ascending sequences, without gaps. */
  private readonly pending: Unit[] = [];
  /** The sequence of the newest unit; 0 before the first. */
  lastSequence = 0;
  private durable: Term;
  /** When a unit became durable last. */
  private completedMs = -Infinity;

  /** `durableTerm`: the currentTerm that recovery found. */
  constructor(durableTerm: Term) {
    this.durable = durableTerm;
  }

  /** The sequence that the next unit will have. */
  get nextSequence(): number {
    return this.lastSequence + 1;
  }

  get isEmpty(): boolean {
    return this.pending.length === 0;
  }

  /** The largest currentTerm known to be on disk. */
  get durableTerm(): Term {
    return this.durable;
  }

  /**
   * Since when the disk has had the oldest pending unit, Infinity when none is pending: it takes one after
   * the other, so what waits behind another unit is not with it yet.
   */
  get underWaySinceMs(): number {
    const oldest = this.pending[0];
    return oldest === undefined ? Infinity : Math.max(oldest.putOutMs, this.completedMs);
  }

  /** Adds a unit that ends at `index`. Returns what the loop feeds back when it is durable. */
  put(term: Term, index: LogIndex, nowMs: number): Persist {
    const sequence = ++this.lastSequence;
    this.pending.push({ sequence, term, index, coveredIndex: index, putOutMs: nowMs });
    return { term, index, sequence };
  }

  /** The log now ends at `lastIndex`, before it grows again: nothing pending covers more of it than that. */
  truncatedTo(lastIndex: LogIndex): void {
    for (const unit of this.pending) unit.coveredIndex = Math.min(unit.coveredIndex, lastIndex);
  }

  /**
   * The unit and all before it are durable. Returns the index through which that makes today's log durable, 0
   * when the completion was known already. Throws `AssertionError` for a completion of a unit that never was.
   */
  complete(persisted: Persist, nowMs: number): LogIndex {
    assert(persisted.sequence <= this.lastSequence, `unit ${persisted.sequence} was never put out`);
    if (this.isPending(persisted)) this.slowestSync.note(nowMs, nowMs - this.underWaySinceMs);
    let coveredIndex = 0;
    for (let first = this.pending[0]; first !== undefined; first = this.pending[0]) {
      if (first.sequence > persisted.sequence) break;
      if (first.sequence === persisted.sequence) {
        assert(first.term === persisted.term, `unit ${first.sequence} came back with another term`);
        assert(first.index === persisted.index, `unit ${first.sequence} came back with another index`);
      }
      this.durable = first.term;
      this.completedMs = nowMs;
      coveredIndex = first.coveredIndex;
      this.pending.shift();
    }
    return coveredIndex;
  }

  private isPending({ sequence }: Persist): boolean {
    const oldest = this.pending[0];
    return oldest !== undefined && oldest.sequence <= sequence;
  }
}
