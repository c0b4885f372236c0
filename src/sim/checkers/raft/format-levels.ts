// Versions that meet: "a member below an entry's level does not append it", no state is above what its
// software knows, a level never goes back, and a cluster is raised only when every member has run software
// that knows the new level. Source: the rules of format levels in kv/format-level.ts.

import type { NodeId } from '../../../base/env.js';
import type { Violations } from '../violations.js';
import type { Observation, RaftChecker } from './node-view.js';

interface Known {
  /** Of the process that runs now, and the newest that ever ran. */
  readonly formatLevelMax: number;
  readonly newestLevelMax: number;
}

export class FormatLevelChecker implements RaftChecker {
  private readonly violations: Violations;
  private readonly members: readonly NodeId[];
  private readonly software = new Map<NodeId, Known>();
  /** The highest level of any state or entry so far. */
  private highest = 0;

  constructor(violations: Violations, members: readonly NodeId[]) {
    this.violations = violations;
    this.members = members;
  }

  /** The highest level that any member has in its state or log. */
  get highestLevel(): number {
    return this.highest;
  }

  /** A process starts that knows levels up to this. */
  starts(nodeId: NodeId, formatLevelMax: number): void {
    const newestLevelMax = Math.max(formatLevelMax, this.software.get(nodeId)?.newestLevelMax ?? 0);
    this.software.set(nodeId, { formatLevelMax, newestLevelMax });
  }

  observe(now: Observation, before: Observation | undefined, earlier: Observation | undefined): void {
    const known = this.software.get(now.nodeId);
    if (known === undefined) return;
    this.checkEntries(now, known);
    this.checkState(now, known, before ?? earlier);
  }

  private checkEntries({ nodeId, raft, appendedFrom, lastIndex }: Observation, known: Known): void {
    for (let index = appendedFrom; index <= lastIndex; index++) {
      const entry = raft.entry(index);
      // The first byte of a batch of commands is its level; what is not in memory was seen when it came.
      if (entry?.kind !== 'command') continue;
      const level = entry.payload[0] ?? 0;
      this.meets(nodeId, level);
      if (level <= known.formatLevelMax) continue;
      const what = `appended entry ${index} of format level ${level}`;
      this.violations.add('formatLevel', nodeId, `${what}; its software knows ${known.formatLevelMax}`);
    }
  }

  private checkState(
    { nodeId, stateMachine }: Observation,
    known: Known,
    previous: Observation | undefined,
  ): void {
    if (stateMachine === undefined) return;
    const level = stateMachine.formatLevel;
    this.meets(nodeId, level);
    if (level > known.formatLevelMax) {
      const message = `has a state of format level ${level}; its software knows ${known.formatLevelMax}`;
      this.violations.add('formatLevel', nodeId, message);
    }
    // What was applied and not yet stored may come again after a crash; what was stored may not be another.
    const isStored = previous !== undefined && stateMachine.appliedIndex >= previous.appliedIndex;
    if (isStored && level < previous.formatLevel) {
      const message = `is of format level ${level} after it was of ${previous.formatLevel}`;
      this.violations.add('formatLevel', nodeId, message);
    }
  }

  /** A level is there for the first time: everybody must have known it by now. */
  private meets(nodeId: NodeId, level: number): void {
    if (level <= this.highest) return;
    this.highest = level;
    for (const member of this.members) {
      const newest = this.software.get(member)?.newestLevelMax ?? 0;
      if (newest >= level) continue;
      const fact = `is of format level ${level}, but ${member} never ran software that knows it`;
      this.violations.add('formatLevel', nodeId, `${fact}: the newest one knows ${newest}`);
    }
  }
}
