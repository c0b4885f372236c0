// Frames between members of the cluster. The number of a frame and the meaning of its positions never change
// within a protocol version. Raft messages are frames of their own, without an inner layer, because they are
// the hot ones. Whether `from` is the node that the link belongs to is for the receiver to check, not visible
// here.

import { KvorumError } from '../../base/errors.js';
import type { NodeId } from '../../base/env.js';
import { assertNever } from '../../base/assert.js';
import type { AppendEntries, Message } from '../../raft/messages.js';
import type { EntryKind, LogEntry } from '../../raft/types.js';
import {
  arrayAt,
  booleanAt,
  bytesAt,
  checkArity,
  describe,
  fieldLimits,
  hexAt,
  listAt,
  nodeIdAt,
  optionalAsciiAt,
  textAt,
  uintAt,
  wordAt,
  type WireArray,
} from '../fields.js';
import { decodeFrames, packMessage, packMessages, type WireFrame, type WireValue } from '../codec.js';
import { entryLimits } from '../commands/entry-codec.js';
import type { PeerFrame, PeerHello, PeerRefusal } from '../protocol.js';
import { readHello, type Versions } from '../versions.js';
import { transferFromWire, transferToWire } from '../snapshots/codec.js';

/** First position of each frame; from 30 on those of a snapshot's transfer (`transferNumbers`). */
const frameNumbers = {
  hello: 1,
  refusal: 2,
  preVote: 10,
  preVoteResult: 11,
  requestVote: 12,
  requestVoteResult: 13,
  appendEntries: 14,
  appendEntriesResult: 15,
  heartbeat: 16,
  heartbeatResult: 17,
  readIndex: 18,
  readIndexResult: 19,
  timeoutNow: 20,
} as const;

/** Entry kinds and refusal codes in the order of their numbers on the wire. */
const entryKinds: readonly EntryKind[] = ['command', 'noop', 'configuration'];
const refusalCodes: readonly PeerRefusal['code'][] = ['PROTOCOL', 'IDENTITY'];

/**
 * Positions in the list of entries that each entry takes: term, kind, payload. The index follows from the
 * place.
 */
const entryPositions = 3;
const entriesMax = 10_000;

/** One message of all frames. Throws `TOO_LARGE` over the limits of a message. */
export function encodePeerFrames(frames: readonly PeerFrame[]): Uint8Array {
  return packMessage(frames.map(toWire));
}

/**
 * As many messages as the frames need to stay near `messageBytesTarget`. Throws `TOO_LARGE` for a single
 * frame.
 */
export function encodePeerMessages(frames: readonly PeerFrame[]): Uint8Array[] {
  return packMessages(frames.map(toWire));
}

/** The frames of a message. Payloads are views into `bytes`. Throws `PROTOCOL` for anything malformed. */
export function decodePeerFrames(bytes: Uint8Array): PeerFrame[] {
  return decodeFrames(bytes, fromWire);
}

function toWire(frame: PeerFrame): WireFrame {
  switch (frame.kind) {
    case 'hello':
      return [
        frameNumbers.hello,
        frame.protocolMin,
        frame.protocolMax,
        frame.formatLevelMax,
        frame.formatLevel,
        frame.nodeId,
        frame.instanceId,
        frame.incarnation,
        frame.clusterId,
        frame.memberIds,
        frame.formation,
        frame.currentTerm,
        frame.catchingUp,
      ];
    case 'refusal': {
      const text = frame.message.slice(0, fieldLimits.messageLengthMax);
      return [frameNumbers.refusal, refusalCodes.indexOf(frame.code), text];
    }
    case 'raft':
      return messageToWire(frame.message);
    default:
      return transferToWire(frame);
  }
}

function messageToWire(message: Message): WireFrame {
  const { from, to, term } = message;
  switch (message.kind) {
    case 'appendEntries':
      return appendEntriesToWire(message);
    case 'appendEntriesResult': {
      const { success, matchIndex, hintIndex, hintTerm } = message;
      return [frameNumbers.appendEntriesResult, from, to, term, success, matchIndex, hintIndex, hintTerm];
    }
    case 'heartbeat':
      return [frameNumbers.heartbeat, from, to, term, message.leaderCommit, message.round];
    case 'heartbeatResult':
      return [frameNumbers.heartbeatResult, from, to, term, message.round];
    case 'readIndex':
      return [frameNumbers.readIndex, from, to, term, message.requestId];
    case 'readIndexResult':
      return [frameNumbers.readIndexResult, from, to, term, message.requestId, message.readIndex];
    case 'preVote':
      return [frameNumbers.preVote, from, to, term, message.lastLogIndex, message.lastLogTerm];
    case 'preVoteResult':
      return [frameNumbers.preVoteResult, from, to, term, message.voteGranted];
    case 'requestVote': {
      const { lastLogIndex, lastLogTerm, leadershipTransfer } = message;
      return [frameNumbers.requestVote, from, to, term, lastLogIndex, lastLogTerm, leadershipTransfer];
    }
    case 'requestVoteResult':
      return [frameNumbers.requestVoteResult, from, to, term, message.voteGranted];
    case 'timeoutNow':
      return [frameNumbers.timeoutNow, from, to, term];
    default:
      return assertNever(message);
  }
}

function appendEntriesToWire(message: AppendEntries): WireFrame {
  const { from, to, term, prevLogIndex, prevLogTerm, leaderCommit } = message;
  const entries: WireValue[] = [];
  for (const entry of message.entries) {
    entries.push(entry.term, entryKinds.indexOf(entry.kind), entry.payload);
  }
  return [frameNumbers.appendEntries, from, to, term, prevLogIndex, prevLogTerm, leaderCommit, entries];
}

function fromWire(frame: WireArray): PeerFrame {
  switch (frame[0]) {
    case frameNumbers.hello:
      return readHello(frame, 13, (versions) => helloFromWire(frame, versions));
    case frameNumbers.refusal:
      checkArity(frame, 3, 'refusal');
      return {
        kind: 'refusal',
        code: wordAt(frame, 1, 'code', refusalCodes),
        message: textAt(frame, 2, 'message', fieldLimits.messageLengthMax),
      };
    default:
      return transferFromWire(frame) ?? { kind: 'raft', message: messageFromWire(frame) };
  }
}

function helloFromWire(frame: WireArray, versions: Versions): PeerHello {
  const members = arrayAt(frame, 9, 'memberIds', fieldLimits.membersMax);
  const memberIds: NodeId[] = [];
  for (let i = 0; i < members.length; i++) memberIds.push(nodeIdAt(members, i, 'memberIds'));
  return {
    kind: 'hello',
    ...versions,
    formatLevel: frame[4] === null ? undefined : uintAt(frame, 4, 'formatLevel'),
    nodeId: nodeIdAt(frame, 5, 'nodeId'),
    instanceId: hexAt(frame, 6, 'instanceId', 32),
    incarnation: hexAt(frame, 7, 'incarnation', 32),
    clusterId: optionalAsciiAt(frame, 8, 'clusterId', fieldLimits.clusterIdLengthMax),
    memberIds,
    formation:
      frame[10] === null ? undefined : bytesAt(frame, 10, 'formation', entryLimits.formationBytesMax),
    currentTerm: frame[11] === null ? undefined : uintAt(frame, 11, 'currentTerm'),
    catchingUp: booleanAt(frame, 12, 'catchingUp'),
  };
}

function messageFromWire(frame: WireArray): Message {
  switch (frame[0]) {
    case frameNumbers.appendEntries:
      return appendEntriesFromWire(frame);
    case frameNumbers.appendEntriesResult:
      checkArity(frame, 8, 'appendEntriesResult');
      return {
        kind: 'appendEntriesResult',
        from: nodeIdAt(frame, 1, 'from'),
        to: nodeIdAt(frame, 2, 'to'),
        term: uintAt(frame, 3, 'term'),
        success: booleanAt(frame, 4, 'success'),
        matchIndex: uintAt(frame, 5, 'matchIndex'),
        hintIndex: uintAt(frame, 6, 'hintIndex'),
        hintTerm: uintAt(frame, 7, 'hintTerm'),
      };
    case frameNumbers.heartbeat:
      checkArity(frame, 6, 'heartbeat');
      return {
        kind: 'heartbeat',
        from: nodeIdAt(frame, 1, 'from'),
        to: nodeIdAt(frame, 2, 'to'),
        term: uintAt(frame, 3, 'term'),
        leaderCommit: uintAt(frame, 4, 'leaderCommit'),
        round: uintAt(frame, 5, 'round'),
      };
    case frameNumbers.heartbeatResult:
      checkArity(frame, 5, 'heartbeatResult');
      return {
        kind: 'heartbeatResult',
        from: nodeIdAt(frame, 1, 'from'),
        to: nodeIdAt(frame, 2, 'to'),
        term: uintAt(frame, 3, 'term'),
        round: uintAt(frame, 4, 'round'),
      };
    default:
      return rareMessageFromWire(frame);
  }
}

function rareMessageFromWire(frame: WireArray): Message {
  switch (frame[0]) {
    case frameNumbers.readIndex:
      checkArity(frame, 5, 'readIndex');
      return { kind: 'readIndex', ...envelope(frame), requestId: uintAt(frame, 4, 'requestId') };
    case frameNumbers.readIndexResult:
      checkArity(frame, 6, 'readIndexResult');
      return {
        kind: 'readIndexResult',
        ...envelope(frame),
        requestId: uintAt(frame, 4, 'requestId'),
        readIndex: uintAt(frame, 5, 'readIndex'),
      };
    case frameNumbers.preVote:
      checkArity(frame, 6, 'preVote');
      return {
        kind: 'preVote',
        ...envelope(frame),
        lastLogIndex: uintAt(frame, 4, 'lastLogIndex'),
        lastLogTerm: uintAt(frame, 5, 'lastLogTerm'),
      };
    case frameNumbers.preVoteResult:
      checkArity(frame, 5, 'preVoteResult');
      return { kind: 'preVoteResult', ...envelope(frame), voteGranted: booleanAt(frame, 4, 'voteGranted') };
    case frameNumbers.requestVote:
      checkArity(frame, 7, 'requestVote');
      return {
        kind: 'requestVote',
        ...envelope(frame),
        lastLogIndex: uintAt(frame, 4, 'lastLogIndex'),
        lastLogTerm: uintAt(frame, 5, 'lastLogTerm'),
        leadershipTransfer: booleanAt(frame, 6, 'leadershipTransfer'),
      };
    case frameNumbers.requestVoteResult:
      checkArity(frame, 5, 'requestVoteResult');
      return {
        kind: 'requestVoteResult',
        ...envelope(frame),
        voteGranted: booleanAt(frame, 4, 'voteGranted'),
      };
    case frameNumbers.timeoutNow:
      checkArity(frame, 4, 'timeoutNow');
      return { kind: 'timeoutNow', ...envelope(frame) };
    default:
      throw new KvorumError(
        'PROTOCOL',
        `position 0 is not the number of a peer frame: ${describe(frame[0])}`,
      );
  }
}

function envelope(frame: WireArray): { from: NodeId; to: NodeId; term: number } {
  return {
    from: nodeIdAt(frame, 1, 'from'),
    to: nodeIdAt(frame, 2, 'to'),
    term: uintAt(frame, 3, 'term'),
  };
}

function appendEntriesFromWire(frame: WireArray): AppendEntries {
  checkArity(frame, 8, 'appendEntries');
  const prevLogIndex = uintAt(frame, 4, 'prevLogIndex', Number.MAX_SAFE_INTEGER - entriesMax);
  const list = listAt(frame, 7, 'entries', entryPositions, entriesMax);
  const entries: LogEntry[] = [];
  for (let i = 0; i < list.length; i += entryPositions) {
    entries.push({
      index: prevLogIndex + entries.length + 1,
      term: uintAt(list, i, 'entries, term', Number.MAX_SAFE_INTEGER, 1),
      kind: wordAt(list, i + 1, 'entries, kind', entryKinds),
      payload: bytesAt(list, i + 2, 'entries, payload', entryLimits.payloadBytesMax),
    });
  }
  return {
    kind: 'appendEntries',
    from: nodeIdAt(frame, 1, 'from'),
    to: nodeIdAt(frame, 2, 'to'),
    term: uintAt(frame, 3, 'term'),
    prevLogIndex,
    prevLogTerm: uintAt(frame, 5, 'prevLogTerm'),
    entries,
    leaderCommit: uintAt(frame, 6, 'leaderCommit'),
  };
}
