// Mutants of the state machine, of sessions and of the server around the core: what clients are told.

import type { Mutant } from './mutant.js';

const sessions = 'kv/tables/sessions.ts';

export const serviceMutants: readonly Mutant[] = [
  {
    id: 'M23',
    name: 'a session does not know which sequences it has executed',
    edits: [{ file: sessions, find: '    if (outcome !== undefined) return outcome;\n', replace: '' }],
  },
  {
    id: 'M23b',
    name: 'a sequence that was acknowledged is executed again',
    edits: [
      {
        file: sessions,
        find: "    if (sequence <= session.acknowledgedThrough) return 'STALE';\n",
        replace: '',
      },
    ],
  },
  {
    id: 'M36',
    name: 'sessions end in the order of a Map',
    edits: [
      {
        file: sessions,
        find: '    expired.sort((a, b) => (a.id < b.id ? -1 : 1));\n',
        replace: '',
      },
    ],
  },
  {
    id: 'M38',
    name: 'an expired timer is believed before received input is looked at',
    equivalent:
      'a follower that asks too early is refused by members that hear the leader (M20 takes that away); ' +
      'a leader that slept that long is about to be replaced anyway: no promise breaks, a term is spent',
    edits: [
      {
        file: 'server/replica/loop.ts',
        find: 'if (this.clock.nowMs() - dueMs > this.lateTimerMs) {',
        replace: 'if (this.clock.nowMs() - dueMs > Infinity) {',
      },
    ],
  },
  {
    id: 'S1',
    name: 'sessions are not written to the store',
    edits: [
      {
        file: sessions,
        find: "operations.push({ type: 'put', key, value });\n      this.noteStored(session, key, value);",
        replace: 'void [key, value];',
      },
    ],
  },
  {
    id: 'S2',
    name: 'a proposal is matched with an entry by index only',
    equivalent:
      'a node that stops leading gives up all that it proposed before it applies anything of the next ' +
      'leader; S3 takes that away',
    edits: [
      {
        file: 'server/front/proposals.ts',
        find: 'return found?.term === term ? found.batch : undefined;',
        replace: 'return found?.batch;',
      },
      {
        file: 'server/front/proposals.ts',
        find: 'answer(write, found.term === term ? results[position] : undefined);',
        replace: 'answer(write, results[position]);',
      },
    ],
  },
  {
    id: 'S3',
    name: 'as S2, and proposals outlive the leadership',
    edits: [
      {
        file: 'server/front/proposals.ts',
        find: 'return found?.term === term ? found.batch : undefined;',
        replace: 'return found?.batch;',
      },
      {
        file: 'server/front/proposals.ts',
        find: 'answer(write, found.term === term ? results[position] : undefined);',
        replace: 'answer(write, results[position]);',
      },
      {
        file: 'server/replica/replica.ts',
        find: 'this.proposals.dropAll((write, sent) => this.requests.answerLostLeadership(write, sent));',
        replace: '',
      },
    ],
  },
  {
    id: 'S4',
    name: 'a confirmed read does not wait until its index is applied',
    edits: [
      {
        file: 'server/front/reads.ts',
        find: 'if (readIndex <= this.options.stateMachine.appliedIndex) this.release(round);',
        replace: 'if (readIndex >= 0) this.release(round);',
      },
    ],
  },
  {
    id: 'S5',
    name: 'linearizable reads are answered from the local state',
    edits: [
      {
        file: 'server/front/reads.ts',
        find: "      case 'serializable':\n        return true;\n",
        replace: "      case 'serializable':\n      case 'linearizable':\n        return true;\n",
      },
    ],
  },
  {
    id: 'S6',
    name: 'a condition is not judged',
    edits: [
      {
        file: 'kv/operations/keys/put.ts',
        find: "if (!holds(condition, existingOf(previous))) return change.result('CONFLICT', 0);",
        replace: 'void [condition, holds, existingOf];',
      },
    ],
  },
  {
    id: 'S7',
    name: 'a write is answered when it is proposed',
    edits: [
      {
        file: 'raft/apply.ts',
        find: '  const endIndex = Math.min(state.commitIndex, log.durableIndex);\n  if (apply.handedOutIndex',
        replace: '  const endIndex = log.durableIndex;\n  if (apply.handedOutIndex',
      },
    ],
  },
  {
    id: 'S8',
    name: 'the cluster is formed without hearing from every member',
    edits: [
      {
        file: 'server/life/forming.ts',
        find: 'own.nodeId !== own.memberIds[0] || this.missing.length > 0',
        replace: 'own.nodeId !== own.memberIds[0] || this.missing.length > 1',
      },
    ],
  },
  {
    id: 'S9',
    name: 'a write that is under way when the leadership ends is said to have had no effect',
    edits: [
      {
        file: 'server/front/requests.ts',
        find: "const outcome = sent ? 'unknown' : 'none';",
        replace: "const outcome = 'none';",
      },
    ],
  },
];
