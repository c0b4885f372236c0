// The effects of operations on keys: new versions in the active layer, the revision, the content hash and the
// state hash of the entry. Must depend on the replicated state and the operation only: no clock, no order of
// a Map, nothing of how the state is divided between layers and store.

import type { ByteString } from '../base/bytes.js';
import type { Hash64 } from '../base/hash.js';
import {
  kvLimits,
  type CommandResult,
  type Condition,
  type DeleteOperation,
  type PutOperation,
  type Revision,
} from './commands.js';
import type { DeleteRangeLoad } from './operations/delete-range-load.js';
import type { Layers } from './layers.js';
import type { Head } from './records/schema.js';
import { ContentHash, hashDeletion, hashRecord } from './state-hash.js';

const noBytes = new Uint8Array(0);

export class Writer {
  private readonly layers: Layers;
  readonly content = new ContentHash();
  /** Of the last command that changed something: one more with each of them, never reused. */
  revision: Revision = 0;

  constructor(layers: Layers) {
    this.layers = layers;
  }

  put(operation: PutOperation, effects: Hash64): CommandResult {
    const { key, value } = operation;
    // The door for requests checks this too; here it keeps the records of the store well formed in any case.
    if (key.length > kvLimits.keyBytesMax || value.length > kvLimits.valueBytesMax) {
      return this.result('TOO_LARGE', 0);
    }
    const previous = this.layers.head(key);
    const existing = previous === undefined || previous.deleted ? undefined : previous;
    if (!holds(operation.condition, existing)) return this.result('CONFLICT', 0);
    this.revision++;
    const { revision } = this;
    const createRevision = existing === undefined ? revision : existing.createRevision;
    const version = existing === undefined ? 1 : existing.version + 1;
    const [hashHigh, hashLow] = hashRecord(key, value, createRevision, revision, version, 0);
    if (existing !== undefined) this.content.subtract(existing.hashHigh, existing.hashLow);
    this.content.add(hashHigh, hashLow);
    effects.number(hashHigh).number(hashLow);
    this.layers.active.add({
      key,
      value,
      deleted: false,
      modRevision: revision,
      sub: 0,
      createRevision,
      version,
      leaseId: 0,
      valueBytes: value.length,
      hashHigh,
      hashLow,
      previousRevision: previous === undefined ? 0 : previous.modRevision,
      previousSub: previous === undefined ? 0 : previous.sub,
      clearsTombstone: previous !== undefined && this.mayLeaveTombstone(key, previous),
    });
    return this.result('OK', 0);
  }

  delete(operation: DeleteOperation, effects: Hash64): CommandResult {
    const previous = this.layers.head(operation.key);
    const existing = previous === undefined || previous.deleted ? undefined : previous;
    if (!holds(operation.condition, existing)) return this.result('CONFLICT', 0);
    if (existing === undefined) return this.result('OK', 0);
    this.revision++;
    this.addTombstone(operation.key, existing, 0, effects);
    return this.result('OK', 1);
  }

  /** The load is complete. All keys are deleted by one revision, in byte order. */
  deleteRange(load: DeleteRangeLoad, effects: Hash64): CommandResult {
    const { victims } = load;
    if (load.tooLarge) return this.result('TOO_LARGE', victims.length);
    if (victims.length === 0) return this.result('OK', 0);
    this.revision++;
    let sub = 0;
    for (const victim of victims) this.addTombstone(victim.key, victim.head, sub++, effects);
    return this.result('OK', victims.length);
  }

  result(code: CommandResult['code'], count: number): CommandResult {
    return { code, revision: this.revision, count };
  }

  private addTombstone(key: ByteString, existing: Head, sub: number, effects: Hash64): void {
    const [hashHigh, hashLow] = hashDeletion(key, this.revision);
    this.content.subtract(existing.hashHigh, existing.hashLow);
    effects.number(hashHigh).number(hashLow);
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
      clearsTombstone: false,
    });
  }

  /** Whether the group being made must remove a `T/` record that an earlier group may have written. */
  private mayLeaveTombstone(key: ByteString, previous: Head): boolean {
    if (previous.deleted) return true;
    return this.layers.active.heads.get(key)?.clearsTombstone === true;
  }
}

function holds(condition: Condition | undefined, existing: Head | undefined): boolean {
  if (condition === undefined) return true;
  return condition.revision === (existing === undefined ? 0 : existing.modRevision);
}
