// What a leader knows of one follower's log, and how it sends to it. Three modes:
//   probe      it is not known where the logs agree: one message, then wait for an answer or a heartbeat's;
//   replicate  they agree through matchIndex: messages are sent ahead of their acknowledgements, nextIndex
//              moves when a message leaves, and a window bounds what is in flight (dissertation §10.2.2);
//   snapshot   the follower has said that it needs an entry that the log does not hold any more: nothing is
//              sent until it has what it needs from elsewhere, or that has failed.
// What is not known is asked: mode `snapshot` begins with the follower's own answer, never with a guess.
// Every change of mode is a method here. It sends nothing itself. Source: Figure 2 (nextIndex[],
// matchIndex[]); the modes are those of etcd's raft.

import { assert } from '../base/assert.js';
import { ByteWindow } from './byte-window.js';
import { RoundTrip } from './round-trip.js';
import type { LogIndex, NodeId } from './types.js';

export type ProgressMode = 'probe' | 'replicate' | 'snapshot';

/** The limits of what is in flight to one follower. */
export interface WindowLimits {
  readonly inFlightBytesMax: number;
  readonly inFlightMessagesMax: number;
}

/** Where the leader's log begins and ends, now. */
export interface LogBounds {
  readonly baseIndex: LogIndex;
  readonly lastIndex: LogIndex;
}

export class Progress {
  readonly peer: NodeId;
  /** When the last message in this term came from the peer, ms of the core's time. */
  heardMs: number;
  readonly roundTrip = new RoundTrip();
  /** The highest heartbeat round of this leader that the peer has acknowledged. */
  acknowledgedRound = 0;
  /** The highest commit index that was sent to the peer; only to know whether it is worth telling again. */
  commitIndexSent: LogIndex = 0;
  /** AppendEntries with entries, sent in mode `replicate` and not acknowledged. */
  readonly inFlight = new ByteWindow();
  private readonly log: LogBounds;
  private currentMode: ProgressMode = 'probe';
  private match: LogIndex = 0;
  private next: LogIndex;
  private probeUnanswered = false;
  private resets = 0;

  /**
   * "for each server, index of the next log entry to send to that server (initialized to leader last log
   * index + 1)". `log`: the leader's, looked at whenever its bounds matter.
   */
  constructor(peer: NodeId, log: LogBounds, nowMs: number) {
    this.peer = peer;
    this.log = log;
    this.next = log.lastIndex + 1;
    this.heardMs = nowMs;
  }

  get mode(): ProgressMode {
    return this.currentMode;
  }

  /** The peer's log, durably, agrees through here. Invariant: 0 <= matchIndex < nextIndex. */
  get matchIndex(): LogIndex {
    return this.match;
  }

  /**
   * The next entry to send. Invariant: above the log's base, so that the entry before it can be named; in
   * mode `snapshot` at or below it.
   */
  get nextIndex(): LogIndex {
    return this.next;
  }

  /** How often the peer has lost what it acknowledged: only then does matchIndex go back. */
  get resetCount(): number {
    return this.resets;
  }

  /** Whether something was sent ahead that is not acknowledged. */
  get isBehindSent(): boolean {
    return this.currentMode === 'replicate' && this.match + 1 < this.next;
  }

  /** Whether a message whose first entry has `bytes` may leave now. */
  canSend(bytes: number, limits: WindowLimits): boolean {
    if (this.currentMode === 'snapshot') return false;
    if (this.currentMode === 'probe') return !this.probeUnanswered;
    if (this.inFlight.count === 0) return true;
    return (
      this.inFlight.count < limits.inFlightMessagesMax &&
      this.inFlight.bytes + bytes <= limits.inFlightBytesMax
    );
  }

  /** A message with entries through `lastIndex` left. */
  sent(lastIndex: LogIndex, bytes: number): void {
    assert(this.currentMode !== 'snapshot', `entries sent to ${this.peer}, which needs a snapshot first`);
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
    // An answer to a probe that only confirms what was known also ends the probing; so does any that lets the
    // log go on where the peer's ends, in mode `snapshot` too. What confirms less is the answer to something
    // older: what the peer needs is still to be found out, or still not in the log.
    const isAnswer = matchIndex >= this.match && matchIndex >= this.log.baseIndex;
    if (this.currentMode !== 'replicate' && isAnswer) this.becomeReplicate();
    return isNews;
  }

  /**
   * The peer's log does not agree at `rejectedIndex`, and may agree at or below `agreeIndex`. "If
   * AppendEntries fails because of log inconsistency: decrement nextIndex and retry" (Figure 2), never to or
   * below what it acknowledged. False when the refusal is old: its request was overtaken. If the log does not
   * hold the entry that the peer needs, the mode is `snapshot` after it.
   */
  rejected(rejectedIndex: LogIndex, agreeIndex: LogIndex): boolean {
    if (this.currentMode === 'snapshot' || rejectedIndex <= this.match) return false;
    if (this.currentMode === 'probe' && rejectedIndex !== this.next - 1) return false;
    const neededIndex = Math.max(Math.min(rejectedIndex, agreeIndex + 1), this.match + 1);
    if (neededIndex > this.log.baseIndex) this.enter('probe', neededIndex);
    else this.enter('snapshot', neededIndex);
    return true;
  }

  /**
   * What is in flight may be lost: find out from what is known to match. Where the log does not begin there,
   * nothing says that the peer has no more than that: ask at the log's end, as a new leader does.
   */
  becomeProbe(): void {
    this.enter('probe', this.match >= this.log.baseIndex ? this.match + 1 : this.log.lastIndex + 1);
  }

  /** Do not send before something is heard from the peer again. A snapshot under way is left to its end. */
  pause(): void {
    if (this.currentMode === 'snapshot') return;
    this.becomeProbe();
    this.probeUnanswered = true;
  }

  /** The peer is there: a probe that was sent may be sent again. */
  resumeProbe(): void {
    this.probeUnanswered = false;
  }

  /** The log's base has moved: what was next may not be there any more. Then the peer has to be asked. */
  logTruncated(): void {
    if (this.currentMode === 'snapshot' || this.next > this.log.baseIndex) return;
    // A peer of which nothing is heard stays paused.
    const isWaiting = this.currentMode === 'probe' && this.probeUnanswered;
    this.enter('probe', this.log.lastIndex + 1);
    this.probeUnanswered = isWaiting;
  }

  /**
   * The snapshot's sending has ended: ask where the peer's log ends now, or, if it failed, when something is
   * heard from it again.
   */
  snapshotEnded(installed: boolean): void {
    if (this.currentMode !== 'snapshot') return;
    this.becomeProbe();
    this.probeUnanswered = !installed;
  }

  /**
   * The peer has lost what it acknowledged. What it said of terms stays true: it was in this term when it
   * acknowledged a round.
   */
  reset(): void {
    this.resets++;
    this.match = 0;
    this.commitIndexSent = 0;
    this.enter('probe', this.log.lastIndex + 1);
  }

  private becomeReplicate(): void {
    this.enter('replicate', this.match + 1);
  }

  private enter(mode: ProgressMode, nextIndex: LogIndex): void {
    this.currentMode = mode;
    this.next = nextIndex;
    this.probeUnanswered = false;
    this.inFlight.clear();
  }
}
