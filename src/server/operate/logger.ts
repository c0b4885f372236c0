// Text output of a node: JSON lines on standard error, one line per event, by pino. Standard output belongs
// to data.

import { destination, pino } from 'pino';
import type { Logger } from '../../base/env.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** A logger whose lines carry the node's id. */
export function createLogger(level: LogLevel, nodeId: string): Logger {
  return pino({ level, base: { node: nodeId } }, destination({ dest: 2, sync: true }));
}
