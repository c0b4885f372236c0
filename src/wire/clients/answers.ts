// Frames from a node to its clients, each declared once: answers to requests, notices, frames of streams. An
// answer begins with the requestId of what it answers.

import type { Outcome } from '../../base/errors.js';
import { uintAt } from '../checks.js';
import {
  ascii,
  boolean,
  bytes,
  clusterIdOrEmpty,
  count,
  listOf,
  message,
  nested,
  nodeId,
  optional,
  positive,
  row,
  word,
  type ValuesOf,
} from '../fields.js';
import { byHand, frame, hello, type FrameOf, type FrameTable } from '../frame.js';
import { fieldLimits, wireLimits } from '../limits.js';
import { keyRecord } from './key-record.js';
import { nodeStatus } from './status.js';

const requestId = count;

const memberFields = {
  nodeId,
  /** host:port that clients and peers use. */
  address: ascii(fieldLimits.addressLengthMax),
};
export type Member = ValuesOf<typeof memberFields>;

const leadership = {
  leaderId: optional(nodeId),
  term: count,
  /**
   * The sender's newest cluster time: the creation time for session ids. Fresh only from the leader itself.
   */
  clusterTimeMs: count,
};

const serverHello = hello(1, {
  /** Of the cluster's state, as applied on this node. */
  formatLevel: count,
  clusterId: clusterIdOrEmpty,
  nodeId,
  members: listOf(row('member', memberFields), fieldLimits.membersMax),
  ...leadership,
});
export type ServerHello = FrameOf<typeof serverHello>;

/** Who leads, as this node knows; pushed whenever it changes. `why`: nobody does, in words; else empty. */
const leader = frame(2, 'leader', { ...leadership, why: message });
export type LeaderNotice = FrameOf<typeof leader>;

/** A request that failed. */
const error = frame(3, 'error', {
  requestId,
  /** It may be one that this version does not know. */
  code: ascii(fieldLimits.codeLengthMax),
  message,
  outcome: word<Outcome>({ none: 0, unknown: 1 }),
});
export type ErrorAnswer = FrameOf<typeof error>;

const writeCode = word({ OK: 0, CONFLICT: 1 });
const optionalRecord = optional(nested(keyRecord));

/** A write that reached a verdict: code OK or CONFLICT (others arrive as ErrorAnswer). */
const written = byHand(
  frame(4, 'written', {
    requestId,
    code: writeCode,
    revision: count,
    /** Keys deleted. */
    count,
    /** For a CONFLICT: the key as it was when the condition was judged. */
    current: optionalRecord,
  }),
  (given) => {
    const code = writeCode.write(given.code);
    return [4, given.requestId, code, given.revision, given.count, optionalRecord.write(given.current)];
  },
  (positions) => ({
    kind: 'written' as const,
    requestId: uintAt(positions, 1, 'requestId'),
    code: writeCode.read(positions, 2, 'code'),
    revision: uintAt(positions, 3, 'revision'),
    count: uintAt(positions, 4, 'count'),
    current: optionalRecord.read(positions, 5, 'current'),
  }),
);
export type WriteAnswer = FrameOf<typeof written>;

const got = byHand(
  frame(5, 'got', {
    requestId,
    /** The store's revision that was read. */
    revision: count,
    record: optionalRecord,
  }),
  (given) => [5, given.requestId, given.revision, optionalRecord.write(given.record)],
  (positions) => ({
    kind: 'got' as const,
    requestId: uintAt(positions, 1, 'requestId'),
    revision: uintAt(positions, 2, 'revision'),
    record: optionalRecord.read(positions, 3, 'record'),
  }),
);
export type GetAnswer = FrameOf<typeof got>;

const page = frame(6, 'page', {
  requestId,
  revision: count,
  records: listOf(keyRecord, wireLimits.pageRecordsMax),
  /** There are further records in the range; ask on from the last key at this revision. */
  more: boolean,
});
export type RangeAnswer = FrameOf<typeof page>;

const counted = frame(7, 'counted', { requestId, revision: count, count });
export type CountAnswer = FrameOf<typeof counted>;

const status = frame(8, 'status', { requestId, status: nested(nodeStatus) });
export type StatusAnswer = FrameOf<typeof status>;

const pong = frame(9, 'pong', { requestId });
export type PongAnswer = FrameOf<typeof pong>;

const streamData = frame(10, 'streamData', {
  requestId,
  /** From 1, one more with each frame of the stream. */
  sequence: positive,
  /** Never empty: it would cost no credit. */
  payload: bytes(wireLimits.streamPayloadBytesMax, 1),
});
export type StreamData = FrameOf<typeof streamData>;

/** The last frame of a stream, also of one that could not be opened. Needs no credit. */
const streamEnd = frame(11, 'streamEnd', {
  requestId,
  /** `OK`, or the code of an error; it may be one that this version does not know. */
  code: ascii(fieldLimits.codeLengthMax),
  message,
});
export type StreamEnd = FrameOf<typeof streamEnd>;

/** The raise has taken effect on the node that answers. */
const formatRaised = frame(12, 'formatRaised', { requestId, formatLevel: count });
export type FormatRaisedAnswer = FrameOf<typeof formatRaised>;

export type ServerFrame =
  | ServerHello
  | LeaderNotice
  | ErrorAnswer
  | WriteAnswer
  | GetAnswer
  | RangeAnswer
  | CountAnswer
  | StatusAnswer
  | PongAnswer
  | StreamData
  | StreamEnd
  | FormatRaisedAnswer;

export const serverFrames = {
  hello: serverHello,
  leader,
  error,
  written,
  got,
  page,
  counted,
  status,
  pong,
  streamData,
  streamEnd,
  formatRaised,
} as const satisfies FrameTable<ServerFrame>;
