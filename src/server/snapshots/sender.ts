// The snapshots that this node, as the leader, sends to members whose entries are gone from its log: at most
// two at once, one to each peer. Must never let the log go on without what a running or just finished
// snapshot needs (`pinnedIndex`), nor hold it for one that is over.

import type { Clock, Millis, NodeId, Report, TimerHandle, Timers } from '../../base/env.js';
import type { StoreView } from '../../kv/store.js';
import type { SnapshotCursor, SnapshotResult, SnapshotFrame } from '../../wire/snapshots/frames.js';
import type { NodeEvent } from '../events.js';
import { chunkBytesDefault, OutgoingSnapshot, type SendOutcome } from './outgoing.js';

export interface SnapshotSenderOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly report: Report<NodeEvent>;
  /** Random, so that an answer meant for an earlier process is recognised. Grows by one per outgoing. */
  readonly firstSendingId: number;
  /** A view older than this many entries is followed by a newer one before its snapshot ends. */
  readonly viewEntriesMax: number;
  /** Bytes of keys and values of one chunk, or one larger record. Default 200 KiB; 1 or more. */
  readonly chunkBytesMax?: number;
  /** The store as it is now; throws a KvorumError when it is closed. */
  openView(): StoreView;
  /** What the store holds durably; a view opened now shows this or more. */
  durableAppliedIndex(): number;
  /** What the leader knows of the peer's log; 0 when it does not lead. */
  matchIndexOf(peer: NodeId): number;
  send(peer: NodeId, frame: SnapshotFrame): boolean;
  /** The store gave back other bytes than were written to it: the node must stop. */
  damaged(error: Error): void;
  /** A snapshot is over; it is durable at the peer or not. Never called while `start` runs. */
  ended(peer: NodeId, installed: boolean): void;
}

const sendsMax = 2;
/** A peer that refuses is not asked again at once: its disk may be full. */
const refusedPauseMs: Millis = 1_000;
/** Nor is an own disk that could not be read: it gets this long, then twice as long, up to a bound. */
const unreadablePauseMsMin: Millis = 1_000;
const unreadablePauseMsMax: Millis = 60_000;
/** How long the log waits for a peer that has received a snapshot to go on after it. */
const finishedPinMs: Millis = 60_000;

export class SnapshotSender {
  private readonly options: SnapshotSenderOptions;
  private readonly running = new Map<NodeId, OutgoingSnapshot>();
  /** Peers whose snapshot begins when another one ends, in order. At most one entry per member. */
  private readonly waiting = new Set<NodeId>();
  /** Peers that refused, or for whom the own store could not be read, until they may be tried again. */
  private readonly paused = new Map<NodeId, TimerHandle>();
  /** Peers that have the snapshot and not yet the entries after it. */
  private readonly finished = new Map<NodeId, { readonly index: number; readonly untilMs: Millis }>();
  /** The next pause after the own store could not be read. */
  private unreadablePauseMs = unreadablePauseMsMin;
  private nextSendingId: number;
  private begunCount = 0;
  private installedCount = 0;
  private failedCount = 0;
  private endedBytes = 0;

  constructor(options: SnapshotSenderOptions) {
    this.options = options;
    this.nextSendingId = options.firstSendingId;
  }

  /** Snapshots begun, and how they ended, since the start. */
  get begun(): number {
    return this.begunCount;
  }

  get installed(): number {
    return this.installedCount;
  }

  get failed(): number {
    return this.failedCount;
  }

  /** Keys and values sent since the start, bytes. */
  get bytesSent(): number {
    let bytes = this.endedBytes;
    for (const outgoing of this.running.values()) bytes += outgoing.bytesSent;
    return bytes;
  }

  /** Keys and values read and not yet sent, bytes. */
  get bytesHeld(): number {
    let bytes = 0;
    for (const outgoing of this.running.values()) bytes += outgoing.bytesHeld;
    return bytes;
  }

  /** Entries after this index must stay in the log for these snapshots; `undefined`: for none. */
  get pinnedIndex(): number | undefined {
    let pinned: number | undefined;
    const pin = (index: number): void => {
      if (pinned === undefined || index < pinned) pinned = index;
    };
    for (const outgoing of this.running.values()) pin(outgoing.pinnedIndex);
    const nowMs = this.options.clock.nowMs();
    for (const [peer, { index, untilMs }] of this.finished) {
      if (nowMs >= untilMs || this.options.matchIndexOf(peer) >= index) this.finished.delete(peer);
      else pin(index);
    }
    return pinned;
  }

  /** The peer needs a snapshot. `ended` follows; nothing happens if one to it is under way. */
  start(peer: NodeId): void {
    if (this.running.has(peer) || this.waiting.has(peer) || this.paused.has(peer)) return;
    this.waiting.add(peer);
    this.beginNext();
  }

  /** An answer of a receiver. Throws `PROTOCOL` for one that no receiver gives; the snapshot is over then. */
  receive(peer: NodeId, frame: SnapshotCursor | SnapshotResult): void {
    const outgoing = this.running.get(peer);
    if (outgoing?.sendingId === frame.sendingId) outgoing.receive(frame);
  }

  /** The link to the peer is gone, and with it what was on its way. */
  linkDown(peer: NodeId): void {
    if (this.forget(peer)) this.options.ended(peer, false);
  }

  /** The peer has lost what it had, also the snapshots that it received. */
  peerReset(peer: NodeId): void {
    this.finished.delete(peer);
    this.linkDown(peer);
  }

  /** This node does not lead any more. `ended` follows for each, after this call. */
  cancelAll(): void {
    const peers = [...this.running.keys(), ...this.waiting, ...this.paused.keys()];
    this.close();
    this.options.timers.defer(() => {
      for (const peer of peers) if (!this.isUnderWay(peer)) this.options.ended(peer, false);
    });
  }

  /** Ends all snapshots without telling anyone. */
  close(): void {
    for (const peer of [...this.running.keys(), ...this.waiting, ...this.paused.keys()]) this.drop(peer);
    this.finished.clear();
  }

  private isUnderWay(peer: NodeId): boolean {
    return this.running.has(peer) || this.waiting.has(peer) || this.paused.has(peer);
  }

  private beginNext(): void {
    for (const peer of this.waiting) {
      if (this.running.size >= sendsMax) return;
      this.waiting.delete(peer);
      this.begin(peer);
    }
  }

  private begin(peer: NodeId): void {
    const { timers, viewEntriesMax, chunkBytesMax = chunkBytesDefault } = this.options;
    const sendingId = this.nextSendingId++;
    const outgoing = new OutgoingSnapshot({
      peer,
      sendingId,
      timers,
      viewEntriesMax,
      chunkBytesMax,
      openView: () => this.options.openView(),
      durableAppliedIndex: () => this.options.durableAppliedIndex(),
      send: (frame) => this.options.send(peer, frame),
      damaged: (error) => this.options.damaged(error),
      ended: (outcome) => this.onEnded(peer, outgoing, outcome),
    });
    this.running.set(peer, outgoing);
    this.begunCount++;
    this.options.report({ kind: 'snapshotSendBegun', peer, sendingId });
    outgoing.start();
  }

  private onEnded(peer: NodeId, outgoing: OutgoingSnapshot, outcome: SendOutcome): void {
    const { clock, report, timers } = this.options;
    const { sendingId, bytesSent, pinnedIndex } = outgoing;
    const pauseMs = this.pauseAfter(outcome);
    this.drop(peer);
    if (outcome.installed) {
      this.installedCount++;
      this.finished.set(peer, { index: pinnedIndex, untilMs: clock.nowMs() + finishedPinMs });
      report({ kind: 'snapshotDelivered', peer, sendingId, index: pinnedIndex, bytesSent });
    } else {
      this.failedCount++;
      report({ kind: 'snapshotSendFailed', peer, sendingId, bytesSent, reason: outcome.reason });
    }
    if (pauseMs !== undefined) {
      const resume = (): void => {
        this.paused.delete(peer);
        this.options.ended(peer, false);
      };
      this.paused.set(peer, timers.set(pauseMs, resume));
    }
    this.beginNext();
    if (pauseMs === undefined) this.options.ended(peer, outcome.installed);
  }

  /** How long the peer is not tried again. */
  private pauseAfter({ installed, refused, unreadable }: SendOutcome): Millis | undefined {
    if (installed) this.unreadablePauseMs = unreadablePauseMsMin;
    if (refused) return refusedPauseMs;
    if (!unreadable) return undefined;
    const pauseMs = this.unreadablePauseMs;
    this.unreadablePauseMs = Math.min(2 * pauseMs, unreadablePauseMsMax);
    return pauseMs;
  }

  /** Ends what there is for a peer from outside. Whether there was anything. */
  private forget(peer: NodeId): boolean {
    if (!this.isUnderWay(peer)) return false;
    const outgoing = this.running.get(peer);
    if (outgoing !== undefined) {
      this.failedCount++;
      const { sendingId, bytesSent } = outgoing;
      const reason = 'the link is down';
      this.options.report({ kind: 'snapshotSendFailed', peer, sendingId, bytesSent, reason });
    }
    this.drop(peer);
    this.beginNext();
    return true;
  }

  private drop(peer: NodeId): void {
    const outgoing = this.running.get(peer);
    if (outgoing !== undefined) {
      outgoing.cancel();
      this.endedBytes += outgoing.bytesSent;
      this.running.delete(peer);
    }
    const timer = this.paused.get(peer);
    if (timer !== undefined) this.options.timers.clear(timer);
    this.paused.delete(peer);
    this.waiting.delete(peer);
  }
}
