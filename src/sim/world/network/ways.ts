// The directed ways between hosts and what is wrong with each of them now. A connection looks its two ways up
// once and reads them at each message; faults turn them. Any shape of partition is a set of ways, one-way
// ones too.

/** What befalls messages at the moment; changed by faults while the world runs. */
export interface Conditions {
  /** Microseconds on the way: the least, and the mean of the exponential part on top. */
  latencyUsMin: number;
  latencyUsMean: number;
  /** Probabilities per message, 0 to 1. `duplication` and `reordering` have no effect in mode `tcp`. */
  loss: number;
  duplication: number;
  /** Share of messages that take up to ten times as long, alone. */
  reordering: number;
}

/** One directed way. */
export interface WayState {
  readonly from: string;
  readonly to: string;
  /** How many faults cut it now: nothing passes. */
  cuts: number;
  /** How many faults clog it now: messages wait, and nobody misses an answer. */
  clogs: number;
  /** Bytes in a second; infinite when nothing narrows it. */
  bytesPerSecond: number;
  /** Bytes that a connection may have on the way before `send` refuses. */
  bufferBytesMax: number;
  /** A narrowed way is taken until then. Microseconds of virtual time. */
  busyUntilUs: number;
  /** In place of what is so everywhere. */
  conditions: Readonly<Conditions> | undefined;
}

/** Bytes that an ordinary connection has on the way before `send` refuses. */
const bufferBytesMax = 16 * 1024 * 1024;

export class Ways {
  private readonly states = new Map<string, WayState>();

  /** The one state of that way. */
  of(from: string, to: string): WayState {
    const name = `${from}>${to}`;
    let state = this.states.get(name);
    if (state === undefined) {
      const open = { cuts: 0, clogs: 0, bytesPerSecond: Infinity, busyUntilUs: 0, conditions: undefined };
      state = { from, to, bufferBytesMax, ...open };
      this.states.set(name, state);
    }
    return state;
  }

  /** Narrows a way, or opens it as wide as it was. */
  narrow(way: WayState, to: { bytesPerSecond: number; bufferBytesMax: number } | undefined): void {
    way.bytesPerSecond = to?.bytesPerSecond ?? Infinity;
    way.bufferBytesMax = to?.bufferBytesMax ?? bufferBytesMax;
    way.busyUntilUs = 0;
  }

  forgetOwnConditions(): void {
    for (const way of this.states.values()) way.conditions = undefined;
  }
}
