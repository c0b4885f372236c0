// The log of a node in a process: its events as lines on standard error, and what is done so that the last of
// them are read, which say why it ended.

import type { Millis, Report } from '../../base/env.js';
import type { NodeEvent } from '../events.js';
import { systemClock, systemTimers } from '../platform.js';
import { EventLog } from './event-log.js';
import { createLogger, type LogLevel } from './logger.js';
import { LogSink } from './log-sink.js';
import { openStandardError } from './standard-error.js';

/** How long the end of a node waits for whoever reads its log. */
const lastLinesMs: Millis = 1_000;

export class NodeLog {
  readonly report: Report<NodeEvent>;
  private readonly sink: LogSink;
  private readonly events: EventLog;
  private hasEnded = false;
  private readonly onExit = (): void => {
    this.events.close();
    this.sink.flushSync(lastLinesMs);
  };

  constructor(level: LogLevel, nodeId: string) {
    const world = { clock: systemClock, timers: systemTimers };
    this.report = (event) => {
      if (!this.hasEnded) this.events.write(event);
    };
    const onRoom = (lines: number): void => this.report({ kind: 'logLinesLost', lines });
    this.sink = new LogSink({ ...world, output: openStandardError(), onRoom });
    this.events = new EventLog({ ...world, logger: createLogger(level, nodeId, this.sink) });
    process.on('exit', this.onExit);
  }

  /** Lines that it had no room for, since the start. */
  get lostLines(): number {
    return this.sink.lostLines;
  }

  /** Says what is still to be said, and resolves when it is written, or nobody has read it for a while. */
  async end(): Promise<void> {
    this.events.close();
    await this.sink.flush(lastLinesMs);
    this.hasEnded = true;
    process.off('exit', this.onExit);
    this.sink.close();
  }
}
