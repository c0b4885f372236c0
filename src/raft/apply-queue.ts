// How far the state machine has come, and what is on its way to it. Facts only: what is handed out, and when,
// is decided in `raft/apply.ts`.

import type { Millis } from '../base/env.js';
import { ByteWindow } from './byte-window.js';
import type { LogIndex } from './types.js';

export class ApplyQueue {
  /** appliedIndex <= handedOutIndex <= min(commitIndex, durableIndex). */
  appliedIndex: LogIndex;
  handedOutIndex: LogIndex;
  /** Handed out and not applied. */
  readonly open = new ByteWindow();
  /** A `readEntries` for the state machine is out. */
  isReading = false;
  /**
   * The last one brought nothing; it is asked again from then on, not at once. Infinite when nothing was
   * refused. A deadline of its own: under a steady leader a follower has no timeout otherwise.
   */
  readAgainMs: Millis = Infinity;

  constructor(appliedIndex: LogIndex) {
    this.appliedIndex = appliedIndex;
    this.handedOutIndex = appliedIndex;
  }
}
