// What a core takes for durable in its log is what its disk was given and has completed: the units that came
// back, one after the other, leave a log on the disk, and up to the durable index that log must be the core's
// own. Else "the completion of an old append" makes entries durable that replaced it meanwhile and are still
// on their way (the ABA race; etcd-io/raft async_storage_writes_append_aba_race).

import { defined } from '../../../base/assert.js';
import type { NodeId } from '../../../base/env.js';
import type { Input, Output } from '../../../raft/io.js';
import type { LogEntry, LogIndex, Term } from '../../../raft/types.js';
import type { RaftView } from './node-view.js';
import type { Violations } from '../violations.js';

interface Unit {
  readonly sequence: number;
  readonly truncateSuffix: LogIndex | undefined;
  readonly entries: readonly LogEntry[];
}

interface DiskLog {
  readonly raft: RaftView;
  /** What the log began after when the member was made; position 0 of `terms` stands for it. */
  readonly baseIndex: LogIndex;
  readonly terms: Term[];
  /** Oldest first: at most as many as the disk has under way. */
  readonly underWay: Unit[];
}

export class DurableLogChecker {
  private readonly violations: Violations;
  private readonly disks = new Map<NodeId, DiskLog>();

  constructor(violations: Violations) {
    this.violations = violations;
  }

  /** What it read from its disk is durable. */
  replicaStarted(nodeId: NodeId, raft: RaftView): void {
    const { baseIndex, lastIndex } = raft;
    const terms: Term[] = [];
    for (let index = baseIndex; index <= lastIndex; index++) terms.push(raft.termAt(index) ?? 0);
    this.disks.set(nodeId, { raft, baseIndex, terms, underWay: [] });
  }

  stepped(nodeId: NodeId, input: Input, output: Output): void {
    const disk = this.disks.get(nodeId);
    if (disk === undefined) return;
    const { persist, truncateSuffix, entries } = output;
    if (persist !== undefined) disk.underWay.push({ sequence: persist.sequence, truncateSuffix, entries });
    if (input.kind !== 'persisted') return;
    while ((disk.underWay[0]?.sequence ?? Infinity) <= input.sequence) {
      complete(disk, defined(disk.underWay.shift(), 'unit under way'));
    }
    const { durableIndex } = disk.raft;
    if (durableIndex <= disk.baseIndex) return;
    const onDisk = disk.terms[durableIndex - disk.baseIndex];
    // By Log Matching equal terms at an index mean equal logs up to it.
    if (onDisk === disk.raft.termAt(durableIndex)) return;
    const found = onDisk === undefined ? 'no such entry' : `one of term ${onDisk}`;
    const message =
      `takes entry ${durableIndex} of term ${disk.raft.termAt(durableIndex)} for durable, ` +
      `its disk was given ${found}`;
    this.violations.add('durableLog', nodeId, message);
  }
}

function complete({ terms, baseIndex }: DiskLog, { truncateSuffix, entries }: Unit): void {
  if (truncateSuffix !== undefined) terms.length = Math.min(terms.length, truncateSuffix - baseIndex);
  for (const { index, term } of entries) terms[index - baseIndex] = term;
}
