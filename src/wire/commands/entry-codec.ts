// Payloads of log entries: a batch of commands behind a header written by hand, and the formation (entry 1).
// These bytes are on disk for as long as the log is: a layout never changes, a new one gets a new format
// version, and a version this code does not know is refused, never guessed at. All numbers are little-endian.
//
//   batch:    u8 formatVersion, f64 clusterTimeMs, f64 wallTimeMs, u32 count, then the commands
//   command:  u32 length, bytes

import { assert } from '../../base/assert.js';
import { asBuffer } from '../../base/bytes.js';
import type { NodeId } from '../../base/env.js';
import { KvorumError } from '../../base/errors.js';
import type { Command, EntryTimes } from '../../kv/commands.js';
import { asciiAt, checkArity, describe, fieldLimits, hexAt, listAt, nodeIdAt } from '../fields.js';
import { packValue, unpackArray, type WireValue } from '../codec.js';
import { commandBytesMax, decodeCommand } from './command-codec.js';

const entryFormatVersion = 1;
const formationFormatVersion = 1;

const headerBytes = 21;
const lengthBytes = 4;

/** Limits of one entry; a batch is closed before the next command would break one. */
export const entryLimits = {
  /** Commands in one entry. */
  commandsMax: 1_024,
  /** Bytes of all its commands together, unless it holds a single one. */
  bytesMax: 256 * 1_024,
  /** Bytes of any payload: that of one largest command. */
  payloadBytesMax: headerBytes + lengthBytes + commandBytesMax,
  formationBytesMax: 64 * 1_024,
} as const;

export interface EntryContent {
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
}

/**
 * A payload with the commands' bytes verbatim, in new memory. The caller keeps to `entryLimits` and gives
 * times that are integers 0 .. 2^53-1 (a violation is a bug).
 */
export function encodeEntryPayload(times: EntryTimes, commands: readonly Uint8Array[]): Uint8Array {
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
  // Not from Buffer's shared pool: an entry lives long in caches, and must not keep its pool alive with it.
  const payload = Buffer.allocUnsafeSlow(headerBytes + commands.length * lengthBytes + commandBytes);
  payload[0] = entryFormatVersion;
  payload.writeDoubleLE(times.clusterTimeMs, 1);
  payload.writeDoubleLE(times.wallTimeMs, 9);
  payload.writeUInt32LE(commands.length, 17);
  let offset = headerBytes;
  for (const command of commands) {
    payload.writeUInt32LE(command.length, offset);
    payload.set(command, offset + lengthBytes);
    offset += lengthBytes + command.length;
  }
  return payload;
}

/**
 * Times and commands of a payload; values are views into `payload`. Throws `CORRUPT`, naming place and
 * reason, for anything that `encodeEntryPayload` cannot have made of commands that were checked, and for a
 * newer format.
 */
export function decodeEntryPayload(payload: Uint8Array): EntryContent {
  const times = decodeEntryTimes(payload);
  const buffer = asBuffer(payload);
  const count = buffer.readUInt32LE(17);
  if (count > entryLimits.commandsMax) throw corrupt(`${count} commands are over the limit`, 17);
  const commands: Command[] = [];
  let offset = headerBytes;
  for (let i = 0; i < count; i++) {
    if (offset + lengthBytes > buffer.length) throw corrupt(`the end comes before command ${i}`, offset);
    const end = offset + lengthBytes + buffer.readUInt32LE(offset);
    if (end > buffer.length) throw corrupt(`the end comes inside command ${i}`, offset);
    commands.push(decodeLoggedCommand(buffer.subarray(offset + lengthBytes, end), i, offset));
    offset = end;
  }
  if (offset !== buffer.length) throw corrupt(`${buffer.length - offset} bytes too many`, offset);
  return { times, commands };
}

/** Only the times of a payload. Throws `CORRUPT` for a header that is damaged or of a newer format. */
export function decodeEntryTimes(payload: Uint8Array): EntryTimes {
  const buffer = asBuffer(payload);
  if (buffer.length < headerBytes) throw corrupt(`${buffer.length} bytes are shorter than the header`, 0);
  const version = buffer[0] as number;
  if (version !== entryFormatVersion) throw unknownVersion('entry', version, entryFormatVersion);
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
  return packValue([formationFormatVersion, formation.clusterId, members]);
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
  if (version !== formationFormatVersion) throw unknownVersion('formation', version, formationFormatVersion);
  checkArity(positions, 3, 'formation');
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
  return { clusterId, members };
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

function isTime(value: number): boolean {
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

function unknownVersion(what: string, version: number, known: number): KvorumError {
  const advice = version > known ? 'it was written by a newer kvorum; upgrade this node' : 'it is damaged';
  return new KvorumError('CORRUPT', `${what} of format version ${version}, known is ${known}: ${advice}`);
}
