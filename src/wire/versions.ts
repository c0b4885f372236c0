// Which versions two sides of a connection speak, and whether they meet. A hello begins with the same three
// positions in every version, and may end with positions that this one does not know; no other frame may.

import { KvorumError } from '../base/errors.js';
import { formatLevels } from '../kv/format-level.js';
import { uintAt } from './checks.js';
import type { WireArray } from './values.js';

/** The versions of the protocol that a side speaks. Raised when a frame changes its meaning. */
export interface ProtocolRange {
  readonly protocolMin: number;
  readonly protocolMax: number;
}

/** What every hello begins with. */
export interface Versions extends ProtocolRange {
  /** The highest format level that the sender's software reads and writes. */
  readonly formatLevelMax: number;
}

/** Of this software. */
export const ownVersions: Versions = { protocolMin: 3, protocolMax: 3, formatLevelMax: formatLevels.max };

/**
 * The version that two sides speak: the highest that both know. Throws `PROTOCOL`, naming both ranges and
 * whom to upgrade, when there is none. The names are for that message.
 */
export function agreedProtocol(
  own: ProtocolRange,
  theirs: ProtocolRange,
  ownName = 'this one',
  theirName = 'the other side',
): number {
  const highest = Math.min(own.protocolMax, theirs.protocolMax);
  if (highest >= own.protocolMin && highest >= theirs.protocolMin) return highest;
  const older = own.protocolMax < theirs.protocolMax ? ownName : theirName;
  const message =
    `${theirName} speaks protocol versions ${theirs.protocolMin} .. ${theirs.protocolMax}, ` +
    `${ownName} ${own.protocolMin} .. ${own.protocolMax}; upgrade ${older}`;
  throw new KvorumError('PROTOCOL', message, { details: { own: rangeOf(own), theirs: rangeOf(theirs) } });
}

function rangeOf({ protocolMin, protocolMax }: ProtocolRange): readonly [number, number] {
  return [protocolMin, protocolMax];
}

/**
 * Reads a hello of `length` positions or more. Of a version that this side does not speak only the versions
 * mean anything: what is wrong with the rest is then that the two do not meet.
 */
export function readHello<T>(frame: WireArray, length: number, read: (versions: Versions) => T): T {
  const versions = versionsAt(frame);
  try {
    if (frame.length < length) {
      const message = `hello must have at least ${length} positions, not ${frame.length}`;
      throw new KvorumError('PROTOCOL', message);
    }
    return read(versions);
  } catch (error) {
    agreedProtocol(ownVersions, versions);
    throw error;
  }
}

function versionsAt(frame: WireArray): Versions {
  const protocolMin = uintAt(frame, 1, 'protocolMin');
  // Protocol 2 and earlier had one number, and the sender's name in the next place.
  if (typeof frame[2] !== 'number') agreedProtocol(ownVersions, { protocolMin, protocolMax: protocolMin });
  return {
    protocolMin,
    protocolMax: uintAt(frame, 2, 'protocolMax', Number.MAX_SAFE_INTEGER, protocolMin),
    formatLevelMax: uintAt(frame, 3, 'formatLevelMax'),
  };
}
