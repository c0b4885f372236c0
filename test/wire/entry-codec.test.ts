// Payloads of entries: on disk for as long as the log is, so their bytes are fixed, and damage never passes
// as content.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AssertionError } from '../../src/base/assert.js';
import type { Command } from '../../src/kv/commands.js';
import { thisSoftware } from '../../src/kv/format-level.js';
import { packValue } from '../../src/wire/codec.js';
import { commandBytesMax } from '../../src/wire/limits.js';
import { encodeCommand } from '../../src/wire/commands/command-codec.js';
import {
  decodeEntryPayload,
  decodeEntryTimes,
  decodeFormation,
  encodeEntryPayload,
  encodeFormation,
  type EntryContent,
  type Formation,
} from '../../src/wire/commands/entry-codec.js';
import { entryLimits } from '../../src/wire/limits.js';
import { command, errorOf, plain, runs, uint } from './arbitraries.js';

const times = { clusterTimeMs: 1_000, wallTimeMs: 1_700_000_000_000 };
const expire = encodeCommand({ kind: 'expireTables' });
const decode = (payload: Uint8Array): EntryContent => decodeEntryPayload(payload, thisSoftware);

describe('entry payloads', () => {
  it('round trip', () => {
    const entry = fc.tuple(
      fc.record({ clusterTimeMs: uint, wallTimeMs: uint }),
      fc.array(command, { maxLength: 5 }),
    );
    fc.assert(
      fc.property(entry, ([stamp, commands]) => {
        fc.pre(commands.every((item) => encodeCommand(item).length < 50_000));
        const payload = encodeEntryPayload(stamp, 1, commands.map(encodeCommand));
        expect(plain(decode(payload))).toEqual(plain({ level: 1, times: stamp, commands }));
        expect(decodeEntryTimes(payload)).toEqual(stamp);
      }),
      runs,
    );
  });

  it('have the bytes of format 1 for ever', () => {
    expect(Buffer.from(encodeEntryPayload(times, 1, [expire, expire])).toString('hex')).toBe(
      '01' + '0000000000408f40' + '00008056febc7842' + '02000000' + '020000009102' + '020000009102',
    );
  });

  it('hold the bytes of commands as they came', () => {
    // The same command with its integers wider than needed: another encoder's bytes.
    const wide = Uint8Array.of(0x91, 0xcd, 0, 2);
    const payload = encodeEntryPayload(times, 1, [wide]);
    expect(Buffer.from(payload).includes(Buffer.from(wide))).toBe(true);
    expect(decode(payload).commands).toEqual([{ kind: 'expireTables' }]);
  });

  it('keep to their limits', () => {
    const many = new Array<Uint8Array>(entryLimits.commandsMax).fill(expire);
    expect(decode(encodeEntryPayload(times, 1, many)).commands).toHaveLength(1_024);
    expect(() => encodeEntryPayload(times, 1, [...many, expire])).toThrow(AssertionError);
    const half = new Uint8Array(entryLimits.bytesMax / 2);
    expect(encodeEntryPayload(times, 1, [half, half]).length).toBeGreaterThan(entryLimits.bytesMax);
    expect(() => encodeEntryPayload(times, 1, [half, half, expire])).toThrow(AssertionError);
    expect(encodeEntryPayload(times, 1, [new Uint8Array(commandBytesMax)]).length).toBe(
      entryLimits.payloadBytesMax,
    );
    expect(() => encodeEntryPayload(times, 1, [new Uint8Array(commandBytesMax + 1)])).toThrow(AssertionError);
  });

  it('do not take times that the decoder refuses', () => {
    for (const time of [-1, 1.5, 2 ** 53, NaN, -0]) {
      expect(() => encodeEntryPayload({ clusterTimeMs: time, wallTimeMs: 1 }, 1, [expire])).toThrow(
        AssertionError,
      );
      expect(() => encodeEntryPayload({ clusterTimeMs: 1, wallTimeMs: time }, 1, [expire])).toThrow(
        AssertionError,
      );
      for (const offset of [1, 9]) {
        const payload = Buffer.from(encodeEntryPayload(times, 1, [expire]));
        payload.writeDoubleLE(time, offset);
        expect(errorOf(() => decode(payload))).toMatchObject({
          code: 'CORRUPT',
          details: { offset },
        });
      }
    }
  });

  it('of a higher format level are refused with advice, and are no damage', () => {
    for (const level of [2, 255]) {
      const payload = encodeEntryPayload(times, level, [expire]);
      const error = errorOf(() => decode(payload));
      expect(error).toMatchObject({ code: 'FORMAT', details: { formatLevel: level, formatLevelMax: 1 } });
      expect(error?.message).toContain('upgrade this node');
      // The header of all levels is the same, and newer software reads the rest.
      expect(decodeEntryTimes(payload)).toEqual(times);
      expect(decodeEntryPayload(payload, { formatLevelMax: level })).toMatchObject({ level, times });
      if (level > 2)
        expect(errorOf(() => decodeEntryPayload(payload, { formatLevelMax: level - 1 }))?.code).toBe(
          'FORMAT',
        );
    }
  });

  it('have a format level of 1 .. 255', () => {
    for (const level of [0, 256, -1, 1.5, NaN]) {
      expect(() => encodeEntryPayload(times, level, [expire])).toThrow(AssertionError);
    }
    const payload = Buffer.from(encodeEntryPayload(times, 1, [expire]));
    payload[0] = 0;
    for (const read of [decode, decodeEntryTimes]) {
      expect(errorOf(() => read(payload))).toMatchObject({ code: 'CORRUPT', details: { offset: 0 } });
    }
  });

  it('that are damaged are CORRUPT or still commands, never another error', () => {
    const commands: Command[] = [
      { kind: 'expireTables' },
      {
        kind: 'client',
        session: { sessionId: 's'.repeat(16), createdClusterTimeMs: 1, sequence: 1, acknowledgedThrough: 0 },
        operation: { kind: 'put', key: 'key', value: Uint8Array.of(1, 2, 3) },
      },
    ];
    const payload = encodeEntryPayload(times, 1, commands.map(encodeCommand));
    for (let length = 0; length < payload.length; length++) {
      expect(errorOf(() => decode(payload.subarray(0, length)))?.code).toBe('CORRUPT');
    }
    expect(errorOf(() => decode(Buffer.concat([payload, Uint8Array.of(0)])))?.code).toBe('CORRUPT');
    for (let at = 0; at < payload.length; at++) {
      for (let byte = 0; byte < 256; byte += 5) {
        const damaged = Buffer.from(payload);
        damaged[at] = byte;
        const error = errorOf(() => decode(damaged));
        if (error !== undefined) expect(error.code).toBe(at === 0 && byte > 1 ? 'FORMAT' : 'CORRUPT');
      }
    }
    const lie = Buffer.from(payload);
    lie.writeUInt32LE(0xffff_ffff, 17);
    expect(errorOf(() => decode(lie))?.message).toContain('4294967295 commands');
  });
});

describe('formation', () => {
  const formation: Formation = {
    clusterId: 'c'.repeat(32),
    members: ['n1', 'n2', 'n3'].map((nodeId, i) => ({
      nodeId,
      instanceId: String(i).repeat(32),
      address: `127.0.0.1:740${i}`,
    })),
    formatLevel: 3,
  };
  const [member] = formation.members;

  it('round trips', () => {
    expect(decodeFormation(encodeFormation(formation))).toEqual(formation);
  });

  it('that is damaged, empty, ambiguous or newer is CORRUPT', () => {
    const payload = encodeFormation(formation);
    for (let length = 0; length < payload.length; length++) {
      expect(errorOf(() => decodeFormation(payload.subarray(0, length)))?.code).toBe('CORRUPT');
    }
    const twice = encodeFormation({ ...formation, members: member === undefined ? [] : [member, member] });
    expect(errorOf(() => decodeFormation(twice))?.message).toContain('n1 is there twice');
    const none = encodeFormation({ ...formation, members: [] });
    expect(errorOf(() => decodeFormation(none))?.message).toContain('no members');
    const newer = errorOf(() => decodeFormation(packValue([3, 'c1', [], 1])));
    expect(newer).toMatchObject({ code: 'CORRUPT' });
    expect(newer?.message).toContain('upgrade this node');
    const level = errorOf(() => decodeFormation(encodeFormation({ ...formation, formatLevel: 0 })));
    expect(level?.message).toContain('formatLevel');
    expect(errorOf(() => decodeFormation(packValue(['x'])))?.code).toBe('CORRUPT');
    expect(errorOf(() => decodeFormation(packValue([2, 'c1', [1, 2], 1])))?.code).toBe('CORRUPT');
    expect(errorOf(() => decodeFormation(new Uint8Array(70_000)))?.code).toBe('CORRUPT');
  });
});
