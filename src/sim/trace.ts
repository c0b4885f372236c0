// What happened, in words, for people who look into a failing run: one line per thing worth knowing, an
// event and, indented, its consequences. Keeps the newest lines only, unless told to keep all. Never read
// by anything else.

import type { Message } from '../raft/messages.js';
import type { Observation } from './checkers/node-view.js';

const linesKept = 4_000;

export class Trace {
  private lines: string[] = [];
  private readonly nowUs: () => number;
  private readonly keepsAll: boolean;
  private readonly keepsMessages: boolean;

  /** `detail`: `words` keeps the newest lines without messages; `full` keeps everything. */
  constructor(nowUs: () => number, detail: 'words' | 'full') {
    this.nowUs = nowUs;
    this.keepsAll = detail === 'full';
    this.keepsMessages = detail === 'full';
  }

  /** Oldest first. */
  get text(): readonly string[] {
    return this.lines.slice(this.keepsAll ? 0 : -linesKept);
  }

  add(who: string, what: string): void {
    const time = (this.nowUs() / 1000).toFixed(3).padStart(10);
    this.lines.push(`[${time}] ${who} > ${what}`);
    if (!this.keepsAll && this.lines.length > 2 * linesKept) this.lines = this.lines.slice(-linesKept);
  }

  log(who: string, level: string, message: string, fields: unknown): void {
    const details = JSON.stringify(fields);
    this.add(
      who,
      `${level === 'world' ? '' : `${level}: `}${message}${details === '{}' ? '' : ` ${details}`}`,
    );
  }

  sent(message: Message): void {
    if (!this.keepsMessages) return;
    const { kind, from, to, ...rest } = message;
    const shown =
      'entries' in rest
        ? { ...rest, entries: rest.entries.map(({ index, term }) => `${index}/${term}`) }
        : rest;
    this.add(from, `sends ${kind} to ${to} ${JSON.stringify(shown)}`);
  }

  /** What an event changed about a node's place in the consensus. */
  changed(now: Observation, before: Observation | undefined): void {
    const consequence = (text: string): void => this.add(now.nodeId, `  ${text}`);
    if (now.role !== before?.role || now.currentTerm !== before.currentTerm) {
      consequence(`is ${now.role} in term ${now.currentTerm}, voted for ${now.votedFor ?? 'nobody'}`);
    }
    if (now.truncatedFrom !== undefined) consequence(`removes its entries from ${now.truncatedFrom} on`);
    if (!this.keepsMessages) return;
    if (now.lastIndex !== before?.lastIndex) consequence(`log ends at ${now.lastIndex}`);
    if (now.commitIndex !== before?.commitIndex) consequence(`committed through ${now.commitIndex}`);
  }
}
