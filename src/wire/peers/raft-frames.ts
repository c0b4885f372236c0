// The messages of the consensus core as frames. Those of every write and every read are encoded and decoded
// by hand. Whether `from` is the node that the link belongs to is for the receiver to check, not visible
// here.

import type { AppendEntries, Heartbeat, HeartbeatResult, Message } from '../../raft/messages.js';
import type {
  AppendEntriesResult,
  ReadIndexRequest,
  ReadIndexResult,
  VoteRefusal,
} from '../../raft/messages.js';
import type { EntryKind, LogEntry } from '../../raft/types.js';
import { booleanAt, bytesAt, listAt, nodeIdAt, uintAt } from '../checks.js';
import { boolean, count, nodeId, optional, uint, word, type Field } from '../fields.js';
import { byHand, frame, type Frame, type FrameTable } from '../frame.js';
import { entryLimits } from '../limits.js';
import type { WireValue } from '../values.js';

const envelope = { from: nodeId, to: nodeId, term: count };
const lastLog = { lastLogIndex: count, lastLogTerm: count };

const voteAnswer = {
  voteGranted: boolean,
  refusal: optional(
    word<VoteRefusal>({ leaderAlive: 0, logBehind: 1, voted: 2, termOver: 3, catchingUp: 4 }),
  ),
};

const entriesMax = 10_000;
const prevLogIndexMax = Number.MAX_SAFE_INTEGER - entriesMax;
const entryKind = word<EntryKind>({ command: 0, noop: 1, configuration: 2 });
/** Of each entry: term, kind, payload. */
const entryPositions = 3;

/** In one array. Indexes follow from the places in it and from prevLogIndex, the position before it. */
const entries: Field<readonly LogEntry[]> = {
  write: (list) => {
    const positions: WireValue[] = [];
    for (const { term, kind, payload } of list) positions.push(term, entryKind.write(kind), payload);
    return positions;
  },
  read: (positions, position, name) => {
    const prevLogIndex = uintAt(positions, position - 1, 'prevLogIndex', prevLogIndexMax);
    const list = listAt(positions, position, name, entryPositions, entriesMax);
    const items: LogEntry[] = [];
    for (let i = 0; i < list.length; i += entryPositions) {
      items.push({
        index: prevLogIndex + items.length + 1,
        term: uintAt(list, i, 'entries, term', Number.MAX_SAFE_INTEGER, 1),
        kind: entryKind.read(list, i + 1, 'entries, kind'),
        payload: bytesAt(list, i + 2, 'entries, payload', entryLimits.payloadBytesMax),
      });
    }
    return items;
  },
};

const appendEntries: Frame<AppendEntries> = byHand<AppendEntries>(
  frame(14, 'appendEntries', {
    ...envelope,
    prevLogTerm: count,
    leaderCommit: count,
    prevLogIndex: uint(prevLogIndexMax),
    entries,
  }),
  (given) => {
    const { from, to, term, prevLogTerm, leaderCommit, prevLogIndex } = given;
    return [14, from, to, term, prevLogTerm, leaderCommit, prevLogIndex, entries.write(given.entries)];
  },
  (positions) => ({
    kind: 'appendEntries',
    from: nodeIdAt(positions, 1, 'from'),
    to: nodeIdAt(positions, 2, 'to'),
    term: uintAt(positions, 3, 'term'),
    prevLogTerm: uintAt(positions, 4, 'prevLogTerm'),
    leaderCommit: uintAt(positions, 5, 'leaderCommit'),
    prevLogIndex: uintAt(positions, 6, 'prevLogIndex', prevLogIndexMax),
    entries: entries.read(positions, 7, 'entries'),
  }),
);

const appendEntriesResult: Frame<AppendEntriesResult> = byHand<AppendEntriesResult>(
  frame(15, 'appendEntriesResult', {
    ...envelope,
    success: boolean,
    matchIndex: count,
    hintIndex: count,
    hintTerm: count,
  }),
  ({ from, to, term, success, matchIndex, hintIndex, hintTerm }) => {
    return [15, from, to, term, success, matchIndex, hintIndex, hintTerm];
  },
  (positions) => ({
    kind: 'appendEntriesResult',
    from: nodeIdAt(positions, 1, 'from'),
    to: nodeIdAt(positions, 2, 'to'),
    term: uintAt(positions, 3, 'term'),
    success: booleanAt(positions, 4, 'success'),
    matchIndex: uintAt(positions, 5, 'matchIndex'),
    hintIndex: uintAt(positions, 6, 'hintIndex'),
    hintTerm: uintAt(positions, 7, 'hintTerm'),
  }),
);

const heartbeat: Frame<Heartbeat> = byHand<Heartbeat>(
  frame(16, 'heartbeat', { ...envelope, leaderCommit: count, round: count }),
  ({ from, to, term, leaderCommit, round }) => [16, from, to, term, leaderCommit, round],
  (positions) => ({
    kind: 'heartbeat',
    from: nodeIdAt(positions, 1, 'from'),
    to: nodeIdAt(positions, 2, 'to'),
    term: uintAt(positions, 3, 'term'),
    leaderCommit: uintAt(positions, 4, 'leaderCommit'),
    round: uintAt(positions, 5, 'round'),
  }),
);

const heartbeatResult: Frame<HeartbeatResult> = byHand<HeartbeatResult>(
  frame(17, 'heartbeatResult', { ...envelope, round: count, commitIndex: count, commitTerm: count }),
  ({ from, to, term, round, commitIndex, commitTerm }) => {
    return [17, from, to, term, round, commitIndex, commitTerm];
  },
  (positions) => ({
    kind: 'heartbeatResult',
    from: nodeIdAt(positions, 1, 'from'),
    to: nodeIdAt(positions, 2, 'to'),
    term: uintAt(positions, 3, 'term'),
    round: uintAt(positions, 4, 'round'),
    commitIndex: uintAt(positions, 5, 'commitIndex'),
    commitTerm: uintAt(positions, 6, 'commitTerm'),
  }),
);

const readIndex: Frame<ReadIndexRequest> = byHand<ReadIndexRequest>(
  frame(18, 'readIndex', { ...envelope, requestId: count }),
  ({ from, to, term, requestId }) => [18, from, to, term, requestId],
  (positions) => ({
    kind: 'readIndex',
    from: nodeIdAt(positions, 1, 'from'),
    to: nodeIdAt(positions, 2, 'to'),
    term: uintAt(positions, 3, 'term'),
    requestId: uintAt(positions, 4, 'requestId'),
  }),
);

const readIndexResult: Frame<ReadIndexResult> = byHand<ReadIndexResult>(
  frame(19, 'readIndexResult', { ...envelope, requestId: count, readIndex: count }),
  (given) => [19, given.from, given.to, given.term, given.requestId, given.readIndex],
  (positions) => ({
    kind: 'readIndexResult',
    from: nodeIdAt(positions, 1, 'from'),
    to: nodeIdAt(positions, 2, 'to'),
    term: uintAt(positions, 3, 'term'),
    requestId: uintAt(positions, 4, 'requestId'),
    readIndex: uintAt(positions, 5, 'readIndex'),
  }),
);

export const raftFrames = {
  preVote: frame(10, 'preVote', { ...envelope, ...lastLog }),
  preVoteResult: frame(11, 'preVoteResult', { ...envelope, ...voteAnswer }),
  requestVote: frame(12, 'requestVote', { ...envelope, ...lastLog, leadershipTransfer: boolean }),
  requestVoteResult: frame(13, 'requestVoteResult', { ...envelope, ...voteAnswer }),
  appendEntries,
  appendEntriesResult,
  heartbeat,
  heartbeatResult,
  readIndex,
  readIndexResult,
  timeoutNow: frame(20, 'timeoutNow', envelope),
  historyDiffers: frame(21, 'historyDiffers', { ...envelope, index: count, leaderTerm: count }),
} as const satisfies FrameTable<Message>;
