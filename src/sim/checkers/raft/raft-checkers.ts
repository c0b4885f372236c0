// All checkers of the consensus behind one call per event. Most events change nothing that they look at, so
// the first thing is to notice that: a handful of comparisons, and no allocation.

import type { NodeId } from '../../../base/env.js';
import type { Input, Output } from '../../../raft/io.js';
import type { Message } from '../../../raft/messages.js';
import { BoundsChecker, type InFlightLimits } from '../clients/bounds.js';
import { CommittedChecker } from './committed.js';
import { DurableLogChecker } from './durable-log.js';
import { DurableVoteChecker } from './durable-votes.js';
import { ElectionChecker } from './election.js';
import { FormatLevelChecker } from './format-levels.js';
import { LogChecker } from './log.js';
import { MonotonicChecker } from '../clients/monotonic.js';
import {
  LogMirror,
  type Observation,
  type RaftChecker,
  type RaftView,
  type StateMachineView,
} from './node-view.js';
import { PromiseChecker } from './promises.js';
import { QuorumContactChecker } from './quorum-contact.js';
import { ReadIndexChecker } from './read-index.js';
import type { Violations } from '../violations.js';
import { VoteCountChecker } from './vote-count.js';

interface Watched {
  readonly incarnation: number;
  readonly log: LogMirror;
  last: Observation | undefined;
  lastTerm: number | undefined;
  stateIndex: number;
  /** The last observation of the incarnation before. */
  readonly earlier: Observation | undefined;
}

/** What the core is configured to keep to. */
export interface CheckedLimits {
  readonly inFlight: InFlightLimits;
  readonly electionTimeoutMsMax: number;
}

export class RaftCheckers {
  readonly elections: ElectionChecker;
  readonly logs: LogChecker;
  readonly committed: CommittedChecker;
  readonly formatLevels: FormatLevelChecker;
  private readonly promises: PromiseChecker;
  private readonly durableVotes: DurableVoteChecker;
  private readonly durableLogs: DurableLogChecker;
  private readonly voteCounts: VoteCountChecker;
  private readonly readIndexes: ReadIndexChecker;
  private readonly quorumContacts: QuorumContactChecker;
  private readonly checkers: readonly RaftChecker[];
  private readonly watched = new Map<NodeId, Watched>();
  private readonly repairsBegun = new Map<NodeId, number>();

  /** `members`: names of all voters. */
  constructor(violations: Violations, members: readonly NodeId[], limits: CheckedLimits) {
    this.durableVotes = new DurableVoteChecker(violations);
    this.durableLogs = new DurableLogChecker(violations);
    this.voteCounts = new VoteCountChecker(violations, members);
    this.elections = new ElectionChecker(violations);
    this.logs = new LogChecker(violations);
    this.promises = new PromiseChecker(violations);
    this.committed = new CommittedChecker(violations, members, (nodeId) =>
      this.promises.acknowledgedIndexOf(nodeId),
    );
    this.formatLevels = new FormatLevelChecker(violations, members);
    this.quorumContacts = new QuorumContactChecker(violations, members, limits.electionTimeoutMsMax);
    this.readIndexes = new ReadIndexChecker(violations, () => this.committed.lastIndex);
    this.checkers = [
      new MonotonicChecker(violations),
      this.elections,
      this.voteCounts,
      this.logs,
      this.committed,
      this.promises,
      this.formatLevels,
      new BoundsChecker(violations, limits.inFlight),
    ];
  }

  /**
   * Looks at a node after an event of its. `incarnation` counts the starts of its process, in its fraction
   * the members of the process (see `Observation`). Returns what changed, if anything did.
   */
  observe(
    nodeId: NodeId,
    incarnation: number,
    raft: RaftView,
    stateMachine: StateMachineView | undefined,
  ): { readonly now: Observation; readonly before: Observation | undefined } | undefined {
    const watched = this.watch(nodeId, incarnation, raft);
    if (watched.last !== undefined && isUnchanged(watched, raft, stateMachine)) return undefined;
    const { truncatedFrom, appendedFrom } = watched.log.update(raft, (index, term) =>
      this.logs.hashOf(index, term),
    );
    // Field by field: this is made several times for each entry, and spreading costs five times as much.
    const now: Observation = {
      nodeId,
      incarnation,
      role: raft.role,
      currentTerm: raft.currentTerm,
      votedFor: raft.votedFor,
      commitIndex: raft.commitIndex,
      appliedIndex: raft.appliedIndex,
      durableAppliedIndex: stateMachine?.durableAppliedIndex ?? 0,
      formatLevel: stateMachine?.formatLevel ?? 0,
      baseIndex: raft.baseIndex,
      lastIndex: raft.lastIndex,
      durableIndex: raft.durableIndex,
      isCatchingUp: raft.isCatchingUp,
      repairsBegun: this.repairsBegun.get(nodeId) ?? 0,
      log: watched.log,
      truncatedFrom,
      appendedFrom,
      stateMachine,
      raft,
    };
    const before = watched.last;
    watched.last = now;
    watched.lastTerm = raft.termAt(raft.lastIndex);
    watched.stateIndex = stateMachine?.appliedIndex ?? 0;
    for (const checker of this.checkers)
      checker.observe(now, before, before === undefined ? watched.earlier : undefined);
    return { now, before };
  }

  /**
   * A message left a node in an event, after which the node was observed, unless the event was cut short by
   * its crash.
   */
  sent(message: Message, isCutShort = false): void {
    const node = this.watched.get(message.from)?.last;
    if (node !== undefined) this.promises.sent(message, node, isCutShort);
    if (!isCutShort) this.durableVotes.sent(message);
  }

  /** The node, which has no member, is about to replace its damaged disk. */
  repairBegins(nodeId: NodeId): void {
    this.repairsBegun.set(nodeId, (this.repairsBegun.get(nodeId) ?? 0) + 1);
  }

  /** A member of the node was made and is as it began; its steps will be told. */
  replicaStarted(nodeId: NodeId, raft: RaftView): void {
    this.durableVotes.replicaStarted(nodeId, raft.currentTerm, raft.votedFor);
    this.durableLogs.replicaStarted(nodeId, raft);
    this.voteCounts.replicaStarted(nodeId);
    this.quorumContacts.replicaStarted(nodeId);
    this.readIndexes.replicaStarted(nodeId);
  }

  /** The node's core took a step, and is now as `raft` says. */
  stepped(nodeId: NodeId, input: Input, output: Output, raft: RaftView): void {
    this.durableVotes.stepped(nodeId, input, output);
    this.durableLogs.stepped(nodeId, input, output);
    this.voteCounts.stepped(nodeId, input);
    this.quorumContacts.stepped(nodeId, input, raft);
    this.readIndexes.stepped(nodeId, input, output);
  }

  /**
   * By a fault of the plan the node's disk is that of an earlier time, which it cannot know: what it promised
   * since is not held against it.
   */
  forget(nodeId: NodeId): void {
    this.watched.delete(nodeId);
    this.promises.forget(nodeId);
    this.committed.forget(nodeId);
  }

  private watch(nodeId: NodeId, incarnation: number, { baseIndex, baseTerm }: RaftView): Watched {
    const known = this.watched.get(nodeId);
    if (known?.incarnation === incarnation) return known;
    const baseHash = baseIndex === 0 ? 0 : this.logs.hashOf(baseIndex, baseTerm);
    const fresh: Watched = {
      incarnation,
      log: new LogMirror(baseIndex, baseTerm, baseHash),
      last: undefined,
      lastTerm: 0,
      stateIndex: 0,
      earlier: known?.last ?? known?.earlier,
    };
    this.watched.set(nodeId, fresh);
    return fresh;
  }
}

function isUnchanged(watched: Watched, raft: RaftView, stateMachine: StateMachineView | undefined): boolean {
  const last = watched.last as Observation;
  return (
    last.role === raft.role &&
    last.currentTerm === raft.currentTerm &&
    last.votedFor === raft.votedFor &&
    last.commitIndex === raft.commitIndex &&
    last.appliedIndex === raft.appliedIndex &&
    last.baseIndex === raft.baseIndex &&
    last.isCatchingUp === raft.isCatchingUp &&
    last.lastIndex === raft.lastIndex &&
    last.durableIndex === raft.durableIndex &&
    watched.lastTerm === raft.termAt(raft.lastIndex) &&
    watched.stateIndex === (stateMachine?.appliedIndex ?? 0)
  );
}
