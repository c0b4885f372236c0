// What a linearizable read may be answered from: a state that holds everything that was committed anywhere
// when the read was asked for. "The read index is at least as large as any commit that happened before the
// read" is what both the round of heartbeats and the commit in the own term are for (dissertation §6.4). Seen
// at the core, so that it does not take a client that reads at the right moment to notice. Never looks at a
// clock: what was committed is what any node had shown by then.

import type { NodeId } from '../../../base/env.js';
import type { Input, Output } from '../../../raft/io.js';
import type { LogIndex } from '../../../raft/types.js';
import type { Violations } from '../violations.js';

export class ReadIndexChecker {
  private readonly violations: Violations;
  private readonly committedIndex: () => LogIndex;
  /** By node and request, for reads that wait: what was committed when asked. Bounded by `readsMax`. */
  private readonly asked = new Map<NodeId, Map<number, LogIndex>>();

  /** `committedIndex`: the last index that any node ever showed as committed. */
  constructor(violations: Violations, committedIndex: () => LogIndex) {
    this.violations = violations;
    this.committedIndex = committedIndex;
  }

  replicaStarted(nodeId: NodeId): void {
    this.asked.set(nodeId, new Map());
  }

  stepped(nodeId: NodeId, input: Input, output: Output): void {
    const asked = this.asked.get(nodeId);
    if (asked === undefined) return;
    if (input.kind === 'readIndex') asked.set(input.requestId, this.committedIndex());
    for (const { requestId, readIndex } of output.reads) {
      const committed = asked.get(requestId);
      asked.delete(requestId);
      if (committed === undefined || readIndex >= committed) continue;
      const message = `a read may be answered at ${readIndex}, asked when entry ${committed} was committed`;
      this.violations.add('readIndex', nodeId, message);
    }
    for (const requestId of output.readsFailed) asked.delete(requestId);
  }
}
