// Whether a node can be asked for what is newest. One that is being supplied, or that hears no leader,
// refuses such reads only after a while: for some time after that others are asked first. What may be older
// it can answer all the same.

import type { EngineContext } from './context.js';
import type { PendingRequest } from './pending-request.js';

export class ReadStanding {
  private readonly context: EngineContext;
  private isBehindUntilMs = -Infinity;

  constructor(context: EngineContext) {
    this.context = context;
  }

  /** The node has another process, or is connected anew. */
  reset(): void {
    this.isBehindUntilMs = -Infinity;
  }

  /** The node has answered the request, or refused it as one that it cannot do now. */
  heard(request: PendingRequest, isRefused: boolean): void {
    if (!request.readsNewest) return;
    const { env, limits } = this.context;
    this.isBehindUntilMs = isRefused ? env.clock.nowMs() + limits.readDenialMs : -Infinity;
  }

  mayAnswer(request: PendingRequest, nowMs: number): boolean {
    return !request.readsNewest || this.isBehindUntilMs <= nowMs;
  }
}
