// Frames from clients to a node, each declared once. Every request begins with its requestId. What a frame is
// answered with stands in `answers`.

import { fromByteString } from '../../base/bytes.js';
import { bytesAt, keyAt, uintAt } from '../checks.js';
import {
  ascii,
  boolean,
  bytes,
  clusterId,
  count,
  key,
  optional,
  positive,
  rangeBound,
  uint,
} from '../fields.js';
import { byHand, frame, hello, type FrameOf, type FrameTable } from '../frame.js';
import { commandBytesMax, fieldLimits, timeoutMsMax, wireLimits } from '../limits.js';
import { consistency } from './consistency.js';

/** The client's number of the request, ascending on its connection. */
const requestId = count;

const timed = {
  requestId,
  /** What is left of the caller's deadline when the frame is sent; the server gives up after it. */
  timeoutMs: uint(timeoutMsMax, 1),
};

const read = {
  ...timed,
  consistency,
  /** Read as of this revision; 0: now. */
  revision: count,
  /** Do not answer before the node has applied this revision. 0: no bound. */
  minRevision: count,
};

const clientHello = hello(1, {
  /** The cluster the client belongs to since its first connection; `undefined` on that one. */
  clusterId: optional(clusterId),
});
export type ClientHello = FrameOf<typeof clientHello>;

const write = byHand(
  frame(2, 'write', {
    ...timed,
    /** The bytes of a `ClientCommand`, which go into the log as they are. */
    command: bytes(commandBytesMax),
  }),
  (given) => [2, given.requestId, given.timeoutMs, given.command],
  (positions) => ({
    kind: 'write' as const,
    requestId: uintAt(positions, 1, 'requestId'),
    timeoutMs: uintAt(positions, 2, 'timeoutMs', timeoutMsMax, 1),
    command: bytesAt(positions, 3, 'command', commandBytesMax),
  }),
);
export type WriteRequest = FrameOf<typeof write>;

const get = byHand(
  frame(3, 'get', { ...read, key }),
  (given) => {
    const level = consistency.write(given.consistency);
    const place = fromByteString(given.key);
    return [3, given.requestId, given.timeoutMs, level, given.revision, given.minRevision, place];
  },
  (positions) => ({
    kind: 'get' as const,
    requestId: uintAt(positions, 1, 'requestId'),
    timeoutMs: uintAt(positions, 2, 'timeoutMs', timeoutMsMax, 1),
    consistency: consistency.read(positions, 3, 'consistency'),
    revision: uintAt(positions, 4, 'revision'),
    minRevision: uintAt(positions, 5, 'minRevision'),
    key: keyAt(positions, 6, 'key'),
  }),
);
export type GetRequest = FrameOf<typeof get>;

const bounds = {
  start: rangeBound,
  /** Exclusive; `undefined`: to the last key. */
  end: optional(rangeBound),
};

const range = frame(4, 'range', {
  ...read,
  ...bounds,
  /** Records wanted in all; the server sends one page and says whether there is more. */
  limit: positive,
  reverse: boolean,
  /** Leave the values out (empty). */
  keysOnly: boolean,
});
export type RangeRequest = FrameOf<typeof range>;

const countRequest = frame(5, 'count', { ...read, ...bounds });
export type CountRequest = FrameOf<typeof countRequest>;

/** The node's own view, answered at once and without a quorum. */
const status = frame(6, 'status', timed);
export type StatusRequest = FrameOf<typeof status>;

/** The client does not wait any more; the node may drop the request if it has not begun. Not answered. */
const cancel = frame(7, 'cancel', { requestId });
export type CancelRequest = FrameOf<typeof cancel>;

/** The node replies with `pong` at once. Detects half-open connections. */
const ping = frame(8, 'ping', { requestId });
export type PingRequest = FrameOf<typeof ping>;

// ---- streams
//
// A stream carries frames from a node to a client for as long as both want, in order. The client opens it
// with a credit in bytes and gives more as it has read. The node may send one frame while the credit is above
// 0, however large; the length of its payload is taken from the credit, which may go below 0 thereby. A
// client that reads slowly so runs out of credit and is waited for; it is not cut off. The number of a stream
// is one of the ascending numbers of requests.

const credit = uint(wireLimits.streamCreditBytesMax, 1);

const openStream = frame(9, 'openStream', {
  requestId,
  /** What the stream is of; `argument`: about what in particular. */
  topic: ascii(fieldLimits.topicLengthMax),
  argument: bytes(wireLimits.streamArgumentBytesMax),
  creditBytes: credit,
});
export type OpenStream = FrameOf<typeof openStream>;

/** The client can take so many bytes more. */
const streamCredit = frame(10, 'streamCredit', { requestId, bytes: credit });
export type StreamCredit = FrameOf<typeof streamCredit>;

/** The client wants no more of it. Not answered: the stream is over, and what is under way has no reader. */
const closeStream = frame(11, 'closeStream', { requestId });
export type CloseStream = FrameOf<typeof closeStream>;

/** To the leader: bring the cluster to this format level. There is no way down. */
const raiseFormat = frame(12, 'raiseFormat', { ...timed, level: uint(fieldLimits.formatLevelMax, 1) });
export type RaiseFormatRequest = FrameOf<typeof raiseFormat>;

export type ClientFrame =
  | ClientHello
  | WriteRequest
  | GetRequest
  | RangeRequest
  | CountRequest
  | StatusRequest
  | CancelRequest
  | PingRequest
  | OpenStream
  | StreamCredit
  | CloseStream
  | RaiseFormatRequest;

export const clientFrames = {
  hello: clientHello,
  write,
  get,
  range,
  count: countRequest,
  status,
  cancel,
  ping,
  openStream,
  streamCredit,
  closeStream,
  raiseFormat,
} as const satisfies FrameTable<ClientFrame>;
