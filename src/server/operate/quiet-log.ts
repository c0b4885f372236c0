// Lines of the log that could come many times a second are written once in a while, with how many were left
// out. For what peers and disks can cause without end.

import type { Clock, LogFields, Logger, Millis } from '../../base/env.js';

const intervalMs: Millis = 10_000;
/** Kinds of lines that are remembered: beyond, the oldest is written again too early. */
const keysMax = 256;

export class QuietLog {
  private readonly logger: Logger;
  private readonly clock: Clock;
  private readonly lastByKey = new Map<string, { readonly writtenMs: Millis; omitted: number }>();

  constructor(logger: Logger, clock: Clock) {
    this.logger = logger;
    this.clock = clock;
  }

  /** Writes the line unless one of the same key was written within ten seconds. */
  write(key: string, level: 'info' | 'warn' | 'error', fields: LogFields, message: string): void {
    const nowMs = this.clock.nowMs();
    const last = this.lastByKey.get(key);
    if (last !== undefined && nowMs - last.writtenMs < intervalMs) {
      last.omitted++;
      return;
    }
    const omitted = last?.omitted ?? 0;
    this.lastByKey.delete(key);
    this.lastByKey.set(key, { writtenMs: nowMs, omitted: 0 });
    const [oldest] = this.lastByKey.keys();
    if (this.lastByKey.size > keysMax && oldest !== undefined) this.lastByKey.delete(oldest);
    if (omitted === 0) this.logger[level](fields, message);
    else this.logger[level]({ ...fields, omitted }, `${message} (and ${omitted} more times since)`);
  }
}
