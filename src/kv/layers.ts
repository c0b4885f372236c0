// What is applied but not yet (known to be) in the store: memory layers over it. Entries go into the active
// layer; a group freezes it into one batch; when the batch is durable the layer goes, but not while a fetch
// is open that began before, because that fetch may have seen the store without the batch. Must never drop
// layers out of order: an older layer would then hide what is newer.

import { assert } from '../base/assert.js';
import type { ByteString } from '../base/bytes.js';
import type { Revision } from './commands.js';
import {
  decodeLive,
  decodeTombstone,
  encodeLive,
  encodeTombstone,
  liveKey,
  tombstoneKey,
  versionKey,
  withoutPrefix,
  type Head,
  type Version,
} from './records/schema.js';
import type { OrderedStore, StoreOperation, StoreRecord } from './store.js';
import { decodeVersion, encodeVersion } from './records/version-record.js';

/** Names an open fetch; given back when its results have been merged. */
export type Hold = number;

/** The newest state of a key within a range. */
export interface Candidate {
  readonly key: ByteString;
  readonly head: Head;
  /** The same with its value and its predecessor, when a layer has it. */
  readonly version: Version | undefined;
}

/** Keys from `start` (inclusive) to `end` (exclusive; `undefined`: to the last key). */
export interface KeySpan {
  readonly start: ByteString;
  readonly end: ByteString | undefined;
}

export interface Merged {
  /** The part of the span that the candidates are complete for: its beginning, or its end when in reverse. */
  readonly covered: KeySpan;
  /** Ascending, also in reverse. Tombstones are among them. */
  readonly candidates: Candidate[];
}

/**
 * Unsorted new keys of a layer are searched one by one up to this many; beyond, they are merged into the
 * sorted ones.
 */
const freshKeysMax = 256;
/** What a version takes on the way to the store beside its key (twice) and value, bytes. */
const versionOverheadBytes = 160;

/** One group in the making, or on its way to the store. */
export class Layer {
  /** Newest version or tombstone per key. */
  readonly heads = new Map<ByteString, Version>();
  /** `V/` records of the group, in the order of history, until they are taken. */
  private operations: StoreOperation[] = [];
  /** Estimated bytes of this layer's part of the batch. */
  bytes = 0;
  /** The hold number from which on fetches may do without this layer; set when its batch is durable. */
  neededBefore: Hold = 0;
  /** Ascending by (modRevision, sub). */
  private readonly versions: Version[] = [];
  /** Invariant: `sorted` and `fresh` together are the keys of `heads`, each once. */
  private sorted: ByteString[] = [];
  private fresh: ByteString[] = [];

  add(version: Version): void {
    const { key } = version;
    const keysBefore = this.heads.size;
    this.heads.set(key, version);
    if (this.heads.size > keysBefore) this.fresh.push(key);
    this.versions.push(version);
    this.operations.push({
      type: 'put',
      key: versionKey(version.modRevision, version.sub),
      value: encodeVersion(version),
    });
    this.bytes += versionOverheadBytes + 2 * key.length + version.valueBytes;
  }

  versionAt(revision: Revision, sub: number): Version | undefined {
    let low = 0;
    let high = this.versions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const version = this.versions[middle] as Version;
      if (version.modRevision < revision || (version.modRevision === revision && version.sub < sub)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const found = this.versions[low];
    return found !== undefined && found.modRevision === revision && found.sub === sub ? found : undefined;
  }

  /**
   * Appends the layer's first (reverse: last) keys of start .. end to `keys`, at least `limit` if there are
   * so many.
   */
  collectKeys(span: KeySpan, limit: number, reverse: boolean, keys: ByteString[]): void {
    if (this.fresh.length > freshKeysMax) this.mergeFresh();
    const { start, end } = span;
    let from = lowerBound(this.sorted, start);
    let to = end === undefined ? this.sorted.length : lowerBound(this.sorted, end);
    if (reverse) from = Math.max(from, to - limit);
    else to = Math.min(to, from + limit);
    for (let i = from; i < to; i++) keys.push(this.sorted[i] as ByteString);
    for (const key of this.fresh) {
      if (key >= start && (end === undefined || key < end)) keys.push(key);
    }
  }

  /** All records of `V/`, `L/` and `T/` that bring the store to this layer's state. Once. */
  takeOperations(): StoreOperation[] {
    const operations = this.operations;
    this.operations = [];
    for (const [key, head] of this.heads) {
      if (head.deleted) {
        operations.push({ type: 'delete', key: liveKey(key) });
        operations.push({ type: 'put', key: tombstoneKey(key), value: encodeTombstone(head) });
      } else {
        operations.push({ type: 'put', key: liveKey(key), value: encodeLive(head) });
        if (head.clearsTombstone) operations.push({ type: 'delete', key: tombstoneKey(key) });
      }
    }
    return operations;
  }

  private mergeFresh(): void {
    // Two runs, the first sorted: the engine's merge sort takes it as it is, so this is close to linear.
    this.sorted = this.sorted.concat(this.fresh.sort(compareKeys)).sort(compareKeys);
    this.fresh = [];
  }
}

/** The active layer, the one on its way to the store, those still needed by open fetches, and the store. */
export class Layers {
  private readonly store: OrderedStore;
  private activeLayer = new Layer();
  private frozenLayer: Layer | undefined;
  /** Durable, but needed by open fetches. Newest first. */
  private readonly kept: Layer[] = [];
  private readonly openHolds = new Set<Hold>();
  private nextHold: Hold = 1;

  constructor(store: OrderedStore) {
    this.store = store;
  }

  get active(): Layer {
    return this.activeLayer;
  }

  get frozen(): Layer | undefined {
    return this.frozenLayer;
  }

  /** Durable layers that are kept because of open fetches. */
  get keptCount(): number {
    return this.kept.length;
  }

  /**
   * Before a fetch that will be merged with the layers; until `closeHold` no layer that it may have missed
   * goes.
   */
  openHold(): Hold {
    const hold = this.nextHold++;
    this.openHolds.add(hold);
    return hold;
  }

  closeHold(hold: Hold): void {
    assert(this.openHolds.delete(hold), `hold ${hold} is not open`);
    this.dropUnneeded();
  }

  /** Ends the active layer and begins a new one. No frozen layer is pending. */
  freeze(): Layer {
    assert(this.frozenLayer === undefined, 'a group is frozen while another one is being written');
    this.frozenLayer = this.activeLayer;
    this.activeLayer = new Layer();
    return this.frozenLayer;
  }

  /** The frozen layer's batch is durable. */
  resolve(): void {
    const layer = this.frozenLayer;
    assert(layer !== undefined, 'a write resolved but no group was frozen');
    layer.neededBefore = this.nextHold;
    this.kept.unshift(layer);
    this.frozenLayer = undefined;
    this.dropUnneeded();
  }

  /** The newest version or tombstone of a key that a layer has. */
  versionInMemory(key: ByteString): Version | undefined {
    const version = this.activeLayer.heads.get(key) ?? this.frozenLayer?.heads.get(key);
    if (version !== undefined || this.kept.length === 0) return version;
    for (const layer of this.kept) {
      const kept = layer.heads.get(key);
      if (kept !== undefined) return kept;
    }
    return undefined;
  }

  /**
   * The newest state of a key: its record, its tombstone, or `undefined` for a key that never was. At most
   * two reads.
   */
  head(key: ByteString): Head | undefined {
    return this.versionInMemory(key) ?? this.headInStore(key);
  }

  /** A version in history, from memory or the store. Throws CORRUPT if there is none. */
  version(key: ByteString, revision: Revision, sub: number): Version {
    return (
      this.versionAtInMemory(revision, sub) ??
      decodeVersion(this.store.getSync(versionKey(revision, sub)), key, revision, sub)
    );
  }

  versionAtInMemory(revision: Revision, sub: number): Version | undefined {
    const version = this.activeLayer.versionAt(revision, sub) ?? this.frozenLayer?.versionAt(revision, sub);
    if (version !== undefined || this.kept.length === 0) return version;
    for (const layer of this.kept) {
      const kept = layer.versionAt(revision, sub);
      if (kept !== undefined) return kept;
    }
    return undefined;
  }

  /**
   * The newest state of keys in a span: the layers over what was fetched from `L/` and (where it matters)
   * `T/`, each with the same limit and direction. The caller holds a hold that is older than the fetches.
   */
  merge(
    span: KeySpan,
    limit: number,
    reverse: boolean,
    live: readonly StoreRecord[],
    tombstones: readonly StoreRecord[],
  ): Merged {
    const memory = this.keysInMemory(span, limit, reverse);
    const liveAscending = reverse ? live.toReversed() : live;
    const tombstonesAscending = reverse ? tombstones.toReversed() : tombstones;
    // A source that is at its limit says nothing about what lies beyond its last key.
    let covered = span;
    if (memory.length === limit) covered = upToLast(covered, reverse ? memory[0] : memory.at(-1), reverse);
    for (const records of [live, tombstones]) {
      const last = records.at(-1);
      if (last !== undefined && records.length >= limit) {
        covered = upToLast(covered, withoutPrefix(last.key), reverse);
      }
    }
    return { covered, candidates: this.mergeCovered(covered, memory, liveAscending, tombstonesAscending) };
  }

  private mergeCovered(
    covered: KeySpan,
    memory: readonly ByteString[],
    live: readonly StoreRecord[],
    tombstones: readonly StoreRecord[],
  ): Candidate[] {
    const candidates: Candidate[] = [];
    let atMemory = 0;
    let atLive = 0;
    let atTombstone = 0;
    for (;;) {
      const memoryKey = memory[atMemory];
      const liveRecord = live[atLive];
      const tombstone = tombstones[atTombstone];
      const liveKeyOnly = liveRecord === undefined ? undefined : withoutPrefix(liveRecord.key);
      const tombstoneKeyOnly = tombstone === undefined ? undefined : withoutPrefix(tombstone.key);
      const key = smallest(memoryKey, smallest(liveKeyOnly, tombstoneKeyOnly));
      if (key === undefined || (covered.end !== undefined && key >= covered.end)) return candidates;
      if (key === memoryKey) atMemory++;
      if (key === liveKeyOnly) atLive++;
      if (key === tombstoneKeyOnly) atTombstone++;
      if (key < covered.start) continue;
      const version = this.versionInMemory(key);
      if (version !== undefined) {
        candidates.push({ key, head: version, version });
      } else if (key === liveKeyOnly && liveRecord !== undefined) {
        candidates.push({ key, head: decodeLive(liveRecord.value, liveRecord.key), version: undefined });
      } else if (tombstone !== undefined) {
        candidates.push({ key, head: decodeTombstone(tombstone.value, tombstone.key), version: undefined });
      }
    }
  }

  private headInStore(key: ByteString): Head | undefined {
    const storeKey = liveKey(key);
    const record = this.store.getSync(storeKey);
    if (record !== undefined) return decodeLive(record, storeKey);
    const deletedKey = tombstoneKey(key);
    const tombstone = this.store.getSync(deletedKey);
    return tombstone === undefined ? undefined : decodeTombstone(tombstone, deletedKey);
  }

  /** The first (reverse: last) `limit` keys that any layer has in a span; ascending, each once. */
  private keysInMemory(span: KeySpan, limit: number, reverse: boolean): ByteString[] {
    const keys: ByteString[] = [];
    this.activeLayer.collectKeys(span, limit, reverse, keys);
    this.frozenLayer?.collectKeys(span, limit, reverse, keys);
    for (const layer of this.kept) layer.collectKeys(span, limit, reverse, keys);
    keys.sort(compareKeys);
    let distinct = 0;
    for (const key of keys) {
      if (distinct === 0 || keys[distinct - 1] !== key) keys[distinct++] = key;
    }
    keys.length = distinct;
    if (distinct <= limit) return keys;
    return reverse ? keys.slice(distinct - limit) : keys.slice(0, limit);
  }

  private dropUnneeded(): void {
    let oldestHold = this.nextHold;
    for (const hold of this.openHolds) {
      // Holds are numbered upwards and a Set keeps their order, so the first one is the oldest.
      oldestHold = hold;
      break;
    }
    while (this.kept.length > 0) {
      const oldest = this.kept[this.kept.length - 1];
      if (oldest === undefined || oldest.neededBefore > oldestHold) return;
      this.kept.pop();
    }
  }
}

/** Byte order, which for ByteStrings is the order of `<`. */
function compareKeys(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function upToLast(span: KeySpan, last: ByteString | undefined, reverse: boolean): KeySpan {
  if (last === undefined) return span;
  if (reverse) return last > span.start ? { start: last, end: span.end } : span;
  // The smallest string after `last`.
  const end = `${last}\x00`;
  return span.end === undefined || end < span.end ? { start: span.start, end } : span;
}

function lowerBound(keys: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as ByteString) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function smallest(a: ByteString | undefined, b: ByteString | undefined): ByteString | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a < b ? a : b;
}
