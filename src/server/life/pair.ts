// The store and the log that a member runs on: opened together at a start, replaced together by an install or
// the repair of a damaged disk. One file says which ones are in use (storage/folder/current.ts). What is
// damaged is told from what else can go wrong; nothing is repaired here.

import type { Done } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { StateMachine } from '../../kv/state-machine.js';
import type { OpenStore, Stores } from '../../kv/store.js';
import { tableKinds } from '../../kv/tables/index.js';
import { stagingStoreName, type Current } from '../../storage/folder/current.js';
import { damageOf, type Damage } from '../../storage/folder/damage.js';
import type { ServerEnv } from '../events.js';
import { openFolderLog, type BootOptions, type Folder, type OpenedLog } from './boot.js';

/** A store and what it is the state of. */
export interface OpenedStore {
  readonly store: OpenStore;
  readonly stateMachine: StateMachine;
}

export interface PairOptions extends BootOptions {
  readonly stores: Stores;
}

export type OpenedFolder =
  /** Without a log the node was never part of a cluster. */
  | { readonly kind: 'open'; readonly opened: OpenedStore; readonly log: OpenedLog | undefined }
  /** `opened` is absent when it is the store that is damaged; it is closed then. */
  | { readonly kind: 'damaged'; readonly damage: Damage; readonly opened: OpenedStore | undefined };

/**
 * Opens store and log of a folder. `done` gets what is wrong if it is not damage. What is thrown by `done`
 * is not caught.
 */
export function openPair(
  options: PairOptions,
  folder: Folder,
  done: (error: Error | undefined, opened: OpenedFolder | undefined) => void,
): void {
  const { current, damage } = folder;
  if (damage?.what === 'store') {
    done(undefined, { kind: 'damaged', damage, opened: undefined });
    return;
  }
  openStore(options, current.store, (error, opened) => {
    if (opened === undefined) settleFailure(error, current, undefined, done);
    else if (damage !== undefined) done(undefined, { kind: 'damaged', damage, opened });
    else openLogOf(options, folder, opened, done);
  });
}

/**
 * Opens a store and loads what it is the state of; closed again when that fails. `FORMAT`: it is of a format
 * level above the software's.
 */
export function openStore(
  { stores, software }: Pick<PairOptions, 'stores' | 'software'>,
  name: string,
  done: (error: Error | undefined, opened: OpenedStore | undefined) => void,
): void {
  stores.open(name, (openError, store) => {
    if (store === undefined) {
      done(openError ?? new KvorumError('INTERNAL', `the store ${name} was not opened`), undefined);
      return;
    }
    const stateMachine = new StateMachine(store, software, tableKinds);
    stateMachine.load((loadError) => {
      if (loadError === undefined) done(undefined, { store, stateMachine });
      else store.close(() => done(loadError, undefined));
    });
  });
}

/**
 * Removes the stores that are neither in use nor being put together, one after the other. A failure is
 * logged: the next start tries again.
 */
export function removeUnusedStores(env: ServerEnv, stores: Stores, current: Current, done: () => void): void {
  const failed = (error: Error): void => {
    env.report({ kind: 'unusedStoreNotRemoved', error: error.message });
    done();
  };
  stores.list((error, names) => {
    if (error !== undefined) {
      failed(error);
      return;
    }
    const kept = [current.store, stagingStoreName(current)];
    const unused = names.filter((name) => !kept.includes(name));
    const removed: Done = (removeError) => {
      const next = unused.shift();
      if (removeError !== undefined) failed(removeError);
      else if (next === undefined) done();
      else stores.remove(next, removed);
    };
    removed(undefined);
  });
}

function openLogOf(
  options: PairOptions,
  folder: Folder,
  opened: OpenedStore,
  done: (error: Error | undefined, opened: OpenedFolder | undefined) => void,
): void {
  let log: OpenedLog | undefined;
  try {
    log = openFolderLog(options, folder, opened.stateMachine);
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    settleFailure(error, folder.current, opened, done);
    return;
  }
  done(undefined, { kind: 'open', opened, log });
}

function settleFailure(
  error: Error | undefined,
  current: Current,
  opened: OpenedStore | undefined,
  done: (error: Error | undefined, opened: OpenedFolder | undefined) => void,
): void {
  const damage = damageOf(error, current);
  if (damage === undefined) done(error, undefined);
  else done(undefined, { kind: 'damaged', damage, opened });
}
