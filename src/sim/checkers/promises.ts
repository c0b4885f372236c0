// What a node promised to others must survive its crash: "Updated on stable storage before responding to
// RPCs" (Figure 2). Votes and acknowledgements are taken from the messages themselves as they leave; after
// each restart the node must still know its terms and votes and hold every entry that it acknowledged and
// did not replace since.

import type { NodeId } from '../../base/env.js';
import type { Message } from '../../raft/messages.js';
import type { LogIndex, Term } from '../../raft/types.js';
import type { LogMirror, Observation, RaftChecker } from './node-view.js';
import type { Violations } from './violations.js';

interface Promises {
  /** The highest term the node ever spoke in, except to ask for a pre-vote. */
  term: Term;
  /** Its vote in each term. */
  readonly votes: Map<Term, NodeId>;
  /** The last entry acknowledged and not replaced since, and the hash of the log up to it. */
  acknowledgedIndex: LogIndex;
  acknowledgedHash: number | undefined;
}

export class PromiseChecker implements RaftChecker {
  private readonly violations: Violations;
  private readonly byNode = new Map<NodeId, Promises>();

  constructor(violations: Violations) {
    this.violations = violations;
  }

  /** The last entry that the node acknowledged and did not replace since. */
  acknowledgedIndexOf(nodeId: NodeId): LogIndex {
    return this.promisesOf(nodeId).acknowledgedIndex;
  }

  /** A message leaves its node, whose log is `log`. */
  sent(message: Message, log: LogMirror): void {
    const promises = this.promisesOf(message.from);
    if (message.kind === 'requestVote') this.vote(promises, message.from, message.term, message.from);
    if (message.kind === 'requestVoteResult' && message.voteGranted) {
      this.vote(promises, message.from, message.term, message.to);
    }
    if (message.kind === 'preVote' || message.kind === 'preVoteResult') return;
    promises.term = Math.max(promises.term, message.term);
    if (message.kind !== 'appendEntriesResult' || !message.success) return;
    if (message.matchIndex > log.lastIndex) {
      const text = `acknowledged entry ${message.matchIndex} but holds only ${log.lastIndex}`;
      this.violations.add('durableAcknowledgement', message.from, text);
    } else if (message.matchIndex > promises.acknowledgedIndex) {
      promises.acknowledgedIndex = message.matchIndex;
      promises.acknowledgedHash = log.hashAt(message.matchIndex);
    }
  }

  observe(now: Observation, before: Observation | undefined): void {
    const promises = this.promisesOf(now.nodeId);
    if (before === undefined) {
      this.checkRestart(now, promises);
    } else if (now.truncatedFrom !== undefined && now.truncatedFrom <= promises.acknowledgedIndex) {
      promises.acknowledgedIndex = now.truncatedFrom - 1;
      promises.acknowledgedHash = now.log.hashAt(promises.acknowledgedIndex);
    }
  }

  private checkRestart(now: Observation, promises: Promises): void {
    if (now.currentTerm < promises.term) {
      const message = `restarted in term ${now.currentTerm} after speaking in term ${promises.term}`;
      this.violations.add('durableVote', now.nodeId, message);
    }
    const vote = promises.votes.get(now.currentTerm);
    if (vote !== undefined && now.votedFor !== vote) {
      const message = `forgot its vote for ${vote} in term ${now.currentTerm}, holds ${now.votedFor}`;
      this.violations.add('durableVote', now.nodeId, message);
    }
    const { acknowledgedIndex, acknowledgedHash } = promises;
    if (acknowledgedIndex > 0 && now.log.hashAt(acknowledgedIndex) !== acknowledgedHash) {
      const message =
        `acknowledged the log up to ${acknowledgedIndex}, restarted with up to ` + `${now.lastIndex}`;
      this.violations.add('durableAcknowledgement', now.nodeId, message);
    }
  }

  private vote(promises: Promises, nodeId: NodeId, term: Term, candidate: NodeId): void {
    const known = promises.votes.get(term);
    if (known === undefined) promises.votes.set(term, candidate);
    else if (known !== candidate) {
      this.violations.add('durableVote', nodeId, `voted for ${known} and for ${candidate} in term ${term}`);
    }
  }

  private promisesOf(nodeId: NodeId): Promises {
    let promises = this.byNode.get(nodeId);
    if (promises === undefined) {
      promises = { term: 0, votes: new Map(), acknowledgedIndex: 0, acknowledgedHash: 0 };
      this.byNode.set(nodeId, promises);
    }
    return promises;
  }
}
