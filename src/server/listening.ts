// The node's own address when it starts: waits for a name that is not known yet, and for nothing else.

import type { Report } from '../base/env.js';
import { KvorumError } from '../base/errors.js';
import type { NodeEvent } from './events.js';

/** How often the own name is asked for while it is not known, and for how long in all. */
const nameRetryMs = 500;
const nameWaitMs = 60_000;
const unknownName: ReadonlySet<string> = new Set(['ENOTFOUND', 'EAI_AGAIN']);

/**
 * A name that is made for the node by what starts it (a container's, say) may be known only after the node
 * runs: asks again for a while, then rejects as the network does.
 */
export async function listenOnceKnown(
  tryToListen: () => Promise<unknown>,
  listen: string,
  report: Report<NodeEvent>,
  pause: () => Promise<void> = () => new Promise((resolve) => setTimeout(resolve, nameRetryMs)),
): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += nameRetryMs) {
    try {
      await tryToListen();
      return;
    } catch (error) {
      const errno = KvorumError.is(error) ? String(error.details['errno']) : '';
      if (!unknownName.has(errno) || waitedMs >= nameWaitMs) throw error;
      report({ kind: 'ownNameUnknown', listen, error: (error as Error).message });
    }
    await pause();
  }
}
