// The bytes of commands. A client's bytes are checked once where they enter the cluster and go into the log
// verbatim; every node decodes the same bytes to the same command, for ever: numbers and positions here are
// part of the log's format and never change their meaning. Limits are those of the store, the same on every
// node.

import { fromByteString, toByteString, type ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import {
  kvLimits,
  type ClientCommand,
  type ClientOperation,
  type Command,
  type Condition,
  type SessionStamp,
} from '../../kv/commands.js';
import { bytesAt, checkArity, describe, fieldLimits, uintAt, type WireArray } from '../fields.js';
import { packValue, unpackArray, type WireValue } from '../codec.js';

/** Bytes of one encoded command: the largest key and value, and room for the rest. */
export const commandBytesMax: number = kvLimits.keyBytesMax + kvLimits.valueBytesMax + 1_024;

/** Position 0 of every command. */
const commandNumbers = { client: 1, expireSessions: 2, raiseFormat: 3 } as const;

/** Position 5 of a client's command, after the four of the session. */
const operationNumbers = { put: 1, delete: 2, deleteRange: 3, closeSession: 4 } as const;

/** Position 0 of a condition. */
const conditionNumbers = { modRevision: 1 } as const;

const sessionIdBytes = 16;
/** The largest number that a format level can have in any version. */
const formatLevelMax = 65_535;

/** The command's bytes. Does not check limits: what is over them is refused by every decoder. */
export function encodeCommand(command: Command): Uint8Array {
  if (command.kind === 'expireSessions') return packValue([commandNumbers.expireSessions]);
  if (command.kind === 'raiseFormat') return packValue([commandNumbers.raiseFormat, command.level]);
  const { sessionId, createdClusterTimeMs, sequence, acknowledgedThrough } = command.session;
  const id = fromByteString(sessionId);
  const positions: WireValue[] = [
    commandNumbers.client,
    id,
    createdClusterTimeMs,
    sequence,
    acknowledgedThrough,
  ];
  pushOperation(positions, command.operation);
  return packValue(positions);
}

/**
 * The command that `bytes` are; values are views into `bytes`. Throws `TOO_LARGE` for a key or value over its
 * limit, naming both sizes; `INVALID_ARGUMENT` for an empty key or an unknown condition; `PROTOCOL` for
 * anything malformed. Of what a client sent, only `decodeClientCommand` may be used.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  if (bytes.length > commandBytesMax) {
    throw tooLarge('command', bytes.length, commandBytesMax);
  }
  const positions = unpackArray(bytes);
  switch (positions[0]) {
    case commandNumbers.client:
      return {
        kind: 'client',
        session: sessionFromWire(positions),
        operation: operationFromWire(positions),
      };
    case commandNumbers.expireSessions:
      checkArity(positions, 1, 'command expireSessions');
      return { kind: 'expireSessions' };
    case commandNumbers.raiseFormat:
      checkArity(positions, 2, 'command raiseFormat');
      return { kind: 'raiseFormat', level: uintAt(positions, 1, 'level', formatLevelMax, 1) };
    default:
      throw new KvorumError(
        'PROTOCOL',
        `position 0 is not the number of a command: ${describe(positions[0])}`,
      );
  }
}

/**
 * As `decodeCommand`, for bytes from a client: commands that only a leader makes are refused with `PROTOCOL`.
 */
export function decodeClientCommand(bytes: Uint8Array): ClientCommand {
  const command = decodeCommand(bytes);
  if (command.kind === 'client') return command;
  throw new KvorumError('PROTOCOL', `a client must not send the command ${command.kind}`);
}

function pushOperation(positions: WireValue[], operation: ClientOperation): void {
  switch (operation.kind) {
    case 'put': {
      const condition = conditionToWire(operation.condition);
      positions.push(operationNumbers.put, fromByteString(operation.key), operation.value, condition);
      break;
    }
    case 'delete': {
      const condition = conditionToWire(operation.condition);
      positions.push(operationNumbers.delete, fromByteString(operation.key), condition);
      break;
    }
    case 'deleteRange': {
      const end = operation.end === undefined ? undefined : fromByteString(operation.end);
      positions.push(operationNumbers.deleteRange, fromByteString(operation.start), end);
      break;
    }
    case 'closeSession':
      positions.push(operationNumbers.closeSession);
      break;
  }
}

function conditionToWire(condition: Condition | undefined): WireValue {
  return condition === undefined ? undefined : [conditionNumbers.modRevision, condition.revision];
}

function sessionFromWire(positions: WireArray): SessionStamp {
  return {
    sessionId: toByteString(bytesAt(positions, 1, 'sessionId', sessionIdBytes, sessionIdBytes)),
    createdClusterTimeMs: uintAt(positions, 2, 'createdClusterTimeMs'),
    sequence: uintAt(positions, 3, 'sequence', Number.MAX_SAFE_INTEGER, 1),
    acknowledgedThrough: uintAt(positions, 4, 'acknowledgedThrough'),
  };
}

function operationFromWire(positions: WireArray): ClientOperation {
  switch (positions[5]) {
    case operationNumbers.put: {
      checkArity(positions, 9, 'command put');
      const key = commandKeyAt(positions, 6, 'key');
      const value = valueAt(positions, 7);
      const condition = conditionAt(positions, 8);
      return condition === undefined ? { kind: 'put', key, value } : { kind: 'put', key, value, condition };
    }
    case operationNumbers.delete: {
      checkArity(positions, 8, 'command delete');
      const key = commandKeyAt(positions, 6, 'key');
      const condition = conditionAt(positions, 7);
      return condition === undefined ? { kind: 'delete', key } : { kind: 'delete', key, condition };
    }
    case operationNumbers.deleteRange:
      checkArity(positions, 8, 'command deleteRange');
      return {
        kind: 'deleteRange',
        start: boundAt(positions, 6, 'start'),
        end: positions[7] === null ? undefined : boundAt(positions, 7, 'end'),
      };
    case operationNumbers.closeSession:
      checkArity(positions, 6, 'command closeSession');
      return { kind: 'closeSession' };
    default:
      throw new KvorumError(
        'PROTOCOL',
        `position 5 is not the number of an operation: ${describe(positions[5])}`,
      );
  }
}

/**
 * A key; unlike `keyAt` of frames it tells the user, not the programmer of a client, what is wrong with it.
 */
function commandKeyAt(positions: WireArray, position: number, name: string): ByteString {
  const key = bytesAt(positions, position, name, commandBytesMax);
  if (key.length === 0) {
    throw new KvorumError('INVALID_ARGUMENT', 'the key is empty; a key has 1 .. 4096 bytes');
  }
  if (key.length > kvLimits.keyBytesMax) throw tooLarge(name, key.length, kvLimits.keyBytesMax);
  return toByteString(key);
}

function boundAt(positions: WireArray, position: number, name: string): ByteString {
  const bound = bytesAt(positions, position, name, commandBytesMax);
  const max = fieldLimits.rangeBoundBytesMax;
  if (bound.length > max) throw tooLarge(`${name} of the range`, bound.length, max);
  return toByteString(bound);
}

function valueAt(positions: WireArray, position: number): Uint8Array {
  const value = bytesAt(positions, position, 'value', commandBytesMax);
  if (value.length > kvLimits.valueBytesMax) throw tooLarge('value', value.length, kvLimits.valueBytesMax);
  return value;
}

function conditionAt(positions: WireArray, position: number): Condition | undefined {
  const value = positions[position];
  if (value === null) return undefined;
  if (Array.isArray(value) && value.length === 2 && value[0] === conditionNumbers.modRevision) {
    const revision: unknown = value[1];
    if (typeof revision === 'number' && Number.isSafeInteger(revision) && revision >= 0) {
      return { kind: 'modRevision', revision: revision + 0 };
    }
    throw new KvorumError(
      'INVALID_ARGUMENT',
      `the revision of a condition must be an integer 0 .. 2^53-1, not ${describe(revision)}`,
    );
  }
  throw new KvorumError('INVALID_ARGUMENT', 'the condition is not one that this version knows');
}

function tooLarge(what: string, bytes: number, max: number): KvorumError {
  return new KvorumError(
    'TOO_LARGE',
    `the ${what} has ${bytes} bytes, over the limit of ${max}; store less`,
    {
      details: { bytes, bytesMax: max },
    },
  );
}
