// Everything that can go wrong in a run, as data. A fault says what, where and when; carrying it out is the
// fault driver's, what there is to know of each kind stands in fault-rules.ts, and whether a run may ask for
// it at all is the atlas's (fault-atlas.ts). Times are
// milliseconds of virtual time from the start of the world.

import type { ResumeOrder } from '../world/machine/process.js';
import type { UnsyncedFate } from '../world/disk/file.js';
import type { EntryFate } from '../world/disk/folders.js';

/**
 * In place of a node's position or name: whoever leads when the fault begins; the first node when nobody
 * does.
 */
export const theLeader = { position: -1, name: 'leader' } as const;

/** In place of a node's name: all nodes but the leader. */
export const theFollowers = 'followers';

/** A directed way between two hosts, by name. */
export type Way = readonly [from: string, to: string];

/** A fault of ways that lasts. */
interface OnWays {
  readonly atMs: number;
  readonly untilMs: number;
  readonly ways: readonly Way[];
}

/** A fault of one machine, by position. */
interface OnNode {
  readonly atMs: number;
  readonly node: number;
}

/** What befalls the ways between hosts. */
export type NetworkFault =
  | (OnWays & {
      readonly kind: 'cut';
      /** Whether links break at once, as when the way refuses; otherwise when someone misses an answer. */
      readonly refuses?: boolean;
    })
  /** The ways are cut for `shutMs` out of every `periodMs`, beginning with the cut. */
  | (OnWays & { readonly kind: 'flap'; readonly periodMs: number; readonly shutMs: number })
  /** Messages wait on the ways and arrive in one burst at the end; nobody misses an answer. */
  | (OnWays & { readonly kind: 'clog' })
  /** Links that stand swallow all that is sent over the ways, without an error; they break at the end. */
  | (OnWays & { readonly kind: 'halfOpen' })
  /** Links over the ways break now, and lose some of what is on its way. */
  | { readonly kind: 'reset'; readonly atMs: number; readonly ways: readonly Way[] }
  /** The ways carry so many bytes in a second, and hold so many before `send` refuses. */
  | (OnWays & {
      readonly kind: 'throttle';
      readonly bytesPerSecond: number;
      readonly bufferBytesMax: number;
    })
  | {
      readonly kind: 'conditions';
      readonly atMs: number;
      readonly untilMs: number;
      /** Only there; everywhere when absent. */
      readonly ways?: readonly Way[];
      readonly loss: number;
      readonly duplication: number;
      readonly reordering: number;
      /** Messages take this many times as long. */
      readonly latencyFactor: number;
    };

/** The end of a process, or of the power under it, and a new start. */
export type CrashFault = OnNode & {
  readonly kind: 'crash';
  readonly downMs: number;
  readonly machine: 'kill' | 'power';
  readonly unsynced: UnsyncedFate;
  readonly entries: EntryFate;
  /**
   * 0: between two events; otherwise just before this many-th write, sync, change of a name, batch or
   * message from then on.
   */
  readonly afterEffects: number;
  /** Counts effects only from when the node begins this, by its own log; never when it does not. */
  readonly during?: CrashPhase;
  /**
   * The next starts end in the same way, each before its so-many-th effect: a crash loop, and what a start
   * leaves half done. A start with fewer effects is not disturbed.
   */
  readonly nextStarts?: readonly number[];
  /** The next starts end by a loss of power with everything that was not synced, though this is a kill. */
  readonly thenPower?: boolean;
};

/** What a node may be about when it crashes. */
export type CrashPhase = 'install' | 'recovery' | 'delivery';

/** How the next starts end after the crash. */
export function nextOf(fault: CrashFault): CrashFault {
  if (fault.thenPower !== true) return fault;
  return { ...fault, machine: 'power', unsynced: 'none', entries: 'none', downMs: 500 };
}

/**
 * Damage that no crash does. Only what the atlas allows; the machine goes down, and starts on what is left.
 */
export type DamageFault = OnNode & {
  readonly kind: 'damage';
  readonly downMs: number;
  /**
   * `bitFlip`: of bytes that were synced long ago; `misdirected`: a unit of a file has the content of
   * another one, which is lost in its own place; `storeOpen`: the store says that it is damaged when it is
   * opened; `storeValue`: a bit of any record in the store is flipped; `wipe`: the whole disk is empty.
   */
  readonly damage: DamageKind;
  /** Where, from 0 (the oldest byte) up to 1, and which bit. */
  readonly position: number;
};

export type DamageKind = 'bitFlip' | 'misdirected' | 'storeOpen' | 'storeValue' | 'wipe';

export type DiskOperation = 'write' | 'shortWrite' | 'sync' | 'read' | 'batch';

/** What befalls one machine. */
export type MachineFault =
  | CrashFault
  | DamageFault
  /** An orderly stop, with leadership handed over, and a new start. */
  | (OnNode & { readonly kind: 'restart'; readonly downMs: number })
  | (OnNode & { readonly kind: 'pause'; readonly forMs: number; readonly resume: ResumeOrder })
  /** Each event takes so much processor time more. */
  | (OnNode & { readonly kind: 'slowProcessor'; readonly untilMs: number; readonly eventCostUs: number })
  /** `factor`: times as slow. */
  | (OnNode & { readonly kind: 'slowDisk'; readonly untilMs: number; readonly factor: number })
  /** Now and then an operation takes so much longer. */
  | (OnNode & {
      readonly kind: 'diskSpikes';
      readonly untilMs: number;
      readonly chance: number;
      readonly spikeMs: number;
    })
  | (OnNode & { readonly kind: 'stuckDisk'; readonly forMs: number })
  /** The next such operation fails with EIO; of a `shortWrite` the first part is written. */
  | (OnNode & {
      readonly kind: 'failDisk';
      readonly operation: DiskOperation;
    })
  | (OnNode & { readonly kind: 'fullDisk'; readonly untilMs: number; readonly freeBytes: number })
  | (OnNode & { readonly kind: 'wallJump'; readonly byMs: number })
  /** The monotonic clock stands still, and goes on from where it stood. */
  | (OnNode & { readonly kind: 'freezeClock'; readonly forMs: number })
  /** An orderly stop, and a start with software that knows levels up to this; it may be an older one. */
  | (OnNode & {
      readonly kind: 'replaceSoftware';
      readonly formatLevelMax: number;
      readonly downMs: number;
    });

/** A client process that is stopped for a while; by position in `clients`. */
export interface ClientPause {
  readonly kind: 'pauseClient';
  readonly atMs: number;
  readonly client: number;
  readonly forMs: number;
}

/**
 * The disk of a machine becomes what it was at `atMs`, at the first calm moment after `backAtMs`; see
 * ../README.md for what "calm" is and what may be demanded then.
 */
export interface Rollback extends OnNode {
  readonly kind: 'rollback';
  readonly backAtMs: number;
  readonly downMs: number;
}

/** Somebody asks whoever leads to raise the cluster to this format level. */
export interface RaiseRequest {
  readonly kind: 'raiseFormat';
  readonly atMs: number;
  readonly level: number;
}

export type Fault = NetworkFault | MachineFault | ClientPause | Rollback | RaiseRequest;

/** The fault of one kind. */
export type FaultOf<K extends Fault['kind']> = Extract<Fault, { readonly kind: K }>;

/** How a member that is not of the core lives on once the world has healed. */
export type Aftermath =
  /** Never starts again. */
  | 'dead'
  /** No message reaches it or leaves it. */
  | 'cut'
  /** It is heard by the core, and hears nothing. */
  | 'deaf'
  /** It hears the core, and is not heard. */
  | 'mute'
  /** Its ways open and close all the time. */
  | 'flapping'
  /** Its ways are open; what is wrong with its machine stays wrong. */
  | 'sick'
  /** Its ways are open; nothing that it gives to its disk is ever completed. */
  | 'stuck';

/**
 * The part of the cluster that must come to rest by itself: everything else that is wrong stays wrong for
 * ever.
 */
export interface CorePlan {
  /** Positions; a majority. */
  readonly nodes: readonly number[];
  /** One for each other position, ascending. */
  readonly others: readonly { readonly node: number; readonly state: Aftermath }[];
}
