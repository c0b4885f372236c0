// The answers to writes: made while entries are applied, where none may throw.

import { describe, expect, test } from 'vitest';
import { KvorumError } from '../../src/base/errors.js';
import type { CommandResult } from '../../src/kv/commands.js';
import { thisSoftware } from '../../src/kv/format-level.js';
import { Applier } from '../../src/server/replica/applier.js';
import { Proposals, type PendingWrite } from '../../src/server/front/proposals.js';
import type { Reads } from '../../src/server/front/reads.js';
import { Requests } from '../../src/server/front/requests.js';
import type { Statuses } from '../../src/server/front/statuses.js';
import { decodeCommand, encodeCommand } from '../../src/wire/commands/command-codec.js';
import { FakeStore } from '../kv/fake-store.js';
import { command, ifRevision, openMachine, put } from '../kv/helpers.js';
import { FakeCaller } from './clients-world.js';
import { VirtualTime } from './snapshot-world.js';

const conflict: CommandResult = { code: 'CONFLICT', revision: 3, count: 0 };

function world(getAt: (key: string) => undefined) {
  const damaged: Error[] = [];
  const proposals = new Proposals({ pendingCommandsMax: 100, pendingCommandBytesMax: 1_000_000 });
  const requests = new Requests({
    proposals,
    reads: { readNow: getAt } as unknown as Reads,
    clock: new VirtualTime().clock,
    refuseWrite: () => undefined,
    statuses: {} as Statuses,
    raiseFormat: () => undefined,
    damaged: (error) => damaged.push(error),
    wake: () => undefined,
  });
  return { requests, proposals, damaged };
}

function writeOf(caller: FakeCaller, requestId: number, key: string): PendingWrite {
  const bytes = encodeCommand(command(put(key, 'v', ifRevision(1)), requestId));
  const decoded = decodeCommand(bytes);
  if (decoded.kind !== 'client') throw new Error('not a command of a client');
  return { caller, requestId, bytes, command: decoded };
}

describe('an answer that cannot be made', () => {
  const broken = (key: string): undefined => {
    if (key === 'broken') throw new Error('no such thing');
  };

  test('is an error to its caller, and the others get theirs', () => {
    const { requests, damaged } = world(broken);
    const [a, b] = [new FakeCaller(), new FakeCaller()];
    requests.answerWrite(writeOf(a, 1, 'broken'), conflict);
    requests.answerWrite(writeOf(b, 1, 'whole'), conflict);
    expect(a.answers).toMatchObject([{ kind: 'error', requestId: 1, code: 'INTERNAL', outcome: 'unknown' }]);
    const [answer] = a.answers;
    expect(answer?.kind === 'error' && answer.message).toMatch(/cannot be made: no such thing/);
    expect(b.answers).toMatchObject([{ kind: 'written', code: 'CONFLICT', revision: 3 }]);
    expect(damaged).toEqual([]);
  });

  test('because the store is damaged stops the node, and does not throw either', () => {
    const error = new KvorumError('CORRUPT', 'a rotten record');
    const { requests, damaged } = world(() => {
      throw error;
    });
    const caller = new FakeCaller();
    requests.answerWrite(writeOf(caller, 1, 'k'), conflict);
    expect(damaged).toEqual([error]);
    expect(caller.answers).toMatchObject([{ code: 'CORRUPT', outcome: 'unknown' }]);
  });

  test('leaves the state machine applying, in the same entry and the next ones', () => {
    const { requests, proposals } = world(broken);
    const time = new VirtualTime();
    const store = new FakeStore();
    const stateMachine = openMachine(store);
    const caller = new FakeCaller();
    const failures: Error[] = [];
    const fail = (error: Error): void => void failures.push(error);
    const software = thisSoftware;
    const context = { env: time, config: { sliceMs: 2 }, software, stateMachine, store, fail };
    const applier = new Applier(context, {
      proposals,
      mustWait: () => false,
      applied: (index, term, results) =>
        proposals.applied(index, term, results, (write, result) => requests.answerWrite(write, result)),
      reached: () => undefined,
    });
    const keys = ['whole', 'broken', 'whole'];
    for (const round of [0, 1]) {
      keys.forEach((key, i) => proposals.add(writeOf(caller, 1 + i + 3 * round, key)));
      const batches = proposals.takeBatches(1, () => ({ clusterTimeMs: 1, wallTimeMs: 1 }));
      proposals.appended(batches, 1, 1 + round);
      const payload = batches[0]?.payload ?? new Uint8Array();
      applier.enqueue([{ index: 1 + round, term: 1, kind: 'command', payload }]);
      for (let i = 0; i < 10; i++) {
        time.run(10);
        store.drain();
      }
    }
    expect(failures).toEqual([]);
    expect(stateMachine.appliedIndex).toBe(2);
    expect(caller.answers.map(({ requestId }) => requestId)).toEqual([1, 2, 3, 4, 5, 6]);
    const kinds = caller.answers.map(({ kind }) => kind);
    expect(kinds).toEqual(['written', 'error', 'written', 'written', 'error', 'written']);
    expect(proposals.pendingCommands).toBe(0);
  });
});
