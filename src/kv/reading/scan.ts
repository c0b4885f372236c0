// Reads over a range of keys, as the whole store was at one revision: in pieces, each fetched from the store,
// merged with the layers and resolved to the versions of that revision. Writes that are applied meanwhile
// have higher revisions and are stepped over along each key's history; what a step reads is known before it
// is read. Must never hold more than a piece in memory, keep a layer beyond the merge that needs it, nor go
// on without being let.

import type { ByteString } from '../../base/bytes.js';
import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Revision } from '../commands.js';
import type { Candidate, KeySpan, Layers } from '../layers.js';
import { verified } from './reads.js';
import { liveRange, tombstoneRange, versionKey, type Head, type Version } from '../records/schema.js';
import type { OrderedStore, StoreRecord } from '../store.js';
import { decodeVersion } from '../records/version-record.js';

/**
 * Asked between two pieces of a read, each of a bounded number of keys and bytes. Calls back once, later and
 * never at once: to go on; with an error to end the read with it.
 */
export type Pace = (goOn: Done) => void;

export interface ScanPlan {
  readonly span: KeySpan;
  readonly reverse: boolean;
  /** Not above the newest one. */
  readonly revision: Revision;
  /** What `visit` must be told of each record beside its key; what it is not told is not read. */
  readonly wants: 'nothing' | 'heads' | 'values';
  /** Keys to look at in one piece; 1 or more. */
  readonly sliceKeys: number;
  /** What is read of versions in one piece, bytes of keys and values; one larger version is allowed. */
  readonly batchBytes: number;
  readonly pace: Pace;
}

/** What a scan needs of the machine. */
export interface ScanSource {
  readonly store: OrderedStore;
  readonly layers: Layers;
  /** The newest revision that readers may see. */
  newestRevision(): Revision;
}

/**
 * Called with each record in order: its version if the plan wants values, else its head, which means nothing
 * when the plan wants nothing. `false` ends the scan.
 */
export type Visit = (key: ByteString, head: Head, version: Version | undefined) => boolean;

/** One key on the way to its version at the plan's revision. */
interface Step {
  readonly key: ByteString;
  readonly head: Head;
  /** The place in history to read next, and the length of its value; revision 0: nothing is to be read. */
  wantedRevision: Revision;
  wantedSub: number;
  wantedBytes: number;
  version: Version | undefined;
  /** The key did not exist at the revision. */
  absent: boolean;
}

/** Keys resolved at a time. */
const batchKeys = 256;
/** So few keys are not worth a fetch for each step back: they are read one by one, so many in one piece. */
const singleKeysMax = 8;
const singleReadsMax = 64;

/** Visits the records of a span at a revision. `done` is never called before this returns. */
export function scan(source: ScanSource, plan: ScanPlan, visit: Visit, done: Done): void {
  new Scan(source, plan, visit, done).begin();
}

class Scan {
  private readonly source: ScanSource;
  private readonly plan: ScanPlan;
  private readonly visit: Visit;
  private readonly done: Done;
  /** What is not covered by slices yet. */
  private left: KeySpan;
  private candidates: readonly Candidate[] = [];
  private position = 0;
  private finished = false;

  constructor(source: ScanSource, plan: ScanPlan, visit: Visit, done: Done) {
    this.source = source;
    this.plan = plan;
    this.visit = visit;
    this.done = done;
    this.left = plan.span;
  }

  begin(): void {
    if (isEmpty(this.left)) {
      // Through the store, so that the callback comes after the return here as everywhere.
      this.source.store.fetchMany([], (error) => this.finish(error));
      return;
    }
    this.fetchSlice();
  }

  private fetchSlice(): void {
    const { store, layers } = this.source;
    const { sliceKeys, reverse, revision } = this.plan;
    const { start, end } = this.left;
    const hold = layers.openHold();
    // Keys that existed at the revision may by now have only a tombstone in the store. Deletions after this
    // moment stay in the layers for as long as the hold is open.
    const tombstonesToo = this.source.newestRevision() > revision;
    const merged = (
      error: Error | undefined,
      live: readonly StoreRecord[],
      dead: readonly StoreRecord[],
    ): void => {
      this.contained(() => {
        if (error === undefined) this.merge(live, dead);
      });
      layers.closeHold(hold);
      if (this.finished) return;
      if (error !== undefined) this.finish(error);
      else this.contained(() => this.resolveBatch());
    };
    store.fetchRange(liveRange(start, end, sliceKeys, reverse), (error, live) => {
      if (error !== undefined || !tombstonesToo) return merged(error, live, []);
      const range = tombstoneRange(start, end, sliceKeys, reverse);
      store.fetchRange(range, (failure, dead) => merged(failure, live, dead));
    });
  }

  private merge(live: readonly StoreRecord[], tombstones: readonly StoreRecord[]): void {
    const { sliceKeys, reverse } = this.plan;
    const { left } = this;
    const { covered, candidates } = this.source.layers.merge(left, sliceKeys, reverse, live, tombstones);
    this.candidates = reverse ? candidates.reverse() : candidates;
    this.position = 0;
    if (reverse) this.left = { start: left.start, end: covered.start };
    else this.left = covered.end === undefined ? nothing : { start: covered.end, end: left.end };
  }

  private resolveBatch(): void {
    const batch: Step[] = [];
    while (this.position < this.candidates.length && batch.length < batchKeys) {
      const step = this.firstStep(this.candidates[this.position++] as Candidate);
      if (!step.absent) batch.push(step);
    }
    this.walkBack(batch);
  }

  private firstStep({ key, head, version }: Candidate): Step {
    const step: Step = { key, head, ...noPlace, version: undefined, absent: false };
    if (head.modRevision > this.plan.revision) {
      if (version === undefined) want(step, head.modRevision, head.sub, head.valueBytes);
      else this.take(step, version);
    } else if (head.deleted) {
      step.absent = true;
    } else if (version !== undefined) {
      step.version = version;
    } else if (this.plan.wants === 'values') {
      want(step, head.modRevision, head.sub, head.valueBytes);
    }
    return step;
  }

  /** A version of the step's key was read: it is the one, or tells where the one before it is. */
  private take(step: Step, version: Version): void {
    if (version.modRevision > this.plan.revision) {
      want(step, version.previousRevision, version.previousSub, version.previousValueBytes);
      step.absent = version.previousRevision === 0;
      return;
    }
    step.wantedRevision = 0;
    step.absent = version.deleted;
    step.version = version;
  }

  /** Reads back along the history of all keys of the batch that are newer, until none is. */
  private walkBack(batch: readonly Step[]): void {
    const newer = batch.filter(({ wantedRevision }) => wantedRevision > this.plan.revision);
    if (newer.length === 0) return this.readFrom(batch, 0);
    const chunk = newer.slice(0, this.fitting(newer));
    const goOn = (): void => this.pause(() => this.walkBack(batch));
    if (chunk.length > singleKeysMax) return this.fetchVersions(chunk, goOn);
    this.readSingly(chunk);
    goOn();
  }

  /** How many of the steps may be read at once; at least one. */
  private fitting(steps: readonly Step[]): number {
    let bytes = 0;
    for (const [at, step] of steps.entries()) {
      bytes += step.wantedBytes + step.key.length;
      if (at > 0 && bytes > this.plan.batchBytes) return at;
    }
    return steps.length;
  }

  private readSingly(steps: readonly Step[]): void {
    let bytes = 0;
    let reads = 0;
    for (const step of steps) {
      while (step.wantedRevision > this.plan.revision) {
        const { key, wantedRevision, wantedSub, wantedBytes } = step;
        bytes += wantedBytes + key.length;
        if (reads > 0 && (reads >= singleReadsMax || bytes > this.plan.batchBytes)) return;
        reads++;
        this.accept(step, this.source.layers.version(key, wantedRevision, wantedSub));
      }
    }
  }

  private fetchVersions(steps: readonly Step[], goOn: () => void): void {
    const { store, layers } = this.source;
    const missing: Step[] = [];
    for (const step of steps) {
      const version = layers.versionAtInMemory(step.wantedRevision, step.wantedSub);
      if (version === undefined) missing.push(step);
      else this.accept(step, version);
    }
    const keys = missing.map((step) => versionKey(step.wantedRevision, step.wantedSub));
    store.fetchMany(keys, (error, values) => {
      if (error !== undefined) return this.finish(error);
      this.contained(() => {
        missing.forEach((step, i) => {
          this.accept(step, decodeVersion(values[i], step.key, step.wantedRevision, step.wantedSub));
        });
        goOn();
      });
    });
  }

  /** Tombstones and older versions have nothing to be compared with. */
  private accept(step: Step, version: Version): void {
    const isCurrent = !step.head.deleted && version.modRevision === step.head.modRevision;
    this.take(step, isCurrent ? verified(step.head, version) : version);
  }

  /** Reads what must be told of the batch's records, as much as may be read at once, and tells it. */
  private readFrom(batch: readonly Step[], from: number): void {
    const wanted: Step[] = [];
    let to = from;
    let bytes = 0;
    for (; to < batch.length; to++) {
      const step = batch[to] as Step;
      if (!this.mustRead(step)) continue;
      bytes += step.wantedBytes + step.key.length;
      if (wanted.length > 0 && bytes > this.plan.batchBytes) break;
      wanted.push(step);
    }
    if (wanted.length === 0) this.deliver(batch, from, to);
    else this.fetchVersions(wanted, () => this.deliver(batch, from, to));
  }

  private mustRead({ wantedRevision, wantedBytes, absent }: Step): boolean {
    if (absent || wantedRevision === 0) return false;
    // What has a value is no tombstone, and more need not be known.
    return this.plan.wants !== 'nothing' || wantedBytes === 0;
  }

  private deliver(batch: readonly Step[], from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const step = batch[at] as Step;
      if (step.absent) continue;
      const { version } = step;
      // Nothing is kept of what was told.
      step.version = undefined;
      if (!this.visit(step.key, version ?? step.head, version)) return this.finish(undefined);
    }
    if (to < batch.length) return this.pause(() => this.readFrom(batch, to));
    const isDone = this.position >= this.candidates.length;
    if (isDone && isEmpty(this.left)) return this.finish(undefined);
    this.pause(() => (isDone ? this.fetchSlice() : this.resolveBatch()));
  }

  private pause(next: () => void): void {
    this.plan.pace((error) => {
      if (error === undefined) this.contained(next);
      else this.finish(error);
    });
  }

  /** A damaged record fails this read; anything else is a bug, or the caller's, and not to be caught here. */
  private contained(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (this.finished || !KvorumError.is(error, 'CORRUPT')) throw error;
      this.finish(error);
    }
  }

  private finish(error: Error | undefined): void {
    this.finished = true;
    this.candidates = [];
    this.done(error);
  }
}

const noPlace = { wantedRevision: 0, wantedSub: 0, wantedBytes: 0 };

function want(step: Step, revision: Revision, sub: number, valueBytes: number): void {
  step.wantedRevision = revision;
  step.wantedSub = sub;
  step.wantedBytes = valueBytes;
}

const nothing: KeySpan = { start: '', end: '' };

function isEmpty(span: KeySpan): boolean {
  return span.end !== undefined && span.start >= span.end;
}
