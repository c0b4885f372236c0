// All checkers of the consensus behind one call per event. Most events change nothing that they look at, so
// the first thing is to notice that: a handful of comparisons, and no allocation.

import type { NodeId } from '../../base/env.js';
import type { Message } from '../../raft/messages.js';
import { CommittedChecker } from './committed.js';
import { ElectionChecker } from './election.js';
import { LogChecker } from './log.js';
import { MonotonicChecker } from './monotonic.js';
import {
  LogMirror,
  type Observation,
  type RaftChecker,
  type RaftView,
  type StateMachineView,
} from './node-view.js';
import { PromiseChecker } from './promises.js';
import type { Violations } from './violations.js';

interface Watched {
  incarnation: number;
  log: LogMirror;
  last: Observation | undefined;
  lastTerm: number | undefined;
  stateIndex: number;
}

export class RaftCheckers {
  readonly elections: ElectionChecker;
  readonly logs: LogChecker;
  readonly committed: CommittedChecker;
  private readonly promises: PromiseChecker;
  private readonly checkers: readonly RaftChecker[];
  private readonly watched = new Map<NodeId, Watched>();

  /** `members`: names of all voters. */
  constructor(violations: Violations, members: readonly NodeId[]) {
    this.elections = new ElectionChecker(violations);
    this.logs = new LogChecker(violations);
    this.promises = new PromiseChecker(violations);
    this.committed = new CommittedChecker(violations, members, (nodeId) =>
      this.promises.acknowledgedIndexOf(nodeId),
    );
    this.checkers = [
      new MonotonicChecker(violations),
      this.elections,
      this.logs,
      this.committed,
      this.promises,
    ];
  }

  /**
   * Looks at a node after an event of its. `incarnation` counts its starts. Returns what changed, if
   * anything did.
   */
  observe(
    nodeId: NodeId,
    incarnation: number,
    raft: RaftView,
    stateMachine: StateMachineView | undefined,
  ): { readonly now: Observation; readonly before: Observation | undefined } | undefined {
    const watched = this.watch(nodeId, incarnation);
    if (watched.last !== undefined && isUnchanged(watched, raft, stateMachine)) return undefined;
    const { currentTerm, role, votedFor, commitIndex, appliedIndex, lastIndex, durableIndex } = raft;
    const change = watched.log.update(raft, (index, term) => this.logs.hashOf(index, term));
    const now: Observation = {
      ...{
        nodeId,
        incarnation,
        currentTerm,
        role,
        votedFor,
        commitIndex,
        appliedIndex,
        lastIndex,
        durableIndex,
      },
      log: watched.log,
      ...change,
      stateMachine,
    };
    const before = watched.last;
    watched.last = now;
    watched.lastTerm = raft.termAt(lastIndex);
    watched.stateIndex = stateMachine?.appliedIndex ?? 0;
    for (const checker of this.checkers) checker.observe(now, before);
    return { now, before };
  }

  /** A message leaves a node that was observed before. */
  sent(message: Message): void {
    const watched = this.watched.get(message.from);
    if (watched !== undefined) this.promises.sent(message, watched.log);
  }

  private watch(nodeId: NodeId, incarnation: number): Watched {
    const known = this.watched.get(nodeId);
    if (known?.incarnation === incarnation) return known;
    const fresh: Watched = { incarnation, log: new LogMirror(), last: undefined, lastTerm: 0, stateIndex: 0 };
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
    last.lastIndex === raft.lastIndex &&
    last.durableIndex === raft.durableIndex &&
    watched.lastTerm === raft.termAt(raft.lastIndex) &&
    watched.stateIndex === (stateMachine?.appliedIndex ?? 0)
  );
}
