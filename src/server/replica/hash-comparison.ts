// Members compare what they have applied. The leader opens a round at its own applied index, each second
// while something is applied and until everybody has answered; each member says to all others what its state
// hash is after that index, once it has applied as much. So each one sees by itself who agrees with whom, and
// takes nobody's verdict. The hash is a chain: what differs once differs from there on. A member that differs
// from a majority of the voters which agree with each other ends, after it has handed over if it leads;
// without such a majority nobody ends. Any difference is an alarm until all agree, there or later. Hashes
// are compared of one format level only, and a member that begins on another store begins anew here. Pure but
// for its host.

import type { Millis, NodeId } from '../../base/env.js';
import type { LogIndex } from '../../raft/types.js';
import type { StateHashFrame } from '../../wire/peers/frames.js';

export interface HashComparisonHost {
  readonly nodeId: NodeId;
  readonly voters: readonly NodeId[];
  nowMs(): Millis;
  isLeader(): boolean;
  appliedIndex(): LogIndex;
  formatLevel(): number;
  /** `undefined`: not applied yet, or not kept any more. */
  stateHashAt(index: LogIndex): string | undefined;
  send(peer: NodeId, frame: StateHashFrame): void;
  /** Members differ; each time that it is seen at a new index. */
  differ(difference: HashDifference): void;
  /** All voters agree again. */
  agree(index: LogIndex): void;
  /** A majority agrees, and this member differs from it: called once. */
  diverged(difference: HashDifference): void;
}

/** Who has which hash after `index`. */
export interface HashDifference {
  readonly index: LogIndex;
  readonly hashes: readonly (readonly [nodeId: NodeId, hash: string])[];
}

const roundEveryMs = 1_000;
/** Rounds that are open, each until a newer one is complete: so many seconds may a member be behind. */
const roundsMax = 64;

/** What was said of one index, by whom. */
type Round = Map<NodeId, { readonly hash: string; readonly formatLevel: number }>;

export class HashComparison {
  private readonly host: HashComparisonHost;
  private readonly rounds = new Map<LogIndex, Round>();
  /** Opened by somebody, and not answered by this member: nearly always nothing. */
  private unanswered: LogIndex[] = [];
  private openedIndex = 0;
  private openedMs = -Infinity;
  private current: HashDifference | undefined;
  private isOver = false;

  constructor(host: HashComparisonHost) {
    this.host = host;
  }

  /** The newest difference that is not over. */
  get difference(): HashDifference | undefined {
    return this.current;
  }

  /** To be called often: the leader opens a round, or asks again, when it is time. */
  tick(): void {
    const { host } = this;
    if (this.isOver || !host.isLeader() || host.nowMs() - this.openedMs < roundEveryMs) return;
    const index = host.appliedIndex();
    const isComplete = (this.rounds.get(this.openedIndex)?.size ?? 0) >= host.voters.length;
    if (index === this.openedIndex && isComplete) return;
    this.openedMs = host.nowMs();
    this.openedIndex = index;
    this.record(index, host.nodeId, host.stateHashAt(index), host.formatLevel());
    this.broadcast(index, true);
    this.judge(index);
  }

  /** A peer's process may be another one, and its store too: what it said before is not said by this one. */
  peerUp(peer: NodeId): void {
    for (const round of this.rounds.values()) round.delete(peer);
  }

  receive(peer: NodeId, { index, hash, formatLevel, asks }: StateHashFrame): void {
    if (this.isOver || !this.host.voters.includes(peer)) return;
    const isKnown = this.rounds.get(index)?.has(this.host.nodeId) === true;
    this.record(index, peer, hash, formatLevel);
    this.judge(index);
    if (this.isOver || !this.rounds.has(index)) return;
    if (isKnown && asks) this.sendTo(peer, index, false);
    if (isKnown) return;
    if (!this.unanswered.includes(index)) this.unanswered.push(index);
    this.applied(this.host.appliedIndex());
  }

  /** Everything up to `index` is applied. Called often: cheap when nothing waits for it. */
  applied(index: LogIndex): void {
    if (this.unanswered.length === 0 || this.isOver) return;
    const due = this.unanswered.filter((open) => open <= index);
    if (due.length === 0) return;
    this.unanswered = this.unanswered.filter((open) => open > index);
    for (const open of due) {
      const hash = this.host.stateHashAt(open);
      if (hash === undefined) continue;
      this.record(open, this.host.nodeId, hash, this.host.formatLevel());
      // Said before it is judged: who ends by it is missed, and the others know why.
      this.broadcast(open, false);
      this.judge(open);
    }
  }

  private broadcast(index: LogIndex, asks: boolean): void {
    for (const peer of this.host.voters) if (peer !== this.host.nodeId) this.sendTo(peer, index, asks);
  }

  private sendTo(peer: NodeId, index: LogIndex, asks: boolean): void {
    const own = this.rounds.get(index)?.get(this.host.nodeId);
    if (own !== undefined) this.host.send(peer, { kind: 'stateHash', index, ...own, asks });
  }

  private record(index: LogIndex, node: NodeId, hash: string | undefined, formatLevel: number): void {
    if (hash === undefined) return;
    let round = this.rounds.get(index);
    if (round === undefined) {
      if (this.rounds.size >= roundsMax) this.forgetOldest();
      round = new Map();
      this.rounds.set(index, round);
    }
    round.set(node, { hash, formatLevel });
  }

  private forgetOldest(): void {
    const oldest = Math.min(...this.rounds.keys());
    this.rounds.delete(oldest);
    this.unanswered = this.unanswered.filter((open) => open !== oldest);
  }

  private judge(index: LogIndex): void {
    const round = this.rounds.get(index);
    if (round === undefined) return;
    const { host } = this;
    const formatLevel = host.formatLevel();
    const said = [...round].filter(([, report]) => report.formatLevel === formatLevel);
    const hashes = said.map(([node, { hash }]) => [node, hash] as const);
    const first = hashes[0]?.[1];
    if (hashes.every(([, hash]) => hash === first)) {
      if (hashes.length === host.voters.length) this.allAgree(index);
      return;
    }
    const difference = { index, hashes };
    if ((this.current?.index ?? 0) < index) host.differ(difference);
    this.current = difference;
    const own = round.get(host.nodeId);
    const majority = hashes.find(([, hash]) => {
      return hashes.filter(([, other]) => other === hash).length > host.voters.length / 2;
    });
    if (own === undefined || majority === undefined || own.hash === majority[1]) return;
    if (own.formatLevel !== formatLevel) return;
    this.isOver = true;
    host.diverged(difference);
  }

  /** Nothing before it is of interest any more. */
  private allAgree(index: LogIndex): void {
    for (const older of [...this.rounds.keys()]) if (older < index) this.rounds.delete(older);
    this.unanswered = this.unanswered.filter((open) => open >= index);
    if (this.current === undefined || this.current.index > index) return;
    this.current = undefined;
    this.host.agree(index);
  }
}
