// The options and results of the client's calls, as types, and the names of all options: an unknown name is
// refused, because a misspelt condition would be a write without one. Times end in Ms and are milliseconds;
// revisions are integers below 2^53. Optional fields also accept `undefined`, so that callers can pass
// through what they were not given. Names and bounds are checked in `arguments`.

import type { Revision } from '../kv/commands.js';
import type { NodeStatus } from '../wire/clients/status.js';
import type { ClientLimits } from './engine/limits.js';

/**
 * A key, a value, or an end of a range: text, which is stored as UTF-8, or a view of bytes (Uint8Array,
 * Buffer, DataView and the like). What is given is taken as it is at the moment of the call.
 */
export type BytesLike = string | ArrayBufferView;

export interface CallOptions {
  /**
   * Gives up the call: it fails with ABORTED, and for a write that was sent with the outcome `unknown`.
   * Default: none.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * The call ends within this time, retries included. 1 .. 2^31-1; default 10,000 or what `connect` was
   * given.
   */
  readonly timeoutMs?: number | undefined;
}

export interface ConnectOptions {
  /**
   * Addresses of 1 .. 32 nodes, as `host:port` or `ws://host:port` with a port of 1 .. 65535. The other
   * members are found through them.
   */
  readonly endpoints: readonly string[];
  /** For reaching the leader, and the default of all calls. 1 .. 2^31-1; default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Gives up connecting. Without effect on the client once `connect` has resolved. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /** Resolve at once and connect in the background; the first calls wait. Default false. */
  readonly lazy?: boolean | undefined;
  /**
   * Talk to `endpoints` only, and not to the addresses that the nodes give for each other: for clients that
   * reach the nodes through proxies or forwarded ports. List every node then. Default false.
   */
  readonly endpointsOnly?: boolean | undefined;
  /** Single numbers of the client in place of its defaults. Default: those of `ClientLimits`. */
  readonly limits?: Partial<ClientLimits> | undefined;
}

/**
 * `linearizable`: the newest committed state, confirmed by a majority; the default. `leaderLease`: the same
 * promise, and in this version the same read, as safe and no faster. `{ maxStalenessMs }`: no older than
 * this; 0 .. 2^31-1. `serializable`: any committed state that the node asked has, however old.
 */
export type ConsistencyLevel =
  'linearizable' | 'leaderLease' | 'serializable' | { readonly maxStalenessMs: number };

export interface ReadOptions extends CallOptions {
  /** How new what is read must be. Default `linearizable`. */
  readonly consistency?: ConsistencyLevel | undefined;
  /**
   * Read the store as it was at this revision. 1 or more; default: the newest. Above the newest the read
   * fails with FUTURE_REVISION.
   */
  readonly revision?: Revision | undefined;
  /**
   * Wait until the node asked has this revision, and fail with TIMEOUT when it does not come. 1 or more; for
   * the weaker levels. Default: no waiting.
   */
  readonly minRevision?: Revision | undefined;
  /** Which node is asked: the leader, or the one that answers fastest. Default `leader`. */
  readonly readFrom?: 'leader' | 'nearest' | undefined;
}

export interface PutOptions extends CallOptions {
  /**
   * Only if the key's modRevision is this one, or, with 0, only if the key does not exist (as `ifAbsent`);
   * otherwise CONFLICT. 0 or more; default: whatever the key is.
   */
  readonly ifRevision?: Revision | undefined;
  /** Only if the key does not exist; otherwise CONFLICT. Not together with `ifRevision`. Default false. */
  readonly ifAbsent?: boolean | undefined;
}

export interface DeleteOptions extends CallOptions {
  /**
   * Only if the key's modRevision is this one; otherwise CONFLICT. For a single key. 1 or more; default:
   * whatever the key is.
   */
  readonly ifRevision?: Revision | undefined;
}

/**
 * Either a prefix, or a start (included) and an end (not included), each optional; nothing: the whole store.
 */
export interface RangeSelection {
  /**
   * Every key that begins with this. Up to 4,096 bytes; empty: every key, which `delete` refuses. Not
   * together with `start` and `end`.
   */
  readonly prefix?: BytesLike | undefined;
  /** Up to 4,096 bytes. Default: from the first key on. */
  readonly start?: BytesLike | undefined;
  /** Sorts after `start`, byte by byte. Up to 4,096 bytes. Default: up to the last key, included. */
  readonly end?: BytesLike | undefined;
}

export interface RangeOptions extends RangeSelection, ReadOptions {
  /** At most this many entries. 1 or more; default: all. */
  readonly limit?: number | undefined;
  /** From the last key downwards. Default false. */
  readonly reverse?: boolean | undefined;
  /** Leave the values out (empty). Default false. */
  readonly keysOnly?: boolean | undefined;
}

export interface CountOptions extends RangeSelection, ReadOptions {}

/** `names` holds exactly the fields of `Fields`; the compiler sees to it. */
function namesOf<Fields>(names: Readonly<Record<keyof Fields, true>>): ReadonlySet<string> {
  return new Set(Object.keys(names));
}

const ofCall: Record<keyof CallOptions, true> = { timeoutMs: true, signal: true };
const ofRead: Record<keyof ReadOptions, true> = {
  consistency: true,
  revision: true,
  minRevision: true,
  readFrom: true,
  ...ofCall,
};
const ofSelection: Record<keyof RangeSelection, true> = { prefix: true, start: true, end: true };

export const selectionNames = namesOf<RangeSelection>(ofSelection);

/** The names of the options of each call, in the order in which messages list them. */
export const optionNames = {
  connect: namesOf<ConnectOptions>({
    endpoints: true,
    timeoutMs: true,
    signal: true,
    lazy: true,
    endpointsOnly: true,
    limits: true,
  }),
  put: namesOf<PutOptions>({ ifRevision: true, ifAbsent: true, ...ofCall }),
  get: namesOf<ReadOptions>(ofRead),
  delete: namesOf<DeleteOptions>({ ifRevision: true, ...ofCall }),
  range: namesOf<RangeOptions>({
    ...ofSelection,
    limit: true,
    reverse: true,
    keysOnly: true,
    ...ofRead,
  }),
  count: namesOf<CountOptions>({ ...ofSelection, ...ofRead }),
  status: namesOf<CallOptions>(ofCall),
  raiseFormat: namesOf<CallOptions>(ofCall),
};

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
