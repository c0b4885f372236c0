// Signals of callers. One listener on each signal, however many calls it can end: a service passes one signal
// to thousands of calls, and Node warns of more than ten listeners. What a signal's own methods throw must
// never reach a socket's handler.

import { KvorumError } from '../base/errors.js';
import type { ClientEngine } from './engine/engine.js';
import type { PendingRequest } from './engine/pending-request.js';
import type { EngineDone, EngineRequest } from './engine/requests.js';

/** What a signal ends. */
interface Cancellable {
  cancel(cause?: unknown): void;
}

/** The calls that wait on one signal, and the one listener for them. Bounded by the limit of requests. */
class Watch {
  readonly calls = new Set<Cancellable>();
  private readonly signal: AbortSignal;
  private readonly listener = (): void => this.onAbort();

  constructor(signal: AbortSignal) {
    this.signal = signal;
    try {
      signal.addEventListener('abort', this.listener);
    } catch (cause) {
      throw new KvorumError('INVALID_ARGUMENT', 'signal cannot be listened to', { cause });
    }
  }

  stop(): void {
    watches.delete(this.signal);
    try {
      this.signal.removeEventListener('abort', this.listener);
    } catch {
      // Nobody waits for it any more: a listener that stays does nothing.
    }
  }

  private onAbort(): void {
    const calls = [...this.calls];
    const reason = reasonOf(this.signal);
    for (const call of calls) call.cancel(reason);
  }
}

const watches = new WeakMap<AbortSignal, Watch>();

export function isAborted(signal: AbortSignal | undefined): boolean {
  if (signal === undefined) return false;
  try {
    return signal.aborted;
  } catch {
    return false;
  }
}

/** Why it was aborted, as whoever aborted it says. */
export function reasonOf(signal: AbortSignal | undefined): unknown {
  try {
    return signal?.reason;
  } catch {
    return undefined;
  }
}

/** From now on the signal ends the call. Throws INVALID_ARGUMENT when it cannot be listened to. */
function watchSignal(signal: AbortSignal, call: Cancellable): void {
  let watch = watches.get(signal);
  if (watch === undefined) {
    watch = new Watch(signal);
    watches.set(signal, watch);
  }
  watch.calls.add(call);
}

/** Throws INVALID_ARGUMENT when the signal cannot be listened to. */
export function tryToListen(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  const call = { cancel: () => undefined };
  watchSignal(signal, call);
  unwatchSignal(signal, call);
}

/** The call has ended. */
function unwatchSignal(signal: AbortSignal, call: Cancellable): void {
  const watch = watches.get(signal);
  if (watch === undefined) return;
  watch.calls.delete(call);
  if (watch.calls.size === 0) watch.stop();
}

/** Submits a request that the signal ends. Throws INVALID_ARGUMENT, having sent nothing, if it cannot. */
export function submitAbortable(
  engine: ClientEngine,
  request: EngineRequest,
  timeoutMs: number,
  signal: AbortSignal,
  done: EngineDone,
): void {
  if (isAborted(signal)) {
    const cause = reasonOf(signal);
    done(new KvorumError('ABORTED', 'the call was aborted before it was sent', { cause }));
    return;
  }
  let pending: PendingRequest | undefined = undefined;
  const call = { cancel: (cause: unknown): void => pending?.cancel(cause) };
  watchSignal(signal, call);
  pending = engine.submit(request, timeoutMs, (result) => {
    unwatchSignal(signal, call);
    done(result);
  });
}
