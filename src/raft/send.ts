// How results leave: at once when they promise nothing, but never while the term they speak of is not yet on
// disk. What promises something (a vote, an acknowledgement of entries) does not come through here: it always
// waits.

import type { Message } from './messages.js';
import type { RaftState } from './state.js';

/** Sends a result that promises no more than this member's currentTerm. */
export function sendResult(state: RaftState, message: Message): void {
  if (state.units.durableTerm === state.currentTerm) state.output.send(message);
  else state.output.sendAfterPersist(message);
}
