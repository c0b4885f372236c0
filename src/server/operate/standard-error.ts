// Standard error as a place for the lines of a log. Writes are made on a thread of the pool: a file on a disk
// that hangs holds up one thread, and with it no more than the lines.

import { close, constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import type { LogOutput } from './log-sink.js';

const descriptor = 2;

/** To be closed when nothing more is to be written. */
export function openStandardError(): LogOutput {
  const own = openAnew();
  const target = own ?? descriptor;
  return {
    write: (bytes, done) => write(target, bytes, done),
    writeSync: (bytes) => writeSync(target, bytes),
    close: () => {
      if (own !== undefined) close(own);
    },
  };
}

/**
 * Pipes and terminals a second time, by the name that Linux gives to what a process has open: whether writes
 * to standard error block is a property of what several processes share, and any of them may change it. A
 * thread that waits for a reader who never reads would keep the process from ending. `undefined` where that
 * is not possible; `kvorum start` does not block on those either, since Node makes them so.
 */
function openAnew(): number | undefined {
  try {
    const kind = fstatSync(descriptor);
    if (!kind.isFIFO() && !kind.isCharacterDevice()) return undefined;
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
    return openSync(`/proc/self/fd/${descriptor}`, flags);
  } catch {
    return undefined;
  }
}
