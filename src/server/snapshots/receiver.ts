// Takes a snapshot from another member into a staging store, chunk by chunk, each durable before it is
// answered, and hands the store over when it is whole and verified. Must never touch the store and the log
// that are in use, nor stop the node: whatever goes wrong here gives the snapshot up, and the next one goes
// on after what is durable, or begins from nothing when that cannot be trusted.

import { assertNever } from '../../base/assert.js';
import type { Clock, Done, Millis, NodeId, Report, TimerHandle, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Software } from '../../kv/format-level.js';
import type { SnapshotEnd, SnapshotWriter } from '../../kv/snapshot/writer.js';
import { recordsBytes, type StoreOperation, type Stores } from '../../kv/store.js';
import { isNoSpace } from '../../storage/disk/no-space.js';
import type {
  SnapshotChunk,
  SnapshotOffer,
  SnapshotResult,
  SnapshotFrame,
} from '../../wire/snapshots/frames.js';
import { hashChunk } from '../../wire/snapshots/codec.js';
import type { EventOf, NodeEvent } from '../events.js';
import { whyRemoved } from '../operate/event-lines.js';
import { windowChunks } from './outgoing.js';
import { StagingStore } from './staging-store.js';

/** A store that holds the whole state at an index, closed. */
export interface StagedSnapshot {
  readonly storeName: string;
  readonly index: number;
  readonly term: number;
}

export interface SnapshotReceiverOptions {
  readonly stores: Stores;
  /** Snapshots of a format level above its own are refused. */
  readonly software: Software;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly report: Report<NodeEvent>;
  /** Whether the disk has room for more than the member itself needs. Asked for each frame. */
  hasRoom(): boolean;
  /** The store that snapshots are received into; the same until it was handed over and released. */
  stagingName(): string;
  /** Whether a snapshot of this index and term would help: the own log and store do not have it. */
  isNeeded(index: number, term: number): boolean;
  send(peer: NodeId, frame: SnapshotFrame): boolean;
  /**
   * A snapshot is whole. Its store is the caller's from here on; until `released` is called, offers are
   * refused. Call it when the store was installed or removed, so that `stagingName` names another one.
   */
  staged(snapshot: StagedSnapshot, released: () => void): void;
}

/** A staging store that nothing came for in this time is removed. */
const idleMs: Millis = 600_000;
const checkIntervalMs: Millis = 30_000;
const noRoom = 'the disk is nearly full';

interface Incoming {
  readonly peer: NodeId;
  readonly offer: SnapshotOffer;
  /** The cursor was sent: chunks may come. */
  isReady: boolean;
  /** Sequence of the next chunk to arrive. */
  next: number;
  /** Arrived and not yet written; the first one may be on its way to the disk. At most the window. */
  readonly queue: SnapshotChunk[];
}

export class SnapshotReceiver {
  private readonly options: SnapshotReceiverOptions;
  private readonly staging: StagingStore;
  private incoming: Incoming | undefined;
  /** The newest snapshot that was offered and needed. */
  private wanted: SnapshotOffer | undefined;
  /** What is to be done with the staging store as soon as nothing is asked of it. */
  private ending: 'close' | 'remove' | undefined;
  private handedOver = false;
  private closed = false;
  private whenClosed: Done | undefined;
  private timer: TimerHandle | undefined;
  private lastActivityMs: Millis;
  private begunCount = 0;
  private stagedCount = 0;
  private failedCount = 0;
  private writtenBytes = 0;

  constructor(options: SnapshotReceiverOptions) {
    this.options = options;
    this.staging = new StagingStore(options.stores, options.software, () => options.stagingName());
    this.lastActivityMs = options.clock.nowMs();
    this.watch();
  }

  /** Snapshots begun, and how they ended, since the start. */
  get begun(): number {
    return this.begunCount;
  }

  get staged(): number {
    return this.stagedCount;
  }

  get failed(): number {
    return this.failedCount;
  }

  /** Keys and values made durable since the start, bytes. */
  get bytesWritten(): number {
    return this.writtenBytes;
  }

  /** Keys and values that arrived and are not yet durable, bytes. */
  get bytesHeld(): number {
    let bytes = 0;
    for (const chunk of this.incoming?.queue ?? []) bytes += recordsBytes(chunk.records);
    return bytes;
  }

  /** Throws `PROTOCOL`, and gives the snapshot up, for a sender that does not keep to the window. */
  receive(peer: NodeId, frame: SnapshotOffer | SnapshotChunk): void {
    if (this.closed) return;
    if (frame.kind === 'snapshotOffer') this.receiveOffer(peer, frame);
    else this.receiveChunk(peer, frame);
    this.advance();
  }

  /** The link to the peer is gone; what has arrived stays for the next incoming. */
  linkDown(peer: NodeId): void {
    if (this.incoming?.peer === peer) this.abandon(`the link to node ${peer} is down`);
  }

  /** Gives up what arrives and closes the staging store, which stays for the next start. Once. */
  close(done: Done): void {
    this.incoming = undefined;
    this.closed = true;
    this.whenClosed = done;
    this.ending ??= 'close';
    if (this.timer !== undefined) this.options.timers.clear(this.timer);
    this.options.timers.defer(() => this.advance());
  }

  private receiveOffer(peer: NodeId, offer: SnapshotOffer): void {
    const { appliedIndex, appliedTerm, sendingId } = offer;
    if (this.handedOver) return this.answer(peer, sendingId, 0, 'refused', 'a snapshot is being installed');
    if (!this.options.isNeeded(appliedIndex, appliedTerm)) {
      this.options.report({ kind: 'snapshotOfferUnneeded', peer, index: appliedIndex });
      return this.answer(peer, sendingId, 0, 'refused', 'this node does not need it');
    }
    const { formatLevelMax } = this.options.software;
    if (offer.formatLevel > formatLevelMax) {
      const fact = `this node knows format levels up to ${formatLevelMax}, and it is of ${offer.formatLevel}`;
      return this.answer(peer, sendingId, 0, 'refused', `${fact}: upgrade this node`);
    }
    if (!this.options.hasRoom()) return this.answer(peer, sendingId, 0, 'refused', noRoom);
    if (this.incoming !== undefined) this.replace(this.incoming, peer);
    this.noteActivity();
    this.begunCount++;
    this.wanted = offer;
    this.incoming = { peer, offer, isReady: false, next: 1, queue: [] };
    this.options.report({ kind: 'snapshotOffered', peer, sendingId, index: appliedIndex });
  }

  private receiveChunk(peer: NodeId, chunk: SnapshotChunk): void {
    const { incoming } = this;
    const { sendingId, sequence } = chunk;
    if (incoming?.peer !== peer || incoming.offer.sendingId !== sendingId) {
      // Late, of a snapshot that is over here: nothing comes of it, and its sender need not wait to learn it.
      this.answer(peer, sendingId, sequence, 'refused', 'this snapshot is over');
      return;
    }
    this.noteActivity();
    if (!incoming.isReady || incoming.queue.length >= windowChunks) {
      const fact = `node ${peer} sends chunk ${sequence} of a snapshot without waiting for answers`;
      this.abandon(fact);
      throw new KvorumError('PROTOCOL', fact);
    }
    if (sequence !== incoming.next) {
      this.refuse(incoming, sequence, `chunk ${sequence} came where ${incoming.next} was due`);
      return;
    }
    // What has arrived stays: once there is room, the next snapshot goes on after it.
    if (!this.options.hasRoom()) return this.refuse(incoming, sequence, noRoom);
    incoming.next++;
    incoming.queue.push(chunk);
  }

  /** Does what is to be done next, if nothing is under way. */
  private advance(): void {
    if (this.staging.isBusy) return;
    if (this.ending !== undefined) return this.endStaging(this.ending);
    const { incoming, whenClosed } = this;
    if (whenClosed !== undefined) {
      this.whenClosed = undefined;
      whenClosed(undefined);
    }
    if (incoming === undefined || this.handedOver) return;
    const chunk = incoming.queue[0];
    if (!incoming.isReady) this.prepare(incoming);
    else if (chunk !== undefined) this.write(incoming, chunk);
  }

  private prepare(incoming: Incoming): void {
    this.staging.prepare((error) => {
      const { writer } = this.staging;
      if (writer === undefined) {
        this.onStoreFailure(error ?? new KvorumError('DISK', 'the staging store cannot be prepared'));
      } else if (this.incoming === incoming) {
        const { sendingId } = incoming.offer;
        incoming.isReady = true;
        this.options.send(incoming.peer, { kind: 'snapshotCursor', sendingId, ...writer.place });
      }
      this.advance();
    });
  }

  private write(incoming: Incoming, chunk: SnapshotChunk): void {
    let taken: Taken;
    try {
      taken = take(this.staging.writer, chunk);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      // `PROTOCOL`: the chunk is wrong, what was there before is not. `FORMAT`: it came to a level that this
      // software does not know.
      if (error.code === 'PROTOCOL' || error.code === 'FORMAT')
        this.refuse(incoming, chunk.sequence, error.message);
      else this.onStoreFailure(error);
      this.advance();
      return;
    }
    this.staging.write(taken.operations, (error) => {
      if (error !== undefined) {
        this.onStoreFailure(error);
      } else {
        incoming.queue.shift();
        this.writtenBytes += recordsBytes(chunk.records);
        if (this.incoming === incoming) this.onWritten(incoming, chunk.sequence, taken.end);
      }
      this.advance();
    });
  }

  private onWritten(incoming: Incoming, sequence: number, end: SnapshotEnd | undefined): void {
    if (end === undefined) this.answer(incoming.peer, incoming.offer.sendingId, sequence, 'written', '');
    else this.handOver(incoming, sequence, end);
  }

  private handOver(incoming: Incoming, sequence: number, end: SnapshotEnd): void {
    const { appliedIndex: index, term } = end.applied;
    const { peer, offer } = incoming;
    this.handedOver = true;
    this.incoming = undefined;
    this.wanted = undefined;
    this.staging.close((error, storeName) => {
      if (error !== undefined || this.closed) {
        // It is whole all the same: the next snapshot goes on at its end.
        this.handedOver = false;
        this.answer(peer, offer.sendingId, sequence, 'refused', error?.message ?? 'the node stops');
      } else {
        this.stagedCount++;
        this.options.report({ kind: 'snapshotArrived', store: storeName, index, term });
        this.answer(peer, offer.sendingId, sequence, 'staged', '');
        this.options.staged({ storeName, index, term }, () => (this.handedOver = false));
      }
      this.advance();
    });
  }

  /** The store is closed, and removed when it is damaged or in the way of what the node needs more. */
  private onStoreFailure(error: Error): void {
    const { report } = this.options;
    const { message } = error;
    const failure = { error: message, details: KvorumError.is(error) ? error.details : {} };
    // A store that refused once is not asked again: the next snapshot opens it anew.
    this.ending = 'remove';
    if (KvorumError.is(error, 'CORRUPT')) {
      report({ kind: 'stagingDamaged', ...failure });
    } else if (isNoSpace(error)) {
      report({ kind: 'stagingHasNoRoom', ...failure });
    } else {
      this.ending = 'close';
      report({ kind: 'stagingFailed', ...failure });
    }
    if (this.incoming !== undefined) this.refuse(this.incoming, this.incoming.next - 1, message);
  }

  private endStaging(how: 'close' | 'remove'): void {
    this.ending = undefined;
    const done = (error: Error | undefined): void => {
      if (error !== undefined) this.options.report({ kind: 'stagingNotEnded', error: error.message });
      this.advance();
    };
    if (how === 'remove') this.staging.remove(done);
    else this.staging.close(done);
  }

  private refuse(incoming: Incoming, sequence: number, message: string): void {
    this.answer(incoming.peer, incoming.offer.sendingId, sequence, 'refused', message);
    if (this.incoming === incoming) this.abandon(message);
  }

  /** Another sender would wait out its patience for an answer, with its log kept for it. */
  private replace(incoming: Incoming, offering: NodeId): void {
    const reason = `node ${offering} offers another one`;
    if (incoming.peer === offering) this.abandon(reason);
    else this.refuse(incoming, incoming.next - 1, reason);
  }

  private abandon(reason: string): void {
    if (this.incoming === undefined) return;
    const { peer, offer } = this.incoming;
    this.options.report({ kind: 'snapshotReceiveFailed', peer, sendingId: offer.sendingId, reason });
    this.failedCount++;
    this.incoming = undefined;
  }

  private answer(
    peer: NodeId,
    sendingId: number,
    sequence: number,
    state: SnapshotResult['state'],
    message: string,
  ): void {
    this.options.send(peer, { kind: 'snapshotResult', sendingId, sequence, state, message });
  }

  private noteActivity(): void {
    this.lastActivityMs = this.options.clock.nowMs();
  }

  /** Looks from time to time whether the staging store, also one of an earlier process, is of any use. */
  private watch(): void {
    this.timer = this.options.timers.set(checkIntervalMs, () => {
      this.watch();
      if (this.handedOver || this.ending !== undefined || this.staging.isBusy) return;
      const { wanted } = this;
      const isIdle = this.options.clock.nowMs() - this.lastActivityMs >= idleMs;
      if (isIdle) this.removeUnused('idle');
      else if (wanted !== undefined && !this.options.isNeeded(wanted.appliedIndex, wanted.appliedTerm)) {
        this.removeUnused('unneeded');
      }
    });
  }

  private removeUnused(why: EventOf<'stagingRemoved'>['why']): void {
    this.noteActivity();
    this.wanted = undefined;
    if (this.incoming !== undefined) this.refuse(this.incoming, this.incoming.next - 1, whyRemoved[why]);
    this.staging.removeLeftOver((error, removed) => {
      if (error !== undefined) this.options.report({ kind: 'stagingNotEnded', error: error.message });
      else if (removed) this.options.report({ kind: 'stagingRemoved', why });
      this.advance();
    });
  }
}

interface Taken {
  readonly end: SnapshotEnd | undefined;
  readonly operations: readonly StoreOperation[];
}

/**
 * What a chunk does to the staging store. Throws for one that does not belong there, with nothing changed.
 */
function take(writer: SnapshotWriter | undefined, { part, sequence, records, hash }: SnapshotChunk): Taken {
  const found = hashChunk(part, sequence, records);
  if (writer === undefined || found !== hash) {
    throw new KvorumError('PROTOCOL', `chunk ${sequence} of a snapshot has hash ${found}, not ${hash}`);
  }
  switch (part) {
    case 'history':
      return { end: undefined, operations: writer.takeHistory(records) };
    case 'tables':
      return { end: undefined, operations: writer.takeTables(records) };
    case 'end': {
      const end = writer.takeEnd(records);
      return { end, operations: end.operations };
    }
    default:
      return assertNever(part);
  }
}
