// Reads over a range of keys, as the whole store was at one revision: in slices, each fetched from the store,
// merged with the layers and resolved to the versions of that revision. Writes that are applied meanwhile
// have higher revisions and are stepped over along each key's history. Must never hold more than a slice in
// memory, nor work longer than a slice without giving up the loop.

import type { ByteString } from '../../base/bytes.js';
import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Revision } from '../commands.js';
import type { Candidate, Hold, KeySpan, Layers } from '../layers.js';
import { verified } from './reads.js';
import { liveRange, tombstoneRange, versionKey, type Head, type Version } from '../records/schema.js';
import type { OrderedStore, StoreRecord } from '../store.js';
import { decodeVersion } from '../records/version-record.js';

export interface ScanPlan {
  readonly span: KeySpan;
  readonly reverse: boolean;
  /** Not above the newest one. */
  readonly revision: Revision;
  /** Whether `visit` wants values, which must be fetched. */
  readonly values: boolean;
  /** Keys to look at in one slice; 1 or more. */
  readonly sliceKeys: number;
  /** What is read of values at a time, bytes; one larger value is allowed. */
  readonly batchBytes: number;
  /**
   * Keep all layers from the beginning to the end of the scan. Spares reading tombstones, but only a scan of
   * bounded length may do it, because layers are memory.
   */
  readonly holdThroughout: boolean;
}

/** What a scan needs of the machine. */
export interface ScanSource {
  readonly store: OrderedStore;
  readonly layers: Layers;
  /** The newest revision that readers may see. */
  newestRevision(): Revision;
}

/**
 * Called with each record in order: its version if the plan wants values, else its head. `false` ends the
 * scan.
 */
export type Visit = (key: ByteString, head: Head, version: Version | undefined) => boolean;

/** One key on the way to its version at the plan's revision. */
interface Step {
  readonly key: ByteString;
  readonly head: Head;
  /** What to read next; 0 when resolved. */
  wantedRevision: Revision;
  wantedSub: number;
  /** `undefined`, once resolved: the head is the version and no value was wanted. */
  version: Version | undefined;
  /** The key did not exist at the revision. */
  absent: boolean;
}

/** Keys resolved at a time. */
const batchKeys = 256;
/** What a version of unknown size counts for in `batchBytes`. */
const unknownValueBytes = 16_384;

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
  private hold: Hold = 0;
  /** Whether keys that existed at the revision may by now have only a tombstone in the store. */
  private tombstonesToo = false;
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
    this.openHold();
    if (isEmpty(this.left)) {
      // Through the store, so that the callback comes after the return here as everywhere.
      this.source.store.fetchMany([], (error) => this.finish(error));
      return;
    }
    this.fetchSlice();
  }

  private openHold(): void {
    this.hold = this.source.layers.openHold();
    // Deletions after this moment stay in the layers for as long as the hold is open.
    this.tombstonesToo = this.source.newestRevision() > this.plan.revision;
  }

  private fetchSlice(): void {
    const { store } = this.source;
    const { sliceKeys, reverse } = this.plan;
    const { start, end } = this.left;
    store.fetchRange(liveRange(start, end, sliceKeys, reverse), (error, live) => {
      if (error !== undefined) return this.finish(error);
      if (!this.tombstonesToo) return this.contained(() => this.resolveSlice(live, []));
      store.fetchRange(tombstoneRange(start, end, sliceKeys, reverse), (tombstoneError, tombstones) => {
        if (tombstoneError !== undefined) return this.finish(tombstoneError);
        this.contained(() => this.resolveSlice(live, tombstones));
      });
    });
  }

  private resolveSlice(live: readonly StoreRecord[], tombstones: readonly StoreRecord[]): void {
    const { sliceKeys, reverse } = this.plan;
    const { left } = this;
    const { covered, candidates } = this.source.layers.merge(left, sliceKeys, reverse, live, tombstones);
    this.candidates = reverse ? candidates.reverse() : candidates;
    this.position = 0;
    if (reverse) this.left = { start: left.start, end: covered.start };
    else this.left = covered.end === undefined ? nothing : { start: covered.end, end: left.end };
    this.resolveBatch();
  }

  private resolveBatch(): void {
    const batch: Step[] = [];
    let plannedBytes = 0;
    while (this.position < this.candidates.length) {
      const candidate = this.candidates[this.position] as Candidate;
      const step = this.firstStep(candidate);
      this.position++;
      if (step.absent) continue;
      batch.push(step);
      const known = candidate.head.modRevision <= this.plan.revision;
      if (this.plan.values || !known) plannedBytes += known ? candidate.head.valueBytes : unknownValueBytes;
      if (batch.length === batchKeys || plannedBytes >= this.plan.batchBytes) break;
    }
    this.fetchVersions(batch);
  }

  private firstStep(candidate: Candidate): Step {
    const { key, head, version } = candidate;
    const step: Step = { key, head, wantedRevision: 0, wantedSub: 0, version, absent: false };
    if (head.modRevision <= this.plan.revision && (head.deleted || !this.plan.values)) {
      step.absent = head.deleted;
    } else if (version !== undefined) {
      this.stepBack(step, version);
    } else {
      want(step, head.modRevision, head.sub);
    }
    return step;
  }

  /** `version` of the step's key was found: it is the one, or the way leads back along the key's history. */
  private stepBack(step: Step, found: Version): void {
    let version: Version | undefined = found;
    while (version.modRevision > this.plan.revision) {
      const { previousRevision, previousSub }: Version = version;
      if (previousRevision === 0) {
        step.wantedRevision = 0;
        step.absent = true;
        return;
      }
      version = this.source.layers.versionAtInMemory(previousRevision, previousSub);
      if (version === undefined) return want(step, previousRevision, previousSub);
    }
    step.wantedRevision = 0;
    step.version = version;
    step.absent = version.deleted;
  }

  /** Reads one step back for all keys of the batch that need it, until none does. */
  private fetchVersions(batch: readonly Step[]): void {
    const waiting = batch.filter((step) => step.wantedRevision !== 0);
    if (waiting.length === 0) return this.deliver(batch);
    const keys = waiting.map((step) => versionKey(step.wantedRevision, step.wantedSub));
    this.source.store.fetchMany(keys, (error, values) => {
      if (error !== undefined) return this.finish(error);
      this.contained(() => {
        waiting.forEach((step, i) => {
          const version = decodeVersion(values[i], step.key, step.wantedRevision, step.wantedSub);
          const isCurrent = !step.head.deleted && version.modRevision === step.head.modRevision;
          // Tombstones and older versions have nothing to be compared with.
          this.stepBack(step, isCurrent ? verified(step.head, version) : version);
        });
        this.fetchVersions(batch);
      });
    });
  }

  private deliver(batch: readonly Step[]): void {
    for (const step of batch) {
      if (step.absent) continue;
      if (!this.visit(step.key, step.version ?? step.head, step.version)) return this.finish(undefined);
    }
    if (this.position < this.candidates.length) return this.resolveBatch();
    if (isEmpty(this.left)) return this.finish(undefined);
    if (!this.plan.holdThroughout) {
      this.source.layers.closeHold(this.hold);
      this.openHold();
    }
    this.fetchSlice();
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
    this.source.layers.closeHold(this.hold);
    this.done(error);
  }
}

function want(step: Step, revision: Revision, sub: number): void {
  step.wantedRevision = revision;
  step.wantedSub = sub;
}

const nothing: KeySpan = { start: '', end: '' };

function isEmpty(span: KeySpan): boolean {
  return span.end !== undefined && span.start >= span.end;
}
