// Rare things that a run should meet now and then: a simulator that no longer gets there proves nothing,
// however many seeds pass. Each mark is made from the events of a node, what the core is given and answers,
// and what leaves a node; never by a hook in the code under test.

import type { Input, Output } from '../../raft/io.js';
import type { Raft } from '../../raft/raft.js';
import type { NodeEvent, NodeEventKind } from '../../server/events.js';
import type { PeerFrame } from '../../wire/protocol.js';

export interface CoverageMark {
  readonly name: string;
  /** In at least this share of many seeds. */
  readonly floor: number;
}

/** Must be there in a few dozen seeds already. */
export const frequent = 0.1;
/** What most seeds need luck for: any of these may be missing in a hundred seeds. */
const common = 0.01;
const rare = 0.002;

/** So many seeds must have met everything; in fewer, what is rare may be missing by chance. */
export const manySeeds = 1_000;

/** All marks. A floor below 1 % has its reason beside it. */
export const coverageMarks: readonly CoverageMark[] = [
  // Elections.
  { name: 'vote refused by log', floor: common },
  { name: 'pre-vote refused, leader alive', floor: frequent },
  { name: 'election lost', floor: common },
  { name: 'leader steps down by itself', floor: frequent },
  { name: 'leadership handed over', floor: common },
  // Replication.
  { name: 'truncations', floor: frequent },
  { name: 'append refused by log', floor: frequent },
  { name: 'entries of earlier terms committed by a later one', floor: frequent },
  { name: 'read waits for a commit in its own term', floor: frequent },
  { name: 'entries read back from the log', floor: frequent },
  // The disk.
  { name: 'torn tails', floor: common },
  { name: 'stopped by its disk', floor: common },
  { name: 'corruption detected', floor: common },
  { name: 'member rebuilt', floor: common },
  { name: 'member votes again', floor: common },
  { name: 'stopped without its identity', floor: common },
  // A value rots in few seeds, and must be read before it is superseded.
  { name: 'stopped by what it read', floor: rare },
  // Snapshots.
  { name: 'log cut', floor: frequent },
  { name: 'snapshot offered', floor: frequent },
  { name: 'snapshot goes on after a break', floor: common },
  { name: 'snapshot goes on from another sender', floor: rare },
  { name: 'snapshot arrived', floor: frequent },
  { name: 'snapshot installed', floor: frequent },
  { name: 'snapshot over an uncommitted tail', floor: frequent },
  // The entries must arrive while the snapshot is on its way.
  { name: 'snapshot not needed', floor: rare },
  // Processes.
  { name: 'power midway', floor: frequent },
  { name: 'kill midway', floor: frequent },
  { name: 'crash during start', floor: frequent },
  { name: 'crash during install', floor: rare },
  { name: 'crash during recovery', floor: common },
  // Clients. Sessions live for a minute: only seeds of five minutes outlive one.
  { name: 'client silent beyond its session', floor: rare },
  { name: 'write with unknown outcome', floor: frequent },
  // A leader whose disk is full hands over before most clients hear of it.
  { name: 'no space', floor: rare },
  // The healed phase.
  { name: 'core without a node', floor: frequent },
  { name: 'node heard and deaf for ever', floor: common },
];

/** What happened in fewer of the seeds than its floor; `seedsWith`: in how many it did. */
export function missedMarks(
  seeds: number,
  seedsWith: (mark: string) => number,
  floorMin = 0,
): { readonly name: string; readonly seedsMin: number }[] {
  return coverageMarks
    .filter(({ floor }) => floor >= floorMin)
    .map(({ name, floor }) => ({ name, seedsMin: Math.ceil(floor * seeds) }))
    .filter(({ name, seedsMin }) => seedsWith(name) < seedsMin);
}

/** The mark that an event stands for. */
function markOf(event: NodeEvent): string | undefined {
  return event.kind === 'stagingRemoved' && event.why !== 'unneeded' ? undefined : eventMarks[event.kind];
}

const eventMarks: { readonly [K in NodeEventKind]?: string } = {
  tornTailCut: 'torn tails',
  damageFound: 'corruption detected',
  repairBegins: 'member rebuilt',
  votesAgain: 'member votes again',
  snapshotArrived: 'snapshot arrived',
  snapshotInstalled: 'snapshot installed',
  stagingRemoved: 'snapshot not needed',
  snapshotOfferUnneeded: 'snapshot not needed',
  snapshotUnneeded: 'snapshot not needed',
};

export class CoverageMarks {
  private readonly count: (mark: string) => void;
  /** Who sent each node a snapshot last. */
  private readonly lastSender = new Map<string, string>();

  constructor(count: (mark: string) => void) {
    this.count = count;
  }

  /** A node told what happens in it; `raft` is its core, when it has one. */
  happened(event: NodeEvent, raft: Raft | undefined): void {
    const mark = markOf(event);
    if (mark !== undefined) this.count(mark);
    if (event.kind !== 'snapshotInstalling' || raft === undefined) return;
    if (raft.lastIndex > raft.commitIndex) this.count('snapshot over an uncommitted tail');
  }

  /** A frame leaves `from` for `to`. */
  sent(from: string, to: string, frame: PeerFrame): void {
    switch (frame.kind) {
      case 'snapshotOffer':
        this.count('snapshot offered');
        return;
      case 'snapshotCursor': {
        const before = this.lastSender.get(from);
        this.lastSender.set(from, to);
        if (frame.revision === 0) return;
        this.count('snapshot goes on after a break');
        if (before !== undefined && before !== to) this.count('snapshot goes on from another sender');
        return;
      }
      default:
    }
  }

  /** The core of a node did a step. `before`: its role and commit index before that. */
  stepped(
    raft: Raft,
    before: { role: Raft['role']; commitIndex: number },
    input: Input,
    output: Output,
  ): void {
    switch (input.kind) {
      case 'timeout':
        if (before.role === 'leader' && raft.role !== 'leader') this.count('leader steps down by itself');
        break;
      case 'truncatePrefix':
        this.count('log cut');
        break;
      case 'transferLeadership':
        if (before.role === 'leader') this.count('leadership handed over');
        break;
      case 'readIndex':
        if (raft.role === 'leader' && raft.termAt(raft.commitIndex) !== raft.currentTerm) {
          this.count('read waits for a commit in its own term');
        }
        break;
      case 'message':
        this.answered(raft, before.role, input.message.kind, output);
        break;
      default:
    }
    if (output.readEntries.length > 0) this.count('entries read back from the log');
    if (before.role !== 'leader' || raft.role !== 'leader' || raft.commitIndex === before.commitIndex) return;
    if ((raft.termAt(before.commitIndex + 1) ?? raft.currentTerm) < raft.currentTerm) {
      this.count('entries of earlier terms committed by a later one');
    }
  }

  private answered(raft: Raft, roleBefore: Raft['role'], kind: string, output: Output): void {
    if (kind === 'requestVoteResult' && roleBefore === 'candidate' && raft.role === 'follower') {
      this.count('election lost');
    }
    if (kind !== 'requestVote' && kind !== 'preVote' && kind !== 'appendEntries') return;
    for (const message of output.messages) {
      if (message.kind === 'appendEntriesResult' && !message.success) this.count('append refused by log');
      if (message.kind === 'preVoteResult' && !message.voteGranted && raft.leaderId !== undefined) {
        this.count('pre-vote refused, leader alive');
      }
      const isRefusal = message.kind === 'requestVoteResult' && !message.voteGranted;
      const hasVote = raft.votedFor === undefined || raft.votedFor === message.to;
      if (isRefusal && hasVote) this.count('vote refused by log');
    }
  }
}
