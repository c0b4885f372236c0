// Text output of a node: JSON lines, one per event, by pino. They go to standard error, through a sink that
// never holds up the loop; standard output belongs to data.

import { pino } from 'pino';
import type { Logger } from '../../base/env.js';
import type { LogSink } from './log-sink.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** A logger whose lines carry the node's id. */
export function createLogger(level: LogLevel, nodeId: string, sink: LogSink): Logger {
  return pino({ level, base: { node: nodeId } }, sink);
}
