// Who a data folder belongs to: `identity.json` names the node and the folder's own random `instanceId`,
// which peers compare. Must never give a new identity to a folder that had one: a node that lost its data and
// came back under its old name could vote twice in a term.

import { toHex } from '../../base/bytes.js';
import type { Disk, Entropy, NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import { readJsonFile, writeJsonFile } from './json-file.js';

export interface FolderIdentity {
  readonly nodeId: NodeId;
  /** Drawn when the folder was first used, 32 hexadecimal digits. */
  readonly instanceId: string;
}

export interface DataFolderOptions {
  readonly disk: Disk;
  readonly entropy: Entropy;
  readonly nodeId: NodeId;
}

const identityPath = 'identity.json';
const formatVersion = 1;

/**
 * The identity of the folder; an empty folder gets one, durably. Only one process may do this at a time: hold
 * the lock (folder-lock.ts). Throws `IDENTITY` for another node's folder, `CORRUPT` for a damaged or newer
 * file, `DISK`.
 */
export function openDataFolder({ disk, entropy, nodeId }: DataFolderOptions): FolderIdentity {
  const fields = readJsonFile(disk, identityPath, formatVersion);
  if (fields === undefined) {
    const identity = { nodeId, instanceId: toHex(entropy.bytes(16)) };
    writeJsonFile(disk, identityPath, formatVersion, identity);
    return identity;
  }
  const { nodeId: ownerId, instanceId } = fields;
  if (typeof ownerId !== 'string' || ownerId === '') throw malformed('nodeId', 'a name');
  if (typeof instanceId !== 'string' || !/^[0-9a-f]{32}$/.test(instanceId)) {
    throw malformed('instanceId', '32 hexadecimal digits');
  }
  if (ownerId !== nodeId) {
    const advice = `start it as ${ownerId}, or give ${nodeId} a folder of its own`;
    throw new KvorumError(
      'IDENTITY',
      `the data folder belongs to node ${ownerId}, not ${nodeId}: ${advice}`,
      {
        details: { path: identityPath, nodeId: ownerId },
      },
    );
  }
  // A process killed just after the rename may have left the file's name only in memory.
  disk.syncDirectorySync('.');
  return { nodeId, instanceId };
}

function malformed(field: string, expected: string): KvorumError {
  const advice = 'restore the data folder, or replace the member';
  const message = `${identityPath} is damaged: its "${field}" is not ${expected}; ${advice}`;
  return new KvorumError('CORRUPT', message, { details: { path: identityPath, field } });
}
