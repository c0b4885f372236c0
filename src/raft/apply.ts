// Hands committed entries to the state machine: in order, each once, from memory or through `readEntries`,
// never more bytes ahead of it than `applyBytesMax`. Only what is durable here is handed out, also on a
// leader whose followers committed without it: the store must never be ahead of this node's own log, which is
// what recovery compares it with.
// Source: Figure 2, "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state
// machine".

import { assert } from '../base/assert.js';
import type { RaftState } from './state.js';
import type { LogEntry, LogIndex } from './types.js';

/** The state machine has applied everything through `index`. */
export function noteApplied(state: RaftState, index: LogIndex): void {
  const { apply } = state;
  assert(index <= apply.handedOutIndex, `applied ${index}, but only ${apply.handedOutIndex} was handed out`);
  apply.appliedIndex = Math.max(apply.appliedIndex, index);
  apply.open.releaseThrough(index);
}

/** Hands out what is committed, durable here and within the limit, or asks for it to be read. */
export function handOutCommitted(state: RaftState): void {
  const { apply, log, config } = state;
  const endIndex = Math.min(state.commitIndex, log.durableIndex);
  if (apply.handedOutIndex >= endIndex || apply.isReading) return;
  const room = config.applyBytesMax - apply.open.bytes;
  if (room <= 0 && apply.open.count > 0) return;
  const firstIndex = apply.handedOutIndex + 1;
  if (firstIndex < log.cacheFirstIndex) {
    if (apply.readAgainMs !== Infinity) return;
    apply.isReading = true;
    const lastIndex = Math.min(endIndex, log.cacheFirstIndex - 1);
    state.output.requestEntries({
      reader: { for: 'apply' },
      firstIndex,
      lastIndex,
      bytesMax: Math.max(1, room),
    });
    return;
  }
  const firstBytes = log.entry(firstIndex)?.payload.length ?? 0;
  if (apply.open.count > 0 && firstBytes > room) return;
  handOut(state, log.slice(firstIndex, endIndex, { entriesMax: Infinity, bytesMax: room }));
}

/** What `readEntries` for the state machine brought. */
export function receiveEntriesToApply(state: RaftState, entries: readonly LogEntry[]): void {
  const { apply, log } = state;
  apply.isReading = false;
  if (entries.length === 0) {
    apply.readAgainMs = state.now + state.config.heartbeatIntervalMs;
    return;
  }
  // Committed entries are never truncated, so what comes back must be what was asked for.
  const endIndex = Math.min(state.commitIndex, log.durableIndex);
  let index = apply.handedOutIndex;
  for (const entry of entries) {
    index++;
    const isExpected = entry.index === index && index <= endIndex && entry.term === log.termAt(index);
    assert(
      isExpected,
      `the disk returned entry ${entry.index} of term ${entry.term} where ${index} was to be applied`,
    );
  }
  handOut(state, entries);
}

function handOut(state: RaftState, entries: readonly LogEntry[]): void {
  const { apply, output } = state;
  let bytes = 0;
  for (const entry of entries) bytes += entry.payload.length;
  apply.handedOutIndex += entries.length;
  apply.open.push(apply.handedOutIndex, bytes);
  output.commit(entries);
}
