// Gives a member whose log or store is damaged a pair to start from again: what is intact of its own disk,
// and promises that are large enough for all it may have forgotten (recovering.ts). Must never change the
// pair in use before the new one is durable: a crash on the way leaves the damage to be found again.

import { KvorumError } from '../../base/errors.js';
import type { Term } from '../../raft/types.js';
import {
  commitCurrent,
  prepareCurrent,
  stagingStoreName,
  type Current,
} from '../../storage/folder/current.js';
import { clearDamage, type Damage } from '../../storage/folder/damage.js';
import { isNoSpace } from '../../storage/disk/no-space.js';
import type { LogBase } from '../../storage/wal/wal.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import { formationTerm, makeNextLog, openLog, type OpenedLog } from './boot.js';
import { openStore, type OpenedStore, type PairOptions } from './pair.js';

export interface RebuildRequest {
  readonly formation: Formation;
  readonly current: Current;
  readonly damage: Damage;
  /** Present when the store is intact. */
  readonly opened: OpenedStore | undefined;
  /** No vote that this node may have forgotten, and that mattered, was for a later term. */
  readonly floor: Term;
}

/** A pair that is in use from now on. */
export interface NewPair {
  readonly current: Current;
  readonly opened: OpenedStore;
  readonly log: OpenedLog;
}

/**
 * `done` gets `DISK` when the disk refuses. If it was full (storage/disk/no-space.ts) nothing was changed:
 * it can be tried again.
 */
export function rebuildPair(
  options: PairOptions,
  request: RebuildRequest,
  done: (error: Error | undefined, pair: NewPair | undefined) => void,
): void {
  const { current, opened } = request;
  if (opened !== undefined) {
    const next = prepare(options, request, current.store, opened);
    if (next instanceof KvorumError) done(next, undefined);
    else done(undefined, begin(options, request, next, opened));
    return;
  }
  const { stores } = options;
  const name = stagingStoreName(current);
  // A part of a snapshot may be in it: the new store begins empty.
  stores.remove(name, (removeError) => {
    if (removeError !== undefined) {
      done(removeError, undefined);
      return;
    }
    openStore(options, name, (error, empty) => {
      if (empty === undefined) {
        done(error, undefined);
        return;
      }
      const next = prepare(options, request, name, empty);
      if (next instanceof KvorumError) empty.store.close((closeError) => done(closeError ?? next, undefined));
      else done(undefined, begin(options, request, next, empty));
    });
  });
}

/** Takes all the room on the disk that the new pair needs, or gives the error that there is none. */
function prepare(
  options: PairOptions,
  { formation, current, floor }: RebuildRequest,
  store: string,
  opened: OpenedStore,
): Current | KvorumError {
  const { disk } = options.env;
  const { appliedIndex: index, appliedTerm: term } = opened.stateMachine;
  const base: LogBase | undefined = index > 0 ? { index, term } : undefined;
  // A vote for itself is a vote for nobody else: in the floor's term this node gives none.
  const currentTerm = Math.max(floor, base?.term ?? formationTerm);
  const hardState = { currentTerm, votedFor: options.nodeId, commitIndex: base?.index ?? 1 };
  try {
    const log = makeNextLog(options, formation, current, hardState, base);
    const next: Current = { store, log, catchingUp: true };
    prepareCurrent(disk, next);
    return next;
  } catch (error) {
    if (!KvorumError.is(error) || !isNoSpace(error)) throw error;
    return error;
  }
}

/** The change itself. */
function begin(
  options: PairOptions,
  { formation }: RebuildRequest,
  next: Current,
  opened: OpenedStore,
): NewPair {
  const { disk } = options.env;
  commitCurrent(disk);
  clearDamage(disk);
  return { current: next, opened, log: openLog(options, formation, next, opened.stateMachine.appliedIndex) };
}

/** The error to stop with where nobody can give back what is damaged. */
export function unrepairable(damage: Damage, isMember: boolean): KvorumError {
  const why = isMember ? 'the cluster has no other member' : 'this node is not a member of a cluster yet';
  const advice = `${why} that could give the data back: restore the data folder, or replace the node`;
  return new KvorumError('CORRUPT', `${damage.message}; ${advice}`, { details: { ...damage } });
}
