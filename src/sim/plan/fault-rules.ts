// What there is to know of each kind of fault, in one place: its words, its fields in a plan file, what ends
// it, what makes it plainer and what it does to a disk. A fault that is added to the world does not compile
// before it stands here, and before the fault driver knows how to carry it out; what draws none of it is
// found by a test. Must never name a machine or run anything.

import {
  boolean,
  fraction,
  integer,
  integerFrom,
  list,
  number,
  oneOf,
  optional,
  positive,
  type FieldChecks,
  time,
  ways,
} from './file-checks.js';
import { formatLevels } from '../../kv/format-level.js';
import { newerLevel } from '../world/machine/software.js';
import type { ResumeOrder } from '../world/machine/process.js';
import type { UnsyncedFate } from '../world/disk/file.js';
import type { EntryFate } from '../world/disk/folders.js';
import type { CrashFault, CrashPhase, DamageKind, DiskOperation, Fault, FaultOf } from './faults.js';

/** How a machine goes on after damage. */
export type DamageOutcome =
  /** It starts, notices, and refills itself from the others; it is as good as new in the healed phase. */
  | 'recovers'
  /** It must stop with IDENTITY and never vote again; the others go on without it. */
  | 'stops';

export const damageOutcomes: Readonly<Record<DamageKind, DamageOutcome>> = {
  bitFlip: 'recovers',
  misdirected: 'recovers',
  storeOpen: 'recovers',
  storeValue: 'recovers',
  wipe: 'stops',
};

/** What a fault does to a disk beyond what crashes do. */
export type Harm =
  | 'none'
  | DamageOutcome
  /** The machine has forgotten promises and cannot know it. */
  | 'forgets';

interface FaultRule<F extends Fault> {
  /** For people. */
  readonly words: string;
  /** Its fields in a plan file, besides `kind`. */
  readonly fields: Omit<FieldChecks<F>, 'kind'>;
  /** The field with the time at which it ends; `none`: it lasts for a length, or has no end. */
  readonly end: Extract<keyof F, 'untilMs' | 'backAtMs'> | 'none';
  /** Whether it is sound with an earlier end; otherwise it is left out where a run ends before it. */
  readonly mayEndEarly: boolean;
  /** Fields with a length of time: less of it is plainer. */
  readonly lengths: readonly Extract<keyof F, 'forMs' | 'downMs'>[];
  harm(fault: F): Harm;
}

/** From `atMs` to `untilMs`. */
const lasting = { atMs: time, untilMs: time };
const onWays = { ...lasting, ways };
const onNode = { atMs: time, node: integer };
const onNodeLasting = { ...lasting, node: integer };

const levels = integerFrom(formatLevels.min, newerLevel);
const unsyncedFates = oneOf<UnsyncedFate>({ none: 1, prefix: 1, subset: 1, all: 1 });
const entryFates = oneOf<EntryFate>({ none: 1, prefix: 1, subset: 1, all: 1 });
const damageKinds = oneOf<DamageKind>({ bitFlip: 1, misdirected: 1, storeOpen: 1, storeValue: 1, wipe: 1 });
const resumeOrders = oneOf<ResumeOrder>({ timersFirst: 1, messagesFirst: 1 });
const operations = oneOf<DiskOperation>({ write: 1, shortWrite: 1, sync: 1, read: 1, batch: 1 });
const storms = { loss: fraction, duplication: fraction, reordering: fraction, latencyFactor: positive };
const crashes = {
  machine: oneOf<CrashFault['machine']>({ kill: 1, power: 1 }),
  unsynced: unsyncedFates,
  entries: entryFates,
  afterEffects: time,
  during: optional(oneOf<CrashPhase>({ install: 1, recovery: 1, delivery: 1 })),
  nextStarts: optional(list(time)),
  thenPower: optional(boolean),
};

const none = (): Harm => 'none';
/** It is over at once, or lasts for a length of time. */
const short = { end: 'none', mayEndEarly: false, harm: none } as const;
/** It is on until `untilMs`, or until the run ends before that. */
const until = { end: 'untilMs', mayEndEarly: true, lengths: [], harm: none } as const;

export const faultRules = {
  cut: { words: 'ways are cut', fields: { ...onWays, refuses: optional(boolean) }, ...until },
  flap: {
    words: 'ways are cut and open in turn',
    fields: { ...onWays, periodMs: positive, shutMs: time },
    ...until,
  },
  clog: { words: 'messages wait, and arrive in one burst', fields: onWays, ...until },
  halfOpen: { words: 'links swallow what is sent, and break at the end', fields: onWays, ...until },
  reset: { words: 'links break', fields: { atMs: time, ways }, ...short, lengths: [] },
  throttle: {
    words: 'ways carry little',
    fields: { ...onWays, bytesPerSecond: positive, bufferBytesMax: positive },
    ...until,
  },
  conditions: {
    words: 'messages are lost, come twice, overtake each other or are late',
    fields: { ...lasting, ways: optional(ways), ...storms },
    ...until,
  },
  crash: {
    words: 'a process is killed, or the machine loses power',
    fields: { ...onNode, downMs: time, ...crashes },
    ...short,
    lengths: ['downMs'],
  },
  damage: {
    words: 'what a disk held is other than what was written',
    fields: { ...onNode, downMs: time, damage: damageKinds, position: fraction },
    ...short,
    lengths: ['downMs'],
    harm: ({ damage }) => damageOutcomes[damage],
  },
  restart: {
    words: 'an orderly stop and a new start',
    fields: { ...onNode, downMs: time },
    ...short,
    lengths: ['downMs'],
  },
  pause: {
    words: 'a process stands still',
    fields: { ...onNode, forMs: time, resume: resumeOrders },
    ...short,
    lengths: ['forMs'],
  },
  slowProcessor: {
    words: 'a processor is slow',
    fields: { ...onNodeLasting, eventCostUs: time },
    ...until,
  },
  slowDisk: { words: 'a disk is slow', fields: { ...onNodeLasting, factor: positive }, ...until },
  diskSpikes: {
    words: 'a disk is slow now and then',
    fields: { ...onNodeLasting, chance: fraction, spikeMs: time },
    ...until,
  },
  stuckDisk: {
    words: 'a disk completes nothing',
    fields: { ...onNode, forMs: time },
    ...short,
    lengths: ['forMs'],
  },
  failDisk: {
    words: 'an operation of a disk fails',
    fields: { ...onNode, operation: operations },
    ...short,
    lengths: [],
  },
  fullDisk: { words: 'a disk is full', fields: { ...onNodeLasting, freeBytes: time }, ...until },
  wallJump: { words: 'the wall clock jumps', fields: { ...onNode, byMs: number }, ...short, lengths: [] },
  freezeClock: {
    words: 'the monotonic clock stands still',
    fields: { ...onNode, forMs: time },
    ...short,
    lengths: ['forMs'],
  },
  replaceSoftware: {
    words: 'a node goes on with another version',
    fields: { ...onNode, formatLevelMax: levels, downMs: time },
    ...short,
    lengths: ['downMs'],
  },
  raiseFormat: {
    words: 'the cluster is to be raised to a format level',
    fields: { atMs: time, level: levels },
    ...short,
    lengths: [],
  },
  pauseClient: {
    words: 'a client stands still',
    fields: { atMs: time, client: integer, forMs: time },
    ...short,
    lengths: ['forMs'],
  },
  rollback: {
    words: 'a disk becomes what it was some time ago',
    fields: { ...onNode, backAtMs: time, downMs: time },
    end: 'backAtMs',
    mayEndEarly: false,
    lengths: ['downMs'],
    harm: () => 'forgets',
  },
} as const satisfies { readonly [K in Fault['kind']]: FaultRule<FaultOf<K>> };

/** The name of every fault. */
export const faultKinds = Object.keys(faultRules) as readonly Fault['kind'][];

const ruleOfKind: { readonly [K in Fault['kind']]: FaultRule<FaultOf<K>> } = faultRules;

/** As the rules of one kind, for whoever holds a fault of any. */
interface AnyRule {
  readonly end: 'untilMs' | 'backAtMs' | 'none';
  readonly mayEndEarly: boolean;
  readonly lengths: readonly ('forMs' | 'downMs')[];
  harm(fault: Fault): Harm;
}

export function ruleOf(fault: Fault): AnyRule {
  return ruleOfKind[fault.kind] as AnyRule;
}

/** When the fault ends, as far as it says so. */
export function endOf(fault: Fault): number | undefined {
  const { end } = ruleOf(fault);
  return end === 'none' ? undefined : (fault as Fault & Readonly<Record<typeof end, number>>)[end];
}
