// Stateless randomness: every decision of the virtual world is a hash of the seed, the stream it belongs to
// and a counter within that stream. Leaving one fault out of a plan therefore does not reshuffle the others,
// which keeps shrinking stable. Must never hold state.

/** 32 uniform bits decided by the three numbers (each taken modulo 2^32). */
export function roll32(seed: number, stream: number, counter: number): number {
  let h = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  h = mix(h ^ Math.imul(stream + 0x7f4a7c15, 0xc2b2ae35));
  h = mix(h ^ Math.imul(counter + 0x165667b1, 0x27d4eb2f));
  return mix(h) >>> 0;
}

/** A uniform number in [0, 1) decided by the three numbers. */
export function roll(seed: number, stream: number, counter: number): number {
  return roll32(seed, stream, counter) / 0x1_0000_0000;
}

/** A stream number for a named thing, so that streams of different things do not run together. */
export function streamOf(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return mix(h) >>> 0;
}

/**
 * One stream of rolls with its own counter: for decisions that come one after the other about the same
 * thing.
 */
export class Dice {
  private readonly seed: number;
  private readonly stream: number;
  /** Rolls made so far. */
  private counter = 0;

  constructor(seed: number, name: string) {
    this.seed = seed;
    this.stream = streamOf(name);
  }

  /** A uniform number in [0, 1). */
  fraction(): number {
    return roll(this.seed, this.stream, this.counter++);
  }

  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** A uniform integer in `min` .. `max`, both included. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.fraction() * (max - min + 1));
  }
}

function mix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return h ^ (h >>> 16);
}
