// The links between members: frames of a sending pass only between greeted members of a formed cluster, on
// the sender's own link; and whoever claims to be another process of a member, or to have lost its data, is
// heard once the member's own address has confirmed it.

import { describe, expect, test } from 'vitest';
import type { LinkId, Network } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { Incarnations } from '../../src/server/peers/incarnations.js';
import { Peers } from '../../src/server/peers/peers.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peers/codec.js';
import type { PeerFrame, PeerHello, PeerRefusal } from '../../src/wire/peers/frames.js';
import type { SnapshotCursor, SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { ownVersions } from '../../src/wire/versions.js';
import { VirtualTime } from './snapshot-world.js';

const cursor: SnapshotCursor = { kind: 'snapshotCursor', sendingId: 7, revision: 5, sub: 1 };

function helloOf(nodeId: string, clusterId: string | undefined): PeerHello {
  return {
    kind: 'hello',
    ...ownVersions,
    formatLevel: clusterId === undefined ? undefined : 1,
    nodeId,
    instanceId: 'a'.repeat(32),
    incarnation: 'b'.repeat(32),
    clusterId,
    memberIds: ['n1', 'n2'],
    formation: undefined,
    currentTerm: undefined,
    catchingUp: false,
  };
}

/** Node n1 with its links in the test's hands. */
class Bench {
  readonly sent: { readonly link: LinkId; readonly frame: PeerFrame }[] = [];
  readonly closed: LinkId[] = [];
  /** Of each message that was heard: whether its sender answers at its address. */
  readonly confirmed: boolean[] = [];
  verdict: PeerRefusal | undefined;
  readonly received: { readonly peer: string; readonly frame: SnapshotFrame }[] = [];
  clusterId: string | undefined = 'c';
  takesMore = true;
  onSnapshot: () => void = () => undefined;
  readonly peers: Peers;
  readonly time = new VirtualTime();
  readonly resets: string[] = [];
  readonly up: string[] = [];
  private readonly incarnations = new Incarnations();

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
      bufferedBytes: () => 0,
      close: (link) => void this.closed.push(link),
    };
    this.peers = new Peers({
      network,
      report: nothing,
      timers: time.timers,
      hello: () => helloOf('n1', this.clusterId),
      judge: (hello, isDialed) => {
        const step = this.incarnations.heard(hello, isDialed);
        if (step === 'unconfirmed') return step;
        if (step === 'reset') {
          this.resets.push(hello.incarnation);
          this.peers.closeEarlier(hello.nodeId, hello.incarnation);
        }
        return this.verdict;
      },
      up: (peer) => void this.up.push(peer),
      down: nothing,
      message: (_message, isConfirmed) => void this.confirmed.push(isConfirmed),
      snapshot: (peer, frame) => {
        this.received.push({ peer, frame });
        this.onSnapshot();
      },
      wake: nothing,
    });
  }

  receive(link: LinkId, ...frames: PeerFrame[]): void {
    this.peers.receive(link, encodePeerFrames(frames));
  }

  /** A link that n2 opened, greeted as a node of this cluster. */
  accept(link: LinkId, clusterId: string | undefined = 'c'): void {
    this.peers.accepted(link);
    this.receive(link, helloOf('n2', clusterId));
  }
}

describe('a frame of a sending arrives', () => {
  test('from a greeted member', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.receive(1, cursor);
    expect(bench.received).toEqual([{ peer: 'n2', frame: cursor }]);
    expect(bench.closed).toEqual([]);
  });

  test('not before the hello, nor with it from a node without a cluster, nor to one', () => {
    const bench = new Bench();
    bench.peers.accepted(1);
    bench.receive(1, cursor);
    bench.peers.accepted(2);
    bench.receive(2, helloOf('n2', undefined), cursor);
    bench.clusterId = undefined;
    bench.accept(3);
    bench.receive(3, cursor);
    expect(bench.received).toEqual([]);
    expect(bench.closed).toEqual([1, 2, 3]);
  });

  test('not on the link that this node speaks on', () => {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, helloOf('n2', 'c'), cursor);
    expect(bench.received).toEqual([]);
    expect(bench.closed).toEqual([1]);
  });

  test('not on a link that a newer one has replaced', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.accept(2);
    bench.receive(1, cursor);
    expect(bench.received).toEqual([]);
    bench.receive(2, cursor);
    expect(bench.received).toHaveLength(1);
  });

  test('and closes the link when it breaks the rules', () => {
    const bench = new Bench();
    bench.accept(1);
    bench.onSnapshot = () => {
      throw new KvorumError('PROTOCOL', 'too many chunks');
    };
    bench.receive(1, cursor);
    expect(bench.closed).toEqual([1]);
  });
});

describe('a refusal', () => {
  const refusal: PeerFrame = { kind: 'refusal', code: 'FORMAT', message: 'too old' };

  test.each(['dialed', 'accepted'])('on a link that was %s closes it, and is nothing but words', (way) => {
    const bench = new Bench();
    if (way === 'dialed') bench.peers.dialed(1, 'n2');
    else bench.peers.accepted(1);
    bench.receive(1, refusal);
    expect(bench.closed).toEqual([1]);
  });

  test('for a level comes with the hello by which the other side finds out itself', () => {
    const bench = new Bench();
    bench.verdict = { kind: 'refusal', code: 'FORMAT', message: 'too old' };
    bench.accept(1);
    expect(bench.sent.map(({ frame }) => frame.kind)).toEqual(['hello', 'refusal']);
    expect(bench.closed).toEqual([1]);
    const other = new Bench();
    other.verdict = { kind: 'refusal', code: 'IDENTITY', message: 'other data' };
    other.accept(1);
    expect(other.sent.map(({ frame }) => frame.kind)).toEqual(['refusal']);
  });
});

describe('the process that answers at an address', () => {
  const answer = (formatLevelMax: number, incarnation = 'b'): PeerFrame => {
    return { ...helloOf('n2', 'c'), formatLevelMax, incarnation: incarnation.repeat(32) };
  };

  test('is whose level counts, as long as no other one is heard', () => {
    const bench = new Bench();
    expect(bench.peers.formatLevelMaxOf('n2')).toBeUndefined();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, answer(2));
    expect(bench.peers.formatLevelMaxOf('n2')).toBe(2);
    bench.accept(2);
    expect(bench.peers.formatLevelMaxOf('n2')).toBe(2);
    bench.peers.accepted(3);
    bench.receive(3, answer(1, 'd'));
    expect(bench.peers.formatLevelMaxOf('n2')).toBeUndefined();
  });

  test('is told from one that only opened a link', () => {
    const bench = new Bench();
    const message = { kind: 'timeoutNow', from: 'n2', to: 'n1', term: 1 } as const;
    bench.accept(1);
    bench.receive(1, { kind: 'raft', message });
    bench.peers.dialed(2, 'n2');
    bench.receive(2, answer(1, 'd'));
    bench.receive(1, { kind: 'raft', message });
    bench.peers.dialed(3, 'n2');
    bench.receive(3, answer(1));
    bench.receive(1, { kind: 'raft', message });
    expect(bench.confirmed).toEqual([false, false, true]);
  });
});

describe('a frame of a sending is sent', () => {
  test('at once and alone, when the link is greeted', () => {
    const bench = new Bench();
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.peers.dialed(1, 'n2');
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.receive(1, helloOf('n2', 'c'));
    bench.sent.splice(0);
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(true);
    expect(bench.sent).toEqual([{ link: 1, frame: cursor }]);
    expect(bench.peers.sendSnapshot('n3', cursor)).toBe(false);
  });

  test('not to a node without a cluster, nor when the link takes no more', () => {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, helloOf('n2', undefined));
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.receive(1, helloOf('n2', 'c'));
    bench.takesMore = false;
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
    bench.takesMore = true;
    bench.peers.closed(1);
    expect(bench.peers.sendSnapshot('n2', cursor)).toBe(false);
  });
});

describe('who claims to be a member that has lost its data', () => {
  const process = (letter: string, catchingUp = false): PeerHello => ({
    ...helloOf('n2', 'c'),
    incarnation: letter.repeat(32),
    catchingUp,
  });

  /** Node n1 with links to and from the living process b of n2. */
  function linked(): Bench {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, process('b'));
    bench.peers.accepted(2);
    bench.receive(2, process('b'));
    bench.time.run(0);
    return bench;
  }

  test('is not heard, and does not keep the member from being heard', () => {
    const bench = linked();
    bench.peers.accepted(3);
    bench.receive(3, process('f', true));
    bench.receive(3, cursor);
    // The own link is opened again: the member's address says that nothing has happened.
    expect(bench.closed).toEqual([1]);
    bench.receive(2, cursor);
    bench.peers.dialed(4, 'n2');
    bench.receive(4, process('b'));
    bench.time.run(0);
    expect(bench.closed).toEqual([1, 3]);
    bench.peers.accepted(5);
    bench.receive(5, process('b'));
    bench.receive(5, cursor);
    expect(bench.received).toHaveLength(2);
    expect(bench.resets).toEqual([]);
    expect(bench.up).toEqual(['n2', 'n2']);
  });

  test('is heard, with what it said meanwhile, when it is the member', () => {
    const bench = linked();
    bench.peers.accepted(3);
    bench.receive(3, process('d', true));
    bench.receive(3, cursor);
    expect(bench.received).toEqual([]);
    // It is answered all the same: it may wait for this node as this node does for it.
    expect(bench.sent.some(({ link, frame }) => link === 3 && frame.kind === 'hello')).toBe(true);
    bench.peers.dialed(4, 'n2');
    bench.receive(4, process('d', true));
    bench.time.run(0);
    expect(bench.resets).toEqual(['d'.repeat(32)]);
    expect(bench.received).toHaveLength(1);
    expect(bench.closed).toEqual([1, 2]);
    bench.receive(3, cursor);
    expect(bench.received).toHaveLength(2);
  });

  test('leaves nothing of its earlier processes to be heard, whatever comes late', () => {
    const bench = linked();
    bench.peers.closed(1);
    bench.peers.accepted(3);
    bench.receive(3, process('b'));
    bench.peers.dialed(4, 'n2');
    bench.receive(4, process('d', true));
    bench.peers.accepted(5);
    bench.receive(5, process('b'), cursor);
    bench.receive(3, cursor);
    bench.time.run(10_000);
    expect(bench.received).toEqual([]);
    expect(bench.closed).toEqual(expect.arrayContaining([2, 3, 5]));
  });

  test('gives up when the address does not answer, and can be the cause of one new link in a second', () => {
    const bench = linked();
    for (let link = 10; link < 20; link++) {
      bench.peers.accepted(link);
      bench.receive(link, process('f', true));
    }
    expect(bench.closed).toEqual([1]);
    bench.peers.dialed(4, 'n2');
    bench.time.run(900);
    expect(bench.closed).toEqual([1]);
    // Nobody answers there: the link may lead to a process that is gone.
    bench.time.run(200);
    expect(bench.closed).toEqual([1, 4]);
    bench.time.run(5_000);
    expect(bench.closed).toEqual([1, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  test('may send no more than a bound before it is confirmed', () => {
    const bench = linked();
    bench.peers.accepted(3);
    bench.receive(3, process('f', true));
    const value = new Uint8Array(200_000);
    const records = [{ key: 'k', value }];
    for (let sequence = 1; sequence <= 6; sequence++) {
      bench.receive(3, {
        kind: 'snapshotChunk',
        sendingId: 1,
        sequence,
        part: 'history',
        records,
        hash: '0'.repeat(16),
      });
    }
    expect(bench.closed).toEqual([1, 3]);
  });
});
