// What may be under way is bounded: a follower that does not answer must not make its leader's memory grow.
// Looked at whenever a leader changed in any way, which a message that leaves alone does not do; so an excess
// is seen at the latest when the next entry comes.

import type { Observation, RaftChecker } from '../raft/node-view.js';
import type { Violations } from '../violations.js';

/** Of one leader to one follower, as in the configuration of the core. */
export interface InFlightLimits {
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly appendBytesMax: number;
}

/** One entry may be larger than a whole message should be. */
const entryBytesMax = 2 * 1_048_576;

export class BoundsChecker implements RaftChecker {
  private readonly violations: Violations;
  private readonly limits: InFlightLimits;

  constructor(violations: Violations, limits: InFlightLimits) {
    this.violations = violations;
    this.limits = limits;
  }

  observe(now: Observation): void {
    if (now.role !== 'leader') return;
    const { inFlightMessagesMax, inFlightBytesMax, appendBytesMax } = this.limits;
    const bytesMax = inFlightBytesMax + Math.max(appendBytesMax, entryBytesMax);
    for (const { peer, inFlightMessages, inFlightBytes } of now.raft.progress()) {
      if (inFlightMessages <= inFlightMessagesMax && inFlightBytes <= bytesMax) continue;
      const message =
        `${inFlightMessages} messages with ${inFlightBytes} bytes in flight to ${peer}; ` +
        `the limits are ${inFlightMessagesMax} and ${inFlightBytesMax}`;
      this.violations.add('bounds', now.nodeId, message);
    }
  }
}
