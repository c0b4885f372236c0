// Byte strings. Keys are arbitrary bytes ordered byte by byte. Inside the node a key is a `ByteString`: a
// JavaScript string whose every code unit is one byte (0-255), because such strings hash fast in a Map and
// compare with `<` in byte order. Text never becomes a ByteString by itself: it is encoded as UTF-8 first.

/** A string in which each code unit is one byte, 0 to 255. Compares in byte order with `<`. */
export type ByteString = string;

const utf8Encoder = new TextEncoder();

/** The UTF-8 bytes of `text`, or the bytes given. */
export function toBytes(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? utf8Encoder.encode(value) : value;
}

/** The bytes as a `ByteString`, one code unit per byte. */
export function toByteString(bytes: Uint8Array): ByteString {
  return asBuffer(bytes).toString('latin1');
}

/** The bytes of a `ByteString`. */
export function fromByteString(text: ByteString): Uint8Array {
  return Buffer.from(text, 'latin1');
}

/** The same memory seen as a Node Buffer, without copying. */
export function asBuffer(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A copy that holds no reference to a larger buffer it may have been a view into. */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/**
 * The smallest ByteString greater than every string that starts with `prefix`: the exclusive end of a
 * prefix range. `undefined` when there is none, that is when `prefix` is empty or consists of 0xFF only.
 */
export function prefixEnd(prefix: ByteString): ByteString | undefined {
  for (let length = prefix.length; length > 0; length--) {
    const last = prefix.charCodeAt(length - 1);
    if (last < 0xff) return prefix.slice(0, length - 1) + String.fromCharCode(last + 1);
  }
  return undefined;
}

/** All parts one after the other in one new array. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/** The bytes as lower-case hexadecimal text. */
export function toHex(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('hex');
}
