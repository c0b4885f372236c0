// Every declared frame: each kind of a union arrives as it was sent, and what is encoded and decoded by hand
// does exactly what its declaration would do, byte for byte and error for error.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serverFrames } from '../../src/wire/clients/answers.js';
import { declaredKeyRecord, keyRecord } from '../../src/wire/clients/key-record.js';
import { clientFrames } from '../../src/wire/clients/requests.js';
import { packValue, unpackArray } from '../../src/wire/codec.js';
import { frame, frameCodec, type Frame, type Kinded } from '../../src/wire/frame.js';
import { count, type Row } from '../../src/wire/fields.js';
import { peerFrames } from '../../src/wire/peers/frames.js';
import { raftFrames } from '../../src/wire/peers/raft-frames.js';
import type { WireValue } from '../../src/wire/values.js';
import {
  clientFrameOf,
  errorOf,
  oddValues,
  peerFrameOf,
  plain,
  raftMessageOf,
  record,
  serverFrameOf,
} from './arbitraries.js';

interface Case {
  readonly name: string;
  readonly declared: Frame<Kinded>;
  readonly arbitrary: fc.Arbitrary<Kinded>;
}

function casesOf(union: string, table: object, arbitraries: object): Case[] {
  const byKind = arbitraries as Readonly<Record<string, fc.Arbitrary<Kinded>>>;
  return Object.entries(table as Readonly<Record<string, Frame<Kinded>>>).map(([kind, declared]) => {
    const arbitrary = byKind[kind];
    if (arbitrary === undefined) throw new Error(`${union} frame ${kind} has no arbitrary`);
    return { name: `${union} ${kind}`, declared, arbitrary };
  });
}

const cases = [
  ...casesOf('client', clientFrames, clientFrameOf),
  ...casesOf('server', serverFrames, serverFrameOf),
  ...casesOf('peer', peerFrames, peerFrameOf),
  ...casesOf('raft', raftFrames, raftMessageOf),
];
const byHand = cases.filter(({ declared }) => declared.declared !== undefined);

/** The positions as they come out of a message. */
const sent = (positions: readonly WireValue[]): unknown[] => [...unpackArray(packValue(positions))];

describe('a declared frame', () => {
  it.each(cases)('$name has its number, its arity, and arrives', ({ declared, arbitrary }) => {
    fc.assert(
      fc.property(arbitrary, (given) => {
        const positions = declared.encode(given);
        expect(positions).toHaveLength(declared.arity);
        expect(positions[0]).toBe(declared.number);
        expect(given.kind).toBe(declared.kind);
        expect(plain(declared.decode(sent(positions)))).toEqual(plain(given));
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['client', [clientFrames]],
    ['server', [serverFrames]],
    ['peer', [peerFrames, raftFrames]],
  ])('of a %s has a number of its own', (_name, tables) => {
    const all = tables.flatMap((table) => Object.values<{ readonly number: number }>(table));
    expect(new Set(all.map(({ number }) => number)).size).toBe(all.length);
  });

  it('with the number of another one is not taken into a table', () => {
    const table = { a: frame(1, 'a', { count }), b: frame(1, 'b', {}) };
    expect(() => frameCodec<{ kind: 'a'; count: number } | { kind: 'b' }>(table)).toThrow(
      'b and a have one number',
    );
  });
});

describe('by hand', () => {
  it('are the frames of every write and read', () => {
    expect(byHand.map(({ name }) => name)).toEqual([
      'client write',
      'client get',
      'server written',
      'server got',
      'raft appendEntries',
      'raft appendEntriesResult',
      'raft heartbeat',
      'raft heartbeatResult',
      'raft readIndex',
      'raft readIndexResult',
    ]);
  });

  it.each(byHand)('$name has the bytes and the values of its declaration', ({ declared, arbitrary }) => {
    const { declared: byDeclaration = declared } = declared;
    fc.assert(
      fc.property(arbitrary, (given) => {
        const bytes = packValue(declared.encode(given));
        expect(Buffer.from(bytes).equals(packValue(byDeclaration.encode(given)))).toBe(true);
        expect(plain(declared.decode(unpackArray(bytes)))).toEqual(
          plain(byDeclaration.decode(unpackArray(bytes))),
        );
      }),
      { numRuns: 200 },
    );
  });

  it.each(byHand)('$name refuses what its declaration refuses', ({ declared, arbitrary }) => {
    const { declared: byDeclaration = declared } = declared;
    fc.assert(
      fc.property(arbitrary, fc.nat(), fc.constantFrom(...oddValues), (given, at, odd) => {
        const positions = sent(declared.encode(given));
        positions[1 + (at % (positions.length - 1))] = odd;
        const [hand, declaration] = [declared, byDeclaration].map(({ decode }) =>
          errorOf(() => decode(positions)),
        );
        expect(hand?.code).toBe(declaration?.code);
        expect(hand?.message).toBe(declaration?.message);
        for (const other of [positions.slice(0, -1), [...positions, null]]) {
          expect(errorOf(() => declared.decode(other))?.message).toContain(
            `${declared.kind} must have ${declared.arity} positions`,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('the record of a key is what it is declared as', () => {
    const pushed = (
      row: Row<Parameters<typeof keyRecord.push>[1]>,
      given: typeof record extends fc.Arbitrary<infer R> ? R : never,
    ) => {
      const into: WireValue[] = [];
      row.push(into, given);
      return into;
    };
    fc.assert(
      fc.property(record, fc.nat(), fc.constantFrom(...oddValues), (given, at, odd) => {
        const positions = pushed(keyRecord, given);
        expect(plain(positions)).toEqual(plain(pushed(declaredKeyRecord, given)));
        expect(plain(keyRecord.read(positions, 0))).toEqual(plain(declaredKeyRecord.read(positions, 0)));
        positions[at % positions.length] = odd;
        const [hand, declaration] = [keyRecord, declaredKeyRecord].map((row) =>
          errorOf(() => row.read(positions, 0)),
        );
        expect(hand?.message).toBe(declaration?.message);
      }),
      { numRuns: 300 },
    );
  });
});
