// A node's status as positions of the status answer. Positions may be added at the end with a new protocol
// version only.

import { asciiAt, checkArity, fieldLimits, hexAt, listAt, nodeIdAt, optionalAsciiAt } from '../fields.js';
import { uintAt, wordAt, type WireArray } from '../fields.js';
import type { WireFrame, WireValue } from '../codec.js';
import type { NodeStatus } from '../protocol.js';

const roles: readonly NodeStatus['role'][] = [
  'leader',
  'follower',
  'candidate',
  'precandidate',
  'recovering',
  'forming',
];

const states: readonly NodeStatus['state'][] = ['forming', 'recovering', 'catchingUp', 'running'];

/** Pairs of index and hash in a status, and the digits of a hash. */
const stateHashesMax = 64;
const hashDigits = 16;

export function statusToWire(status: NodeStatus): WireFrame {
  const stateHashes: WireValue[] = [];
  for (const [index, hash] of status.stateHashes.slice(-stateHashesMax)) stateHashes.push(index, hash);
  return [
    status.clusterId === '' ? undefined : status.clusterId,
    status.nodeId,
    roles.indexOf(status.role),
    status.leaderId,
    status.term,
    status.commitIndex,
    status.appliedIndex,
    status.revision,
    status.stateHash,
    status.stateHashIndex,
    stateHashes,
    status.version,
    status.pid,
    status.dbBytes,
    status.logBytes,
    states.indexOf(status.state),
  ];
}

/** Throws `PROTOCOL` naming the position that is wrong. */
export function statusFromWire(positions: WireArray): NodeStatus {
  checkArity(positions, 16, 'status');
  return {
    // The empty id of a node whose cluster is not formed yet is sent as nil.
    clusterId: optionalAsciiAt(positions, 0, 'clusterId', fieldLimits.clusterIdLengthMax) ?? '',
    nodeId: nodeIdAt(positions, 1, 'nodeId'),
    role: wordAt(positions, 2, 'role', roles),
    leaderId: optionalAsciiAt(positions, 3, 'leaderId', fieldLimits.nodeIdLengthMax),
    term: uintAt(positions, 4, 'term'),
    commitIndex: uintAt(positions, 5, 'commitIndex'),
    appliedIndex: uintAt(positions, 6, 'appliedIndex'),
    revision: uintAt(positions, 7, 'revision'),
    stateHash: hexAt(positions, 8, 'stateHash', hashDigits),
    stateHashIndex: uintAt(positions, 9, 'stateHashIndex'),
    stateHashes: stateHashesAt(positions, 10),
    version: asciiAt(positions, 11, 'version', fieldLimits.versionLengthMax),
    pid: uintAt(positions, 12, 'pid'),
    dbBytes: uintAt(positions, 13, 'dbBytes'),
    logBytes: uintAt(positions, 14, 'logBytes'),
    state: wordAt(positions, 15, 'state', states),
  };
}

function stateHashesAt(positions: WireArray, position: number): (readonly [index: number, hash: string])[] {
  const list = listAt(positions, position, 'stateHashes', 2, stateHashesMax);
  const pairs: (readonly [number, string])[] = [];
  for (let i = 0; i < list.length; i += 2) {
    pairs.push([uintAt(list, i, 'stateHashes, index'), hexAt(list, i + 1, 'stateHashes, hash', hashDigits)]);
  }
  return pairs;
}
