// One random run of a small cluster, all of it drawn from a seed: sizes, limits, faults and their order. The
// network loses, doubles and reorders; disks take their time; members crash back to what is durable; links
// are cut one way. Every step is checked by the cluster itself; at the end everything heals, and the members
// must agree and make progress.

import { expect } from 'vitest';
import { Prng } from '../../src/base/prng.js';
import type { Message } from '../../src/raft/messages.js';
import type { NodeId } from '../../src/raft/types.js';
import { emptySnapshotCoverage, SnapshotFaults, type SnapshotCoverage } from './random-snapshots.js';
import { VirtualCluster, type VirtualInput } from './virtual-cluster.js';

/** Rare situations, counted, so that a test can say that the runs reach them. */
export interface Coverage extends SnapshotCoverage {
  elections: number;
  truncations: number;
  commits: number;
  readsAnswered: number;
  readsFromDisk: number;
  transfers: number;
  crashes: number;
  refusedAppends: number;
  /** Reads that arrived at a leader that had been replaced and did not know it. */
  readsAtDeposed: number;
}

export function emptyCoverage(): Coverage {
  return {
    elections: 0,
    truncations: 0,
    commits: 0,
    readsAnswered: 0,
    readsFromDisk: 0,
    transfers: 0,
    crashes: 0,
    refusedAppends: 0,
    readsAtDeposed: 0,
    ...emptySnapshotCoverage(),
  };
}

interface Intensities {
  readonly lose: number;
  readonly double: number;
  readonly reorder: number;
  readonly crash: number;
  readonly cut: number;
  readonly slowDisk: number;
}

class RandomRun {
  private readonly prng: Prng;
  private readonly cluster: VirtualCluster;
  private readonly nodeIds: readonly NodeId[];
  private readonly faults: Intensities;
  private readonly snapshots: SnapshotFaults;
  private readonly coverage: Coverage;
  private readonly cuts = new Set<string>();
  /** Members whose timers do not fire, so that they do not notice that they are cut off. */
  private readonly late = new Set<NodeId>();
  /** Actions for which a member stays cut off: long enough for the others to elect another leader. */
  private strandedSteps = 0;
  private readonly tempoMs: number;
  private requestId = 0;
  private proposed = 0;

  constructor(seed: number, coverage: Coverage) {
    this.prng = new Prng(seed);
    this.coverage = coverage;
    const { prng } = this;
    const size = prng.pick([1, 2, 3, 3, 3, 4, 5]);
    const voters = ['n1', 'n2', 'n3', 'n4', 'n5'].slice(0, size);
    const learners = prng.chance(0.2) ? ['l1'] : [];
    this.nodeIds = [...voters, ...learners];
    this.tempoMs = prng.pick([10, 60, 200]);
    const often = (probability: number, most: number) =>
      prng.chance(probability) ? prng.fraction() * most : 0;
    this.faults = {
      lose: often(0.5, 0.2),
      double: often(0.5, 0.2),
      reorder: often(0.6, 1),
      crash: often(0.5, 0.01),
      cut: often(0.5, 0.03),
      slowDisk: often(0.5, 1),
    };
    const config = prng.chance(0.3)
      ? {}
      : {
          appendEntriesMax: prng.integer(1, 5),
          appendBytesMax: prng.integer(1, 40),
          inFlightBytesMax: prng.integer(1, 60),
          inFlightMessagesMax: prng.integer(1, 4),
          uncommittedBytesMax: prng.integer(20, 200),
          applyBytesMax: prng.integer(1, 60),
          entryCacheBytesMax: prng.integer(1, 80),
          readsMax: prng.integer(1, 5),
        };
    this.cluster = new VirtualCluster({ voters, learners, config, seed, recentMax: prng.integer(0, 10) });
    this.snapshots = new SnapshotFaults(prng, this.cluster, coverage, () => ++this.requestId);
    this.cluster.passes = (message) => this.passes(message);
    this.cluster.onStep = (member, input, output) => {
      if (output.truncateSuffix !== undefined) coverage.truncations++;
      coverage.commits += output.committed.length;
      coverage.readsAnswered += output.reads.length;
      if (input.kind === 'entriesRead') coverage.readsFromDisk++;
      const isNoop = output.entries[0]?.kind === 'noop';
      if (isNoop && member.raft?.role === 'leader') coverage.elections++;
      if (output.messages.some((sent) => sent.kind === 'appendEntriesResult' && !sent.success)) {
        coverage.refusedAppends++;
      }
      if (output.messages.some((sent) => sent.kind === 'timeoutNow')) coverage.transfers++;
      const isReplaced = member.raft?.role === 'leader' && this.cluster.leader !== member.raft;
      if (input.kind === 'readIndex' && isReplaced) coverage.readsAtDeposed++;
    };
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) this.act();
    this.heal();
  }

  private passes(message: Message): boolean {
    return !this.cuts.has(`${message.from}>${message.to}`) && !this.prng.chance(this.faults.lose);
  }

  private act(): void {
    const { prng, cluster, faults } = this;
    const { leader } = cluster;
    const nodeId = leader !== undefined && prng.chance(0.2) ? leader.nodeId : prng.pick(this.nodeIds);
    const isUp = cluster.member(nodeId).raft !== undefined;
    if (this.strandedSteps > 0) this.strandedSteps--;
    else if (prng.chance(faults.cut)) this.cutOrJoin(nodeId);
    if (prng.chance(faults.crash)) {
      if (isUp) this.crash(nodeId);
      else this.restart(nodeId);
      return;
    }
    this.snapshots.act(nodeId);
    if (isUp && cluster.member(nodeId).raft === undefined) return;
    const dice = prng.integer(0, 99);
    if (dice < 55) this.deliver();
    else if (dice < 70) {
      if (!prng.chance(faults.slowDisk)) while (cluster.persist(nodeId));
      else cluster.persist(nodeId);
    } else if (!isUp) {
      if (prng.chance(0.05)) this.restart(nodeId);
    } else if (dice < 76) cluster.apply(nodeId, prng.integer(1, 5));
    else if (dice < 79) cluster.answerRead(nodeId);
    else if (dice < 84) this.propose();
    else if (dice < 88) this.input(nodeId, { kind: 'readIndex', requestId: ++this.requestId });
    else if (dice < 98) this.pass(prng.integer(0, this.tempoMs));
    else this.hint(nodeId);
  }

  private crash(nodeId: NodeId): void {
    this.coverage.crashes++;
    this.cluster.crash(nodeId);
    this.snapshots.crashed(nodeId);
  }

  /** Unless its log is lost: then it has to recover first. */
  private restart(nodeId: NodeId): void {
    const { raft, recovering } = this.cluster.member(nodeId);
    if (raft === undefined && recovering === undefined) this.cluster.restart(nodeId);
  }

  private deliver(): void {
    const { prng, cluster, faults } = this;
    const position = prng.chance(faults.reorder) ? prng.integer(0, cluster.network.length) : 0;
    cluster.deliver(position, { keep: prng.chance(faults.double) });
    // A doubled message is an old one soon; without a bound the network would be full of them.
    if (cluster.network.length > 400) cluster.network.splice(prng.integer(0, 399), 1);
  }

  private propose(): void {
    const { prng, cluster } = this;
    const { leader } = cluster;
    const nodeId = leader === undefined || prng.chance(0.1) ? prng.pick(this.nodeIds) : leader.nodeId;
    if (cluster.member(nodeId).raft === undefined) return;
    const count = prng.integer(1, 3);
    const payloads = Array.from(
      { length: count },
      () => `${++this.proposed}${'x'.repeat(prng.integer(0, 30))}`,
    );
    cluster.propose(nodeId, ...payloads);
  }

  private pass(milliseconds: number): void {
    const { cluster } = this;
    cluster.now += milliseconds;
    for (const raft of cluster.running) {
      const isTold = !this.late.has(raft.nodeId) && !this.prng.chance(0.1);
      if (raft.deadlineMs <= cluster.now && isTold) this.input(raft.nodeId, { kind: 'timeout' });
    }
  }

  private hint(nodeId: NodeId): void {
    const { prng } = this;
    const peer = prng.pick(this.nodeIds);
    const dice = prng.integer(0, 9);
    if (dice < 4) this.input(nodeId, { kind: 'peerDown', peer });
    else if (dice < 8) this.input(nodeId, { kind: 'peerUp', peer });
    else if (prng.chance(0.5)) this.input(nodeId, { kind: 'transferLeadership' });
    else this.input(nodeId, { kind: 'transferLeadership', to: peer });
  }

  /** Joins everything, isolates the node, or cuts one of its links, one way. */
  private cutOrJoin(nodeId: NodeId): void {
    const { prng } = this;
    const dice = prng.integer(0, 9);
    if (dice < 4) {
      this.cuts.clear();
      this.late.clear();
    }
    if (dice === 4) {
      this.late.add(nodeId);
      this.strandedSteps = 400;
    }
    for (const peer of dice < 7 ? this.nodeIds : [prng.pick(this.nodeIds)]) {
      if (dice >= 4) this.cuts.add(`${nodeId}>${peer}`);
      if (dice >= 4 && dice < 6) this.cuts.add(`${peer}>${nodeId}`);
    }
  }

  private input(nodeId: NodeId, input: VirtualInput): void {
    this.cluster.step(nodeId, input);
  }

  private heal(): void {
    const { cluster } = this;
    this.cuts.clear();
    cluster.passes = () => true;
    for (const nodeId of this.nodeIds) this.restart(nodeId);
    this.snapshots.heal();
    const { leader } = cluster;
    if (leader === undefined) expect.fail('no leader 5 s after everything healed');
    const { proposal } = cluster.propose(leader.nodeId, 'last');
    expect(proposal?.accepted, 'a write after everything healed').toBe(true);
    const readers = this.nodeIds.map((nodeId) => {
      this.input(nodeId, { kind: 'readIndex', requestId: ++this.requestId });
      return { nodeId, requestId: this.requestId };
    });
    cluster.pass(200);
    const applied = cluster.member(leader.nodeId).applied.length;
    expect(applied, 'the last write is applied on the leader').toBe(leader.lastIndex);
    for (const { nodeId, raft, disk, applied: entries } of cluster.members.values()) {
      expect(raft?.lastIndex, `the log of ${nodeId}`).toBe(leader.lastIndex);
      expect(disk.lastIndex, `the disk of ${nodeId}`).toBe(leader.lastIndex);
      expect(entries.length, `what ${nodeId} applied`).toBe(leader.lastIndex);
    }
    for (const { nodeId, requestId } of readers) {
      expect(cluster.member(nodeId).reads.get(requestId), `the read of ${nodeId}`).toBeTypeOf('number');
    }
  }
}

/** Runs `steps` random actions and heals. Throws with the seed in the message when a rule was broken. */
export function randomRun(seed: number, steps: number, coverage: Coverage): void {
  try {
    new RandomRun(seed, coverage).run(steps);
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    throw new Error(`seed ${seed}, ${steps} steps: ${reason}`, { cause: error });
  }
}
