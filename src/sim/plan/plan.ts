// A run as data: what the world is like, what clients do and what goes wrong, with every time in it. A
// failing plan can be thinned out by hand or by a shrinker and still means the same. Times are milliseconds
// of virtual time from the start of the world. Types only: a plan is drawn in draw.ts.

import type { CorePlan, Fault } from './faults.js';
import type { Conditions, LinkMode } from '../world/network/connection.js';
import type { DiskTimes } from '../world/disk/disk.js';
import type { StoreTimes } from '../world/disk/store.js';

/** Numbers of the production configuration that are turned to make rare situations common. */
export interface Knobs {
  readonly segmentBytes: number;
  readonly quotaBytes: number;
  readonly appendEntriesMax: number;
  readonly appendBytesMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly applyBytesMax: number;
  readonly entryCacheBytesMax: number;
  readonly groupBytesMax: number;
  readonly groupIntervalMs: number;
  readonly sliceMs: number;
  /** The ordinary time when absent. */
  readonly heartbeatIntervalMs?: number;
  readonly electionTimeoutMsMin?: number;
  readonly electionTimeoutMsMax?: number;
  readonly diskHungMs?: number;
  /** The ordinary limits of the log and of a snapshot's chunks when absent. */
  readonly snapshotLogEntriesMax?: number;
  readonly snapshotLogBytesMax?: number;
  readonly snapshotChunkBytes?: number;
}

/** What is peculiar to one machine. */
export interface MachinePlan {
  readonly name: string;
  /** Speed of its monotonic clock; 1 is exact, the drift stays within a hundredth. */
  readonly clockRate: number;
  readonly clockStartMs: number;
  readonly wallOffsetMs: number;
  /** Processor time of an event and of a look at the clock, microseconds. */
  readonly eventCostUs: number;
  readonly clockReadCostUs: number;
  readonly startAtMs: number;
  /** Instead of that of the knobs: members need not have the same limit. */
  readonly snapshotLogEntriesMax?: number;
  /**
   * In a run in which versions meet: the format level that the software knows which it starts with. All
   * machines have it, or none.
   */
  readonly formatLevelMax?: number;
}

export interface PlannedOperation {
  /** Not before this; later when the client still waits for earlier answers. */
  readonly atMs: number;
  /** Position in `clients`. */
  readonly client: number;
  readonly kind: 'put' | 'delete' | 'get' | 'range';
  readonly key: string;
  /**
   * `absent`: the key must not exist; `known`: it must be as this client last saw it; `any`: no condition.
   */
  readonly condition: 'any' | 'absent' | 'known';
  /** Length of the value of a put, bytes; at least what makes it unique. */
  readonly valueBytes: number;
}

export interface ClientPlan {
  readonly name: string;
  /** Operations that may wait for an answer at once. */
  readonly concurrency: number;
  readonly timeoutMs: number;
  /** Whom it asks to read; the leader when absent. */
  readonly readFrom?: 'leader' | 'nearest';
}

export interface Plan {
  readonly formatVersion: 1;
  readonly seed: number;
  /** Faults may last until here … */
  readonly safetyMs: number;
  /** … and from then on everything that the core needs works, and it must come to rest within this time. */
  readonly healMs: number;
  readonly peerMode: LinkMode;
  readonly conditions: Readonly<Conditions>;
  readonly disk: DiskTimes;
  readonly store: StoreTimes;
  readonly knobs: Knobs;
  readonly machines: readonly MachinePlan[];
  readonly clients: readonly ClientPlan[];
  /** By ascending time. */
  readonly operations: readonly PlannedOperation[];
  readonly families: readonly string[];
  /** By ascending time. */
  readonly faults: readonly Fault[];
  /** Who must come to rest in the healed phase, and what stays wrong elsewhere; all and nothing if absent. */
  readonly core?: CorePlan;
  /** What is asked of the cluster before the healed phase; nothing if absent. */
  readonly steady?: Steadiness;
}

/** From `fromMs` to the end of the safety phase. */
export interface Steadiness {
  readonly fromMs: number;
  /** Terms that get a leader then: as many as faults of the plan explain. */
  readonly electionsMax: number;
  /** The longest time without an acknowledged write. */
  readonly silenceMsMax: number;
}
