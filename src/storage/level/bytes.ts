// The ways in which LevelDB writes numbers and checksums, in all kinds of its files. Must never read beyond
// the bytes it was given: lengths come from the disk. Source: LevelDB's util/coding.h and util/crc32c.h.

/** Numbers of seven bits per byte, the smallest first, and texts with their length before them. */
export class FieldReader {
  /** A field ended after the record did. */
  isOver = false;
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get atEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) this.isOver = true;
      value += ((byte ?? 0) & 0x7f) * factor;
      if (byte === undefined || byte < 0x80) return value;
    }
  }

  text(length = this.number()): Buffer {
    const begin = this.at;
    this.at += length;
    if (this.at > this.bytes.length) this.isOver = true;
    return this.bytes.subarray(begin, this.at);
  }
}

const castagnoli = 0x82f6_3b78;
const table = new Int32Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ castagnoli : value >>> 1;
  return value;
});

export function crc32c(bytes: Buffer): number {
  let crc = -1;
  for (let at = 0; at < bytes.length; at++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  }
  return ~crc >>> 0;
}

/** LevelDB does not store checksums as they are: `doc/log_format.md`. */
export function unmask(masked: number): number {
  const rotated = (masked - 0xa282_ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
