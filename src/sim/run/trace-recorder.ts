// A run as a stream of facts, for tools: one flat record per thing that happened, in order, made to be
// written as one line of JSON each. Whoever records sees a run and never changes it: a recorded run has the
// same hash as one that is not. The same in words, for people: trace.ts.

import type { Message } from '../../raft/messages.js';
import type { Observation } from '../checkers/raft/node-view.js';
import type { Violation } from '../checkers/violations.js';
import type { OperationRecord } from '../history/history.js';
import type { ScheduledEvent } from '../world/scheduler.js';

/** What a run tells while it goes on, in the order of virtual time; microseconds. */
export interface SimulationObserver {
  /** An event has run; `hash` computes the hash over all events so far. */
  event?(event: ScheduledEvent, hash: () => string): void;
  /** A message left a node. */
  sent?(timeUs: number, message: Message): void;
  /** What an event changed about its node's place in the consensus. */
  changed?(timeUs: number, now: Observation, before: Observation | undefined): void;
  /** Something was done to the world or to a node: a fault, most of all. */
  done?(timeUs: number, who: string, what: string, fields?: unknown): void;
  /** A node said something by itself. */
  logged?(timeUs: number, nodeId: string, level: string, message: string, fields: unknown): void;
  /** After each event: everything that clients asked so far, in the order of asking. */
  asked?(timeUs: number, operations: readonly OperationRecord[]): void;
  violated?(violation: Violation): void;
}

/** One line of the stream. */
export interface TraceEvent {
  /** Microseconds of virtual time. */
  readonly timeUs: number;
  /** The node or client it happened on; `world` for what befalls all. */
  readonly node: string;
  readonly kind: TraceKind;
  readonly [detail: string]: unknown;
}

/**
 * `message`: left a node; `role`: role, term or vote changed; `append`, `truncate`: the log's end moved;
 * `commit`, `apply`: commit and applied index moved; `fault`: something was done to the world or a node;
 * `log`: a node's own words; `call`, `answer`: a client asked, and was told; `violation`: a promise broke.
 */
export type TraceKind =
  | 'message'
  | 'role'
  | 'append'
  | 'truncate'
  | 'commit'
  | 'apply'
  | 'fault'
  | 'log'
  | 'call'
  | 'answer'
  | 'violation';

/** Turns what a run tells into trace events; `write` gets each as it happens. */
export class TraceRecorder implements SimulationObserver {
  private readonly write: (event: TraceEvent) => void;
  private callsSeen = 0;
  /** Calls without an answer, by their number. */
  private readonly open = new Map<number, OperationRecord>();

  constructor(write: (event: TraceEvent) => void) {
    this.write = write;
  }

  sent(timeUs: number, { from: node, kind: message, ...rest }: Message): void {
    const details =
      'entries' in rest
        ? { ...rest, entries: rest.entries.map(({ index, term, kind: type }) => ({ index, term, type })) }
        : rest;
    this.write({ timeUs, node, kind: 'message', message, ...details });
  }

  changed(timeUs: number, now: Observation, before: Observation | undefined): void {
    const { nodeId: node, incarnation, role, currentTerm: term, lastIndex, commitIndex, appliedIndex } = now;
    const votedFor = now.votedFor ?? null;
    if (role !== before?.role || term !== before.currentTerm || votedFor !== (before.votedFor ?? null)) {
      this.write({ timeUs, node, kind: 'role', role, term, votedFor, start: incarnation });
    }
    const { truncatedFrom, appendedFrom: fromIndex } = now;
    if (truncatedFrom !== undefined) {
      this.write({ timeUs, node, kind: 'truncate', fromIndex: truncatedFrom });
    }
    if (fromIndex <= lastIndex) this.write({ timeUs, node, kind: 'append', fromIndex, lastIndex, term });
    if (commitIndex !== before?.commitIndex) {
      this.write({ timeUs, node, kind: 'commit', commitIndex, term });
    }
    if (appliedIndex !== before?.appliedIndex) this.write({ timeUs, node, kind: 'apply', appliedIndex });
  }

  done(timeUs: number, node: string, what: string, fields?: unknown): void {
    this.write({ timeUs, node, kind: 'fault', what, ...(fields === undefined ? {} : { fields }) });
  }

  logged(timeUs: number, node: string, level: string, message: string, fields: unknown): void {
    this.write({ timeUs, node, kind: 'log', level, message, fields });
  }

  asked(timeUs: number, operations: readonly OperationRecord[]): void {
    for (; this.callsSeen < operations.length; this.callsSeen++) {
      const operation = operations[this.callsSeen];
      if (operation === undefined) return;
      this.open.set(this.callsSeen, operation);
      const { client: node, call } = operation;
      this.write({ timeUs, node, kind: 'call', call: this.callsSeen, ...typed(call) });
    }
    for (const [call, { client: node, result }] of this.open) {
      if (result === undefined) continue;
      this.open.delete(call);
      this.write({ timeUs, node, kind: 'answer', call, ...typed(result) });
    }
  }

  violated({ timeUs, where: node, id, message }: Violation): void {
    this.write({ timeUs, node, kind: 'violation', id, message });
  }
}

/** `kind` names the kind of line, so what a call or an answer is moves to `type`. */
function typed({ kind: type, ...rest }: { readonly kind: string }): Record<string, unknown> {
  return { type, ...rest };
}
