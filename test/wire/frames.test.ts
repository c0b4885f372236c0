// Frames of all three protocols: what is packed is what arrives, and messages keep to the limits of
// receivers.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeyRecord } from '../../src/kv/commands.js';
import { kvLimits } from '../../src/kv/commands.js';
import { raftSettings } from '../../src/raft/config.js';
import { decodeClientFrames, encodeClientFrames } from '../../src/wire/clients/request-codec.js';
import { decodePeerFrames, encodePeerFrames, encodePeerMessages } from '../../src/wire/peers/codec.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import type { PeerFrame } from '../../src/wire/peers/frames.js';
import type { ServerFrame } from '../../src/wire/clients/answers.js';
import {
  decodeServerFrames,
  encodeServerFrames,
  encodeServerMessages,
} from '../../src/wire/clients/answer-codec.js';
import { entryLimits } from '../../src/wire/limits.js';
import { clientFrame, errorOf, peerFrame, plain, runs, serverFrame } from './arbitraries.js';

const { messageBytesMax, messageBytesTarget, elementsMax, pageRecordsMax } = wireLimits;

const record = (key: string, valueBytes: number): KeyRecord => ({
  key,
  value: new Uint8Array(valueBytes),
  createRevision: 2 ** 53 - 1,
  modRevision: 2 ** 53 - 1,
  version: 2 ** 53 - 1,
  leaseId: 2 ** 53 - 1,
});

/** An AppendEntries whose every number is as large as it can be. */
function append(entries: number, payloadBytes: number): PeerFrame {
  const prevLogIndex = 2 ** 40;
  return {
    kind: 'raft',
    message: {
      kind: 'appendEntries',
      from: 'n'.repeat(64),
      to: 'n'.repeat(64),
      term: 2 ** 53 - 1,
      prevLogIndex,
      prevLogTerm: 2 ** 53 - 1,
      leaderCommit: 2 ** 53 - 1,
      entries: Array.from({ length: entries }, (_, i) => ({
        index: prevLogIndex + 1 + i,
        term: 2 ** 53 - 1,
        kind: 'command',
        payload: new Uint8Array(payloadBytes),
      })),
    },
  };
}

describe('round trips', () => {
  it('of peer frames', () => {
    fc.assert(
      fc.property(fc.array(peerFrame, { maxLength: 6 }), (frames) => {
        expect(plain(decodePeerFrames(encodePeerFrames(frames)))).toEqual(plain(frames));
      }),
      runs,
    );
  });

  it('of client frames', () => {
    fc.assert(
      fc.property(fc.array(clientFrame, { maxLength: 6 }), (frames) => {
        expect(plain(decodeClientFrames(encodeClientFrames(frames)))).toEqual(plain(frames));
      }),
      runs,
    );
  });

  it('of server frames', () => {
    fc.assert(
      fc.property(fc.array(serverFrame, { maxLength: 6 }), (frames) => {
        expect(plain(decodeServerFrames(encodeServerFrames(frames)))).toEqual(plain(frames));
      }),
      runs,
    );
  });

  it('also from a view in the middle of a larger buffer that is no Buffer', () => {
    const frames: ClientFrame[] = [
      { kind: 'write', requestId: 7, timeoutMs: 5, command: Uint8Array.of(1, 2, 3) },
    ];
    const message = encodeClientFrames(frames);
    const larger = new Uint8Array(message.length + 20).fill(0xff);
    larger.set(message, 9);
    const view = larger.subarray(9, 9 + message.length);
    expect(plain(decodeClientFrames(view))).toEqual(plain(frames));
  });

  it('split into messages, in order, for any frames', () => {
    const sizes = fc.array(fc.constantFrom(10, 1_000, 100_000, 300_000), { maxLength: 12 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const frames = lengths.map((length, requestId): ServerFrame => ({
          kind: 'got',
          requestId,
          revision: 1,
          record: record('k', length),
        }));
        const messages = encodeServerMessages(frames);
        expect(plain(messages.flatMap((message) => decodeServerFrames(message)))).toEqual(plain(frames));
        for (const message of messages) {
          const alone = decodeServerFrames(message).length === 1;
          if (!alone) expect(message.length).toBeLessThanOrEqual(messageBytesTarget);
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('what is encoded', () => {
  it('is not changed by later calls and keeps no larger buffer alive', () => {
    const ping: ClientFrame[] = [{ kind: 'ping', requestId: 1 }];
    const large: ClientFrame[] = [
      { kind: 'write', requestId: 2, timeoutMs: 1, command: new Uint8Array(2_000_000) },
    ];
    const first = encodeClientFrames(ping);
    const copy = Buffer.from(first).toString('hex');
    // Over the limit of a command, which only the receiver checks: here it is the size that matters.
    const huge = encodeClientFrames(large);
    const later = Array.from({ length: 500 }, () => encodeClientFrames(ping));
    expect(Buffer.from(first).toString('hex')).toBe(copy);
    expect(huge.buffer.byteLength).toBe(huge.length);
    for (const message of later) expect(message.buffer.byteLength).toBeLessThanOrEqual(8_192);
  });

  it('of error texts is cut to what receivers take', () => {
    const frame: ServerFrame = {
      kind: 'error',
      requestId: 1,
      code: 'INTERNAL',
      message: 'é'.repeat(100_000),
      outcome: 'none',
    };
    expect(decodeServerFrames(encodeServerFrames([frame]))[0]).toMatchObject({ message: 'é'.repeat(1_024) });
  });

  it('of a staleness is never staler than asked for', () => {
    const frame: ClientFrame = {
      kind: 'get',
      requestId: 1,
      timeoutMs: 1,
      consistency: { kind: 'bounded', maxStalenessMs: 1.9 },
      revision: 0,
      minRevision: 0,
      key: 'k',
    };
    expect(decodeClientFrames(encodeClientFrames([frame]))[0]).toMatchObject({
      consistency: { kind: 'bounded', maxStalenessMs: 1 },
    });
  });
});

describe('limits of a message', () => {
  it('a message over the greatest size or number of values is not made', () => {
    const values = new Array<ServerFrame>(elementsMax / 2).fill({ kind: 'pong', requestId: 1 });
    expect(errorOf(() => encodeServerFrames(values))).toMatchObject({ code: 'TOO_LARGE' });
    const bytes = new Array<ServerFrame>(5).fill({
      kind: 'got',
      requestId: 1,
      revision: 1,
      record: record('k', kvLimits.valueBytesMax),
    });
    expect(errorOf(() => encodeServerFrames(bytes))).toMatchObject({ code: 'TOO_LARGE' });
  });

  it('splitting keeps any number of frames receivable', () => {
    const pongs = Array.from({ length: 200_000 }, (_, requestId): ServerFrame => ({
      kind: 'pong',
      requestId,
    }));
    const messages = encodeServerMessages(pongs);
    expect(messages.length).toBeGreaterThan(1);
    expect(messages.flatMap((message) => decodeServerFrames(message))).toEqual(pongs);
    expect(encodeServerMessages([])).toEqual([]);
  });

  it('the largest frames there can be are receivable', () => {
    const page: ServerFrame = {
      kind: 'page',
      requestId: 2 ** 53 - 1,
      revision: 2 ** 53 - 1,
      records: Array.from({ length: pageRecordsMax }, () => record('k'.repeat(4), 96)),
      more: true,
    };
    const value: ServerFrame = {
      kind: 'page',
      requestId: 1,
      revision: 1,
      records: [record('k'.repeat(kvLimits.keyBytesMax), kvLimits.valueBytesMax), record('k', 1_048_576)],
      more: true,
    };
    for (const frame of [page, value]) {
      const message = encodeServerFrames([frame]);
      expect(message.length).toBeLessThanOrEqual(messageBytesMax);
      expect(decodeServerFrames(message)).toHaveLength(1);
    }
    const entriesMax = raftSettings.appendEntriesMax.max;
    const bytesMax = raftSettings.appendBytesMax.max;
    const largest = [
      append(1, entryLimits.payloadBytesMax),
      append(entriesMax, Math.floor(bytesMax / entriesMax)),
    ];
    for (const frame of largest) {
      const [message, ...others] = encodePeerMessages([frame]);
      expect(others).toEqual([]);
      expect(plain(decodePeerFrames(message ?? new Uint8Array()))).toEqual(plain([frame]));
    }
  });
});
