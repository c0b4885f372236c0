// The leader's part in bringing the cluster to a higher format level: it proposes that only on what the
// processes said that are connected now, of all members, because what is raised never comes down again. A
// member that is missing may come back with any software; whoever is lost is removed before. One raise at a
// time; it is answered when it has taken effect here.

import { KvorumError } from '../../base/errors.js';
import type { LogIndex, Term } from '../../raft/types.js';
import type { RaiseFormatRequest } from '../../wire/clients/requests.js';
import { encodeCommand } from '../../wire/commands/command-codec.js';
import { encodeEntryPayload } from '../../wire/commands/entry-codec.js';
import { errorAnswer, type Caller } from '../front/caller.js';
import type { ClusterClock } from './cluster-clock.js';
import type { ReplicaContext } from './context.js';

export interface FormatRaiseContext extends Pick<
  ReplicaContext,
  'nodeId' | 'formation' | 'software' | 'formatLevel'
> {
  readonly env: Pick<ReplicaContext['env'], 'report'>;
  readonly raft: Pick<ReplicaContext['raft'], 'role' | 'isTransferring' | 'leaderId'>;
  readonly loop: Pick<ReplicaContext['loop'], 'step'>;
  readonly peers: Pick<ReplicaContext['peers'], 'formatLevelMaxOf'>;
}

interface Pending {
  readonly caller: Caller;
  readonly requestId: number;
  readonly index: LogIndex;
  readonly term: Term;
}

export class FormatRaise {
  private readonly context: FormatRaiseContext;
  private readonly clusterClock: Pick<ClusterClock, 'stamp'>;
  private pending: Pending | undefined;
  /** Of the state, after what was applied last. */
  private level: number;

  constructor(context: FormatRaiseContext, clusterClock: Pick<ClusterClock, 'stamp'>) {
    this.context = context;
    this.clusterClock = clusterClock;
    this.level = context.formatLevel;
  }

  /** Proposes the raise, or answers why not. */
  request(caller: Caller, { requestId, level }: RaiseFormatRequest): void {
    try {
      this.check(level);
      // Asked again because the answer was lost, or by somebody else meanwhile: it is so.
      if (level === this.context.formatLevel) return this.confirm(caller, requestId);
      this.pending = { caller, requestId, ...this.propose(level) };
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      const { code, message, outcome } = error;
      this.context.env.report({ kind: 'formatRaiseRefused', level, code, reason: message });
      caller.answer(errorAnswer(requestId, code, message, outcome));
    }
  }

  /** An entry took effect, here or on any other member. Called for each: cheap when no raise is under way. */
  applied(index: LogIndex, term: Term): void {
    const { formatLevel } = this.context;
    if (formatLevel !== this.level) {
      this.context.env.report({ kind: 'formatRaised', from: this.level, to: formatLevel, index });
      this.level = formatLevel;
    }
    if (this.pending === undefined || index < this.pending.index) return;
    const { caller, requestId, index: expected, term: proposedIn } = this.pending;
    this.pending = undefined;
    if (index === expected && term === proposedIn) {
      this.confirm(caller, requestId);
    } else {
      caller.answer(errorAnswer(requestId, 'NOT_LEADER', 'the raise lost its place to another leader'));
    }
  }

  /** What was proposed may yet take effect; this node will not hear of it. */
  leadershipEnded(): void {
    if (this.pending === undefined) return;
    const { caller, requestId } = this.pending;
    this.pending = undefined;
    const message = 'this node stopped leading before the raise was decided: kvorum status shows the levels';
    caller.answer(errorAnswer(requestId, 'NOT_LEADER', message, 'unknown'));
  }

  private confirm(caller: Caller, requestId: number): void {
    caller.answer({ kind: 'formatRaised', requestId, formatLevel: this.context.formatLevel });
  }

  private check(level: number): void {
    const { nodeId, software, formatLevel, raft } = this.context;
    if (raft.role !== 'leader' || raft.isTransferring) {
      const who = raft.leaderId === undefined ? 'no leader is known' : `node ${raft.leaderId} leads`;
      throw new KvorumError('NOT_LEADER', `node ${nodeId} does not lead; ${who}`);
    }
    if (level === formatLevel) return;
    if (level < formatLevel) {
      const fact = `the cluster is at format level ${formatLevel}, asked for was ${level}`;
      throw new KvorumError('UNSUPPORTED', `${fact}: there is no way down`);
    }
    if (level > software.formatLevelMax) {
      const fact = `node ${nodeId}, which leads, knows format levels up to ${software.formatLevelMax}`;
      throw new KvorumError('UNSUPPORTED', `${fact}, asked for was ${level}: upgrade its software first`);
    }
    if (this.pending !== undefined) {
      throw new KvorumError('UNAVAILABLE', 'another raise of the format level is under way: wait for it');
    }
    this.checkMembers(level);
  }

  /** All other members, whether they vote or not: none may be left behind. */
  private checkMembers(level: number): void {
    const { nodeId, formation, peers } = this.context;
    const missing: string[] = [];
    const tooOld: string[] = [];
    for (const { nodeId: peer } of formation.members) {
      if (peer === nodeId) continue;
      const known = peers.formatLevelMaxOf(peer);
      if (known === undefined) missing.push(peer);
      else if (known < level) tooOld.push(`${peer} (up to ${known})`);
    }
    if (tooOld.length > 0) {
      const fact = `format level ${level} is not known to ${tooOld.join(', ')}`;
      throw new KvorumError('UNSUPPORTED', `${fact}: upgrade the software of every member first`);
    }
    if (missing.length > 0) {
      const fact = `not connected to ${missing.join(', ')}: what their software knows cannot be told`;
      throw new KvorumError('UNAVAILABLE', `${fact}; start them`);
    }
  }

  private propose(level: number): { index: LogIndex; term: Term } {
    const command = encodeCommand({ kind: 'raiseFormat', level });
    const payload = encodeEntryPayload(this.clusterClock.stamp(), level, [command]);
    const proposals = [{ kind: 'command' as const, payload }];
    const result = this.context.loop.step({ kind: 'propose', proposals })?.proposal;
    if (result?.accepted !== true) {
      throw new KvorumError('OVERLOADED', 'the log of the leader takes nothing more now: try again');
    }
    return { index: result.firstIndex, term: result.term };
  }
}

/**
 * The format level of a member's state, as far as it knows it. A store that is damaged, or has not applied
 * the formation yet, is of no lower level than that.
 */
export function levelOfState(
  { formatLevel }: Pick<ReplicaContext['formation'], 'formatLevel'>,
  stateMachine: Pick<ReplicaContext['stateMachine'], 'formatLevel'> | undefined,
): number {
  return Math.max(formatLevel, stateMachine?.formatLevel ?? 0);
}
