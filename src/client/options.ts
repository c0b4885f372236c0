// The options and results of the client's calls, as types. Times end in Ms and are milliseconds; revisions
// are integers below 2^53. Optional fields also accept `undefined`, so that callers can pass through what
// they were not given. Bounds are checked in `arguments`.

import type { Revision } from '../kv/commands.js';
import type { NodeStatus } from '../wire/protocol.js';
import type { ClientLimits } from './limits.js';

export interface CallOptions {
  /** Gives up the call: it fails with ABORTED, and for a write that was sent with the outcome `unknown`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The call ends within this time, retries included. 1 .. 2^31-1; default 10,000 or what `connect` was
   * given.
   */
  readonly timeoutMs?: number | undefined;
}

export interface ConnectOptions {
  /**
   * Addresses of one node or more, as `host:port` or `ws://host:port`. The other members are found through
   * them.
   */
  readonly endpoints: readonly string[];
  /** For reaching the leader, and the default of all calls. 1 .. 2^31-1; default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Gives up connecting. Without effect on the client once `connect` has resolved. */
  readonly signal?: AbortSignal | undefined;
  /** Resolve at once and connect in the background; the first calls wait. */
  readonly lazy?: boolean | undefined;
  /**
   * Talk to `endpoints` only, and not to the addresses that the nodes give for each other: for clients that
   * reach the nodes through proxies or forwarded ports. List every node then. Default false.
   */
  readonly endpointsOnly?: boolean | undefined;
  readonly limits?: Partial<ClientLimits> | undefined;
}

/**
 * `linearizable`: the newest committed state, confirmed by a majority; the default. `leaderLease`: the
 * leader's state without asking the others, only as good as the clocks. `{ maxStalenessMs }`: no older than
 * this. `serializable`: any committed state that the node asked has, however old.
 */
export type ConsistencyLevel =
  'linearizable' | 'leaderLease' | 'serializable' | { readonly maxStalenessMs: number };

export interface ReadOptions extends CallOptions {
  readonly consistency?: ConsistencyLevel | undefined;
  /** Read the store as it was at this revision. 1 or more. */
  readonly revision?: Revision | undefined;
  /** Wait until the node asked has this revision. 1 or more; for the weaker levels. */
  readonly minRevision?: Revision | undefined;
  /** Which node is asked: the leader (default), or the one that answers fastest. */
  readonly readFrom?: 'leader' | 'nearest' | undefined;
}

export interface PutOptions extends CallOptions {
  /** Only if the key's modRevision is this one; 0: only if the key does not exist. */
  readonly ifRevision?: Revision | undefined;
  /** Only if the key does not exist. */
  readonly ifAbsent?: boolean | undefined;
}

export interface DeleteOptions extends CallOptions {
  /** Only if the key's modRevision is this one; for a single key. 1 or more. */
  readonly ifRevision?: Revision | undefined;
}

/**
 * Either a prefix, or a start (included) and an end (not included), each optional; nothing: the whole store.
 */
export interface RangeSelection {
  readonly prefix?: string | Uint8Array | undefined;
  readonly start?: string | Uint8Array | undefined;
  readonly end?: string | Uint8Array | undefined;
}

export interface RangeOptions extends RangeSelection, ReadOptions {
  /** At most this many entries. 1 or more; default: all. */
  readonly limit?: number | undefined;
  /** From the last key downwards. */
  readonly reverse?: boolean | undefined;
  /** Leave the values out (empty). */
  readonly keysOnly?: boolean | undefined;
}

export interface CountOptions extends RangeSelection, ReadOptions {}

export interface PutResult {
  /** The store's revision after the write, which is the key's modRevision. */
  readonly revision: Revision;
}

export interface DeleteResult {
  /** Keys deleted. */
  readonly deleted: number;
  /** The store's revision after the delete. */
  readonly revision: Revision;
}

/** One node; without an answer only the first three fields and the reason are known. */
export interface NodeReport extends Partial<
  Omit<NodeStatus, 'clusterId' | 'nodeId' | 'leaderId' | 'stateHashes'>
> {
  /** The node's id; its address while the id is not known. */
  readonly id: string;
  readonly address: string;
  readonly reachable: boolean;
  /** Why it is not reachable. */
  readonly reason?: string;
}

export interface ClusterStatus {
  /** `undefined` while no node of the cluster has been reached. */
  readonly clusterId: string | undefined;
  /** Who says of itself that it leads, in the highest term heard of. */
  readonly leader: string | undefined;
  readonly term: number;
  readonly nodes: readonly NodeReport[];
}
