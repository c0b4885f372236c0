// The keys of a range that exist now, for a command that needs them. LevelDB's iterators are asynchronous, so
// the part below the layers is fetched by the loop while the command waits, and merged here. Must have no
// effect, and must come to the same verdict on every node, however its state is divided between layers and
// store.

import { kvLimits } from '../../commands.js';
import type { Candidate, Hold, KeySpan, Layers } from '../../layers.js';
import { liveRange } from '../../records/schema.js';
import type { StoreRange, StoreRecord } from '../../store.js';

/** Fewer are not worth a fetch: many keys of the store may be deleted in the layers. */
const fetchKeysMin = 1_000;
const nothing: KeySpan = { start: '', end: '' };

export class RangeLoad {
  private readonly layers: Layers;
  private readonly hold: Hold;
  /** What is not merged yet. Empty when all is, or when the limit is passed. */
  private left: KeySpan;
  private keyBytes = 0;
  private overLimit = false;
  /** Existing keys, ascending; at most one more than a command may touch. */
  readonly existing: Candidate[] = [];

  constructor(layers: Layers, range: KeySpan) {
    this.layers = layers;
    this.left = { start: range.start, end: range.end };
    // Open until the command is done: what is fetched now is merged with the layers of then.
    this.hold = layers.openHold();
  }

  /**
   * More keys, or more bytes of keys, than one command may touch; `existing` are the first ones up to the
   * limit.
   */
  get tooLarge(): boolean {
    return this.overLimit;
  }

  /** What must be fetched from the store next; `undefined` when `existing` is final. */
  needs(): StoreRange | undefined {
    const { start, end } = this.left;
    if (this.overLimit || (end !== undefined && start >= end)) return undefined;
    const wanted = kvLimits.commandKeysMax + 1 - this.existing.length;
    return liveRange(start, end, Math.max(wanted, fetchKeysMin), false);
  }

  /** The records of the range that `needs` told. Throws CORRUPT. */
  provide(range: StoreRange, records: readonly StoreRecord[]): void {
    const { covered, candidates } = this.layers.merge(this.left, range.limit, false, records, []);
    for (const candidate of candidates) {
      if (candidate.head.deleted) continue;
      this.existing.push(candidate);
      this.keyBytes += candidate.key.length;
      if (this.existing.length > kvLimits.commandKeysMax || this.keyBytes > kvLimits.commandBytesMax) {
        this.overLimit = true;
        return;
      }
    }
    this.left = covered.end === undefined ? nothing : { start: covered.end, end: this.left.end };
  }

  /** The command is done. */
  close(): void {
    this.layers.closeHold(this.hold);
  }
}
