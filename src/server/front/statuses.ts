// Requests for the status of a node. It is made once for all who ask in a turn, and a turn answers a bounded
// number of them: asking is cheap, and a status is not. Must never let one caller's questions hold up
// anything but its own.

import type { NodeStatus } from '../../wire/clients/status.js';
import { errorAnswer, type Caller } from './caller.js';

/** Of one caller, waiting for their answer. */
const callerStatusesMax = 16;

/** Answered in one turn: packing each takes some tens of microseconds. */
const turnStatusesMax = 32;

interface Question {
  readonly caller: Caller;
  readonly requestId: number;
}

export interface StatusesOptions {
  status(): NodeStatus;
  /** Somebody waits: call `flush` at the end of this turn. */
  wake(): void;
}

export class Statuses {
  private readonly options: StatusesOptions;
  private waiting: Question[] = [];
  private readonly countOf = new Map<Caller, number>();

  constructor(options: StatusesOptions) {
    this.options = options;
  }

  ask(caller: Caller, requestId: number): void {
    const count = this.countOf.get(caller) ?? 0;
    if (count >= callerStatusesMax) {
      const fact = `${callerStatusesMax} requests for the status wait on this connection`;
      caller.answer(errorAnswer(requestId, 'OVERLOADED', `${fact}; ask again when they are answered`));
      return;
    }
    this.countOf.set(caller, count + 1);
    if (this.waiting.length === 0) this.options.wake();
    this.waiting.push({ caller, requestId });
  }

  /** End of a turn. */
  flush(): void {
    if (this.waiting.length === 0) return;
    let status: NodeStatus | undefined;
    let answered = 0;
    let taken = 0;
    while (taken < this.waiting.length && answered < turnStatusesMax) {
      const { caller, requestId } = this.waiting[taken++] as Question;
      const count = this.countOf.get(caller) ?? 0;
      if (count > 1) this.countOf.set(caller, count - 1);
      else this.countOf.delete(caller);
      if (caller.isGone) continue;
      status ??= this.options.status();
      caller.answer({ kind: 'status', requestId, status });
      answered++;
    }
    this.waiting = this.waiting.slice(taken);
    if (this.waiting.length > 0) this.options.wake();
  }
}
