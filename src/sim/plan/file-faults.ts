// What each kind of fault looks like in a plan file: one line per kind. A fault that is added to the world
// does not compile before it stands here, so no plan can be drawn that could not be written and read.

import {
  boolean,
  fraction,
  integer,
  list,
  number,
  oneOf,
  optional,
  positive,
  type FieldChecks,
  time,
  ways,
} from './file-checks.js';
import type { Fault } from './faults.js';

type FaultFields = {
  readonly [Kind in Fault['kind']]: Omit<FieldChecks<Extract<Fault, { readonly kind: Kind }>>, 'kind'>;
};

/** From `atMs` to `untilMs`. */
const lasting = { atMs: time, untilMs: time };
const onWays = { ...lasting, ways };
const onNode = { atMs: time, node: integer };
const onNodeLasting = { ...lasting, node: integer };

const unsyncedFates = oneOf('none', 'prefix', 'subset', 'all');
const damageKinds = oneOf('bitFlip', 'misdirected', 'storeOpen', 'storeValue', 'wipe');
const storms = { loss: fraction, duplication: fraction, reordering: fraction, latencyFactor: positive };
const crashes = { machine: oneOf('kill', 'power'), unsynced: unsyncedFates, entries: unsyncedFates };
const crashMoments = {
  afterEffects: time,
  during: optional(oneOf('install', 'recovery', 'delivery')),
  nextStarts: optional(list(time)),
  thenPower: optional(boolean),
};

/** The fields of each kind besides `kind` itself. */
export const faultFields: FaultFields = {
  cut: { ...onWays, refuses: optional(boolean) },
  flap: { ...onWays, periodMs: positive, shutMs: time },
  clog: onWays,
  halfOpen: onWays,
  reset: { atMs: time, ways },
  throttle: { ...onWays, bytesPerSecond: positive, bufferBytesMax: positive },
  conditions: { ...lasting, ways: optional(ways), ...storms },
  crash: { ...onNode, downMs: time, ...crashes, ...crashMoments },
  damage: { ...onNode, downMs: time, damage: damageKinds, position: fraction },
  restart: { ...onNode, downMs: time },
  pause: { ...onNode, forMs: time, resume: oneOf('timersFirst', 'messagesFirst') },
  slowProcessor: { ...onNodeLasting, eventCostUs: time },
  slowDisk: { ...onNodeLasting, factor: positive },
  diskSpikes: { ...onNodeLasting, chance: fraction, spikeMs: time },
  stuckDisk: { ...onNode, forMs: time },
  failDisk: { ...onNode, operation: oneOf('write', 'shortWrite', 'sync', 'read', 'batch') },
  fullDisk: { ...onNodeLasting, freeBytes: time },
  wallJump: { ...onNode, byMs: number },
  freezeClock: { ...onNode, forMs: time },
  pauseClient: { atMs: time, client: integer, forMs: time },
  rollback: { ...onNode, backAtMs: time, downMs: time },
};
