// Mutants of snapshots, of the log's beginning, and of members whose disk was damaged.

import type { Mutant } from './mutant.js';

const election = 'raft/election.ts';
const install = 'server/life/install.ts';
const rebuild = 'server/life/rebuild.ts';
const receiver = 'server/snapshots/receiver.ts';
const recovering = 'server/life/recovering.ts';

export const snapshotMutants: readonly Mutant[] = [
  {
    id: 'M22',
    name: 'sessions are not part of a snapshot',
    edits: [
      {
        file: 'server/snapshots/outgoing.ts',
        find: "      this.part = 'tables';\n      reader.beginTables();\n      return this.cut();\n",
        replace: '',
      },
    ],
  },
  {
    id: 'M26',
    name: 'a snapshot over a conflicting tail is taken for one that is not needed',
    edits: [
      {
        file: install,
        find: 'index > raft.commitIndex && raft.termAt(index) !== term;',
        replace: 'index > raft.commitIndex && raft.termAt(index) === undefined;',
      },
    ],
  },
  {
    id: 'M26b',
    name: 'the log that a snapshot replaces is kept where it is longer',
    edits: [
      {
        file: install,
        find: 'log: nextLogName(current), catchingUp',
        replace: 'log: replaced.lastIndex() > index ? current.log : nextLogName(current), catchingUp',
      },
      {
        file: install,
        find: '      formation,\n      current,\n',
        replace:
          '      formation,\n      current,\n' +
          '      lastIndex: ((last) => () => last)(replica.raft.lastIndex),\n',
      },
    ],
  },
  {
    id: 'M27',
    name: 'the log is cut to what is applied, before the store has it',
    edits: [
      {
        file: 'server/space/log-retention.ts',
        find: 'Math.min(index, stateMachine.durableAppliedIndex, raft.appliedIndex)',
        replace: 'Math.min(index, raft.appliedIndex)',
      },
    ],
  },
  {
    id: 'M39',
    name: 'a node that was wiped comes back under its old identity',
    edits: [
      {
        file: 'server/life/identity.ts',
        find: 'hello.instanceId !== undefined && hello.instanceId !== member.instanceId;',
        replace: 'member.instanceId === undefined;',
      },
      {
        file: 'server/life/identity.ts',
        find: 'if (member.instanceId !== own.instanceId) return',
        replace: 'if (member.instanceId === undefined) return',
      },
      {
        file: 'server/life/boot.ts',
        find: 'if (record !== undefined && !record.formation.members.some(',
        replace: 'if (record === null && !record.formation.members.some(',
      },
    ],
  },
  {
    id: 'N1',
    name: 'a snapshot is installed although the log holds what it ends with',
    equivalent:
      'who sends the entry that a snapshot ends with says in the same message that it is committed, since ' +
      'it was before the sending began: the commit index decides already; N2 takes that away',
    edits: [
      {
        file: install,
        find: 'index > raft.commitIndex && raft.termAt(index) !== term;',
        replace: 'index > raft.commitIndex;',
      },
    ],
  },
  {
    id: 'N2',
    name: 'a snapshot is installed although more is committed here, and entries are taken meanwhile',
    edits: [
      {
        file: install,
        find: 'index > raft.commitIndex && raft.termAt(index) !== term;',
        replace: 'index + 1_000 > raft.commitIndex;',
      },
      {
        file: 'server/node.ts',
        find: "    if (running?.isInstalling === true && message.kind === 'appendEntries') return;\n",
        replace: '',
      },
    ],
  },
  {
    id: 'N3',
    name: 'the new pair is in use before its log is made',
    edits: [
      {
        file: install,
        find: '    makeLog(before);\n    prepareCurrent(disk, next);\n',
        replace:
          '    prepareCurrent(disk, next);\n    commitCurrent(disk);\n' +
          '    makeLog(before);\n    prepareCurrent(disk, next);\n',
      },
    ],
  },
  {
    id: 'N4',
    name: 'an install forgets the vote',
    edits: [
      {
        file: 'raft/snapshot.ts',
        find: 'votedFor: isNewTerm ? undefined : votedFor,',
        replace: 'votedFor: undefined,',
      },
    ],
  },
  {
    id: 'N5',
    name: 'an install forgets the term',
    edits: [
      {
        file: 'raft/snapshot.ts',
        find: 'currentTerm: isNewTerm ? termLeast : currentTerm,',
        replace: 'currentTerm: termLeast,',
      },
    ],
  },
  {
    id: 'N6',
    name: 'chunks are acknowledged before they are durable',
    equivalent:
      'a sending goes on from a cursor that is read from what is durable, so a chunk that was lost ' +
      'is sent again, and the last one is answered when all is; N7 takes that away',
    edits: [
      {
        file: receiver,
        find: '    this.staging.write(taken.operations, (error) => {\n',
        replace:
          '    const { offer } = incoming;\n' +
          '    if (taken.end === undefined)\n' +
          "      this.answer(incoming.peer, offer.sendingId, chunk.sequence, 'written', '');\n" +
          '    this.staging.write(taken.operations, (error) => {\n',
      },
      {
        file: receiver,
        find: "this.answer(incoming.peer, incoming.offer.sendingId, sequence, 'written', '');",
        replace: 'return;',
      },
    ],
  },
  {
    id: 'N7',
    name: 'a sending goes on although a chunk was not written',
    edits: [
      {
        file: receiver,
        find: '    this.staging.write(taken.operations, (error) => {\n',
        replace:
          "    const written = chunk.sequence === 2 && chunk.part === 'history' ? [] : taken.operations;\n" +
          '    this.staging.write(written, (error) => {\n',
      },
    ],
  },
  {
    id: 'N8',
    name: 'a snapshot is used whatever its records add up to',
    equivalent:
      'every record has a check of its own, which the sender looks at, a chunk has one on its way, and ' +
      'revisions without a gap leave none out; N8b takes the checks away',
    edits: [
      {
        file: 'kv/snapshot/writer.ts',
        find: 'if (applied.revision !== this.through.revision || expected !== found) {',
        replace: "if (applied.revision !== this.through.revision && expected === '') {",
      },
    ],
  },
  {
    id: 'N8b',
    name: 'as N8, and the records of a store are not checked',
    edits: [
      {
        file: 'kv/snapshot/writer.ts',
        find: 'if (applied.revision !== this.through.revision || expected !== found) {',
        replace: "if (applied.revision !== this.through.revision && expected === '') {",
      },
      {
        file: 'kv/records/record-check.ts',
        find: 'return end >= 0 && asBuffer(record).readUInt32BE(end) === checkOf(record.subarray(0, end));',
        replace: 'return end >= 0;',
      },
      {
        file: 'kv/records/version-record.ts',
        find: 'if (bytes.readUInt32BE(versionCheckOffset) !== check || (deleted && !isEmpty)) {',
        replace: 'if (check < 0 && deleted && !isEmpty) {',
      },
    ],
  },
  {
    id: 'N9',
    name: 'sessions of an earlier sending stay in the staging store',
    equivalent:
      'a store whose tables do not have the hash of its applied record is not used, and is sent once more; ' +
      'N9b takes that away',
    edits: [
      {
        file: 'kv/snapshot/staging.ts',
        find: '    if (records.length === 0) {\n      left.shift();',
        replace: '    if (records.length >= 0) {\n      left.shift();',
      },
    ],
  },
  {
    id: 'N9b',
    name: 'as N9, and a store is used whatever its tables add up to',
    edits: [
      {
        file: 'kv/snapshot/staging.ts',
        find: '    if (records.length === 0) {\n      left.shift();',
        replace: '    if (records.length >= 0) {\n      left.shift();',
      },
      {
        file: 'kv/state-machine.ts',
        find: '    if (found === expected) return;\n    throw corrupt(appliedKey, `says that the tables',
        replace: '    if (found !== undefined) return;\n    throw corrupt(appliedKey, `says that the tables',
      },
    ],
  },
  {
    id: 'N10',
    name: 'segments are removed before the new beginning of the log is durable',
    edits: [
      {
        file: 'storage/wal/wal.ts',
        find: '{ index, term }, () => this.writer.sealed.dropUpTo(index));',
        replace: '{ index, term }, () => undefined);\n    this.writer.sealed.dropUpTo(index);',
      },
    ],
  },
  {
    id: 'N11',
    name: 'a member that catches up votes',
    edits: [
      {
        file: election,
        find: '    isFree && !state.isCatchingUp && isUpToDate(',
        replace: '    isFree && isUpToDate(',
      },
      {
        file: election,
        find: '    !state.isCatchingUp &&\n    !isLeaderAlive',
        replace: '    !isLeaderAlive',
      },
    ],
  },
  {
    id: 'N12',
    name: 'a member that catches up stands for election',
    edits: [
      {
        file: 'raft/roles.ts',
        find: 'return isVoter(state.configuration, state.nodeId) && !state.isCatchingUp;',
        replace: 'return isVoter(state.configuration, state.nodeId);',
      },
    ],
  },
  {
    id: 'N13',
    name: 'a member that lost its log does not take over the term of the others',
    edits: [
      {
        file: rebuild,
        find: 'const currentTerm = Math.max(floor, base?.term ?? formationTerm);',
        replace: 'const currentTerm = base?.term ?? formationTerm;',
      },
    ],
  },
  {
    id: 'N14',
    name: "a member that lost its log may vote in the others' term",
    edits: [
      {
        file: rebuild,
        find: 'const hardState = { currentTerm, votedFor: options.nodeId,',
        replace: 'const hardState = { currentTerm, votedFor: undefined,',
      },
    ],
  },
  {
    id: 'N15',
    name: 'a member that lost its log begins after hearing from one other',
    edits: [
      {
        file: recovering,
        find: 'if (missing.length > 0 || known.length <= memberIds.length / 2) return',
        replace: 'if (known.length === 0) return',
      },
    ],
  },
  {
    id: 'N16',
    name: 'a member that lost its log votes at once',
    edits: [
      {
        file: rebuild,
        find: 'const next: Current = { store, log, catchingUp: true };',
        replace: 'const next: Current = { store, log, catchingUp: false };',
      },
    ],
  },
  {
    id: 'N17',
    name: 'catching up is over when a leader is heard',
    edits: [
      {
        file: 'server/replica/catch-up.ts',
        find: '      if (raft.appliedIndex < this.readIndex || raft.durableIndex < this.readIndex) return;\n',
        replace: '',
      },
    ],
  },
  {
    id: 'N18',
    name: 'a leader goes on from what a damaged member had acknowledged',
    edits: [
      {
        file: 'server/life/life.ts',
        find: "        if (standing.kind === 'running') standing.replica.peerReset(peer.nodeId);\n",
        replace: '',
      },
    ],
  },
  {
    id: 'N19b',
    name: 'late messages of a member from before its damage are heard, on any link',
    edits: [
      {
        file: 'server/peers/incarnations.ts',
        find: "    if (challengedAt < heard.provedAt) return 'late';\n",
        replace: '',
      },
      {
        file: 'server/peers/peers.ts',
        find: '        this.closeOthers(nodeId, incarnation);\n',
        replace: '',
      },
      {
        file: 'server/peers/peers.ts',
        find: "this.close(older.link, 'replaced by a newer link of the same node');",
        replace: 'void older;',
      },
    ],
  },
  {
    id: 'N20',
    name: 'the file that names the pair in use is not synced',
    edits: [
      {
        file: 'storage/folder/json-file.ts',
        find: '    file.syncSync();\n',
        replace: '',
      },
    ],
  },
  {
    id: 'N21',
    name: 'the folder of the file that names the pair in use is not synced',
    equivalent:
      'the new log is opened before anything of the old pair is removed, and opening it syncs the folder; ' +
      'N21b takes that away',
    edits: [
      {
        file: 'storage/folder/json-file.ts',
        find: "  disk.renameSync(unfinishedPath(path), path);\n  disk.syncDirectorySync('.');\n",
        replace: '  disk.renameSync(unfinishedPath(path), path);\n',
      },
    ],
  },
  {
    id: 'N21b',
    name: 'as N21, and opening a log does not sync the folder either',
    edits: [
      {
        file: 'storage/folder/json-file.ts',
        find: "  disk.renameSync(unfinishedPath(path), path);\n  disk.syncDirectorySync('.');\n",
        replace: '  disk.renameSync(unfinishedPath(path), path);\n',
      },
      {
        file: 'storage/wal/recovery.ts',
        find: "(this.options.directory);\n    this.disk.syncDirectorySync('.');\n",
        replace: '(this.options.directory);\n',
      },
    ],
  },
];
