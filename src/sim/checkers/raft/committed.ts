// The log that is committed, once for the whole world, and who may disagree with it: nobody. Leader
// Completeness: "if a log entry is committed in a given term, then that entry will be present in the logs
// of the leaders for all higher-numbered terms." State Machine Safety: "if a server has applied a log entry
// at a given index to its state machine, no other server will ever apply a different log entry for the same
// index." (Figure 3.2) Commit rule: "only log entries from the leader's current term are committed by
// counting replicas" (§5.4.2), and a replica counts only once it is durable.

import type { NodeId } from '../../../base/env.js';
import type { LogIndex, Term } from '../../../raft/types.js';
import { isRebuilt, type Observation, type RaftChecker } from './node-view.js';
import type { Violations } from '../violations.js';

interface Committed {
  /** Hash of the log up to and including the entry. */
  readonly logHash: number | undefined;
  readonly term: Term;
  /** The term of the node that first showed the entry as committed. */
  readonly committedInTerm: Term;
}

export class CommittedChecker implements RaftChecker {
  private readonly violations: Violations;
  private readonly members: readonly NodeId[];
  private readonly acknowledgedBy: (nodeId: NodeId) => LogIndex;
  /** How each member was seen last; of one that is down it tells what its disk holds. */
  private readonly lastSeen = new Map<NodeId, Observation>();
  /** Position 0 stands for "before the first entry". */
  private readonly committed: Committed[] = [{ logHash: 0, term: 0, committedInTerm: 0 }];
  /** State hash after each applied entry, of the node that applied it first. */
  private readonly stateHashes = new Map<LogIndex, string>();
  /** Of members that were rebuilt and have not caught up: what was committed when they were. */
  private readonly owed = new Map<NodeId, LogIndex>();
  /** Up to where the running state machine of each node was compared. */
  private readonly checkedThrough = new Map<NodeId, LogIndex>();

  /** `acknowledgedBy`: the last index that a member acknowledged and did not replace since. */
  constructor(
    violations: Violations,
    members: readonly NodeId[],
    acknowledgedBy: (nodeId: NodeId) => LogIndex,
  ) {
    this.violations = violations;
    this.members = members;
    this.acknowledgedBy = acknowledgedBy;
  }

  /** The last index that any node ever showed as committed. */
  get lastIndex(): LogIndex {
    return this.committed.length - 1;
  }

  /** The disk of the node is that of an earlier time, which it cannot know. */
  forget(nodeId: NodeId): void {
    this.owed.delete(nodeId);
  }

  observe(now: Observation, before: Observation | undefined, earlier: Observation | undefined): void {
    this.lastSeen.set(now.nodeId, now);
    if (before === undefined && isRebuilt(now, earlier)) this.owed.set(now.nodeId, this.lastIndex);
    else if (!now.isCatchingUp && this.owed.size > 0) this.checkCaughtUp(now);
    this.checkCommitRule(now, before);
    const seenThrough = Math.min(before?.commitIndex ?? 0, now.commitIndex);
    // "All entries that the snapshot covers are committed" (§5.1): a log begins after a committed entry.
    const from = Math.max(seenThrough + 1, now.log.baseIndex, 1);
    for (let index = from; index <= now.commitIndex; index++) this.checkCommitted(now, index);
    const tookOver = before?.role !== 'leader' || before.currentTerm !== now.currentTerm;
    if (now.role === 'leader' && tookOver) this.checkCompleteness(now);
    if (now.truncatedFrom !== undefined && before !== undefined && now.truncatedFrom <= before.commitIndex) {
      const removed = `entries from ${now.truncatedFrom} on were removed`;
      const message = `${removed}, committed through ${before.commitIndex}`;
      this.violations.add('stateMachineSafety', now.nodeId, message);
    }
    this.checkApplied(now, before);
  }

  /**
   * A member that lost its disk may have helped to commit all that was committed by then: it votes again only
   * when its disk has all of that.
   */
  private checkCaughtUp({ nodeId, durableIndex }: Observation): void {
    const owed = this.owed.get(nodeId);
    if (owed === undefined) return;
    this.owed.delete(nodeId);
    if (durableIndex >= owed) return;
    const message =
      `votes again with entries up to ${durableIndex}, but entries up to ${owed} were committed ` +
      'when it began anew';
    this.violations.add('durableAcknowledgement', nodeId, message);
  }

  private checkCommitRule(now: Observation, before: Observation | undefined): void {
    if (before === undefined || now.role !== 'leader' || before.role !== 'leader') return;
    if (now.currentTerm !== before.currentTerm || now.commitIndex <= before.commitIndex) return;
    const term = now.log.termAt(now.commitIndex);
    if (term !== now.currentTerm) {
      const message = `the leader of term ${now.currentTerm} committed up to an entry of term ${term}`;
      this.violations.add('commitRule', now.nodeId, message);
    }
    const holders = this.members.filter((nodeId) => this.holdsDurably(nodeId, now));
    if (2 * holders.length > this.members.length) return;
    const disks = `on the disks of ${holders.join(', ')} only`;
    const message = `entry ${now.commitIndex} was committed, but is ${disks}`;
    this.violations.add('durableCommit', now.nodeId, message);
  }

  /** Whether the leader's entry at its commit index is on the disk of that member. */
  private holdsDurably(nodeId: NodeId, leader: Observation): boolean {
    const seen = this.lastSeen.get(nodeId);
    // A member that crashed right after it acknowledged was not seen any more; its word is judged at its
    // restart.
    const durableIndex = Math.max(seen?.durableIndex ?? 0, this.acknowledgedBy(nodeId));
    if (seen === undefined || durableIndex < leader.commitIndex) return false;
    // Cut off before it was seen: it was committed, and `checkCommitted` compares that with the leader's.
    if (leader.commitIndex < seen.log.baseIndex) return true;
    return seen.log.hashAt(leader.commitIndex) === leader.log.hashAt(leader.commitIndex);
  }

  private checkCommitted(now: Observation, index: LogIndex): void {
    const logHash = now.log.hashAt(index);
    const term = now.log.termAt(index) ?? 0;
    const known = this.committed[index];
    if (index > this.committed.length || (known === undefined && index === now.log.baseIndex)) {
      const message = `its log begins after entry ${index}, but only ${this.lastIndex} entries are committed`;
      this.violations.add('stateMachineSafety', now.nodeId, message);
    } else if (known === undefined) {
      this.committed.push({ logHash, term, committedInTerm: now.currentTerm });
    } else if (known.logHash !== logHash || known.term !== term) {
      const message = `entry ${index} is committed with term ${term} here, with term ${known.term} elsewhere`;
      this.violations.add('stateMachineSafety', now.nodeId, message);
    }
  }

  private checkCompleteness(now: Observation): void {
    let index = this.lastIndex;
    // What was committed in this or a higher term this leader need not have: it may be late to learn of its
    // election.
    while (index > 0 && (this.committed[index]?.committedInTerm ?? 0) >= now.currentTerm) index--;
    // What its log begins after was compared when it began.
    if (index < now.log.baseIndex) return;
    if (now.log.hashAt(index) === this.committed[index]?.logHash) return;
    const message = `the new leader of term ${now.currentTerm} lacks committed entries up to ${index}`;
    this.violations.add('leaderCompleteness', now.nodeId, message);
  }

  private checkApplied(now: Observation, before: Observation | undefined): void {
    const { stateMachine } = now;
    if (stateMachine === undefined) return;
    const last = stateMachine.appliedIndex;
    const first = before?.stateMachine === stateMachine ? (this.checkedThrough.get(now.nodeId) ?? 0) + 1 : 1;
    for (let index = Math.max(first, last - 1_000, 1); index <= last; index++) {
      const hash = stateMachine.stateHashAt(index);
      if (hash === undefined) continue;
      const known = this.stateHashes.get(index);
      if (known === undefined) this.stateHashes.set(index, hash);
      else if (known !== hash) {
        const message = `the state after entry ${index} is ${hash} here, ${known} elsewhere`;
        this.violations.add('stateMachineSafety', now.nodeId, message);
      }
    }
    this.checkedThrough.set(now.nodeId, last);
  }
}
