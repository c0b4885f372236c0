// The bytes of commands. A client's bytes are checked once where they enter the cluster and go into the log
// verbatim; every node decodes the same bytes to the same command, for ever: numbers and positions here are
// part of the log's format and never change their meaning. Limits are those of the store, the same on every
// node.

import { fromByteString, toByteString } from '../../base/bytes.js';
import { KvorumError } from '../../base/errors.js';
import type {
  ClientCommand,
  ClientOperation,
  Command,
  LeaderCommand,
  SessionStamp,
} from '../../kv/commands.js';
import type { LevelledKind } from '../../kv/format-level.js';
import { bytesAt, checkArity, uintAt } from '../checks.js';
import { packValue, unpackArray } from '../codec.js';
import { commandBytesMax, fieldLimits } from '../limits.js';
import { describe, type WireArray, type WireValue } from '../values.js';
import { operationCodecs, operationPosition, tooLarge, type OperationCodec } from './operations.js';

interface LeaderCommandCodec<C extends LeaderCommand> {
  /** Position 0. */
  readonly number: number;
  /** Positions after that. */
  readonly width: number;
  push(into: WireValue[], command: C): void;
  read(positions: WireArray): C;
}

/** Position 0 of every command of a client. */
const clientNumber = 1;
const sessionIdBytes = 16;

const leaderCodecs: {
  readonly [K in LeaderCommand['kind']]: LeaderCommandCodec<Extract<LeaderCommand, { readonly kind: K }>>;
} = {
  expireTables: { number: 2, width: 0, push: () => undefined, read: () => ({ kind: 'expireTables' }) },
  raiseFormat: {
    number: 3,
    width: 1,
    push: (into, command) => void into.push(command.level),
    read: (positions) => ({
      kind: 'raiseFormat',
      level: uintAt(positions, 1, 'level', fieldLimits.formatLevelMax, 1),
    }),
  },
};

/** A kind of command as its bytes name it: by the number at `position`, in an array of `arity`. */
export interface KindOfCommand {
  readonly kind: LevelledKind;
  readonly arity: number;
}

const operationKinds = byNumber<ClientOperation['kind']>(operationCodecs, operationPosition);
const leaderKinds = byNumber<LeaderCommand['kind']>(leaderCodecs, 0);

function byNumber<K extends LevelledKind>(
  codecs: Readonly<Record<K, { readonly number: number; readonly width: number }>>,
  position: number,
): readonly (KindOfCommand & { readonly kind: K })[] {
  const kinds: (KindOfCommand & { readonly kind: K })[] = [];
  for (const kind in codecs) {
    const { number, width } = codecs[kind];
    kinds[number] = { kind, arity: position + 1 + width };
  }
  return kinds;
}

/** The command's bytes. Does not check limits: what is over them is refused by every decoder. */
export function encodeCommand(command: Command): Uint8Array {
  if (command.kind !== 'client') {
    const codec = leaderCodecs[command.kind] as LeaderCommandCodec<LeaderCommand>;
    const positions: WireValue[] = [codec.number];
    codec.push(positions, command);
    return packValue(positions);
  }
  const { sessionId, createdClusterTimeMs, sequence, acknowledgedThrough } = command.session;
  const { operation } = command;
  const codec = operationCodecs[operation.kind] as OperationCodec<ClientOperation>;
  const id = fromByteString(sessionId);
  const positions: WireValue[] = [
    clientNumber,
    id,
    createdClusterTimeMs,
    sequence,
    acknowledgedThrough,
    codec.number,
  ];
  codec.push(positions, operation);
  return packValue(positions);
}

/**
 * The command that `bytes` are; values are views into `bytes`. Throws `TOO_LARGE` for a key or value over its
 * limit, naming both sizes; `INVALID_ARGUMENT` for an empty key or an unknown condition; `PROTOCOL` for
 * anything malformed. Of what a client sent, only a command of the kind `client` may be used.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  if (bytes.length > commandBytesMax) throw tooLarge('command', bytes.length, commandBytesMax);
  const positions = unpackArray(bytes);
  const number = positions[0];
  if (number !== clientNumber) {
    const { kind, arity } = kindOf(positions, 0, leaderKinds, 'a command');
    checkArity(positions, arity, `command ${kind}`);
    return leaderCodecs[kind].read(positions);
  }
  const session = sessionFromWire(positions);
  const { kind, arity } = kindOf(positions, operationPosition, operationKinds, 'an operation');
  checkArity(positions, arity, `command ${kind}`);
  return { kind: 'client', session, operation: operationCodecs[kind].read(positions) };
}

/**
 * As `decodeCommand`, for bytes from a client: commands that only a leader makes are refused with `PROTOCOL`.
 */
export function decodeClientCommand(bytes: Uint8Array): ClientCommand {
  const command = decodeCommand(bytes);
  if (command.kind === 'client') return command;
  throw new KvorumError('PROTOCOL', `a client must not send the command ${command.kind}`);
}

/**
 * What kind of command begins with `number`, and has `operation` at `operationPosition` when it is a
 * client's; `undefined` for one that this version does not know.
 */
export function kindOfNumbers(number: number, operation: number): KindOfCommand | undefined {
  return number === clientNumber ? operationKinds[operation] : leaderKinds[number];
}

function kindOf<K extends KindOfCommand>(
  positions: WireArray,
  position: number,
  kinds: readonly K[],
  what: string,
): K {
  const number = positions[position];
  const known = typeof number === 'number' ? kinds[number] : undefined;
  if (known !== undefined) return known;
  const message = `position ${position} is not the number of ${what}: ${describe(number)}`;
  throw new KvorumError('PROTOCOL', message);
}

function sessionFromWire(positions: WireArray): SessionStamp {
  return {
    sessionId: toByteString(bytesAt(positions, 1, 'sessionId', sessionIdBytes, sessionIdBytes)),
    createdClusterTimeMs: uintAt(positions, 2, 'createdClusterTimeMs'),
    sequence: uintAt(positions, 3, 'sequence', Number.MAX_SAFE_INTEGER, 1),
    acknowledgedThrough: uintAt(positions, 4, 'acknowledgedThrough'),
  };
}
