// What a node's disk says about it: which node it is, whether it is part of a cluster, and the log it left. The order
// of first writes makes every crash in between recognisable: the log with entry 1 first, then the note that says that
// the log must be there. A node that cannot tell stops.

import type { NodeEnv, NodeId } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import type { StateMachine } from '../kv/state-machine.js';
import type { RecoveredState } from '../raft/types.js';
import { openDataFolder, recordFormation } from '../storage/data-folder.js';
import { createWal, openWal, walExists, type Wal, type WalOptions } from '../storage/wal.js';
import { decodeFormation, encodeFormation, type Formation } from '../wire/entry-codec.js';
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
  /** Loaded: its applied index is the floor that the log must reach. */
  readonly stateMachine: StateMachine;
  onFailure(error: Error): void;
}

const logDirectory = 'wal';
