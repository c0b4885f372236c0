// What the parts of one replica share: where it lives, its core with the loop around it, its state, log and
// store. Each part takes of it what it needs, and asks the replica itself only for what is its own. Wiring:
// must never hold a rule or a state.

import type { NodeId } from '../../base/env.js';
import type { Software } from '../../kv/format-level.js';
import type { StateMachine } from '../../kv/state-machine.js';
import type { OrderedStore } from '../../kv/store.js';
import type { Raft } from '../../raft/raft.js';
import type { Wal } from '../../storage/wal/wal.js';
import type { Formation } from '../../wire/commands/entry-codec.js';
import type { NodeStatus } from '../../wire/clients/status.js';
import type { ServerEnv } from '../events.js';
import type { NodeConfig } from '../config/node-config.js';
import type { Clients } from '../front/clients.js';
import type { Peers } from '../peers/peers.js';
import type { RaftLoop } from './loop.js';

/** What a replica is made of, and whom it tells. */
export interface ReplicaSurroundings {
  readonly env: ServerEnv;
  readonly nodeId: NodeId;
  readonly config: NodeConfig;
  /** What this node can work with. */
  readonly software: Software;
  readonly formation: Formation;
  readonly stateMachine: StateMachine;
  readonly store: OrderedStore;
  readonly wal: Wal;
  readonly clients: Pick<Clients, 'notifyLeader'>;
  readonly peers: Pick<Peers, 'send' | 'isUp' | 'sendSnapshot' | 'sendStateHash' | 'formatLevelMaxOf'>;
  /** The node's own view of itself. */
  status(): NodeStatus;
  /** The node stops. */
  fail(error: Error): void;
  /** There is something to put together: `flush` is called at the end of this turn. */
  wake(): void;
}

export interface ReplicaContext extends ReplicaSurroundings {
  readonly raft: Raft;
  readonly loop: Pick<RaftLoop, 'step' | 'truncatePrefix'>;
  /** Of the state, as far as this node knows it: it may be raised already. */
  readonly formatLevel: number;
}
