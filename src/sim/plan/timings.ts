// How long members of a run wait for each other, and how much they send at once. At the production defaults
// most of a run is quiet between two elections, so most runs have shorter times: what elections meet is
// drawn far more often then.

import type { Prng } from '../../base/prng.js';
import type { Knobs } from './plan.js';

export type Timing = Required<
  Pick<Knobs, 'heartbeatIntervalMs' | 'electionTimeoutMsMin' | 'electionTimeoutMsMax' | 'diskHungMs'>
>;

/** How much is sent, in flight and applied at once when nobody turned it. */
export const ordinaryReplication: Partial<Knobs> = {
  segmentBytes: 262_144,
  appendEntriesMax: 512,
  appendBytesMax: 229_376,
  inFlightMessagesMax: 256,
  inFlightBytesMax: 8_388_608,
  applyBytesMax: 4_194_304,
};

/** Many elections, none for want of time in a world without faults; what shapes and dramas are timed for. */
export const briskTiming: Timing = timing(50, 300, 600);
/** Elections for want of time, unless messages and syncs are quick. */
export const quickTiming: Timing = timing(50, 150, 300);

/**
 * The timing of a run; empty for the production defaults. Some election timeouts are near the heartbeat,
 * where validateRaftConfig still allows them: not below what messages and syncs take in this world, since
 * nobody promises a stable leader there.
 */
export function drawTiming(random: Prng, isQuick: boolean): Partial<Timing> {
  const lot = random.fraction();
  if (lot < 0.5) return briskTiming;
  if (lot < 0.7) return {};
  if (lot < 0.8) return timing(100, 300, 400);
  return isQuick && lot < 0.9 ? timing(20, 60, 120) : quickTiming;
}

/** A disk that takes as long as an election hangs: in the product it may take longer. */
function timing(heartbeatIntervalMs: number, min: number, max: number): Timing {
  return { heartbeatIntervalMs, electionTimeoutMsMin: min, electionTimeoutMsMax: max, diskHungMs: min };
}
