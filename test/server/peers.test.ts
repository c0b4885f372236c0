// The links between members: nothing is told and nothing is heard before both sides have proved who they are;
// who proves nothing replaces nothing; a newer process of a member does at once. Then what a member may send.

import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { LinkId, Network } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import {
  checkFirstProof,
  firstProof,
  greetingOf,
  helloOf,
  proofOf,
  type MemberSide,
  type OwnSide,
} from '../../src/server/peers/own-side.js';
import { Peers, termJumpMax, type ProvedPeer } from '../../src/server/peers/peers.js';
import { ClusterSecret } from '../../src/server/peers/secret.js';
import { encodeFormation } from '../../src/wire/commands/entry-codec.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peers/codec.js';
import type { PeerFormation, PeerFrame, PeerHello, PeerRefusal } from '../../src/wire/peers/frames.js';
import { proofInput } from '../../src/wire/peers/proof-input.js';
import type { SnapshotCursor, SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { ownVersions } from '../../src/wire/versions.js';
import { VirtualTime } from './snapshot-world.js';

const cursor: SnapshotCursor = { kind: 'snapshotCursor', sendingId: 7, revision: 5, sub: 1 };
const secret = new ClusterSecret(new Uint8Array(32).fill(9));
const formation = {
  clusterId: 'c'.repeat(32),
  members: ['n1', 'n2', 'n3'].map((nodeId) => ({
    nodeId,
    instanceId: nodeId.slice(1).repeat(32),
    address: `${nodeId}:1`,
  })),
  formatLevel: 1,
};

function memberSide(nodeId: string, change: Partial<ProvedPeer> = {}, known = secret): MemberSide {
  const { formatLevelMax = ownVersions.formatLevelMax, ...others } = change;
  const claim = { incarnation: 'b'.repeat(32), formatLevel: 1, currentTerm: 5, catchingUp: false, ...others };
  return { kind: 'member', nodeId, formatLevelMax, formation, secret: known, claim };
}

function emptySide(nodeId: string): OwnSide {
  const instanceId = nodeId.slice(1).repeat(32);
  const { formatLevelMax } = ownVersions;
  return { kind: 'unformed', nodeId, formatLevelMax, instanceId, memberIds: ['n1', 'n2', 'n3'] };
}

const nonceOf = (number: number): Uint8Array => new Uint8Array(32).fill(number);

/** Node n1 with its links in the test's hands. */
class Bench {
  readonly sent: { readonly link: LinkId; readonly frame: PeerFrame }[] = [];
  readonly closed: LinkId[] = [];
  readonly reasons: string[] = [];
  side: OwnSide = memberSide('n1', { incarnation: 'a'.repeat(32) });
  helloVerdict: PeerRefusal | undefined;
  verdict: PeerRefusal | undefined;
  readonly messages: string[] = [];
  readonly received: { readonly peer: string; readonly frame: SnapshotFrame }[] = [];
  readonly heard: { readonly peer: string; readonly hasLost: boolean }[] = [];
  readonly empties: string[] = [];
  readonly turnedAway: string[] = [];
  readonly told: PeerFormation[] = [];
  readonly events: string[] = [];
  readonly up: string[] = [];
  currentTerm = 5;
  takesMore = true;
  onSnapshot: () => void = () => undefined;
  readonly peers: Peers;
  readonly time = new VirtualTime();
  private drawn = 0;

  constructor() {
    const { time } = this;
    const nothing = (): void => undefined;
    const network: Network = {
      dial: nothing,
      stopDialing: nothing,
      send: (link, message) => {
        if (!this.takesMore) return false;
        for (const frame of decodePeerFrames(message)) this.sent.push({ link, frame });
        return true;
      },
      admit: () => undefined,
      addressOf: () => '',
      bufferedBytes: () => 0,
      close: (link, reason) => {
        this.closed.push(link);
        this.reasons.push(reason);
      },
    };
    this.peers = new Peers({
      network,
      report: ({ kind }) => void this.events.push(kind),
      timers: time.timers,
      entropy: { bytes: () => nonceOf(++this.drawn) },
      own: () => this.side,
      judgeHello: () => this.helloVerdict,
      judge: () => this.verdict,
      heard: ({ nodeId }, hasLost) => void this.heard.push({ peer: nodeId, hasLost }),
      empty: ({ nodeId }) => void this.empties.push(nodeId),
      emptyGone: (peer) => void this.empties.splice(this.empties.indexOf(peer), 1),
      turnedAway: ({ code }) => void this.turnedAway.push(code),
      formation: (_peer, frame) => void this.told.push(frame),
      formationFrame: (echoes) => ({
        kind: 'formation',
        formation: encodeFormation(formation),
        secret: secret.forMember(),
        formatLevel: 1,
        echoes,
      }),
      up: (peer) => void this.up.push(peer),
      down: nothing,
      currentTerm: () => this.currentTerm,
      message: (message) => void this.messages.push(message.kind),
      snapshot: (peer, frame) => {
        this.received.push({ peer, frame });
        this.onSnapshot();
      },
      stateHash: nothing,
      wake: nothing,
    });
  }

  receive(link: LinkId, ...frames: PeerFrame[]): void {
    this.peers.receive(link, encodePeerFrames(frames));
  }

  /** What this node has sent on the link since it was asked last. */
  take(link: LinkId): PeerFrame[] {
    const frames = this.sent.filter((sent) => sent.link === link).map(({ frame }) => frame);
    for (let i = this.sent.length - 1; i >= 0; i--) if (this.sent[i]?.link === link) this.sent.splice(i, 1);
    return frames;
  }

  hello(link: LinkId): PeerHello {
    const found = this.take(link).find((frame) => frame.kind === 'hello');
    return found?.kind === 'hello' ? found : expect.unreachable();
  }

  /** A link that a member opens, up to its proof. */
  proveOn(link: LinkId, side = memberSide('n2')): void {
    const hello = helloOf(side, 'n1', nonceOf(100 + link));
    this.receive(link, hello);
    const greeting = greetingOf(side, hello, this.hello(link));
    checkFirstProof(side, greeting);
    this.receive(link, proofOf(side, 'dialer', greeting));
  }

  accept(link: LinkId, side = memberSide('n2')): void {
    this.peers.accepted(link);
    this.proveOn(link, side);
  }

  /** A member answers on a link that this node opens. */
  dial(link: LinkId, side = memberSide('n2')): void {
    this.peers.dialed(link, side.nodeId);
    const dialer = this.hello(link);
    const acceptor = helloOf(side, 'n1', nonceOf(100 + link));
    const greeting = greetingOf(side, dialer, acceptor);
    this.receive(link, { ...acceptor, proof: firstProof(side, greeting) });
    const proof = this.take(link).at(-1);
    expect(proof?.kind).toBe('proof');
    this.receive(link, proofOf(side, 'acceptor', greeting));
  }
}

const claims = (letter: string, catchingUp = false): MemberSide => {
  return memberSide('n2', { incarnation: letter.repeat(32), catchingUp });
};
const isTold = (value: unknown): string[] => {
  const text = JSON.stringify(value, (_key, item: unknown) =>
    item instanceof Uint8Array ? Buffer.from(item).toString('hex') : item,
  );
  const words = [
    formation.clusterId,
    secret.forRecord(),
    'a'.repeat(32),
    'incarnation',
    'currentTerm',
    ...formation.members.map(({ instanceId }) => instanceId),
  ];
  return words.filter((word) => text.includes(word));
};

describe('two members prove themselves', () => {
  test('on a link that was accepted, and on one that was dialed', () => {
    const bench = new Bench();
    bench.accept(1);
    expect(bench.take(1).map(({ kind }) => kind)).toEqual(['proof']);
    bench.dial(2);
    expect(bench.closed).toEqual([]);
    expect(bench.up).toEqual(['n2']);
    expect(bench.heard.map(({ peer }) => peer)).toEqual(['n2', 'n2']);
    bench.receive(1, cursor);
    expect(bench.received).toEqual([{ peer: 'n2', frame: cursor }]);
  });

  test('by HMAC-SHA256, keyed with the secret', () => {
    const side = memberSide('n2');
    const greeting = greetingOf(side, helloOf(side, 'n1', nonceOf(1)), helloOf(side, 'n2', nonceOf(2)));
    const input = proofInput('acceptor', greeting, undefined);
    const expected = createHmac('sha256', secret.forMember()).update(input).digest();
    expect(Buffer.from(firstProof(side, greeting))).toEqual(expected);
  });

  test('and a proof depends on the side, both hellos, both identities and the claim', () => {
    const side = memberSide('n2');
    const dialer = helloOf(side, 'n1', nonceOf(1));
    const acceptor = helloOf(memberSide('n1'), 'n2', nonceOf(2));
    const greeting = greetingOf(side, dialer, acceptor);
    const { claim } = side;
    const all = [
      proofInput('dialer', greeting, claim),
      proofInput('acceptor', greeting, claim),
      proofInput('acceptor', greeting, undefined),
      proofInput('dialer', { ...greeting, clusterId: 'd' }, claim),
      proofInput('dialer', { ...greeting, dialerInstanceId: 'd' }, claim),
      proofInput('dialer', { ...greeting, acceptorInstanceId: 'd' }, claim),
      proofInput('dialer', { ...greeting, dialer: { ...dialer, nonce: nonceOf(3) } }, claim),
      proofInput('dialer', { ...greeting, acceptor: { ...acceptor, nonce: nonceOf(3) } }, claim),
      proofInput('dialer', { ...greeting, dialer: { ...dialer, nodeId: 'n3' } }, claim),
      proofInput('dialer', { ...greeting, acceptor: { ...acceptor, nodeId: 'n3' } }, claim),
      proofInput('dialer', { ...greeting, dialer: { ...dialer, protocolMax: 99 } }, claim),
      proofInput('dialer', greeting, { ...claim, incarnation: 'f'.repeat(32) }),
      proofInput('dialer', greeting, { ...claim, currentTerm: 6 }),
      proofInput('dialer', greeting, { ...claim, formatLevel: 2 }),
      proofInput('dialer', greeting, { ...claim, catchingUp: true }),
    ].map((bytes) => Buffer.from(bytes).toString('hex'));
    expect(new Set(all).size).toBe(all.length);
  });

  test('with numbers that are drawn for each link', () => {
    const bench = new Bench();
    const nonces: string[] = [];
    for (let link = 1; link <= 3; link++) {
      bench.peers.accepted(link);
      bench.receive(link, helloOf(memberSide('n2'), 'n1', nonceOf(100)));
      nonces.push(Buffer.from(bench.hello(link).nonce).toString('hex'));
      bench.peers.dialed(10 + link, 'n3');
      nonces.push(Buffer.from(bench.hello(10 + link).nonce).toString('hex'));
    }
    expect(new Set(nonces).size).toBe(6);
  });
});

describe('a stranger', () => {
  const stranger = memberSide('n2', {}, new ClusterSecret(new Uint8Array(32).fill(1)));

  test('that dials learns nothing but a name and numbers, and is not heard', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    const hello = helloOf(stranger, 'n1', nonceOf(100));
    bench.receive(1, hello);
    const frames = bench.take(1);
    expect(isTold(frames)).toEqual([]);
    const answer = frames[0]?.kind === 'hello' ? frames[0] : expect.unreachable();
    bench.receive(1, proofOf(stranger, 'dialer', greetingOf(stranger, hello, answer)));
    expect(bench.closed).toEqual([1]);
    expect(isTold([bench.sent, bench.reasons])).toEqual([]);
    expect(bench.heard).toEqual([]);
  });

  test('that answers at the address of a member learns no more', () => {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    const dialer = bench.hello(1);
    const acceptor = helloOf(stranger, 'n1', nonceOf(100));
    const greeting = greetingOf(stranger, dialer, acceptor);
    bench.receive(1, { ...acceptor, proof: firstProof(stranger, greeting) });
    expect(bench.sent).toEqual([]);
    expect(bench.closed).toEqual([1]);
    expect(isTold([dialer, bench.reasons])).toEqual([]);
    expect(bench.up).toEqual([]);
  });

  test('that answers without a proof is nobody', () => {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, helloOf(memberSide('n2'), 'n1', nonceOf(100)));
    expect(bench.sent.map(({ frame }) => frame.kind)).toEqual(['hello']);
    expect(bench.closed).toEqual([1]);
  });

  test('gets nowhere with the proof of the member that it talks to', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    const hello = helloOf(memberSide('n2'), 'n1', nonceOf(100));
    bench.receive(1, hello);
    const { proof } = bench.hello(1);
    bench.receive(1, { kind: 'proof', ...memberSide('n2').claim, proof: proof ?? expect.unreachable() });
    expect(bench.closed).toEqual([1]);
    // The number that this node drew for a link of its own, given back on another one.
    bench.peers.dialed(2, 'n2');
    const own = bench.hello(2);
    bench.peers.accepted(3);
    bench.receive(3, helloOf(memberSide('n2'), 'n1', own.nonce));
    const reflected = bench.hello(3);
    bench.receive(2, { ...helloOf(memberSide('n2'), 'n1', reflected.nonce), proof: reflected.proof });
    expect(bench.closed).toEqual([1, 2]);
    expect(bench.sent).toEqual([]);
  });

  test('gets nowhere with what a member said on an earlier link', () => {
    const bench = new Bench();
    const side = memberSide('n2');
    bench.peers.accepted(1);
    const hello = helloOf(side, 'n1', nonceOf(100));
    bench.receive(1, hello);
    const recorded = proofOf(side, 'dialer', greetingOf(side, hello, bench.hello(1)));
    bench.receive(1, recorded);
    expect(bench.heard).toHaveLength(1);
    bench.peers.accepted(2);
    bench.receive(2, hello);
    bench.receive(2, recorded);
    expect(bench.closed).toEqual([2]);
    expect(bench.heard).toHaveLength(1);
  });

  test('has no frame looked at, and replaces no link', () => {
    const bench = new Bench();
    bench.accept(1);
    const vote = { kind: 'requestVote', from: 'n2', to: 'n1', term: 9 } as const;
    const last = { lastLogIndex: 0, lastLogTerm: 0, leadershipTransfer: true };
    bench.peers.accepted(2);
    bench.receive(2, { kind: 'raft', message: { ...vote, ...last } });
    bench.peers.accepted(3);
    bench.receive(3, helloOf(stranger, 'n1', nonceOf(100)));
    bench.receive(3, { kind: 'raft', message: { ...vote, ...last } });
    bench.peers.accepted(4);
    bench.receive(4, helloOf(stranger, 'n1', nonceOf(100)), cursor);
    bench.peers.accepted(5);
    bench.peers.receive(5, new Uint8Array(200_000));
    bench.peers.accepted(6);
    bench.receive(6, helloOf(stranger, 'n1', nonceOf(100)));
    expect(bench.messages).toEqual([]);
    expect(bench.closed).toEqual([2, 3, 4, 5]);
    bench.time.run(5_000);
    expect(bench.closed).toEqual([2, 3, 4, 5, 6]);
    bench.receive(1, cursor);
    expect(bench.received).toHaveLength(1);
  });

  test('that asks for another node, or is none of the cluster, is told so without a word of it', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    bench.receive(1, helloOf(memberSide('n2'), 'n3', nonceOf(100)));
    bench.helloVerdict = { kind: 'refusal', code: 'noMember', message: 'no' };
    bench.peers.accepted(2);
    bench.receive(2, helloOf(memberSide('n9'), 'n1', nonceOf(100)));
    expect(bench.sent.map(({ frame }) => frame.kind)).toEqual(['refusal', 'refusal']);
    expect(isTold([bench.sent, bench.reasons])).toEqual([]);
    expect(bench.closed).toEqual([1, 2]);
  });
});

describe('a member', () => {
  test('opens a newer link: the older one is not heard any more', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.accept(2);
    expect(bench.closed).toEqual([1]);
    bench.receive(1, cursor);
    expect(bench.received).toEqual([]);
    bench.receive(2, cursor);
    expect(bench.received).toHaveLength(1);
  });

  test('whose older link proves itself late keeps its newer one', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    bench.accept(2);
    bench.proveOn(1);
    expect(bench.closed).toEqual([1]);
  });

  test('has restarted: nothing of the earlier process is heard or spoken to, at once', () => {
    const bench = new Bench();
    bench.dial(1, claims('b'));
    bench.accept(2, claims('b'));
    bench.accept(3, claims('d'));
    expect(bench.closed).toEqual([2, 1]);
    expect(bench.peers.isUp('n2')).toBe(false);
    expect(bench.heard.every(({ hasLost }) => !hasLost)).toBe(true);
  });

  test('has lost its data: that is taken back once, however it says so', () => {
    const bench = new Bench();
    bench.accept(1, claims('b'));
    bench.accept(2, claims('d', true));
    bench.dial(3, claims('d', true));
    bench.accept(4, claims('d', true));
    expect(bench.heard.map(({ hasLost }) => hasLost)).toEqual([false, true, false, false]);
  });

  test('leaves nothing of its earlier processes to be heard, whatever comes late', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    bench.accept(2, claims('b'));
    bench.accept(3, claims('d', true));
    bench.proveOn(1, claims('b'));
    expect(bench.closed).toEqual([2, 1]);
    expect(bench.heard).toHaveLength(2);
  });

  test('that runs twice is told so, and heard where its address is', () => {
    const bench = new Bench();
    bench.accept(1, claims('b'));
    bench.accept(2, claims('d'));
    bench.accept(3, claims('b'));
    expect(bench.events).toContain('peerTwice');
    expect(bench.take(3)).toMatchObject([{ kind: 'refusal', code: 'IDENTITY' }]);
    bench.dial(4, claims('b'));
    expect(bench.closed).toEqual([1, 3, 2]);
    bench.accept(5, claims('d'));
    expect(bench.closed).toEqual([1, 3, 2, 5]);
  });

  test('of a level that does not fit is refused with the claim by which it finds out itself', () => {
    const bench = new Bench();
    bench.verdict = { kind: 'refusal', code: 'FORMAT', message: 'too old' };
    bench.accept(1);
    expect(bench.take(1).map(({ kind }) => kind)).toEqual(['proof', 'refusal']);
    expect(bench.closed).toEqual([1]);
    expect(bench.heard).toEqual([]);
  });

  test('says what level it knows, as long as no other process of it is heard', () => {
    const bench = new Bench();
    expect(bench.peers.formatLevelMaxOf('n2')).toBeUndefined();
    bench.dial(1, memberSide('n2', { formatLevelMax: 2 }));
    expect(bench.peers.formatLevelMaxOf('n2')).toBe(2);
    bench.accept(2, memberSide('n2', { formatLevelMax: 2 }));
    expect(bench.peers.formatLevelMaxOf('n2')).toBe(2);
    bench.accept(3, claims('d'));
    expect(bench.peers.formatLevelMaxOf('n2')).toBeUndefined();
  });

  test('speaks for itself alone, and does not greet twice', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.receive(1, { kind: 'raft', message: { kind: 'timeoutNow', from: 'n3', to: 'n1', term: 5 } });
    expect(bench.closed).toEqual([1]);
    bench.accept(2);
    bench.receive(2, helloOf(memberSide('n2'), 'n1', nonceOf(1)));
    expect(bench.closed).toEqual([1, 2]);
    expect(bench.messages).toEqual([]);
  });

  test('is not spoken to, or listened to, on the wrong link', () => {
    const bench = new Bench();
    bench.dial(1);
    bench.receive(1, cursor);
    expect(bench.received).toEqual([]);
    expect(bench.closed).toEqual([1]);
  });
});

describe('a term', () => {
  const beat = (term: number): PeerFrame => {
    return {
      kind: 'raft',
      message: { kind: 'heartbeat', from: 'n2', to: 'n1', term, leaderCommit: 0, round: 1 },
    };
  };

  test('far above all that is known is not followed', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.receive(1, beat(5 + termJumpMax), beat(5 + 2 ** 40));
    expect(bench.messages).toEqual(['heartbeat']);
    expect(bench.closed).toEqual([1]);
    expect(bench.events).toContain('termRefused');
  });

  test('is followed, however far, when the member greets with it', () => {
    const bench = new Bench();
    const term = 2 ** 45;
    bench.accept(1, memberSide('n2', { currentTerm: term }));
    bench.receive(1, beat(term + 1));
    expect(bench.messages).toEqual(['heartbeat']);
    expect(bench.closed).toEqual([]);
  });

  test('is measured by what this node knows by now', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.receive(1, beat(6));
    bench.currentTerm = 2 ** 40;
    bench.receive(1, beat(2 ** 40 + 1));
    expect(bench.messages).toHaveLength(2);
  });
});

describe('a node without a cluster', () => {
  const empty = emptySide('n2');

  test('is known by what answers at its address, until that is gone', () => {
    const bench = new Bench();
    bench.side = emptySide('n1');
    bench.peers.accepted(1);
    bench.receive(1, helloOf(empty, 'n1', nonceOf(100)));
    expect(bench.empties).toEqual([]);
    bench.peers.dialed(2, 'n2');
    bench.receive(2, helloOf(empty, 'n1', nonceOf(101)));
    expect(bench.empties).toEqual(['n2']);
    bench.time.run(60_000);
    expect(bench.closed).toEqual([]);
    bench.peers.closed(2);
    expect(bench.empties).toEqual([]);
  });

  test('is told of the cluster at its address, with what came from there, and nowhere else', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    bench.receive(1, helloOf(empty, 'n1', nonceOf(100)));
    expect(isTold([bench.take(1), bench.reasons])).toEqual([]);
    bench.peers.dialed(2, 'n2');
    bench.receive(2, helloOf(empty, 'n1', nonceOf(101)));
    const told = bench.take(2).at(-1);
    expect(told).toMatchObject({ kind: 'formation' });
    expect(told?.kind === 'formation' && [...(told.echoes[0] ?? [])]).toEqual([...nonceOf(100)]);
  });

  test('believes who has heard from it at its address', () => {
    const bench = new Bench();
    bench.side = emptySide('n1');
    const frame = (echoes: Uint8Array[]): PeerFormation => {
      const bytes = encodeFormation(formation);
      return { kind: 'formation', formation: bytes, secret: secret.forMember(), formatLevel: 1, echoes };
    };
    bench.peers.dialed(1, 'n2');
    const { nonce } = bench.hello(1);
    bench.peers.accepted(2);
    bench.receive(2, helloOf(memberSide('n2'), 'n1', nonceOf(100)));
    bench.receive(2, frame([nonceOf(100), nonceOf(50)]));
    expect(bench.closed).toEqual([2]);
    // What was sent to n2 says nothing of n3.
    bench.peers.accepted(3);
    bench.receive(3, helloOf(memberSide('n3'), 'n1', nonceOf(100)));
    bench.receive(3, frame([nonce]));
    expect(bench.told).toEqual([]);
    bench.peers.accepted(4);
    bench.receive(4, helloOf(memberSide('n2'), 'n1', nonceOf(100)));
    bench.receive(4, frame([nonceOf(50), nonce]));
    expect(bench.told).toHaveLength(1);
  });

  test('hears who turns it away', () => {
    const bench = new Bench();
    bench.side = emptySide('n1');
    bench.peers.dialed(1, 'n2');
    bench.receive(1, { kind: 'refusal', code: 'otherData', message: 'other data' });
    expect(bench.turnedAway).toEqual(['otherData']);
    expect(bench.closed).toEqual([1]);
  });

  test('gets no frame of a sending, and may send none', () => {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, helloOf(empty, 'n1', nonceOf(100)));
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.peers.accepted(2);
    bench.receive(2, helloOf(empty, 'n1', nonceOf(100)));
    bench.receive(2, cursor);
    expect(bench.received).toEqual([]);
    expect(bench.closed).toEqual([2]);
  });
});

describe('a frame of a sending', () => {
  test('is sent at once and alone, when the link is proved', () => {
    const bench = new Bench();
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.dial(1);
    bench.sent.splice(0);
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(true);
    expect(bench.sent).toEqual([{ link: 1, frame: cursor }]);
    expect(bench.peers.sendSnapshot('n3', cursor)).toBe(false);
    bench.takesMore = false;
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.takesMore = true;
    bench.peers.closed(1);
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
  });

  test('closes the link when it breaks the rules', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.onSnapshot = () => {
      throw new KvorumError('PROTOCOL', 'too many chunks');
    };
    bench.receive(1, cursor);
    expect(bench.closed).toEqual([1]);
  });
});
