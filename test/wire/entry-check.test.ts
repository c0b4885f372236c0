// The check of an entry before it is appended: it takes whatever the door takes, in any encoding of numbers,
// refuses what this software cannot read, and makes no object per command.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../src/kv/commands.js';
import { thisSoftware, type Software } from '../../src/kv/format-level.js';
import { packValue, unpackArray } from '../../src/wire/codec.js';
import { decodeCommand, encodeCommand } from '../../src/wire/commands/command-codec.js';
import { checkEntryPayload } from '../../src/wire/commands/entry-check.js';
import { decodeEntryPayload, encodeEntryPayload } from '../../src/wire/commands/entry-codec.js';
import { commandBytesMax, entryHeaderBytes } from '../../src/wire/limits.js';
import type { WireValue } from '../../src/wire/values.js';
import { command, errorOf, runs } from './arbitraries.js';

const times = { clusterTimeMs: 1_000, wallTimeMs: 1_700_000_000_000 };
const expire = encodeCommand({ kind: 'expireTables' });
const session = {
  sessionId: 's'.repeat(16),
  createdClusterTimeMs: 2 ** 40,
  sequence: 1,
  acknowledgedThrough: 0,
};
const put = encodeCommand({
  kind: 'client',
  session,
  operation: { kind: 'put', key: 'key', value: Uint8Array.of(1, 2, 3) },
});
const close = encodeCommand({ kind: 'client', session, operation: { kind: 'closeSession' } });

/** Knows a second level, to which the deletion of ranges belongs. */
const newer: Software = {
  formatLevelMax: 2,
  commandLevels: { ...thisSoftware.commandLevels, deleteRange: 2 },
};
const older: Software = { ...newer, formatLevelMax: 1 };

const entryOf = (...commands: Uint8Array[]): Uint8Array => encodeEntryPayload(times, 1, commands);
const refusal = (payload: Uint8Array, software = thisSoftware) =>
  errorOf(() => checkEntryPayload(payload, software));

/** Every encoding of a number of at most 127, by the tokens of msgpack. */
function encodingsOf(number: number): number[][] {
  const wide = (token: number, bytes: number) => [token, ...new Array<number>(bytes - 1).fill(0), number];
  const float32 = Buffer.alloc(4);
  float32.writeFloatBE(number);
  const float64 = Buffer.alloc(8);
  float64.writeDoubleBE(number);
  return [
    [number],
    ...[1, 2, 4, 8].flatMap((bytes, i) => [wide(0xcc + i, bytes), wide(0xd0 + i, bytes)]),
    [0xca, ...float32],
    [0xcb, ...float64],
  ];
}

describe('an entry', () => {
  it('of any commands is taken', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 5 }), (commands) => {
        // A raise names the level of its entry.
        const ofEntry = commands.map((one) => (one.kind === 'raiseFormat' ? { ...one, level: 1 } : one));
        const encoded = ofEntry.map(encodeCommand);
        fc.pre(encoded.every((bytes) => bytes.length < 50_000));
        expect(refusal(entryOf(...encoded))).toBeUndefined();
      }),
      runs,
    );
    expect(refusal(entryOf(new Uint8Array(packOfBytes(commandBytesMax))))?.code).toBe('PROTOCOL');
  });

  it('is taken in whichever encoding of numbers the door took', () => {
    const tail = put.subarray(2);
    for (const [one, ...ones] of encodingsOf(1).map((number) => [0x99, ...number])) {
      const bytes = Uint8Array.from([one ?? 0, ...ones, ...tail]);
      expect(decodeCommand(bytes).kind).toBe('client');
      expect(refusal(entryOf(bytes))).toBeUndefined();
    }
    for (const number of encodingsOf(4)) {
      const bytes = Uint8Array.from([...close.subarray(0, -1), ...number]);
      expect(decodeCommand(bytes)).toMatchObject({ operation: { kind: 'closeSession' } });
      expect(refusal(entryOf(bytes))).toBeUndefined();
    }
    for (const header of [
      [0xdc, 0, 6],
      [0xdd, 0, 0, 0, 6],
    ]) {
      const bytes = Uint8Array.from([...header, ...close.subarray(1)]);
      expect(decodeCommand(bytes)).toMatchObject({ operation: { kind: 'closeSession' } });
      expect(refusal(entryOf(bytes))).toBeUndefined();
    }
  });

  it('is refused whenever its decoder would refuse it, and never else', () => {
    const payload = entryOf(expire, put, close);
    for (let length = 0; length < payload.length; length++) {
      expect(refusal(payload.subarray(0, length))?.code, `cut at ${length}`).toBe('PROTOCOL');
    }
    expect(refusal(Buffer.concat([payload, Uint8Array.of(0)]))?.message).toContain('1 bytes too many');
    for (let at = 0; at < payload.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const changed = Buffer.from(payload);
        changed[at] = byte;
        const error = refusal(changed);
        // It is as strict as what reads the entry in the end.
        const inTheEnd = errorOf(() => decodeEntryPayload(changed, thisSoftware));
        expect(error === undefined, `${at} ${byte}: ${inTheEnd?.message}`).toBe(inTheEnd === undefined);
        if (error === undefined) continue;
        expect(error.code).toBe(at === 0 && byte > 1 ? 'FORMAT' : 'PROTOCOL');
      }
    }
  });

  it('of commands of any positions is refused, or can be decoded', () => {
    const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, 1, 2, 3, 2 ** 53 - 1, 2 ** 53, -1));
    const binary = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.constantFrom(4_096, 4_097, 4_098, 1_048_576, 1_048_577).map((length) => new Uint8Array(length)),
    );
    const pair = fc.tuple(fc.oneof(fc.constant(1), number, binary), fc.oneof(number, fc.constant([])));
    const any = fc.oneof(number, binary, pair, fc.constantFrom(null, true, 'text', [], [1, 2, 3]));
    const good = [binary, fc.nat(), fc.integer({ min: 1 }), fc.nat(), fc.constantFrom(1, 2, 3, 4)] as const;
    const fields = fc.array(fc.oneof(binary, pair, fc.constant(null), any), { maxLength: 3 });
    const shaped = fc
      .tuple(fc.tuple(fc.constant(1), ...good), fields)
      .map(([stamp, rest]) => [...stamp, ...rest]);
    const positions = fc.oneof(fc.array(any, { maxLength: 10 }), shaped, shaped);
    let taken = 0;
    fc.assert(
      fc.property(positions, fc.option(fc.tuple(fc.nat(8), any)), (given, change) => {
        const list = given as WireValue[];
        if (change !== null && change[0] < list.length) list[change[0]] = change[1] as WireValue;
        // Whether a raise names the level of its entry is for the check alone.
        fc.pre(list[0] !== 3);
        const bytes = packValue(list);
        fc.pre(bytes.length <= commandBytesMax);
        const payload = entryOf(bytes);
        const inTheEnd = errorOf(() => decodeEntryPayload(payload, thisSoftware));
        expect(refusal(payload) === undefined, inTheEnd?.message).toBe(inTheEnd === undefined);
        if (inTheEnd === undefined) taken++;
      }),
      { ...runs, numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(10);
  });

  it('of any bytes is refused, or can be decoded', () => {
    const base = entryOf(put, expire, close);
    const edits = fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), edits), (given) => {
        const payload = given instanceof Uint8Array ? given : Buffer.from(base);
        if (!(given instanceof Uint8Array)) for (const [at, byte] of given) payload[at] = byte;
        const inTheEnd = errorOf(() => decodeEntryPayload(payload, thisSoftware));
        if (refusal(payload) === undefined) expect(inTheEnd).toBeUndefined();
      }),
      { ...runs, numRuns: 2_000 },
    );
  });

  it.each<[string, WireValue, RegExp]>([
    ['that is no array', 1, /no array of positions/],
    ['without positions', [], /no array of positions/],
    ['of an unknown kind', [9], /no known kind/],
    ['of no kind', [null], /no known kind/],
    ['of a negative kind', [-1], /no known kind/],
    ['with an array for its kind', [[1]], /no known kind/],
    ['of an unknown operation', [1, null, 1, 1, 1, 9], /no known kind/],
    ['with an array in its session', [1, [], 1, 1, 1, 4], /no known kind/],
    ['of a client without an operation', [1, null, 1, 1, 1], /no known kind/],
    ['that is too long', [2, 1], /expireTables has 2 positions, not 1/],
    ['that is too short', [1, null, 1, 1, 1, 1, null], /put has 7 positions, not 9/],
    ['with arrays too deep', [2, [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]], /nested deeper/],
  ])('with a command %s is refused, naming the place', (_name, positions, words) => {
    const error = refusal(entryOf(expire, packValue(positions)));
    expect(error?.code).toBe('PROTOCOL');
    expect(error?.message).toMatch(words);
    // Behind the header, the first command with its length, and the second's length.
    const start = entryHeaderBytes + 4 + expire.length + 4;
    expect(error?.details['offset']).toBeGreaterThanOrEqual(start);
  });

  it('that claims more commands than it has, or longer ones, is refused', () => {
    const claim = (offset: number, count: number): Uint8Array => {
      const payload = Buffer.from(entryOf(expire, expire));
      payload.writeUInt32LE(count, offset);
      return payload;
    };
    expect(refusal(claim(17, 3))?.message).toContain('the end comes before command 2');
    expect(refusal(claim(17, 0xffff_ffff))?.message).toContain('4294967295 commands are over the limit');
    expect(refusal(claim(21, 0xffff_ffff))?.message).toContain('over the limit');
    expect(refusal(claim(27, 3))?.message).toContain('the end comes inside command 1');
  });
});

describe('a format level', () => {
  const range = encodeCommand({
    kind: 'client',
    session,
    operation: { kind: 'deleteRange', start: '', end: undefined },
  });

  it('above what the software reads is FORMAT, whatever the commands are', () => {
    const payload = encodeEntryPayload(times, 2, [expire]);
    expect(refusal(payload, older)).toMatchObject({
      code: 'FORMAT',
      details: { formatLevel: 2, formatLevelMax: 1 },
    });
    expect(refusal(payload, newer)).toBeUndefined();
    expect(refusal(encodeEntryPayload(times, 2, [Uint8Array.of(0xc1)]), older)?.code).toBe('FORMAT');
  });

  it('of a command must be within that of its entry', () => {
    expect(refusal(encodeEntryPayload(times, 2, [put, range]), newer)).toBeUndefined();
    const below = refusal(encodeEntryPayload(times, 1, [put, range]), newer);
    expect(below?.code).toBe('PROTOCOL');
    expect(below?.message).toContain('deleteRange belongs to format level 2, its entry to 1');
    expect(refusal(encodeEntryPayload(times, 1, [put, range]), older)).toMatchObject({ code: 'FORMAT' });
    expect(refusal(encodeEntryPayload(times, 1, [put, range]))).toBeUndefined();
  });

  it('is raised by an entry of the new level', () => {
    const raise: Command = { kind: 'raiseFormat', level: 2 };
    const payload = encodeEntryPayload(times, 2, [encodeCommand(raise)]);
    expect(refusal(payload, newer)).toBeUndefined();
    expect(refusal(payload, older)?.code).toBe('FORMAT');
    expect(unpackArray(encodeCommand(raise))).toEqual([3, 2]);
    const other = refusal(encodeEntryPayload(times, 1, [encodeCommand(raise)]), newer);
    expect(other?.code).toBe('PROTOCOL');
    expect(other?.message).toContain('raiseFormat names another level than its entry');
  });
});

/** A binary that fills a command of `length` bytes. */
function packOfBytes(length: number): Uint8Array {
  return packValue(new Uint8Array(length - 5));
}
