// How often each kind of event happened since the start of the process, for metrics: what a replaced member
// told is counted all the same. One number for each kind; what an event holds is not kept.

import type { NodeEvent, NodeEventKind } from '../events.js';

export class EventCounts {
  private readonly counts = new Map<NodeEventKind, number>();

  count({ kind }: NodeEvent): void {
    this.counts.set(kind, this.of(kind) + 1);
  }

  of(kind: NodeEventKind): number {
    return this.counts.get(kind) ?? 0;
  }
}
