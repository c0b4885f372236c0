// Requests that are not on a connection, in the order in which they came, by what they wait for. Sets,
// because a request that is given up leaves from the middle. A request is in at most one of them; all
// together are bounded by `requestsMax`.

import { assertNever } from '../../base/assert.js';
import type { PendingRequest } from './pending-request.js';

export class RequestQueues {
  /** Writes that have their stamp already. */
  readonly resends = new Set<PendingRequest>();
  /** Writes that need a stamp. */
  readonly writes = new Set<PendingRequest>();
  readonly leaderReads = new Set<PendingRequest>();
  readonly reads = new Set<PendingRequest>();
  readonly statuses = new Set<PendingRequest>();
  /** Back off. */
  readonly delayed = new Set<PendingRequest>();

  /** Whether nothing waits to be sent; what backs off does not count. */
  get isEmpty(): boolean {
    return (
      this.resends.size + this.writes.size + this.leaderReads.size + this.reads.size + this.statuses.size ===
      0
    );
  }

  add(request: PendingRequest): void {
    this.queueOf(request).add(request);
  }

  remove(request: PendingRequest): void {
    switch (request.state) {
      case 'queued':
        this.queueOf(request).delete(request);
        return;
      case 'delayed':
        this.delayed.delete(request);
        return;
      case 'sent':
      case 'done':
        return;
      default:
        assertNever(request);
    }
  }

  private queueOf(request: PendingRequest): Set<PendingRequest> {
    switch (request.lane) {
      case 'write':
        return request.session === undefined ? this.writes : this.resends;
      case 'read':
        return request.needsLeader ? this.leaderReads : this.reads;
      case 'status':
        return this.statuses;
      default:
        return assertNever(request.lane);
    }
  }
}
