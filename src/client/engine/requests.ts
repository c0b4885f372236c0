// What can be asked of a cluster, and for each kind of request and of operation all that the engine has to
// know of it: two registries, complete by their types, so that a new kind does not compile before every
// question here is answered for it. Must hold no state and make no decision about a single try.

import type { ByteString } from '../../base/bytes.js';
import { defined } from '../../base/assert.js';
import type { KvorumError } from '../../base/errors.js';
import type { ClientOperation, Condition, Revision, SessionStamp } from '../../kv/commands.js';
import { encodeCommand } from '../../wire/commands/command-codec.js';
import type { ClientFrame } from '../../wire/clients/requests.js';
import type { Consistency } from '../../wire/clients/consistency.js';
import type {
  CountAnswer,
  FormatRaisedAnswer,
  GetAnswer,
  RangeAnswer,
  StatusAnswer,
  WriteAnswer,
} from '../../wire/clients/answers.js';

/**
 * `leader`: the leader's connection unless it is busy or missing; `nearest`: the connected node that answers
 * fastest; `leaderOnly`: nobody but the leader.
 */
export type ReadFrom = 'leader' | 'nearest' | 'leaderOnly';

interface Read {
  readonly consistency: Consistency;
  readonly revision: Revision;
  readonly minRevision: Revision;
  readonly readFrom: ReadFrom;
}

export interface EngineWrite {
  readonly kind: 'write';
  /** The engine keeps it until the write is decided; the bytes in it must not change. */
  readonly operation: ClientOperation;
}

export interface EngineGet extends Read {
  readonly kind: 'get';
  readonly key: ByteString;
}

/** One page of a range. */
export interface EngineRange extends Read {
  readonly kind: 'range';
  readonly start: ByteString;
  readonly end: ByteString | undefined;
  readonly limit: number;
  readonly reverse: boolean;
  readonly keysOnly: boolean;
}

export interface EngineCount extends Read {
  readonly kind: 'count';
  readonly start: ByteString;
  readonly end: ByteString | undefined;
}

/** The view of one node; without `endpoint` of the leader, or of any node. */
export interface EngineStatus {
  readonly kind: 'status';
  /** host:port of an endpoint or of a member. */
  readonly endpoint?: string;
}

/** To the node at `endpoint`, which must lead: bring the cluster to this format level. */
export interface EngineRaiseFormat {
  readonly kind: 'raiseFormat';
  readonly level: number;
  readonly endpoint: string;
}

export type EngineRequest =
  EngineWrite | EngineGet | EngineRange | EngineCount | EngineStatus | EngineRaiseFormat;

export type RequestKind = EngineRequest['kind'];

/** The answer to each kind of request, as it came. A conflict is a result: `written`, with that code. */
export interface EngineAnswers extends Record<RequestKind, { readonly kind: string }> {
  readonly write: WriteAnswer;
  readonly get: GetAnswer;
  readonly range: RangeAnswer;
  readonly count: CountAnswer;
  readonly status: StatusAnswer;
  readonly raiseFormat: FormatRaisedAnswer;
}

export type EngineResult = EngineAnswers[RequestKind];

/** Called exactly once, never before `submit` has returned. */
export type EngineDone = (result: EngineResult | KvorumError) => void;

/**
 * `write`: carries a stamp; `read`: any node that is far enough may answer; `status`: is
 * about the node that is asked, whoever leads.
 */
export type Lane = 'write' | 'read' | 'status';

export type RequestFrame = ClientFrame & { readonly requestId: number };

export interface RequestRule<Request extends EngineRequest> {
  readonly lane: Lane;
  /** Changes something: a copy that was sent and not judged may have done so. */
  readonly takesEffect: boolean;
  /** The kind of frame that answers it. */
  readonly answer: EngineAnswers[Request['kind']]['kind'];
  /** An estimate of the frame's size without its fixed part. */
  bytes(request: Request): number;
  readFrom(request: Request): ReadFrom;
  /** The node must have come as far as the cluster. */
  readsNewest(request: Request): boolean;
  /** The address of the only node that can answer. */
  endpoint(request: Request): string | undefined;
  /** One try. `stamp`: of a write, all its tries carry the same. */
  frame(
    request: Request,
    requestId: number,
    timeoutMs: number,
    stamp: SessionStamp | undefined,
  ): RequestFrame;
}

const reading = {
  lane: 'read',
  takesEffect: false,
  readFrom: ({ readFrom, consistency }: Read): ReadFrom =>
    consistency.kind === 'leaderLease' ? 'leaderOnly' : readFrom,
  readsNewest: ({ consistency }: Read): boolean => consistency.kind === 'linearizable',
  endpoint: (): undefined => undefined,
} as const;

const requestRules = {
  write: {
    lane: 'write',
    takesEffect: true,
    answer: 'written',
    bytes: ({ operation }) => operationRule(operation).bytes(operation),
    readFrom: () => 'leaderOnly',
    readsNewest: () => false,
    endpoint: () => undefined,
    frame: ({ operation }, requestId, timeoutMs, stamp) => {
      const session = defined(stamp, 'the stamp of a write that is sent');
      const command = encodeCommand({ kind: 'client', session, operation });
      return { kind: 'write', requestId, timeoutMs, command };
    },
  },
  get: {
    ...reading,
    answer: 'got',
    bytes: ({ key }) => key.length,
    frame: ({ consistency, revision, minRevision, key }, requestId, timeoutMs) => ({
      kind: 'get',
      requestId,
      timeoutMs,
      consistency,
      revision,
      minRevision,
      key,
    }),
  },
  range: {
    ...reading,
    answer: 'page',
    bytes: rangeBytes,
    frame: (request, requestId, timeoutMs) => {
      const { consistency, revision, minRevision, start, end, limit, reverse, keysOnly } = request;
      const read = { requestId, timeoutMs, consistency, revision, minRevision };
      return { kind: 'range', ...read, start, end, limit, reverse, keysOnly };
    },
  },
  count: {
    ...reading,
    answer: 'counted',
    bytes: rangeBytes,
    frame: ({ consistency, revision, minRevision, start, end }, requestId, timeoutMs) => ({
      kind: 'count',
      requestId,
      timeoutMs,
      consistency,
      revision,
      minRevision,
      start,
      end,
    }),
  },
  status: {
    lane: 'status',
    takesEffect: false,
    answer: 'status',
    bytes: () => 0,
    readFrom: () => 'leader',
    readsNewest: () => false,
    endpoint: ({ endpoint }) => endpoint,
    frame: (_request, requestId, timeoutMs) => ({ kind: 'status', requestId, timeoutMs }),
  },
  raiseFormat: {
    lane: 'status',
    takesEffect: true,
    answer: 'formatRaised',
    bytes: () => 0,
    readFrom: () => 'leader',
    readsNewest: () => false,
    endpoint: ({ endpoint }) => endpoint,
    frame: ({ level }, requestId, timeoutMs) => ({ kind: 'raiseFormat', requestId, timeoutMs, level }),
  },
} satisfies { readonly [Kind in RequestKind]: RequestRule<Extract<EngineRequest, { kind: Kind }>> };

export function requestRule(request: EngineRequest): RequestRule<EngineRequest> {
  return requestRules[request.kind] as RequestRule<EngineRequest>;
}

export interface OperationRule<Operation extends ClientOperation> {
  /** Bytes of keys and values. */
  bytes(operation: Operation): number;
  /** What must hold for it to be executed; CONFLICT says that it did not. */
  condition(operation: Operation): Condition | undefined;
}

const operationRules = {
  put: {
    bytes: ({ key, value }) => key.length + value.length,
    condition: ({ condition }) => condition,
  },
  delete: {
    bytes: ({ key }) => key.length,
    condition: ({ condition }) => condition,
  },
  deleteRange: { bytes: rangeBytes, condition: () => undefined },
  closeSession: { bytes: () => 0, condition: () => undefined },
} satisfies {
  readonly [Kind in ClientOperation['kind']]: OperationRule<Extract<ClientOperation, { kind: Kind }>>;
};

export function operationRule(operation: ClientOperation): OperationRule<ClientOperation> {
  return operationRules[operation.kind] as OperationRule<ClientOperation>;
}

function rangeBytes({ start, end }: { start: ByteString; end: ByteString | undefined }): number {
  return start.length + (end?.length ?? 0);
}
