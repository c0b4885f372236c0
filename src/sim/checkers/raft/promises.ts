// What a node promised to others must survive its crash: "Updated on stable storage before responding to
// RPCs" (Figure 2). Votes and acknowledgements are taken from the messages themselves as they leave: what
// they promise must be durable by then, and after each restart the node must still know its terms and votes
// and hold every entry that it acknowledged and did not replace since. A node whose disk was damaged may
// forget, and so may neither vote nor stand for election until it has caught up.

import { assertNever } from '../../../base/assert.js';
import type { NodeId } from '../../../base/env.js';
import type { Message } from '../../../raft/messages.js';
import type { LogIndex, Term } from '../../../raft/types.js';
import { isRebuilt, type Observation, type RaftChecker } from './node-view.js';
import type { Violations } from '../violations.js';

interface Promises {
  /** The highest term the node ever spoke in, except to ask for a pre-vote. */
  term: Term;
  /** Its vote in each term. */
  readonly votes: Map<Term, NodeId>;
  /** The last entry acknowledged and not replaced since, and the hash of the log up to it. */
  acknowledgedIndex: LogIndex;
  acknowledgedHash: number | undefined;
  /** The highest term of a leader that the node acknowledged entries to. Survives what the node forgets. */
  followedTerm: Term;
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

  /**
   * A message leaves its node, which was seen last as `node`. `isCutShort`: the node crashed in the event
   * that sent it, so that what it has of its disk may be newer than what was seen.
   */
  sent(message: Message, node: Observation, isCutShort: boolean): void {
    const promises = this.promisesOf(message.from);
    if (node.isCatchingUp && isVoteOrCandidacy(message)) {
      const text = `sends ${message.kind} of term ${message.term}, though it may have forgotten its promises`;
      this.violations.add('catchingUpVote', message.from, text);
    }
    const termIsPromised = (): void => {
      promises.term = Math.max(promises.term, message.term);
    };
    switch (message.kind) {
      case 'preVote':
      case 'preVoteResult':
        return;
      case 'requestVote':
        this.vote(promises, message.from, message.term, message.from);
        return termIsPromised();
      case 'requestVoteResult':
        if (message.voteGranted) this.vote(promises, message.from, message.term, message.to);
        return termIsPromised();
      case 'appendEntriesResult':
        termIsPromised();
        if (!message.success) return;
        promises.followedTerm = Math.max(promises.followedTerm, message.term);
        this.acknowledge(promises, message.matchIndex, message.term, node, isCutShort);
        return;
      case 'appendEntries':
      case 'heartbeat':
      case 'heartbeatResult':
      case 'historyDiffers':
      case 'readIndex':
      case 'readIndexResult':
      case 'timeoutNow':
        return termIsPromised();
      default:
        assertNever(message);
    }
  }

  observe(now: Observation, before: Observation | undefined, earlier: Observation | undefined): void {
    const promises = this.promisesOf(now.nodeId);
    if (before !== undefined) {
      if (now.truncatedFrom === undefined || now.truncatedFrom > promises.acknowledgedIndex) return;
      this.keepThrough(promises, now.truncatedFrom - 1, now);
    } else if (isRebuilt(now, earlier)) {
      this.checkForgotten(now, promises);
      // Nobody heard of a term above the one it begins in, so a vote in such a term counted for nobody. Votes
      // up to there stay: another one in the same term would still be one too many.
      for (const term of promises.votes.keys()) if (term > now.currentTerm) promises.votes.delete(term);
      // It begins with a vote for itself, so that it has none left in that term.
      if (now.votedFor !== undefined) promises.votes.set(now.currentTerm, now.votedFor);
      promises.term = now.currentTerm;
      this.keepThrough(promises, Math.min(promises.acknowledgedIndex, now.lastIndex), now);
    } else {
      this.checkRestart(now, promises, earlier);
    }
  }

  /**
   * What a rebuilt member may not forget. A leader of a term was elected by a majority, and one of those is
   * among the others that the member heard: it begins in that term at least. And of a term in which it may
   * have voted it must not have a vote left.
   */
  private checkForgotten({ nodeId, currentTerm, votedFor }: Observation, promises: Promises): void {
    if (currentTerm < promises.followedTerm) {
      const followed = `following the leader of term ${promises.followedTerm}`;
      const message = `begins anew in term ${currentTerm} after ${followed}`;
      this.violations.add('durableVote', nodeId, message);
    }
    const vote = promises.votes.get(currentTerm);
    if (vote === undefined || votedFor !== undefined) return;
    const message = `begins anew in term ${currentTerm} and may vote, though it voted for ${vote}`;
    this.violations.add('durableVote', nodeId, message);
  }

  private acknowledge(
    promises: Promises,
    matchIndex: LogIndex,
    term: Term,
    node: Observation,
    isCutShort: boolean,
  ): void {
    // An answer to a leader of the past may speak of entries that a newer one has replaced since.
    const isCurrent = term >= node.currentTerm && !isCutShort;
    if (matchIndex > node.lastIndex || (isCurrent && matchIndex > node.durableIndex)) {
      if (!isCurrent) return;
      const text = `acknowledged entry ${matchIndex}, holds ${node.lastIndex}, durably ${node.durableIndex}`;
      this.violations.add('durableAcknowledgement', node.nodeId, text);
    } else if (matchIndex > promises.acknowledgedIndex) {
      this.keepThrough(promises, matchIndex, node);
    }
  }

  private checkRestart(now: Observation, promises: Promises, earlier: Observation | undefined): void {
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
    // What the log begins after is committed, and compared with what all others have.
    if (acknowledgedIndex <= now.log.baseIndex) return;
    if (now.log.hashAt(acknowledgedIndex) === acknowledgedHash) return;
    if (this.isReplacedBySnapshot(now, earlier)) {
      this.keepThrough(promises, Math.min(acknowledgedIndex, now.lastIndex), now);
      return;
    }
    const message = `acknowledged the log up to ${acknowledgedIndex}, restarted with up to ${now.lastIndex}`;
    this.violations.add('durableAcknowledgement', now.nodeId, message);
  }

  /**
   * "If existing log entry has same index and term as snapshot's last included entry, retain log entries
   * following it" (Figure 5.3): only a log that contradicts the snapshot may be given up for it.
   */
  private isReplacedBySnapshot(now: Observation, earlier: Observation | undefined): boolean {
    const { baseIndex } = now.log;
    if (earlier === undefined || baseIndex === 0 || earlier.log.baseIndex > baseIndex) return false;
    return earlier.log.hashAt(baseIndex) !== now.log.hashAt(baseIndex);
  }

  private keepThrough(promises: Promises, index: LogIndex, node: Observation): void {
    promises.acknowledgedIndex = index;
    promises.acknowledgedHash = node.log.hashAt(index);
  }

  private vote(promises: Promises, nodeId: NodeId, term: Term, candidate: NodeId): void {
    const known = promises.votes.get(term);
    if (known === undefined) promises.votes.set(term, candidate);
    else if (known !== candidate) {
      this.violations.add('durableVote', nodeId, `voted for ${known} and for ${candidate} in term ${term}`);
    }
  }

  /** The node never promised anything. */
  forget(nodeId: NodeId): void {
    this.byNode.delete(nodeId);
  }

  private promisesOf(nodeId: NodeId): Promises {
    let promises = this.byNode.get(nodeId);
    if (promises === undefined) {
      promises = {
        term: 0,
        votes: new Map(),
        acknowledgedIndex: 0,
        acknowledgedHash: 0,
        followedTerm: 0,
      };
      this.byNode.set(nodeId, promises);
    }
    return promises;
  }
}

function isVoteOrCandidacy(message: Message): boolean {
  if (message.kind === 'requestVote' || message.kind === 'preVote') return true;
  const isAnswer = message.kind === 'requestVoteResult' || message.kind === 'preVoteResult';
  return isAnswer && message.voteGranted;
}
