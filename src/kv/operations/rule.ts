// What the state machine, the door for requests and the watch over free space must know of an operation: each
// is declared once, in a file of its own, and the registry (index.ts) names them all.

import type { ByteString } from '../../base/bytes.js';
import type { Change } from '../change.js';
import type { ClientOperation, KeptResult, LeaderCommand } from '../commands.js';
import type { Software } from '../format-level.js';
import type { Layers } from '../layers.js';
import type { Run } from '../run.js';
import type { StoreRange } from '../store.js';
import type { Tables } from '../tables/index.js';
import type { Session } from '../tables/sessions.js';

/** What operations work on: one for the life of a state machine. */
export interface Scope {
  readonly layers: Layers;
  /** Begun for the command that is applied. */
  readonly change: Change;
  readonly tables: Tables;
  readonly software: Software;
}

export type Access = 'read' | 'write';

/** Sees what an operation touches, in the order of the operation. */
export interface TouchVisitor {
  key(access: Access, key: ByteString): void;
  /** `start` (inclusive) .. `end` (exclusive; `undefined`: to the last key). */
  range(access: Access, start: ByteString, end: ByteString | undefined): void;
}

export interface OperationRule<O extends ClientOperation> {
  /** Whether it can make the store larger: refused where space is short. */
  readonly growsStore: boolean;
  /** Whether it ends the session that it comes by, and so makes room in the table. */
  readonly endsSession: boolean;
  /** Whether the session keeps its outcome, so that a repeat is answered with it. */
  readonly keepsOutcome: boolean;
  /**
   * Every key and range that the operation may read or write, whatever the state; bounds are as they were
   * decoded. A key that is written is not told as read too, also when a condition looks at it.
   */
  touches(operation: O, visitor: TouchVisitor): void;
  /**
   * What must be fetched before the operation can be applied; `undefined` when all is there. Called again
   * after each fetch. Has no effect but on `run.load`. Absent where single keys are read only, which needs no
   * fetch.
   */
  needs?(scope: Scope, run: Run, operation: O): StoreRange | undefined;
  /** Runs it. What it writes, it writes through `scope.change`. */
  apply(scope: Scope, run: Run, operation: O, session: Session): KeptResult;
}

export interface LeaderCommandRule<C extends LeaderCommand> {
  /** Runs it; what it does to the state goes into `run.effects`. */
  apply(scope: Scope, run: Run, command: C): KeptResult;
}
