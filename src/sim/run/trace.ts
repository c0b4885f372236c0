// What happened, in words, for people who look into a failing run: one line per thing worth knowing, an
// event and, indented, its consequences. Keeps the newest lines only, unless told to keep all. Never read
// by anything else; an observer is told the same as data.

import type { Message } from '../../raft/messages.js';
import type { Observation } from '../checkers/raft/node-view.js';
import type { Violation } from '../checkers/violations.js';
import type { SimulationObserver } from './trace-recorder.js';

const linesKept = 4_000;

export class Trace {
  private lines: string[] = [];
  private readonly nowUs: () => number;
  private readonly keepsAll: boolean;
  private readonly keepsMessages: boolean;
  private readonly observer: SimulationObserver | undefined;

  /** `detail`: `words` keeps the newest lines without messages; `full` keeps everything. */
  constructor(nowUs: () => number, detail: 'words' | 'full', observer?: SimulationObserver) {
    this.nowUs = nowUs;
    this.keepsAll = detail === 'full';
    this.keepsMessages = detail === 'full';
    this.observer = observer;
  }

  /** Oldest first. */
  get text(): readonly string[] {
    return this.lines.slice(this.keepsAll ? 0 : -linesKept);
  }

  /** Something was done to the world or to a node. */
  add(who: string, what: string): void {
    this.observer?.done?.(this.nowUs(), who, what);
    this.line(who, what);
  }

  violates(violation: Violation): void {
    this.observer?.violated?.(violation);
    this.line(violation.where, `VIOLATES ${violation.id}: ${violation.message}`);
  }

  log(who: string, level: string, message: string, fields: unknown): void {
    if (level === 'world') this.observer?.done?.(this.nowUs(), who, message, fields);
    else this.observer?.logged?.(this.nowUs(), who, level, message, fields);
    const details = JSON.stringify(fields);
    this.line(
      who,
      `${level === 'world' ? '' : `${level}: `}${message}${details === '{}' ? '' : ` ${details}`}`,
    );
  }

  sent(message: Message): void {
    this.observer?.sent?.(this.nowUs(), message);
    if (!this.keepsMessages) return;
    const { kind, from, to, ...rest } = message;
    const shown =
      'entries' in rest
        ? { ...rest, entries: rest.entries.map(({ index, term }) => `${index}/${term}`) }
        : rest;
    this.line(from, `sends ${kind} to ${to} ${JSON.stringify(shown)}`);
  }

  /** What an event changed about a node's place in the consensus. */
  changed(now: Observation, before: Observation | undefined): void {
    this.observer?.changed?.(this.nowUs(), now, before);
    const consequence = (text: string): void => this.line(now.nodeId, `  ${text}`);
    if (now.role !== before?.role || now.currentTerm !== before.currentTerm) {
      consequence(`is ${now.role} in term ${now.currentTerm}, voted for ${now.votedFor ?? 'nobody'}`);
    }
    if (now.truncatedFrom !== undefined) consequence(`removes its entries from ${now.truncatedFrom} on`);
    if (!this.keepsMessages) return;
    if (now.lastIndex !== before?.lastIndex) consequence(`log ends at ${now.lastIndex}`);
    if (now.commitIndex !== before?.commitIndex) consequence(`committed through ${now.commitIndex}`);
  }

  private line(who: string, what: string): void {
    const time = (this.nowUs() / 1000).toFixed(3).padStart(10);
    this.lines.push(`[${time}] ${who} > ${what}`);
    if (!this.keepsAll && this.lines.length > 2 * linesKept) this.lines = this.lines.slice(-linesKept);
  }
}
