// The bytes of commands: they live in the log for ever, and are checked once, where they come in.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import { kvLimits, type ClientOperation, type Command } from '../../src/kv/commands.js';
import { packValue, unpackArray } from '../../src/wire/codec.js';
import type { WireValue } from '../../src/wire/values.js';
import { commandBytesMax } from '../../src/wire/limits.js';
import { decodeClientCommand, decodeCommand, encodeCommand } from '../../src/wire/commands/command-codec.js';
import { clientCommand, command, errorOf, plain, runs } from './arbitraries.js';

const session = {
  sessionId: '\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff',
  createdClusterTimeMs: 5_000_000_000,
  sequence: 3,
  acknowledgedThrough: 2,
};
const of = (operation: ClientOperation): Command => ({ kind: 'client', session, operation });
const refusal = (operation: ClientOperation) => errorOf(() => decodeCommand(encodeCommand(of(operation))));
const value = Uint8Array.of(1);

describe('commands', () => {
  it('round trip', () => {
    fc.assert(
      fc.property(command, (original) => {
        expect(plain(decodeCommand(encodeCommand(original)))).toEqual(plain(original));
      }),
      runs,
    );
  });

  it('have the bytes of format 1 for ever', () => {
    const bytes = (item: Command) => Buffer.from(encodeCommand(item)).toString('hex');
    const start = '01c410000102030405060708090a0b0c0d0e' + 'ff' + 'cb41f2a05f20000000' + '0302';
    const condition = { kind: 'modRevision', revision: 300 } as const;
    expect(bytes(of({ kind: 'put', key: 'a', value }))).toBe(`99${start}01c40161c40101c0`);
    expect(bytes(of({ kind: 'put', key: 'a', value, condition }))).toBe(`99${start}01c40161c401019201cd012c`);
    expect(bytes(of({ kind: 'delete', key: 'a' }))).toBe(`98${start}02c40161c0`);
    expect(bytes(of({ kind: 'deleteRange', start: '', end: undefined }))).toBe(`98${start}03c400c0`);
    expect(bytes(of({ kind: 'deleteRange', start: 'a', end: 'b' }))).toBe(`98${start}03c40161c40162`);
    expect(bytes(of({ kind: 'closeSession' }))).toBe(`96${start}04`);
    expect(bytes({ kind: 'expireTables' })).toBe('9102');
    expect(bytes({ kind: 'raiseFormat', level: 2 })).toBe('920302');
  });

  it('take the longest key and value, and no more', () => {
    const key = '\xff'.repeat(kvLimits.keyBytesMax);
    const longest = of({
      kind: 'put',
      key,
      value: new Uint8Array(kvLimits.valueBytesMax),
      condition: { kind: 'modRevision', revision: 2 ** 53 - 1 },
    });
    const bytes = encodeCommand(longest);
    expect(bytes.length).toBeLessThanOrEqual(commandBytesMax);
    expect(plain(decodeCommand(bytes))).toEqual(plain(longest));

    const key1 = refusal({ kind: 'put', key: key + 'x', value });
    expect(key1).toMatchObject({ code: 'TOO_LARGE', details: { bytes: 4_097, bytesMax: 4_096 } });
    expect(key1?.message).toContain('the key has 4097 bytes, over the limit of 4096');
    expect(refusal({ kind: 'delete', key: key + 'x' })?.code).toBe('TOO_LARGE');
    const value1 = refusal({ kind: 'put', key: 'k', value: new Uint8Array(kvLimits.valueBytesMax + 1) });
    expect(value1?.message).toContain('the value has 1048577 bytes, over the limit of 1048576');
    const value2 = refusal({ kind: 'put', key: 'k', value: new Uint8Array(3_000_000) });
    expect(value2).toMatchObject({ code: 'TOO_LARGE' });
    // Just after the longest key is a bound that paging needs.
    expect(refusal({ kind: 'deleteRange', start: key + '\0', end: key + '\0' })).toBeUndefined();
    expect(refusal({ kind: 'deleteRange', start: key + '\0\0', end: undefined })?.message).toContain('start');
    expect(refusal({ kind: 'deleteRange', start: '', end: key + '\0\0' })?.message).toContain('end');
  });

  it('tell the user what is wrong with his arguments', () => {
    expect(refusal({ kind: 'put', key: '', value })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(refusal({ kind: 'delete', key: '' })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    for (const revision of [-1, 1.5, 2 ** 53, NaN]) {
      const condition = { kind: 'modRevision', revision } as const;
      const error = refusal({ kind: 'put', key: 'k', value, condition });
      expect(error?.code).toBe('INVALID_ARGUMENT');
      expect(error?.message).toContain('revision of a condition');
    }
  });

  it('from a client are not those of a leader', () => {
    const error = errorOf(() => decodeClientCommand(encodeCommand({ kind: 'expireTables' })));
    expect(error?.code).toBe('PROTOCOL');
    expect(error?.message).toContain('expireTables');
    fc.assert(
      fc.property(clientCommand, (original) => {
        expect(decodeClientCommand(encodeCommand(original)).kind).toBe('client');
      }),
      { numRuns: 30 },
    );
  });

  it('that are malformed are refused, whatever is at any position', () => {
    const allowed = new Set(['PROTOCOL', 'INVALID_ARGUMENT', 'TOO_LARGE']);
    const odd = fc.constantFrom<WireValue>(
      null,
      true,
      -1,
      0.5,
      2 ** 53,
      NaN,
      'x',
      new Uint8Array(15),
      [],
      [1],
      [[]],
    );
    fc.assert(
      fc.property(command, fc.nat(), odd, (original, at, replacement) => {
        const positions = [...unpackArray(encodeCommand(original))] as WireValue[];
        positions[at % positions.length] = replacement;
        const bytes = packValue(positions);
        let decoded: Command | undefined;
        const error = errorOf(() => (decoded = decodeCommand(bytes)));
        if (error !== undefined) expect(allowed).toContain(error.code);
        else if (decoded !== undefined)
          expect(plain(decodeCommand(encodeCommand(decoded)))).toEqual(plain(decoded));
        expect(KvorumError.is(errorOf(() => decodeCommand(packValue([...positions, 1]))))).toBe(true);
        expect(KvorumError.is(errorOf(() => decodeCommand(packValue(positions.slice(0, -1)))))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
    for (const bytes of [
      new Uint8Array(),
      Uint8Array.of(0xc1),
      Uint8Array.of(0x90),
      Uint8Array.of(0x91, 9),
    ]) {
      expect(errorOf(() => decodeCommand(bytes))?.code).toBe('PROTOCOL');
    }
  });
});
