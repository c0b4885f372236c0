// The log of a node, made from its events: one line for each, but for what comes again and again: of that so
// many lines are written in a while, and at its end one more that says how many there were beside them. What
// counts as the same says the declaration of the event (event-lines.ts), never its text. Each line carries
// the kind of its event, for programs that read logs.

import type { Clock, LogFields, Logger, Millis, TimerHandle, Timers } from '../../base/env.js';
import type { NodeEvent } from '../events.js';
import { lineOf, type EventLine } from './event-lines.js';

interface Allowance {
  readonly lines: number;
  readonly windowMs: Millis;
}

/** Of one kind. */
const ofKind: Allowance = { lines: 20, windowMs: 10_000 };
/** Of one kind and source. */
const ofSource: Allowance = { lines: 1, windowMs: 10_000 };
/** Of one kind that everybody can cause who reaches the port, from any number of places. */
const byAnyone: Allowance = { lines: 3, windowMs: 60_000 };
/** Longest text of such a line, and of each of its fields: strangers have a part in what it says. */
const wordsOfAnyoneMax = 160;
/** Sources that are told apart at a time; further ones count as one. */
const sourcesMax = 256;

interface Window {
  readonly name: string;
  readonly allowance: Allowance;
  readonly startedMs: Millis;
  written: number;
  omitted: number;
  /** The last event that was left out. */
  last: NodeEvent | undefined;
  timer: TimerHandle;
}

export interface EventLogOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  readonly timers: Timers;
}

export class EventLog {
  private readonly options: EventLogOptions;
  /** By kind, or by kind and source. */
  private readonly windows = new Map<string, Window>();

  constructor(options: EventLogOptions) {
    this.options = options;
  }

  write(event: NodeEvent): void {
    const line = lineOf(event);
    const window = this.windowOf(event, line);
    if (window.written < window.allowance.lines) {
      window.written++;
      this.tell(event, line);
    } else {
      window.omitted++;
      window.last = event;
      if (window.omitted === 1) this.endLater(window);
    }
  }

  /** Says what is still to be said of what was left out. */
  close(): void {
    for (const window of this.windows.values()) if (window.omitted > 0) this.end(window);
  }

  private windowOf(event: NodeEvent, line: EventLine<NodeEvent>): Window {
    const nowMs = this.options.clock.nowMs();
    const source = line.byAnyone === true ? undefined : line.source?.(event);
    let name: string = source === undefined ? event.kind : `${event.kind} ${source}`;
    let window = this.current(name, nowMs);
    if (window !== undefined) return window;
    if (source !== undefined && this.windows.size >= sourcesMax) {
      for (const [other] of this.windows) this.current(other, nowMs);
      if (this.windows.size >= sourcesMax) {
        name = event.kind;
        window = this.current(name, nowMs);
        if (window !== undefined) return window;
      }
    }
    const allowance = line.byAnyone === true ? byAnyone : source === undefined ? ofKind : ofSource;
    window = { name, allowance, startedMs: nowMs, written: 0, omitted: 0, last: undefined, timer: undefined };
    this.windows.set(name, window);
    return window;
  }

  /** The window of that name, if it has not ended. */
  private current(name: string, nowMs: Millis): Window | undefined {
    const window = this.windows.get(name);
    if (window === undefined || nowMs - window.startedMs < window.allowance.windowMs) return window;
    this.end(window);
    return undefined;
  }

  private endLater(window: Window): void {
    const { startedMs, allowance } = window;
    const leftMs = startedMs + allowance.windowMs - this.options.clock.nowMs();
    window.timer = this.options.timers.set(Math.max(0, leftMs), () => this.end(window));
  }

  private end({ name, omitted, last, allowance, timer }: Window): void {
    this.windows.delete(name);
    if (timer !== undefined) this.options.timers.clear(timer);
    if (last === undefined) return;
    const more = omitted.toLocaleString('en');
    const seconds = allowance.windowMs / 1_000;
    this.tell(last, lineOf(last), omitted, `; ${more} more like this in the last ${seconds} s`);
  }

  private tell(event: NodeEvent, line: EventLine<NodeEvent>, omitted = 0, count = ''): void {
    const { kind, ...held } = event;
    const said: LogFields = line.fields === undefined ? held : line.fields(event);
    const isCut = line.byAnyone === true;
    const fields: LogFields = { event: kind, ...(isCut ? cutFields(said) : said) };
    const words = line.text(event);
    const text = `${isCut ? cut(words) : words}${count}`;
    this.options.logger[line.level](omitted === 0 ? fields : { ...fields, omitted }, text);
  }
}

function cut(words: string): string {
  return words.length <= wordsOfAnyoneMax ? words : `${words.slice(0, wordsOfAnyoneMax)}…`;
}

function cutFields(fields: LogFields): LogFields {
  const short = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'string' ? cut(value) : value,
  ]);
  return Object.fromEntries(short) as LogFields;
}
