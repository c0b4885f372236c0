// "A leader steps down if an election timeout elapses without a successful round of heartbeats to a majority
// of its cluster" (§6.2). One that stays answers nobody, and keeps clients that could ask its successor.
// Looked at whenever its timer runs, by its own clock: while it sleeps it harms nobody. And it never puts
// that timer off, whatever else it is busy with: there it finds out that a quorum or its own disk is gone.

import type { NodeId } from '../../../base/env.js';
import type { Input } from '../../../raft/io.js';
import type { Message } from '../../../raft/messages.js';
import type { Term } from '../../../raft/types.js';
import type { RaftView } from './node-view.js';
import type { Violations } from '../violations.js';

interface Leadership {
  readonly term: Term;
  /** When each other member was heard last, by the clock of the leader; at first when it began to lead. */
  readonly heardMs: Map<NodeId, number>;
  /** Its last step. */
  steppedMs: number;
  /** Time since its timer ran last in which it did something, so that it did not sleep, and waited for it. */
  awakeMs: number;
}

/** Who does nothing for longer may have slept. */
const idleMsMax = 50;

export class QuorumContactChecker {
  private readonly violations: Violations;
  private readonly members: readonly NodeId[];
  private readonly silenceMsMax: number;
  private readonly leaderships = new Map<NodeId, Leadership>();

  /** `members`: names of all voters. `silenceMsMax`: the largest election timeout. */
  constructor(violations: Violations, members: readonly NodeId[], silenceMsMax: number) {
    this.violations = violations;
    this.members = members;
    this.silenceMsMax = silenceMsMax;
  }

  replicaStarted(nodeId: NodeId): void {
    this.leaderships.delete(nodeId);
  }

  /** `raft`: as the step has left it. */
  stepped(nodeId: NodeId, input: Input, raft: RaftView): void {
    if (raft.role !== 'leader') {
      this.leaderships.delete(nodeId);
      return;
    }
    const known = this.leaderships.get(nodeId);
    if (known?.term !== raft.currentTerm) {
      const others = this.members.filter((member) => member !== nodeId);
      const heardMs = new Map(others.map((member) => [member, input.now]));
      this.leaderships.set(nodeId, {
        term: raft.currentTerm,
        heardMs,
        steppedMs: input.now,
        awakeMs: 0,
      });
      return;
    }
    if (input.kind === 'message' && isOfFollower(input.message, known.term)) {
      known.heardMs.set(input.message.from, input.now);
    }
    // A timer that is due and late is the platform's: it has more to do than it can.
    if (raft.deadlineMs >= input.now) known.awakeMs += Math.min(input.now - known.steppedMs, idleMsMax);
    known.steppedMs = input.now;
    if (input.kind === 'timeout' && input.isLate !== true) {
      known.awakeMs = 0;
      this.checkSilence(nodeId, known, input.now);
    }
    if (known.awakeMs > this.silenceMsMax) {
      const message = `leads term ${known.term} and was awake for ${known.awakeMs} ms without a timeout`;
      this.violations.add('leaderUnchecked', nodeId, message);
    }
  }

  private checkSilence(nodeId: NodeId, { term, heardMs }: Leadership, now: number): void {
    const heard = [...heardMs.values()].filter((timeMs) => now - timeMs <= this.silenceMsMax).length;
    if (2 * (heard + 1) > this.members.length) return;
    const message = `leads term ${term} and heard ${heard} others in the last ${this.silenceMsMax} ms`;
    this.violations.add('leaderWithoutQuorum', nodeId, message);
  }
}

/** Whoever does not follow, and asks for votes, is no quorum of this leader. */
function isOfFollower({ kind, term }: Message, leaderTerm: Term): boolean {
  if (term !== leaderTerm) return false;
  return kind === 'appendEntriesResult' || kind === 'heartbeatResult' || kind === 'readIndex';
}
