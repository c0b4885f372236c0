// Puts a snapshot that arrived in full in the place of the node's own store and log, within the process.
// "If existing log entry has same index and term as snapshot's last included entry, retain log entries
// following it"; otherwise "discard the entire log" (Figure 13 of the paper, §7): then a new log, which
// begins after the snapshot, is made beside the old one, and one file changes from the old pair to the new
// (storage/folder/current.ts). Must never stop the replica before the new store was opened and looked at and
// all room on the disk was taken, nor make a promise of its smaller. A crash at any step leaves the
// old pair or the new one.

import { assert, assertNever } from '../../base/assert.js';
import { KvorumError } from '../../base/errors.js';
import type { Raft } from '../../raft/raft.js';
import { installedState } from '../../raft/snapshot.js';
import type { HardState, LogIndex, NodeId, Term } from '../../raft/types.js';
import {
  clearLog,
  commitCurrent,
  nextLogName,
  prepareCurrent,
  stagingStoreName,
  type Current,
} from '../../storage/folder/current.js';
import { isNoSpace } from '../../storage/disk/no-space.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { SnapshotFrame } from '../../wire/snapshots/frames.js';
import { makeNextLog, openLog } from './boot.js';
import { openStore, type OpenedStore, type PairOptions } from './pair.js';
import type { NewPair } from './rebuild.js';
import { SnapshotReceiver, type StagedSnapshot } from '../snapshots/receiver.js';
import { StagingRoom } from '../snapshots/staging-room.js';

/** What takes part now: the part of it that an install looks at. */
export interface Installed {
  readonly formation: Formation;
  readonly current: Current;
  readonly replica: { readonly raft: Raft; readonly promises: HardState };
}

/** The node that the snapshot is for. */
export interface InstallHost {
  /** It is on its way out: nothing is installed any more. */
  isEnding(): boolean;
  running(): Installed;
  send(peer: NodeId, frame: SnapshotFrame): boolean;
  /** From here until `ended` the node does not stop. */
  begun(): void;
  /** Ends the replica: no more steps and messages, log and store closed. Then its last promises. */
  endReplica(done: EndDone): void;
  /**
   * The pair in use from now on; absent when the replica goes on as it is. `released` when all is in order.
   */
  ended(pair: NewPair | undefined, released: () => void): void;
}

/** After the disk was found full, no snapshot is taken and no repair tried again for this long. */
export const noSpacePauseMs = 2_000;

/** Receives snapshots for a node, one after the other, and installs those that it needs. */
export class Installer {
  readonly receiver: SnapshotReceiver;
  private readonly options: PairOptions;
  private readonly host: InstallHost;

  constructor(options: PairOptions, host: InstallHost) {
    this.options = options;
    this.host = host;
    const { clock, timers, report } = options.env;
    const room = new StagingRoom(options.env, options.config.wal.segmentBytes);
    this.receiver = new SnapshotReceiver({
      stores: options.stores,
      software: options.software,
      clock,
      timers,
      report,
      hasRoom: () => room.hasRoom(),
      stagingName: () => stagingStoreName(host.running().current),
      isNeeded: (index, term) => this.isNeeded(index, term),
      send: (peer, frame) => host.send(peer, frame),
      staged: (snapshot, released) => this.install(snapshot, released),
    });
  }

  /**
   * Not where it is committed here, nor "if existing log entry has same index and term as snapshot's last
   * included entry: retain log entries following it" (Figure 13). The own log and store have it all then.
   */
  private isNeeded(index: LogIndex, term: Term): boolean {
    const { raft } = this.host.running().replica;
    return index > raft.commitIndex && raft.termAt(index) !== term;
  }

  private install(staged: StagedSnapshot, released: () => void): void {
    const { host } = this;
    // The node stops: the next start finds the staging store as it is.
    if (host.isEnding()) return;
    host.begun();
    const { formation, current, replica } = host.running();
    const replaced: Replaced = {
      formation,
      current,
      isNeeded: (index: LogIndex, term: Term) => this.isNeeded(index, term),
      promised: () => replica.promises,
      end: (done: EndDone) => {
        this.report('snapshotInstalling', staged);
        host.endReplica(done);
      },
    };
    const { timers } = this.options.env;
    installSnapshot(this.options, replaced, staged, (error, outcome) => {
      if (outcome === undefined) throw error ?? new KvorumError('INTERNAL', 'an install had no outcome');
      switch (outcome.kind) {
        case 'installed':
          this.report('snapshotInstalled', staged);
          return host.ended(outcome.pair, released);
        case 'discarded':
          return host.ended(undefined, released);
        case 'noSpace':
          return host.ended(undefined, () => void timers.set(noSpacePauseMs, released));
        default:
          return assertNever(outcome);
      }
    });
  }

  private report(kind: 'snapshotInstalling' | 'snapshotInstalled', staged: StagedSnapshot): void {
    const { storeName: store, index, term } = staged;
    this.options.env.report({ kind, store, index, term });
  }
}

type InstallDone = (error: Error | undefined, outcome: InstallOutcome | undefined) => void;
type EndDone = (error: Error | undefined, hardState: HardState | undefined) => void;

/** What an install needs of the replica that it replaces. */
export interface Replaced {
  readonly formation: Formation;
  readonly current: Current;
  /** Whether the own log neither holds the entry of this index and term nor has it behind it. */
  isNeeded(index: LogIndex, term: Term): boolean;
  /** What it has promised so far. */
  promised(): HardState;
  end(done: EndDone): void;
}

/** Unless it was installed the replica goes on as it is, and the staging store was removed. */
export type InstallOutcome =
  /** `pair` is in use from now on. */
  | { readonly kind: 'installed'; readonly pair: NewPair }
  /** It was not needed, or could not be used. */
  | { readonly kind: 'discarded' }
  /** The disk has no room for the new log. */
  | { readonly kind: 'noSpace' };

/**
 * Installs what arrived if it is still needed. The replica goes on until all that can be refused is
 * behind: the store was opened, and all room on the disk is taken. An error, given to `done` or thrown, is
 * the end of the node: a store that cannot be closed, a replica that lost what it wrote.
 */
export function installSnapshot(
  options: PairOptions,
  replaced: Replaced,
  staged: StagedSnapshot,
  done: InstallDone,
): void {
  const { stores } = options;
  const { storeName, index, term } = staged;
  const { report } = options.env;
  const discard = (kind: 'discarded' | 'noSpace' = 'discarded'): void => {
    stores.remove(storeName, (error) => {
      // What is left of it is where the next snapshot goes on, or is removed at the next start.
      if (error !== undefined) report({ kind: 'snapshotNotRemoved', error: error.message });
      done(undefined, { kind });
    });
  };
  const discardUnneeded = (): void => {
    report({ kind: 'snapshotUnneeded', index });
    discard();
  };
  if (!replaced.isNeeded(index, term)) {
    discardUnneeded();
    return;
  }
  openStore(options, storeName, (error, opened) => {
    if (opened === undefined) {
      // Nothing that is in use is damaged, whatever is wrong with what was to take its place.
      if (!KvorumError.is(error)) {
        done(error, undefined);
        return;
      }
      report({ kind: 'snapshotUnusable', store: storeName, error: error.message });
      discard(isNoSpace(error) ? 'noSpace' : 'discarded');
      return;
    }
    const { appliedIndex, appliedTerm } = opened.stateMachine;
    assert(
      appliedIndex === index && appliedTerm === term,
      `the store ${storeName} is the state at ${appliedIndex}, not ${index}`,
    );
    const close = (then: () => void): void => {
      opened.store.close((closeError) => (closeError === undefined ? then() : done(closeError, undefined)));
    };
    // The replica went on while the store was opened, and may have got there by itself.
    if (!replaced.isNeeded(index, term)) close(discardUnneeded);
    else replace(options, replaced, staged, opened, done, () => close(() => discard('noSpace')));
  });
}

/** `noRoom`: the disk is full; nothing was changed, and the replica goes on. */
function replace(
  options: PairOptions,
  replaced: Replaced,
  { storeName, index, term }: StagedSnapshot,
  opened: OpenedStore,
  done: InstallDone,
  noRoom: () => void,
): void {
  const { formation, current } = replaced;
  const { disk, report } = options.env;
  const makeLog = (promised: HardState): string => {
    const { hardState } = installedState(promised, { index, term, senderTerm: term });
    return makeNextLog(options, formation, current, hardState, { index, term });
  };
  const next = { store: storeName, log: nextLogName(current), catchingUp: current.catchingUp };
  const before = replaced.promised();
  try {
    makeLog(before);
    prepareCurrent(disk, next);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    clearLog(disk, next.log);
    report({ kind: 'installHasNoRoom', store: storeName, error: (error as Error).message });
    noRoom();
    return;
  }
  replaced.end((error, promised) => {
    if (promised === undefined) {
      done(error, undefined);
      return;
    }
    // A replica makes no promise on its way out. If it did, it must keep it.
    if (!isSame(promised, before)) makeLog(promised);
    commitCurrent(disk);
    const pair = { current: next, opened, log: openLog(options, formation, next, index) };
    done(undefined, { kind: 'installed', pair });
  });
}

function isSame(a: HardState, b: HardState): boolean {
  return a.currentTerm === b.currentTerm && a.votedFor === b.votedFor && a.commitIndex === b.commitIndex;
}
