// A line on stderr that says how far long work is: redrawn in place on a terminal, plain lines now and then
// elsewhere.

import { say } from './output.js';

const redrawMs = 100;
const plainMs = 5_000;

export class Progress {
  private readonly terminal = process.stderr.isTTY;
  private readonly name: string;
  private readonly detail: () => string;
  private readonly timer: NodeJS.Timeout;
  private drawn = false;

  /** Shows the name, and behind it what `detail` says from moment to moment, until `end`. */
  constructor(name: string, detail: () => string) {
    this.name = name;
    this.detail = detail;
    if (!this.terminal) say(name);
    this.timer = setInterval(() => this.draw(), this.terminal ? redrawMs : plainMs);
    this.timer.unref();
  }

  /** Prints a line of its own above the progress. */
  interrupt(line: string): void {
    this.clear();
    say(line);
  }

  end(): void {
    clearInterval(this.timer);
    this.clear();
  }

  private draw(): void {
    const line = `${this.name} ${this.detail()}`;
    if (!this.terminal) {
      say(line);
      return;
    }
    const text = line.slice(0, Math.max(20, (process.stderr.columns || 80) - 1));
    process.stderr.write(`\r\u001b[2K${text}`);
    this.drawn = true;
  }

  private clear(): void {
    if (this.drawn) process.stderr.write('\r\u001b[2K');
    this.drawn = false;
  }
}

/** `done` of `total` as a bar of `width` characters. */
export function bar(done: number, total: number, width = 24): string {
  const share = total <= 0 ? 1 : Math.min(1, Math.max(0, done / total));
  const full = Math.round(share * width);
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}] ${Math.floor(share * 100)} %`;
}
