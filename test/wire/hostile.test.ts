// Bytes that no honest sender makes: whatever they are, a decoder throws PROTOCOL or gives frames in which
// every position has its type. It never throws anything else, and never takes long.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeClientFrames, encodeClientFrames } from '../../src/wire/clients/request-codec.js';
import { packValue, unpackArray } from '../../src/wire/codec.js';
import type { WireValue } from '../../src/wire/values.js';
import { decodePeerFrames, encodePeerFrames } from '../../src/wire/peers/codec.js';
import { wireLimits } from '../../src/wire/limits.js';
import { decodeServerFrames, encodeServerFrames } from '../../src/wire/clients/answer-codec.js';
import { processorMs } from '../waiting.js';
import { agreedProtocol, ownVersions, type ProtocolRange } from '../../src/wire/versions.js';
import { clientFrame, errorOf, oddValues, peerFrame, plain, serverFrame } from './arbitraries.js';

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

/** Of all three protocols. */
const helloNumber = 1;

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

  it('of another length or number are refused, but for a hello with further positions', () => {
    fc.assert(
      fc.property(protocol.message, fc.constantFrom(-1, 1), (message, change) => {
        const frames = unpackArray(message).map((frame) => {
          const positions = frame as WireValue[];
          if (change < 0) return positions.slice(0, -1);
          return positions[0] === helloNumber ? positions : [...positions, null];
        });
        const isHello = (frame: WireValue[]): boolean => change > 0 && frame[0] === helloNumber;
        const refused = frames.findIndex((frame) => !isHello(frame));
        const error = errorOf(() => protocol.decode(packValue(frames)));
        if (refused < 0) expect(error).toBeUndefined();
        else expect(error?.message).toMatch(new RegExp(`frame ${refused}: .* must have .*\\d+ positions`));
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

describe('a hello', () => {
  const text = new Uint8Array(3);
  const hellos = [
    { name: 'peer', decode: decodePeerFrames, frames: fc.sample(peerFrame, { numRuns: 500, seed: 1 }) },
    { name: 'client', decode: decodeClientFrames, frames: fc.sample(clientFrame, { numRuns: 500, seed: 1 }) },
    { name: 'server', decode: decodeServerFrames, frames: fc.sample(serverFrame, { numRuns: 500, seed: 1 }) },
  ].map(({ name, decode, frames }) => {
    const hello = frames.find((frame) => frame.kind === 'hello');
    assert(hello !== undefined, `no hello among the ${name} frames`);
    const encode = { peer: encodePeerFrames, client: encodeClientFrames, server: encodeServerFrames }[name];
    const known: unknown = { ...hello, ...ownVersions };
    const positions = unpackArray(encode?.([known as never]) ?? text)[0] as WireValue[];
    return { name, decode, hello: known, positions };
  });

  it.each(hellos)('of a $name may end with positions of a newer version', ({ decode, hello, positions }) => {
    for (const tail of [[null], [7, 'x', [1, 2]], [text]] as WireValue[][]) {
      expect(plain(decode(packValue([[...positions, ...tail]])))).toEqual([plain(hello)]);
    }
  });

  it.each(hellos)('of a $name with a field of a wrong type names it', ({ decode, positions }) => {
    for (let at = 1; at < positions.length; at++) {
      const wrong = positions.map((value, position) => (position === at ? -0.5 : value));
      const error = errorOf(() => decode(packValue([wrong])));
      expect(error?.code).toBe('PROTOCOL');
      expect(error?.message).toMatch(new RegExp(`frame 0: position ${at} \\(\\w+\\) must be`));
    }
  });

  it.each(hellos)('of a $name in versions that do not meet says which, whatever follows', ({ decode }) => {
    const { protocolMin, protocolMax } = ownVersions;
    const own = `this one ${protocolMin} .. ${protocolMax}`;
    const newer = packValue([[1, protocolMax + 1, protocolMax + 4, 9, text]]);
    expect(errorOf(() => decode(newer))).toMatchObject({
      code: 'PROTOCOL',
      message:
        'malformed message: frame 0: the other side speaks protocol versions 4 .. 7, ' +
        `${own}; upgrade this one`,
    });
    const older = packValue([[1, 1, 2, 0, text, 'more']]);
    expect(errorOf(() => decode(older))?.message).toContain(
      `the other side speaks protocol versions 1 .. 2, ${own}; upgrade the other side`,
    );
    expect(errorOf(() => decode(packValue([[1, 5, 4, 1]])))?.message).toContain('(protocolMax) must be');
  });

  it('is agreed on in the highest version that both know', () => {
    const range = (protocolMin: number, protocolMax: number): ProtocolRange => ({ protocolMin, protocolMax });
    expect(agreedProtocol(range(3, 3), range(3, 3))).toBe(3);
    expect(agreedProtocol(range(3, 5), range(1, 4))).toBe(4);
    expect(agreedProtocol(range(3, 5), range(5, 9))).toBe(5);
    expect(agreedProtocol(range(1, 9), range(2, 4))).toBe(4);
    const apart = errorOf(() => agreedProtocol(range(3, 5), range(6, 9), 'node n1', 'the client'));
    expect(apart).toMatchObject({
      code: 'PROTOCOL',
      message: 'the client speaks protocol versions 6 .. 9, node n1 3 .. 5; upgrade node n1',
    });
  });
});

describe('frames of streams', () => {
  const openStream: WireValue[] = [9, 1, 'test', new Uint8Array(2), 100];
  const streamCredit: WireValue[] = [10, 1, 100];
  const { streamCreditBytesMax, streamArgumentBytesMax, streamPayloadBytesMax } = wireLimits;

  it.each([
    ['no topic', openStream, 2, '', 'topic'],
    ['a long topic', openStream, 2, 'x'.repeat(65), 'topic'],
    ['a topic that is no text', openStream, 2, 'a\nb', 'topic'],
    ['a large argument', openStream, 3, new Uint8Array(streamArgumentBytesMax + 1), 'argument'],
    ['no credit', openStream, 4, 0, 'creditBytes'],
    ['a credit below 0', openStream, 4, -1, 'creditBytes'],
    ['too much credit', openStream, 4, streamCreditBytesMax + 1, 'creditBytes'],
    ['none to add', streamCredit, 2, 0, 'bytes'],
    ['too much to add', streamCredit, 2, streamCreditBytesMax + 1, 'bytes'],
  ] as const)('with %s are refused', (_name, frame, at, value, field) => {
    expect(decodeClientFrames(packValue([frame]))).toHaveLength(1);
    const changed = frame.map((old, position) => (position === at ? value : old));
    const error = errorOf(() => decodeClientFrames(packValue([changed])));
    expect(error).toMatchObject({ code: 'PROTOCOL', details: { position: at, field } });
  });

  it('begin to count at 1, and the largest payload is receivable', () => {
    const first = packValue([[10, 1, 0, new Uint8Array(1)]]);
    expect(errorOf(() => decodeServerFrames(first))?.message).toContain('(sequence) must be an integer 1 ..');
    const payload = new Uint8Array(streamPayloadBytesMax);
    const frame = { kind: 'streamData', requestId: 2 ** 53 - 1, sequence: 2 ** 53 - 1, payload } as const;
    expect(decodeServerFrames(encodeServerFrames([frame]))).toHaveLength(1);
    const over = packValue([[10, 1, 1, new Uint8Array(streamPayloadBytesMax + 1)]]);
    expect(errorOf(() => decodeServerFrames(over))?.message).toContain('(payload) must be');
  });

  it('with a long message of their end are cut to what receivers take', () => {
    const message = 'é'.repeat(100_000);
    const end = encodeServerFrames([{ kind: 'streamEnd', requestId: 1, code: 'NO_SPACE', message }]);
    expect(decodeServerFrames(end)[0]).toMatchObject({ message: 'é'.repeat(1_024) });
  });
});
