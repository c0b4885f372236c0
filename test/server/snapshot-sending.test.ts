// Whole sendings between members in virtual time: with links cut, senders changed and processes killed at
// any point, under continuous writes, with damaged chunks. What is staged is always exactly the state of some
// replica, and what was durable at the receiver is not sent again.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { defined } from '../../src/base/assert.js';
import { appliedKey, decodeApplied, encodeApplied, placeOf } from '../../src/kv/records/schema.js';
import { hashRecord } from '../../src/kv/state-hash.js';
import { decodeVersion, encodeVersion, keyOfVersion } from '../../src/kv/records/version-record.js';
import type { SnapshotChunk, SnapshotFrame } from '../../src/wire/snapshots/frames.js';
import { hashChunk } from '../../src/wire/snapshots/codec.js';
import { dump, World, type Machine } from './snapshot-world.js';

const runLimitMs = 60_000;

/** A source with about `entries` entries of history, large enough for several chunks. */
function filled(world: World, nodeId: string, entries = 60, valueBytes = 200): Machine {
  const machine = world.machine(nodeId);
  for (let i = 0; i < entries; i++) machine.write(3, valueBytes);
  return machine;
}

/** Starts a sending now and again whenever it ends without success, as the core of a leader does. */
function keepSending(world: World, from: () => Machine, to: Machine): void {
  let seen = new Map<Machine, number>();
  const send = (): void => {
    if (to.staged.length > 0) return;
    const machine = from();
    const endedBefore = seen.get(machine) ?? -1;
    if (machine.ended.length > endedBefore) {
      seen = new Map([[machine, machine.ended.length]]);
      machine.sender.start(to.nodeId);
    }
    world.time.after(5, send);
  };
  send();
}

function expectStaged(world: World, receiver: Machine): void {
  expect(world.time.run(runLimitMs, () => receiver.staged.length > 0)).toBe(true);
  const { storeName, index, term } = defined(receiver.staged[0], 'the staged snapshot');
  expect(term).toBe(3);
  expect(receiver.stores.dump(storeName)).toEqual(dump(world.states.get(index) ?? []));
  expect(receiver.lines.filter((line) => line.startsWith('error'))).toEqual([]);
}

test('a sending ends with the records of its source', () => {
  const world = new World();
  const source = filled(world, 'n1');
  const target = world.machine('n2');
  source.sender.start('n2');
  // Asked for again while it is under way: nothing more happens.
  source.sender.start('n2');
  expectStaged(world, target);
  expect(world.time.run(1_000, () => source.ended.length > 0)).toBe(true);
  expect(source.ended).toEqual([{ peer: 'n2', installed: true }]);
  expect(target.staged[0]?.index).toBe(60);
  expect([source.sender.begun, source.sender.installed, source.sender.failed]).toEqual([1, 1, 0]);
  expect([target.receiver.begun, target.receiver.staged, target.receiver.failed]).toEqual([1, 1, 0]);
  expect(source.sender.bytesSent).toBe(target.receiver.bytesWritten);
  expect(source.sender.bytesSent).toBeGreaterThan(30_000);
  expect(world.violations).toEqual([]);
});

test('neither side holds more than its window', () => {
  const world = new World();
  world.latencyMs = 5;
  world.chunkBytesMax = 200_000;
  const source = filled(world, 'n1', 40, 200);
  // Values of the greatest size after many small ones, then small ones again.
  for (let i = 0; i < 16; i++) source.write(1, 1_048_576);
  for (let i = 0; i < 60; i++) source.write(3, 200);
  const target = world.machine('n2');
  source.sender.start('n2');
  let sending = 0;
  let receiving = 0;
  const isStaged = world.time.run(runLimitMs, () => {
    sending = Math.max(sending, source.sender.bytesHeld);
    receiving = Math.max(receiving, target.receiver.bytesHeld);
    return target.staged.length > 0;
  });
  expect(isStaged).toBe(true);
  const large = 1_048_576 + 5_000;
  expect(source.sender.bytesSent).toBeGreaterThan(12 * large);
  expect(receiving).toBeLessThanOrEqual(2 * large);
  expect(receiving).toBeGreaterThan(large);
  expect(world.bytesOnTheWayMost).toBeLessThanOrEqual(2 * large);
  // What looked like a page of small records, of which these are some; on from there, page by page.
  expect(sending).toBeLessThanOrEqual(13 * large + 200_000);
});

describe('faults at every point', () => {
  let known: { readonly frames: number; readonly batches: number; readonly bytes: number } | undefined;

  /** Frames, batches of the receiver and bytes of an undisturbed sending. */
  function undisturbed(): { readonly frames: number; readonly batches: number; readonly bytes: number } {
    if (known !== undefined) return known;
    const world = new World();
    const source = filled(world, 'n1', 30, 360);
    const target = world.machine('n2');
    source.sender.start('n2');
    expectStaged(world, target);
    const { bytesSent } = source.sender;
    known = { frames: world.frames, batches: target.stores.batches, bytes: bytesSent };
    return known;
  }

  test('the undisturbed sending has enough of them', () => {
    const { frames, batches } = undisturbed();
    expect(frames).toBeGreaterThan(15);
    expect(batches).toBeGreaterThan(8);
  });

  test('the link is cut at any frame', () => {
    const { frames, bytes } = undisturbed();
    for (let at = 0; at < frames; at++) {
      const world = new World();
      const source = filled(world, 'n1', 30, 360);
      const target = world.machine('n2');
      world.tamper = (frame) => {
        if (world.frames === at) world.time.timers.defer(() => world.cut('n1', 'n2'));
        return frame;
      };
      keepSending(world, () => source, target);
      expectStaged(world, target);
      // At most the window is sent twice.
      expect(source.sender.bytesSent).toBeLessThan(bytes + 3 * 4_100);
    }
  });

  test('the sender changes at any frame', () => {
    const { frames, bytes } = undisturbed();
    for (let at = 0; at < frames; at++) {
      const world = new World();
      const first = filled(world, 'n1', 30, 360);
      const second = world.machine('n3');
      second.copyStateOf(first);
      // The two are at different entries; the second one may be behind what the receiver holds.
      if (at % 2 === 0) for (let i = 0; i < 5; i++) second.write(2, 90);
      const target = world.machine('n2');
      let leader = first;
      world.tamper = (frame) => {
        if (world.frames === at) {
          world.time.timers.defer(() => {
            leader = second;
            first.sender.cancelAll();
          });
        }
        return frame;
      };
      keepSending(world, () => leader, target);
      expectStaged(world, target);
      expect(first.sender.bytesSent + second.sender.bytesSent).toBeLessThan(bytes + 3 * 4_100 + 20_000);
    }
  });

  test.each([
    ['before', 0],
    ['after', 0.4],
  ])('the receiver crashes %s any batch is durable', (_name, laterMs) => {
    const { batches, bytes } = undisturbed();
    for (let at = 1; at <= batches; at++) {
      const world = new World();
      const source = filled(world, 'n1', 30, 360);
      const target = world.machine('n2');
      let count = 0;
      target.stores.onBatch = () => {
        count++;
        if (count === at) world.time.after(laterMs, () => target.restart());
      };
      keepSending(world, () => source, target);
      expectStaged(world, target);
      expect(count).toBeGreaterThan(at);
      expect(source.sender.bytesSent).toBeLessThan(bytes + 3 * 4_100);
    }
  });

  test('the receiver crashes again and again', () => {
    const world = new World();
    const source = filled(world, 'n1', 30, 360);
    const target = world.machine('n2');
    let count = 0;
    target.stores.onBatch = () => {
      count++;
      if (count % 3 === 0 && count < 60) world.time.after(0.4, () => target.restart());
    };
    keepSending(world, () => source, target);
    expectStaged(world, target);
    expect(target.stores.removed).toEqual([]);
  });
});

test('whatever happens in between, the end is the state of a replica', () => {
  const fault = fc.record({
    atMs: fc.integer({ min: 0, max: 120 }),
    kind: fc.constantFrom('cut', 'restartReceiver', 'restartSender', 'changeSender', 'write', 'lose', 'flip'),
  });
  fc.assert(
    fc.property(fc.array(fault, { maxLength: 12 }), fc.boolean(), (faults, isSlow) => {
      const world = new World();
      if (isSlow) world.latencyMs = 12;
      const machines = [filled(world, 'n1', 20, 360), world.machine('n3')];
      machines[1]?.copyStateOf(machines[0] as Machine);
      const target = world.machine('n2');
      let leader = machines[0] as Machine;
      const pending = new Set<'lose' | 'flip'>();
      world.tamper = (frame) => {
        if (pending.delete('lose')) return undefined;
        return frame.kind === 'snapshotChunk' && pending.delete('flip') ? flipped(frame, 0) : frame;
      };
      for (const { atMs, kind } of faults) {
        world.time.after(atMs, () => {
          if (kind === 'cut') world.cut('n2');
          else if (kind === 'restartReceiver') target.restart();
          else if (kind === 'restartSender') leader.restart();
          else if (kind === 'write') leader.write(4, 100);
          else if (kind === 'changeSender') {
            const next = machines.find((machine) => machine !== leader) as Machine;
            leader.sender.cancelAll();
            if (next.stateMachine.appliedIndex < leader.stateMachine.appliedIndex) next.copyStateOf(leader);
            leader = next;
          } else {
            pending.add(kind);
          }
        });
      }
      keepSending(world, () => leader, target);
      expectStaged(world, target);
    }),
    { numRuns: 150 },
  );
});

test('continuous writes: the end is close to what the source then held, on newer views', () => {
  const world = new World();
  world.latencyMs = 10;
  const source = filled(world, 'n1', 60, 360);
  const target = world.machine('n2');
  const write = (): void => {
    source.write(1, 40);
    if (target.staged.length === 0 && world.time.nowMs < 3_000) world.time.after(2, write);
  };
  write();
  let sentAtEnd = 0;
  world.tamper = (frame) => {
    if (frame.kind === 'snapshotChunk' && frame.part === 'end') {
      sentAtEnd = source.stateMachine.durableAppliedIndex;
    }
    return frame;
  };
  source.sender.start('n2');
  expectStaged(world, target);
  const index = target.staged[0]?.index ?? 0;
  expect(index).toBeGreaterThan(75);
  expect(source.views).toBeGreaterThan(1);
  // At most `viewEntriesMax` behind when it went over to the sessions, and a few round trips since.
  expect(sentAtEnd - index).toBeLessThan(10 + 25);
  expect(source.ended).toEqual([]);
});

test('writes faster than the sending: it ends all the same', () => {
  const world = new World();
  world.latencyMs = 20;
  world.chunkBytesMax = 500;
  const source = filled(world, 'n1', 5, 100);
  const target = world.machine('n2');
  const write = (): void => {
    for (let i = 0; i < 4; i++) source.write(1, 50);
    if (target.staged.length === 0 && world.time.nowMs < 20_000) world.time.after(10, write);
  };
  write();
  source.sender.start('n2');
  expectStaged(world, target);
  expect(world.time.nowMs).toBeLessThan(20_000);
  expect(source.views).toBe(2);
});

/** One bit of a chunk changed on its way: of a value, a key or the hash. */
function flipped(chunk: SnapshotChunk, where: number): SnapshotChunk {
  const [first, ...rest] = chunk.records;
  const { key, value } = defined(first, 'a record');
  if (where === 0) {
    const changed = Uint8Array.from(value);
    changed[value.length >> 1] = (changed[value.length >> 1] ?? 0) ^ 1;
    return { ...chunk, records: [{ key, value: changed }, ...rest] };
  }
  if (where === 1) {
    const other = key.slice(0, -1) + String.fromCharCode(key.charCodeAt(key.length - 1) ^ 1);
    return { ...chunk, records: [{ key: other, value }, ...rest] };
  }
  return { ...chunk, hash: chunk.hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) };
}

describe('a chunk that is not what was sent', () => {
  test.each([0, 1, 2])('any one, changed at place %i, is refused; what was good stays', (where) => {
    for (let target = 1; ; target++) {
      const world = new World();
      const source = filled(world, 'n1', 12, 360);
      const receiver = world.machine('n2');
      let chunks = 0;
      let hit = false;
      world.tamper = (frame) => {
        if (frame.kind !== 'snapshotChunk' || ++chunks !== target || hit) return frame;
        hit = true;
        return flipped(frame, where);
      };
      keepSending(world, () => source, receiver);
      expectStaged(world, receiver);
      if (!hit) {
        expect(target).toBeGreaterThan(5);
        return;
      }
      expect(receiver.receiver.failed).toBe(1);
      expect(receiver.lines.join()).toMatch(/chunk \d+ of a snapshot has hash/);
      expect(receiver.stores.removed).toEqual([]);
    }
  });

  /** Sends what `change` makes of each chunk, with a hash that fits. */
  function forge(change: (chunk: SnapshotChunk) => SnapshotChunk['records']): Machine {
    const world = new World();
    const source = filled(world, 'n1', 12, 360);
    const receiver = world.machine('n2');
    let isOver = false;
    world.tamper = (frame: SnapshotFrame) => {
      if (frame.kind === 'snapshotResult' && frame.state === 'refused') isOver = true;
      if (frame.kind !== 'snapshotChunk' || isOver) return frame;
      const records = change(frame);
      return { ...frame, records, hash: hashChunk(frame.part, frame.sequence, records) };
    };
    source.sender.start('n2');
    expect(world.time.run(runLimitMs, () => isOver)).toBe(true);
    world.time.run(500);
    expect(receiver.staged).toEqual([]);
    expect(receiver.stores.removed).toEqual(['db-2']);
    // The next sending begins from nothing, and ends well.
    expect(world.time.run(runLimitMs, () => source.ended.length === 1)).toBe(true);
    const before = source.sender.bytesSent;
    source.sender.start('n2');
    expect(world.time.run(runLimitMs, () => receiver.staged.length > 0)).toBe(true);
    const { storeName, index } = defined(receiver.staged[0], 'the staged snapshot');
    expect(receiver.stores.dump(storeName)).toEqual(dump(world.states.get(index) ?? []));
    expect(source.sender.bytesSent - before).toBeGreaterThan(11_000);
    return receiver;
  }

  test('other values with a hash that fits: found at the end, both hashes named', () => {
    const receiver = forge(({ part, records }) => (part === 'history' ? flippedValues(records) : records));
    const line = receiver.lines.find((text) => text.startsWith('error')) ?? '';
    const hashes = line.match(/[0-9a-f]{16}/g) ?? [];
    expect(line).toMatch(/content hash/);
    expect(new Set(hashes).size).toBe(2);
  });

  test('an applied record of another state', () => {
    const receiver = forge(({ part, records }) => {
      const [record] = records;
      if (part !== 'end' || record === undefined) return records;
      const applied = decodeApplied(record.value);
      return [{ key: appliedKey, value: encodeApplied({ ...applied, revision: applied.revision - 1 }) }];
    });
    expect(receiver.lines.join()).toMatch(/error the staging store is removed: the snapshot of index 12/);
  });
});

/** Other values, each record being in order by itself. */
function flippedValues(records: SnapshotChunk['records']): SnapshotChunk['records'] {
  return records.map(({ key, value }) => {
    const { revision, sub } = placeOf(key) ?? { revision: 0, sub: 0 };
    const version = decodeVersion(value, keyOfVersion(value, key), revision, sub);
    if (version.deleted) return { key, value };
    const changed = Uint8Array.from(version.value);
    changed[0] = (changed[0] ?? 0) ^ 1;
    const { createRevision, leaseId } = version;
    const hash = hashRecord(version.key, changed, createRevision, revision, version.version, leaseId);
    return { key, value: encodeVersion({ ...version, value: changed, hashHigh: hash[0], hashLow: hash[1] }) };
  });
}
