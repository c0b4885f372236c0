import { expect, test } from 'vitest';
import { defaultRaftConfig } from '../../src/raft/config.js';
import { Raft } from '../../src/raft/raft.js';

test('an answer to an earlier process of this node confirms nothing that waits now', () => {
  const hardState = { currentTerm: 3, votedFor: undefined, commitIndex: 0 };
  const log = { baseIndex: 0, baseTerm: 0, lastIndex: 0, termRuns: [], recentEntries: [] };
  const follower = new Raft({
    nodeId: 'n2',
    config: defaultRaftConfig,
    configuration: { voters: ['n1', 'n2', 'n3'], learners: [] },
    recovered: { hardState, log },
    appliedIndex: 0,
    seed: 1,
    now: 0,
  });
  const fromLeader = { from: 'n1', to: 'n2', term: 3 };
  follower.step({
    kind: 'message',
    now: 1,
    message: { kind: 'heartbeat', ...fromLeader, leaderCommit: 0, round: 1 },
  });
  follower.step({ kind: 'readIndex', now: 2, requestId: 40 });
  const late = { kind: 'readIndexResult', ...fromLeader, requestId: 500, readIndex: 1 } as const;
  expect(follower.step({ kind: 'message', now: 3, message: late }).reads).toEqual([]);
  const own = { ...late, requestId: 40 };
  const { reads } = follower.step({ kind: 'message', now: 4, message: own });
  expect(reads).toEqual([{ requestId: 40, readIndex: 1 }]);
});
