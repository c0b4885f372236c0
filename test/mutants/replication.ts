// Mutants of replication and commitment, and of reads, which stand on them.

import type { Mutant } from './mutant.js';

const append = 'raft/append-entries.ts';
const replication = 'raft/replication.ts';
const heartbeat = 'raft/heartbeat.ts';

export const replicationMutants: readonly Mutant[] = [
  {
    id: 'M2',
    name: 'entries are acknowledged before they are on disk',
    edits: [{ file: append, find: 'state.output.sendAfterPersist({', replace: 'state.output.send({' }],
  },
  {
    id: 'M3',
    name: 'the leader counts itself before its disk has the entry',
    edits: [
      {
        file: replication,
        find: 'node === state.nodeId ? log.durableIndex :',
        replace: 'node === state.nodeId ? log.lastIndex :',
      },
    ],
  },
  {
    id: 'M6',
    name: 'entries of earlier terms are committed by counting',
    edits: [
      { file: replication, find: '  if (log.termAt(index) !== state.currentTerm) return;\n', replace: '' },
    ],
  },
  {
    id: 'M9',
    name: 'any append cuts off what follows it, matching or not',
    edits: [
      {
        file: append,
        find: 'entry.index > state.commitIndex && log.termAt(entry.index) !== entry.term',
        replace: 'entry.index > state.commitIndex',
      },
    ],
  },
  {
    id: 'M10',
    name: "the leader's commit index is taken over beyond what was verified",
    edits: [
      {
        file: append,
        find: 'commitThrough(state, Math.min(message.leaderCommit, lastInMessage));',
        replace: 'commitThrough(state, Math.min(message.leaderCommit, log.lastIndex));',
      },
    ],
  },
  {
    id: 'M10b',
    name: 'a heartbeat tells the commit index beyond what matches',
    edits: [
      {
        file: heartbeat,
        find: 'const leaderCommit = Math.min(state.commitIndex, progress.matchIndex);',
        replace: 'const leaderCommit = state.commitIndex;',
      },
      {
        file: heartbeat,
        find: '    message.leaderCommit <= state.log.lastIndex,\n',
        replace: '    message.leaderCommit >= 0,\n',
      },
      {
        file: heartbeat,
        find: '  commitThrough(state, message.leaderCommit);\n',
        replace: '  commitThrough(state, Math.min(message.leaderCommit, state.log.lastIndex));\n',
      },
      {
        file: 'raft/receive.ts',
        find: "message.kind === 'heartbeat' && message.leaderCommit > state.log.lastIndex",
        replace: "message.kind === 'heartbeat' && message.leaderCommit < 0",
      },
    ],
  },
  {
    id: 'M11',
    name: 'matchIndex moves by the answer to a heartbeat',
    edits: [
      {
        file: heartbeat,
        find: '  progress.acknowledgedRound = Math.max(progress.acknowledgedRound, message.round);\n',
        replace:
          '  progress.acknowledgedRound = Math.max(progress.acknowledgedRound, message.round);\n' +
          '  progress.acknowledged(progress.nextIndex - 1);\n',
      },
    ],
  },
  {
    id: 'M12',
    name: 'reads do not wait for a commit in the own term',
    edits: [
      {
        file: replication,
        find: 'return state.log.termAt(state.commitIndex) === state.currentTerm;',
        replace: 'return true;',
      },
    ],
  },
  {
    id: 'M13',
    name: 'a leader answers reads without asking a quorum',
    edits: [
      {
        file: 'raft/reads.ts',
        find: '    role.reads.add({ from: state.nodeId, requestId });\n    return;\n',
        replace: '    output.confirmRead({ requestId, readIndex: state.commitIndex });\n    return;\n',
      },
    ],
  },
  {
    id: 'M13b',
    name: "a follower's read is answered without asking a quorum",
    edits: [
      {
        file: 'raft/reads.ts',
        find: 'const isQuorum = confirmedRound(state, leader, message.from) === Infinity;',
        replace: 'const isQuorum = true;',
      },
    ],
  },
  {
    id: 'M37',
    name: 'what was in flight on a link that broke is not sent again',
    edits: [
      {
        file: 'raft/raft.ts',
        find: 'role.progress.get(peer)?.becomeProbe();',
        replace: 'role.progress.get(peer)?.resumeProbe();',
      },
      {
        file: 'raft/raft.ts',
        find: "if (state.role.name === 'leader') state.role.progress.get(peer)?.pause();",
        replace: "if (state.role.name === 'leader') return;",
      },
      {
        file: heartbeat,
        find: '  else if (progress.isBehindSent) askForLost(state, progress);\n',
        replace: '',
      },
    ],
  },
  {
    id: 'R1',
    name: 'the completion of an old append makes newer entries durable',
    edits: [
      {
        file: 'raft/unit-queue.ts',
        find: 'unit.coveredIndex = Math.min(unit.coveredIndex, lastIndex);',
        replace: 'unit.coveredIndex = Math.max(unit.coveredIndex, lastIndex);',
      },
      {
        file: 'raft/log.ts',
        find: 'this.durable = Math.max(this.durable, index);',
        replace: 'this.durable = Math.max(this.durable, Math.min(index, this.last));',
      },
      {
        file: 'raft/log.ts',
        find: 'assert(index <= this.last, `index ${index} cannot be durable',
        replace: 'assert(index >= 0, `index ${index} cannot be durable',
      },
    ],
  },
  {
    id: 'R2',
    name: 'reads join a round that was sent before they came',
    edits: [
      {
        file: 'raft/read-rounds.ts',
        find: '    this.joining.push(request);\n',
        replace:
          '    const open = this.batches.at(-1);\n' +
          '    if (open !== undefined) open.requests.push(request);\n' +
          '    else this.joining.push(request);\n',
      },
    ],
  },
  {
    id: 'R3',
    name: 'an answer to one ReadIndex request stands for later ones too',
    edits: [
      {
        file: 'raft/reads.ts',
        find: 'const answered = waitingReads.indexOf(message.requestId) + 1;',
        replace: 'const answered = waitingReads.length;',
      },
    ],
  },
  {
    id: 'R4',
    name: 'a ReadIndex answer commits what was not verified',
    edits: [
      {
        file: 'raft/reads.ts',
        find: 'commitThrough(state, Math.min(message.readIndex, role.verifiedIndex));',
        replace: 'commitThrough(state, Math.min(message.readIndex, state.log.lastIndex));',
      },
    ],
  },
  {
    id: 'R5',
    name: 'entries are committed by a minority',
    edits: [
      {
        file: 'raft/quorum.ts',
        find: 'return values[majorityOf(voters) - 1] as number;',
        replace: 'return values[Math.max(0, majorityOf(voters) - 2)] as number;',
      },
    ],
  },
  {
    id: 'R6',
    name: 'prevLogTerm is not compared',
    edits: [
      {
        file: append,
        find: 'log.termAt(message.prevLogIndex) !== message.prevLogTerm) {',
        replace: 'log.termAt(message.prevLogIndex) === undefined) {',
      },
    ],
  },
  {
    id: 'R7',
    name: 'a promise of a term that is over is still sent when the disk is done',
    equivalent:
      'a promise that was true when it was made and arrives late is what a slow network does, too: ' +
      'whoever voted since had the entry in its log then (R7b sends it as one of the present term)',
    edits: [
      {
        file: 'server/replica/loop.ts',
        find: 'if (message.term >= this.raft.currentTerm) this.peers.send(message);',
        replace: 'this.peers.send(message);',
      },
    ],
  },
  {
    id: 'R7b',
    name: 'a promise is sent with the term of the moment in which the disk is done',
    edits: [
      {
        file: 'server/replica/loop.ts',
        find: 'if (message.term >= this.raft.currentTerm) this.peers.send(message);',
        replace: 'this.peers.send({ ...message, term: this.raft.currentTerm });',
      },
    ],
  },
  {
    id: 'R8',
    name: 'a promise does not wait for earlier units of the disk',
    edits: [
      {
        file: 'server/replica/loop.ts',
        find: 'if (last === undefined) for (const message of messagesAfterPersist)',
        replace: 'if (last !== null) for (const message of messagesAfterPersist)',
      },
    ],
  },
];
