// Every flipped bit and every cut of a small log of several segments. Damage to a batch that has a successor
// must be reported, never repaired; damage to the last one may cost that one; nothing else may change what
// the log holds.

import { beforeAll, describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { Prng } from '../../src/base/prng.js';
import { createWal, type WalOptions } from '../../src/storage/wal/wal.js';
import { decodeSegmentHeader, segmentHeaderBytes, segmentSeed } from '../../src/storage/wal/format.js';
import { SegmentBatches } from '../../src/storage/wal/batches.js';
import { listSegments, segmentPath } from '../../src/storage/wal/segments.js';
import { Contents } from './fault-disk.js';
import { readState, Twin, World } from './wal-world.js';

interface Place {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/**
 * A log of two full segments and one batch in a third, its batches in order, and its states after the last
 * two.
 */
let original: World;
let batches: Place[];
let finalState: string;
let stateBefore: string;

beforeAll(() => {
  original = new World(99);
  const states: string[] = [];
  const twin = new Twin();
  const first = {
    hardState: { currentTerm: 1, votedFor: 'n2', commitIndex: 1 },
    entries: [{ index: 1, term: 1, kind: 'configuration' as const, payload: Buffer.alloc(40, 1) }],
  };
  createWal(original.options(), first);
  twin.apply(first);
  const { wal } = original.open();
  for (let i = 2; listSegments(original.disk, 'wal').length < 5; i++) {
    const truncates = i % 7 === 0;
    const index = truncates ? twin.lastIndex : twin.lastIndex + 1;
    const term = Math.ceil(i / 7);
    const payload = original.random.bytes((i * 37) % 700);
    const unit = {
      ...(truncates
        ? { hardState: { currentTerm: term, votedFor: undefined, commitIndex: 0 }, truncateSuffix: index }
        : {}),
      entries: [{ index, term, kind: 'command' as const, payload }],
    };
    wal.noteCommitIndex(Math.max(1, twin.lastIndex - 3));
    wal.append(unit, () => undefined);
    twin.apply(unit);
    states.push(twin.describe());
    original.run();
  }
  batches = listBatches(original);
  finalState = states.at(-1) as string;
  stateBefore = states.at(-2) as string;
  expect(batches.length).toBeGreaterThan(10);
});

function listBatches(world: World): Place[] {
  const found: Place[] = [];
  let previous: ReturnType<SegmentBatches['next']>;
  for (const segmentNumber of listSegments(world.disk, 'wal')) {
    const path = segmentPath('wal', segmentNumber);
    const file = world.disk.openSync(path, { create: false });
    const header = decodeSegmentHeader(file.readSync(0, segmentHeaderBytes));
    if (typeof header === 'string') throw new Error(header);
    const reader = new SegmentBatches(file, segmentSeed(header), segmentHeaderBytes, previous);
    for (let batch = reader.next(); batch !== undefined; batch = reader.next()) {
      found.push({ path, from: batch.offset, to: batch.end });
      previous = batch;
    }
  }
  return found;
}

/** Opens a copy of the log whose file at `path` was changed: its state, or the code of the error. */
function outcome(
  path: string,
  change: (bytes: Buffer) => Buffer,
  overrides: Partial<WalOptions> = {},
): string {
  const world = original.copy();
  world.disk.files.set(path, new Contents(change(Buffer.from(world.disk.bytesOf(path)))));
  try {
    return readState(world, world.open(overrides));
  } catch (error) {
    if (!KvorumError.is(error)) throw error;
    if (error.code === 'CORRUPT') expect(error.message).toMatch(/wal\/\d{10}\.wal at offset \d+/);
    return error.code;
  }
}

function flip(offset: number, bit: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    bytes[offset] = (bytes[offset] as number) ^ (1 << bit);
    return bytes;
  };
}

const zeroFrom =
  (offset: number) =>
  (bytes: Buffer): Buffer =>
    bytes.fill(0, offset);

describe('a damaged log', () => {
  it('is unchanged to begin with', () => {
    expect(outcome(segmentPath('wal', 1), (bytes) => bytes)).toBe(finalState);
    expect(batches.filter(({ path }) => path === segmentPath('wal', 1)).length).toBeGreaterThan(3);
    expect(batches.at(-1)?.path).toBe(segmentPath('wal', 3));
  });

  it('reports every flipped bit in a batch that has a successor', () => {
    for (const { path, from, to } of batches.slice(0, -1)) {
      for (let offset = from; offset < to; offset++) {
        // All bits of all heads; of long payloads one bit in each byte, another one each time.
        const bits = offset - from < 100 || to - offset <= 64 ? [0, 1, 2, 3, 4, 5, 6, 7] : [offset % 8];
        for (const bit of bits) {
          const found = outcome(path, flip(offset, bit));
          if (found !== 'CORRUPT') expect.fail(`bit ${bit} at ${offset} of ${path}: ${found}`);
        }
      }
    }
  });

  it('loses at most the last batch to a bit flipped in it', () => {
    const { path, from, to } = batches.at(-1) as Place;
    for (let offset = from; offset < to; offset++) {
      for (const bit of offset - from < 100 || to - offset <= 64 ? [0, 1, 2, 3, 4, 5, 6, 7] : [offset % 8]) {
        expect([stateBefore, 'CORRUPT']).toContain(outcome(path, flip(offset, bit)));
      }
    }
    expect(outcome(path, flip(from + 40, 3))).toBe(stateBefore);
  });

  it('does not lose even that when the store has applied it', () => {
    const { path, from } = batches.at(-1) as Place;
    const { lastIndex } = original.copy().open().recovered.log;
    expect(outcome(path, flip(from + 40, 3), { appliedIndexFloor: lastIndex })).toBe('CORRUPT');
    expect(outcome(path, zeroFrom(from), { appliedIndexFloor: lastIndex })).toBe('CORRUPT');
  });

  it('does not lose it either once an empty batch follows, as it does after 100 ms', () => {
    const world = original.copy();
    const { wal } = world.open();
    world.advance(150);
    expect(wal.stats.syncs).toBe(1);
    const { path, from, to } = batches.at(-1) as Place;
    for (let offset = from; offset < to; offset += 3) {
      const copy = world.copy();
      copy.disk.files.set(
        path,
        new Contents(flip(offset, offset % 8)(Buffer.from(world.disk.bytesOf(path)))),
      );
      expect(() => copy.open()).toThrow(/is damaged in wal/);
    }
  });

  it('reports every flipped bit in a header', () => {
    for (const segmentNumber of listSegments(original.disk, 'wal')) {
      for (let offset = 0; offset < segmentHeaderBytes; offset += offset < 80 ? 1 : 61) {
        const found = outcome(segmentPath('wal', segmentNumber), flip(offset, offset % 8));
        if (found !== 'CORRUPT') expect.fail(`bit at ${offset} of the header of ${segmentNumber}: ${found}`);
      }
    }
  });

  it('ignores flipped bits where nothing was written yet', () => {
    const last = batches.at(-1) as Place;
    for (let offset = last.to; offset < 8_192; offset += 13) {
      expect(outcome(last.path, flip(offset, offset % 8))).toBe(finalState);
    }
    for (let offset = segmentHeaderBytes; offset < 8_192; offset += 131) {
      expect(outcome(segmentPath('wal', 5), flip(offset, offset % 8))).toBe(finalState);
    }
  });

  it('reports every file that is shorter than it was made', () => {
    for (const segmentNumber of listSegments(original.disk, 'wal')) {
      for (let length = 0; length < 8_192; length += segmentNumber === 3 ? 3 : 29) {
        const found = outcome(segmentPath('wal', segmentNumber), (bytes) => bytes.subarray(0, length));
        if (found !== 'CORRUPT') expect.fail(`segment ${segmentNumber} cut to ${length}: ${found}`);
      }
    }
  });

  it('reports a file that is missing', () => {
    for (const segmentNumber of [1, 2, 3]) {
      const world = original.copy();
      world.disk.files.delete(segmentPath('wal', segmentNumber));
      expect(() => world.open()).toThrow(KvorumError);
    }
  });

  it('treats zeros from some point of the last segment on as an end, elsewhere as damage', () => {
    const last = batches.at(-1) as Place;
    for (const { path, from, to } of batches) {
      for (let offset = from; offset < to; offset += 7) {
        const found = outcome(path, zeroFrom(offset));
        const [expected] = path !== last.path ? ['CORRUPT'] : [stateBefore];
        // Zeros in place of zeros change nothing.
        if (found !== finalState) expect(found).toBe(expected);
        else
          expect(
            original.disk
              .bytesOf(path)
              .subarray(offset, to)
              .every((byte) => byte === 0),
          ).toBe(true);
      }
    }
  });

  it('cuts off whatever garbage stands after the last batch, and says so', () => {
    const { path, to } = batches.at(-1) as Place;
    const random = new Prng(4);
    const stale = original.disk
      .bytesOf(segmentPath('wal', 1))
      .subarray(segmentHeaderBytes, segmentHeaderBytes + 900);
    const tails = [
      Buffer.from([1]),
      Buffer.alloc(40, 0xff),
      Buffer.from(random.bytes(3_000)),
      Buffer.from(stale),
    ];
    for (const length of [0, 16, 0x7fffffff, 0xffffffff]) {
      const head = Buffer.from(random.bytes(64));
      head.writeUInt32LE(length, 4);
      tails.push(head);
    }
    for (const tail of tails) {
      const world = original.copy();
      const bytes = Buffer.from(world.disk.bytesOf(path));
      tail.copy(bytes, to);
      world.disk.files.set(path, new Contents(bytes));
      const opened = world.open();
      expect(opened.repairedTail).toEqual({ file: path, fromOffset: to, bytes: tail.length });
      expect(world.events).toMatchObject([
        { kind: 'tornTailCut', file: path, fromOffset: to, bytes: tail.length },
      ]);
      expect(readState(world, opened)).toBe(finalState);
      expect(
        world.disk
          .bytesOf(path)
          .subarray(to)
          .every((byte) => byte === 0),
      ).toBe(true);
    }
  });

  it('never throws anything but KvorumError for random damage', () => {
    for (let seed = 0; seed < 2_000; seed++) {
      const random = new Prng(seed);
      const segmentNumber = random.integer(1, 5);
      outcome(segmentPath('wal', segmentNumber), (bytes) => {
        for (let i = random.integer(1, 3); i > 0; i--) {
          const at = random.integer(0, bytes.length - 1);
          bytes.set(random.bytes(Math.min(random.pick([1, 4, 8, 512]), bytes.length - at)), at);
        }
        return random.chance(0.2) ? Buffer.concat([bytes, random.bytes(random.integer(1, 2_000))]) : bytes;
      });
    }
  });
});
