// The faults of a random run that have to do with where logs begin: prefixes are truncated at random points,
// snapshots are taken early and arrive late, twice or never, from senders that lead no more, and logs are
// lost after their entries were acknowledged. At the end it lets everything recover. Source: reliability
// research, "Snapshots and log compaction".

import { expect } from 'vitest';
import type { Prng } from '../../src/base/prng.js';
import type { NodeId } from '../../src/raft/types.js';
import type { VirtualCluster, VirtualSnapshot } from './virtual-cluster.js';

/** Situations, counted; see `Coverage`. */
export interface SnapshotCoverage {
  prefixTruncations: number;
  snapshotsAsked: number;
  snapshotsInstalled: number;
  /** Arrived at a member that did not need it any more. */
  snapshotsKept: number;
  snapshotsLost: number;
  /** Taken long before, and installed all the same. */
  lateInstalls: number;
  /** Installed over a log that reached beyond the snapshot, with other entries. */
  conflictingInstalls: number;
  logsLost: number;
  caughtUp: number;
}

export function emptySnapshotCoverage(): SnapshotCoverage {
  return {
    prefixTruncations: 0,
    snapshotsAsked: 0,
    snapshotsInstalled: 0,
    snapshotsKept: 0,
    snapshotsLost: 0,
    lateInstalls: 0,
    conflictingInstalls: 0,
    logsLost: 0,
    caughtUp: 0,
  };
}

/** Snapshots that were sent and may still arrive. */
const lateMax = 6;

export class SnapshotFaults {
  private readonly prng: Prng;
  private readonly cluster: VirtualCluster;
  private readonly nodeIds: readonly NodeId[];
  private readonly coverage: SnapshotCoverage;
  private readonly nextRequestId: () => number;
  private readonly truncates: number;
  private readonly damages: number;
  private readonly strays: number;
  private readonly late: { to: NodeId; snapshot: VirtualSnapshot }[] = [];

  constructor(prng: Prng, cluster: VirtualCluster, coverage: SnapshotCoverage, nextRequestId: () => number) {
    this.prng = prng;
    this.cluster = cluster;
    this.nodeIds = [...cluster.members.keys()];
    this.coverage = coverage;
    this.nextRequestId = nextRequestId;
    this.truncates = prng.chance(0.7) ? prng.fraction() * 0.05 : 0;
    this.damages = prng.chance(0.4) ? prng.fraction() * 0.004 : 0;
    this.strays = prng.chance(0.5) ? prng.fraction() * 0.1 : 0;
    cluster.slowSendings = true;
  }

  /** One random action of these, or none. */
  act(nodeId: NodeId): void {
    const { prng } = this;
    if (prng.chance(this.truncates)) this.truncate(nodeId);
    if (prng.chance(this.damages)) this.damage(nodeId);
    if (prng.chance(0.04)) this.endSending();
    if (prng.chance(this.strays)) this.takeStray(nodeId);
    if (prng.chance(0.01 + this.strays)) this.deliverLate();
    if (prng.chance(0.05)) this.recover(nodeId);
    if (prng.chance(0.05)) this.catchUp(nodeId);
  }

  /** A crash may lose what the state machine had not written; the log still holds it. */
  crashed(nodeId: NodeId): void {
    const { applied, disk } = this.cluster.member(nodeId);
    applied.length = this.prng.integer(disk.baseIndex, applied.length);
  }

  /**
   * Every snapshot that was lost is noticed, every damaged member recovers. All members are up or recovering.
   */
  heal(): void {
    const { cluster } = this;
    while (cluster.sendings.length > 0) cluster.finishSending(0, { isLost: true });
    cluster.slowSendings = false;
    for (const nodeId of this.nodeIds) {
      for (const peer of this.nodeIds) if (peer !== nodeId) cluster.hello(nodeId, peer);
    }
    for (const { nodeId, recovering } of cluster.members.values()) {
      if (recovering !== undefined) expect(cluster.recover(nodeId), `${nodeId} recovers`).toBe(true);
    }
    cluster.pass(5_000);
    for (const { nodeId, isCatchingUp } of cluster.members.values()) {
      if (isCatchingUp) this.catchUpNow(nodeId);
    }
  }

  private truncate(nodeId: NodeId): void {
    const { prng, cluster } = this;
    const { raft, disk } = cluster.member(nodeId);
    if (raft === undefined) return;
    // Often all of it: an empty log is where its base matters most.
    const index = prng.chance(0.5) ? raft.appliedIndex : prng.integer(disk.baseIndex, raft.appliedIndex);
    if (index > raft.baseIndex) this.coverage.prefixTruncations++;
    // A crash between the step and the truncation on disk leaves more there.
    cluster.truncate(nodeId, index, prng.chance(0.2) ? disk.baseIndex : index);
  }

  private endSending(): void {
    const { prng, cluster, coverage } = this;
    const position = prng.integer(0, Math.max(0, cluster.sendings.length - 1));
    const sending = cluster.sendings[position];
    if (sending === undefined) return;
    if (sending.view === undefined || prng.chance(0.2)) {
      if (sending.view === undefined) coverage.snapshotsAsked++;
      sending.view = cluster.view(sending.from.nodeId);
      return;
    }
    const { to, view } = sending;
    if (prng.chance(0.5)) this.keepLate(to, view);
    const isConflicting = this.isConflicting(to, view);
    const result = cluster.finishSending(position, { isLost: prng.chance(0.3) });
    if (result === 'lost') coverage.snapshotsLost++;
    else this.count(result, isConflicting);
  }

  /** A view that no leader asked for, on its way to anybody: a sender may have been replaced meanwhile. */
  private takeStray(nodeId: NodeId): void {
    const { raft } = this.cluster.member(nodeId);
    const behind = this.cluster.running.filter(({ commitIndex }) => commitIndex < (raft?.appliedIndex ?? 0));
    if (raft === undefined || behind.length === 0) return;
    const view = this.cluster.view(nodeId);
    // Rare, and where most can go wrong.
    const conflicting = behind.filter((peer) => this.isConflicting(peer.nodeId, view));
    const { nodeId: to } = this.prng.pick(conflicting.length > 0 ? conflicting : behind);
    this.keepLate(to, view);
  }

  private keepLate(to: NodeId, snapshot: VirtualSnapshot): void {
    this.late.push({ to, snapshot });
    if (this.late.length > lateMax) this.late.shift();
  }

  private deliverLate(): void {
    const { prng, cluster, coverage } = this;
    const conflicting = this.late.find(({ to, snapshot }) => this.isConflicting(to, snapshot));
    const late = conflicting ?? this.late[prng.integer(0, Math.max(0, this.late.length - 1))];
    if (late === undefined) return;
    const isConflicting = this.isConflicting(late.to, late.snapshot);
    const result = cluster.receiveSnapshot(late.to, late.snapshot);
    if (result === 'installed') coverage.lateInstalls++;
    this.count(result, isConflicting);
  }

  private count(result: string | undefined, isConflicting: boolean): void {
    if (result === 'kept') this.coverage.snapshotsKept++;
    if (result !== 'installed') return;
    this.coverage.snapshotsInstalled++;
    if (isConflicting) this.coverage.conflictingInstalls++;
  }

  private isConflicting(nodeId: NodeId, { index, term }: VirtualSnapshot): boolean {
    const known = this.cluster.member(nodeId).raft?.termAt(index);
    return known !== undefined && known !== term;
  }

  /** As many as a majority can do without: what is on no other disk must not be lost. */
  private damage(nodeId: NodeId): void {
    const { prng, cluster } = this;
    const voters = [...cluster.members.values()].filter((member) => cluster.isVoter(member.nodeId));
    const damaged = voters.filter(({ isCatchingUp, recovering }) => isCatchingUp || recovering !== undefined);
    const damagedMax = Math.ceil(voters.length / 2) - 1;
    if (this.nodeIds.length < 2 || cluster.member(nodeId).recovering !== undefined) return;
    if (cluster.isVoter(nodeId) && damaged.length >= damagedMax) return;
    cluster.damage(nodeId, { keepsStore: prng.chance(0.5) });
    this.coverage.logsLost++;
  }

  private recover(nodeId: NodeId): void {
    const { prng, cluster } = this;
    const peer = prng.pick(this.nodeIds);
    if (peer !== nodeId) cluster.hello(nodeId, peer);
    cluster.recover(nodeId);
  }

  private catchUp(nodeId: NodeId): void {
    if (this.cluster.catchUp(nodeId, this.nextRequestId())) this.coverage.caughtUp++;
  }

  private catchUpNow(nodeId: NodeId): void {
    this.catchUp(nodeId);
    this.cluster.pass(200);
    this.catchUp(nodeId);
    expect(this.cluster.raft(nodeId).isCatchingUp, `${nodeId} catches up`).toBe(false);
  }
}
