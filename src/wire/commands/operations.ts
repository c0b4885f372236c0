// The bytes of what clients ask for, one codec per operation, under the keys of the operations in `kv`. The
// bytes of a command are in the log for as long as the log is: numbers and positions never change their
// meaning. What is wrong with an argument is said to the user, not to the programmer of a client: it is
// `TOO_LARGE` or `INVALID_ARGUMENT` where a frame's field would be `PROTOCOL`.

import { fromByteString, toByteString, type ByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import { kvLimits, type ClientOperation, type Condition } from '../../kv/commands.js';
import { bytesAt } from '../checks.js';
import { optional, type Field } from '../fields.js';
import { commandBytesMax, fieldLimits } from '../limits.js';
import { describe, type WireArray, type WireValue } from '../values.js';

export interface OperationCodec<O extends ClientOperation> {
  /** Position 5 of a client's command, after the four of the session. */
  readonly number: number;
  /** Positions after that. */
  readonly width: number;
  push(into: WireValue[], operation: O): void;
  /** Reads a command of the right length. */
  read(command: WireArray): O;
}

/** Of the operation's number in a client's command. */
export const operationPosition = 5;

const keyField: Field<ByteString> = {
  write: fromByteString,
  read: (command, position, name) => {
    const key = bytesAt(command, position, name, commandBytesMax);
    if (key.length === 0) {
      throw new KvorumError('INVALID_ARGUMENT', 'the key is empty; a key has 1 .. 4096 bytes');
    }
    return toByteString(atMost(key, kvLimits.keyBytesMax, name));
  },
};

const bound: Field<ByteString> = {
  write: fromByteString,
  read: (command, position, name) => {
    const given = bytesAt(command, position, name, commandBytesMax);
    return toByteString(atMost(given, fieldLimits.rangeBoundBytesMax, `${name} of the range`));
  },
};

const value: Field<Uint8Array> = {
  write: (given) => given,
  read: (command, position, name) =>
    atMost(bytesAt(command, position, name, commandBytesMax), kvLimits.valueBytesMax, name),
};

const conditionNumbers: Readonly<Record<Condition['kind'], number>> = { modRevision: 1 };

const condition: Field<Condition | undefined> = {
  write: (given) => given && [conditionNumbers[given.kind], given.revision],
  read: (command, position) => {
    const given = command[position];
    if (given === null) return undefined;
    if (!Array.isArray(given) || given.length !== 2 || given[0] !== conditionNumbers.modRevision) {
      throw new KvorumError('INVALID_ARGUMENT', 'the condition is not one that this version knows');
    }
    const revision: unknown = given[1];
    if (typeof revision === 'number' && Number.isSafeInteger(revision) && revision >= 0) {
      return { kind: 'modRevision', revision: revision + 0 };
    }
    throw new KvorumError(
      'INVALID_ARGUMENT',
      `the revision of a condition must be an integer 0 .. 2^53-1, not ${describe(revision)}`,
    );
  },
};

const optionalBound = optional(bound);

export const operationCodecs: { readonly [K in ClientOperation['kind']]: OperationCodec<Operation<K>> } = {
  put: {
    number: 1,
    width: 3,
    push: (into, operation) => {
      into.push(fromByteString(operation.key), operation.value, condition.write(operation.condition));
    },
    read: (command) => {
      const key = keyField.read(command, 6, 'key');
      const given = value.read(command, 7, 'value');
      const judged = condition.read(command, 8, 'condition');
      if (judged === undefined) return { kind: 'put', key, value: given };
      return { kind: 'put', key, value: given, condition: judged };
    },
  },
  delete: {
    number: 2,
    width: 2,
    push: (into, operation) => {
      into.push(fromByteString(operation.key), condition.write(operation.condition));
    },
    read: (command) => {
      const key = keyField.read(command, 6, 'key');
      const judged = condition.read(command, 7, 'condition');
      return judged === undefined ? { kind: 'delete', key } : { kind: 'delete', key, condition: judged };
    },
  },
  deleteRange: {
    number: 3,
    width: 2,
    push: (into, operation) => {
      into.push(bound.write(operation.start), optionalBound.write(operation.end));
    },
    read: (command) => ({
      kind: 'deleteRange',
      start: bound.read(command, 6, 'start'),
      end: optionalBound.read(command, 7, 'end'),
    }),
  },
  closeSession: { number: 4, width: 0, push: () => undefined, read: () => ({ kind: 'closeSession' }) },
};

type Operation<K extends ClientOperation['kind']> = Extract<ClientOperation, { readonly kind: K }>;

export function tooLarge(what: string, bytes: number, max: number): KvorumError {
  return new KvorumError(
    'TOO_LARGE',
    `the ${what} has ${bytes} bytes, over the limit of ${max}; store less`,
    { details: { bytes, bytesMax: max } },
  );
}

function atMost(given: Uint8Array, max: number, what: string): Uint8Array {
  if (given.length > max) throw tooLarge(what, given.length, max);
  return given;
}
