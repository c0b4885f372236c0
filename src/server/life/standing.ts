// What a node is in its cluster, and what it has there: what exists in one standing only cannot be read in
// another. Only `life.ts` makes standings and puts one in the place of another.
//
//   opening ──► forming ──────────────► running ◄── install: a snapshot replaces store and log
//      │                                  ▲
//      └──────► recovering ── rebuild ────┘

import { assertNever } from '../../base/assert.js';
import type { Current } from '../../storage/folder/current.js';
import type { Wal } from '../../storage/wal/wal.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import { levelOfState } from '../replica/format-raise.js';
import type { Replica } from '../replica/replica.js';
import type { SnapshotFigures } from '../snapshots/figures.js';
import type { FirstStart } from './forming.js';
import type { OwnIdentity } from './identity.js';
import type { Installer } from './install.js';
import type { OpenedStore } from './pair.js';
import type { RecoveryWait } from './recovery-wait.js';

export type Standing = Opening | Forming | Recovering | Running;

/** The disk is being read: the node does not know yet who it is, and talks to nobody. */
export interface Opening {
  readonly kind: 'opening';
  /** What a new folder uses, until the folder has said what is in use. */
  readonly current: Current;
}

/** Not part of a cluster yet. */
export interface Forming {
  readonly kind: 'forming';
  readonly own: OwnIdentity;
  readonly current: Current;
  readonly opened: OpenedStore;
  readonly firstStart: FirstStart;
}

/** The disk was damaged, and the others have not all been heard. */
export interface Recovering {
  readonly kind: 'recovering';
  readonly own: OwnIdentity;
  readonly formation: Formation;
  readonly current: Current;
  /** Absent when it is the store that is damaged. */
  readonly opened: OpenedStore | undefined;
  readonly wait: RecoveryWait;
}

/** Takes part, with one store and one log; another `Running` follows when those are replaced. */
export interface Running {
  readonly kind: 'running';
  readonly own: OwnIdentity;
  readonly formation: Formation;
  /** Changes when the replica has caught up. */
  current: Current;
  readonly opened: OpenedStore;
  readonly wal: Wal;
  readonly replica: Replica;
  /** Made with the first replica of the process; outlives it. */
  readonly installer: Installer;
  /** A snapshot that has arrived is about to take the place of the log: what the log says now is void. */
  isInstalling: boolean;
  /** By replicas of this process that were replaced. */
  readonly sentBefore: Pick<SnapshotFigures, 'bytesSent'>;
}

/** The store that is open; `undefined` while it is being opened, or is damaged. */
export function storeOf(standing: Standing): OpenedStore | undefined {
  return standing.kind === 'opening' ? undefined : standing.opened;
}

/** The format level of this node's state, as far as it can be told. */
export function formatLevelOf({ formation, opened }: Pick<Recovering, 'formation' | 'opened'>): number {
  return levelOfState(formation, opened?.stateMachine);
}

/** The cluster that the node is part of, as long as it is not empty. */
export function formationOf(standing: Standing): Formation | undefined {
  switch (standing.kind) {
    case 'opening':
    case 'forming':
      return undefined;
    case 'recovering':
    case 'running':
      return standing.formation;
    default:
      return assertNever(standing);
  }
}
