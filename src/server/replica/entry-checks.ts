// What a member looks at in the entries that pass through it, besides applying them: whether it could read
// them back, and the newest time stamp among them.

import { KvorumError } from '../../base/errors.js';
import type { EntryTimes } from '../../kv/commands.js';
import { checkKnownLevel, type Software } from '../../kv/format-level.js';
import type { AppendEntries } from '../../raft/messages.js';
import type { LogEntry } from '../../raft/types.js';
import { checkEntryPayload } from '../../wire/commands/entry-check.js';
import { decodeEntryTimes } from '../../wire/commands/entry-codec.js';

/**
 * Throws `FORMAT` for an entry of a format level that this software does not read, and `PROTOCOL` for one
 * that is malformed: neither must get into a log that cannot read it back.
 */
export function checkPayloads(message: AppendEntries, software: Software): void {
  for (const { index, kind, payload } of message.entries) {
    if (kind !== 'command') continue;
    try {
      checkEntryPayload(payload, software);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      throw new KvorumError(error.code, `entry ${index} from ${message.from}: ${error.message}`);
    }
  }
}

/**
 * Throws `FORMAT` for an entry of the log that this software cannot read: the node is too old for its own
 * data. That is no damage.
 */
export function checkLogLevels(entries: readonly LogEntry[], software: Software): void {
  for (const { kind, payload } of entries) {
    if (kind === 'command') checkKnownLevel(payload[0] ?? 0, software, 'the entry is of');
  }
}

/** The stamp of the last entry that carries one. */
export function newestTimes(entries: readonly LogEntry[]): EntryTimes | undefined {
  const newest = entries.findLast((entry) => entry.kind === 'command');
  return newest && decodeEntryTimes(newest.payload);
}
