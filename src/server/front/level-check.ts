// What the format level of the cluster does not know yet: how the door finds it, before it gets into the log,
// and how its caller is told. What is in the log is judged in apply (kv/execute.ts), by the same numbers.

import { KvorumError } from '../../base/errors.js';
import type { ClientCommand, ClientOperation } from '../../kv/commands.js';
import type { Software } from '../../kv/format-level.js';

/**
 * Why a command cannot be taken at this level of the state; `undefined` when it can. `isNewest`: no higher
 * one was acknowledged, which a new leader knows only when it has applied all that was committed before it.
 */
export function refuseByLevel(
  { operation: { kind } }: ClientCommand,
  formatLevel: number,
  isNewest: boolean,
  { commandLevels }: Software,
): KvorumError | undefined {
  const needed = commandLevels[kind];
  if (needed <= formatLevel) return undefined;
  if (isNewest) return unsupported(kind);
  const fact = `${kind} needs format level ${needed}, and the newest level is not known yet`;
  return new KvorumError('UNAVAILABLE', `${fact}: the leader is new; try again`);
}

/** Both at the door and in apply: the cluster must be raised before it takes this operation. */
export function unsupported(kind: ClientOperation['kind']): KvorumError {
  const fact = `the format level of the cluster does not know the operation ${kind} yet`;
  const advice = 'run kvorum upgrade once every member runs the newer version';
  return new KvorumError('UNSUPPORTED', `${fact}: ${advice}`);
}
