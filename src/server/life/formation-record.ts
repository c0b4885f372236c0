// `cluster.json` in the data folder: which cluster this node is part of, kept apart from the log so that a
// log that was lost is noticed. Written twice: `forming` before the log is made, `formed` once the log is
// durable. Only a node that is `formed` tells anyone, so a crash in between is repeated without anybody
// having been promised anything. It holds the cluster's secret, and nothing else does.

import type { Disk } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { readJsonFile, writeJsonFile } from '../../storage/folder/json-file.js';
import type { Formation, FormationMember } from '../../wire/commands/entry-codec.js';
import { isNodeId } from '../../wire/node-id.js';
import { ClusterSecret } from '../peers/secret.js';

const recordPath = 'cluster.json';
const recordFormatVersion = 3;

export interface FormationRecord {
  readonly state: 'forming' | 'formed';
  readonly formation: Formation;
  readonly secret: ClusterSecret;
  /** `current.json` is there from the start; not so in folders that earlier builds formed. */
  readonly namesPair?: boolean;
}

/**
 * The record, or `undefined` when there is none. Throws `CORRUPT` for one that is damaged or of a newer
 * format.
 */
export function readFormationRecord(disk: Disk): FormationRecord | undefined {
  const json = readJsonFile(disk, recordPath, recordFormatVersion);
  if (json === undefined) return undefined;
  const secret = ClusterSecret.fromRecord(json['secret']);
  if (!isRecord(json) || secret === undefined) {
    throw new KvorumError(
      'CORRUPT',
      `${recordPath} is damaged: restore the data folder, or replace the member`,
    );
  }
  return { state: json.state, formation: json.formation, secret, namesPair: json.namesPair === true };
}

/** Makes the record durable, replacing an earlier one whole. */
export function writeFormationRecord(disk: Disk, record: FormationRecord): void {
  const fields = { ...record, secret: record.secret.forRecord() };
  writeJsonFile(disk, recordPath, recordFormatVersion, fields);
}

function isRecord(
  json: Readonly<Record<string, unknown>>,
): json is Readonly<Record<string, unknown>> & Omit<FormationRecord, 'secret'> {
  if (json['state'] !== 'forming' && json['state'] !== 'formed') return false;
  const formation = json['formation'] as Partial<Formation> | null | undefined;
  if (typeof formation !== 'object' || formation === null || typeof formation.clusterId !== 'string')
    return false;
  if (!Array.isArray(formation.members) || formation.members.length === 0) return false;
  if (!Number.isSafeInteger(formation.formatLevel)) return false;
  return formation.members.every(
    (member: unknown) =>
      typeof member === 'object' &&
      member !== null &&
      ['nodeId', 'instanceId', 'address'].every(
        (field) => typeof (member as Record<string, unknown>)[field] === 'string',
      ) &&
      isNodeId((member as FormationMember).nodeId),
  );
}
