// Mutants of elections: terms, votes, pre-votes, who may lead.

import type { Mutant } from './mutant.js';

const election = 'raft/election.ts';
const roles = 'raft/roles.ts';

export const electionMutants: readonly Mutant[] = [
  {
    id: 'M1',
    name: 'a vote leaves before it is on disk',
    edits: [
      {
        file: election,
        find: '  state.output.sendAfterPersist(result);\n',
        replace: '  state.output.send(result);\n',
      },
    ],
  },
  {
    id: 'M1b',
    name: 'a candidate asks for votes before its own is on disk',
    edits: [
      {
        file: election,
        find: "state.output.sendAfterPersist({\n    kind: 'requestVote',",
        replace: "state.output.send({\n    kind: 'requestVote',",
      },
    ],
  },
  {
    id: 'M4',
    name: 'term and vote are two records, the vote comes with the next batch',
    edits: [
      {
        file: 'storage/wal/writer.ts',
        find: '    if (unit.hardState !== undefined) {\n      const { currentTerm } = unit.hardState;',
        replace:
          '    if (this.lateVote !== undefined) encoder.hardState(this.lateVote, this.commitIndex);\n' +
          '    this.lateVote = undefined;\n' +
          '    if (unit.hardState !== undefined) {\n      const { currentTerm } = unit.hardState;',
      },
      {
        file: 'storage/wal/writer.ts',
        find: 'encoder.hardState(unit.hardState, this.commitIndex);\n      this.hardState = unit.hardState;',
        replace:
          'encoder.hardState({ ...unit.hardState, votedFor: undefined }, this.commitIndex);\n' +
          '      this.hardState = { ...unit.hardState, votedFor: undefined };\n' +
          '      this.lateVote = unit.hardState;',
      },
    ],
  },
  {
    id: 'M7',
    name: 'the vote is cleared by a step-down within the term',
    edits: [
      {
        file: roles,
        find: '  if (term > state.currentTerm) {\n    state.currentTerm = term;',
        replace:
          "  if (term > state.currentTerm || role.name !== 'follower') {\n    state.currentTerm = term;",
      },
    ],
  },
  {
    id: 'M8',
    name: 'a vote looks at the last index only, not at the last term',
    edits: [
      {
        file: election,
        find: '  if (lastLogTerm !== log.lastTerm) return lastLogTerm > log.lastTerm;\n',
        replace: '',
      },
    ],
  },
  {
    id: 'M19',
    name: 'late pre-vote grants are counted as votes',
    edits: [
      {
        file: election,
        find: "  if (role.name !== 'precandidate') return;\n",
        replace:
          "  if (role.name === 'candidate' && message.voteGranted) {\n" +
          '    role.votes.set(message.from, true);\n    countVotes(state, role);\n  }\n' +
          "  if (role.name !== 'precandidate') return;\n",
      },
    ],
  },
  {
    id: 'M20',
    name: 'pre-votes are granted while the leader is alive',
    edits: [{ file: election, find: '    !isLeaderAlive(state) &&\n', replace: '' }],
  },
  {
    id: 'M20b',
    name: 'a leader without a quorum goes on (no check-quorum)',
    edits: [
      {
        file: 'raft/heartbeat.ts',
        find: '  if (!hasQuorum(state, leader)) return true;\n',
        replace: '',
      },
    ],
  },
  {
    id: 'E1',
    name: 'a new leader appends no entry of its own term',
    edits: [
      {
        file: election,
        find: "  appendAsLeader(state, leader, [{ kind: 'noop', payload: new Uint8Array(0) }]);\n",
        replace: '  void leader;\n',
      },
    ],
  },
  {
    id: 'E2',
    name: 'a leader whose disk hangs goes on',
    edits: [
      {
        file: 'raft/heartbeat.ts',
        find: '  const isHung = isDiskHung(state);\n',
        replace: '  const isHung = false;\n',
      },
    ],
  },
  {
    id: 'E2d',
    name: "a candidate's timeout counts from before its own vote is durable",
    edits: [
      {
        file: election,
        find: '  candidate.electionDeadlineMs = newElectionDeadlineMs(state) + disksTakeMs(state);\n',
        replace: '',
      },
    ],
  },
  {
    id: 'E2e',
    name: 'how slow the disks are is ignored',
    edits: [
      {
        file: roles,
        find: '  return 2 * Math.min(',
        replace: '  return 0 * Math.min(',
      },
    ],
  },
  {
    id: 'E2f',
    name: 'a leader that was late itself judges before it has heard what arrived',
    edits: [
      {
        file: 'server/replica/loop.ts',
        find: 'if (this.clock.nowMs() - dueMs > this.lateTimerMs) {',
        replace: 'if (this.clock.nowMs() - dueMs > 1e9) {',
      },
    ],
  },
  {
    id: 'E2b',
    name: "rounds for reads put off the leader's timer",
    edits: [
      {
        file: 'raft/heartbeat.ts',
        find: '  leader.round++;\n',
        replace:
          '  leader.round++;\n  leader.nextHeartbeatMs = state.now + state.config.heartbeatIntervalMs;\n',
      },
    ],
  },
  {
    id: 'E3',
    name: 'a vote is granted though another candidate has it',
    edits: [
      {
        file: election,
        find: '    isFree && !state.isCatchingUp && isUpToDate(',
        replace: '    !state.isCatchingUp && isUpToDate(',
      },
    ],
  },
  {
    id: 'E4',
    name: 'a majority of four is two',
    edits: [
      {
        file: 'raft/quorum.ts',
        find: 'return Math.floor(voters.length / 2) + 1;',
        replace: 'return Math.ceil(voters.length / 2);',
      },
    ],
  },
  {
    id: 'E5',
    name: 'a refused pre-vote does not say the own term',
    edits: [
      {
        file: election,
        find: 'term: voteGranted ? message.term : state.currentTerm,',
        replace: 'term: voteGranted ? message.term : Math.min(message.term - 1, state.currentTerm),',
      },
    ],
  },
];
