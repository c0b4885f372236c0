// A vote leaves a node only when it is on its disk: "Updated on stable storage before responding to RPCs"
// (Figure 2). Seen from the core's side: the hard state that it puts out is unsaved until its `persisted`
// comes back, and while a vote is unsaved no message may tell of it. Whether the disk then really has it
// shows at the next restart, which promises.ts looks at.

import type { NodeId } from '../../../base/env.js';
import type { Input, Output } from '../../../raft/io.js';
import type { Message } from '../../../raft/messages.js';
import type { Term } from '../../../raft/types.js';
import type { Violations } from '../violations.js';

interface Vote {
  readonly term: Term;
  readonly votedFor: NodeId | undefined;
}

interface NodeVotes {
  saved: Vote;
  /** What the disk has under way, oldest first: at most as many as there are units in flight. */
  readonly unsaved: (Vote & { readonly sequence: number })[];
}

export class DurableVoteChecker {
  private readonly violations: Violations;
  private readonly votes = new Map<NodeId, NodeVotes>();

  constructor(violations: Violations) {
    this.violations = violations;
  }

  /** What an earlier member had under way ended with it; this one begins with what it read from its disk. */
  replicaStarted(nodeId: NodeId, term: Term, votedFor: NodeId | undefined): void {
    this.votes.set(nodeId, { saved: { term, votedFor }, unsaved: [] });
  }

  stepped(nodeId: NodeId, input: Input, output: Output): void {
    const votes = this.votes.get(nodeId);
    if (votes === undefined) return;
    if (input.kind === 'persisted') {
      for (;;) {
        const first = votes.unsaved[0];
        if (first === undefined || first.sequence > input.sequence) break;
        votes.saved = first;
        votes.unsaved.shift();
      }
    }
    const { persist, hardState } = output;
    if (persist === undefined || hardState === undefined) return;
    const { currentTerm: term, votedFor } = hardState;
    votes.unsaved.push({ sequence: persist.sequence, term, votedFor });
  }

  /** A message left its node in an event that is over. */
  sent(message: Message): void {
    const candidate = candidateOf(message);
    if (candidate === undefined) return;
    const votes = this.votes.get(message.from);
    const isThis = ({ term, votedFor }: Vote): boolean => term === message.term && votedFor === candidate;
    // A vote that is durable is put out again with each later commit index.
    if (votes === undefined || isThis(votes.saved) || !votes.unsaved.some(isThis)) return;
    const text = `the vote for ${candidate} in term ${message.term} left before it was durable`;
    this.violations.add('durableVote', message.from, text);
  }
}

/** For whom the message's sender voted. */
function candidateOf(message: Message): NodeId | undefined {
  if (message.kind === 'requestVote') return message.from;
  return message.kind === 'requestVoteResult' && message.voteGranted ? message.to : undefined;
}
