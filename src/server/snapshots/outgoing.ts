// One snapshot on its way to one peer: offer, cursor, history after it, what was written meanwhile, sessions,
// applied record. Must never have more than the window unacknowledged, nor finish on a view while its store
// is far ahead of it: the receiver would need a log that is gone by then. A rule of the core is not decided
// here: the peer's log is told of the snapshot by whoever started this.

import type { NodeId, TimerHandle, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { placeOf, type AppliedRecord, type HistoryPlace } from '../../kv/records/schema.js';
import { SnapshotReader } from '../../kv/snapshot/reader.js';
import { recordsBytes, type StoreRecord, type StoreView } from '../../kv/store.js';
import { tableKinds } from '../../kv/tables/index.js';
import type {
  SnapshotCursor,
  SnapshotPart,
  SnapshotResult,
  SnapshotFrame,
} from '../../wire/snapshots/frames.js';
import { hashChunk } from '../../wire/snapshots/codec.js';

/** Keys and values of a chunk, or one larger record: with its frame it stays under 256 KiB. */
export const chunkBytesDefault = 200 * 1_024;

/** Records of a chunk: what the receiver does with them in one go takes about two milliseconds. */
const chunkRecordsMax = 512;

/** Chunks sent and not answered. Both sides keep to it. */
export const windowChunks = 2;

/** Without any progress for this long it is given up. */
const patienceMs = 10_000;
/** Until a full link, or the own store that is behind the receiver's, is tried again. */
const retryMs = 100;
/**
 * Views of one snapshot. Beyond, writes are nearly as fast as its sending: a newer view gains next to
 * nothing.
 */
const viewsMax = 16;

export interface OutgoingOptions {
  readonly peer: NodeId;
  readonly sendingId: number;
  readonly timers: Timers;
  /** A view older than this many entries is followed by a newer one before the snapshot ends. */
  readonly viewEntriesMax: number;
  /** Bytes of keys and values of one chunk, or one larger record. */
  readonly chunkBytesMax: number;
  /** The store as it is now; throws when it is closed. */
  openView(): StoreView;
  /** What the store holds durably; a view opened now shows this or more. */
  durableAppliedIndex(): number;
  send(frame: SnapshotFrame): boolean;
  /** The store gave back other bytes than were written to it. Comes after `ended`. */
  damaged(error: Error): void;
  /** Called once, never before `start` returns. */
  ended(outcome: SendOutcome): void;
}

export interface SendOutcome {
  readonly installed: boolean;
  /** By the peer, which may refuse again. */
  readonly refused: boolean;
  /** The own store could not be read, and may not be the next time either. */
  readonly unreadable: boolean;
  readonly reason: string;
}

export class OutgoingSnapshot {
  readonly sendingId: number;
  private readonly options: OutgoingOptions;
  private state: 'reading' | 'offered' | 'behind' | 'sending' | 'over' = 'reading';
  private reader: SnapshotReader | undefined;
  /** Of the newest view. */
  private applied: { readonly applied: AppliedRecord; readonly record: StoreRecord } | undefined;
  private viewIndex = 0;
  private views = 0;
  /** Entries that the view before this one was behind the store when its history was sent. */
  private lag = Infinity;
  private part: SnapshotPart = 'history';
  /** History through here was cut into chunks, or is at the receiver already. */
  private place: HistoryPlace = { revision: 0, sub: 0 };
  /** The next chunk, cut and not yet sent. */
  private ready: readonly StoreRecord[] | undefined;
  private sent = 0;
  private acknowledged = 0;
  private filling = false;
  private patience: TimerHandle | undefined;
  private retry: TimerHandle | undefined;
  private sentBytes = 0;

  constructor(options: OutgoingOptions) {
    this.options = options;
    this.sendingId = options.sendingId;
  }

  /** Entries after this one must stay in the log: the peer goes on there. */
  get pinnedIndex(): number {
    return this.viewIndex;
  }

  /** Keys and values sent, bytes. */
  get bytesSent(): number {
    return this.sentBytes;
  }

  /** Keys and values read and not yet sent, bytes. */
  get bytesHeld(): number {
    return (this.reader?.bytesHeld ?? 0) + recordsBytes(this.ready ?? []);
  }

  start(): void {
    this.renewPatience();
    this.openNewView(() => this.offer());
  }

  /** Ends without telling anyone. */
  cancel(): void {
    this.state = 'over';
    this.reader?.close();
    this.ready = undefined;
    for (const timer of [this.patience, this.retry]) {
      if (timer !== undefined) this.options.timers.clear(timer);
    }
  }

  /** Throws `PROTOCOL` for an answer that no receiver gives. */
  receive(frame: SnapshotCursor | SnapshotResult): void {
    if (this.state === 'over') return;
    if (frame.kind === 'snapshotCursor') {
      if (this.state !== 'offered') throw this.violated('a second cursor');
      this.renewPatience();
      this.place = { revision: frame.revision, sub: frame.sub };
      this.state = 'behind';
      this.beginWhenAhead();
      return;
    }
    const { sequence, state } = frame;
    if (state === 'refused') {
      this.end({
        installed: false,
        refused: true,
        unreadable: false,
        reason: `the peer refuses it: ${frame.message}`,
      });
      return;
    }
    const isEnd = this.part === 'end' && this.ready === undefined && sequence === this.sent;
    if (sequence !== this.acknowledged + 1 || sequence > this.sent || isEnd !== (state === 'staged')) {
      throw this.violated(`chunk ${sequence} of ${this.sent} to be ${state} after ${this.acknowledged}`);
    }
    this.acknowledged = sequence;
    this.renewPatience();
    if (isEnd) this.end({ installed: true, refused: false, unreadable: false, reason: '' });
    else this.pump();
  }

  private offer(): void {
    if (this.applied === undefined) return;
    const { appliedIndex, term: appliedTerm, revision, formatLevel } = this.applied.applied;
    const { sendingId } = this;
    this.state = 'offered';
    const isSent = this.options.send({
      kind: 'snapshotOffer',
      sendingId,
      appliedIndex,
      appliedTerm,
      revision,
      formatLevel,
    });
    if (!isSent) this.retryLater(() => this.offer());
  }

  /**
   * The receiver may hold more than this node's store, from a sender that was further: what it holds is
   * committed, so this store will hold it soon.
   */
  private beginWhenAhead(): void {
    const revision = this.applied?.applied.revision ?? 0;
    if (this.place.revision <= revision) {
      this.reader?.beginHistory(this.place);
      this.state = 'sending';
      this.pump();
    } else if (this.options.durableAppliedIndex() > this.viewIndex) {
      this.openNewView(() => this.beginWhenAhead());
    } else {
      this.retryLater(() => this.beginWhenAhead());
    }
  }

  /** Sends what the window takes, and has one chunk more at hand. */
  private pump(): void {
    while (this.state === 'sending' && !this.filling && this.retry === undefined) {
      if (this.ready === undefined && !this.cut()) return;
      if (this.sent - this.acknowledged >= windowChunks || !this.sendReady()) return;
    }
  }

  /**
   * Whether the next chunk is ready; if not, either it will be, and `pump` is called then, or all was sent.
   */
  private cut(): boolean {
    const { reader } = this;
    if (reader === undefined || this.part === 'end') return false;
    const taken = reader.take();
    if (taken === 'fill') {
      this.fill(reader);
      return false;
    }
    if (taken !== 'end') {
      this.ready = taken;
      const last = taken.at(-1);
      if (this.part === 'history' && last !== undefined) this.place = placeOf(last.key) ?? this.place;
      return true;
    }
    if (this.part === 'history') {
      const lag = this.options.durableAppliedIndex() - this.viewIndex;
      // Each view takes less time than the one before, unless writes are faster than the sending: then it
      // ends.
      if (lag > this.options.viewEntriesMax && lag < this.lag && this.views < viewsMax) {
        this.lag = lag;
        this.continueOnNewView();
        return false;
      }
      this.part = 'tables';
      reader.beginTables();
      return this.cut();
    }
    if (this.applied === undefined) return false;
    this.part = 'end';
    this.ready = [this.applied.record];
    return true;
  }

  private sendReady(): boolean {
    const records = this.ready ?? [];
    const { sendingId, part } = this;
    const sequence = this.sent + 1;
    const hash = hashChunk(part, sequence, records);
    if (!this.options.send({ kind: 'snapshotChunk', sendingId, sequence, part, records, hash })) {
      this.retryLater(() => this.pump());
      return false;
    }
    this.sent = sequence;
    this.sentBytes += recordsBytes(records);
    this.ready = undefined;
    return true;
  }

  private fill(reader: SnapshotReader): void {
    this.filling = true;
    reader.fill((error) => {
      this.filling = false;
      if (this.state === 'over') return;
      if (error !== undefined) return this.failRead(error);
      this.renewPatience();
      this.pump();
    });
  }

  private continueOnNewView(): void {
    this.filling = true;
    this.openNewView(() => {
      this.filling = false;
      this.reader?.beginHistory(this.place);
      this.pump();
    });
  }

  private openNewView(then: () => void): void {
    this.reader?.close();
    this.views++;
    this.viewIndex = Math.max(this.viewIndex, this.options.durableAppliedIndex());
    let view: StoreView;
    try {
      view = this.options.openView();
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.options.timers.defer(() => this.fail(error.message, true));
      return;
    }
    const limits = { bytesMax: this.options.chunkBytesMax, recordsMax: chunkRecordsMax };
    const reader = new SnapshotReader(view, limits, tableKinds);
    this.reader = reader;
    reader.readApplied((error, found) => {
      if (this.state === 'over') return;
      if (found === undefined) return this.failRead(error);
      this.applied = found;
      this.viewIndex = found.applied.appliedIndex;
      this.renewPatience();
      then();
    });
  }

  private retryLater(again: () => void): void {
    this.retry = this.options.timers.set(retryMs, () => {
      this.retry = undefined;
      if (this.state !== 'over') again();
    });
  }

  /** Something happened: patience begins anew. */
  private renewPatience(): void {
    const { timers } = this.options;
    if (this.patience !== undefined) timers.clear(this.patience);
    this.patience = timers.set(patienceMs, () => this.fail(`nothing happened for ${patienceMs} ms`));
  }

  private violated(what: string): KvorumError {
    const fact = `node ${this.options.peer} answers a snapshot with ${what}`;
    this.fail(fact);
    return new KvorumError('PROTOCOL', fact);
  }

  /** Other bytes than were written come back for every peer, and for this node's own reads too. */
  private failRead(error: Error | undefined): void {
    this.fail(error?.message ?? 'the store cannot be read', true);
    if (KvorumError.is(error, 'CORRUPT')) this.options.damaged(error);
  }

  private fail(reason: string, unreadable = false): void {
    this.end({ installed: false, refused: false, unreadable, reason });
  }

  private end(outcome: SendOutcome): void {
    if (this.state === 'over') return;
    this.cancel();
    this.options.ended(outcome);
  }
}
