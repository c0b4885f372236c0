// A 64-bit non-cryptographic hash in pure JavaScript (two 32-bit lanes of MurmurHash3's mixing), for
// comparing the states of replicas and for the simulator's trace. It detects divergence by accident, not an
// attacker.

export class Hash64 {
  private high: number;
  private low: number;
  private length = 0;

  constructor(seedHigh = 0x9747b28c, seedLow = 0x1b873593) {
    this.high = seedHigh | 0;
    this.low = seedLow | 0;
  }

  /** Adds one integer of up to 53 bits. */
  number(value: number): this {
    this.word(value | 0);
    this.word(Math.floor(value / 0x1_0000_0000) | 0);
    return this;
  }

  /** Adds the bytes and their count, so that neighbouring fields cannot run into each other. */
  bytes(bytes: Uint8Array): this {
    const whole = bytes.length & ~3;
    // In variables for the length of the loop: every value that is read goes through it.
    let { high, low } = this;
    let i = 0;
    for (; i < whole; i += 4) {
      const word =
        (bytes[i] as number) |
        ((bytes[i + 1] as number) << 8) |
        ((bytes[i + 2] as number) << 16) |
        ((bytes[i + 3] as number) << 24);
      high = mixHigh(high, word);
      low = mixLow(low, word ^ high);
    }
    this.high = high;
    this.low = low;
    this.length += whole >> 2;
    let rest = 0;
    for (; i < bytes.length; i++) rest = (rest << 8) | (bytes[i] as number);
    this.word(rest);
    this.word(bytes.length);
    return this;
  }

  /** Adds the text's code units and their count. */
  text(text: string): this {
    for (let i = 0; i < text.length; i++) this.word(text.charCodeAt(i));
    this.word(text.length);
    return this;
  }

  /** The hash of all that was added, as 16 hexadecimal digits. */
  hex(): string {
    const [high, low] = this.words();
    return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
  }

  /** The hash of all that was added, as two unsigned 32-bit words, high first. */
  words(): [high: number, low: number] {
    const high = finish(this.high ^ this.length);
    const low = finish(this.low ^ high);
    return [finish(high ^ low) >>> 0, low >>> 0];
  }

  private word(value: number): void {
    this.high = mixHigh(this.high, value);
    this.low = mixLow(this.low, value ^ this.high);
    this.length++;
  }
}

function mixHigh(high: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = high ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function mixLow(low: number, word: number): number {
  let m = Math.imul(word, 0x85ebca6b);
  m = Math.imul((m << 16) | (m >>> 16), 0xc2b2ae35);
  const mixed = low ^ m;
  return (Math.imul((mixed << 11) | (mixed >>> 21), 5) + 0x38495ab5) | 0;
}

function finish(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
