// The links between members. Each node keeps one link of its own to every peer and speaks only on that one;
// on the links that peers opened it listens. A link carries nothing before both sides have proved that they
// know the secret of the cluster, and only what comes over the newest link of a member's living process is
// heard, so a message from an earlier one never arrives.
//
//   dialing            hello ────────────► proof ──────────► messages
//   accepting                 hello, proof ────► proof
//
// The accepting side proves first, and neither says anything of itself before the other has proved itself:
// who dials a member, or answers at its address, learns no more than a name and numbers that were drawn for
// that link. Nodes that are part of no cluster have nothing to prove; see server/life/forming.ts.

import { assertNever } from '../../base/assert.js';
import type { Entropy, LinkId, Network, NodeId, Report, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Message } from '../../raft/messages.js';
import type { Term } from '../../raft/types.js';
import {
  decodeGreeting,
  decodePeerFrames,
  encodePeerFrames,
  encodePeerMessages,
} from '../../wire/peers/codec.js';
import {
  proofBytes,
  type GreetingFrame,
  type PeerFormation,
  type PeerFrame,
  type PeerHello,
  type PeerProof,
  type PeerRaft,
  type PeerRefusal,
  type StateHashFrame,
} from '../../wire/peers/frames.js';
import type { Greeting, PeerClaim } from '../../wire/peers/proof-input.js';
import type { SnapshotFrame } from '../../wire/snapshots/frames.js';
import type { NodeEvent } from '../events.js';
import { Incarnations } from './incarnations.js';
import { checkFirstProof, checkProof, firstProof, greetingOf, helloOf, proofOf } from './own-side.js';
import type { MemberSide, OwnSide } from './own-side.js';

/** A member that has proved itself, and what it says of itself. */
export interface ProvedPeer extends PeerClaim {
  readonly nodeId: NodeId;
  readonly formatLevelMax: number;
}

export interface PeersOptions {
  readonly network: Network;
  readonly report: Report<NodeEvent>;
  readonly timers: Timers;
  readonly entropy: Entropy;
  /** What this node is now. While it changes, no link of before may stand: `reconnectAll`. */
  own(): OwnSide;
  /** Judges what anybody may say. A refusal closes the link, its words go to the other side. */
  judgeHello(hello: PeerHello): PeerRefusal | undefined;
  /** Judges a member that proved itself, as `judgeHello` does. */
  judge(peer: ProvedPeer): PeerRefusal | undefined;
  /** A member proved itself just now. `hasLost`: it takes back what it acknowledged before. */
  heard(peer: ProvedPeer, hasLost: boolean): void;
  /** Who answers at the peer's address is part of no cluster, as this node; until `emptyGone`. */
  empty(hello: PeerHello): void;
  emptyGone(peer: NodeId): void;
  /** Who answers at the peer's address turns this node, which is part of no cluster, away. */
  turnedAway(refusal: PeerRefusal): void;
  /** This node, part of no cluster, is told of one by who answers at the peer's address. */
  formation(peer: NodeId, frame: PeerFormation): void;
  /** What makes a node a member. */
  formationFrame(echoes: readonly Uint8Array[]): PeerFormation;
  /** Messages may flow to the peer: both are members of the same formed cluster. */
  up(peer: NodeId): void;
  down(peer: NodeId): void;
  currentTerm(): Term;
  message(message: Message): void;
  /**
   * A frame of a snapshot, from a peer that is a member of the same formed cluster. What it throws closes the
   * link.
   */
  snapshot(peer: NodeId, frame: SnapshotFrame): void;
  stateHash(peer: NodeId, frame: StateHashFrame): void;
  /** There is something to send: call `flush` at the end of this turn. */
  wake(): void;
}

/** A link on which nobody proves who it is takes the place of one that would. */
const greetingTimeoutMs = 5_000;
const notGreeted = 'who it is was not said and proved in time';
/** A member is told of the cluster with so many of the newest links in its name. */
const echoesMax = 16;
/**
 * So far may a message's term be ahead of all that its sender greeted with and this node knows: terms grow by
 * one with an election, and what is further ahead is rather a wrong bit. A member that is really there says
 * so, proved, when it greets again.
 */
export const termJumpMax = 1_000_000;

/**
 * `hello`: nothing was said. `proof`: the other side has to prove itself. `empty`: one of the two nodes is
 * part of no cluster, so there is nothing to prove. `proved`: a member.
 */
type Stage = 'hello' | 'proof' | 'empty' | 'proved';

interface PeerLink {
  readonly link: LinkId;
  /** When the own nonce was drawn, as Incarnations counts. */
  readonly challengedAt: number;
  stage: Stage;
  greeting: Greeting | undefined;
  /** Which process is at the other end; empty until it has proved it. */
  incarnation: string;
}

interface Outbound extends PeerLink {
  readonly peer: NodeId;
  readonly hello: PeerHello;
  formatLevelMax: number;
}

interface Inbound extends PeerLink {
  /** Said, and proved in stage `proved` only. */
  peer: NodeId | undefined;
  /** Of the other side's hello, when it is part of no cluster. */
  nonce: Uint8Array | undefined;
  /** No message with a term above this was looked at. */
  termMax: Term;
  /** That the other side named when it greeted. */
  termGreeted: Term;
}

export interface PeerFigures {
  readonly dialed: number;
  readonly accepted: number;
  readonly waitingBytes: number;
}

export class Peers {
  private readonly options: PeersOptions;
  private readonly incarnations = new Incarnations();
  private readonly outboundByPeer = new Map<NodeId, Outbound>();
  private readonly outboundByLink = new Map<LinkId, Outbound>();
  private readonly inboundByLink = new Map<LinkId, Inbound>();
  /** The newest proved link from each peer: the only one that is heard. */
  private readonly inboundByPeer = new Map<NodeId, Inbound>();
  private readonly outboxes = new Map<NodeId, (PeerRaft | StateHashFrame)[]>();

  constructor(options: PeersOptions) {
    this.options = options;
  }

  /** Whether messages can flow to the peer now. */
  isUp(peer: NodeId): boolean {
    return this.outboundByPeer.get(peer)?.stage === 'proved';
  }

  /**
   * The highest format level that the process knows which answers at the peer's address now; `undefined`
   * while none is connected, or while another process than that one is heard: one of the two is gone.
   */
  formatLevelMaxOf(peer: NodeId): number | undefined {
    const outbound = this.outboundByPeer.get(peer);
    const inbound = this.inboundByPeer.get(peer);
    const isOther = inbound !== undefined && inbound.incarnation !== outbound?.incarnation;
    return outbound?.stage === 'proved' && !isOther ? outbound.formatLevelMax : undefined;
  }

  /** For people: links by who opened them, and what has not left yet. */
  get figures(): PeerFigures {
    let waitingBytes = 0;
    for (const link of this.outboundByLink.keys()) waitingBytes += this.options.network.bufferedBytes(link);
    return { dialed: this.outboundByLink.size, accepted: this.inboundByLink.size, waitingBytes };
  }

  has(link: LinkId): boolean {
    return this.outboundByLink.has(link) || this.inboundByLink.has(link);
  }

  dialed(link: LinkId, peer: NodeId): void {
    const outbound: Outbound = {
      peer,
      link,
      hello: helloOf(this.options.own(), peer, this.drawNonce()),
      challengedAt: this.incarnations.challenge(),
      stage: 'hello',
      greeting: undefined,
      incarnation: '',
      formatLevelMax: 0,
    };
    this.outboundByPeer.set(peer, outbound);
    this.outboundByLink.set(link, outbound);
    this.options.network.send(link, encodePeerFrames([outbound.hello]));
    this.options.timers.set(greetingTimeoutMs, () => {
      const isOver = outbound.stage === 'proved' || outbound.stage === 'empty';
      if (!isOver && this.outboundByLink.get(link) === outbound) this.close(link, notGreeted);
    });
  }

  accepted(link: LinkId): void {
    const inbound: Inbound = {
      link,
      challengedAt: this.incarnations.challenge(),
      stage: 'hello',
      greeting: undefined,
      incarnation: '',
      peer: undefined,
      nonce: undefined,
      termMax: 0,
      termGreeted: 0,
    };
    this.inboundByLink.set(link, inbound);
    this.options.timers.set(greetingTimeoutMs, () => {
      const isOver = inbound.stage === 'proved' || this.isBetweenEmpty(inbound);
      if (!isOver && this.inboundByLink.get(link) === inbound) this.close(link, notGreeted);
    });
  }

  closed(link: LinkId): void {
    const outbound = this.outboundByLink.get(link);
    if (outbound !== undefined) this.forgetOutbound(outbound);
    const inbound = this.inboundByLink.get(link);
    if (inbound !== undefined) this.forgetInbound(inbound);
  }

  /** Queues a message; dropped when there is no link, which the core copes with. */
  send(message: Message): void {
    this.queue(message.to, { kind: 'raft', message });
  }

  /** As `send`. */
  sendStateHash(peer: NodeId, frame: StateHashFrame): void {
    this.queue(peer, frame);
  }

  private queue(peer: NodeId, frame: PeerRaft | StateHashFrame): void {
    if (!this.isUp(peer)) return;
    let outbox = this.outboxes.get(peer);
    if (outbox === undefined) {
      outbox = [];
      this.outboxes.set(peer, outbox);
    }
    if (outbox.length === 0) this.options.wake();
    outbox.push(frame);
  }

  /**
   * Sends a frame of a snapshot at once, in a message of its own. False when there is no link to
   * the peer or it takes no more now: the frame is dropped.
   */
  sendSnapshot(peer: NodeId, frame: SnapshotFrame): boolean {
    const outbound = this.outboundByPeer.get(peer);
    if (outbound?.stage !== 'proved') return false;
    return this.options.network.send(outbound.link, encodePeerFrames([frame]));
  }

  flush(): void {
    for (const [peer, outbox] of this.outboxes) {
      if (outbox.length === 0) continue;
      this.outboxes.set(peer, []);
      const outbound = this.outboundByPeer.get(peer);
      if (outbound?.stage !== 'proved') continue;
      for (const message of encodePeerMessages(outbox)) this.options.network.send(outbound.link, message);
    }
  }

  receive(link: LinkId, message: Uint8Array): void {
    try {
      const inbound = this.inboundByLink.get(link);
      if (inbound?.stage === 'proved') {
        for (const frame of decodePeerFrames(message)) {
          if (this.inboundByLink.get(link) !== inbound) return;
          this.receiveProved(inbound, frame);
        }
        return;
      }
      for (const frame of decodeGreeting(message)) this.receiveGreeting(link, frame);
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.options.report({ kind: 'peerLinkClosed', link, code: error.code, message: error.message });
      this.close(link, error.message);
    }
  }

  /** Closes every link, so that all say hello again. The network dials again by itself. */
  reconnectAll(reason: string): void {
    for (const link of [...this.outboundByLink.keys(), ...this.inboundByLink.keys()])
      this.close(link, reason);
  }

  private drawNonce(): Uint8Array {
    return this.options.entropy.bytes(proofBytes);
  }

  private isBetweenEmpty({ stage, nonce }: Inbound): boolean {
    return stage === 'empty' && nonce !== undefined && this.options.own().kind === 'unformed';
  }

  // ---- greetings

  private receiveGreeting(link: LinkId, frame: GreetingFrame): void {
    const outbound = this.outboundByLink.get(link);
    if (outbound !== undefined) this.receiveOutbound(outbound, frame);
    const inbound = this.inboundByLink.get(link);
    if (inbound !== undefined) this.receiveInbound(inbound, frame);
  }

  private receiveOutbound(outbound: Outbound, frame: GreetingFrame): void {
    switch (frame.kind) {
      case 'hello':
        this.answered(outbound, frame);
        return;
      case 'proof': {
        const own = this.options.own();
        const { greeting } = outbound;
        if (outbound.stage !== 'proof' || greeting === undefined || own.kind !== 'member') {
          throw new KvorumError('PROTOCOL', `node ${outbound.peer} proves what nobody asked for`);
        }
        checkProof(own, 'acceptor', greeting, frame);
        const peer = provedPeer(greeting.acceptor, frame);
        const refusal = this.options.judge(peer);
        if (refusal !== undefined) throw asError(refusal);
        if (!this.isLiving(outbound, peer, true)) return;
        outbound.stage = 'proved';
        outbound.formatLevelMax = peer.formatLevelMax;
        this.proved(outbound, peer);
        if (this.outboundByLink.get(outbound.link) === outbound) this.options.up(outbound.peer);
        return;
      }
      case 'refusal':
        // Only words to a member: whatever they say, it goes by what it finds out itself.
        if (this.options.own().kind === 'unformed') this.options.turnedAway(frame);
        throw asError(frame, `node ${outbound.peer} refuses this node: `);
      case 'formation':
        throw new KvorumError('PROTOCOL', `node ${outbound.peer} tells of a cluster where it only answers`);
      default:
        assertNever(frame);
    }
  }

  /** Who answers at the peer's address says who it is. */
  private answered(outbound: Outbound, hello: PeerHello): void {
    const { peer } = outbound;
    if (outbound.stage !== 'hello') throw secondHello();
    if (hello.nodeId !== peer) {
      const fact = `the address of node ${peer} is answered by node ${hello.nodeId}`;
      throw new KvorumError('IDENTITY', `${fact}: check the cluster file`);
    }
    const refusal = this.options.judgeHello(hello);
    if (refusal !== undefined) throw asError(refusal);
    const own = this.options.own();
    if (own.kind === 'unformed' || hello.instanceId !== undefined) {
      outbound.stage = 'empty';
      if (own.kind === 'member') this.tellFormation(peer);
      else if (hello.instanceId !== undefined) this.options.empty(hello);
      return;
    }
    outbound.greeting = greetingOf(own, outbound.hello, hello);
    checkFirstProof(own, outbound.greeting);
    outbound.stage = 'proof';
    this.options.network.send(outbound.link, encodePeerFrames([proofOf(own, 'dialer', outbound.greeting)]));
  }

  private receiveInbound(inbound: Inbound, frame: GreetingFrame): void {
    switch (frame.kind) {
      case 'hello':
        this.introduced(inbound, frame);
        return;
      case 'proof': {
        const own = this.options.own();
        const { greeting } = inbound;
        if (inbound.stage !== 'proof' || greeting === undefined || own.kind !== 'member') {
          throw new KvorumError('PROTOCOL', 'a proof that nobody asked for');
        }
        checkProof(own, 'dialer', greeting, frame);
        this.admit(inbound, own, provedPeer(greeting.dialer, frame), greeting);
        return;
      }
      case 'formation': {
        const { peer } = inbound;
        const asked = peer === undefined ? undefined : this.outboundByPeer.get(peer)?.hello.nonce;
        const isOurs = frame.echoes.some((echo) => asked !== undefined && isSame(echo, asked));
        if (peer === undefined || inbound.stage !== 'empty' || !isOurs) {
          const fact = 'who tells of a cluster has not heard from this node at its address';
          throw new KvorumError('PROTOCOL', `${fact}: it may be none of its members`);
        }
        this.options.formation(peer, frame);
        return;
      }
      case 'refusal':
        throw new KvorumError('PROTOCOL', 'a refusal on a link that the other side opened');
      default:
        assertNever(frame);
    }
  }

  /** Who opened a link says who it is: nobody has to believe it yet. */
  private introduced(inbound: Inbound, hello: PeerHello): void {
    if (inbound.stage !== 'hello') throw secondHello();
    const own = this.options.own();
    const refusal = refuseAddressee(own, hello) ?? this.options.judgeHello(hello);
    if (refusal !== undefined) {
      this.options.network.send(inbound.link, encodePeerFrames([refusal]));
      throw asError(refusal);
    }
    inbound.peer = hello.nodeId;
    const answer = helloOf(own, hello.nodeId, this.drawNonce());
    const isMember = own.kind === 'member' && hello.instanceId === undefined;
    inbound.stage = isMember ? 'proof' : 'empty';
    if (isMember) inbound.greeting = greetingOf(own, hello, answer);
    if (hello.instanceId !== undefined) inbound.nonce = hello.nonce;
    const proof = isMember && inbound.greeting && firstProof(own, inbound.greeting);
    const frames = [proof instanceof Uint8Array ? { ...answer, proof } : answer];
    this.options.network.send(inbound.link, encodePeerFrames(frames));
    if (own.kind === 'member' && !isMember) this.tellFormation(hello.nodeId);
  }

  /**
   * Tells a node that missed the forming: over the link that this node dialed, so that nobody hears it who
   * only claims to be that node, and with what came from it to this address, so that it knows who tells.
   */
  private tellFormation(peer: NodeId): void {
    const outbound = this.outboundByPeer.get(peer);
    if (outbound?.stage !== 'empty') return;
    const echoes: Uint8Array[] = [];
    for (const inbound of this.inboundByLink.values()) {
      if (inbound.peer === peer && inbound.nonce !== undefined) echoes.push(inbound.nonce);
    }
    if (echoes.length === 0) return;
    const frame = this.options.formationFrame(echoes.slice(-echoesMax));
    this.options.network.send(outbound.link, encodePeerFrames([frame]));
  }

  /** A member has proved itself on a link that it opened: from here on it is heard there. */
  private admit(inbound: Inbound, own: MemberSide, peer: ProvedPeer, greeting: Greeting): void {
    const { link } = inbound;
    const refusal = this.options.judge(peer);
    if (refusal !== undefined) {
      // With the own claim: a node with too old software learns that from it, and stops by itself.
      const frames = [proofOf(own, 'acceptor', greeting), refusal];
      this.options.network.send(link, encodePeerFrames(frames));
      throw asError(refusal);
    }
    if (!this.isLiving(inbound, peer, false)) return;
    const older = this.inboundByPeer.get(peer.nodeId);
    if (older !== undefined && older.challengedAt > inbound.challengedAt) {
      this.close(link, 'a newer link of the same node is there');
      return;
    }
    if (older !== undefined) this.close(older.link, 'replaced by a newer link of the same node');
    inbound.stage = 'proved';
    inbound.termGreeted = peer.currentTerm ?? 0;
    this.inboundByPeer.set(peer.nodeId, inbound);
    this.options.network.admit(link);
    this.options.network.send(link, encodePeerFrames([proofOf(own, 'acceptor', greeting)]));
    this.proved(inbound, peer);
  }

  /** Whether the process at the other end may be heard; closes the link if not. */
  private isLiving(at: PeerLink, { nodeId, incarnation }: ProvedPeer, isDialed: boolean): boolean {
    const step = this.incarnations.proved(nodeId, incarnation, at.challengedAt, isDialed);
    switch (step) {
      case 'late':
        this.close(at.link, 'another process of the node has proved itself meanwhile: greet again');
        return false;
      case 'twice': {
        const refusal = refuseTwin(nodeId);
        this.options.report({ kind: 'peerTwice', peer: nodeId });
        this.options.network.send(at.link, encodePeerFrames([refusal]));
        throw asError(refusal);
      }
      case 'newer':
        at.incarnation = incarnation;
        this.closeOthers(nodeId, incarnation);
        return true;
      case 'known':
        at.incarnation = incarnation;
        return true;
      default:
        return assertNever(step);
    }
  }

  private proved({ link }: PeerLink, peer: ProvedPeer): void {
    const hasLost = this.incarnations.takesBack(peer.nodeId, peer.catchingUp);
    if (this.has(link)) this.options.heard(peer, hasLost);
  }

  /** Nothing of another process of the peer is heard or spoken to from here on. */
  private closeOthers(peer: NodeId, incarnation: string): void {
    for (const { link, peer: name, stage, incarnation: other } of [
      ...this.inboundByLink.values(),
      ...this.outboundByLink.values(),
    ]) {
      if (name !== peer || stage !== 'proved' || other === incarnation) continue;
      this.close(link, 'another process of the same node has proved itself');
    }
  }

  // ---- messages

  private receiveProved(inbound: Inbound, frame: PeerFrame): void {
    const { peer = '' } = inbound;
    switch (frame.kind) {
      case 'raft':
        if (frame.message.from !== peer) {
          const fact = `node ${peer} sent a message in the name of ${frame.message.from}`;
          throw new KvorumError('IDENTITY', fact);
        }
        if (frame.message.term > inbound.termMax) this.checkTerm(inbound, frame.message.term);
        this.options.message(frame.message);
        return;
      case 'stateHash':
        this.options.stateHash(peer, frame);
        return;
      case 'snapshotOffer':
      case 'snapshotCursor':
      case 'snapshotChunk':
      case 'snapshotResult':
        this.options.snapshot(peer, frame);
        return;
      case 'hello':
      case 'proof':
      case 'formation':
      case 'refusal':
        throw new KvorumError('PROTOCOL', `a ${frame.kind} of node ${peer} after its greeting`);
      default:
        assertNever(frame);
    }
  }

  private checkTerm(inbound: Inbound, term: Term): void {
    const known = Math.max(this.options.currentTerm(), inbound.termGreeted);
    inbound.termMax = known + termJumpMax;
    if (term <= inbound.termMax) return;
    const { peer = '' } = inbound;
    this.options.report({ kind: 'termRefused', peer, term, known });
    const fact = `node ${peer} names term ${term}, ${term - known} above all that is known`;
    throw new KvorumError('PROTOCOL', `${fact}: heard when it greets with that term`);
  }

  private close(link: LinkId, reason: string): void {
    this.options.network.close(link, reason.slice(0, 120));
    this.closed(link);
  }

  private forgetOutbound(outbound: Outbound): void {
    this.outboundByLink.delete(outbound.link);
    if (this.outboundByPeer.get(outbound.peer) !== outbound) return;
    this.outboundByPeer.delete(outbound.peer);
    this.outboxes.delete(outbound.peer);
    if (outbound.stage === 'proved') this.options.down(outbound.peer);
    if (outbound.stage === 'empty') this.options.emptyGone(outbound.peer);
  }

  private forgetInbound(inbound: Inbound): void {
    this.inboundByLink.delete(inbound.link);
    if (inbound.peer !== undefined && this.inboundByPeer.get(inbound.peer) === inbound) {
      this.inboundByPeer.delete(inbound.peer);
    }
  }
}

function provedPeer({ nodeId, formatLevelMax }: PeerHello, claim: PeerProof): ProvedPeer {
  const { incarnation, formatLevel, currentTerm, catchingUp } = claim;
  return { nodeId, formatLevelMax, incarnation, formatLevel, currentTerm, catchingUp };
}

function refuseAddressee({ nodeId }: OwnSide, hello: PeerHello): PeerRefusal | undefined {
  if (hello.to === nodeId) return undefined;
  const fact = `node ${hello.nodeId} looks for node ${hello.to}, and this is node ${nodeId}`;
  return { kind: 'refusal', code: 'IDENTITY', message: `${fact}: check the addresses in its cluster file` };
}

function refuseTwin(nodeId: NodeId): PeerRefusal {
  const fact = `another process of node ${nodeId} runs on a copy of the same data folder`;
  return { kind: 'refusal', code: 'IDENTITY', message: `${fact}: stop one of the two` };
}

function asError({ code, message }: PeerRefusal, before = ''): KvorumError {
  const isNamed = code === 'otherData' || code === 'noMember';
  return new KvorumError(isNamed ? 'IDENTITY' : code, before + message);
}

function secondHello(): KvorumError {
  return new KvorumError('PROTOCOL', 'a second hello on one peer link');
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
