// The registry of operations and of the commands of leaders: one rule for each kind, and none can be missing.
// Who must know something of every operation looks it up here and compares no kinds.

import type { ByteString } from '../../base/bytes.js';
import type { ClientOperation, LeaderCommand } from '../commands.js';
import { expireTables } from './cluster/expire-tables.js';
import { raiseFormat } from './cluster/raise-format.js';
import { deleteKey } from './keys/delete.js';
import { deleteRange } from './keys/delete-range.js';
import { put } from './keys/put.js';
import type { LeaderCommandRule, OperationRule, TouchVisitor } from './rule.js';
import { closeSession } from './sessions/close-session.js';

type OperationKind = ClientOperation['kind'];
type LeaderCommandKind = LeaderCommand['kind'];

const operations = { put, delete: deleteKey, deleteRange, closeSession } satisfies {
  [K in OperationKind]: OperationRule<Extract<ClientOperation, { kind: K }>>;
};

const leaderCommands = { expireTables, raiseFormat } satisfies {
  [K in LeaderCommandKind]: LeaderCommandRule<Extract<LeaderCommand, { kind: K }>>;
};

/** The rule of each operation: to be asked about operations of its own kind only. */
export const operationRules: Readonly<Record<OperationKind, OperationRule<ClientOperation>>> = operations;

export const leaderCommandRules: Readonly<Record<LeaderCommandKind, LeaderCommandRule<LeaderCommand>>> =
  leaderCommands;

/** Shows a visitor all that an operation may read or write. */
export function visitTouches(operation: ClientOperation, visitor: TouchVisitor): void {
  operationRules[operation.kind].touches(operation, visitor);
}

/** The one key that an operation touches; `undefined` when it touches more, a range, or nothing. */
export function soleKeyOf(operation: ClientOperation): ByteString | undefined {
  let sole: ByteString | undefined;
  let touched = 0;
  visitTouches(operation, {
    key: (_access, key) => {
      sole = key;
      touched++;
    },
    range: () => {
      touched = Infinity;
    },
  });
  return touched === 1 ? sole : undefined;
}
