// One node's state, for `kvorum status`: what the status answer holds.

import { hexAt, listAt, uintAt } from '../checks.js';
import { ascii, clusterIdOrEmpty, count, hex, message, nodeId, optional, row, word } from '../fields.js';
import type { Field, ValuesOf } from '../fields.js';
import { fieldLimits } from '../limits.js';

const { hashDigits, stateHashesMax } = fieldLimits;

type StateHash = readonly [index: number, hash: string];

/** The newest pairs, in one array. */
const stateHashes: Field<readonly StateHash[]> = {
  write: (pairs) => pairs.slice(-stateHashesMax).flat(),
  read: (frame, position, name) => {
    const list = listAt(frame, position, name, 2, stateHashesMax);
    const pairs: StateHash[] = [];
    for (let i = 0; i < list.length; i += 2) {
      pairs.push([uintAt(list, i, `${name}, index`), hexAt(list, i + 1, `${name}, hash`, hashDigits)]);
    }
    return pairs;
  },
};

const statusFields = {
  clusterId: clusterIdOrEmpty,
  nodeId,
  role: word({ leader: 0, follower: 1, candidate: 2, precandidate: 3, recovering: 4, forming: 5 }),
  leaderId: optional(nodeId),
  term: count,
  commitIndex: count,
  appliedIndex: count,
  revision: count,
  /** Hash of the replicated state after `stateHashIndex`. */
  stateHash: hex(hashDigits),
  stateHashIndex: count,
  /** The newest 64 or fewer pairs before that, oldest first, to compare nodes at a common index. */
  stateHashes,
  version: ascii(fieldLimits.versionLengthMax),
  pid: count,
  dbBytes: count,
  logBytes: count,
  /**
   * `forming`: no cluster yet. `recovering`: its disk was damaged; it waits to hear from the others.
   * `catchingUp`: takes entries, does not vote yet. `running`: takes part in everything.
   */
  state: word({ forming: 0, recovering: 1, catchingUp: 2, running: 3 }),
  /** Of the state; 0 while the node is not part of a formed cluster. */
  formatLevel: count,
  /** The highest that the node's software knows. */
  formatLevelMax: count,
  /** The newest protocol that the node's software speaks. */
  protocolMax: count,
  /** Members that do not hold the same after the same entry, in words; `undefined` while none is known of. */
  difference: optional(message),
  /** What is not well with the node, in words; empty when all is. */
  trouble: message,
};

export type NodeStatus = ValuesOf<typeof statusFields>;

export const nodeStatus = row('', statusFields);
