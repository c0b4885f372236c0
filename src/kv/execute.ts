// One entry's commands, one after the other: who sent it and whether it ran before (sessions), what it does
// (its rule in the registry of operations), and what of both goes into the state hash. Must never execute a
// command twice, must leave no trace of a command that waits for a range, and must give a command above the
// state's format level no effect. Source: dissertation §6.3.

import { defined } from '../base/assert.js';
import type { ClientCommand, ClientOperation, Command, CommandResult, LeaderCommand } from './commands.js';
import type { LevelledKind } from './format-level.js';
import { leaderCommandRules, operationRules } from './operations/index.js';
import type { RangeLoad } from './operations/keys/range-load.js';
import type { OperationRule, Scope } from './operations/rule.js';
import type { Run } from './run.js';
import { isSound, type Verdict } from './tables/sessions.js';

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
    return command.kind === 'client' ? this.executeClient(run, command) : this.executeLeader(run, command);
  }

  private executeLeader(run: Run, command: LeaderCommand): CommandResult {
    const { scope } = this;
    const { kind } = command;
    if (this.isKnownTo(run, kind)) return leaderCommandRules[kind].apply(scope, run, command);
    run.effects.number(codeNumbers.UNSUPPORTED);
    return scope.change.result('UNSUPPORTED', 0);
  }

  private executeClient(run: Run, command: ClientCommand): CommandResult | undefined {
    const { scope } = this;
    const { sessions } = scope.tables;
    const { session: stamp, operation } = command;
    const rule = operationRules[operation.kind];
    // Unsound stamps are nobody's: never executed, no session touched.
    const sound = isSound(stamp);
    let verdict: Verdict = sound ? sessions.judge(stamp, run.clusterTimeMs, rule.endsSession) : 'STALE';
    if (verdict === 'execute') {
      if (!this.isKnownTo(run, operation.kind)) verdict = 'UNSUPPORTED';
      else if (!this.isLoaded(run, operation, rule)) return undefined;
    }
    const session = sound ? sessions.enter(stamp, run.clusterTimeMs, verdict) : undefined;
    let result: CommandResult;
    if (verdict === 'execute') {
      const known = defined(session, 'the session of a command that is executed');
      scope.change.begin(run.effects);
      result = rule.apply(scope, run, operation, known);
      if (run.load !== undefined) endLoad(run, run.load);
      if (rule.keepsOutcome) sessions.keep(known, stamp.sequence, result);
    } else {
      // "If it receives a command whose serial number has already been executed, it responds immediately
      // without re-executing the request" (§6.3).
      result = typeof verdict === 'string' ? scope.change.result(verdict, 0) : verdict;
    }
    run.effects.number(codeNumbers[result.code]).number(result.revision).number(result.count);
    if (session !== undefined) sessions.note(session, stamp.sequence, run.effects);
    return result;
  }

  /** By the state's level, never by what a header says: all replicas must come to the same verdict. */
  private isKnownTo(run: Run, kind: LevelledKind): boolean {
    return this.scope.software.commandLevels[kind] <= run.formatLevel;
  }

  /** Whether all that the command needs of the store's ranges is there. Sets `run.needed` otherwise. */
  private isLoaded(run: Run, operation: ClientOperation, rule: OperationRule<ClientOperation>): boolean {
    if (rule.needs === undefined) return true;
    run.needed = rule.needs(this.scope, run, operation);
    return run.needed === undefined;
  }
}

function endLoad(run: Run, load: RangeLoad): void {
  load.close();
  run.load = undefined;
}
