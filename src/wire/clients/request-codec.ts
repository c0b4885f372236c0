// Frames from clients to a node. The number of a frame and the meaning of its positions never change within a
// protocol version. Every request begins with its number and requestId. Used by both sides: the library
// packs, the node unpacks.

import { fromByteString, type ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import {
  asciiAt,
  booleanAt,
  bytesAt,
  checkArity,
  describe,
  fieldLimits,
  keyAt,
  optionalAsciiAt,
  rangeEndAt,
  rangeStartAt,
  uintAt,
  type WireArray,
} from '../fields.js';
import { decodeFrames, packMessage, type WireFrame } from '../codec.js';
import { commandBytesMax } from '../commands/command-codec.js';
import { wireLimits, type ClientFrame, type Consistency, type GetRequest } from '../protocol.js';
import { readHello } from '../versions.js';

/** First position of each frame. */
const frameNumbers = {
  hello: 1,
  write: 2,
  get: 3,
  range: 4,
  count: 5,
  status: 6,
  cancel: 7,
  ping: 8,
  openStream: 9,
  streamCredit: 10,
  closeStream: 11,
} as const;

/** Numbers of the levels of reading. Position 4 carries the staleness, 0 for all levels but `bounded`. */
const levels = { linearizable: 0, leaderLease: 1, bounded: 2, serializable: 3 } as const;

const timeoutMsMax = 2 ** 31 - 1;

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodeClientFrames(frames: readonly ClientFrame[]): Uint8Array {
  return packMessage(frames.map(toWire));
}

/** The frames of a message. Commands are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodeClientFrames(bytes: Uint8Array): ClientFrame[] {
  return decodeFrames(bytes, fromWire);
}

function toWire(frame: ClientFrame): WireFrame {
  switch (frame.kind) {
    case 'write':
      return [frameNumbers.write, frame.requestId, frame.timeoutMs, frame.command];
    case 'get': {
      const { requestId, timeoutMs, consistency, revision, minRevision } = frame;
      const level = levels[consistency.kind];
      const staleness = stalenessMs(consistency);
      const key = fromByteString(frame.key);
      return [frameNumbers.get, requestId, timeoutMs, level, staleness, revision, minRevision, key];
    }
    case 'range':
      return [
        frameNumbers.range,
        frame.requestId,
        frame.timeoutMs,
        levels[frame.consistency.kind],
        stalenessMs(frame.consistency),
        frame.revision,
        frame.minRevision,
        fromByteString(frame.start),
        boundToWire(frame.end),
        frame.limit,
        frame.reverse,
        frame.keysOnly,
      ];
    case 'count':
      return [
        frameNumbers.count,
        frame.requestId,
        frame.timeoutMs,
        levels[frame.consistency.kind],
        stalenessMs(frame.consistency),
        frame.revision,
        frame.minRevision,
        fromByteString(frame.start),
        boundToWire(frame.end),
      ];
    case 'hello':
      return [
        frameNumbers.hello,
        frame.protocolMin,
        frame.protocolMax,
        frame.formatLevelMax,
        frame.clusterId,
      ];
    case 'status':
      return [frameNumbers.status, frame.requestId, frame.timeoutMs];
    case 'cancel':
      return [frameNumbers.cancel, frame.requestId];
    case 'ping':
      return [frameNumbers.ping, frame.requestId];
    case 'openStream': {
      const { requestId, topic, argument, creditBytes } = frame;
      return [frameNumbers.openStream, requestId, topic, argument, creditBytes];
    }
    case 'streamCredit':
      return [frameNumbers.streamCredit, frame.requestId, frame.bytes];
    case 'closeStream':
      return [frameNumbers.closeStream, frame.requestId];
  }
}

/** Whole milliseconds, downwards: never staler than was asked for. */
function stalenessMs(consistency: Consistency): number {
  return consistency.kind === 'bounded' ? Math.floor(consistency.maxStalenessMs) : 0;
}

function boundToWire(end: ByteString | undefined): Uint8Array | undefined {
  return end === undefined ? undefined : fromByteString(end);
}

function fromWire(frame: WireArray): ClientFrame {
  switch (frame[0]) {
    case frameNumbers.write:
      checkArity(frame, 4, 'write');
      return {
        kind: 'write',
        requestId: uintAt(frame, 1, 'requestId'),
        timeoutMs: uintAt(frame, 2, 'timeoutMs', timeoutMsMax, 1),
        command: bytesAt(frame, 3, 'command', commandBytesMax),
      };
    case frameNumbers.get:
      return getFromWire(frame);
    case frameNumbers.range:
      checkArity(frame, 12, 'range');
      return {
        kind: 'range',
        ...readFromWire(frame),
        start: rangeStartAt(frame, 7, 'start'),
        end: rangeEndAt(frame, 8, 'end'),
        limit: uintAt(frame, 9, 'limit', Number.MAX_SAFE_INTEGER, 1),
        reverse: booleanAt(frame, 10, 'reverse'),
        keysOnly: booleanAt(frame, 11, 'keysOnly'),
      };
    case frameNumbers.count:
      checkArity(frame, 9, 'count');
      return {
        kind: 'count',
        ...readFromWire(frame),
        start: rangeStartAt(frame, 7, 'start'),
        end: rangeEndAt(frame, 8, 'end'),
      };
    case frameNumbers.hello:
      return readHello(frame, 5, (versions) => ({
        kind: 'hello',
        ...versions,
        clusterId: optionalAsciiAt(frame, 4, 'clusterId', fieldLimits.clusterIdLengthMax),
      }));
    case frameNumbers.status:
      checkArity(frame, 3, 'status');
      return {
        kind: 'status',
        requestId: uintAt(frame, 1, 'requestId'),
        timeoutMs: uintAt(frame, 2, 'timeoutMs', timeoutMsMax, 1),
      };
    case frameNumbers.cancel:
      checkArity(frame, 2, 'cancel');
      return { kind: 'cancel', requestId: uintAt(frame, 1, 'requestId') };
    case frameNumbers.ping:
      checkArity(frame, 2, 'ping');
      return { kind: 'ping', requestId: uintAt(frame, 1, 'requestId') };
    default:
      return streamFrameFromWire(frame);
  }
}

function streamFrameFromWire(frame: WireArray): ClientFrame {
  switch (frame[0]) {
    case frameNumbers.openStream:
      checkArity(frame, 5, 'openStream');
      return {
        kind: 'openStream',
        requestId: uintAt(frame, 1, 'requestId'),
        topic: asciiAt(frame, 2, 'topic', fieldLimits.topicLengthMax),
        argument: bytesAt(frame, 3, 'argument', wireLimits.streamArgumentBytesMax),
        creditBytes: uintAt(frame, 4, 'creditBytes', wireLimits.streamCreditBytesMax, 1),
      };
    case frameNumbers.streamCredit:
      checkArity(frame, 3, 'streamCredit');
      return {
        kind: 'streamCredit',
        requestId: uintAt(frame, 1, 'requestId'),
        bytes: uintAt(frame, 2, 'bytes', wireLimits.streamCreditBytesMax, 1),
      };
    case frameNumbers.closeStream:
      checkArity(frame, 2, 'closeStream');
      return { kind: 'closeStream', requestId: uintAt(frame, 1, 'requestId') };
    default:
      throw new KvorumError(
        'PROTOCOL',
        `position 0 is not the number of a client frame: ${describe(frame[0])}`,
      );
  }
}

function getFromWire(frame: WireArray): GetRequest {
  checkArity(frame, 8, 'get');
  return {
    kind: 'get',
    requestId: uintAt(frame, 1, 'requestId'),
    timeoutMs: uintAt(frame, 2, 'timeoutMs', timeoutMsMax, 1),
    consistency: consistencyAt(frame),
    revision: uintAt(frame, 5, 'revision'),
    minRevision: uintAt(frame, 6, 'minRevision'),
    key: keyAt(frame, 7, 'key'),
  };
}

type ReadFields = Pick<GetRequest, 'requestId' | 'timeoutMs' | 'consistency' | 'revision' | 'minRevision'>;

function readFromWire(frame: WireArray): ReadFields {
  return {
    requestId: uintAt(frame, 1, 'requestId'),
    timeoutMs: uintAt(frame, 2, 'timeoutMs', timeoutMsMax, 1),
    consistency: consistencyAt(frame),
    revision: uintAt(frame, 5, 'revision'),
    minRevision: uintAt(frame, 6, 'minRevision'),
  };
}

const linearizable: Consistency = { kind: 'linearizable' };
const leaderLease: Consistency = { kind: 'leaderLease' };
const serializable: Consistency = { kind: 'serializable' };

/** Positions 3 and 4 of every read. */
function consistencyAt(frame: WireArray): Consistency {
  const level = uintAt(frame, 3, 'consistency', levels.serializable);
  const maxStalenessMs = uintAt(frame, 4, 'maxStalenessMs', level === levels.bounded ? undefined : 0);
  switch (level) {
    case levels.linearizable:
      return linearizable;
    case levels.leaderLease:
      return leaderLease;
    case levels.bounded:
      return { kind: 'bounded', maxStalenessMs };
    default:
      return serializable;
  }
}
