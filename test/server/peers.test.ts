// Frames of a transfer between members: they pass only between greeted members of a formed cluster, on the
// sender's own link.

import { describe, expect, test } from 'vitest';
import type { LinkId, Network } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { Peers } from '../../src/server/peers.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peer-codec.js';
import {
  protocolVersion,
  type PeerFrame,
  type PeerHello,
  type SnapshotCursor,
  type TransferFrame,
} from '../../src/wire/protocol.js';
import { VirtualTime } from './snapshot-world.js';

const cursor: SnapshotCursor = { kind: 'snapshotCursor', transferId: 7, revision: 5, sub: 1 };

function helloOf(nodeId: string, clusterId: string | undefined): PeerHello {
  return {
    kind: 'hello',
    protocolVersion,
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
  readonly received: { readonly peer: string; readonly frame: TransferFrame }[] = [];
  clusterId: string | undefined = 'c';
  takesMore = true;
  onTransfer: () => void = () => undefined;
  readonly peers: Peers;

  constructor() {
    const time = new VirtualTime();
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
      logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
      timers: time.timers,
      hello: () => helloOf('n1', this.clusterId),
      judge: () => undefined,
      up: nothing,
      down: nothing,
      message: nothing,
      transfer: (peer, frame) => {
        this.received.push({ peer, frame });
        this.onTransfer();
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

describe('a frame of a transfer arrives', () => {
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
    bench.onTransfer = () => {
      throw new KvorumError('PROTOCOL', 'too many chunks');
    };
    bench.receive(1, cursor);
    expect(bench.closed).toEqual([1]);
  });
});

describe('a frame of a transfer is sent', () => {
  test('at once and alone, when the link is greeted', () => {
    const bench = new Bench();
    expect(bench.peers.sendTransfer('n2', cursor)).toBe(false);
    bench.peers.dialed(1, 'n2');
    expect(bench.peers.sendTransfer('n2', cursor)).toBe(false);
    bench.receive(1, helloOf('n2', 'c'));
    bench.sent.splice(0);
    expect(bench.peers.sendTransfer('n2', cursor)).toBe(true);
    expect(bench.sent).toEqual([{ link: 1, frame: cursor }]);
    expect(bench.peers.sendTransfer('n3', cursor)).toBe(false);
  });

  test('not to a node without a cluster, nor when the link takes no more', () => {
    const bench = new Bench();
    bench.peers.dialed(1, 'n2');
    bench.receive(1, helloOf('n2', undefined));
    expect(bench.peers.sendTransfer('n2', cursor)).toBe(false);
    bench.receive(1, helloOf('n2', 'c'));
    bench.takesMore = false;
    expect(bench.peers.sendTransfer('n2', cursor)).toBe(false);
    bench.takesMore = true;
    bench.peers.closed(1);
    expect(bench.peers.sendTransfer('n2', cursor)).toBe(false);
  });
});
