// Frames of a snapshot on its way: limits that receivers enforce, and what the hash of a chunk covers.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { kvLimits } from '../../src/kv/commands.js';
import type { StoreRecord } from '../../src/kv/store.js';
import { packValue } from '../../src/wire/codec.js';
import type { WireValue } from '../../src/wire/values.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peers/codec.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { SnapshotChunk } from '../../src/wire/snapshots/frames.js';
import { beginsWithSnapshot, hashChunk } from '../../src/wire/snapshots/codec.js';
import { errorOf, plain } from './arbitraries.js';

const value = Uint8Array.of(1, 2, 3);
const record = (key: string, bytes = value): StoreRecord => ({ key, value: bytes });

function chunkOf(records: readonly StoreRecord[]): SnapshotChunk {
  const hash = hashChunk('history', 1, records);
  return { kind: 'snapshotChunk', sendingId: 1, sequence: 1, part: 'history', records, hash };
}

describe('the hash of a chunk', () => {
  it('covers part, sequence, and every key and value with its place', () => {
    const hashes = [
      hashChunk('history', 1, [record('a'), record('b')]),
      hashChunk('tables', 1, [record('a'), record('b')]),
      hashChunk('history', 2, [record('a'), record('b')]),
      hashChunk('history', 1, [record('b'), record('a')]),
      hashChunk('history', 1, [record('a')]),
      hashChunk('history', 1, [record('a'), record('c')]),
      hashChunk('history', 1, [record('a'), record('b', Uint8Array.of(1, 2, 7))]),
      hashChunk('history', 1, [record('a', Uint8Array.of(1, 2)), record('b')]),
      hashChunk('history', 1, []),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashes[0]).toMatch(/^[0-9a-f]{16}$/);
    expect(hashChunk('history', 1, [record('a'), record('b')])).toBe(hashes[0]);
  });

  it('changes with any bit of any value', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(), (bytes, at) => {
        const changed = Uint8Array.from(bytes);
        const index = (at >> 3) % bytes.length;
        changed[index] = (changed[index] ?? 0) ^ (1 << (at & 7));
        expect(hashChunk('end', 9, [record('k', changed)])).not.toBe(
          hashChunk('end', 9, [record('k', bytes)]),
        );
      }),
      { numRuns: 500 },
    );
  });
});

it('a message of a snapshot is told from others by its first bytes', () => {
  const result = {
    kind: 'snapshotResult',
    sendingId: 7,
    sequence: 1,
    state: 'written',
    message: '',
  } as const;
  expect(beginsWithSnapshot(encodePeerFrames([chunkOf([record('a')])]))).toBe(true);
  expect(beginsWithSnapshot(encodePeerFrames([result]))).toBe(true);
  const timeoutNow = { kind: 'timeoutNow', from: 'n1', to: 'n2', term: 31 } as const;
  expect(beginsWithSnapshot(encodePeerFrames([{ kind: 'raft', message: timeoutNow }]))).toBe(false);
  for (const bytes of [[], [0x91], [0x91, 0x92], [30, 30, 30]]) {
    expect(beginsWithSnapshot(Uint8Array.from(bytes))).toBe(false);
  }
});

describe('a chunk', () => {
  it('of one record of the greatest size arrives', () => {
    const largest = new Uint8Array(43 + kvLimits.keyBytesMax + kvLimits.valueBytesMax).fill(5);
    const frame = chunkOf([record('V/'.padEnd(14, 'x'), largest)]);
    expect(plain(decodePeerFrames(encodePeerFrames([frame])))).toEqual(plain([frame]));
  });

  it('of the most records arrives, of more it is refused', () => {
    const { chunkRecordsMax } = wireLimits;
    const most = chunkOf(Array.from({ length: chunkRecordsMax }, () => record('V/12345678abcd')));
    expect(decodePeerFrames(encodePeerFrames([most]))).toHaveLength(1);
    const more = chunkOf([...most.records, record('V/12345678abcd')]);
    const error = errorOf(() => decodePeerFrames(encodePeerFrames([more])));
    expect(error?.message).toContain('position 4 (records)');
  });

  it.each<[string, number, WireValue, string]>([
    ['a key that is text', 4, ['key', value], 'records, key'],
    ['an empty key', 4, [new Uint8Array(0), value], 'records, key'],
    ['a long key', 4, [new Uint8Array(wireLimits.chunkKeyBytesMax + 1), value], 'records, key'],
    ['a value that is text', 4, [value, 'value'], 'records, value'],
    ['a long value', 4, [value, new Uint8Array(wireLimits.chunkValueBytesMax + 1)], 'records, value'],
    ['half a record', 4, [value], 'records'],
    ['an unknown part', 3, 3, 'part'],
    ['the sequence of no chunk', 2, 0, 'sequence'],
    ['a short hash', 5, 'abc', 'hash'],
  ])('with %s is refused', (_name, position, odd, field) => {
    const frame: WireValue[] = [32, 1, 1, 0, [value, value], '0'.repeat(16)];
    expect(decodePeerFrames(packValue([frame]))).toHaveLength(1);
    frame[position] = odd;
    const error = errorOf(() => decodePeerFrames(packValue([frame])));
    expect(error?.code).toBe('PROTOCOL');
    expect(error?.message).toContain(`position`);
    expect(error?.message).toContain(`(${field}`);
  });
});

it('a long reason of a refusal is cut to what receivers take', () => {
  const frame = {
    kind: 'snapshotResult',
    sendingId: 1,
    sequence: 0,
    state: 'refused',
    message: 'x'.repeat(5_000),
  } as const;
  expect(decodePeerFrames(encodePeerFrames([frame]))).toEqual([{ ...frame, message: 'x'.repeat(1_024) }]);
});

it('a place within a revision has 32 bits', () => {
  const frame = [31, 1, 5, 2 ** 32];
  expect(errorOf(() => decodePeerFrames(packValue([frame])))?.message).toContain('(sub)');
});
