// Rare things that a run should meet now and then: a simulator that no longer gets there proves nothing,
// however many seeds pass. Each mark is made from the events of a node, what the core is given and answers,
// and what leaves a node; never by a hook in the code under test.

import { assertNever } from '../../base/assert.js';
import type { Input, Output } from '../../raft/io.js';
import type { Raft } from '../../raft/raft.js';
import type { EventOf, NodeEvent, NodeEventKind } from '../../server/events.js';
import type { PeerFrame } from '../../wire/peers/frames.js';

/** Must be there in a few dozen seeds already. */
export const frequent = 0.1;
/** What most seeds need luck for: any of these may be missing in a hundred seeds. */
const common = 0.01;
const rare = 0.002;

/** So many seeds must have met everything; in fewer, what is rare may be missing by chance. */
export const manySeeds = 1_000;

/**
 * The floor of each mark: in so large a share of many seeds it is met at least. One below 1 % has its reason
 * beside it.
 */
const floors = {
  // Elections.
  'vote refused by log': common,
  'pre-vote refused, leader alive': frequent,
  'election lost': common,
  'leader steps down by itself': frequent,
  'leadership handed over': common,
  // Replication.
  truncations: frequent,
  'append refused by log': frequent,
  'entries of earlier terms committed by a later one': frequent,
  'read waits for a commit in its own term': frequent,
  'entries read back from the log': frequent,
  // The disk.
  'torn tails': common,
  'stopped by its disk': common,
  'corruption detected': common,
  'member rebuilt': common,
  'member votes again': common,
  'stopped without its identity': common,
  // A value rots in few seeds, and must be read before it is superseded.
  'stopped by what it read': rare,
  // Snapshots.
  'log cut': frequent,
  'snapshot offered': frequent,
  'snapshot goes on after a break': common,
  'snapshot goes on from another sender': rare,
  'snapshot arrived': frequent,
  'snapshot installed': frequent,
  'snapshot over an uncommitted tail': frequent,
  // The entries must arrive while the snapshot is on its way.
  'snapshot not needed': rare,
  // Processes.
  'power midway': frequent,
  'kill midway': frequent,
  'crash during start': frequent,
  'crash during install': rare,
  'crash during recovery': common,
  // Clients. Sessions live for a minute: only seeds of five minutes outlive one.
  'client silent beyond its session': rare,
  'write with unknown outcome': frequent,
  // A leader whose disk is full hands over before most clients hear of it.
  'no space': rare,
  // Versions that meet: four of a hundred larger clusters.
  'stopped by a newer format': common,
  'format level raised': common,
  'format level not raised': common,
  // The healed phase.
  'core without a node': frequent,
  'node heard and deaf for ever': common,
} as const satisfies Readonly<Record<string, number>>;

export type MarkName = keyof typeof floors;

export interface CoverageMark {
  readonly name: MarkName;
  /** In at least this share of many seeds. */
  readonly floor: number;
}

export const coverageMarks: readonly CoverageMark[] = (Object.keys(floors) as MarkName[]).map((name) => ({
  name,
  floor: floors[name],
}));

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

/** The mark that an event stands for; of an event that is one only sometimes, when. */
const eventMarks: {
  readonly [K in NodeEventKind]?: MarkName | ((event: EventOf<K>) => MarkName | undefined);
} = {
  tornTailCut: 'torn tails',
  damageFound: 'corruption detected',
  repairBegins: 'member rebuilt',
  votesAgain: 'member votes again',
  formatRaised: 'format level raised',
  formatRaiseRefused: 'format level not raised',
  snapshotArrived: 'snapshot arrived',
  snapshotInstalled: 'snapshot installed',
  stagingRemoved: ({ why }) => (why === 'unneeded' ? 'snapshot not needed' : undefined),
  snapshotOfferUnneeded: 'snapshot not needed',
  snapshotUnneeded: 'snapshot not needed',
};

function markOf(event: NodeEvent): MarkName | undefined {
  const mark = eventMarks[event.kind] as MarkName | ((event: NodeEvent) => MarkName | undefined) | undefined;
  return typeof mark === 'function' ? mark(event) : mark;
}

export class CoverageMarks {
  private readonly count: (mark: MarkName) => void;
  /** Who sent each node a snapshot last. */
  private readonly lastSender = new Map<string, string>();

  constructor(count: (mark: MarkName) => void) {
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
      case 'stateHash':
      case 'hello':
      case 'refusal':
      case 'proof':
      case 'formation':
      case 'raft':
      case 'snapshotChunk':
      case 'snapshotResult':
        return;
      default:
        assertNever(frame);
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
      case 'propose':
      case 'persisted':
      case 'applied':
      case 'entriesRead':
      case 'peerDown':
      case 'peerUp':
      case 'snapshotEnded':
      case 'peerReset':
      case 'caughtUp':
        break;
      default:
        assertNever(input);
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
