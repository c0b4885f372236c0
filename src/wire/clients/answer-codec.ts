// Frames from a node to its clients. The number of a frame and the meaning of its positions never change
// within a protocol version. Used by both sides: the node packs, the library unpacks. The library trusts a
// node no further than a node trusts a client: every position is checked here too.

import { assertNever } from '../../base/assert.js';
import { fromByteString } from '../../base/bytes.js';
import type { Outcome } from '../../base/errors.js';
import { KvorumError } from '../../base/errors.js';
import type { KeyRecord } from '../../kv/commands.js';
import { kvLimits } from '../../kv/commands.js';
import {
  arrayAt,
  asciiAt,
  booleanAt,
  bytesAt,
  checkArity,
  describe,
  fieldLimits,
  keyAt,
  listAt,
  nodeIdAt,
  optionalAsciiAt,
  textAt,
  uintAt,
  wordAt,
  type WireArray,
} from '../fields.js';
import { decodeFrames, packMessage, packMessages, type WireFrame, type WireValue } from '../codec.js';
import type { ErrorAnswer, Member, ServerFrame, ServerHello, WriteAnswer } from '../protocol.js';
import { wireLimits } from '../protocol.js';
import { readHello } from '../versions.js';
import { statusFromWire, statusToWire } from './status-codec.js';

/** First position of each frame. */
const frameNumbers = {
  hello: 1,
  leader: 2,
  error: 3,
  written: 4,
  got: 5,
  page: 6,
  counted: 7,
  status: 8,
  pong: 9,
  streamData: 10,
  streamEnd: 11,
} as const;

/** Words in the order of their numbers on the wire. */
const outcomes: readonly Outcome[] = ['none', 'unknown'];
const writeCodes: readonly WriteAnswer['code'][] = ['OK', 'CONFLICT'];

/** Positions in a list that each record and each member takes. */
const recordPositions = 6;
const memberPositions = 2;

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodeServerFrames(frames: readonly ServerFrame[]): Uint8Array {
  return packMessage(frames.map(toWire));
}

/**
 * As many messages as the frames need to stay near `messageBytesTarget`. Throws `TOO_LARGE` for a single
 * frame.
 */
export function encodeServerMessages(frames: readonly ServerFrame[]): Uint8Array[] {
  return packMessages(frames.map(toWire));
}

/** The frames of a message. Values are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodeServerFrames(bytes: Uint8Array): ServerFrame[] {
  return decodeFrames(bytes, fromWire);
}

function toWire(frame: ServerFrame): WireFrame {
  switch (frame.kind) {
    case 'written': {
      const { requestId, revision, count } = frame;
      const code = writeCodes.indexOf(frame.code);
      return [frameNumbers.written, requestId, code, revision, count, optionalRecordToWire(frame.current)];
    }
    case 'got':
      return [frameNumbers.got, frame.requestId, frame.revision, optionalRecordToWire(frame.record)];
    case 'page': {
      const records: WireValue[] = [];
      for (const record of frame.records) pushRecord(records, record);
      return [frameNumbers.page, frame.requestId, frame.revision, records, frame.more];
    }
    case 'counted':
      return [frameNumbers.counted, frame.requestId, frame.revision, frame.count];
    case 'error':
      return errorToWire(frame);
    case 'pong':
      return [frameNumbers.pong, frame.requestId];
    case 'leader':
      return [frameNumbers.leader, frame.leaderId, frame.term, frame.clusterTimeMs];
    case 'hello':
      return helloToWire(frame);
    case 'status':
      return [frameNumbers.status, frame.requestId, statusToWire(frame.status)];
    case 'streamData':
      return [frameNumbers.streamData, frame.requestId, frame.sequence, frame.payload];
    case 'streamEnd': {
      const message = frame.message.slice(0, fieldLimits.messageLengthMax);
      return [frameNumbers.streamEnd, frame.requestId, frame.code, message];
    }
    default:
      return assertNever(frame);
  }
}

function errorToWire(frame: ErrorAnswer): WireFrame {
  const message = frame.message.slice(0, fieldLimits.messageLengthMax);
  return [frameNumbers.error, frame.requestId, frame.code, message, outcomes.indexOf(frame.outcome)];
}

function helloToWire(frame: ServerHello): WireFrame {
  const members: WireValue[] = [];
  for (const member of frame.members) members.push(member.nodeId, member.address);
  return [
    frameNumbers.hello,
    frame.protocolMin,
    frame.protocolMax,
    frame.formatLevelMax,
    frame.formatLevel,
    // The empty id of a node whose cluster is not formed yet is sent as nil.
    frame.clusterId === '' ? undefined : frame.clusterId,
    frame.nodeId,
    members,
    frame.leaderId,
    frame.term,
    frame.clusterTimeMs,
  ];
}

function optionalRecordToWire(record: KeyRecord | undefined): WireValue {
  if (record === undefined) return undefined;
  const positions: WireValue[] = [];
  pushRecord(positions, record);
  return positions;
}

function pushRecord(positions: WireValue[], record: KeyRecord): void {
  const { createRevision, modRevision, version, leaseId } = record;
  positions.push(fromByteString(record.key), record.value, createRevision, modRevision, version, leaseId);
}

function fromWire(frame: WireArray): ServerFrame {
  switch (frame[0]) {
    case frameNumbers.written:
      checkArity(frame, 6, 'written');
      return {
        kind: 'written',
        requestId: uintAt(frame, 1, 'requestId'),
        code: wordAt(frame, 2, 'code', writeCodes),
        revision: uintAt(frame, 3, 'revision'),
        count: uintAt(frame, 4, 'count'),
        current: optionalRecordAt(frame, 5, 'current'),
      };
    case frameNumbers.got:
      checkArity(frame, 4, 'got');
      return {
        kind: 'got',
        requestId: uintAt(frame, 1, 'requestId'),
        revision: uintAt(frame, 2, 'revision'),
        record: optionalRecordAt(frame, 3, 'record'),
      };
    case frameNumbers.page:
      checkArity(frame, 5, 'page');
      return {
        kind: 'page',
        requestId: uintAt(frame, 1, 'requestId'),
        revision: uintAt(frame, 2, 'revision'),
        records: recordsAt(frame, 3, 'records'),
        more: booleanAt(frame, 4, 'more'),
      };
    case frameNumbers.counted:
      checkArity(frame, 4, 'counted');
      return {
        kind: 'counted',
        requestId: uintAt(frame, 1, 'requestId'),
        revision: uintAt(frame, 2, 'revision'),
        count: uintAt(frame, 3, 'count'),
      };
    default:
      return rareFrameFromWire(frame);
  }
}

function rareFrameFromWire(frame: WireArray): ServerFrame {
  switch (frame[0]) {
    case frameNumbers.error:
      checkArity(frame, 5, 'error');
      return {
        kind: 'error',
        requestId: uintAt(frame, 1, 'requestId'),
        code: asciiAt(frame, 2, 'code', fieldLimits.codeLengthMax),
        message: textAt(frame, 3, 'message', fieldLimits.messageLengthMax),
        outcome: wordAt(frame, 4, 'outcome', outcomes),
      };
    case frameNumbers.pong:
      checkArity(frame, 2, 'pong');
      return { kind: 'pong', requestId: uintAt(frame, 1, 'requestId') };
    case frameNumbers.leader:
      checkArity(frame, 4, 'leader');
      return {
        kind: 'leader',
        leaderId: optionalAsciiAt(frame, 1, 'leaderId', fieldLimits.nodeIdLengthMax),
        term: uintAt(frame, 2, 'term'),
        clusterTimeMs: uintAt(frame, 3, 'clusterTimeMs'),
      };
    case frameNumbers.hello:
      return readHello(frame, 11, (versions) => ({
        kind: 'hello',
        ...versions,
        formatLevel: uintAt(frame, 4, 'formatLevel'),
        clusterId: optionalAsciiAt(frame, 5, 'clusterId', fieldLimits.clusterIdLengthMax) ?? '',
        nodeId: nodeIdAt(frame, 6, 'nodeId'),
        members: membersAt(frame, 7, 'members'),
        leaderId: optionalAsciiAt(frame, 8, 'leaderId', fieldLimits.nodeIdLengthMax),
        term: uintAt(frame, 9, 'term'),
        clusterTimeMs: uintAt(frame, 10, 'clusterTimeMs'),
      }));
    case frameNumbers.status:
      checkArity(frame, 3, 'status');
      return {
        kind: 'status',
        requestId: uintAt(frame, 1, 'requestId'),
        status: statusFromWire(arrayAt(frame, 2, 'status', 32)),
      };
    case frameNumbers.streamData:
      checkArity(frame, 4, 'streamData');
      return {
        kind: 'streamData',
        requestId: uintAt(frame, 1, 'requestId'),
        sequence: uintAt(frame, 2, 'sequence', Number.MAX_SAFE_INTEGER, 1),
        payload: bytesAt(frame, 3, 'payload', wireLimits.streamPayloadBytesMax),
      };
    case frameNumbers.streamEnd:
      checkArity(frame, 4, 'streamEnd');
      return {
        kind: 'streamEnd',
        requestId: uintAt(frame, 1, 'requestId'),
        code: asciiAt(frame, 2, 'code', fieldLimits.codeLengthMax),
        message: textAt(frame, 3, 'message', fieldLimits.messageLengthMax),
      };
    default:
      throw new KvorumError(
        'PROTOCOL',
        `position 0 is not the number of a server frame: ${describe(frame[0])}`,
      );
  }
}

function optionalRecordAt(frame: WireArray, position: number, name: string): KeyRecord | undefined {
  if (frame[position] === null) return undefined;
  const positions = arrayAt(frame, position, name, recordPositions);
  checkArity(positions, recordPositions, name);
  return recordFromWire(positions, 0);
}

function recordsAt(frame: WireArray, position: number, name: string): KeyRecord[] {
  const positions = listAt(frame, position, name, recordPositions, wireLimits.pageRecordsMax);
  const records: KeyRecord[] = [];
  for (let i = 0; i < positions.length; i += recordPositions) records.push(recordFromWire(positions, i));
  return records;
}

function recordFromWire(positions: WireArray, first: number): KeyRecord {
  return {
    key: keyAt(positions, first, 'record, key'),
    value: bytesAt(positions, first + 1, 'record, value', kvLimits.valueBytesMax),
    createRevision: uintAt(positions, first + 2, 'record, createRevision'),
    modRevision: uintAt(positions, first + 3, 'record, modRevision'),
    version: uintAt(positions, first + 4, 'record, version'),
    leaseId: uintAt(positions, first + 5, 'record, leaseId'),
  };
}

function membersAt(frame: WireArray, position: number, name: string): Member[] {
  const positions = listAt(frame, position, name, memberPositions, fieldLimits.membersMax);
  const members: Member[] = [];
  for (let i = 0; i < positions.length; i += memberPositions) {
    members.push({
      nodeId: nodeIdAt(positions, i, 'member, nodeId'),
      address: asciiAt(positions, i + 1, 'member, address', fieldLimits.addressLengthMax),
    });
  }
  return members;
}
