// What is not well with a member, in words for those who operate it: a slow or hung disk, a peer that is far
// away, and why there is no leader. Told as events when it begins and when it changes, and kept as words for
// status and clients. Must never change what the member does.

import { assertNever } from '../../base/assert.js';
import type { Millis, NodeId } from '../../base/env.js';
import type { PeerProgress, Raft } from '../../raft/raft.js';
import type { VoterAnswer } from '../../raft/refusals.js';
import type { ReplicaContext } from './context.js';

export interface VigilContext {
  readonly env: Pick<ReplicaContext['env'], 'clock' | 'report'>;
  readonly nodeId: NodeId;
  readonly config: Pick<ReplicaContext['config'], 'raft'>;
  readonly formation: { readonly members: readonly { readonly nodeId: NodeId }[] };
  readonly peers: { isUp(peer: NodeId): boolean };
  readonly raft: Pick<
    Raft,
    'role' | 'leaderId' | 'isCatchingUp' | 'diskBusySinceMs' | 'slowestSyncMs' | 'answerOf' | 'progress'
  >;
}

const answerWords: Readonly<Record<VoterAnswer, string>> = {
  leaderAlive: 'refuses, it hears from a leader',
  logBehind: 'refuses, the log here is behind its own',
  voted: 'refuses, it voted for another candidate',
  termOver: 'refuses, it is in a later term',
  catchingUp: 'refuses, its disk was damaged and it catches up',
  granted: 'would vote for this node',
  silent: 'has not answered',
};

/** A sync that takes this part of the shortest election timeout is slow. */
const slowShare = 0.2;
/** A round trip that takes this part of it is long. */
const farShare = 1 / 3;
/** Words of why there is no leader are told at most this often. */
const tellAgainMs = 5_000;

type DiskState = 'quick' | 'slow' | 'hung';

export class Vigil {
  private readonly context: VigilContext;
  private readonly noLeaderChanged: (words: string) => void;
  private disk: DiskState = 'quick';
  private readonly far = new Set<NodeId>();
  private leaderlessSinceMs: Millis | undefined;
  private told = { words: '', atMs: -Infinity };

  /** `noLeaderChanged`: clients are to know why. */
  constructor(context: VigilContext, noLeaderChanged: (words: string) => void) {
    this.context = context;
    this.noLeaderChanged = noLeaderChanged;
  }

  /** What is not well now, in words; empty when all is. */
  get trouble(): string {
    const { raft } = this.context;
    const words: string[] = [];
    if (raft.leaderId === undefined) words.push(`no leader: ${this.noLeaderWords()}`);
    if (this.disk !== 'quick') words.push(this.diskWords());
    for (const { peer, roundTripMs } of this.farPeers()) {
      words.push(`node ${peer} is far away: a round trip takes ${Math.round(roundTripMs)} ms`);
    }
    return words.join('; ');
  }

  /** Why there is no leader, as far as this node knows. */
  noLeaderWords(): string {
    const { raft, peers, formation, nodeId } = this.context;
    const words: string[] = [];
    if (raft.isCatchingUp) words.push('this node catches up after damage and does not stand');
    const { busyMs } = this;
    if (busyMs > this.slowMs)
      words.push(`a sync of this node's disk has taken ${Math.round(busyMs)} ms so far`);
    for (const { nodeId: peer } of formation.members) {
      if (peer === nodeId) continue;
      const answer = raft.answerOf(peer);
      const isUp = peers.isUp(peer);
      if (!isUp) words.push(`${peer} is not connected`);
      else if (answer !== undefined) words.push(`${peer} ${answerWords[answer]}`);
    }
    return words.length === 0 ? 'an election is due' : words.join(', ');
  }

  /** Looks around. Call it from time to time. */
  check(): void {
    this.checkDisk();
    this.checkRoundTrips();
    this.checkLeader();
  }

  private get slowMs(): Millis {
    return this.context.config.raft.electionTimeoutMsMin * slowShare;
  }

  /** How long the disk has been about what it has now. */
  private get busyMs(): Millis {
    const { raft, env } = this.context;
    return raft.diskBusySinceMs === undefined ? 0 : env.clock.nowMs() - raft.diskBusySinceMs;
  }

  private checkDisk(): void {
    const { raft, env, config } = this.context;
    const before = this.disk;
    const longestMs = Math.max(this.busyMs, raft.slowestSyncMs);
    if (this.busyMs > config.raft.diskHungMs) this.disk = 'hung';
    else this.disk = longestMs > this.slowMs ? 'slow' : 'quick';
    if (this.disk === before) return;
    switch (this.disk) {
      case 'hung':
        env.report({ kind: 'diskHung', forMs: Math.round(this.busyMs) });
        return;
      case 'slow':
        env.report({ kind: 'diskSlow', syncMs: Math.round(longestMs) });
        return;
      case 'quick':
        env.report({ kind: 'diskQuick' });
        return;
      default:
        assertNever(this.disk);
    }
  }

  private diskWords(): string {
    if (this.disk === 'hung') return `the disk hangs: a sync has taken ${Math.round(this.busyMs)} ms so far`;
    const longestMs = Math.max(this.busyMs, this.context.raft.slowestSyncMs);
    return `the disk is slow: a sync took ${Math.round(longestMs)} ms`;
  }

  private farPeers(): { readonly peer: NodeId; readonly roundTripMs: Millis }[] {
    const { raft, config } = this.context;
    if (raft.role !== 'leader') return [];
    const isFar = ({ roundTripMs = 0 }: PeerProgress): boolean =>
      roundTripMs > config.raft.electionTimeoutMsMin * farShare;
    return raft
      .progress()
      .filter(isFar)
      .map(({ peer, roundTripMs = 0 }) => ({ peer, roundTripMs }));
  }

  private checkRoundTrips(): void {
    const { env, config } = this.context;
    const now = this.farPeers();
    for (const peer of this.far) if (now.every((other) => other.peer !== peer)) this.far.delete(peer);
    for (const { peer, roundTripMs } of now) {
      if (this.far.has(peer)) continue;
      this.far.add(peer);
      const { electionTimeoutMsMin } = config.raft;
      env.report({ kind: 'roundTripLong', peer, roundTripMs: Math.round(roundTripMs), electionTimeoutMsMin });
    }
  }

  private checkLeader(): void {
    const { raft, env, config } = this.context;
    const nowMs = env.clock.nowMs();
    if (raft.leaderId !== undefined) {
      this.leaderlessSinceMs = undefined;
      this.told = { words: '', atMs: -Infinity };
      return;
    }
    this.leaderlessSinceMs ??= nowMs;
    const forMs = nowMs - this.leaderlessSinceMs;
    // An election in good order is over by then.
    if (forMs < config.raft.electionTimeoutMsMax || nowMs - this.told.atMs < tellAgainMs) return;
    const words = this.noLeaderWords();
    if (words === this.told.words) return;
    this.told = { words, atMs: nowMs };
    env.report({ kind: 'noLeader', forMs: Math.round(forMs), reasons: words });
    this.noLeaderChanged(words);
  }
}
