// Mutants of what lasts: the log, its recovery, the store's batches and what a start makes of them.

import type { Mutant } from './mutant.js';

const writer = 'storage/wal/writer.ts';
const recovery = 'storage/wal/recovery.ts';
const segments = 'storage/wal/segments.ts';

export const diskMutants: readonly Mutant[] = [
  {
    id: 'M5',
    name: 'a failed fsync is taken for a good one',
    edits: [
      {
        file: writer,
        find: '        if (syncError !== undefined) {\n',
        replace: '        if (syncError !== undefined && this.stopped) {\n',
      },
    ],
  },
  {
    id: 'M24',
    name: 'the applied index is written in a batch of its own, after the data',
    edits: [
      {
        file: 'server/replica/store-writer.ts',
        find: '    this.context.store.writeBatch(operations, (error) => {\n',
        replace:
          '    const { store } = this.context;\n' +
          '    const data = operations.slice(0, -1);\n' +
          '    const batch = (done) => store.writeBatch(data, (failed) =>\n' +
          '      failed ? done(failed) : store.writeBatch(operations.slice(-1), done));\n' +
          '    batch((error) => {\n',
      },
    ],
  },
  {
    id: 'M24b',
    name: 'the applied index is written in a batch of its own, before the data',
    edits: [
      {
        file: 'server/replica/store-writer.ts',
        find: '    this.context.store.writeBatch(operations, (error) => {\n',
        replace:
          '    const { store } = this.context;\n' +
          '    const data = operations.slice(0, -1);\n' +
          '    const batch = (done) => store.writeBatch(operations.slice(-1), (failed) =>\n' +
          '      failed ? done(failed) : store.writeBatch(data, done));\n' +
          '    batch((error) => {\n',
      },
    ],
  },
  {
    id: 'M25',
    name: 'after a start the entry at the applied index is applied again',
    edits: [
      {
        file: 'raft/raft.ts',
        find: 'apply: new ApplyQueue(appliedIndex),',
        replace: 'apply: new ApplyQueue(Math.max(log.baseIndex, appliedIndex - 1)),',
      },
      {
        file: 'kv/state-machine.ts',
        find: '      entry.index === this.visibleIndex + 1,\n',
        replace: '      entry.index <= this.visibleIndex + 1,\n',
      },
    ],
  },
  {
    id: 'M28',
    name: 'a damaged middle of the log is cut off like a torn tail',
    edits: [
      {
        file: recovery,
        find: '    if (laterCommit !== undefined) {\n',
        replace: '    if (laterCommit !== undefined && segment.capacityBytes < 0) {\n',
      },
    ],
  },
  {
    id: 'M28b',
    name: 'as M28, and the log may end before what the store has applied',
    edits: [
      {
        file: recovery,
        find: '    if (laterCommit !== undefined) {\n',
        replace: '    if (laterCommit !== undefined && segment.capacityBytes < 0) {\n',
      },
      {
        file: recovery,
        find: '    if (index.lastIndex < appliedIndexFloor) {\n',
        replace: '    if (index.lastIndex < appliedIndexFloor && active.capacityBytes < 0) {\n',
      },
    ],
  },
  {
    id: 'M29',
    name: "a new segment's folder is not synced",
    edits: [
      {
        file: segments,
        find: '        disk.syncDirectory(directory, next);\n',
        replace: '        next(undefined);\n',
      },
    ],
  },
  {
    id: 'M29b',
    name: "the first segment's folder is not synced",
    edits: [
      {
        file: segments,
        find: '    disk.renameSync(temporary, path);\n    disk.syncDirectorySync(directory);\n',
        replace: '    disk.renameSync(temporary, path);\n',
      },
    ],
  },
  {
    id: 'D1',
    name: 'a batch counts as durable when it is written, not when it is synced',
    edits: [
      {
        file: writer,
        find: '      active.file.sync((syncError) => {\n',
        replace: '      ((done) => done(undefined))((syncError) => {\n',
      },
    ],
  },
  {
    id: 'D2',
    name: 'the removal of a suffix is not written to the log',
    edits: [
      {
        file: writer,
        find: '      encoder.truncateSuffix(unit.truncateSuffix);\n',
        replace: '',
      },
    ],
  },
  {
    id: 'D3',
    name: 'recovery trusts what only the page cache holds',
    edits: [{ file: recovery, find: '    settle(last.segment, last.batch);\n', replace: '' }],
  },
  {
    id: 'D4',
    name: 'the remains of a torn write are left in place',
    equivalent:
      'the remains carry the number of the batch that is written over them next and not its chain: ' +
      'they are taken neither for it nor for a later one; zeros only keep them from being reported ' +
      'again (D4b does not write over them)',
    edits: [{ file: recovery, find: '      zeroFill(segment.file, from, to);\n', replace: '' }],
  },
  {
    id: 'D4b',
    name: 'the log goes on behind the remains of a torn write',
    edits: [
      { file: recovery, find: '      zeroFill(segment.file, from, to);\n', replace: '' },
      {
        file: recovery,
        find: '      active,\n      offset: this.offset,\n',
        replace:
          '      active,\n      offset: torn === undefined ? this.offset : Math.ceil(torn.to / 8) * 8,\n',
      },
    ],
  },
  {
    id: 'D5',
    name: 'a segment gets its name before it is synced',
    edits: [
      {
        file: segments,
        find: "      (next) => defined(made, 'new segment').sync(next),\n",
        replace: '',
      },
    ],
  },
  {
    id: 'D6',
    name: 'a layer is dropped before its batch is durable',
    edits: [
      {
        file: 'server/replica/store-writer.ts',
        find: '    this.writing = true;\n',
        replace: '    this.writing = true;\n    this.context.stateMachine.layers.resolve();\n',
      },
      {
        file: 'kv/state-machine.ts',
        find: '    this.layers.resolve();\n    this.durableIndex',
        replace: '    this.durableIndex',
      },
    ],
  },
  {
    id: 'D7',
    name: 'a failed batch of the store is taken for a good one',
    edits: [
      {
        file: 'server/replica/store-writer.ts',
        find: '      if (error !== undefined) {\n        this.context.fail(error);',
        replace: '      if (error !== undefined && this.halted) {\n        this.context.fail(error);',
      },
    ],
  },
  {
    id: 'D8',
    name: 'the store runs ahead of the own log',
    edits: [
      {
        file: 'raft/apply.ts',
        find: '  const endIndex = Math.min(state.commitIndex, log.durableIndex);\n  if (apply.handedOutIndex',
        replace: '  const endIndex = Math.min(state.commitIndex, log.lastIndex);\n  if (apply.handedOutIndex',
      },
    ],
  },
  {
    id: 'M40',
    name: 'batches of the store are not synced (in the model of the store)',
    edits: [
      {
        file: 'sim/world/disk/store.ts',
        find: '    else if (batch.undo === undefined) this.apply(batch);\n',
        replace:
          '    else if (batch.undo === undefined) this.apply(batch);\n' +
          '    if (!fails) this.unsynced = batch;\n',
      },
      {
        file: 'sim/world/disk/store.ts',
        find: '    if (batch !== undefined) this.settle(batch);\n',
        replace:
          '    const last = this.unsynced;\n' +
          '    this.unsynced = undefined;\n' +
          '    if (last !== undefined && this.dice.chance(0.5)) {\n' +
          '      if (batch !== undefined) this.revert(batch);\n' +
          '      this.revert(last);\n' +
          '    } else if (batch !== undefined) this.settle(batch);\n',
      },
    ],
  },
];
