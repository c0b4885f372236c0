// How old what a follower lacks is: where the log ended at each of the last seconds. Kept only for people.

import type { LogIndex } from '../../raft/types.js';
import type { Millis } from '../../base/env.js';

/** Ten minutes; what is older counts as that old. */
const notesMax = 600;
export const noteIntervalMs: Millis = 1_000;

export class LogAges {
  /** Ascending in both. */
  private readonly notes: { readonly ms: Millis; readonly lastIndex: LogIndex }[] = [];

  /** To be called each second. */
  note(ms: Millis, lastIndex: LogIndex): void {
    // A log may be shorter than before: what was cut off is lacked by nobody.
    while ((this.notes.at(-1)?.lastIndex ?? 0) > lastIndex) this.notes.pop();
    this.notes.push({ ms, lastIndex });
    if (this.notes.length > notesMax) this.notes.shift();
  }

  /** For how long the log has had an entry above `index`, in ms, to about a second. */
  ageAbove(index: LogIndex, nowMs: Millis): Millis {
    const first = this.notes.find(({ lastIndex }) => lastIndex > index);
    return first === undefined ? 0 : nowMs - first.ms;
  }
}
