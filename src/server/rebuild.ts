// Gives a member whose log or store is damaged a pair to start from again: what is intact of its own disk,
// and promises that are large enough for all it may have forgotten (recovering.ts). Must never change the
// pair in use before the new one is durable: a crash on the way leaves the damage to be found again.

import { KvorumError } from '../base/errors.js';
import type { Term } from '../raft/types.js';
import { stagingStoreName, writeCurrent, type Current } from '../storage/current.js';
import { clearDamage, type Damage } from '../storage/damage.js';
import type { LogBase } from '../storage/wal.js';
import type { Formation } from '../wire/entry-codec.js';
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

/** `done` gets `DISK` when the disk refuses. */
export function rebuildPair(
  options: PairOptions,
  request: RebuildRequest,
  done: (error: Error | undefined, pair: NewPair | undefined) => void,
): void {
  const { current, opened } = request;
  if (opened !== undefined) {
    done(undefined, beginAnew(options, request, current.store, opened));
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
    openStore(stores, name, (error, empty) => {
      if (empty === undefined) done(error, undefined);
      else done(undefined, beginAnew(options, request, name, empty));
    });
  });
}

function beginAnew(
  options: PairOptions,
  { formation, current, floor }: RebuildRequest,
  store: string,
  opened: OpenedStore,
): NewPair {
  const { disk } = options.env;
  const { appliedIndex: index, appliedTerm: term } = opened.stateMachine;
  const base: LogBase | undefined = index > 0 ? { index, term } : undefined;
  // A vote for itself is a vote for nobody else: in the floor's term this node gives none.
  const currentTerm = Math.max(floor, base?.term ?? formationTerm);
  const hardState = { currentTerm, votedFor: options.nodeId, commitIndex: base?.index ?? 1 };
  const log = makeNextLog(options, formation, current, hardState, base);
  const next: Current = { store, log, catchingUp: true };
  writeCurrent(disk, next);
  clearDamage(disk);
  return { current: next, opened, log: openLog(options, formation, next, index) };
}

/** The error to stop with where nobody can give back what is damaged. */
export function unrepairable(damage: Damage, isMember: boolean): KvorumError {
  const why = isMember ? 'the cluster has no other member' : 'this node is not a member of a cluster yet';
  const advice = `${why} that could give the data back: restore the data folder, or replace the node`;
  return new KvorumError('CORRUPT', `${damage.message}; ${advice}`, { details: { ...damage } });
}
