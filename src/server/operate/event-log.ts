// The log of a node, made from its events: one line for each, but for lines that could come many times a
// second, which are written once in a while with how many were left out. Each line carries the kind of its
// event, for programs that read logs.

import type { Clock, LogFields, Logger, Millis } from '../../base/env.js';
import type { NodeEvent } from '../events.js';
import { lineOf } from './event-lines.js';

const intervalMs: Millis = 10_000;
/** Lines that are remembered: beyond, the oldest is written again too early. */
const namesMax = 256;

export class EventLog {
  private readonly logger: Logger;
  private readonly clock: Clock;
  private readonly lastByName = new Map<string, { readonly writtenMs: Millis; omitted: number }>();

  constructor(logger: Logger, clock: Clock) {
    this.logger = logger;
    this.clock = clock;
  }

  write(event: NodeEvent): void {
    const line = lineOf(event);
    const omitted = line.rarelyPer === undefined ? 0 : this.omitted(`${event.kind} ${line.rarelyPer(event)}`);
    if (omitted === undefined) return;
    const { kind, ...held } = event;
    const fields: LogFields = { event: kind, ...(line.fields === undefined ? held : line.fields(event)) };
    const text = line.text(event);
    if (omitted === 0) this.logger[line.level](fields, text);
    else this.logger[line.level]({ ...fields, omitted }, `${text} (and ${omitted} more times since)`);
  }

  /** How many lines of this name were left out since the last one; `undefined`: this one is left out too. */
  private omitted(name: string): number | undefined {
    const nowMs = this.clock.nowMs();
    const last = this.lastByName.get(name);
    if (last !== undefined && nowMs - last.writtenMs < intervalMs) {
      last.omitted++;
      return undefined;
    }
    this.lastByName.delete(name);
    this.lastByName.set(name, { writtenMs: nowMs, omitted: 0 });
    const [oldest] = this.lastByName.keys();
    if (this.lastByName.size > namesMax && oldest !== undefined) this.lastByName.delete(oldest);
    return last?.omitted ?? 0;
  }
}
