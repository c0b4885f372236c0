// One entry's commands, one after the other: who sent it and whether it ran before (sessions), what it does
// (apply), and what of both goes into the state hash. Must never execute a command twice, and must leave no
// trace of a command that waits for a range. Source: dissertation §6.3.

import { assert, defined } from '../base/assert.js';
import { KvorumError } from '../base/errors.js';
import { Hash64 } from '../base/hash.js';
import type { Writer } from './apply.js';
import type { ClientCommand, Command, CommandResult, EntryTimes, RaiseFormatCommand } from './commands.js';
import { thisSoftware } from './format-level.js';
import { DeleteRangeLoad } from './operations/delete-range-load.js';
import type { Layers } from './layers.js';
import {
  isSound,
  storedOutcomeBytes,
  storedSessionBytes,
  type Session,
  type SessionTable,
} from './tables/sessions.js';
import type { StoreRange, StoreRecord } from './store.js';

export interface EntryToApply {
  /** Position in the log: one more than the last one applied. */
  readonly index: number;
  readonly term: number;
  /** `undefined` for entries without a stamp (no-op, configuration), which have no commands either. */
  readonly times: EntryTimes | undefined;
  readonly commands: readonly Command[];
}

/** The state that an entry continues from. */
export interface EntryBase {
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  readonly stateHigh: number;
  readonly stateLow: number;
}

/** An entry being applied. */
export interface Run {
  readonly index: number;
  readonly term: number;
  readonly clusterTimeMs: number;
  readonly wallTimeMs: number;
  /** Of the commands executed so far: its length is the position of the next one. */
  readonly results: CommandResult[];
  /** Chain of the effects so far. */
  readonly effects: Hash64;
  /** Of the command at the position, if it is a delete range. */
  load: DeleteRangeLoad | undefined;
  /** What the command at the position waits for. */
  needed: StoreRange | undefined;
}

// Part of the state hash, so they never change.
const codeNumbers: Readonly<Record<CommandResult['code'], number>> = {
  OK: 0,
  CONFLICT: 1,
  STALE: 2,
  SESSION_EXPIRED: 3,
  SESSION_LIMIT: 4,
  TOO_LARGE: 5,
};

/** Begins an entry: its times, and the state hash chained to its index. */
export function beginRun(entry: EntryToApply, base: EntryBase): Run {
  const { index, term, times } = entry;
  assert(times !== undefined || entry.commands.length === 0, `entry ${index} has commands but no times`);
  const effects = new Hash64(base.stateHigh, base.stateLow).number(index);
  let { clusterTimeMs, wallTimeMs } = base;
  if (times !== undefined) {
    assert(
      Number.isSafeInteger(times.clusterTimeMs) && Number.isSafeInteger(times.wallTimeMs),
      `entry ${index} has times that are not integers below 2^53`,
    );
    // Neither time ever goes back, whatever a leader stamped.
    clusterTimeMs = Math.max(clusterTimeMs, times.clusterTimeMs);
    wallTimeMs = Math.max(wallTimeMs, times.wallTimeMs);
    effects.number(clusterTimeMs).number(wallTimeMs);
  }
  return {
    index,
    term,
    clusterTimeMs,
    wallTimeMs,
    results: [],
    effects,
    load: undefined,
    needed: undefined,
  };
}

/** The records that the run waits for. Throws CORRUPT. */
export function provideTo(run: Run, range: StoreRange, records: readonly StoreRecord[]): void {
  const { load, needed } = run;
  assert(load !== undefined && needed !== undefined, `entry ${run.index} waits for no range`);
  assert(
    needed.start === range.start && needed.end === range.end && needed.limit === range.limit,
    `entry ${run.index} waits for another range than the one provided`,
  );
  run.needed = undefined;
  load.provide(needed, records);
}

export class Executor {
  private readonly layers: Layers;
  private readonly writer: Writer;
  private readonly sessions: SessionTable;

  constructor(layers: Layers, writer: Writer, sessions: SessionTable) {
    this.layers = layers;
    this.writer = writer;
    this.sessions = sessions;
  }

  /** One command in full; or `undefined`, without any effect, when `run.needed` must be provided first. */
  execute(run: Run, command: Command): CommandResult | undefined {
    if (command.kind === 'expireSessions') return this.expireSessions(run);
    if (command.kind === 'raiseFormat') return this.raiseFormat(command);
    const stamp = command.session;
    // Unsound stamps are nobody's: never executed, no session touched.
    const sound = isSound(stamp);
    const closes = command.operation.kind === 'closeSession';
    const verdict = sound ? this.sessions.judge(stamp, run.clusterTimeMs, closes) : 'STALE';
    if (verdict === 'execute' && !this.isLoaded(run, command)) return undefined;
    const session = sound ? this.sessions.enter(stamp, run.clusterTimeMs, verdict) : undefined;
    let result: CommandResult;
    if (verdict === 'execute') {
      result = this.perform(run, command, defined(session, 'the session of a command that is executed'));
    } else {
      // "If it receives a command whose serial number has already been executed, it responds immediately
      // without re-executing the request" (§6.3).
      result = typeof verdict === 'string' ? this.writer.result(verdict, 0) : verdict;
    }
    run.effects.number(codeNumbers[result.code]).number(result.revision).number(result.count);
    if (session !== undefined) this.noteSession(run, session, stamp.sequence);
    return result;
  }

  private perform(run: Run, command: ClientCommand, session: Session): CommandResult {
    const { operation } = command;
    if (operation.kind === 'closeSession') {
      this.sessions.close(session, run.clusterTimeMs);
      return this.writer.result('OK', 0);
    }
    let result: CommandResult;
    if (operation.kind === 'put') {
      result = this.writer.put(operation, run.effects);
    } else if (operation.kind === 'delete') {
      result = this.writer.delete(operation, run.effects);
    } else {
      const load = defined(run.load, 'the keys of a delete range');
      result = this.writer.deleteRange(load, run.effects);
      load.close();
      run.load = undefined;
    }
    this.sessions.keep(session, command.session.sequence, result);
    return result;
  }

  /** Whether all that the command needs of the store's ranges is there. Sets `run.needed` otherwise. */
  private isLoaded(run: Run, command: ClientCommand): boolean {
    if (command.operation.kind !== 'deleteRange') return true;
    run.load ??= new DeleteRangeLoad(this.layers, command.operation);
    run.needed = run.load.needs();
    return run.needed === undefined;
  }

  private expireSessions(run: Run): CommandResult {
    for (const session of this.sessions.expire(run.clusterTimeMs)) {
      run.effects.number(session.idHigh).number(session.idLow);
      this.layers.active.touchSession(session.id, storedOutcomeBytes, 0);
    }
    return this.writer.result('OK', 0);
  }

  private raiseFormat({ level }: RaiseFormatCommand): CommandResult {
    if (level > thisSoftware.formatLevelMax) {
      const levels = `format level ${level}; this version of kvorum knows ${thisSoftware.formatLevelMax}`;
      throw new KvorumError('FORMAT', `the log goes to ${levels}: use a newer kvorum`);
    }
    return this.writer.result('OK', 0);
  }

  private noteSession(run: Run, session: Session, sequence: number): void {
    run.effects
      .number(session.idHigh)
      .number(session.idLow)
      .number(sequence)
      .number(session.acknowledgedThrough)
      .number(session.deadlineMs)
      .number(session.closed ? 1 : 0);
    this.layers.active.touchSession(session.id, storedSessionBytes(session), storedOutcomeBytes);
  }
}
