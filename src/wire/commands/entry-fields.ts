// What the fields of a command may be, looked at in place: the same that the codecs read, without an object.
// A field that its decoder would refuse must be refused here too, and none besides; a test compares the two.

import { kvLimits } from '../../kv/commands.js';
import type { ClientOperation } from '../../kv/commands.js';
import { fieldLimits } from '../limits.js';
import { arrayLength, binaryLength, firstElement, isNil, numberIn, scalarEnd } from '../scan.js';

/** Whether the value at `offset`, which `scan` has passed, is one that the field's decoder takes. */
type FieldCheck = (bytes: Uint8Array, offset: number) => boolean;

const sessionIdBytes = 16;
const sessionId: FieldCheck = (bytes, offset) => binaryLength(bytes, offset) === sessionIdBytes;
const uint: FieldCheck = (bytes, offset) => isUint(numberIn(bytes, offset), 0);
const positive: FieldCheck = (bytes, offset) => isUint(numberIn(bytes, offset), 1);
const anything: FieldCheck = () => true;

const key: FieldCheck = (bytes, offset) => {
  const length = binaryLength(bytes, offset);
  return length >= 1 && length <= kvLimits.keyBytesMax;
};
const value: FieldCheck = (bytes, offset) => isUpTo(binaryLength(bytes, offset), kvLimits.valueBytesMax);
const bound: FieldCheck = (bytes, offset) =>
  isUpTo(binaryLength(bytes, offset), fieldLimits.rangeBoundBytesMax);
const optionalBound: FieldCheck = (bytes, offset) => isNil(bytes, offset) || bound(bytes, offset);
/** The last field of its operation: what follows an array is not found in place. */
const condition: FieldCheck = (bytes, offset) => {
  if (isNil(bytes, offset)) return true;
  if (arrayLength(bytes, offset) !== 2) return false;
  const first = firstElement(bytes, offset);
  return numberIn(bytes, first) === 1 && uint(bytes, scalarEnd(bytes, first));
};

/** Of a client's command: its number and session, then the number of its operation. */
const stampChecks: readonly FieldCheck[] = [anything, sessionId, uint, positive, uint, anything];
const operationChecks: { readonly [K in ClientOperation['kind']]: readonly FieldCheck[] } = {
  put: [key, value, condition],
  delete: [key, condition],
  deleteRange: [bound, optionalBound],
  closeSession: [],
};

/**
 * The first position of a client's command, whose positions begin at `first`, that its decoder would refuse;
 * -1 if there is none. The command has all positions of its operation.
 */
export function refusedField(bytes: Uint8Array, first: number, kind: ClientOperation['kind']): number {
  let offset = first;
  const { length } = stampChecks;
  for (let position = 0; position < length; position++) {
    if (!(stampChecks[position] as FieldCheck)(bytes, offset)) return position;
    offset = scalarEnd(bytes, offset);
  }
  const checks = operationChecks[kind];
  for (let i = 0; i < checks.length; i++) {
    // Behind an array, where no field of an operation is.
    if (offset < 0 || !(checks[i] as FieldCheck)(bytes, offset)) return length + i;
    offset = scalarEnd(bytes, offset);
  }
  return -1;
}

function isUint(number: number, min: number): boolean {
  return number >= min && Number.isSafeInteger(number);
}

function isUpTo(length: number, max: number): boolean {
  return length >= 0 && length <= max;
}
