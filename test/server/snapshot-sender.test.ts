// The sending side alone: who gets a snapshot when, how a sending ends, what it pins, and answers that no
// receiver gives.

import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import type { SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { World, type Machine } from './snapshot-world.js';

/** A source, and peers whose frames a test makes itself. What the source sent is in `sent`. */
class Stage {
  readonly world = new World();
  readonly source: Machine;
  readonly sent: { readonly to: string; readonly frame: SnapshotFrame }[] = [];

  constructor(entries = 30) {
    this.source = this.world.machine('n1');
    for (let i = 0; i < entries; i++) this.source.write(3, 360);
    const { send } = this.world;
    this.world.send = (from, to, frame) => {
      if (this.world.full.has(`${from} ${to}`)) return send.call(this.world, from, to, frame);
      if (from === 'n1') this.sent.push({ to, frame });
      return true;
    };
  }

  run(forMs: number): void {
    this.world.time.run(forMs);
  }

  offersTo(peer: string): number {
    return this.sent.filter(({ to, frame }) => to === peer && frame.kind === 'snapshotOffer').length;
  }

  idOf(peer: string): number {
    return this.sent.findLast(({ to }) => to === peer)?.frame.sendingId ?? 0;
  }

  chunks(): number[] {
    return this.sent.flatMap(({ frame }) => (frame.kind === 'snapshotChunk' ? [frame.sequence] : []));
  }

  cursor(peer: string, revision = 0, sub = 0): void {
    this.source.sender.receive(peer, { kind: 'snapshotCursor', sendingId: this.idOf(peer), revision, sub });
  }

  answer(peer: string, sequence: number, state: 'written' | 'staged' | 'refused'): void {
    const message = state === 'refused' ? 'the disk is full' : '';
    const sendingId = this.idOf(peer);
    this.source.sender.receive(peer, { kind: 'snapshotResult', sendingId, sequence, state, message });
  }

  /** Answers everything that is sent to a peer until it has all. */
  finish(peer: string): void {
    this.cursor(peer);
    for (let sequence = 1; ; sequence++) {
      this.run(50);
      const last = this.sent.findLast(({ to }) => to === peer)?.frame;
      if (last?.kind === 'snapshotChunk' && last.part === 'end' && last.sequence === sequence) {
        return this.answer(peer, sequence, 'staged');
      }
      this.answer(peer, sequence, 'written');
    }
  }
}

describe('the window', () => {
  test('two chunks are on their way, never more', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    expect(stage.chunks()).toEqual([]);
    stage.cursor('n2');
    stage.run(100);
    expect(stage.chunks()).toEqual([1, 2]);
    stage.answer('n2', 1, 'written');
    stage.run(100);
    expect(stage.chunks()).toEqual([1, 2, 3]);
    expect(stage.source.sender.bytesHeld).toBeLessThan(20_000);
  });

  test('a link that takes no more is tried again, and nothing is lost', () => {
    const stage = new Stage();
    stage.world.full.add('n1 n2');
    stage.source.sender.start('n2');
    stage.run(500);
    expect(stage.offersTo('n2')).toBe(0);
    stage.world.full.clear();
    stage.run(200);
    expect(stage.offersTo('n2')).toBe(1);
    stage.cursor('n2');
    stage.world.full.add('n1 n2');
    stage.run(1_000);
    stage.world.full.clear();
    stage.run(200);
    expect(stage.chunks()).toEqual([1, 2]);
  });
});

describe('a sending ends without success', () => {
  test('when nothing is heard for ten seconds, at any point', () => {
    for (const before of ['offer', 'cursor', 'chunk'] as const) {
      const stage = new Stage();
      stage.source.sender.start('n2');
      stage.run(10);
      if (before !== 'offer') stage.cursor('n2');
      stage.run(10);
      if (before === 'chunk') stage.answer('n2', 1, 'written');
      stage.run(9_900);
      expect(stage.source.ended).toEqual([]);
      stage.run(200);
      expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
      expect(stage.source.lines.join()).toMatch(/nothing happened for 10000 ms/);
      expect(stage.source.sender.pinnedIndex).toBeUndefined();
      expect(stage.source.sender.bytesHeld).toBe(0);
    }
  });

  test('and goes on as long as something is heard', () => {
    const stage = new Stage(60);
    stage.source.sender.start('n2');
    stage.run(10);
    stage.cursor('n2');
    for (let sequence = 1; sequence < 8; sequence++) {
      stage.run(9_000);
      stage.answer('n2', sequence, 'written');
    }
    expect(stage.source.ended).toEqual([]);
  });

  test('when the link is down, at once', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    stage.source.sender.linkDown('n3');
    expect(stage.source.ended).toEqual([]);
    stage.source.sender.linkDown('n2');
    expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
    stage.run(20_000);
    expect(stage.source.ended).toHaveLength(1);
  });

  test('when the peer refuses; it is asked again a second later at the earliest', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    stage.answer('n2', 0, 'refused');
    expect(stage.source.sender.failed).toBe(1);
    stage.source.sender.start('n2');
    stage.run(900);
    expect(stage.offersTo('n2')).toBe(1);
    expect(stage.source.ended).toEqual([]);
    stage.run(200);
    expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
    stage.source.sender.start('n2');
    stage.run(10);
    expect(stage.offersTo('n2')).toBe(2);
    // However often: who looks at the log need not read it all.
    expect(stage.source.lines.filter((line) => line.includes('is sent to node n2'))).toHaveLength(1);
    // Gone during the pause: there is nothing to wait for.
    stage.answer('n2', 0, 'refused');
    stage.source.sender.linkDown('n2');
    expect(stage.source.ended).toHaveLength(2);
    stage.run(5_000);
    expect(stage.source.ended).toHaveLength(2);
  });

  test('when this node leads no more: all of them, after the call', () => {
    const stage = new Stage();
    for (const peer of ['n2', 'n3', 'n4']) stage.source.sender.start(peer);
    stage.run(10);
    stage.answer('n3', 0, 'refused');
    stage.source.sender.cancelAll();
    expect(stage.source.ended).toEqual([]);
    stage.run(1);
    expect(stage.source.ended.map(({ peer }) => peer).sort()).toEqual(['n2', 'n3', 'n4']);
    stage.cursor('n2');
    stage.run(30_000);
    expect(stage.source.ended).toHaveLength(3);
    expect(stage.chunks()).toEqual([]);
  });

  test('and one begun right after that is not taken for it', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.source.sender.cancelAll();
    stage.source.sender.start('n2');
    stage.run(10);
    expect(stage.source.ended).toEqual([]);
    stage.finish('n2');
    expect(stage.source.ended).toEqual([{ peer: 'n2', installed: true }]);
  });

  test('when the store is closed or has no applied record', () => {
    const stage = new Stage(0);
    stage.source.sender.start('n2');
    expect(stage.source.ended).toEqual([]);
    stage.run(1_010);
    expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
    expect(stage.source.lines.join()).toMatch(/M\/applied.* is missing/);
  });

  test('when the own store cannot be read; if it is damaged, the node hears of it', () => {
    for (const code of ['DISK', 'CORRUPT'] as const) {
      const stage = new Stage();
      const { store } = stage.source;
      const view = store.openView();
      const error = new KvorumError(code, 'a block is bad');
      store.openView = () => ({
        close: () => undefined,
        fetchRange: (range, done) =>
          view.fetchRange(range, (failure, records) => {
            if (range.start.startsWith('V')) done(error, []);
            else done(failure, records);
          }),
      });
      stage.source.sender.start('n2');
      stage.run(10);
      stage.cursor('n2');
      stage.run(1_010);
      expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
      expect(stage.source.damage).toEqual(code === 'CORRUPT' ? [error] : []);
    }
  });
});

describe('an own disk that cannot be read', () => {
  test('is tried again after pauses that grow up to a minute, and begin anew when it was read', () => {
    const stage = new Stage();
    const { sender, store, ended } = stage.source;
    const openView = store.openView.bind(store);
    let isBroken = true;
    store.openView = () => {
      if (isBroken) throw new KvorumError('DISK', 'EIO');
      return openView();
    };
    const pause = (): number => {
      const beganMs = stage.world.time.nowMs;
      ended.splice(0);
      sender.start('n2');
      stage.world.time.run(100_000, () => ended.length > 0);
      return Math.round((stage.world.time.nowMs - beganMs) / 1_000);
    };
    expect(Array.from({ length: 9 }, pause)).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
    isBroken = false;
    sender.start('n2');
    stage.run(10);
    stage.finish('n2');
    isBroken = true;
    expect(pause()).toBe(1);
    expect(stage.source.lines.filter((line) => line.includes('EIO')).length).toBeLessThan(9);
  });
});

describe('who gets one', () => {
  test('two at once; the others in order', () => {
    const stage = new Stage();
    const peers = ['n2', 'n3', 'n4', 'n5'];
    for (const peer of peers) stage.source.sender.start(peer);
    stage.run(10);
    expect(peers.map((peer) => stage.offersTo(peer))).toEqual([1, 1, 0, 0]);
    stage.source.sender.linkDown('n3');
    stage.run(10);
    expect(peers.map((peer) => stage.offersTo(peer))).toEqual([1, 1, 1, 0]);
    stage.finish('n2');
    stage.run(10);
    expect(peers.map((peer) => stage.offersTo(peer))).toEqual([1, 1, 1, 1]);
    expect(stage.source.sender.begun).toBe(4);
  });

  test('answers of other sendings and peers change nothing', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    const sendingId = stage.idOf('n2');
    const cursor = { kind: 'snapshotCursor' as const, revision: 0, sub: 0 };
    stage.source.sender.receive('n3', { ...cursor, sendingId });
    stage.source.sender.receive('n2', { ...cursor, sendingId: sendingId - 1 });
    stage.run(100);
    expect(stage.chunks()).toEqual([]);
    stage.finish('n2');
    expect(stage.source.sender.installed).toBe(1);
  });
});

describe('what the log keeps', () => {
  test('entries after the oldest view, and after it ended until the peer goes on', () => {
    const stage = new Stage();
    expect(stage.source.sender.pinnedIndex).toBeUndefined();
    stage.source.sender.start('n2');
    // Before the view is read, what is durable for certain.
    expect(stage.source.sender.pinnedIndex).toBe(30);
    stage.run(10);
    for (let i = 0; i < 5; i++) stage.source.write(1);
    stage.source.sender.start('n3');
    stage.run(10);
    expect(stage.source.sender.pinnedIndex).toBe(30);
    stage.finish('n2');
    expect(stage.source.sender.pinnedIndex).toBe(30);
    stage.source.sender.linkDown('n3');
    stage.source.matchIndex = 29;
    expect(stage.source.sender.pinnedIndex).toBe(30);
    stage.source.matchIndex = 30;
    expect(stage.source.sender.pinnedIndex).toBeUndefined();
  });

  test('not for a peer that has lost what it had', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    stage.finish('n2');
    stage.source.sender.linkDown('n2');
    expect(stage.source.sender.pinnedIndex).toBe(30);
    stage.source.sender.peerReset('n2');
    expect(stage.source.sender.pinnedIndex).toBeUndefined();
  });

  test('not for a peer that does not go on within a minute, nor when this node leads no more', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    stage.finish('n2');
    stage.run(59_000);
    expect(stage.source.sender.pinnedIndex).toBe(30);
    stage.run(2_000);
    expect(stage.source.sender.pinnedIndex).toBeUndefined();
    stage.source.sender.start('n2');
    stage.run(10);
    stage.finish('n2');
    stage.source.sender.cancelAll();
    expect(stage.source.sender.pinnedIndex).toBeUndefined();
  });
});

describe('the receiver is further than this store', () => {
  test('the sending waits until the store has caught up', () => {
    const stage = new Stage(10);
    stage.source.sender.start('n2');
    stage.run(10);
    const { revision } = stage.source.stateMachine;
    stage.cursor('n2', revision + 4, 0);
    stage.run(3_000);
    expect(stage.chunks()).toEqual([]);
    stage.source.write(2);
    stage.run(1_000);
    expect(stage.chunks()).toEqual([]);
    for (let i = 0; i < 4; i++) stage.source.write(2);
    stage.run(1_000);
    expect(stage.chunks()).toEqual([1, 2]);
    const first = stage.sent.find(({ frame }) => frame.kind === 'snapshotChunk')?.frame;
    expect(first).toMatchObject({ part: 'history' });
  });

  test('or ends after ten seconds', () => {
    const stage = new Stage(10);
    stage.source.sender.start('n2');
    stage.run(10);
    stage.cursor('n2', 2 ** 53 - 1, 2 ** 32 - 1);
    stage.run(11_000);
    expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
  });
});

describe('answers that no receiver gives end the sending with PROTOCOL', () => {
  test.each<[string, (stage: Stage) => void]>([
    ['a second cursor', (stage) => stage.cursor('n2')],
    ['a chunk that was not sent', (stage) => stage.answer('n2', 3, 'written')],
    ['a chunk out of order', (stage) => stage.answer('n2', 2, 'written')],
    ['the offer as a chunk', (stage) => stage.answer('n2', 0, 'written')],
    ['staged before the end', (stage) => stage.answer('n2', 1, 'staged')],
    [
      'the same chunk twice',
      (stage) => {
        stage.answer('n2', 1, 'written');
        stage.answer('n2', 1, 'written');
      },
    ],
  ])('%s', (_name, act) => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    stage.run(10);
    stage.cursor('n2');
    stage.run(50);
    expect(() => act(stage)).toThrow(/node n2 answers a snapshot with/);
    expect(stage.source.ended).toEqual([{ peer: 'n2', installed: false }]);
    expect(stage.source.sender.bytesHeld).toBe(0);
  });

  test('a cursor before the offer is of no sending', () => {
    const stage = new Stage();
    stage.source.sender.start('n2');
    expect(() => stage.cursor('n2')).not.toThrow();
    stage.run(50);
    expect(stage.chunks()).toEqual([]);
  });

  test('written for the end', () => {
    const stage = new Stage(1);
    stage.source.sender.start('n2');
    stage.run(10);
    stage.cursor('n2');
    stage.run(50);
    stage.answer('n2', 1, 'written');
    stage.run(50);
    stage.answer('n2', 2, 'written');
    stage.run(50);
    expect(stage.chunks()).toEqual([1, 2, 3]);
    expect(() => stage.answer('n2', 3, 'written')).toThrow(/PROTOCOL|answers a snapshot/);
  });
});
