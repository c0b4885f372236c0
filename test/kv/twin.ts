// What the state machine should do, written as plainly as possible: everything in memory, a full copy of all
// records per revision, sessions as the text of the rules says. Shares no code with the state machine.

import { kvLimits } from '../../src/kv/commands.js';
import type { Command, CommandResult, KeyRecord, SessionStamp } from '../../src/kv/commands.js';
import type { EntryToApply } from '../../src/kv/state-machine.js';

interface TwinSession {
  created: number;
  lastUse: number;
  acknowledged: number;
  closed: boolean;
  outcomes: Map<number, CommandResult>;
}

export interface TwinRange {
  readonly start: string;
  readonly end: string | undefined;
  readonly limit: number;
  readonly reverse: boolean;
}

const life = 60_000;
const window = 4_096;

export class Twin {
  /** One per revision: all records by key. */
  readonly history: Map<string, KeyRecord>[] = [new Map()];
  readonly sessions = new Map<string, TwinSession>();
  /** Operations that ran, by session and sequence: never more than once each. */
  readonly executions = new Map<string, number>();
  clusterTimeMs = 0;
  wallTimeMs = 0;
  appliedIndex = 0;

  get revision(): number {
    return this.history.length - 1;
  }

  apply(entry: EntryToApply): CommandResult[] {
    this.appliedIndex = entry.index;
    if (entry.times !== undefined) {
      this.clusterTimeMs = Math.max(this.clusterTimeMs, entry.times.clusterTimeMs);
      this.wallTimeMs = Math.max(this.wallTimeMs, entry.times.wallTimeMs);
    }
    return entry.commands.map((command) => this.command(command));
  }

  range(query: TwinRange, revision: number): { records: KeyRecord[]; more: boolean } {
    const all = [...(this.history[revision] ?? new Map<string, KeyRecord>()).values()]
      .filter(({ key }) => key >= query.start && (query.end === undefined || key < query.end))
      .sort((a, b) => Buffer.compare(Buffer.from(a.key, 'latin1'), Buffer.from(b.key, 'latin1')));
    if (query.reverse) all.reverse();
    return { records: all.slice(0, query.limit), more: all.length > query.limit };
  }

  /** The cluster time at which the first session ends. */
  firstDeadline(): number | undefined {
    const deadlines = [...this.sessions.values()].map((session) => deadline(session));
    return deadlines.length === 0 ? undefined : Math.min(...deadlines);
  }

  private command(command: Command): CommandResult {
    if (command.kind === 'expireTables') {
      for (const [id, session] of this.sessions) {
        if (deadline(session) <= this.clusterTimeMs) this.sessions.delete(id);
      }
      return this.result('OK');
    }
    if (command.kind === 'raiseFormat') return this.result('OK');
    const stamp = command.session;
    const { sequence } = stamp;
    let session = this.sessions.get(stamp.sessionId);
    if (session === undefined) {
      const age = this.clusterTimeMs - stamp.createdClusterTimeMs;
      if (sequence !== 1 || age >= life || age < -kvLimits.sessionAheadMsMax)
        return this.result('SESSION_EXPIRED');
      session = this.open(stamp);
    }
    if (session.closed) return this.result('SESSION_EXPIRED');
    session.lastUse = this.clusterTimeMs;
    const acknowledgedBefore = session.acknowledged;
    const kept = session.outcomes.get(sequence);
    session.acknowledged = Math.max(acknowledgedBefore, Math.min(stamp.acknowledgedThrough, sequence - 1));
    for (const key of session.outcomes.keys()) if (key <= session.acknowledged) session.outcomes.delete(key);
    if (sequence <= acknowledgedBefore) return this.result('STALE');
    if (kept !== undefined) return kept;
    if (sequence > session.acknowledged + window) return this.result('SESSION_LIMIT');
    const id = `${stamp.sessionId} ${sequence}`;
    this.executions.set(id, (this.executions.get(id) ?? 0) + 1);
    const result = this.execute(command.operation);
    if (command.operation.kind === 'closeSession') this.close(stamp.sessionId, session);
    else session.outcomes.set(sequence, result);
    return result;
  }

  private open(stamp: SessionStamp): TwinSession {
    const session: TwinSession = {
      created: stamp.createdClusterTimeMs,
      lastUse: this.clusterTimeMs,
      acknowledged: 0,
      closed: false,
      outcomes: new Map(),
    };
    this.sessions.set(stamp.sessionId, session);
    return session;
  }

  private close(id: string, session: TwinSession): void {
    session.closed = true;
    session.outcomes.clear();
    if (deadline(session) <= this.clusterTimeMs) this.sessions.delete(id);
  }

  private execute(operation: Extract<Command, { kind: 'client' }>['operation']): CommandResult {
    const now = this.history[this.revision] ?? new Map<string, KeyRecord>();
    if (operation.kind === 'closeSession') return this.result('OK');
    if (operation.kind === 'deleteRange') {
      const { start, end } = operation;
      const victims = [...now.keys()].filter((key) => key >= start && (end === undefined || key < end));
      return this.remove(victims);
    }
    const current = now.get(operation.key);
    if (
      operation.condition !== undefined &&
      operation.condition.revision !== (current === undefined ? 0 : current.modRevision)
    ) {
      return this.result('CONFLICT');
    }
    if (operation.kind === 'delete') return this.remove(current === undefined ? [] : [operation.key]);
    const next = new Map(now);
    const revision = this.revision + 1;
    next.set(operation.key, {
      key: operation.key,
      value: operation.value,
      createRevision: current?.createRevision ?? revision,
      modRevision: revision,
      version: (current?.version ?? 0) + 1,
      leaseId: 0,
    });
    this.history.push(next);
    return this.result('OK');
  }

  private remove(keys: readonly string[]): CommandResult {
    if (keys.length > 0) {
      const next = new Map(this.history[this.revision]);
      for (const key of keys) next.delete(key);
      this.history.push(next);
    }
    return { ...this.result('OK'), count: keys.length };
  }

  private result(code: CommandResult['code']): CommandResult {
    return { code, revision: this.revision, count: 0 };
  }
}

function deadline(session: TwinSession): number {
  return (session.closed ? session.created : Math.max(session.created, session.lastUse)) + life;
}
