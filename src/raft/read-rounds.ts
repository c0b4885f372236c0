// ReadIndex requests that wait at a leader: first to join a round of heartbeats, then for that round to be
// acknowledged by a quorum. A read never joins a round that was already sent: its acknowledgement may be
// older than the read, from before the leader was deposed. One round serves all that joined it. Source:
// dissertation §6.4.

import type { LogIndex, NodeId } from './types.js';

export interface ReadRequest {
  /** The node whose read it is: the leader itself or a follower that asked. */
  readonly from: NodeId;
  readonly requestId: number;
}

interface ReadBatch {
  readonly round: number;
  readonly readIndex: LogIndex;
  requests: ReadRequest[];
}

export class ReadRounds {
  private joining: ReadRequest[] = [];
  /** Ascending in round and in readIndex. At most one more than rounds since a quorum was last heard from. */
  private batches: ReadBatch[] = [];
  private waiting = 0;

  /** Requests that wait. */
  get count(): number {
    return this.waiting;
  }

  get hasJoining(): boolean {
    return this.joining.length > 0;
  }

  /** Whether some reads wait for a round that was sent. */
  get isRoundOpen(): boolean {
    return this.batches.length > 0;
  }

  add(request: ReadRequest): void {
    this.joining.push(request);
    this.waiting++;
  }

  /**
   * The round is about to be sent: all that wait to join are answered with `readIndex` once it is
   * acknowledged.
   */
  joinRound(round: number, readIndex: LogIndex): void {
    if (this.joining.length === 0) return;
    this.batches.push({ round, readIndex, requests: this.joining });
    this.joining = [];
  }

  /**
   * Calls `answer` for each request whose round is at or below the round confirmed for the node that asked,
   * and forgets it. `confirmedFor` counts the asking node's request as its own acknowledgement.
   */
  release(
    confirmedFor: (from: NodeId) => number,
    answer: (request: ReadRequest, readIndex: LogIndex) => void,
  ): void {
    if (this.batches.length === 0) return;
    const confirmed = new Map<NodeId, number>();
    for (const batch of this.batches) {
      batch.requests = batch.requests.filter((request) => {
        let round = confirmed.get(request.from);
        if (round === undefined) {
          round = confirmedFor(request.from);
          confirmed.set(request.from, round);
        }
        if (round < batch.round) return true;
        this.waiting--;
        answer(request, batch.readIndex);
        return false;
      });
    }
    this.batches = this.batches.filter((batch) => batch.requests.length > 0);
  }

  /** The requests of `from` that still wait. */
  requestsOf(from: NodeId): number[] {
    const requests = [...this.batches.flatMap((batch) => batch.requests), ...this.joining];
    return requests.filter((request) => request.from === from).map((request) => request.requestId);
  }
}
