// What a leader knows of one follower's log, and how it sends to it. Two modes:
//   probe      it is not known where the logs agree: one message, then wait for an answer or a heartbeat's;
//   replicate  they agree through matchIndex: messages are sent ahead of their acknowledgements, nextIndex
//              moves when a message leaves, and a window bounds what is in flight (dissertation §10.2.2).
// Every change of mode is a method here. It sends nothing itself.
// Source: Figure 2 (nextIndex[], matchIndex[]); the modes are those of etcd's raft.

import { assert } from '../base/assert.js';
import { ByteWindow } from './byte-window.js';
import type { LogIndex, NodeId } from './types.js';

export type ProgressMode = 'probe' | 'replicate';

/** The limits of what is in flight to one follower. */
export interface WindowLimits {
  readonly inFlightBytesMax: number;
  readonly inFlightMessagesMax: number;
}

export class Progress {
  readonly peer: NodeId;
  /** When the last message in this term came from the peer, ms of the core's time. */
  heardMs: number;
  /** The highest heartbeat round of this leader that the peer has acknowledged. */
  acknowledgedRound = 0;
  /** The highest commit index that was sent to the peer; only to know whether it is worth telling again. */
  commitIndexSent: LogIndex = 0;
  /** AppendEntries with entries, sent in mode `replicate` and not acknowledged. */
  readonly inFlight = new ByteWindow();
  private currentMode: ProgressMode = 'probe';
  private match: LogIndex = 0;
  private next: LogIndex;
  private probeUnanswered = false;

  /**
   * "for each server, index of the next log entry to send to that server (initialized to leader last log
   * index + 1)".
   */
  constructor(peer: NodeId, nextIndex: LogIndex, nowMs: number) {
    this.peer = peer;
    this.next = nextIndex;
    this.heardMs = nowMs;
  }

  get mode(): ProgressMode {
    return this.currentMode;
  }

  /** The peer's log, durably, agrees through here. Invariant: 0 <= matchIndex < nextIndex. */
  get matchIndex(): LogIndex {
    return this.match;
  }

  /** The next entry to send. */
  get nextIndex(): LogIndex {
    return this.next;
  }

  /** Whether something was sent ahead that is not acknowledged. */
  get isBehindSent(): boolean {
    return this.match + 1 < this.next;
  }

  /** Whether a message whose first entry has `bytes` may leave now. */
  canSend(bytes: number, limits: WindowLimits): boolean {
    if (this.currentMode === 'probe') return !this.probeUnanswered;
    if (this.inFlight.count === 0) return true;
    return (
      this.inFlight.count < limits.inFlightMessagesMax &&
      this.inFlight.bytes + bytes <= limits.inFlightBytesMax
    );
  }

  /** A message with entries through `lastIndex` left. */
  sent(lastIndex: LogIndex, bytes: number): void {
    assert(lastIndex >= this.next, `entries through ${lastIndex} sent while ${this.next} was next`);
    if (this.currentMode === 'probe') {
      this.probeUnanswered = true;
      return;
    }
    this.next = lastIndex + 1;
    this.inFlight.push(lastIndex, bytes);
  }

  /** A message without entries left as a probe. */
  sentProbe(): void {
    this.probeUnanswered = true;
  }

  /**
   * The peer acknowledged everything through `matchIndex`. Old and repeated ones are harmless. True when it
   * is news.
   */
  acknowledged(matchIndex: LogIndex): boolean {
    const isNews = matchIndex > this.match;
    if (isNews) {
      this.match = matchIndex;
      this.next = Math.max(this.next, matchIndex + 1);
      this.inFlight.releaseThrough(matchIndex);
    }
    // An answer to a probe that only confirms what was known also ends the probing.
    if (this.currentMode === 'probe' && matchIndex >= this.match) this.becomeReplicate();
    return isNews;
  }

  /**
   * The peer's log does not agree at `rejectedIndex`, and may agree at or below `agreeIndex`. "If
   * AppendEntries fails because of log inconsistency: decrement nextIndex and retry" (Figure 2), never to or
   * below what it acknowledged. False when the refusal is old: its request was overtaken.
   */
  rejected(rejectedIndex: LogIndex, agreeIndex: LogIndex): boolean {
    if (rejectedIndex <= this.match) return false;
    if (this.currentMode === 'probe' && rejectedIndex !== this.next - 1) return false;
    this.becomeProbe(Math.min(rejectedIndex, agreeIndex + 1));
    return true;
  }

  /** What is in flight may be lost: find out from what is known to match. */
  becomeProbe(nextIndex: LogIndex = this.match + 1): void {
    this.currentMode = 'probe';
    this.next = Math.max(nextIndex, this.match + 1);
    this.probeUnanswered = false;
    this.inFlight.clear();
  }

  /** Do not send before something is heard from the peer again. */
  pause(): void {
    this.becomeProbe();
    this.probeUnanswered = true;
  }

  /** The peer is there: a probe that was sent may be sent again. */
  resumeProbe(): void {
    this.probeUnanswered = false;
  }

  private becomeReplicate(): void {
    this.currentMode = 'replicate';
    this.next = this.match + 1;
    this.probeUnanswered = false;
    this.inFlight.clear();
  }
}
