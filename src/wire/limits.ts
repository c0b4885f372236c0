// Every bound of the wire, the same on every node and client: part of the protocol, not of the configuration.

import { kvLimits } from '../kv/commands.js';

/** Bytes of one encoded command: the largest key and value, and room for the rest. */
export const commandBytesMax: number = kvLimits.keyBytesMax + kvLimits.valueBytesMax + 1_024;

/** Longest `timeoutMs` of a request: also the longest delay that a timer of the platform takes. */
export const timeoutMsMax: number = 2 ** 31 - 1;

/** Bounds of single fields; part of the protocol. Lengths of text are in characters. */
export const fieldLimits = {
  nodeIdLengthMax: 64,
  clusterIdLengthMax: 64,
  addressLengthMax: 255,
  codeLengthMax: 64,
  /** Longer messages of errors are cut by the sender. */
  messageLengthMax: 1_024,
  versionLengthMax: 64,
  topicLengthMax: 64,
  membersMax: 64,
  /** Digits of a hash of 64 bits. */
  hashDigits: 16,
  /** Pairs of index and state hash in a status. */
  stateHashesMax: 64,
  /** The largest number that a format level can have in any version: it takes one byte in an entry. */
  formatLevelMax: 255,
  /** A range may start just after a key of the greatest length, which takes one byte more. */
  rangeBoundBytesMax: kvLimits.keyBytesMax + 1,
} as const;

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

/** Of the payload of an entry: level, two times, the number of commands; and of each command its length. */
export const entryHeaderBytes = 21;
export const entryLengthBytes = 4;

/** Limits of one entry; a batch is closed before the next command would break one. */
export const entryLimits = {
  /** Commands in one entry. */
  commandsMax: 1_024,
  /** Bytes of all its commands together, unless it holds a single one. */
  bytesMax: 256 * 1_024,
  /** Bytes of any payload: that of one largest command. */
  payloadBytesMax: entryHeaderBytes + entryLengthBytes + commandBytesMax,
  formationBytesMax: 64 * 1_024,
} as const;
