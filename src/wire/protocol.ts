// The frames of both protocols as types, decoded. On the wire each frame is a positional msgpack array whose
// first element is the frame's number, and a WebSocket message is one array of frames. `codec` turns one into
// the other.

import type { ByteString } from '../base/bytes.js';
import type { NodeId } from '../base/env.js';
import type { Outcome } from '../base/errors.js';
import { kvLimits, type KeyRecord, type Revision } from '../kv/commands.js';
import type { StoreRecord } from '../kv/store.js';
import type { Message } from '../raft/messages.js';
import type { Versions } from './versions.js';

/** Limits of the wire, the same for all. Bytes and counts that may arrive before anything is unpacked. */
export const wireLimits = {
  /** One WebSocket message. */
  messageBytesMax: 4 * 1_048_576,
  /**
   * What senders aim for, so that heartbeats never queue behind data; one larger entry or value is allowed.
   */
  messageBytesTarget: 256 * 1024,
  depthMax: 16,
  elementsMax: 100_000,
  /** Bytes of keys and values in one page of a range. */
  pageBytesMax: 1_048_576,
  pageRecordsMax: 10_000,
  /** Credit that a client may give a stream at once. */
  streamCreditBytesMax: 16 * 1_048_576,
  /** Argument of a stream. */
  streamArgumentBytesMax: 64 * 1024,
  /** Payload of one frame of a stream: a message of it alone is one that receivers accept. */
  streamPayloadBytesMax: 4 * 1_048_576 - 64,
  /** Records of one chunk of a snapshot. */
  chunkRecordsMax: 4_096,
  /** Key of a record of a snapshot. */
  chunkKeyBytesMax: 64,
  /** Value of such a record: a version of a key holds the key, its value and some numbers. */
  chunkValueBytesMax: kvLimits.keyBytesMax + kvLimits.valueBytesMax + 1_024,
} as const;

// ---- peers

/** First frame on a peer link, from the dialing and then from the accepting node. */
export interface PeerHello extends Versions {
  readonly kind: 'hello';
  /** Of the state in the sender's store; `undefined` while the cluster is not formed on that node. */
  readonly formatLevel: number | undefined;
  readonly nodeId: NodeId;
  /** Drawn at random when the node's data folder was made, 32 hexadecimal digits. */
  readonly instanceId: string;
  /** Drawn at random at each start of the process, 32 hexadecimal digits. */
  readonly incarnation: string;
  /** `undefined` while the cluster is not formed on that node. */
  readonly clusterId: string | undefined;
  /** Of the hello's own cluster file, to tell two files apart before a cluster is formed: ids sorted. */
  readonly memberIds: readonly NodeId[];
  /** Payload of entry 1 once formed, so that a node that missed the forming learns it. */
  readonly formation: Uint8Array | undefined;
  /** Of a member that takes part; `undefined` while the node is forming or recovering. */
  readonly currentTerm: number | undefined;
  /** The member takes entries and acknowledges them, but does not vote before it has caught up. */
  readonly catchingUp: boolean;
}

/** The accepting node will not talk to the dialing one; it closes after this. */
export interface PeerRefusal {
  readonly kind: 'refusal';
  readonly code: 'PROTOCOL' | 'IDENTITY';
  readonly message: string;
}

export interface PeerRaft {
  readonly kind: 'raft';
  readonly message: Message;
}

interface Transfer {
  /** Drawn by the sending node, unique in its process. What names another one is late and has no effect. */
  readonly transferId: number;
}

/** May this node send the state that its store holds? Answered by `snapshotCursor` or a refusal. */
export interface SnapshotOffer extends Transfer {
  readonly kind: 'snapshotOffer';
  /** Of the sender's view; a later one may be sent in the end, and its `end` chunk says which. */
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly revision: Revision;
}

/** The receiver holds history through this record durably (0, 0: none); the sender goes on after it. */
export interface SnapshotCursor extends Transfer {
  readonly kind: 'snapshotCursor';
  readonly revision: Revision;
  readonly sub: number;
}

/** What a chunk holds: records of history, client sessions, or the one applied record that ends all. */
export type SnapshotPart = 'history' | 'tables' | 'end';

export interface SnapshotChunk extends Transfer {
  readonly kind: 'snapshotChunk';
  /** From 1, one more with each chunk of the transfer. */
  readonly sequence: number;
  readonly part: SnapshotPart;
  /** As they stand in the sender's store, ascending. More than about 200 KiB only for one larger record. */
  readonly records: readonly StoreRecord[];
  /** `hashChunk` over all of that, 16 hexadecimal digits. */
  readonly hash: string;
}

/**
 * `written`: the chunk is durable. `staged`: so is the whole snapshot, and it was verified. `refused`: the
 * transfer is over, for this reason.
 */
export interface SnapshotResult extends Transfer {
  readonly kind: 'snapshotResult';
  /** The chunk that is answered; 0: the offer. */
  readonly sequence: number;
  readonly state: 'written' | 'staged' | 'refused';
  /** Empty unless refused. */
  readonly message: string;
}

export type TransferFrame = SnapshotOffer | SnapshotCursor | SnapshotChunk | SnapshotResult;

export type PeerFrame = PeerHello | PeerRefusal | PeerRaft | TransferFrame;

// ---- clients: requests

export type Consistency =
  | { readonly kind: 'linearizable' }
  | { readonly kind: 'leaderLease' }
  | { readonly kind: 'bounded'; readonly maxStalenessMs: number }
  | { readonly kind: 'serializable' };

interface Request {
  /** The client's number of the request, unique on its connection while it waits. */
  readonly requestId: number;
}

interface TimedRequest extends Request {
  /**
   * What is left of the caller's deadline when the frame is sent; the server gives up after it. 1 .. 2^31-1.
   */
  readonly timeoutMs: number;
}

export interface ClientHello extends Versions {
  readonly kind: 'hello';
  /** The cluster the client belongs to since its first connection; `undefined` on that one. */
  readonly clusterId: string | undefined;
}

/** A write: the bytes of a `ClientCommand`, which go into the log as they are. */
export interface WriteRequest extends TimedRequest {
  readonly kind: 'write';
  readonly command: Uint8Array;
}

interface ReadRequest extends TimedRequest {
  readonly consistency: Consistency;
  /** Read as of this revision; 0: now. */
  readonly revision: Revision;
  /** Do not answer before the node has applied this revision. 0: no bound. */
  readonly minRevision: Revision;
}

export interface GetRequest extends ReadRequest {
  readonly kind: 'get';
  readonly key: ByteString;
}

export interface RangeRequest extends ReadRequest {
  readonly kind: 'range';
  readonly start: ByteString;
  /** Exclusive; `undefined`: to the last key. */
  readonly end: ByteString | undefined;
  /** Records wanted in all; the server sends one page and says whether there is more. 1 or more. */
  readonly limit: number;
  readonly reverse: boolean;
  /** Leave the values out (empty). */
  readonly keysOnly: boolean;
}

export interface CountRequest extends ReadRequest {
  readonly kind: 'count';
  readonly start: ByteString;
  readonly end: ByteString | undefined;
}

/** The node's own view, answered at once and without a quorum. */
export interface StatusRequest extends TimedRequest {
  readonly kind: 'status';
}

/** The client does not wait any more; the node may drop the request if it has not begun. Not answered. */
export interface CancelRequest extends Request {
  readonly kind: 'cancel';
}

/** The node replies with `pong` at once. Detects half-open connections. */
export interface PingRequest extends Request {
  readonly kind: 'ping';
}

// ---- streams
//
// A stream carries frames from a node to a client for as long as both want, in order. The client opens it
// with a credit in bytes and gives more as it has read. The node may send one frame while the credit is above
// 0, however large; the length of its payload is taken from the credit, which may go below 0 thereby. A
// client that reads slowly so runs out of credit and is waited for; it is not cut off.

interface StreamFrame {
  /** The client's number of the stream, from the same ascending numbers as those of its requests. */
  readonly requestId: number;
}

export interface OpenStream extends StreamFrame {
  readonly kind: 'openStream';
  /** What the stream is of, and about what in particular. */
  readonly topic: string;
  readonly argument: Uint8Array;
  /** 1 .. `wireLimits.streamCreditBytesMax`. */
  readonly creditBytes: number;
}

/** The client can take so many bytes more. */
export interface StreamCredit extends StreamFrame {
  readonly kind: 'streamCredit';
  /** 1 .. `wireLimits.streamCreditBytesMax`. */
  readonly bytes: number;
}

/** The client wants no more of it. Not answered: the stream is over, and what is under way has no reader. */
export interface CloseStream extends StreamFrame {
  readonly kind: 'closeStream';
}

export interface StreamData extends StreamFrame {
  readonly kind: 'streamData';
  /** From 1, one more with each frame of the stream. */
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** The last frame of a stream, also of one that could not be opened. Needs no credit. */
export interface StreamEnd extends StreamFrame {
  readonly kind: 'streamEnd';
  /** `OK`, or the code of an error; it may be one that this version does not know. */
  readonly code: string;
  readonly message: string;
}

export type ClientFrame =
  | ClientHello
  | WriteRequest
  | GetRequest
  | RangeRequest
  | CountRequest
  | StatusRequest
  | CancelRequest
  | PingRequest
  | OpenStream
  | StreamCredit
  | CloseStream;

// ---- clients: answers

export interface Member {
  readonly nodeId: NodeId;
  /** host:port that clients and peers use. */
  readonly address: string;
}

/** Who leads, as this node knows; pushed whenever it changes. */
export interface LeaderNotice {
  readonly kind: 'leader';
  readonly leaderId: NodeId | undefined;
  readonly term: number;
  /** The sender's newest cluster time. Fresh only when the sender itself is the leader named. */
  readonly clusterTimeMs: number;
}

export interface ServerHello extends Versions {
  readonly kind: 'hello';
  /** Of the cluster's state, as applied on this node. */
  readonly formatLevel: number;
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly members: readonly Member[];
  readonly leaderId: NodeId | undefined;
  readonly term: number;
  /**
   * This node's newest cluster time: the creation time for session ids. Fresh only from the leader itself.
   */
  readonly clusterTimeMs: number;
}

/** A request that failed. `code` may be one that this version does not know. */
export interface ErrorAnswer extends Request {
  readonly kind: 'error';
  readonly code: string;
  readonly message: string;
  readonly outcome: Outcome;
}

/** A write that reached a verdict: code OK or CONFLICT (others arrive as ErrorAnswer). */
export interface WriteAnswer extends Request {
  readonly kind: 'written';
  readonly code: 'OK' | 'CONFLICT';
  readonly revision: Revision;
  /** Keys deleted. */
  readonly count: number;
  /** For a CONFLICT: the key as it was when the condition was judged. */
  readonly current: KeyRecord | undefined;
}

export interface GetAnswer extends Request {
  readonly kind: 'got';
  /** The store's revision that was read. */
  readonly revision: Revision;
  readonly record: KeyRecord | undefined;
}

export interface RangeAnswer extends Request {
  readonly kind: 'page';
  readonly revision: Revision;
  readonly records: readonly KeyRecord[];
  /** There are further records in the range; ask on from the last key at this revision. */
  readonly more: boolean;
}

export interface CountAnswer extends Request {
  readonly kind: 'counted';
  readonly revision: Revision;
  readonly count: number;
}

/** One node's state, for `kvorum status`. */
export interface NodeStatus {
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly role: 'leader' | 'follower' | 'candidate' | 'precandidate' | 'recovering' | 'forming';
  /**
   * `forming`: no cluster yet. `recovering`: its disk was damaged; it waits to hear from the others.
   * `catchingUp`: takes entries, does not vote yet. `running`: takes part in everything.
   */
  readonly state: 'forming' | 'recovering' | 'catchingUp' | 'running';
  readonly leaderId: NodeId | undefined;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: Revision;
  /** Hash of the replicated state after `stateHashIndex`, 16 hexadecimal digits. */
  readonly stateHash: string;
  readonly stateHashIndex: number;
  /**
   * The newest 64 or fewer (index, hash) pairs before that, oldest first, to compare nodes at a common index.
   */
  readonly stateHashes: readonly (readonly [index: number, hash: string])[];
  readonly version: string;
  readonly pid: number;
  readonly dbBytes: number;
  readonly logBytes: number;
}

export interface StatusAnswer extends Request {
  readonly kind: 'status';
  readonly status: NodeStatus;
}

export interface PongAnswer extends Request {
  readonly kind: 'pong';
}

export type ServerFrame =
  | ServerHello
  | LeaderNotice
  | ErrorAnswer
  | WriteAnswer
  | GetAnswer
  | RangeAnswer
  | CountAnswer
  | StatusAnswer
  | PongAnswer
  | StreamData
  | StreamEnd;
