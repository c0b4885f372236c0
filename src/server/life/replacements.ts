// Counts what replaces the store and the log, or removes what they replaced: an install may begin while the
// rest of a repair is still there. A node stops only when nothing of that is under way, and begins nothing of
// it once it stops.

export class Replacements {
  private count = 0;
  private isOver = false;
  private whenOver: (() => void) | undefined;

  /** The node is on its way out: nothing new may begin. */
  get isEnding(): boolean {
    return this.isOver;
  }

  begin(): void {
    this.count++;
  }

  /** One is over; `then` runs before a node that waited for it goes on to stop. */
  end(then: () => void): void {
    this.count--;
    then();
    if (this.count === 0) this.whenOver?.();
  }

  /** Calls `done` when nothing is being replaced; from then on nothing will be. */
  settle(done: () => void): void {
    this.isOver = true;
    if (this.count > 0) this.whenOver = done;
    else done();
  }
}
