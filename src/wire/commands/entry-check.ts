// Whether a member can read an entry, before it appends it. Goes over the payload in place: no object per
// command, nothing unpacked, because every entry of every member passes here. What passes can be decoded when
// it is applied: an entry that cannot would stop every member that has it, at each start anew.

import { asBuffer } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import { checkKnownLevel, type Software } from '../../kv/format-level.js';
import { commandBytesMax, entryHeaderBytes, entryLengthBytes, entryLimits } from '../limits.js';
import { arrayLength, firstElement, numberIn, scalarEnd, scan } from '../scan.js';
import { kindOfNumbers } from './command-codec.js';
import { isTime } from './entry-codec.js';
import { refusedField } from './entry-fields.js';
import { operationPosition } from './operations.js';

/**
 * Throws `FORMAT` when the entry's level, or that of one of its commands, is above what the software reads,
 * and `PROTOCOL`, naming the place, for a payload that is malformed or whose commands are not of its level.
 */
export function checkEntryPayload(payload: Uint8Array, software: Software): void {
  const buffer = asBuffer(payload);
  const { length } = buffer;
  if (length < entryHeaderBytes) malformed(`${length} bytes are shorter than the header`, 0);
  const level = buffer[0] as number;
  if (level === 0) malformed('the format level is 0', 0);
  checkKnownLevel(level, software, 'the entry is of');
  if (!isTime(buffer.readDoubleLE(1))) malformed('the cluster time is none', 1);
  if (!isTime(buffer.readDoubleLE(9))) malformed('the wall time is none', 9);
  const count = buffer.readUInt32LE(17);
  if (count > entryLimits.commandsMax) malformed(`${count} commands are over the limit`, 17);
  let offset = entryHeaderBytes;
  for (let i = 0; i < count; i++) {
    const start = offset + entryLengthBytes;
    if (start > length) malformed(`the end comes before command ${i}`, offset);
    const bytes = buffer.readUInt32LE(offset);
    if (bytes > commandBytesMax) malformed(`command ${i} has ${bytes} bytes, over the limit`, offset);
    if (start + bytes > length) malformed(`the end comes inside command ${i}`, offset);
    checkCommand(buffer, start, start + bytes, level, software);
    offset = start + bytes;
  }
  if (offset !== length) malformed(`${length - offset} bytes too many`, offset);
}

function checkCommand(
  payload: Uint8Array,
  start: number,
  end: number,
  entryLevel: number,
  software: Software,
): void {
  scan(payload, start, end);
  const arity = arrayLength(payload, start);
  if (arity < 1) malformed('a command is no array of positions', start);
  const first = firstElement(payload, start);
  const number = numberIn(payload, first);
  const operation = arity > operationPosition ? operationIn(payload, first) : -1;
  const known = kindOfNumbers(number, operation);
  if (known === undefined) malformed('a command is of no known kind', start);
  const level = software.commandLevels[known.kind];
  checkKnownLevel(level, software, 'a command of the entry is of');
  if (level > entryLevel) {
    malformed(`${known.kind} belongs to format level ${level}, its entry to ${entryLevel}`, start);
  }
  // It names the level that its entry is of, or `apply` would meet another one than was looked at here.
  if (known.kind === 'raiseFormat' && raisedLevel(payload, first) !== entryLevel) {
    malformed('raiseFormat names another level than its entry', start);
  }
  if (arity !== known.arity) malformed(`${known.kind} has ${arity} positions, not ${known.arity}`, start);
  if (known.kind === 'expireTables' || known.kind === 'raiseFormat') return;
  const refused = refusedField(payload, first, known.kind);
  if (refused >= 0) malformed(`position ${refused} of a ${known.kind} is not what it must be`, start);
}

/** The level that a command `raiseFormat` names, whose positions begin at `first`; -1 if there is none. */
function raisedLevel(payload: Uint8Array, first: number): number {
  const offset = scalarEnd(payload, first);
  return offset < 0 ? -1 : numberIn(payload, offset);
}

/** The number at `operationPosition` of a command whose positions begin at `offset`; -1 if there is none. */
function operationIn(payload: Uint8Array, first: number): number {
  let offset = first;
  for (let position = 0; position < operationPosition; position++) {
    offset = scalarEnd(payload, offset);
    if (offset < 0) return -1;
  }
  return numberIn(payload, offset);
}

function malformed(what: string, offset: number): never {
  throw new KvorumError('PROTOCOL', `malformed log entry: ${what} (byte ${offset} of its payload)`, {
    details: { offset },
  });
}
