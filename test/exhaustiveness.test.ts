// For each union of the house: a member is added to it in a copy of the sources in memory, and every place
// that has to know of it must not compile any more. What is listed for a union is what somebody who adds to
// it has to write, found by the compiler and not by reading.

import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { filesThatFail, type Addition } from './exhaustiveness/compiler.js';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Case extends Addition {
  /** Files that must not compile with the addition. Others may fail as well. */
  readonly places: readonly string[];
}

const cases: readonly Case[] = [
  {
    file: 'src/kv/commands.ts',
    name: 'ClientOperation',
    member: "{ readonly kind: 'madeUpOperation' }",
    marker: 'madeUpOperation',
    places: [
      'src/client/engine/requests.ts',
      'src/kv/format-level.ts',
      'src/kv/operations/index.ts',
      'src/wire/commands/operations.ts',
    ],
  },
  {
    file: 'src/kv/commands.ts',
    name: 'Command',
    member: "{ readonly kind: 'madeUpCommand' }",
    marker: 'madeUpCommand',
    places: ['src/kv/format-level.ts', 'src/kv/operations/index.ts', 'src/wire/commands/command-codec.ts'],
  },
  {
    file: 'src/kv/commands.ts',
    name: 'Condition',
    member: "{ readonly kind: 'madeUpCondition' }",
    marker: 'madeUpCondition',
    places: [
      'src/client/call-errors.ts',
      'src/kv/operations/keys/condition.ts',
      'src/wire/commands/operations.ts',
    ],
  },
  {
    file: 'src/wire/clients/requests.ts',
    name: 'ClientFrame',
    member: "{ readonly kind: 'madeUpClientFrame' }",
    marker: 'madeUpClientFrame',
    places: [
      'src/server/front/clients.ts',
      'src/server/front/requests.ts',
      'src/wire/clients/request-codec.ts',
      'src/wire/clients/requests.ts',
    ],
  },
  {
    file: 'src/wire/clients/answers.ts',
    name: 'ServerFrame',
    member: "{ readonly kind: 'madeUpServerFrame' }",
    marker: 'madeUpServerFrame',
    places: [
      'src/client/engine/connection.ts',
      'src/wire/clients/answer-codec.ts',
      'src/wire/clients/answers.ts',
    ],
  },
  {
    file: 'src/wire/peers/frames.ts',
    name: 'PeerFrame',
    member: "{ readonly kind: 'madeUpPeerFrame' }",
    marker: 'madeUpPeerFrame',
    places: [
      'src/server/peers/peers.ts',
      'src/sim/run/coverage-marks.ts',
      'src/wire/peers/codec.ts',
      'src/wire/peers/frames.ts',
    ],
  },
  {
    file: 'src/wire/snapshots/frames.ts',
    name: 'SnapshotFrame',
    member: "{ readonly kind: 'madeUpSnapshotFrame' }",
    marker: 'madeUpSnapshotFrame',
    places: ['src/server/peers/peers.ts', 'src/wire/peers/codec.ts', 'src/wire/snapshots/frames.ts'],
  },
  {
    file: 'src/wire/snapshots/frames.ts',
    name: 'SnapshotPart',
    member: "'madeUpPart'",
    marker: 'madeUpPart',
    places: ['src/wire/snapshots/frames.ts'],
  },
  {
    file: 'src/raft/messages.ts',
    name: 'Message',
    member: "(Envelope & { readonly kind: 'madeUpMessage' })",
    marker: 'madeUpMessage',
    places: [
      'src/raft/receive.ts',
      'src/sim/checkers/raft/promises.ts',
      'src/wire/peers/codec.ts',
      'src/wire/peers/raft-frames.ts',
    ],
  },
  {
    file: 'src/raft/io.ts',
    name: 'Input',
    member: "(Timed & { readonly kind: 'madeUpInput' })",
    marker: 'madeUpInput',
    places: ['src/raft/raft.ts', 'src/sim/run/coverage-marks.ts'],
  },
  {
    file: 'src/raft/types.ts',
    name: 'EntryKind',
    member: "'madeUpEntry'",
    marker: 'madeUpEntry',
    places: ['src/storage/wal/format.ts', 'src/wire/peers/raft-frames.ts'],
  },
  {
    file: 'src/raft/state.ts',
    name: 'Role',
    member: "{ readonly name: 'madeUpRole' }",
    marker: 'madeUpRole',
    places: ['src/raft/raft.ts', 'src/raft/roles.ts', 'src/server/operate/status.ts'],
  },
  {
    file: 'src/server/events.ts',
    name: 'NodeEvent',
    member: "{ readonly kind: 'madeUpEvent' }",
    marker: 'madeUpEvent',
    places: ['src/server/operate/event-lines.ts'],
  },
  {
    file: 'src/sim/plan/faults.ts',
    name: 'Fault',
    member: "{ readonly kind: 'madeUpFault' }",
    marker: 'madeUpFault',
    places: [
      'src/sim/plan/draw.ts',
      'src/sim/plan/families.ts',
      'src/sim/plan/fault-rules.ts',
      'src/sim/plan/file-references.ts',
      'src/sim/plan/shapes.ts',
      'src/sim/plan/shrink-steps.ts',
      'src/sim/run/fault-driver.ts',
    ],
  },
  {
    file: 'src/chaos/plan.ts',
    name: 'faultKinds',
    member: "madeUpName: { weight: 1, words: 'made up' }",
    marker: 'madeUpName',
    places: ['src/chaos/faults/injector.ts'],
  },
  {
    file: 'src/base/errors.ts',
    name: 'errorCodes',
    member: 'MADE_UP: { retryable: false }',
    marker: 'MADE_UP',
    places: ['src/cli/terminal/exit-codes.ts', 'src/client/engine/verdict.ts'],
  },
  {
    file: 'src/client/engine/pending-request.ts',
    name: 'PendingRequest',
    member: "{ readonly state: 'madeUpState' }",
    marker: 'madeUpState',
    places: [
      'src/client/engine/connection.ts',
      'src/client/engine/dispatcher.ts',
      'src/client/engine/engine.ts',
    ],
  },
  {
    file: 'src/server/life/standing.ts',
    name: 'Standing',
    member: "{ readonly kind: 'madeUpStanding' }",
    marker: 'madeUpStanding',
    places: ['src/server/life/standing.ts', 'src/server/operate/status.ts'],
  },
  {
    file: 'src/kv/records/kinds.ts',
    name: 'Contents',
    member: 'madeUpRecord: Head',
    marker: 'madeUpRecord',
    places: ['src/kv/records/kinds.ts'],
  },
  {
    file: 'src/storage/events.ts',
    name: 'StorageEvent',
    member: "{ readonly kind: 'madeUpStorageEvent' }",
    marker: 'madeUpStorageEvent',
    places: ['src/server/operate/event-lines.ts'],
  },
  {
    file: 'src/transport/events.ts',
    name: 'TransportEvent',
    member: "{ readonly kind: 'madeUpTransportEvent' }",
    marker: 'madeUpTransportEvent',
    places: ['src/server/operate/event-lines.ts'],
  },
  {
    file: 'src/kv/store.ts',
    name: 'StoreOperation',
    member: "{ readonly type: 'madeUpStoreOperation'; readonly key: ByteString }",
    marker: 'madeUpStoreOperation',
    places: ['src/sim/world/disk/store.ts', 'src/storage/level/store.ts'],
  },
  {
    file: 'src/server/config/node-config.ts',
    name: 'nodeSettings',
    member: "madeUpGroup: { x: { default: 1, min: 1, max: 1, unit: 'ms', words: '' } }",
    marker: 'madeUpGroup',
    places: ['src/server/config/cluster-file.ts', 'src/server/config/node-config.ts'],
  },
];

describe('a member added to', () => {
  let failed: Map<string, Set<string>>;

  beforeAll(() => {
    failed = filesThatFail(root, cases);
  }, 300_000);

  test.each(cases)('$name is missed in every place that has to know it', ({ marker, places }) => {
    expect([...(failed.get(marker) ?? [])].sort()).toEqual(expect.arrayContaining([...places]));
  });
});
