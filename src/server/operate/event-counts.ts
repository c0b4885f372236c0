// How often each kind of event happened since the start of the process, for metrics: what a replaced member
// told is counted all the same. One number for each kind; what an event holds is not kept.

import type { NodeEvent, NodeEventKind } from '../events.js';

export class EventCounts {
  /** How often another leader became known than before, or one at all. */
  leaders = 0;
  private readonly counts = new Map<NodeEventKind, number>();

  count(event: NodeEvent): void {
    const { kind } = event;
    this.counts.set(kind, this.of(kind) + 1);
    if (kind === 'leaderChanged' && event.leaderId !== undefined) this.leaders++;
  }

  of(kind: NodeEventKind): number {
    return this.counts.get(kind) ?? 0;
  }
}
