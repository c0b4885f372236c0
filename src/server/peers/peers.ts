// The links between members. Each node keeps one link of its own to every peer and speaks only on that one;
// on the links that peers opened it listens. A link carries nothing before both sides said who they are,
// and only what comes over the newest link of a peer is heard, so a message from an earlier process never
// arrives.

import { assertNever } from '../../base/assert.js';
import type { LinkId, Network, NodeId, Report, Timers } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Message } from '../../raft/messages.js';
import { decodePeerFrames, encodePeerFrames, encodePeerMessages } from '../../wire/peers/codec.js';
import type { PeerFrame, PeerHello, PeerRaft, PeerRefusal } from '../../wire/peers/frames.js';
import type { SnapshotFrame } from '../../wire/snapshots/frames.js';
import type { NodeEvent } from '../events.js';

export interface PeersOptions {
  readonly network: Network;
  readonly report: Report<NodeEvent>;
  readonly timers: Timers;
  hello(): PeerHello;
  /**
   * Judges a peer's hello; may learn from it. A refusal closes the link, its words go to the other side.
   * `unconfirmed`, never for a dialed link: nothing on it may be heard before the same process has answered
   * on a link that this node dialed; it is judged again then.
   */
  judge(hello: PeerHello, isDialed: boolean): PeerRefusal | 'unconfirmed' | undefined;
  /** Messages may flow to the peer: both are members of the same formed cluster. */
  up(peer: NodeId): void;
  down(peer: NodeId): void;
  /** `isConfirmed`: the process that sent it is the one that answers at the peer's own address. */
  message(message: Message, isConfirmed: boolean): void;
  /**
   * A frame of a snapshot, from a peer that is a member of the same formed cluster. What it throws closes the
   * link.
   */
  snapshot(peer: NodeId, frame: SnapshotFrame): void;
  /** There is something to send: call `flush` at the end of this turn. */
  wake(): void;
}

/** A link on which nobody says who it is takes the place of one that would. */
const greetingTimeoutMs = 5_000;
const notGreeted = 'no hello came in time';

/** What a link may send that is not confirmed, bytes: a few frames of the largest size. */
const heldBytesMax = 1_048_576;
/** The own link to a peer is closed to ask who answers there at most this often: anyone can be the cause. */
const confirmPauseMs = 1_000;
const notConfirmed = 'its process did not answer at its address';

interface Outbound {
  readonly peer: NodeId;
  readonly link: LinkId;
  /** The other side said who it is. */
  answered: boolean;
  ready: boolean;
  /** Which process answers here, and what it knows; empty and 0 until it has said so. */
  incarnation: string;
  formatLevelMax: number;
}

interface Inbound {
  readonly link: LinkId;
  peer: NodeId | undefined;
  /** Of the process that opened the link; empty until it said so. */
  incarnation: string;
  /** Both sides were members of the same formed cluster when they greeted each other. */
  isMember: boolean;
  /** Said who it is, and is not heard before that is confirmed. Invariant: `peer` is undefined. */
  unconfirmed: { readonly hello: PeerHello; readonly held: PeerFrame[]; heldBytes: number } | undefined;
}

export class Peers {
  private readonly options: PeersOptions;
  private readonly outboundByPeer = new Map<NodeId, Outbound>();
  private readonly outboundByLink = new Map<LinkId, Outbound>();
  private readonly inboundByLink = new Map<LinkId, Inbound>();
  /** The newest link from each peer: the only one that is heard. */
  private readonly inboundByPeer = new Map<NodeId, Inbound>();
  private readonly outboxes = new Map<NodeId, PeerRaft[]>();
  /** Peers that were asked who they are less than `confirmPauseMs` ago. */
  private readonly confirming = new Set<NodeId>();

  constructor(options: PeersOptions) {
    this.options = options;
  }

  /** Whether messages can flow to the peer now. */
  isUp(peer: NodeId): boolean {
    return this.outboundByPeer.get(peer)?.ready ?? false;
  }

  /**
   * The highest format level that the process knows which answers at the peer's address now; `undefined`
   * while none is connected, or while another process than that one is heard: one of the two is gone.
   */
  formatLevelMaxOf(peer: NodeId): number | undefined {
    const outbound = this.outboundByPeer.get(peer);
    const inbound = this.inboundByPeer.get(peer);
    const isOther = inbound !== undefined && inbound.incarnation !== outbound?.incarnation;
    return outbound?.ready === true && !isOther ? outbound.formatLevelMax : undefined;
  }

  has(link: LinkId): boolean {
    return this.outboundByLink.has(link) || this.inboundByLink.has(link);
  }

  dialed(link: LinkId, peer: NodeId): void {
    const outbound: Outbound = {
      peer,
      link,
      answered: false,
      ready: false,
      incarnation: '',
      formatLevelMax: 0,
    };
    this.outboundByPeer.set(peer, outbound);
    this.outboundByLink.set(link, outbound);
    this.options.network.send(link, encodePeerFrames([this.options.hello()]));
    this.options.timers.set(greetingTimeoutMs, () => {
      if (!outbound.answered && this.outboundByLink.get(link) === outbound) this.close(link, notGreeted);
    });
  }

  accepted(link: LinkId): void {
    const inbound: Inbound = {
      link,
      peer: undefined,
      incarnation: '',
      isMember: false,
      unconfirmed: undefined,
    };
    this.inboundByLink.set(link, inbound);
    this.options.timers.set(greetingTimeoutMs, () => {
      if (inbound.peer !== undefined || this.inboundByLink.get(link) !== inbound) return;
      this.close(link, inbound.unconfirmed === undefined ? notGreeted : notConfirmed);
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
    if (!this.isUp(message.to)) return;
    let outbox = this.outboxes.get(message.to);
    if (outbox === undefined) {
      outbox = [];
      this.outboxes.set(message.to, outbox);
    }
    if (outbox.length === 0) this.options.wake();
    outbox.push({ kind: 'raft', message });
  }

  /**
   * Sends a frame of a snapshot at once, in a message of its own. False when there is no link to
   * the peer or it takes no more now: the frame is dropped.
   */
  sendSnapshot(peer: NodeId, frame: SnapshotFrame): boolean {
    const outbound = this.outboundByPeer.get(peer);
    if (outbound?.ready !== true) return false;
    return this.options.network.send(outbound.link, encodePeerFrames([frame]));
  }

  flush(): void {
    for (const [peer, outbox] of this.outboxes) {
      if (outbox.length === 0) continue;
      this.outboxes.set(peer, []);
      const outbound = this.outboundByPeer.get(peer);
      if (outbound?.ready !== true) continue;
      for (const message of encodePeerMessages(outbox)) this.options.network.send(outbound.link, message);
    }
  }

  receive(link: LinkId, message: Uint8Array): void {
    this.attempt(link, () => {
      const frames = decodePeerFrames(message);
      const frameBytes = message.length / frames.length;
      for (const frame of frames) {
        const outbound = this.outboundByLink.get(link);
        if (outbound !== undefined) {
          this.receiveOutbound(outbound, frame);
          continue;
        }
        const inbound = this.inboundByLink.get(link);
        if (inbound === undefined) return;
        if (inbound.unconfirmed === undefined) this.receiveInbound(inbound, frame);
        else hold(inbound.unconfirmed, frame, frameBytes);
      }
    });
  }

  /** Closes every link, so that all say hello again. The network dials again by itself. */
  reconnectAll(reason: string): void {
    for (const link of [...this.outboundByLink.keys(), ...this.inboundByLink.keys()])
      this.close(link, reason);
  }

  /**
   * Closes the links that other processes of the peer than this one have opened: they are not to be heard.
   */
  closeEarlier(peer: NodeId, incarnation: string): void {
    for (const inbound of [...this.inboundByLink.values()]) {
      if (inbound.peer !== peer || inbound.incarnation === incarnation) continue;
      this.close(inbound.link, 'a later process of the same node has lost what this one acknowledged');
    }
  }

  /** Runs what a link has brought; what is wrong with it closes that link. */
  private attempt(link: LinkId, run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!KvorumError.is(error)) throw error;
      this.options.report({ kind: 'peerLinkClosed', link, code: error.code, message: error.message });
      this.close(link, error.message);
    }
  }

  private receiveOutbound(outbound: Outbound, frame: PeerFrame): void {
    switch (frame.kind) {
      case 'hello': {
        if (frame.nodeId !== outbound.peer) {
          const fact = `the address of node ${outbound.peer} is answered by node ${frame.nodeId}`;
          throw new KvorumError('IDENTITY', `${fact}: check the cluster file`);
        }
        outbound.answered = true;
        outbound.incarnation = frame.incarnation;
        outbound.formatLevelMax = frame.formatLevelMax;
        const refusal = this.options.judge(frame, true);
        if (refusal === 'unconfirmed') throw new KvorumError('INTERNAL', 'an answer confirms itself');
        if (refusal !== undefined) throw new KvorumError(refusal.code, refusal.message);
        // Judging may have formed the cluster here, which closes all links to greet anew.
        if (this.outboundByLink.get(outbound.link) !== outbound) return;
        this.options.timers.defer(() => this.hearConfirmed(outbound.peer));
        if (outbound.ready || frame.clusterId === undefined || this.options.hello().clusterId === undefined)
          return;
        outbound.ready = true;
        this.options.up(outbound.peer);
        return;
      }
      case 'refusal':
        // Only words: whatever they say, this node goes by what it finds out itself (`judge`).
        throw new KvorumError(frame.code, `node ${outbound.peer} refuses this node: ${frame.message}`);
      case 'raft':
      case 'snapshotOffer':
      case 'snapshotCursor':
      case 'snapshotChunk':
      case 'snapshotResult':
        throw new KvorumError(
          'PROTOCOL',
          `node ${outbound.peer} sent a message on a link that it only listens on`,
        );
      default:
        assertNever(frame);
    }
  }

  private receiveInbound(inbound: Inbound, frame: PeerFrame): void {
    switch (frame.kind) {
      case 'hello': {
        if (inbound.peer !== undefined) throw new KvorumError('PROTOCOL', 'a second hello on one peer link');
        const verdict = this.options.judge(frame, false);
        if (verdict !== undefined && verdict !== 'unconfirmed') {
          // A node without its data, or with too old software, learns that from the hello, and stops by
          // itself.
          const learns = frame.clusterId === undefined || verdict.code === 'FORMAT';
          const frames = learns ? [this.options.hello(), verdict] : [verdict];
          this.options.network.send(inbound.link, encodePeerFrames(frames));
          throw new KvorumError(verdict.code, verdict.message);
        }
        if (this.inboundByLink.get(inbound.link) !== inbound) return;
        if (verdict === undefined) this.hear(inbound, frame);
        else inbound.unconfirmed = { hello: frame, held: [], heldBytes: 0 };
        // Also to one that is not heard yet: two nodes that wait for each other would wait for ever.
        this.options.network.send(inbound.link, encodePeerFrames([this.options.hello()]));
        if (verdict !== undefined) this.confirm(frame.nodeId, false);
        return;
      }
      case 'raft':
        if (inbound.peer === undefined)
          throw new KvorumError('PROTOCOL', 'the first frame on a peer link must be a hello');
        if (frame.message.from !== inbound.peer) {
          throw new KvorumError(
            'IDENTITY',
            `node ${inbound.peer} sent a message in the name of ${frame.message.from}`,
          );
        }
        this.options.message(frame.message, this.isConfirmed(inbound));
        return;
      case 'refusal':
        throw new KvorumError('PROTOCOL', 'a refusal on a link that the other side opened');
      case 'snapshotOffer':
      case 'snapshotCursor':
      case 'snapshotChunk':
      case 'snapshotResult':
        if (inbound.peer === undefined || !inbound.isMember) {
          throw new KvorumError('PROTOCOL', `a ${frame.kind} from a node that is no member of the cluster`);
        }
        this.options.snapshot(inbound.peer, frame);
        return;
      default:
        assertNever(frame);
    }
  }

  private isConfirmed({ peer = '', incarnation }: Inbound): boolean {
    const outbound = this.outboundByPeer.get(peer);
    return outbound?.answered === true && outbound.incarnation === incarnation;
  }

  /** From here on the peer is heard on this link, and on no other. */
  private hear(inbound: Inbound, { nodeId, incarnation, clusterId }: PeerHello): void {
    const older = this.inboundByPeer.get(nodeId);
    if (older !== undefined) this.close(older.link, 'replaced by a newer link of the same node');
    inbound.peer = nodeId;
    inbound.incarnation = incarnation;
    inbound.isMember = clusterId !== undefined && this.options.hello().clusterId !== undefined;
    this.inboundByPeer.set(nodeId, inbound);
  }

  private unconfirmedOf(peer: NodeId): Inbound[] {
    return [...this.inboundByLink.values()].filter(({ unconfirmed }) => unconfirmed?.hello.nodeId === peer);
  }

  /**
   * Sees to it that the peer is asked at its own address. A link that was answered before says nothing of
   * now, and one that is not answered in time was opened to a process that is gone.
   */
  private confirm(peer: NodeId, isOverdue: boolean): void {
    if (this.confirming.has(peer)) return;
    this.confirming.add(peer);
    const outbound = this.outboundByPeer.get(peer);
    if (outbound !== undefined && (outbound.answered || isOverdue)) {
      this.close(outbound.link, 'opened again to learn which process answers');
    }
    this.options.timers.set(confirmPauseMs, () => {
      this.confirming.delete(peer);
      if (this.unconfirmedOf(peer).length > 0) this.confirm(peer, true);
    });
  }

  /** The peer has answered at its address: of what it waited for, the same process's newest link is heard. */
  private hearConfirmed(peer: NodeId): void {
    for (const inbound of this.unconfirmedOf(peer)) {
      const { unconfirmed, link } = inbound;
      if (unconfirmed === undefined || this.inboundByLink.get(link) !== inbound) continue;
      if (this.options.judge(unconfirmed.hello, false) !== undefined) {
        this.options.report({ kind: 'peerLinkUnconfirmed', link, peer, reason: notConfirmed });
        this.close(link, notConfirmed);
        continue;
      }
      this.hear(inbound, unconfirmed.hello);
      inbound.unconfirmed = undefined;
      this.attempt(link, () => {
        for (const frame of unconfirmed.held) {
          if (this.inboundByLink.get(link) === inbound) this.receiveInbound(inbound, frame);
        }
      });
    }
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
    if (outbound.ready) this.options.down(outbound.peer);
  }

  private forgetInbound(inbound: Inbound): void {
    this.inboundByLink.delete(inbound.link);
    if (inbound.peer !== undefined && this.inboundByPeer.get(inbound.peer) === inbound) {
      this.inboundByPeer.delete(inbound.peer);
    }
  }
}

/** Keeps a frame for when its link is confirmed. Throws `OVERLOADED`. */
function hold(
  unconfirmed: { readonly held: PeerFrame[]; heldBytes: number },
  frame: PeerFrame,
  frameBytes: number,
): void {
  unconfirmed.heldBytes += frameBytes;
  if (unconfirmed.heldBytes > heldBytesMax) {
    const fact = `a link that is not confirmed has sent more than ${heldBytesMax} bytes`;
    throw new KvorumError('OVERLOADED', fact);
  }
  unconfirmed.held.push(frame);
}
