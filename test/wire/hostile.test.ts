// Bytes that no honest sender makes: whatever they are, a decoder throws PROTOCOL or gives frames in which
// every position has its type. It never throws anything else, and never takes long.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeClientFrames, encodeClientFrames } from '../../src/wire/clients/request-codec.js';
import { packValue, unpackArray, type WireValue } from '../../src/wire/codec.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peers/codec.js';
import { wireLimits } from '../../src/wire/protocol.js';
import { decodeServerFrames, encodeServerFrames } from '../../src/wire/clients/answer-codec.js';
import { processorMs } from '../waiting.js';
import { clientFrame, errorOf, peerFrame, plain, serverFrame } from './arbitraries.js';

interface Protocol {
  readonly name: string;
  readonly message: fc.Arbitrary<Uint8Array>;
  readonly decode: (bytes: Uint8Array) => unknown[];
  readonly reencode: (frames: never[]) => Uint8Array;
}

const protocols: Protocol[] = [
  {
    name: 'peer',
    message: fc.array(peerFrame, { minLength: 1, maxLength: 3 }).map(encodePeerFrames),
    decode: decodePeerFrames,
    reencode: encodePeerFrames,
  },
  {
    name: 'client',
    message: fc.array(clientFrame, { minLength: 1, maxLength: 3 }).map(encodeClientFrames),
    decode: decodeClientFrames,
    reencode: encodeClientFrames,
  },
  {
    name: 'server',
    message: fc.array(serverFrame, { minLength: 1, maxLength: 3 }).map(encodeServerFrames),
    decode: decodeServerFrames,
    reencode: encodeServerFrames,
  },
];

/** Refused with PROTOCOL, or decoded to frames that are valid: they survive another round. */
function checkHarmless(protocol: Protocol, bytes: Uint8Array): void {
  let frames: unknown[] = [];
  const error = errorOf(() => (frames = protocol.decode(bytes)));
  if (error === undefined) {
    expect(plain(protocol.decode(protocol.reencode(frames as never[])))).toEqual(plain(frames));
  } else {
    expect(error.code).toBe('PROTOCOL');
    expect(error.message.length).toBeLessThan(300);
  }
}

const oddValues: WireValue[] = [
  null,
  true,
  -1,
  0.5,
  2 ** 53,
  NaN,
  Infinity,
  -(2 ** 53),
  '',
  'x',
  'ü',
  'a\nb',
  'z'.repeat(5_000),
  new Uint8Array(0),
  new Uint8Array(5_000),
  [],
  [[]],
  [1, 2, 3],
  ['n1'],
];

describe.each(protocols)('$name frames', (protocol) => {
  it('cut short anywhere are refused', () => {
    fc.assert(
      fc.property(protocol.message, fc.nat(), (message, at) => {
        const cuts = message.length < 400 ? message.keys() : [at % message.length];
        for (const length of cuts) {
          expect(errorOf(() => protocol.decode(message.subarray(0, length)))?.code).toBe('PROTOCOL');
        }
      }),
      { numRuns: 60 },
    );
  });

  it('with any bytes changed are harmless', () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(protocol.message, changes, (message, list) => {
        const changed = Uint8Array.from(message);
        for (const [at, byte] of list) changed[at % Math.min(changed.length, 300)] = byte;
        checkHarmless(protocol, changed);
      }),
      { numRuns: 1_500 },
    );
  });

  it('with an odd value at any position are harmless, and an error names frame and position', () => {
    fc.assert(
      fc.property(
        protocol.message,
        fc.nat(),
        fc.nat(),
        fc.constantFrom(...oddValues),
        (message, f, p, odd) => {
          const frames = unpackArray(message).map((frame) => [...(frame as WireValue[])]);
          const at = f % frames.length;
          const frame = frames[at] ?? [];
          frame[p % frame.length] = odd;
          const changed = packValue(frames);
          checkHarmless(protocol, changed);
          const error = errorOf(() => protocol.decode(changed));
          if (error !== undefined) {
            expect(error.message).toContain(`frame ${at}`);
            expect(error.details['frame']).toBe(at);
          }
        },
      ),
      { numRuns: 1_500 },
    );
  });

  it('with an odd value inside a list of a frame are harmless', () => {
    fc.assert(
      fc.property(protocol.message, fc.nat(), fc.constantFrom(...oddValues), (message, p, odd) => {
        const frames = unpackArray(message).map((frame) =>
          (frame as WireValue[]).map((value) => {
            if (!Array.isArray(value) || value.length === 0) return value;
            const list = [...(value as WireValue[])];
            list[p % list.length] = odd;
            return list;
          }),
        );
        checkHarmless(protocol, packValue(frames));
      }),
      { numRuns: 800 },
    );
  });

  it('of another length or number are refused', () => {
    fc.assert(
      fc.property(protocol.message, fc.constantFrom(-1, 1), (message, change) => {
        const frames = unpackArray(message).map((frame) => {
          const positions = frame as WireValue[];
          return change < 0 ? positions.slice(0, -1) : [...positions, null];
        });
        const error = errorOf(() => protocol.decode(packValue(frames)));
        expect(error?.message).toMatch(/frame 0: (.* must have \d+ positions|.*protocol version)/);
      }),
      { numRuns: 200 },
    );
    for (const number of [0, 99, 2 ** 40, null, 'x', [1]] as WireValue[]) {
      const error = errorOf(() => protocol.decode(packValue([[number, 1, 2, 3]])));
      expect(error?.message).toContain(`frame 0: position 0 is not the number of a ${protocol.name} frame`);
    }
  });

  it('that are no array of arrays are refused', () => {
    for (const value of [1, 'text', null, [1], ['text'], [null], [new Uint8Array(1)]] as WireValue[]) {
      expect(errorOf(() => protocol.decode(packValue(value)))?.message).toContain('expected an array');
    }
    expect(errorOf(() => protocol.decode(new Uint8Array()))?.code).toBe('PROTOCOL');
  });

  it('random bytes are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => checkHarmless(protocol, bytes)),
      { numRuns: 1_000 },
    );
  });

  it('made to be costly are refused in bounded time and memory', () => {
    const limit = wireLimits.messageBytesMax;
    const filled = (byte: number) => new Uint8Array(limit).fill(byte);
    const rows = new Uint8Array(limit);
    // Arrays of 65,535 inside each other, and side by side.
    for (let i = 0; i + 3 <= limit; i += 3) rows.set([0xdc, 0xff, 0xff], i);
    const wide = Uint8Array.from([0xdd, 0, 3, 0x0d, 0x40, ...new Array<number>(200_000).fill(0x90)]);
    const lie = Uint8Array.from([0xdd, 0x7f, 0xff, 0xff, 0xff, 0x90]);
    const heapBefore = process.memoryUsage().heapUsed;
    const spentMs = processorMs(() => {
      for (const bytes of [filled(0x91), filled(0x9f), filled(0xdd), filled(0xc6), rows, wide, lie]) {
        for (let i = 0; i < 20; i++) expect(errorOf(() => protocol.decode(bytes))?.code).toBe('PROTOCOL');
      }
    });
    // 140 messages of up to 4 MiB take milliseconds; unpacking any of them would take minutes or all memory.
    expect(spentMs).toBeLessThan(20_000);
    expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(200_000_000);
  });
});

describe('a hello of another version', () => {
  it('says which versions meet', () => {
    const hello = packValue([[1, 3, 'c1', 'more', 'positions']]);
    expect(errorOf(() => decodeClientFrames(hello))?.message).toContain(
      'speaks protocol version 3, this one 2',
    );
    expect(errorOf(() => decodePeerFrames(hello))?.message).toContain(
      'speaks protocol version 3, this one 2',
    );
    expect(errorOf(() => decodeServerFrames(hello))?.message).toContain(
      'speaks protocol version 3, this one 2',
    );
  });
});
