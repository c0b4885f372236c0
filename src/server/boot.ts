// What a node's disk says about it: which node it is, whether it is part of a cluster, and the log it left.
// Every crash of the first start is recognised by the order of its writes (formation-record.ts); a node
// that cannot tell stops.

import type { Logger, NodeEnv, NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import type { StateMachine } from '../kv/state-machine.js';
import type { RecoveredState } from '../raft/types.js';
import { openDataFolder } from '../storage/data-folder.js';
import { createWal, openWal, walExists, type Wal } from '../storage/wal.js';
import { encodeFormation, type Formation } from '../wire/entry-codec.js';
import { readFormationRecord, writeFormationRecord } from './formation-record.js';
import type { Member } from '../wire/protocol.js';
import type { NodeConfig } from './node-config.js';

/** A member's disk, opened. */
export interface FormedDisk {
  readonly formation: Formation;
  readonly wal: Wal;
  readonly recovered: RecoveredState;
}

export interface BootOptions {
  readonly env: NodeEnv;
  readonly nodeId: NodeId;
  readonly config: NodeConfig;
  /** Loaded: the log must reach its applied index. */
  readonly stateMachine: StateMachine;
  onFailure(error: Error): void;
}

const logDirectory = 'wal';

/** Entry 1 counts as written in this term; elections begin in the next. */
const formationTerm = 1;

/**
 * Opens the data folder. `formed` is absent for a node that was never part of a cluster. Synchronous. Throws
 * `IDENTITY` (folder of another node or cluster), `CORRUPT` or `DISK`.
 */
export function openDisk(options: BootOptions): { instanceId: string; formed: FormedDisk | undefined } {
  const { env, nodeId, stateMachine } = options;
  const { instanceId } = openDataFolder({ disk: env.disk, nodeId, entropy: env.entropy });
  const record = readFormationRecord(env.disk);
  const hasLog = walExists(env.disk, logDirectory);
  if (record === undefined) {
    if (hasLog || stateMachine.appliedIndex > 0) throw lost('cluster.json', 'the log or the store');
    return { instanceId, formed: undefined };
  }
  if (!record.formation.members.some((member) => member.instanceId === instanceId)) {
    throw new KvorumError(
      'CORRUPT',
      'identity.json and cluster.json are not of the same node: restore the folder, or replace the member',
    );
  }
  if (record.state === 'forming')
    return { instanceId, formed: finishForming(options, record.formation, hasLog) };
  if (!hasLog) throw lost('the log', 'cluster.json');
  return { instanceId, formed: openLog(options, record.formation) };
}

/** Makes this node a member on disk: durable when it returns. The node was not part of a cluster before. */
export function formOnDisk(options: BootOptions, formation: Formation): FormedDisk {
  writeFormationRecord(options.env.disk, { state: 'forming', formation });
  return finishForming(options, formation, false);
}

function finishForming(options: BootOptions, formation: Formation, hasLog: boolean): FormedDisk {
  if (!hasLog) {
    const payload = encodeFormation(formation);
    createWal(segmentOptions(options, formation), {
      hardState: { currentTerm: formationTerm, votedFor: undefined, commitIndex: 1 },
      entries: [{ index: 1, term: formationTerm, kind: 'configuration', payload }],
    });
  }
  writeFormationRecord(options.env.disk, { state: 'formed', formation });
  return openLog(options, formation);
}

function openLog(options: BootOptions, formation: Formation): FormedDisk {
  const { env, config, stateMachine, onFailure } = options;
  const { wal, recovered } = openWal({
    ...segmentOptions(options, formation),
    clock: env.clock,
    timers: env.timers,
    logger: env.logger,
    quotaBytes: config.wal.quotaBytes,
    recentEntriesBytesMax: config.raft.entryCacheBytesMax,
    appliedIndexFloor: stateMachine.appliedIndex,
    onFailure,
  });
  return { formation, wal, recovered };
}

function segmentOptions(
  { env, nodeId, config }: BootOptions,
  { clusterId }: Formation,
): Parameters<typeof createWal>[0] {
  const { disk, entropy } = env;
  return { disk, directory: logDirectory, entropy, clusterId, nodeId, segmentBytes: config.wal.segmentBytes };
}

function lost(what: string, present: string): KvorumError {
  const message =
    `${what} is missing from the data folder while ${present} is there: ` +
    'restore the folder, or replace the member';
  return new KvorumError('CORRUPT', message);
}

/**
 * The cluster file only forms a cluster: later it says where members are now, and must still say who they
 * are.
 */
export function warnOfDifferences(logger: Logger, file: readonly Member[], formation: Formation): void {
  for (const { nodeId, address } of file) {
    const member = formation.members.find((candidate) => candidate.nodeId === nodeId);
    if (member === undefined) {
      logger.warn(
        { nodeId },
        'the cluster file lists a node that is not a member; editing the file adds no member',
      );
    } else if (member.address !== address) {
      const fields = { nodeId, file: address, formed: member.address };
      logger.warn(
        fields,
        'the cluster file gives a member another address than at the first start; it is used',
      );
    }
  }
}
