// The receiving side alone: what it refuses, what becomes of the staging store, and that nothing of it ever
// stops the node. Frames are made here, from a store that a real state machine wrote.

import { describe, expect, test } from 'vitest';
import type { Disk } from '../../src/base/env.js';
import { KvorumError } from '../../src/base/errors.js';
import { appliedKey, placeOf } from '../../src/kv/records/schema.js';
import type { StoreRecord } from '../../src/kv/store.js';
import type { SnapshotPart, SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { hashChunk } from '../../src/wire/snapshots/codec.js';
import { EventLog } from '../../src/server/operate/event-log.js';
import { StagingRoom } from '../../src/server/snapshots/staging-room.js';
import { dump, VirtualTime, World, type Machine } from './snapshot-world.js';

const minuteMs = 60_000;

/** A receiver, and a peer `n1` whose frames a test makes itself. What is answered is in `answers`. */
class Stage {
  readonly world = new World();
  readonly target: Machine;
  readonly source: Machine;
  readonly answers: SnapshotFrame[] = [];
  sendingId = 1;
  sequence = 0;

  constructor() {
    this.source = this.world.machine('n1');
    for (let i = 0; i < 10; i++) this.source.write(3, 100);
    this.target = this.world.machine('n2');
    this.world.send = (from, _to, frame) => {
      if (from === 'n2') this.answers.push(frame);
      return true;
    };
  }

  get records(): readonly StoreRecord[] {
    return this.source.store.snapshot();
  }

  history(): StoreRecord[] {
    return this.records.filter(({ key }) => placeOf(key) !== undefined);
  }

  sessions(): StoreRecord[] {
    return this.records.filter(({ key }) => key.startsWith('S/'));
  }

  applied(): StoreRecord[] {
    return this.records.filter(({ key }) => key === appliedKey);
  }

  offer(peer = 'n1', sendingId = ++this.sendingId, formatLevel = 1): void {
    this.sequence = 0;
    const facts = { appliedIndex: 10, appliedTerm: 3, revision: 30, formatLevel };
    this.target.receiver.receive(peer, { kind: 'snapshotOffer', sendingId, ...facts });
  }

  /** An offer, with all that follows until the cursor is sent. */
  begin(): void {
    this.offer();
    this.run(50);
  }

  chunk(part: SnapshotPart, records: readonly StoreRecord[], change: object = {}, peer = 'n1'): void {
    const sequence = ++this.sequence;
    const hash = hashChunk(part, sequence, records);
    const { sendingId } = this;
    this.target.receiver.receive(peer, {
      ...{ kind: 'snapshotChunk', sendingId, sequence, part, records, hash },
      ...change,
    });
  }

  /** Everything, each chunk after the answer to the one before. */
  sendAll(): void {
    this.chunk('history', this.history());
    this.run(20);
    this.chunk('tables', this.sessions());
    this.run(20);
    this.chunk('end', this.applied());
    this.run(20);
  }

  run(forMs: number): void {
    this.world.time.run(forMs);
  }

  /** The answers since the last call, in short. */
  take(): string[] {
    return this.answers.splice(0).map((frame) => {
      if (frame.kind === 'snapshotCursor') return `cursor ${frame.revision}.${frame.sub}`;
      if (frame.kind === 'snapshotResult') return `${frame.state} ${frame.sequence} ${frame.message}`.trim();
      return frame.kind;
    });
  }

  expectStaged(): void {
    const { staged, stores } = this.target;
    expect(staged.map(({ storeName, index, term }) => [storeName, index, term])).toEqual([
      [this.target.stagingName, 10, 3],
    ]);
    expect(stores.dump(this.target.stagingName)).toEqual(dump(this.records));
  }
}

test('offer, cursor, chunks, staged', () => {
  const stage = new Stage();
  stage.offer();
  expect(stage.take()).toEqual([]);
  stage.run(50);
  expect(stage.take()).toEqual(['cursor 0.0']);
  stage.sendAll();
  expect(stage.take()).toEqual(['written 1', 'written 2', 'staged 3']);
  stage.expectStaged();
  expect(stage.target.receiver.bytesHeld).toBe(0);
});

test('a chunk is answered only when it is durable', () => {
  const stage = new Stage();
  stage.begin();
  const batches = stage.target.stores.batches;
  stage.chunk('history', stage.history());
  expect(stage.target.receiver.bytesHeld).toBeGreaterThan(1_000);
  stage.run(0.4);
  expect(stage.target.stores.batches).toBe(batches);
  expect(stage.take()).toEqual(['cursor 0.0']);
  stage.run(1);
  expect(stage.target.stores.batches).toBe(batches + 1);
  expect(stage.take()).toEqual(['written 1']);
});

describe('an offer', () => {
  test('of a format level above the own is refused, with no effect', () => {
    const stage = new Stage();
    stage.offer('n1', 5, 2);
    stage.run(50);
    const words = 'this node knows format levels up to 1, and it is of 2: upgrade this node';
    expect(stage.take()).toEqual([`refused 0 ${words}`]);
    expect([...stage.target.stores.stores.keys()]).not.toContain('db-2');
    stage.offer('n1', 6, 1);
    stage.run(50);
    expect(stage.take()).toEqual(['cursor 0.0']);
  });

  test('that is not needed is refused', () => {
    const stage = new Stage();
    stage.target.isNeeded = false;
    stage.begin();
    expect(stage.take()).toEqual(['refused 0 this node does not need it']);
    expect([...stage.target.stores.stores.keys()]).toEqual([]);
  });

  test('that is newer replaces the one before, also of another peer, which goes on where that was', () => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 4));
    stage.run(20);
    stage.chunk('history', stage.history().slice(4, 6));
    stage.offer('n3', 77);
    // Written, but of a sending that is over: not answered. The new one waits for it.
    stage.run(50);
    const refused = 'refused 2 node n3 offers another one';
    expect(stage.take()).toEqual(['cursor 0.0', 'written 1', refused, 'cursor 6.0']);
    // A late chunk of the first sending.
    stage.chunk('history', stage.history().slice(6, 8), { sequence: 3 });
    expect(stage.take()).toEqual(['refused 3 this snapshot is over']);
    stage.sendingId = 77;
    stage.sequence = 0;
    stage.chunk('history', stage.history().slice(6), {}, 'n3');
    stage.run(20);
    expect(stage.take()).toEqual(['written 1']);
    expect(stage.target.receiver.failed).toBe(1);
  });

  test('comes again and again: one thing at a time, and the last one counts', () => {
    const stage = new Stage();
    for (let i = 0; i < 20; i++) {
      stage.offer();
      stage.run(0.3);
    }
    stage.run(100);
    expect(stage.take()).toEqual(['cursor 0.0']);
    stage.sendAll();
    stage.expectStaged();
  });

  test('is refused while a snapshot is installed, and taken when its store was released', () => {
    const stage = new Stage();
    stage.begin();
    stage.sendAll();
    stage.take();
    stage.begin();
    expect(stage.take()).toEqual(['refused 0 a snapshot is being installed']);
    stage.run(20 * minuteMs);
    // What was handed over is not this one's to remove.
    expect(stage.target.stores.removed).toEqual([]);
    stage.target.stagingNumber++;
    stage.target.staged[0]?.released();
    stage.begin();
    stage.sendAll();
    expect(stage.target.staged.map(({ storeName }) => storeName)).toEqual(['db-2', 'db-3']);
  });
});

describe('a disk that is nearly full', () => {
  test('takes no offer, nor more of a sending, and goes on where it was when there is room', () => {
    const stage = new Stage();
    stage.target.hasRoom = false;
    stage.offer();
    expect(stage.answers.at(-1)).toMatchObject({ kind: 'snapshotResult', state: 'refused' });
    expect(stage.target.receiver.begun).toBe(0);
    stage.target.hasRoom = true;
    stage.begin();
    const history = stage.history();
    stage.chunk('history', history.slice(0, 10));
    stage.run(50);
    expect(stage.answers.at(-1)).toMatchObject({ state: 'written' });
    stage.target.hasRoom = false;
    stage.chunk('history', history.slice(10));
    stage.run(50);
    const refused = { sequence: 2, state: 'refused', message: 'the disk is nearly full' };
    expect(stage.answers.at(-1)).toMatchObject(refused);
    stage.target.hasRoom = true;
    stage.begin();
    const last = history[9]?.key ?? '';
    expect(stage.answers.at(-1)).toMatchObject({ kind: 'snapshotCursor', ...placeOf(last) });
  });

  test('is told by the mark of the log, with one line in ten seconds', () => {
    const { clock } = new World().time;
    const disk = { freeBytes: 400, asked: 0 };
    const lines: object[] = [];
    const write = (fields: object, message: string): void => void lines.push({ ...fields, message });
    const time = { ...clock, ms: 0, nowMs: () => time.ms };
    const logger = { debug: write, info: write, warn: write, error: write };
    const log = new EventLog({ logger, clock: time, timers: new VirtualTime().timers });
    const room = new StagingRoom(
      {
        clock: time,
        report: (event) => log.write(event),
        disk: { freeBytes: (done) => done(undefined, disk.freeBytes) } as Disk,
      },
      100,
    );
    const after = (ms: number, freeBytes: number): boolean => {
      time.ms += ms;
      disk.freeBytes = freeBytes;
      room.hasRoom();
      return room.hasRoom();
    };
    expect(after(100, 400)).toBe(true);
    expect(after(100, 399)).toBe(false);
    for (let i = 0; i < 50; i++) expect(after(100, 499)).toBe(false);
    expect(lines).toHaveLength(1);
    expect(after(5_100, 450)).toBe(false);
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatchObject({ freeBytes: 499, keptFreeBytes: 400, omitted: 50 });
    expect(lines[2]).toMatchObject({ freeBytes: 450, keptFreeBytes: 400 });
    expect(after(100, 500)).toBe(true);
    expect(lines).toHaveLength(4);
  });
});

describe('a sender that does not keep to the rules', () => {
  test('chunks before the cursor, or more than the window, close the link', () => {
    const early = new Stage();
    early.offer();
    expect(() => early.chunk('history', early.history())).toThrow(/without waiting for answers/);
    const greedy = new Stage();
    greedy.begin();
    greedy.chunk('history', greedy.history().slice(0, 1));
    greedy.chunk('history', greedy.history().slice(1, 2));
    let error: unknown;
    try {
      greedy.chunk('history', greedy.history().slice(2, 3));
    } catch (thrown) {
      error = thrown;
    }
    expect(KvorumError.is(error, 'PROTOCOL')).toBe(true);
    greedy.run(100);
    // Neither answered nor staged; the next sending goes on after what was durable.
    greedy.take();
    greedy.begin();
    expect(greedy.take()).toEqual(['cursor 1.0']);
    greedy.chunk('history', greedy.history().slice(1));
    greedy.run(20);
    expect(greedy.take()).toEqual(['written 1']);
  });

  test.each<[string, (stage: Stage) => void, RegExp]>([
    [
      'a sequence left out',
      (stage) => stage.chunk('history', stage.history(), { sequence: 2 }),
      /where 1 was due/,
    ],
    [
      'a wrong hash',
      (stage) => stage.chunk('history', stage.history(), { hash: '0'.repeat(16) }),
      /has hash/,
    ],
    ['another part', (stage) => stage.chunk('history', stage.history(), { part: 'tables' }), /has hash/],
    [
      'a gap',
      (stage) => stage.chunk('history', stage.history().slice(2)),
      /V\/3\.0 .* does not follow on 0\.0/,
    ],
    ['no end', (stage) => stage.chunk('end', stage.sessions()), /its one applied record does/],
    ['sessions as history', (stage) => stage.chunk('history', stage.sessions()), /is not of history/],
    ['nothing as the end', (stage) => stage.chunk('end', []), /its one applied record does/],
  ])('%s: refused, what was good stays', (_name, act, words) => {
    const stage = new Stage();
    stage.begin();
    stage.take();
    act(stage);
    stage.run(50);
    const [answer, ...more] = stage.take();
    expect(answer).toMatch(/^refused/);
    expect(answer).toMatch(words);
    expect(more).toEqual([]);
    expect(stage.target.stores.removed).toEqual([]);
    stage.begin();
    stage.sendAll();
    stage.expectStaged();
  });

  test('history after sessions, and anything after a refusal', () => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('tables', stage.sessions());
    stage.chunk('history', stage.history());
    stage.run(20);
    expect(stage.take()).toEqual([
      'cursor 0.0',
      'written 1',
      'refused 2 the record V/1.0 of a snapshot comes after tables',
    ]);
    stage.chunk('history', stage.history());
    expect(stage.take()).toEqual(['refused 3 this snapshot is over']);
    stage.begin();
    stage.sendAll();
    stage.expectStaged();
  });

  test('chunks of no sending at all', () => {
    const stage = new Stage();
    stage.chunk('history', stage.history());
    expect(stage.take()).toEqual(['refused 1 this snapshot is over']);
    stage.run(100);
    expect([...stage.target.stores.stores.keys()]).toEqual([]);
  });
});

describe('the stores refuse', () => {
  const errors: [string, KvorumError, boolean][] = [
    ['a failed write', new KvorumError('DISK', 'EIO', { details: { errno: 'EIO' } }), false],
    ['a full disk', new KvorumError('DISK', 'full', { details: { errno: 'ENOSPC' } }), true],
    [
      'a full disk, in words',
      new KvorumError('DISK', 'x', { details: { errno: 'IO: No space left on device' } }),
      true,
    ],
    ['a quota', new KvorumError('NO_SPACE', 'over the quota'), true],
    ['damage', new KvorumError('CORRUPT', 'damaged'), true],
  ];

  test.each(errors)('%s while a chunk is written', (_name, error, isRemoved) => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 5));
    stage.run(20);
    stage.take();
    stage.target.stores.batchError = error;
    stage.chunk('history', stage.history().slice(5));
    stage.run(20);
    expect(stage.take()).toEqual([`refused 2 ${error.message}`]);
    expect(stage.target.stores.removed).toEqual(isRemoved ? ['db-2'] : []);
    stage.begin();
    expect(stage.take()).toEqual([isRemoved ? 'cursor 0.0' : 'cursor 5.0']);
    stage.chunk('history', stage.history().slice(isRemoved ? 0 : 5));
    stage.run(20);
    stage.chunk('tables', stage.sessions());
    stage.chunk('end', stage.applied());
    stage.run(20);
    expect(stage.target.staged).toHaveLength(1);
  });

  test.each(errors)('%s while the store is opened', (_name, error, isRemoved) => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 5));
    stage.run(20);
    stage.target.restart();
    stage.take();
    stage.target.stores.openError = error;
    stage.begin();
    expect(stage.take()).toEqual([`refused 0 ${error.message}`]);
    expect(stage.target.stores.removed).toEqual(isRemoved ? ['db-2'] : []);
    stage.begin();
    expect(stage.take()).toEqual([isRemoved ? 'cursor 0.0' : 'cursor 5.0']);
  });

  test('a staging store that is damaged is removed, with an error', () => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 5));
    stage.run(20);
    stage.target.restart();
    const store = stage.target.stores.stores.get('db-2');
    store?.restore(store.snapshot().filter(({ key }) => placeOf(key)?.revision !== 5));
    stage.take();
    stage.begin();
    expect(stage.take()).toEqual([
      expect.stringMatching(/^refused 0 .*speaks of 5\.0, but history ends at 4\.0/),
    ]);
    expect(stage.target.lines.join('\n')).toMatch(/error the staging store is removed/);
    stage.begin();
    stage.sendAll();
    stage.expectStaged();
  });
});

describe('a staging store that is of no use is removed', () => {
  test('after ten minutes without a chunk, whatever the sending', () => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 5));
    stage.run(9 * minuteMs);
    expect(stage.target.stores.removed).toEqual([]);
    stage.run(2 * minuteMs);
    expect(stage.target.stores.removed).toEqual(['db-2']);
    expect(stage.take()).toEqual(['cursor 0.0', 'written 1', 'refused 1 nothing came for it']);
    stage.begin();
    stage.sendAll();
    stage.expectStaged();
  });

  test('when what it was begun for is not needed any more', () => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 5));
    stage.run(20);
    stage.target.receiver.linkDown('n1');
    stage.run(minuteMs);
    expect(stage.target.stores.removed).toEqual([]);
    stage.target.isNeeded = false;
    stage.run(minuteMs);
    expect(stage.target.stores.removed).toEqual(['db-2']);
  });

  test('when an earlier process left it and nothing came for it', () => {
    const stage = new Stage();
    stage.begin();
    stage.chunk('history', stage.history().slice(0, 5));
    stage.run(20);
    stage.target.restart();
    stage.run(11 * minuteMs);
    expect(stage.target.stores.removed).toEqual(['db-2']);
    stage.run(60 * minuteMs);
    expect(stage.target.stores.removed).toEqual(['db-2']);
  });
});

describe('close', () => {
  test('at any moment of a sending: the store is closed, and the next process goes on', () => {
    for (let atMs = 0; atMs < 20; atMs += 0.25) {
      const stage = new Stage();
      stage.world.time.after(atMs, () => {
        stagedBefore = stage.target.staged.length;
        stage.target.receiver.close(() => {
          closed = true;
          // Open stores cannot be opened again, nor removed.
          stage.target.stores.open('db-2', (error) => expect(error).toBeUndefined());
        });
      });
      let closed = false;
      let stagedBefore = 0;
      const steps: [number, () => void][] = [
        [0, () => stage.offer()],
        [6, () => stage.chunk('history', stage.history())],
        [8, () => stage.chunk('tables', stage.sessions())],
        [10, () => stage.chunk('end', stage.applied())],
      ];
      for (const [dueMs, run] of steps) stage.world.time.after(dueMs, run);
      stage.run(100);
      expect(closed).toBe(true);
      expect(stage.target.staged).toHaveLength(stagedBefore);
      if (stage.target.staged.length > 0) continue;
      stage.target.restart();
      stage.begin();
      const [cursor] = stage.take().slice(-1);
      expect(['cursor 0.0', `cursor ${stage.source.stateMachine.revision}.0`]).toContain(cursor);
      if (cursor === 'cursor 0.0') stage.chunk('history', stage.history());
      stage.run(20);
      stage.chunk('tables', stage.sessions());
      stage.run(20);
      stage.chunk('end', stage.applied());
      stage.run(20);
      stage.expectStaged();
    }
  });

  test('nothing is heard afterwards, and no timer stays', () => {
    const stage = new Stage();
    stage.target.receiver.close(() => undefined);
    stage.run(10);
    stage.offer();
    stage.chunk('history', stage.history());
    expect(stage.take()).toEqual([]);
    stage.run(60 * minuteMs);
    expect(stage.target.stores.removed).toEqual([]);
  });
});
