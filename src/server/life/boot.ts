// What a node's disk says about it: which node it is, whether it is part of a cluster, which store and log
// are in use, and the log it left. Every crash of the first start is recognised by the order of its writes
// (formation-record.ts); a node that cannot tell stops. All of it is synchronous.

import type { NodeId, Report } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { termMax } from '../../base/terms.js';
import { checkKnownLevel, type Software } from '../../kv/format-level.js';
import type { StateMachine } from '../../kv/state-machine.js';
import type { RecoveredState } from '../../raft/types.js';
import {
  clearLog,
  firstCurrent,
  nextLogName,
  readCurrent,
  writeCurrent,
  type Current,
} from '../../storage/folder/current.js';
import { clearDamage, readDamage, type Damage } from '../../storage/folder/damage.js';
import { openDataFolder } from '../../storage/folder/data-folder.js';
import { createWal, openWal, walExists, type LogBase, type Wal } from '../../storage/wal/wal.js';
import { encodeFormation, type Formation } from '../../wire/commands/entry-codec.js';
import type { Membership } from './forming.js';
import { readFormationRecord, writeFormationRecord, type FormationRecord } from './formation-record.js';
import type { Member } from '../../wire/clients/answers.js';
import type { NodeConfig } from '../config/node-config.js';
import { checkLogLevels } from '../replica/entry-checks.js';
import type { NodeEvent, ServerEnv } from '../events.js';

/** The data folder without its store and log. */
export interface Folder {
  readonly instanceId: string;
  /** Absent for a node that was never part of a cluster. */
  readonly record: FormationRecord | undefined;
  readonly current: Current;
  /** Noted by an earlier process of this node. */
  readonly damage: Damage | undefined;
}

/** A member's log, opened. */
export interface OpenedLog {
  readonly wal: Wal;
  readonly recovered: RecoveredState;
}

export interface BootOptions {
  readonly env: ServerEnv;
  readonly nodeId: NodeId;
  readonly config: NodeConfig;
  readonly software: Software;
  onFailure(error: Error): void;
}

/** Entry 1 counts as written in this term; elections begin in the next. */
export const formationTerm = 1;

/**
 * Reads who this node is and what is in use, and removes what is left of a log that is not. Throws `IDENTITY`
 * (folder of another node or cluster), `FORMAT` (the software is too old), `CORRUPT` or `DISK`.
 */
export function openFolder({ env, nodeId, software }: BootOptions): Folder {
  const { disk, entropy } = env;
  const { instanceId } = openDataFolder({ disk, nodeId, entropy });
  const record = readFormationRecord(disk);
  if (record !== undefined && !record.formation.members.some((member) => member.instanceId === instanceId)) {
    throw new KvorumError(
      'CORRUPT',
      'identity.json and cluster.json are not of the same node: restore the folder, or replace the member',
    );
  }
  if (record !== undefined) {
    checkKnownLevel(record.formation.formatLevel, software, 'the cluster was formed at');
  }
  const noted = readCurrent(disk);
  // To guess would be to remove the other log, which may be the one that others rely on.
  if (noted === undefined && record?.namesPair === true)
    throw lost('current.json', 'cluster.json', undefined);
  const current = noted ?? firstCurrent;
  const damage = readDamage(disk, current);
  if (damage === undefined) clearDamage(disk);
  clearLog(disk, nextLogName(current));
  return { instanceId, record, current, damage };
}

/**
 * Opens the log of a node that is, or was about to become, a member; `undefined` for one that never was. The
 * state machine is loaded: the log must reach its applied index. Throws as `openWal` does, and `CORRUPT` when
 * a part of the folder is gone.
 */
export function openFolderLog(
  options: BootOptions,
  { record, current }: Folder,
  stateMachine: StateMachine,
): OpenedLog | undefined {
  const hasLog = walExists(options.env.disk, current.log);
  if (record === undefined) {
    if (hasLog || stateMachine.appliedIndex > 0)
      throw lost('cluster.json', 'the log or the store', undefined);
    return undefined;
  }
  if (record.state === 'forming') {
    return finishForming(options, record, current, stateMachine, hasLog);
  }
  if (!hasLog) throw lost('the log', 'cluster.json', current.log);
  return openLog(options, record.formation, current, stateMachine.appliedIndex);
}

/** Makes this node a member on disk: durable when it returns. The node was not part of a cluster before. */
export function formOnDisk(
  options: BootOptions,
  membership: Membership,
  current: Current,
  stateMachine: StateMachine,
): OpenedLog {
  writeFormationRecord(options.env.disk, { state: 'forming', ...membership });
  return finishForming(options, membership, current, stateMachine, false);
}

/**
 * Makes the log that will take the place of the one in use: durable when it returns, and not in use yet.
 * Without a base it begins with the formation.
 */
export function makeNextLog(
  options: BootOptions,
  formation: Formation,
  current: Current,
  hardState: RecoveredState['hardState'],
  base: LogBase | undefined,
): string {
  const directory = nextLogName(current);
  clearLog(options.env.disk, directory);
  const entries = base === undefined ? [formationEntry(formation)] : [];
  createWal(segmentOptions(options, formation, directory), { hardState, entries }, base);
  return directory;
}

/** Opens the log in use. Throws `FORMAT`, `CORRUPT`, `IDENTITY` or `DISK`. */
export function openLog(
  options: BootOptions,
  formation: Formation,
  { log: directory }: Current,
  appliedIndexFloor: number,
): OpenedLog {
  const { env, config, software, onFailure } = options;
  const { wal, recovered } = openWal({
    ...segmentOptions(options, formation, directory),
    clock: env.clock,
    timers: env.timers,
    report: env.report,
    quotaBytes: config.wal.quotaBytes,
    recentEntriesBytesMax: config.raft.entryCacheBytesMax,
    appliedIndexFloor,
    onFailure,
  });
  const { currentTerm } = recovered.hardState;
  if (currentTerm > termMax) {
    // Repaired as damage is: with the largest term that the others know.
    wal.close(() => undefined);
    const message = `the log says that this node is in term ${currentTerm}; no term is above ${termMax}`;
    throw new KvorumError('CORRUPT', message, { details: { file: directory } });
  }
  checkLogLevels(recovered.log.recentEntries, software);
  return { wal, recovered };
}

function finishForming(
  options: BootOptions,
  { formation, secret }: Membership,
  current: Current,
  stateMachine: StateMachine,
  hasLog: boolean,
): OpenedLog {
  if (!hasLog) {
    createWal(segmentOptions(options, formation, current.log), {
      hardState: { currentTerm: formationTerm, votedFor: undefined, commitIndex: 1 },
      entries: [formationEntry(formation)],
    });
  }
  // Opening makes durable what is there: of a log that an earlier process made, the system may have told and
  // not kept. The record that misses it comes after.
  const opened = openLog(options, formation, current, stateMachine.appliedIndex);
  try {
    writeCurrent(options.env.disk, current);
    writeFormationRecord(options.env.disk, { state: 'formed', formation, secret, namesPair: true });
  } catch (error) {
    opened.wal.close(() => undefined);
    throw error;
  }
  return opened;
}

function formationEntry(formation: Formation): RecoveredState['log']['recentEntries'][number] {
  return { index: 1, term: formationTerm, kind: 'configuration', payload: encodeFormation(formation) };
}

function segmentOptions(
  { env, nodeId, config }: BootOptions,
  { clusterId }: Formation,
  directory: string,
): Parameters<typeof createWal>[0] {
  const { disk, entropy } = env;
  return { disk, directory, entropy, clusterId, nodeId, segmentBytes: config.wal.segmentBytes };
}

/** `file`: the part of the folder that the others can give back. */
function lost(what: string, present: string, file: string | undefined): KvorumError {
  const message = `${what} is missing from the data folder while ${present} is there`;
  const advice = file === undefined ? ': restore the folder, or replace the member' : '';
  return new KvorumError('CORRUPT', message + advice, { details: { file } });
}

/**
 * The cluster file only forms a cluster: later it says where members are now, and must still say who they
 * are.
 */
export function reportDifferences(
  report: Report<NodeEvent>,
  file: readonly Member[],
  formation: Formation,
): void {
  for (const { nodeId, address } of file) {
    const member = formation.members.find((candidate) => candidate.nodeId === nodeId);
    if (member === undefined) {
      report({ kind: 'fileListsNoMember', nodeId });
    } else if (member.address !== address) {
      report({ kind: 'fileMovesMember', nodeId, file: address, formed: member.address });
    }
  }
}
