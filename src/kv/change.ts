// A change: all that one command writes is one revision, and its writes are numbered from 0 in their order
// (`sub`). The revision begins with the first write, so that a command that changes nothing takes none. Every
// operation writes through here and nowhere else: new versions in the active layer, the content hash, the
// state hash of the entry. Must depend on the replicated state and the writes only: no clock, no order of a
// Map, nothing of how the state is divided between layers and store.

import type { ByteString } from '../base/bytes.js';
import { Hash64 } from '../base/hash.js';
import type { CommandResult, ResultOf, Revision } from './commands.js';
import type { Layers } from './layers.js';
import type { Head } from './records/schema.js';
import { ContentHash, hashDeletion, hashRecord } from './state-hash.js';

const noBytes = new Uint8Array(0);

/** One for the life of a state machine, begun anew for each command: the hot path makes no object for it. */
export class Change {
  private readonly layers: Layers;
  readonly content = new ContentHash();
  /** Of the last command that changed something: one more with each of them, never reused. */
  revision: Revision = 0;
  private effects = new Hash64();
  private written = 0;

  constructor(layers: Layers) {
    this.layers = layers;
  }

  /** A command begins; what it writes goes into `effects` too. */
  begin(effects: Hash64): void {
    this.effects = effects;
    this.written = 0;
  }

  /** Versions and tombstones that the command has written. */
  get count(): number {
    return this.written;
  }

  /** Writes a version of a key. `previous`: its state before, as `Layers.head` tells it. */
  put(key: ByteString, value: Uint8Array, previous: Head | undefined): void {
    const existing = previous === undefined || previous.deleted ? undefined : previous;
    const sub = this.nextSub();
    const { revision } = this;
    const createRevision = existing === undefined ? revision : existing.createRevision;
    const version = existing === undefined ? 1 : existing.version + 1;
    const [hashHigh, hashLow] = hashRecord(key, value, createRevision, revision, version, 0);
    if (existing !== undefined) this.content.subtract(existing.hashHigh, existing.hashLow);
    this.content.add(hashHigh, hashLow);
    this.effects.number(hashHigh).number(hashLow);
    this.layers.active.add({
      key,
      value,
      deleted: false,
      modRevision: revision,
      sub,
      createRevision,
      version,
      leaseId: 0,
      valueBytes: value.length,
      hashHigh,
      hashLow,
      previousRevision: previous === undefined ? 0 : previous.modRevision,
      previousSub: previous === undefined ? 0 : previous.sub,
      previousValueBytes: previous === undefined ? 0 : previous.valueBytes,
      clearsTombstone: previous !== undefined && this.mayLeaveTombstone(key, previous),
    });
  }

  /** Writes the tombstone of a key that exists. */
  delete(key: ByteString, existing: Head): void {
    const sub = this.nextSub();
    const [hashHigh, hashLow] = hashDeletion(key, this.revision);
    this.content.subtract(existing.hashHigh, existing.hashLow);
    this.effects.number(hashHigh).number(hashLow);
    this.layers.active.add({
      key,
      value: noBytes,
      deleted: true,
      modRevision: this.revision,
      sub,
      createRevision: 0,
      version: 0,
      leaseId: 0,
      valueBytes: 0,
      hashHigh,
      hashLow,
      previousRevision: existing.modRevision,
      previousSub: existing.sub,
      previousValueBytes: existing.valueBytes,
      clearsTombstone: false,
    });
  }

  /** What became of the command, at the revision that the store has now. */
  result<C extends CommandResult['code']>(code: C, count: number): ResultOf<C> {
    return { code, revision: this.revision, count };
  }

  private nextSub(): number {
    if (this.written === 0) this.revision++;
    return this.written++;
  }

  /** Whether the group being made must remove a `T/` record that an earlier group may have written. */
  private mayLeaveTombstone(key: ByteString, previous: Head): boolean {
    if (previous.deleted) return true;
    return this.layers.active.heads.get(key)?.clearsTombstone === true;
  }
}
