// Payloads of log entries: a batch of commands behind a header written by hand, and the formation (entry 1).
// These bytes are on disk for as long as the log is: the header's layout never changes, and an entry of a
// format level that this software does not know is refused, never guessed at. All numbers are little-endian.
//
//   batch:    u8 formatLevel, f64 clusterTimeMs, f64 wallTimeMs, u32 count, then the commands
//   command:  u32 length, bytes

import { assert } from '../../base/assert.js';
import { asBuffer } from '../../base/bytes.js';
import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Command, EntryTimes } from '../../kv/commands.js';
import { checkKnownLevel, type Software } from '../../kv/format-level.js';
import { asciiAt, checkArity, hexAt, listAt, nodeIdAt, uintAt } from '../checks.js';
import { packValue, unpackArray } from '../codec.js';
import { commandBytesMax, entryHeaderBytes, entryLengthBytes, entryLimits, fieldLimits } from '../limits.js';
import { describe, type WireValue } from '../values.js';
import { decodeCommand } from './command-codec.js';

const formationFormatVersion = 2;

export interface EntryContent {
  /** The format level that its reader must know. */
  readonly level: number;
  readonly times: EntryTimes;
  readonly commands: Command[];
}

export interface FormationMember {
  readonly nodeId: NodeId;
  /** Of the data folder that this node had when the cluster was formed, 32 hexadecimal digits. */
  readonly instanceId: string;
  /** host:port */
  readonly address: string;
}

/** Entry 1 of every log: what the cluster is and who its first members are. */
export interface Formation {
  readonly clusterId: string;
  readonly members: readonly FormationMember[];
  /** The format level that the state begins with: what every member's software knew then. 1 or more. */
  readonly formatLevel: number;
}

/**
 * A payload with the commands' bytes verbatim, in new memory. `level`: of the state that the commands are
 * for. The caller keeps to `entryLimits` and gives times that are integers 0 .. 2^53-1 (a violation is a
 * bug).
 */
export function encodeEntryPayload(
  times: EntryTimes,
  level: number,
  commands: readonly Uint8Array[],
): Uint8Array {
  let commandBytes = 0;
  for (const command of commands) commandBytes += command.length;
  assert(
    commands.length <= entryLimits.commandsMax &&
      commandBytes <= (commands.length > 1 ? entryLimits.bytesMax : commandBytesMax),
    `an entry of ${commands.length} commands and ${commandBytes} bytes is over its limits`,
  );
  assert(
    isTime(times.clusterTimeMs) && isTime(times.wallTimeMs),
    `times of an entry must be integers 0 .. 2^53-1, not ${times.clusterTimeMs} and ${times.wallTimeMs}`,
  );
  assert(isLevel(level), `the format level of an entry must be 1 .. 255, not ${level}`);
  // Not from Buffer's shared pool: an entry lives long in caches, and must not keep its pool alive with it.
  const payload = Buffer.allocUnsafeSlow(
    entryHeaderBytes + commands.length * entryLengthBytes + commandBytes,
  );
  payload[0] = level;
  payload.writeDoubleLE(times.clusterTimeMs, 1);
  payload.writeDoubleLE(times.wallTimeMs, 9);
  payload.writeUInt32LE(commands.length, 17);
  let offset = entryHeaderBytes;
  for (const command of commands) {
    payload.writeUInt32LE(command.length, offset);
    payload.set(command, offset + entryLengthBytes);
    offset += entryLengthBytes + command.length;
  }
  return payload;
}

/**
 * Level, times and commands of a payload; values are views into `payload`. Throws `FORMAT` for a level above
 * the software's, and `CORRUPT`, naming place and reason, for anything that `encodeEntryPayload` cannot
 * have made of commands that were checked.
 */
export function decodeEntryPayload(
  payload: Uint8Array,
  software: Pick<Software, 'formatLevelMax'>,
): EntryContent {
  const times = decodeEntryTimes(payload);
  const level = payload[0] as number;
  checkKnownLevel(level, software, 'the entry is of');
  const buffer = asBuffer(payload);
  const count = buffer.readUInt32LE(17);
  if (count > entryLimits.commandsMax) throw corrupt(`${count} commands are over the limit`, 17);
  const commands: Command[] = [];
  let offset = entryHeaderBytes;
  for (let i = 0; i < count; i++) {
    if (offset + entryLengthBytes > buffer.length) throw corrupt(`the end comes before command ${i}`, offset);
    const end = offset + entryLengthBytes + buffer.readUInt32LE(offset);
    if (end > buffer.length) throw corrupt(`the end comes inside command ${i}`, offset);
    commands.push(decodeLoggedCommand(buffer.subarray(offset + entryLengthBytes, end), i, offset));
    offset = end;
  }
  if (offset !== buffer.length) throw corrupt(`${buffer.length - offset} bytes too many`, offset);
  return { level, times, commands };
}

/** Only the times of a payload, of whichever level. Throws `CORRUPT` for a header that is damaged. */
export function decodeEntryTimes(payload: Uint8Array): EntryTimes {
  const buffer = asBuffer(payload);
  if (buffer.length < entryHeaderBytes)
    throw corrupt(`${buffer.length} bytes are shorter than the header`, 0);
  if (buffer[0] === 0) throw corrupt('the format level is 0', 0);
  const clusterTimeMs = buffer.readDoubleLE(1);
  const wallTimeMs = buffer.readDoubleLE(9);
  if (!isTime(clusterTimeMs)) throw corrupt(`the cluster time is ${clusterTimeMs}`, 1);
  if (!isTime(wallTimeMs)) throw corrupt(`the wall time is ${wallTimeMs}`, 9);
  return { clusterTimeMs, wallTimeMs };
}

/** The payload of entry 1. The caller has checked the members (a violation is refused by every decoder). */
export function encodeFormation(formation: Formation): Uint8Array {
  const members: WireValue[] = [];
  for (const member of formation.members) members.push(member.nodeId, member.instanceId, member.address);
  return packValue([formationFormatVersion, formation.clusterId, members, formation.formatLevel]);
}

/**
 * Throws `CORRUPT`, naming place and reason, for anything that is not a formation, and for a newer format.
 */
export function decodeFormation(payload: Uint8Array): Formation {
  if (payload.length > entryLimits.formationBytesMax) {
    throw corruptFormation(`${payload.length} bytes are over the limit of ${entryLimits.formationBytesMax}`);
  }
  try {
    return readFormation(payload);
  } catch (error) {
    if (!KvorumError.is(error, 'PROTOCOL')) throw error;
    throw corruptFormation(error.message, error);
  }
}

function readFormation(payload: Uint8Array): Formation {
  const positions = unpackArray(payload);
  const version = positions[0];
  if (typeof version !== 'number') throw corruptFormation(`its version is ${describe(version)}`);
  if (version !== formationFormatVersion) throw unknownVersion(version);
  checkArity(positions, 4, 'formation');
  const clusterId = asciiAt(positions, 1, 'clusterId', fieldLimits.clusterIdLengthMax);
  const list = listAt(positions, 2, 'members', 3, fieldLimits.membersMax);
  const members: FormationMember[] = [];
  const seen = new Set<NodeId>();
  for (let i = 0; i < list.length; i += 3) {
    const nodeId = nodeIdAt(list, i, 'member, nodeId');
    if (seen.has(nodeId)) throw corruptFormation(`member ${nodeId} is there twice`);
    seen.add(nodeId);
    const instanceId = hexAt(list, i + 1, 'member, instanceId', 32);
    members.push({
      nodeId,
      instanceId,
      address: asciiAt(list, i + 2, 'address', fieldLimits.addressLengthMax),
    });
  }
  if (members.length === 0) throw corruptFormation('it has no members');
  const formatLevel = uintAt(positions, 3, 'formatLevel', fieldLimits.formatLevelMax, 1);
  return { clusterId, members, formatLevel };
}

function decodeLoggedCommand(bytes: Uint8Array, position: number, offset: number): Command {
  try {
    return decodeCommand(bytes);
  } catch (error) {
    // Bytes are checked before they enter the log, so whatever is wrong with them now became wrong in it.
    if (!KvorumError.is(error)) throw error;
    throw corrupt(`command ${position}: ${error.message}`, offset, error);
  }
}

function isLevel(level: number): boolean {
  return Number.isInteger(level) && level >= 1 && level <= fieldLimits.formatLevelMax;
}

export function isTime(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);
}

function corrupt(what: string, offset: number, cause?: Error): KvorumError {
  return new KvorumError('CORRUPT', `damaged log entry: ${what} (byte ${offset} of its payload)`, {
    details: { offset },
    cause,
  });
}

function corruptFormation(what: string, cause?: Error): KvorumError {
  return new KvorumError('CORRUPT', `damaged formation of the cluster: ${what}`, { cause });
}

function unknownVersion(version: number): KvorumError {
  const known = formationFormatVersion;
  const advice = version > known ? 'it was written by a newer kvorum; upgrade this node' : 'it is damaged';
  return new KvorumError('CORRUPT', `formation of format version ${version}, known is ${known}: ${advice}`);
}
