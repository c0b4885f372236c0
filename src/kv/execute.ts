// One entry's commands, one after the other: who sent it and whether it ran before (sessions), what it does
// (its rule in the registry of operations), and what of both goes into the state hash. Must never execute a
// command twice, must leave no trace of a command that waits for a range, and must give a command above the
// state's format level no effect. Source: dissertation §6.3.

import { defined } from '../base/assert.js';
import type { ClientCommand, Command, CommandResult } from './commands.js';
import { leaderCommandRules, operationRules } from './operations/index.js';
import type { Scope } from './operations/rule.js';
import type { Run } from './run.js';
import { isSound, type Session, type Verdict } from './tables/sessions.js';

// Part of the state hash, so they never change.
const codeNumbers: Readonly<Record<CommandResult['code'], number>> = {
  OK: 0,
  CONFLICT: 1,
  STALE: 2,
  SESSION_EXPIRED: 3,
  SESSION_LIMIT: 4,
  TOO_LARGE: 5,
  UNSUPPORTED: 6,
};

export class Executor {
  private readonly scope: Scope;

  constructor(scope: Scope) {
    this.scope = scope;
  }

  /** One command in full; or `undefined`, without any effect, when `run.needed` must be provided first. */
  execute(run: Run, command: Command): CommandResult | undefined {
    return command.kind === 'client'
      ? this.executeClient(run, command)
      : leaderCommandRules[command.kind].apply(this.scope, run, command);
  }

  private executeClient(run: Run, command: ClientCommand): CommandResult | undefined {
    const { sessions } = this.scope.tables;
    const stamp = command.session;
    // Unsound stamps are nobody's: never executed, no session touched.
    const sound = isSound(stamp);
    const verdict = sound ? this.judge(run, command) : 'STALE';
    if (verdict === 'execute' && !this.isLoaded(run, command)) return undefined;
    const session = sound ? sessions.enter(stamp, run.clusterTimeMs, verdict) : undefined;
    let result: CommandResult;
    if (verdict === 'execute') {
      result = this.perform(run, command, defined(session, 'the session of a command that is executed'));
    } else {
      // "If it receives a command whose serial number has already been executed, it responds immediately
      // without re-executing the request" (§6.3).
      result = typeof verdict === 'string' ? this.scope.change.result(verdict, 0) : verdict;
    }
    run.effects.number(codeNumbers[result.code]).number(result.revision).number(result.count);
    if (session !== undefined) sessions.note(session, stamp.sequence, run.effects);
    return result;
  }

  /** By the state's level, never by what a header says: all replicas must come to the same verdict. */
  private judge(run: Run, { session: stamp, operation: { kind } }: ClientCommand): Verdict {
    const { tables, software } = this.scope;
    const verdict = tables.sessions.judge(stamp, run.clusterTimeMs, operationRules[kind].endsSession);
    const isAbove = software.commandLevels[kind] > run.formatLevel;
    return isAbove && verdict === 'execute' ? 'UNSUPPORTED' : verdict;
  }

  private perform(run: Run, { session: stamp, operation }: ClientCommand, session: Session): CommandResult {
    const { change, tables } = this.scope;
    const rule = operationRules[operation.kind];
    change.begin(run.effects);
    const result = rule.apply(this.scope, run, operation, session);
    if (run.load !== undefined) {
      run.load.close();
      run.load = undefined;
    }
    if (rule.keepsOutcome) tables.sessions.keep(session, stamp.sequence, result);
    return result;
  }

  /** Whether all that the command needs of the store's ranges is there. Sets `run.needed` otherwise. */
  private isLoaded(run: Run, { operation }: ClientCommand): boolean {
    run.needed = operationRules[operation.kind].needs(this.scope, run, operation);
    return run.needed === undefined;
  }
}
