// Random frames and commands of every kind, and helpers that the tests of the wire share. Numbers favour the
// edges at which msgpack changes its encoding.

import { termMax } from '../../src/base/terms.js';
import fc from 'fast-check';
import { toByteString } from '../../src/base/bytes.js';
import { KvorumError } from '../../src/base/errors.js';
import { kvLimits, type ClientOperation, type Command, type KeyRecord } from '../../src/kv/commands.js';
import type { Message } from '../../src/raft/messages.js';
import { wireLimits } from '../../src/wire/limits.js';
import type { ClientFrame } from '../../src/wire/clients/requests.js';
import type { NodeStatus } from '../../src/wire/clients/status.js';
import type { PeerFrame, PeerRaft } from '../../src/wire/peers/frames.js';
import type { ServerFrame } from '../../src/wire/clients/answers.js';
import type { SnapshotFrame } from '../../src/wire/snapshots/frames.js';

import type { WireValue } from '../../src/wire/values.js';

export const runs = { numRuns: 300 };

const edges = [
  0,
  1,
  31,
  32,
  63,
  64,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
];

export const uint = fc.oneof(fc.constantFrom(...edges), fc.maxSafeNat());
const positive = fc.oneof(fc.constantFrom(...edges.slice(1)), fc.integer({ min: 1, max: 2 ** 31 - 1 }));
const timeoutMs = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(255, 256, 65_535, 65_536, 100_000).map((length) => new Uint8Array(length).fill(7)),
);
const shortKey = fc.uint8Array({ minLength: 1, maxLength: 30 }).map(toByteString);
export const key = fc.oneof(
  shortKey,
  fc.constantFrom(255, 256, kvLimits.keyBytesMax).map((length) => '\xc1'.repeat(length)),
);
const start = fc.oneof(fc.constant(''), key, fc.constant('\xff'.repeat(kvLimits.keyBytesMax) + '\x00'));
const end = fc.option(start, { nil: undefined });
const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: digits, maxLength: digits });
const ascii = fc.string({ unit: fc.constantFrom(...' !aZ09~-_/:.'), minLength: 1, maxLength: 64 });
const nodeId = fc.oneof(
  fc.constantFrom('n1', 'n2', 'n3'),
  fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/),
);
const text = fc.string({ unit: 'grapheme', maxLength: 200 }).filter((value) => value.length <= 1_000);

export const record: fc.Arbitrary<KeyRecord> = fc.record({
  key,
  value: bytes,
  createRevision: uint,
  modRevision: uint,
  version: uint,
  leaseId: uint,
});

/** Ranges that meet ours and others: both arrive. */
const versionFields = {
  protocolMin: fc.constantFrom(0, 2, 3),
  protocolMax: fc.constantFrom(3, 4, 2 ** 53 - 1),
  formatLevelMax: positive,
};
const creditBytes = fc.integer({ min: 1, max: wireLimits.streamCreditBytesMax });

/** One for each kind of a union: a kind without any does not compile. */
type Arbitraries<T extends { readonly kind: string }> = {
  readonly [K in T['kind']]: fc.Arbitrary<Extract<T, { readonly kind: K }>>;
};

const envelope = { from: nodeId, to: nodeId, term: uint };
const lastLog = { lastLogIndex: uint, lastLogTerm: uint };

const appendEntries = fc
  .record({
    ...envelope,
    kind: fc.constant('appendEntries' as const),
    prevLogIndex: fc.oneof(
      fc.constantFrom(0, 2 ** 32),
      fc.maxSafeNat().map((index) => Math.floor(index / 2)),
    ),
    prevLogTerm: uint,
    leaderCommit: uint,
    bodies: fc.array(
      fc.record({
        term: positive,
        kind: fc.constantFrom('command' as const, 'noop' as const, 'configuration' as const),
        payload: bytes,
      }),
      { maxLength: 8 },
    ),
  })
  .map(({ bodies, ...message }) => ({
    ...message,
    entries: bodies.map((body, offset) => ({ ...body, index: message.prevLogIndex + 1 + offset })),
  }));

export const raftMessageOf = {
  appendEntries,
  preVote: fc.record({ ...envelope, kind: fc.constant('preVote' as const), ...lastLog }),
  preVoteResult: fc.record({
    ...envelope,
    kind: fc.constant('preVoteResult' as const),
    voteGranted: fc.boolean(),
    refusal: fc.option(fc.constantFrom('leaderAlive', 'logBehind', 'voted', 'termOver', 'catchingUp'), {
      nil: undefined,
    }),
  }),
  requestVote: fc.record({
    ...envelope,
    kind: fc.constant('requestVote' as const),
    ...lastLog,
    leadershipTransfer: fc.boolean(),
  }),
  requestVoteResult: fc.record({
    ...envelope,
    kind: fc.constant('requestVoteResult' as const),
    voteGranted: fc.boolean(),
    refusal: fc.option(fc.constantFrom('leaderAlive', 'logBehind', 'voted', 'termOver', 'catchingUp'), {
      nil: undefined,
    }),
  }),
  appendEntriesResult: fc.record({
    ...envelope,
    kind: fc.constant('appendEntriesResult' as const),
    success: fc.boolean(),
    matchIndex: uint,
    hintIndex: uint,
    hintTerm: uint,
  }),
  heartbeat: fc.record({
    ...envelope,
    kind: fc.constant('heartbeat' as const),
    leaderCommit: uint,
    round: uint,
  }),
  heartbeatResult: fc.record({
    ...envelope,
    kind: fc.constant('heartbeatResult' as const),
    round: uint,
    commitIndex: uint,
    commitTerm: uint,
  }),
  historyDiffers: fc.record({
    ...envelope,
    kind: fc.constant('historyDiffers' as const),
    index: uint,
    leaderTerm: uint,
  }),
  readIndex: fc.record({ ...envelope, kind: fc.constant('readIndex' as const), requestId: uint }),
  readIndexResult: fc.record({
    ...envelope,
    kind: fc.constant('readIndexResult' as const),
    requestId: uint,
    readIndex: uint,
  }),
  timeoutNow: fc.record({ ...envelope, kind: fc.constant('timeoutNow' as const) }),
} satisfies Arbitraries<Message>;
export const raftMessage: fc.Arbitrary<Message> = fc.oneof(...Object.values(raftMessageOf));

const snapshotFrameOf = {
  snapshotOffer: fc.record({
    kind: fc.constant('snapshotOffer' as const),
    sendingId: uint,
    appliedIndex: uint,
    appliedTerm: uint,
    revision: uint,
    formatLevel: fc.integer({ min: 1, max: 255 }),
  }),
  snapshotCursor: fc.record({
    kind: fc.constant('snapshotCursor' as const),
    sendingId: uint,
    revision: uint,
    sub: fc.constantFrom(0, 1, 9_999, 2 ** 32 - 1),
  }),
  snapshotChunk: fc.record({
    kind: fc.constant('snapshotChunk' as const),
    sendingId: uint,
    sequence: positive,
    part: fc.constantFrom('history' as const, 'tables' as const, 'end' as const),
    records: fc.array(
      fc.record({
        key: fc.uint8Array({ minLength: 1, maxLength: wireLimits.chunkKeyBytesMax }).map(toByteString),
        value: bytes,
      }),
      { minLength: 1, maxLength: 5 },
    ),
    hash: hex(16),
  }),
  snapshotResult: fc.record({
    kind: fc.constant('snapshotResult' as const),
    sendingId: uint,
    sequence: uint,
    state: fc.constantFrom('written' as const, 'staged' as const, 'refused' as const),
    message: text,
  }),
} satisfies Arbitraries<SnapshotFrame>;

const proofField = fc.uint8Array({ minLength: 32, maxLength: 32 });

export const peerFrameOf = {
  ...snapshotFrameOf,
  hello: fc.record({
    kind: fc.constant('hello' as const),
    ...versionFields,
    nodeId,
    to: nodeId,
    nonce: proofField,
    instanceId: fc.option(hex(32), { nil: undefined }),
    memberIds: fc.array(nodeId, { maxLength: 7 }),
    proof: fc.option(proofField, { nil: undefined }),
  }),
  refusal: fc.record({
    kind: fc.constant('refusal' as const),
    code: fc.constantFrom('PROTOCOL' as const, 'IDENTITY' as const, 'otherData' as const),
    message: text,
  }),
  proof: fc.record({
    kind: fc.constant('proof' as const),
    incarnation: hex(32),
    formatLevel: fc.integer({ min: 1, max: 255 }),
    currentTerm: fc.option(fc.integer({ min: 0, max: termMax }), { nil: undefined }),
    catchingUp: fc.boolean(),
    proof: proofField,
  }),
  formation: fc.record({
    kind: fc.constant('formation' as const),
    formation: fc.uint8Array({ maxLength: 500 }),
    secret: proofField,
    formatLevel: fc.integer({ min: 1, max: 255 }),
    echoes: fc.array(proofField, { maxLength: 16 }),
  }),
  stateHash: fc.record({
    kind: fc.constant('stateHash' as const),
    index: uint,
    formatLevel: fc.integer({ min: 1, max: 255 }),
    hash: hex(16),
    asks: fc.boolean(),
  }),
} satisfies Arbitraries<Exclude<PeerFrame, PeerRaft>>;

export const peerFrame: fc.Arbitrary<PeerFrame> = fc.oneof(
  { weight: 6, arbitrary: raftMessage.map((message) => ({ kind: 'raft' as const, message })) },
  ...Object.values(peerFrameOf).map((arbitrary) => ({ weight: 1, arbitrary })),
);

const consistency = fc.oneof(
  fc.constantFrom(
    { kind: 'linearizable' as const },
    { kind: 'leaderLease' as const },
    { kind: 'serializable' as const },
  ),
  fc.record({ kind: fc.constant('bounded' as const), maxStalenessMs: uint }),
);
const timed = { requestId: uint, timeoutMs };
const read = { ...timed, consistency, revision: uint, minRevision: uint };

export const clientFrameOf = {
  hello: fc.record({
    kind: fc.constant('hello' as const),
    ...versionFields,
    clusterId: fc.option(ascii, { nil: undefined }),
  }),
  write: fc.record({ kind: fc.constant('write' as const), ...timed, command: bytes }),
  get: fc.record({ kind: fc.constant('get' as const), ...read, key }),
  range: fc.record({
    kind: fc.constant('range' as const),
    ...read,
    start,
    end,
    limit: positive,
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
  }),
  count: fc.record({ kind: fc.constant('count' as const), ...read, start, end }),
  status: fc.record({ kind: fc.constant('status' as const), ...timed }),
  cancel: fc.record({ kind: fc.constant('cancel' as const), requestId: uint }),
  ping: fc.record({ kind: fc.constant('ping' as const), requestId: uint }),
  closeStream: fc.record({ kind: fc.constant('closeStream' as const), requestId: uint }),
  openStream: fc.record({
    kind: fc.constant('openStream' as const),
    requestId: uint,
    topic: ascii,
    argument: fc.uint8Array({ maxLength: 100 }),
    creditBytes,
  }),
  streamCredit: fc.record({
    kind: fc.constant('streamCredit' as const),
    requestId: uint,
    bytes: creditBytes,
  }),
  raiseFormat: fc.record({
    kind: fc.constant('raiseFormat' as const),
    requestId: uint,
    timeoutMs: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    level: fc.integer({ min: 1, max: 255 }),
  }),
} satisfies Arbitraries<ClientFrame>;

export const clientFrame: fc.Arbitrary<ClientFrame> = fc.oneof(...Object.values(clientFrameOf));

const status: fc.Arbitrary<NodeStatus> = fc.record({
  clusterId: fc.oneof(fc.constant(''), ascii),
  nodeId,
  trouble: fc.string({ maxLength: 100 }),
  role: fc.constantFrom('leader', 'follower', 'candidate', 'precandidate', 'recovering', 'forming'),
  state: fc.constantFrom('forming', 'recovering', 'catchingUp', 'running'),
  leaderId: fc.option(nodeId, { nil: undefined }),
  term: uint,
  commitIndex: uint,
  appliedIndex: uint,
  revision: uint,
  stateHash: hex(16),
  stateHashIndex: uint,
  stateHashes: fc.array(fc.tuple(uint, hex(16)), { maxLength: 64 }),
  version: ascii,
  pid: uint,
  dbBytes: uint,
  logBytes: uint,
  formatLevel: uint,
  formatLevelMax: uint,
  protocolMax: uint,
  difference: fc.option(text, { nil: undefined }),
});
const optionalNode = fc.option(nodeId, { nil: undefined });

export const serverFrameOf = {
  hello: fc.record({
    kind: fc.constant('hello' as const),
    ...versionFields,
    formatLevel: uint,
    clusterId: fc.oneof(fc.constant(''), ascii),
    nodeId,
    members: fc.array(fc.record({ nodeId, address: ascii }), { maxLength: 7 }),
    leaderId: optionalNode,
    term: uint,
    clusterTimeMs: uint,
  }),
  leader: fc.record({
    kind: fc.constant('leader' as const),
    why: fc.string({ maxLength: 100 }),
    leaderId: optionalNode,
    term: uint,
    clusterTimeMs: uint,
  }),
  error: fc.record({
    kind: fc.constant('error' as const),
    requestId: uint,
    code: ascii,
    message: text,
    outcome: fc.constantFrom('none' as const, 'unknown' as const),
  }),
  written: fc.record({
    kind: fc.constant('written' as const),
    requestId: uint,
    code: fc.constantFrom('OK' as const, 'CONFLICT' as const),
    revision: uint,
    count: uint,
    current: fc.option(record, { nil: undefined }),
  }),
  got: fc.record({
    kind: fc.constant('got' as const),
    requestId: uint,
    revision: uint,
    record: fc.option(record, { nil: undefined }),
  }),
  page: fc.record({
    kind: fc.constant('page' as const),
    requestId: uint,
    revision: uint,
    records: fc.array(record, { maxLength: 5 }),
    more: fc.boolean(),
  }),
  counted: fc.record({ kind: fc.constant('counted' as const), requestId: uint, revision: uint, count: uint }),
  status: fc.record({ kind: fc.constant('status' as const), requestId: uint, status }),
  pong: fc.record({ kind: fc.constant('pong' as const), requestId: uint }),
  streamData: fc.record({
    kind: fc.constant('streamData' as const),
    requestId: uint,
    sequence: positive,
    payload: bytes.filter(({ length }) => length > 0),
  }),
  streamEnd: fc.record({
    kind: fc.constant('streamEnd' as const),
    requestId: uint,
    code: ascii,
    message: text,
  }),
  formatRaised: fc.record({
    kind: fc.constant('formatRaised' as const),
    requestId: uint,
    formatLevel: uint,
  }),
} satisfies Arbitraries<ServerFrame>;

export const serverFrame: fc.Arbitrary<ServerFrame> = fc.oneof(...Object.values(serverFrameOf));

const condition = fc.record({ kind: fc.constant('modRevision' as const), revision: uint });
const operation: fc.Arbitrary<ClientOperation> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), key, value: bytes }),
  fc.record({ kind: fc.constant('put' as const), key, value: bytes, condition }),
  fc.record({ kind: fc.constant('delete' as const), key }),
  fc.record({ kind: fc.constant('delete' as const), key, condition }),
  fc.record({ kind: fc.constant('deleteRange' as const), start, end }),
  fc.record({ kind: fc.constant('closeSession' as const) }),
);

export const clientCommand: fc.Arbitrary<Command> = fc.record({
  kind: fc.constant('client' as const),
  session: fc.record({
    sessionId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(toByteString),
    createdClusterTimeMs: uint,
    sequence: positive,
    acknowledgedThrough: uint,
  }),
  operation,
});

export const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: clientCommand },
  { weight: 1, arbitrary: fc.constant({ kind: 'expireTables' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('raiseFormat' as const),
      level: fc.integer({ min: 1, max: 255 }),
    }),
  },
);

/** The value with all bytes as text, so that views, Buffers and arrays of equal content are equal. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}

/** Runs `action`; the KvorumError it threw, or undefined when it threw none. Any other error is passed on. */
export function errorOf(action: () => unknown): KvorumError | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (KvorumError.is(error)) return error;
    throw error;
  }
}

/** What may be at a position where it does not belong. */
export const oddValues: WireValue[] = [
  null,
  true,
  -1,
  0.5,
  2 ** 53,
  NaN,
  Infinity,
  -(2 ** 53),
  '',
  'x',
  'ü',
  'a\nb',
  'z'.repeat(5_000),
  new Uint8Array(0),
  new Uint8Array(5_000),
  [],
  [[]],
  [1, 2, 3],
  ['n1'],
];
